"""A relocator outside of this project judged on many encodings: asked, its answers read and proved for all states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from verify.judge.form import vendors
from verify.models.schemes.external.fields import PAIRS, moving
from verify.models.schemes.external.relocation import LONGEST, Ends, relocation
from verify.models.x86.isa.encode import decoded_representatives
from verify.models.x86.isa.forms import Cpu, Form
from verify.report.records import replaced
from verify.report.relocations import RelocatedEncoding
from verify.survey.asked import Answer, Code, Declined, Failed, Relocator
from verify.survey.relocated import Pair, judged, verdict_of


def encodings_of(forms: Iterable[Form], cpus: tuple[Cpu, ...]) -> Iterator[bytes]:
    """One encoding of everything that an implementation could tell apart of the forms."""
    seen = set[bytes]()
    for form in forms:
        for cpu in vendors(form, cpus):
            for decoded in decoded_representatives(form, cpu):
                if decoded.data not in seen:
                    seen.add(decoded.data)
                    yield decoded.data


def relocator_row(
    data: bytes, relocator: Relocator, ends: Ends, cpus: tuple[Cpu, ...], assumptions: frozenset[str]
) -> RelocatedEncoding:
    """What is said of the relocator's answers for one encoding."""
    answers = [relocator.ask(data, *PAIRS[0])]
    if isinstance(answers[0], Code):
        answers += [relocator.ask(data, *pair) for pair in PAIRS[1:]]
    row = RelocatedEncoding(bytes=data.hex(), ends=ends.value, verdict="unknown", observables=(), reason="")
    failed = next((a for a in answers if isinstance(a, Failed)), None)
    if failed is not None:
        return replaced(row, reason=failed.reason)
    if isinstance(answers[0], Declined):
        return replaced(row, verdict="refused", reason=answers[0].reason)
    return _judged(row, data, answers, ends, cpus, assumptions)


def _judged(
    row: RelocatedEncoding, data: bytes, answers: Sequence[Answer], ends: Ends, cpus: tuple[Cpu, ...],
    assumptions: frozenset[str],
) -> RelocatedEncoding:  # fmt: skip
    codes = [a.data for a in answers if isinstance(a, Code)]
    row = replaced(row, code=codes[0].hex())
    if max(map(len, codes)) > LONGEST:
        return replaced(row, reason=f"wrong answer: more than {LONGEST} bytes")
    pieces = moving(codes) if len(codes) == len(PAIRS) else None
    if pieces is None:
        plan = Pair(data, PAIRS[0][0], codes[0], PAIRS[0][1], ends).plan
        row = replaced(row, addresses="for these addresses only")
    else:
        plan = relocation(data, pieces, ends)
    valid = [j for j in judged(data, plan, cpus, assumptions) if j.verdict is not None]
    return replaced(row, **verdict_of(valid, assumptions)) if valid else replaced(row, verdict="invalid")
