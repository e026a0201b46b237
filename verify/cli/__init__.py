"""The command line `ubp-verify`.

Exit status: 0 done and everything decided; 1 with --check: something is refuted; 2 done but something undecided; 64
wrong usage; 70 a fault of our own; 74 the environment refuses (disk full, a place that cannot be written); 130
interrupted (what was proved is in the ledger); 141 the reader closed the pipe.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from typing import Final

import click

from verify import __version__
from verify.cli.lazy import Entry, Lazy
from verify.cli.status import ENVIRONMENT, FAULT, INTERRUPTED, READER_LEFT, USAGE
from verify.live.hiding import HidingError

COMMANDS: Final = {
    "opcode-range": Entry(
        "verify.cli.opcode_range:opcode_range",
        "Verdict of every form in RANGE... (00-ff, 0f00-0fff, 0f38, vex.0f, evex, d8-df, all; default all).",
    ),
    "insn": Entry(
        "verify.cli.insn:insn",
        "One instruction explained: ENCODING in hex, with or without spaces, or assembly text (needs keystone-engine).",
    ),
    "classify": Entry(
        "verify.cli.classify:classify",
        "Verdicts for the encodings in FILE (- for standard input), one a line, one result a line.",
    ),
    "scan": Entry("verify.cli.scan:scan", "Verdict of every instruction of an ELF file, where it stands."),
    "report": Entry(
        "verify.cli.report:report",
        "A static HTML report of the survey in DIR, for any browser and without network: open DIR/index.html.",
    ),
    "gate": Entry(
        "verify.cli.gate:gate",
        "The proof gate: recorded evidence, recorded survey and what the code states now; status 1 where they differ.",
    ),
    "forms": Entry(
        "verify.cli.encodings:forms",
        "The forms in RANGE..., or with --disagreements what the second decoder says otherwise.",
    ),
    "relocated": Entry(
        "verify.cli.relocated:relocated",
        "Whether a copy elsewhere does what the instruction does where it stands, in every state, at these addresses.",
    ),
    "relocator": Entry(
        "verify.cli.relocator:relocator",
        "Whether what a relocator of your own makes of the instructions in RANGE... does the same, in every state.",
    ),
    "causes": Entry(
        "verify.cli.causes:causes",
        "The causes of refutations and refusals, the most harmful first; with NAME, what happens and what to do.",
    ),
    "schemes": Entry(
        "verify.cli.encodings:schemes",
        "The schemes that can be judged; with NAME, also the deviations that its forms share and the assumptions.",
    ),
    "ledger": Entry(
        "verify.cli.ledger:ledger",
        "What is kept of verdicts, its size by scheme and setting; with --prune, without what is of no use any more.",
    ),
    "interleavings": Entry(
        "verify.cli.interleavings:interleavings",
        "Explores every interleaving of the protocols (default: all); a file `mine.py` has one's own.",
    ),
    "protocols": Entry("verify.cli.protocols:protocols", "Lists the protocols, their questions and variants."),
    "confirm": Entry(
        "verify.cli.confirm:confirm",
        "Compares the models with this machine: its processors and its kernel are the judges.",
    ),
}


# Objects that are made before the collector looks for cycles, for each of its generations: nearly all are terms, which
# have no cycles and stay, and looking through them again and again is a tenth of a survey.  Workers are forked with it.
COLLECTED: Final = (50_000, 20, 50)


KEEPING: Final = frozenset({"opcode-range", "classify", "scan", "report"})  # what these decide is kept as they go


class _Commands(Lazy):
    """All commands."""

    rows = COMMANDS

    def invoke(self, ctx: click.Context) -> object:
        """As click's, which begins a new line for an interrupt: here only on a terminal, where ^C stands on it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            if sys.stderr.isatty():
                click.echo(err=True)
            kept = "; what was decided is in the ledger" if ctx.invoked_subcommand in KEEPING else ""
            raise click.Abort(f"interrupted{kept}") from stop


STATUSES: Final = """\b
Exit status:
  0    done and everything decided
  1    something is refuted (--check), or a judge disagrees (confirm)
  2    done, but something is undecided, or a judge is not available here
  64   wrong usage, or an input that cannot be read
  70   a fault of ubp-verify itself
  74   the environment refuses: a full disk, a place that cannot be written
  130  interrupted; what was decided is in the ledger
  141  the reader closed the pipe
"""


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=STATUSES)
@click.version_option(__version__, prog_name="ubp-verify")
def cli() -> None:
    """Decides by proof whether a program can notice a breakpoint-style probe (x86-64)."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; every error is one line on standard error."""
    gc.set_threshold(*COLLECTED)
    if sys.stdout is None:
        click.echo("ubp-verify: standard output is closed", err=True)
        sys.exit(ENVIRONMENT)
    found = status(arguments)
    sys.exit(_delivered() or found)


def _delivered() -> int:
    """0 where all that was printed has been written; else the status that says so, and the rest is thrown away."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        _throw_away()
        return _refused(error)
    return 0


def _throw_away() -> None:
    """What is printed from now on goes nowhere; Python itself flushes once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _reader_left() -> int:
    """The status of a command whose reader closed the pipe, as `head` does: no error."""
    _throw_away()
    return READER_LEFT


def _refused(error: OSError) -> int:
    """Says what the environment refuses: the reason and the place where one is known."""
    place = f": {os.fsdecode(error.filename)!r}" if error.filename is not None else ""
    reason = " ".join((error.strerror or str(error) or type(error).__name__).split())
    click.echo(f"ubp-verify: {reason}{place}", err=True)
    return ENVIRONMENT


def status(arguments: list[str] | None = None) -> int:
    """The exit status of a command line."""
    output = sys.stdout
    try:
        result: object = cli.main(arguments, prog_name="ubp-verify", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except SystemExit:
        if sys.stdout is not output:  # click replaces it before it ends with 1 for a closed pipe
            return _reader_left()
        raise
    except click.Abort as stop:
        click.echo(f"ubp-verify: {stop}", err=True)
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx is not None else "")
        return 0
    except click.ClickException as error:
        click.echo(f"ubp-verify: {' '.join(error.format_message().split())}", err=True)
        return USAGE
    except HidingError as error:
        click.echo(f"ubp-verify: {error}", err=True)
        return USAGE
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        return _refused(error)
    except Exception as error:
        traceback.print_exc()
        click.echo(f"ubp-verify: internal fault: {type(error).__name__}: {error}", err=True)
        return FAULT
    return result if isinstance(result, int) else 0

