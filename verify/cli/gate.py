"""`ubp-verify gate`: recorded proofs checked, and what the code states now compared with them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from verify.cli import common
from verify.cli.options import SCHEME_HELP, assumptions_without, scheme_named
from verify.cli.status import REFUTED, UNDECIDED
from verify.report.gates import Gate, Regression
from verify.report.records import decoded, encoded, replaced
from verify.terms.rules import CHOICE, PLAIN, rules_in_force

if TYPE_CHECKING:
    from verify.survey.evidence import Recorded
    from verify.survey.gate import Setting

    Keep = Callable[[Mapping[str, str]], None]

FORMATS: Final = ("text", "json", "junit", "sarif", "github")
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
@click.option("--baseline", metavar="FILE", help="What `--format json` said before: its regressions are accepted.")
@click.option("--format", "style", type=click.Choice(FORMATS), default="text", show_default=True)
def gate(
    schemes: tuple[str, ...], given: str | None, rebuild: bool, update: bool, listing: bool, recheck: bool,
    jobs: int | None, baseline: str | None, style: str,
) -> int:  # fmt: skip
    """The proof gate: recorded evidence, recorded survey and what the code states now; status 1 where they differ.

    Read-only without --update.
    """
    if rules_in_force() is not PLAIN:
        return _as_written(click.get_current_context())
    place = _place(given)
    known, shown, worst = _known(baseline), list[Gate](), 0
    for name in schemes or _recorded(place):
        found = _gated(place, name, rebuild, update, listing, recheck, jobs or os.cpu_count() or 1)
        if found is not None:
            shown.append(_without(found, known))
            worst = max(worst, REFUTED if shown[-1].regressions else UNDECIDED if found.unknown and update else 0)
    _show(shown, style)
    return worst


def _known(baseline: str | None) -> Mapping[str, frozenset[Regression]]:
    """Scheme -> regressions that are accepted.  Raises UsageError where the file is no document of the gate."""
    if baseline is None:
        return {}
    try:
        documents = [decoded(line, Gate) for line in Path(baseline).read_text().splitlines() if line]
    except ValueError as error:
        raise click.UsageError(f"{baseline}: not what `gate --format json` writes: {error}") from error
    return {d.scheme: frozenset(d.regressions) for d in documents}


def _without(found: Gate, known: Mapping[str, frozenset[Regression]]) -> Gate:
    """The document without the regressions that are accepted, which are counted."""
    new = tuple(r for r in found.regressions if r not in known.get(found.scheme, ()))
    return replaced(found, regressions=new, accepted=len(found.regressions) - len(new))


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
    from verify.survey.certify import Evidence  # noqa: PLC0415  start-up time
    from verify.survey.evidence import recorded, write  # noqa: PLC0415  start-up time
    from verify.survey.gate import certified  # noqa: PLC0415

    names, made, faults = _names(), Evidence(), list[Regression]()
    for name, found in counted("forms", certified(names, setting, jobs), len(names)):
        if isinstance(found, str):
            faults.append(_fault(found, name))
        else:
            made.add(found)
    new = recorded(made, mark)
    if not faults:
        write(folder, new)
    faults += _of_rows(new, setting)
    return _document(setting.scheme.name, new, faults, begun, restated=len(names), obsolete=False)


def _checked(
    recorded: Recorded, setting: Setting, mark: str, rebuild: bool, recheck: bool, jobs: int, begun: float
) -> Gate:
    from verify.cli.progress import counted  # noqa: PLC0415  start-up time
    from verify.survey import gate as work  # noqa: PLC0415  start-up time
    from verify.survey.settings import ACCEPTED, AS_STATED, accepted_mark  # noqa: PLC0415

    obsolete = recorded.mark != mark
    faults = [_fault(reason) for reason in work.structure_faults(recorded)]
    known, keep = _kept(ACCEPTED, setting.scheme.name, accepted_mark(), recheck)
    accepted, checked = dict[str, str](), 0
    for key, name, reason in counted("evidence", work.objections(recorded, known, jobs), None):
        checked += 1
        if reason:
            faults.append(_fault(reason))
        else:
            accepted[key] = name
    keep(accepted)
    faults += _of_rows(recorded, setting)
    stated, keep_stated = _kept(AS_STATED, setting.scheme.name, mark, recheck)
    names = work.sample(_names(), 1 if rebuild or obsolete else work.SHARE)
    as_recorded = {name: work.stated_digest(recorded, name) for name in names}
    names = [name for name in names if stated.get(name) != as_recorded[name]]
    agreed = dict[str, str]()
    stating = replace(setting, known={s: verdict for s, (verdict, _) in recorded.claims.items()})
    for name, found in counted("forms", work.certified(names, stating, jobs), len(names)):
        if isinstance(found, str):
            faults.append(_fault(found, name))
        elif wrong := list(work.differences(recorded, name, found)):
            faults += wrong
        else:
            agreed[name] = as_recorded[name]
    keep_stated(agreed)
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


def _kept(kind: str, scheme: str, mark: str, recheck: bool) -> tuple[Mapping[str, str], Keep]:
    """What was found right before by code with this mark, and how to keep more; nothing where the cache refuses."""
    from verify.ledger.folder import Folder  # noqa: PLC0415  start-up time
    from verify.ledger.places import cache_directory  # noqa: PLC0415
    from verify.ledger.store import Table  # noqa: PLC0415

    store, table = Folder(Path(common.given("ledger") or cache_directory())), Table(kind, scheme, mark)

    def keep(new: Mapping[str, str]) -> None:
        try:
            store.put(table, new)
        except OSError as error:
            click.echo(f"ubp-verify: what was found right is not kept: {error.strerror}", err=True)

    try:
        return ({} if recheck else store.get(table)), keep
    except OSError:
        return {}, keep


def _document(
    scheme: str, recorded: Recorded, faults: list[Regression], begun: float, *, checked: int = 0, known: int = 0,
    restated: int = 0, obsolete: bool,
) -> Gate:  # fmt: skip
    verdicts = [v for v, _ in recorded.claims.values()]
    classes = list(recorded.of("class"))
    return Gate(
        scheme=scheme, forms=len({line[1] for line in classes}), classes=len(classes),
        statements=len(verdicts), proved=verdicts.count("proved"), refuted=verdicts.count("refuted"),
        unknown=verdicts.count("unknown"), checked=checked, known=known, restated=restated, obsolete=obsolete,
        regressions=tuple(faults), seconds=round(time.monotonic() - begun, 3),
    )  # fmt: skip


def _show(gates: Sequence[Gate], style: str) -> None:
    from verify.report import gated  # noqa: PLC0415  start-up time

    written = {"junit": gated.junit, "sarif": gated.sarif, "github": gated.github}.get(style)
    if written is not None and gates:
        click.echo(written(gates))
    for found in gates:
        if style == "json":
            click.echo(encoded(found))
        elif style in {"text", "github"}:
            _show_text(found, 0 if style == "github" else SHOWN)


def _show_text(found: Gate, number: int) -> None:
    from verify.report.gated import place, sentence  # noqa: PLC0415  start-up time

    for r in found.regressions[:number]:
        click.echo(f"{place(r, found.scheme)}: {sentence(r)}")
    if len(found.regressions) > number > 0:
        click.echo(f"... {len(found.regressions) - number} more")
    if found.obsolete:
        click.echo("The code is another than the recorded evidence was made by: every form was stated again.")
    accepted = f", {found.accepted} accepted by the baseline" if found.accepted else ""
    click.echo(
        f"{found.scheme}: {found.forms} forms, {found.classes} classes, {found.statements} statements: {found.proved} "
        f"proved, {found.refuted} refuted, {found.unknown} unknown; {found.checked} checked, {found.known} known to be "
        f"accepted, {found.restated} forms stated again; {len(found.regressions)} regressions{accepted}; "
        f"{found.seconds:.1f} s"
    )
