"""One encoding explained: what the processor and the scheme see, the plan, the verdicts, a counterexample."""

from __future__ import annotations

from typing import Any, Final

from verify.models.isa import memory_style
from verify.models.isa.decode import Decoded, text
from verify.models.isa.forms import Cpu
from verify.models.machine import OBSERVABLES
from verify.models.schemes.plan import Emulate, Refuse, Step
from verify.models.sites import probes
from verify.rows import counterexample_row
from verify.smt.counterexample import counterexample
from verify.smt.judge import Judge, Judgement
from verify.smt.verdicts import Verdict, worst


def plan_text(judgement: Judgement) -> str:
    """The scheme's plan in a line."""
    plan = judgement.probe.plan
    match plan:
        case Refuse(reason, errno):
            return f"refused: {reason} (errno {errno})"
        case Emulate(effect, length, optimised):
            later = "; a call to a trampoline from the second hit on" if optimised else ""
            return f"emulated: {effect}, length {length}{later}"
        case Step():
            scratch = f", scratch register {plan.scratch.register}" if plan.scratch else ""
            fixups = ", ".join(sorted(f.value for f in plan.fixups)) or "none"
            length = plan.length
            return f"stepped out of line: {judgement.probe.copy_bytes[:length].hex()}{scratch}; fixups: {fixups}"
        case _:
            return "runs in place"


CPUS: Final = {"intel": (Cpu.INTEL,), "amd": (Cpu.AMD,), "any": (Cpu.AMD, Cpu.INTEL)}


def encoding_row(data: bytes, judge: Judge, cpus: tuple[Cpu, ...], details: bool = True) -> dict[str, Any]:
    """The verdict of an encoding for all given vendors; `details` adds plan, decoding and counterexample."""
    found = [judge.judged(p) for p in probes(data, judge.scheme, cpus)]
    valid = [j for j in found if j.verdict is not None]
    row: dict[str, Any] = {"bytes": data.hex()}
    if valid:
        row["length"] = max(_decoded_length(j) for j in valid)
    if not valid:
        return {**row, "verdict": "invalid", "observables": [], "reason": found[0].reason}
    verdict = worst(j.verdict for j in valid if j.verdict is not None)
    refuted = {o for j in valid for o, v in j.observables if v is Verdict.REFUTED}
    reasons = dict.fromkeys(j.reason for j in valid if j.reason)
    row.update(
        verdict=verdict.value, observables=[o for o in OBSERVABLES if o in refuted],
        reason="; ".join(reasons) or _why(valid),
    )  # fmt: skip
    return {**row, **_details(judge, valid)} if details else row


def _decoded_length(judgement: Judgement) -> int:
    decoded = judgement.probe.decoded
    return decoded.layout.length if isinstance(decoded, Decoded) else 0


def _why(valid: list[Judgement]) -> str:
    """A short reason of a verdict that has none of its own."""
    for j in valid:
        if j.verdict is Verdict.REFUTED:
            plan = type(j.probe.plan).__name__.lower()
            return f"{plan}: differs in {', '.join(d.observable for d in j.deviations)}"
    return ""


def rests_on(judge: Judge, valid: list[Judgement]) -> list[str]:
    """The assumptions without which an observable that is proved of the encoding is proved no more."""
    found: set[str] = set()
    for j in valid:
        for name in judge.rests_on(j.probe, judge.assumptions):  # of its class; now of the encoding
            other = dict(Judge(judge.scheme, judge.assumptions - {name}).judged(j.probe).observables)
            if any(v is Verdict.PROVED and other.get(o) is not v for o, v in j.observables):
                found.add(name)
    return sorted(found)


def _details(judge: Judge, valid: list[Judgement]) -> dict[str, Any]:
    first = valid[0]
    decoded = first.probe.decoded
    worst_one = next((j for j in valid if j.deviations), first)
    more: dict[str, Any] = {
        "scheme": judge.scheme.name,
        "plan": plan_text(first),
        "verdicts": {o: worst([dict(j.observables).get(o, Verdict.PROVED) for j in valid]).value for o in OBSERVABLES}
        if first.verdict is not Verdict.REFUSED else {},
        "assumptions": sorted(judge.assumptions),
        "rests_on": rests_on(judge, valid),
    }  # fmt: skip
    if isinstance(decoded, Decoded):
        more.update(
            text=text(decoded), form=decoded.form.name,
            memory_styles=[s.value for s in memory_style.styles(decoded.form)],
            undefined=decoded.faults_ud,
        )  # fmt: skip
    if worst_one.deviations:
        more["counterexample"] = counterexample_row(counterexample(worst_one, judge.assumptions))
    return more
