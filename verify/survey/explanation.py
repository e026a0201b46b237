"""One encoding explained: what the processor and the scheme see, the plan, the verdicts, a counterexample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from verify.causes.catalogue import Cause
from verify.causes.derivation import Example
from verify.causes.rows import of_encoding
from verify.causes.rows import row as cause_row
from verify.causes.words import words
from verify.claim.probes import Probe, probes
from verify.claim.undefined import undefined_without
from verify.claim.verdicts import Verdict, worst
from verify.judge.counterexample import counterexample
from verify.judge.encoding import Judge, Judgement
from verify.models.schemes.manner import manners
from verify.models.schemes.program_text import text as canonical_text
from verify.models.x86.isa import memory_style
from verify.models.x86.isa.assembly import Syntax, assembly
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import OBSERVABLES
from verify.report.judged import CounterexampleRow
from verify.report.surveys import ClassifiedEncoding, ExplainedEncoding
from verify.survey.natural import natural
from verify.survey.rows import NAMES, counterexample_row


def plan_text(judgement: Judgement) -> str:
    """The scheme's plan: its canonical text, in which code stands as the bytes that the processor runs, in hex."""
    p = judgement.probe
    most = max(getattr(p.plan, "length", 0), _decoded_length(p))
    return canonical_text(p.plan, lambda code: p.code_bytes(code)[:most].hex())


WINDOW: Final = 16  # bytes that a scheme may look at
# Behind a continuation that may end within an instruction: of the second opcode byte of a long jump and of a nop, of a
# register and of a rip-relative operand, of displacements and immediates.
ENDS: Final = tuple(bytes.fromhex(text).ljust(WINDOW, b"\x00") for text in ("84", "1f", "c0", "05", "25", "00", "cc"))
CPUS: Final = {"intel": (Cpu.INTEL,), "amd": (Cpu.AMD,), "any": (Cpu.AMD, Cpu.INTEL)}


@dataclass(frozen=True, slots=True)
class Shown:
    """How an encoding is shown; `every`: a counterexample of each refuted observable."""

    syntax: Syntax = Syntax.INTEL
    every: bool = False


PLAINLY: Final = Shown()


def encoding_row(
    data: bytes, judge: Judge, cpus: tuple[Cpu, ...], followed_by: bytes | None = None, shown: Shown = PLAINLY
) -> ExplainedEncoding | ClassifiedEncoding:
    """The verdict of an encoding for all given vendors, with plan, decoding and counterexample; brief where it is none.

    `followed_by`: what stands behind the instruction; None: anything, so every continuation that the scheme tells apart
    is judged.
    """
    instruction, groups = _probed(data, judge, cpus, followed_by)
    brief, valid = _brief(data, instruction, groups, judge)
    return _explained(brief, judge, valid, len(groups) > 1, shown) if valid else brief.row


@dataclass(frozen=True, slots=True)
class Brief:
    """The row of an encoding, its length in bytes, 0 where nothing decodes it, and the judgements behind the row."""

    row: ClassifiedEncoding
    length: int
    judged: tuple[Judgement, ...] = ()


def brief_row(data: bytes, judge: Judge, cpus: tuple[Cpu, ...]) -> Brief:
    """The verdict of an encoding, whatever stands behind it, as `encoding_row` has it, without the details."""
    instruction, groups = _probed(data, judge, cpus, None)
    return _brief(data, instruction, groups, judge)[0]


def _probed(
    data: bytes, judge: Judge, cpus: tuple[Cpu, ...], followed_by: bytes | None
) -> tuple[bytes, list[list[Probe]]]:
    """The instruction, and its probes for each continuation that is to be judged, the one that is given first."""
    first = probes(data, judge.scheme, cpus, followed_by or b"")
    length = _decoded_length(first[0])
    others = judge.scheme.continuations(data[:length]) if length else ()
    if not others:
        return data, [first]
    behind = followed_by if length == len(data) else data[length:] + (followed_by or b"")
    tails = others if behind is None else _gone_on(behind, WINDOW - length, others)
    instruction = data[:length]
    return instruction, [probes(instruction, judge.scheme, cpus, tail) for tail in (behind or b"", *tails)]


def _gone_on(given: bytes, size: int, continuations: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """How what is given of a continuation may go on, where it is shorter than what a scheme looks at."""
    if len(given) >= size:
        return ()
    begun = tuple(c for c in continuations if c.startswith(given) and c != given)
    return (*begun, *(given + end for end in ENDS))


def _brief(
    data: bytes, instruction: bytes, groups: list[list[Probe]], judge: Judge
) -> tuple[Brief, list[Judgement]]:
    """The verdict of the judgements together, and those of them that are of an instruction."""
    found = [judge.judged(p) for group in groups for p in group]
    valid = [j for j in found if j.verdict is not None]
    looks_behind = len(groups) > 1
    if not valid:
        row = ClassifiedEncoding(bytes=data.hex(), verdict="invalid", observables=(), reason=found[0].reason,
                                 looks_behind=looks_behind)  # fmt: skip
        return Brief(row, len(data)), []
    length = max(_decoded_length(j.probe) for j in valid)
    verdict = worst(j.verdict for j in valid if j.verdict is not None)
    refuted = {o for j in valid for o, v in j.observables if v is Verdict.REFUTED}
    lacking = dict.fromkeys(f for j in valid for f in undefined_without(j.probe))
    said = f"undefined on processors without {', '.join(lacking)}, runs on when probed" if lacking else ""
    row = ClassifiedEncoding(
        bytes=data.hex(), verdict=NAMES[verdict], observables=tuple(o for o in OBSERVABLES if o in refuted),
        reason="; ".join(filter(None, (_reason(valid, verdict), said))), looks_behind=looks_behind,
        cause=_first_cause(valid, verdict, judge.assumptions), undefined_without=tuple(lacking),
    )  # fmt: skip
    return Brief(row, length + len(data) - len(instruction) if length else 0, tuple(valid)), valid


def _first_cause(valid: list[Judgement], verdict: Verdict, assumptions: frozenset[str]) -> str:
    """The cause of a refutation or refusal, by the first observable; of other verdicts none."""
    if verdict not in {Verdict.REFUTED, Verdict.REFUSED}:
        return ""
    judged = next(j for j in valid if j.verdict is verdict)
    first = judged.deviations[0].observable if judged.deviations else None
    return next(iter(_causes([judged], assumptions, first))).name


def _causes(
    judged: Sequence[Judgement], assumptions: frozenset[str], observable: str | None = None
) -> tuple[Cause, ...]:
    """The causes of the refuted observables, or of one; of what is refused that of the refusal."""
    found: dict[Cause, None] = {}
    for j in judged:
        refuted = [d.observable for d in j.deviations]
        if refuted or j.verdict is Verdict.REFUSED:
            found.update(dict.fromkeys(of_encoding(j.probe, refuted, observable, _example(j, assumptions))))
    return tuple(found)


def _example(j: Judgement, assumptions: frozenset[str]) -> Example:
    """Makes the counterexample of an observable."""
    def made(observable: str) -> CounterexampleRow | None:
        of = [d for d in j.deviations if d.observable == observable]
        return counterexample_row(counterexample(replace(j, deviations=tuple(of)), assumptions)) if of else None

    return made


def _reason(valid: list[Judgement], verdict: Verdict) -> str:
    """The reasons of the judgements, of refusals only where the verdict is one."""
    counted = [j for j in valid if j.verdict is not Verdict.REFUSED or verdict is Verdict.REFUSED]
    return "; ".join(dict.fromkeys(j.reason for j in counted if j.reason)) or _why(valid)


def _decoded_length(p: Probe) -> int:
    return p.decoded.layout.length if isinstance(p.decoded, Decoded) else 0


def _why(valid: list[Judgement]) -> str:
    """A short reason of a verdict that has none of its own."""
    for j in valid:
        if j.verdict is Verdict.REFUTED:
            plan = manners(j.probe.plan)[0].value
            behind = f"followed by {j.probe.followed_by.hex()}: " if j.probe.followed_by else ""
            return f"{behind}{plan}: differs in {', '.join(d.observable for d in j.deviations)}"
    return ""


def _of_observable(judgement: Judgement, observable: str) -> Verdict:
    """The observable's verdict; of an encoding that has no obligations its own."""
    assert judgement.verdict is not None
    return dict(judgement.observables).get(observable, judgement.verdict)


def rests_on(judge: Judge, valid: list[Judgement]) -> list[str]:
    """The assumptions without which an observable that is proved of the encoding is proved no more."""
    found: set[str] = set()
    for j in valid:
        proved = frozenset(o for o, v in j.observables if v is Verdict.PROVED)
        for name in judge.rests_on(j.probe, judge.assumptions - found):  # of its class; now of the encoding
            if not Judge(judge.scheme, judge.assumptions - {name}).proves(j.probe, proved):
                found.add(name)
    return sorted(found)


def _explained(
    brief: Brief, judge: Judge, valid: list[Judgement], looks_behind: bool, shown: Shown
) -> ExplainedEncoding:
    worst_one = next((j for j in valid if j.deviations), valid[0])
    first = worst_one if looks_behind else valid[0]
    decoded, behind = first.probe.decoded, first.probe.followed_by
    known = decoded if isinstance(decoded, Decoded) else None
    examples = natural(worst_one, judge.assumptions) if worst_one.deviations else ()
    deviating = [j for j in valid if j.deviations]
    found = _causes(deviating or valid, judge.assumptions)
    return ExplainedEncoding(
        bytes=brief.row.bytes, verdict=NAMES[worst(j.verdict for j in valid if j.verdict is not None)],
        observables=brief.row.observables, reason=brief.row.reason, length=brief.length, scheme=judge.scheme.name,
        plan=plan_text(first), verdicts={o: NAMES[worst([_of_observable(j, o) for j in valid])] for o in OBSERVABLES},
        assumptions=tuple(sorted(judge.assumptions)), rests_on=tuple(rests_on(judge, valid)),
        undefined_without=brief.row.undefined_without, text=assembly(known, shown.syntax) if known else "",
        form=known.form.name if known else "",
        memory_styles=tuple(s.value for s in memory_style.styles(known.form)) if known else None,
        undefined=known.faults_ud if known else None, looks_behind=looks_behind,
        instruction=first.probe.data[: _decoded_length(first.probe)].hex() if behind else "",
        followed_by=behind.hex(), counterexample=examples[0] if examples else None,
        further=examples[1:] if shown.every else (), words=words(first.probe, shown.syntax),
        causes=tuple(cause_row(c, judge.scheme) for c in found),
    )  # fmt: skip
