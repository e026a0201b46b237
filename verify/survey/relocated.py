"""An original and its copy, as a relocator outside of this project made it, judged for all states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import verify.models.schemes.external.relocation as external
from verify.claim.probes import probes
from verify.claim.verdicts import Verdict, worst
from verify.judge.counterexample import counterexample
from verify.judge.encoding import Judge, Judgement
from verify.models.schemes.code import Byte
from verify.models.schemes.external.relocation import Ends, relocation
from verify.models.schemes.program import Program
from verify.models.schemes.program_text import text
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.isa.hex_text import encoding_bytes
from verify.models.x86.machine import OBSERVABLES
from verify.report.judged import CounterexampleRow
from verify.report.records import record_from, replaced
from verify.report.relocations import PairRecord, RelocatedPair
from verify.survey.rows import NAMES, counterexample_row

ADDRESSES: Final = range(1 << 64)


@dataclass(frozen=True, slots=True)
class Pair:
    """An instruction, its copy, and where they stand."""

    original: bytes
    at: int
    copy: bytes
    slot: int
    ends: Ends = Ends.JUMP

    def __post_init__(self) -> None:
        if not 1 <= len(self.copy) <= external.LONGEST:
            raise ValueError(f"a copy has 1 to {external.LONGEST} bytes, got {len(self.copy)}")
        for address in (self.at, self.slot):
            if address not in ADDRESSES:
                raise ValueError(f"an address has 64 bits, got {address:#x}")

    @property
    def plan(self) -> Program:
        """The copy as a plan for these addresses alone."""
        code = tuple(Byte(None, bits=b) for b in self.copy)
        return relocation(self.original, code, self.ends, (self.at, self.slot))


def judged(original: bytes, plan: Program, cpus: tuple[Cpu, ...], assumptions: frozenset[str]) -> list[Judgement]:
    """The verdicts of a plan of one encoding, one a vendor where they read it differently."""
    judge = Judge(external.scheme("relocated", "the answer itself", plan), assumptions)
    return [judge.judged(p) for p in probes(original, judge.scheme, cpus)]


def pair_row(pair: Pair, cpus: tuple[Cpu, ...], assumptions: frozenset[str]) -> RelocatedPair:
    """What is said of one pair."""
    found = judged(pair.original, pair.plan, cpus, assumptions)
    valid = [j for j in found if j.verdict is not None]
    row = RelocatedPair(
        original=pair.original.hex(), at=f"{pair.at:#x}", copy=pair.copy.hex(), slot=f"{pair.slot:#x}",
        ends=pair.ends.value, verdict="invalid", observables=(), reason=found[0].reason, plan=text(pair.plan),
    )  # fmt: skip
    if not valid:
        return row
    length = max(p.probe.decoded.layout.length for p in valid if isinstance(p.probe.decoded, Decoded))
    if length != len(pair.original):
        reason = f"the instruction ends after {length} of {len(pair.original)} bytes"
        return replaced(row, reason=reason)
    return replaced(row, **verdict_of(valid, assumptions))


def verdict_of(valid: list[Judgement], assumptions: frozenset[str]) -> dict[str, object]:
    """Verdict, refuted observables, reason and counterexample of judgements of an instruction."""
    verdict = worst(j.verdict for j in valid if j.verdict is not None)
    refuted = {d.observable for j in valid for d in j.deviations}
    example = _example(valid, assumptions)
    reason = "; ".join(dict.fromkeys(j.reason for j in valid if j.reason))
    if verdict is Verdict.REFUTED and example is not None:
        reason = example.first_difference
    return {"verdict": NAMES[verdict], "observables": tuple(o for o in OBSERVABLES if o in refuted), "reason": reason,
            "counterexample": example}  # fmt: skip


def _example(valid: list[Judgement], assumptions: frozenset[str]) -> CounterexampleRow | None:
    shown = next((j for j in valid if j.deviations), None)
    return None if shown is None else counterexample_row(counterexample(shown, assumptions))


def pair_of(line: bytes | str, ends: Ends) -> Pair:
    """The pair that a JSON object says: original and copy in hex, at and slot as numbers or text such as 0x401000.

    `ends`: where it does not say how control comes back.  ValueError says what is wrong.
    """
    said = record_from(line, PairRecord)
    try:
        way = Ends(said.ends) if said.ends else ends
    except ValueError:
        raise ValueError(f"ends is trap, breakpoint or jump, got {said.ends!r}") from None
    original = encoding_bytes(said.original)
    return Pair(original, address_of(said.at), hex_bytes(said.copy), address_of(said.slot), way)


def address_of(text: int | str) -> int:
    """An address, in decimal or with 0x in hex.  ValueError names what is none."""
    try:
        return int(text, 0) if isinstance(text, str) else text
    except ValueError:
        raise ValueError(f"an address is a number such as 0x401000, got {text!r}") from None


def hex_bytes(text: str) -> bytes:
    """Any number of bytes in hex.  ValueError names what is none."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is not hex: {error}") from None
