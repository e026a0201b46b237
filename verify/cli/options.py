"""Options that several commands share, and the checks of what they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from verify.cli.status import WRONG_PLACE
from verify.models.schemes.scheme import Scheme

if TYPE_CHECKING:
    from verify.models.x86.isa.forms import Form
    from verify.models.x86.isa.ranges import OpcodeRange
    from verify.survey.ledger import Ledger
    from verify.survey.selection import Selection

F = TypeVar("F", bound=Callable[..., Any])
RUNNING: Final = "running"
SCHEME_HELP: Final = (
    "The scheme to judge; `schemes` lists them, `running` is that of the running kernel; `all`: `insn`, `opcode-range`."
)


def judging(function: F) -> F:
    """--scheme, --cpu and --without-assumption."""
    for option in (
        click.option("--without-assumption", "dropped", multiple=True, metavar="NAME", help="Drop a named assumption."),
        click.option("--cpu", type=click.Choice(["intel", "amd", "any"]), default="any", show_default=True,
                     help="The processor that is modelled; any: both must agree."),
        click.option("--scheme", "scheme_name", metavar="NAME", help=SCHEME_HELP),
    ):  # fmt: skip
        function = option(function)
    return function


def selecting(function: F) -> F:
    """--observables, --ignore, --only-compilers and --baseline: what counts."""
    for option in (
        click.option("--baseline", metavar="FILE",
                     help="JSON that this command printed before: what was refuted or refused then does not count."),
        click.option("--only-compilers", "only_emitted", is_flag=True,
                     help="Only encodings as compilers emit them count, not odd prefixes."),
        click.option("--ignore", "ignored", multiple=True, metavar="CAUSE", help="What has this cause does not count."),
        click.option("--observables", metavar="NAME,...", help="Only these observables are asked about."),
    ):  # fmt: skip
        function = option(function)
    return function


def selection_of(
    observables: str | None, ignored: tuple[str, ...], only_emitted: bool, baseline: str | None,
    known_of: Callable[[bytes], Mapping[str, frozenset[str]]],
) -> Selection:  # fmt: skip
    """What counts.  A usage error for names that there are not, and for a baseline that is none."""
    from verify.causes.catalogue import CAUSES  # noqa: PLC0415  start-up time
    from verify.models.x86.machine import OBSERVABLES  # noqa: PLC0415
    from verify.survey.selection import Selection  # noqa: PLC0415

    wanted = [o.strip() for o in observables.split(",")] if observables is not None else []
    for what, names, there in (("observable", wanted, OBSERVABLES), ("cause", ignored, CAUSES)):
        if wrong := next((n for n in names if n not in there), None):
            raise click.UsageError(f"no {what} {wrong!r}; there are {', '.join(there)}")
    if observables is not None and not all(wanted):
        raise click.UsageError(f"--observables is a list of names, got {observables!r}")
    known = _baseline(baseline, known_of) if baseline is not None else {}
    return Selection(frozenset(wanted), frozenset(ignored), only_emitted, known)


def _baseline(
    file: str, known_of: Callable[[bytes], Mapping[str, frozenset[str]]]
) -> Mapping[str, frozenset[str]]:
    try:
        return known_of(Path(file).read_bytes())
    except WRONG_PLACE as error:
        raise click.UsageError(f"--baseline: {error.strerror}: {file!r}") from error
    except ValueError as error:
        raise click.UsageError(f"--baseline {file!r}: {error}") from error


def scheme_named(name: str | None) -> Scheme:
    """The scheme of that name, the running kernel's, or the default one.  A usage error where there is none."""
    from verify.models.schemes.registry import DEFAULT, SCHEMES  # noqa: PLC0415  start-up time

    if name is None:
        return SCHEMES[DEFAULT]
    if name == RUNNING:
        return _running(SCHEMES)
    if name not in SCHEMES:
        raise click.UsageError(f"unknown scheme {name!r}; there are {', '.join(SCHEMES)}, {RUNNING}")
    return SCHEMES[name]


def _running(schemes: Mapping[str, Scheme]) -> Scheme:
    import platform  # noqa: PLC0415  start-up time

    from verify.confirm.judges import running  # noqa: PLC0415  start-up time

    found = running(schemes.values())
    if found is None:
        here = f"{platform.system()} {platform.release()} ({platform.machine()})"
        raise click.UsageError(f"no scheme models what runs here, {here}; there are {', '.join(schemes)}")
    return found


def assumptions_without(dropped: tuple[str, ...]) -> frozenset[str]:
    """The assumptions in force.  A usage error for an unknown name."""
    from verify.models.schemes.assumptions import ASSUMPTIONS, BY_NAME  # noqa: PLC0415  start-up time

    for name in dropped:
        if name not in BY_NAME:
            raise click.UsageError(f"unknown assumption {name!r}; there are {', '.join(sorted(BY_NAME))}")
    return ASSUMPTIONS - set(dropped)


def ledger_directory(given: str | None, reading: bool = False) -> Path:
    """The ledger's folder, made where it is missing.  A usage error where what is given cannot be a folder; OSError.

    `reading`: nothing is written; what an installed copy brings along serves where the user has no protocols.
    """
    from verify.ledger.places import brought_directory, default_directory  # noqa: PLC0415  start-up time

    if reading and not given and not (default_directory() / "protocols").is_dir():
        return brought_directory() or default_directory()
    return _made(Path(given) if given else default_directory(), bool(given))


def ledger_of(given: str | None, scheme: str, cpu: str, assumptions: frozenset[str], mark: str = "") -> Ledger:
    """The ledger of results under these settings, as `verify.survey.settings.store_for` says.  Errors as above; a
    folder that was not given is made when something is stored.
    """
    from verify.survey.ledger import ledger_for  # noqa: PLC0415  start-up time

    if given:
        _made(Path(given), True)
    return ledger_for(given or None, scheme, cpu, assumptions, mark)


def _made(folder: Path, given: bool) -> Path:
    if not given:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    try:
        if folder.exists() and not folder.is_dir():
            raise click.UsageError(f"the ledger {str(folder)!r} is not a directory")
        folder.mkdir(parents=True, exist_ok=True)
    except WRONG_PLACE as error:
        raise click.UsageError(f"the ledger {str(folder)!r} cannot be made: {error.strerror}") from error
    return folder


def opcode_ranges(texts: Sequence[str]) -> tuple[OpcodeRange, ...]:
    """The ranges that texts name; all where there is none.  A usage error names the value and the position."""
    from verify.models.x86.isa.ranges import parsed  # noqa: PLC0415  start-up time

    try:
        return tuple(parsed(t) for t in texts or ("all",))
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def forms_of(cpu: str) -> list[Form]:
    """The forms that some processor has (any), or one vendor's: 52 are AMD's alone, 19 Intel's."""
    from verify.models.x86.isa.forms import all_forms  # noqa: PLC0415  start-up time

    if cpu == "any":
        return list(all_forms())
    return [f for f in all_forms() if (f.opcode.is_intel if cpu == "intel" else f.opcode.is_amd)]


def forms_in(ranges: Sequence[str], cpu: str = "any") -> list[Form]:
    """The forms of the processors that lie in the ranges.  A usage error where there is none."""
    wanted = opcode_ranges(ranges)
    found = [f for f in forms_of(cpu) if any(f in r for r in wanted)]
    if not found:
        raise click.UsageError(f"no form lies in {' '.join(ranges)}{f' on {cpu} processors' * (cpu != 'any')}")
    return found


def text_width() -> int:
    """Columns of the terminal, 80 in a pipe."""
    import shutil  # noqa: PLC0415  start-up time
    import sys  # noqa: PLC0415

    from verify.report.wrapped import NARROW  # noqa: PLC0415

    return max(shutil.get_terminal_size().columns, NARROW) if sys.stdout.isatty() else NARROW


def parsed_hex(text: str, where: str) -> bytes:
    """The bytes of a hex string with or without spaces.  A usage error names the offending value and its position."""
    from verify.models.x86.isa.hex_text import encoding_bytes  # noqa: PLC0415  start-up time

    try:
        return encoding_bytes(text)
    except ValueError as error:
        raise click.UsageError(f"{where}: {error}") from error
