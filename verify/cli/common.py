"""The options that every command takes alike: --jobs, --ledger, -q and -v.

A command that does something of its own with one of them declares it; every other command takes it all the same, and
what it says is found here.
"""

from __future__ import annotations

from typing import Any, Final

import click

NAME: Final = "verify.cli.common"


def _noted(context: click.Context, option: click.Parameter, value: Any) -> Any:
    context.meta.setdefault(NAME, {})[option.name] = value
    return value


def _options() -> tuple[click.Option, ...]:
    shared: dict[str, Any] = {"expose_value": False, "callback": _noted}
    return (
        click.Option(["--jobs"], type=click.IntRange(1, 256), help="Processes, where several have work.", **shared),
        click.Option(["--ledger"], metavar="DIR", help="Where verdicts are kept, if any are.", **shared),
        click.Option(["-q", "--quiet"], is_flag=True, help="No progress.", **shared),
        click.Option(["-v", "--verbose"], is_flag=True, help="In a pipe: a plain line a step.", **shared),
    )  # fmt: skip


def with_common(command: click.Command) -> click.Command:
    """The command, with those of the options that it has not; groups have none of their own."""
    if not isinstance(command, click.Group):
        there = {name for option in command.params for name in option.opts}
        command.params += [o for o in _options() if not there & set(o.opts)]
    return command


def given(name: str) -> Any:
    """What was given for such an option of a command that does not declare it; None where nothing was."""
    context = click.get_current_context(silent=True)
    return context.meta.get(NAME, {}).get(name) if context is not None else None


def is_quiet() -> bool:
    """Whether no progress is wanted; of commands that do not declare -q."""
    return bool(given("quiet"))


def is_verbose() -> bool:
    """Whether a plain line a step is wanted where there is no terminal."""
    return bool(given("verbose"))
