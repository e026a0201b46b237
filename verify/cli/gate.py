"""`ubp-verify gate`: recorded proofs checked, and what the code states now compared with them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from verify.cli import common
from verify.cli.options import SCHEME_HELP, assumptions_without, scheme_named
from verify.cli.status import REFUTED, UNDECIDED
from verify.report.gates import Gate, Regression
from verify.report.records import encoded
from verify.terms.rules import CHOICE, PLAIN, rules_in_force

if TYPE_CHECKING:
    from verify.survey.evidence import Recorded
    from verify.survey.gate import Setting

    Keep = Callable[[Mapping[str, str]], None]

EXAMPLES: Final = """\b
Examples:
  ubp-verify gate
  ubp-verify gate --rebuild --jobs 4
  ubp-verify gate --scheme linux-uprobes-6.18 --update
"""
SHOWN: Final = 25  # regressions in full


@click.command(epilog=EXAMPLES)
@click.option("--scheme", "schemes", multiple=True, metavar="NAME", help=f"{SCHEME_HELP} Default: all recorded.")
@click.option("--evidence", "given", metavar="DIR", help="Where evidence is; default: proofs/evidence of a checkout.")
@click.option("--rebuild", is_flag=True, help="State every form again, not a seeded tenth of them.")
@click.option("--update", is_flag=True, help="Make all evidence anew and record it.")
@click.option("--list", "listing", is_flag=True, help="Name the statements and what is claimed of them; check nothing.")
@click.option("--recheck", is_flag=True, help="Check also what this checker has accepted before.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; default: one a processor.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def gate(
    schemes: tuple[str, ...], given: str | None, rebuild: bool, update: bool, listing: bool, recheck: bool,
    jobs: int | None, style: str,
) -> int:  # fmt: skip
    """The proof gate: recorded evidence, recorded survey and what the code states now; status 1 where they differ.

    Read-only without --update.
    """
    if rules_in_force() is not PLAIN:
        return _as_written(click.get_current_context())
    place = _place(given)
    worst = 0
    for name in schemes or _recorded(place):
        found = _gated(place, name, rebuild, update, listing, recheck, jobs or os.cpu_count() or 1)
        if found is not None:
            _show(found, style)
            worst = max(worst, REFUTED if found.regressions else UNDECIDED if found.unknown and update else 0)
    return worst


def _as_written(context: click.Context) -> int:
    """The same command in a process of its own, in which terms are built as they are written."""
    command = [sys.executable, "-m", "verify.cli", "gate"]
    for option in context.command.params:
        given = context.params.get(option.name or "", common.given(option.name or ""))
        if given is True:
            command.append(option.opts[0])
        elif given not in {None, False}:
            values = given if isinstance(given, tuple) else (given,)
            command += [word for value in values for word in (option.opts[0], str(value))]
    found = subprocess.run(command, env={**os.environ, CHOICE: "plain"}, stdout=subprocess.PIPE, check=False)
    click.echo(found.stdout.decode(), nl=False)
    return found.returncode


def _place(given: str | None) -> Path:
    from verify.ledger.places import brought_directory, checkout_directory  # noqa: PLC0415  start-up time
    from verify.survey.evidence import FOLDER  # noqa: PLC0415

    proofs = checkout_directory() or brought_directory()
    if given is None and proofs is None:
        raise click.UsageError("no proofs/ here: name a folder with --evidence")
    return Path(given) if given is not None else proofs / FOLDER  # type: ignore[operator]


def _recorded(place: Path) -> list[str]:
    from verify.survey.evidence import LEDGER  # noqa: PLC0415  start-up time

    found = sorted(p.parent.name for p in place.glob(f"*/{LEDGER}"))
    if not found:
        raise click.UsageError(f"no evidence is recorded in {str(place)!r}; `gate --scheme NAME --update` makes it")
    return found


def _gated(
    place: Path, name: str, rebuild: bool, update: bool, listing: bool, recheck: bool, jobs: int
) -> Gate | None:  # fmt: skip
    from verify.survey import evidence  # noqa: PLC0415  start-up time
    from verify.survey.explanation import CPUS  # noqa: PLC0415
    from verify.survey.gate import Setting  # noqa: PLC0415
    from verify.survey.settings import ANY_CPU, evidence_mark  # noqa: PLC0415

    begun, scheme, assumptions = time.monotonic(), scheme_named(name), assumptions_without(())
    setting, mark = Setting(scheme, assumptions, CPUS[ANY_CPU]), evidence_mark(scheme.name, ANY_CPU, assumptions)
    if update:
        return _updated(place / scheme.name, setting, mark, jobs, begun)
    try:
        recorded = evidence.read(place / scheme.name)
    except FileNotFoundError as error:
        raise click.UsageError(f"no evidence of {scheme.name}: {error.filename!r}") from error
    except ValueError as error:
        return _document(scheme.name, evidence.Recorded(""), [_fault(str(error))], begun, obsolete=False)
    if listing:
        for statement, (verdict, by) in sorted(recorded.claims.items()):
            click.echo(f"{statement} {verdict} {by}")
        return None
    return _checked(recorded, setting, mark, rebuild, recheck, jobs, begun)


def _updated(folder: Path, setting: Setting, mark: str, jobs: int, begun: float) -> Gate:
    from verify.cli.progress import counted  # noqa: PLC0415  start-up time
    from verify.survey.evidence import Recorded, write  # noqa: PLC0415  start-up time
    from verify.survey.gate import certified  # noqa: PLC0415

    names, new, faults = _names(), Recorded(mark), list[Regression]()
    for name, found in counted("forms", certified(names, setting, jobs), len(names)):
        if isinstance(found, str):
            faults.append(_fault(found, name))
        else:
            new.add(found)
    if not faults:
        write(folder, new)
    faults += _of_rows(new, setting)
    return _document(setting.scheme.name, new, faults, begun, restated=len(names), obsolete=False)


def _checked(
    recorded: Recorded, setting: Setting, mark: str, rebuild: bool, recheck: bool, jobs: int, begun: float
) -> Gate:
    from verify.cli.progress import counted  # noqa: PLC0415  start-up time
    from verify.survey import gate as work  # noqa: PLC0415  start-up time

    obsolete = recorded.mark != mark
    faults = [_fault(reason) for reason in work.structure_faults(recorded)]
    known, keep = _accepted(setting.scheme.name, recheck)
    accepted, checked = dict[str, str](), 0
    for key, name, reason in counted("evidence", work.objections(recorded, known, jobs), None):
        checked += 1
        if reason:
            faults.append(_fault(reason))
        else:
            accepted[key] = name
    keep(accepted)
    faults += _of_rows(recorded, setting)
    names = work.sample(_names(), 1 if rebuild or obsolete else work.SHARE)
    for name, found in counted("forms", work.certified(names, setting, jobs), len(names)):
        if isinstance(found, str):
            faults.append(_fault(found, name))
        else:
            faults += work.differences(recorded, name, found)
    return _document(
        setting.scheme.name, recorded, faults, begun, checked=checked, known=len(known), restated=len(names),
        obsolete=obsolete,
    )  # fmt: skip


def _fault(reason: str, form: str = "") -> Regression:
    return Regression(form=form, observable="", recorded="", found="", reason=reason)


def _names() -> list[str]:
    from verify.models.x86.isa.forms import all_forms  # noqa: PLC0415  start-up time

    return [f.name for f in all_forms()]


def _of_rows(recorded: Recorded, setting: Setting) -> list[Regression]:
    """Where the recorded survey says otherwise; one line where there is none of the present code."""
    from verify.cli.options import ledger_of  # noqa: PLC0415
    from verify.survey.gate import faults_of_form  # noqa: PLC0415  start-up time
    from verify.survey.settings import ANY_CPU, forms_mark  # noqa: PLC0415

    scheme, assumptions = setting.scheme.name, setting.assumptions
    ledger = ledger_of(common.given("ledger"), scheme, ANY_CPU, assumptions)
    rows = ledger.forms(forms_mark(scheme, ANY_CPU, assumptions))
    if not rows:
        return [_fault("no survey of the present code is recorded: run `ubp-verify opcode-range`")]
    return list(faults_of_form(recorded, rows))


def _accepted(scheme: str, recheck: bool) -> tuple[Mapping[str, str], Keep]:
    """What the present checker has accepted before, and how to keep more; nothing where the cache refuses."""
    from verify.ledger.folder import Folder  # noqa: PLC0415  start-up time
    from verify.ledger.places import cache_directory  # noqa: PLC0415
    from verify.ledger.store import Table  # noqa: PLC0415
    from verify.survey.settings import ACCEPTED, accepted_mark  # noqa: PLC0415

    store, table = Folder(Path(common.given("ledger") or cache_directory())), Table(ACCEPTED, scheme, accepted_mark())

    def keep(new: Mapping[str, str]) -> None:
        try:
            store.put(table, new)
        except OSError as error:
            click.echo(f"ubp-verify: what was accepted is not kept: {error.strerror}", err=True)

    try:
        return ({} if recheck else store.get(table)), keep
    except OSError:
        return {}, keep


def _document(
    scheme: str, recorded: Recorded, faults: list[Regression], begun: float, *, checked: int = 0, known: int = 0,
    restated: int = 0, obsolete: bool,
) -> Gate:  # fmt: skip
    verdicts = [] if not recorded.lines else [v for v, _ in recorded.claims.values()]
    classes = list(recorded.of("class"))
    return Gate(
        scheme=scheme, forms=len({line[1] for line in classes}), classes=len(classes),
        statements=len(verdicts), proved=verdicts.count("proved"), refuted=verdicts.count("refuted"),
        unknown=verdicts.count("unknown"), checked=checked, known=known, restated=restated, obsolete=obsolete,
        regressions=tuple(faults), seconds=round(time.monotonic() - begun, 3),
    )  # fmt: skip


def _show(found: Gate, style: str) -> None:
    if style == "json":
        click.echo(encoded(found))
        return
    for r in found.regressions[:SHOWN]:
        place = " ".join(filter(None, (r.form, r.encoding, r.observable)))
        both = f" (recorded: {r.recorded}; now: {r.found})" if r.found else ""
        click.echo(f"{place or found.scheme}: {r.reason}{both}")
    if len(found.regressions) > SHOWN:
        click.echo(f"... {len(found.regressions) - SHOWN} more")
    if found.obsolete:
        click.echo("The code is another than the recorded evidence was made by: every form was stated again.")
    click.echo(
        f"{found.scheme}: {found.forms} forms, {found.classes} classes, {found.statements} statements: {found.proved} "
        f"proved, {found.refuted} refuted, {found.unknown} unknown; {found.checked} checked, {found.known} known to be "
        f"accepted, {found.restated} forms stated again; {len(found.regressions)} regressions; {found.seconds:.1f} s"
    )
