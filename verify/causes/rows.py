"""Causes of what was judged: of a judgement, and of a form's row as the ledger keeps it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from verify.causes.catalogue import Cause
from verify.causes.derivation import Example, Site, cause, reason_cause
from verify.claim.probes import Probe, probe
from verify.models.schemes.scheme import Refuse, Scheme
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import OBSERVABLES
from verify.report.causes import CauseRow
from verify.report.judged import CounterexampleRow, JudgedForm


def row(of: Cause, scheme: Scheme) -> CauseRow:
    """The cause as results say it, with the rule of the scheme."""
    return CauseRow(
        name=of.name, harm=of.harm.value, happens=of.happens, rule=of.rule(scheme.name, scheme.source), loses=of.loses,
        instead=of.instead,
    )  # fmt: skip


def of_form(form: JudgedForm, scheme: Scheme, asked: Collection[str] = ()) -> Cause | None:
    """The cause of a form's refutation, by its counterexample, or of its refusal; None of other verdicts.

    `asked`: the observables that are asked about, where not all are; of another one than the counterexample's the cause
    is what plan and form say.
    """
    if form.verdict == "refused":
        return reason_cause(form.reason)
    example = form.counterexample
    if form.verdict != "refuted" or example is None:
        return None
    shown = site(probe_of_example(example, scheme), example)
    wanted = [o for o, v in form.observables.items() if v == "refuted" and o in asked]
    other = wanted and example.observable not in asked
    return cause(replace(shown, observable=wanted[0]) if other else shown)


def probe_of_example(example: CounterexampleRow, scheme: Scheme) -> Probe:
    """The probe of a counterexample."""
    cpu = Cpu.INTEL if example.vendor == Cpu.INTEL.value else Cpu.AMD
    return probe(bytes.fromhex(example.bytes), scheme, cpu, bytes.fromhex(example.followed_by))


def site(p: Probe, example: CounterexampleRow) -> Site:
    """The deviation that a counterexample shows."""
    refuted = frozenset((example.observable, *example.also_refuted))
    return Site(p, example.observable, refuted, {example.observable: example}.get)


def of_encoding(
    p: Probe, refuted: Iterable[str], observable: str | None = None, example: Example | None = None
) -> tuple[Cause, ...]:
    """The causes of an encoding's refuted observables, or of one of them, each once, in the order of the observables;
    of a refusal its cause.  `example` makes a counterexample.
    """
    if isinstance(p.plan, Refuse):
        return (reason_cause(p.plan.reason),)
    names = frozenset(refuted)
    sites = (Site(p, o, names, example) for o in OBSERVABLES if o in names and observable in {None, o})
    return tuple(dict.fromkeys(map(cause, sites)))
