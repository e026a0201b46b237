"""The command line, run in this process as `ubp-verify` runs it."""

from __future__ import annotations

from click.testing import CliRunner

from verify.cli import status


def run(*arguments: str) -> tuple[int, str]:
    """The exit status, and all that was printed, in order."""
    with CliRunner().isolation() as (_, _, printed):
        ended = status(list(arguments))
        return ended, printed.getvalue().decode()
