"""A counterexample on the machine: its own state is run without and with a real uprobe.

Decides: confirmed, not reproducible here (with the reason), or contradicted.  A state that no program can be in is
moved to addresses that one can have (`verify.smt.realise`); where that is impossible the judge's standard states are
run, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from verify.confirm_kernel import UNSEEN, is_visible, predicted
from verify.live.kernel import LAYOUT, Comparison, KernelJudge, code_text
from verify.live.kernel_child import CODE, Tracee
from verify.live.kernel_confirm import NotReproducible, Situation, compared_in
from verify.live.kernel_registration import image
from verify.live.kernel_state import component_offsets, standard_states
from verify.live.reproducer import emit, standard_situation
from verify.models.isa.decode import Decoded
from verify.models.machine import FLAG_BITS
from verify.smt.judge import Judgement
from verify.smt.realise import Realised, realised
from verify.smt.verdicts import Verdict

GPRS: Final = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{i}" for i in range(8, 16)))
FIXED_FLAGS: Final = 0x202
MXCSR_BITS: Final = 0xFFFF
Places = Mapping[str, tuple[int, int]]  # component -> offset and size in the xsave image


@dataclass(frozen=True, slots=True)
class Staged:
    """A counterexample's state, ready to be run, and how it differs from the one that is shown."""

    observable: str
    situation: Situation
    moved: bool
    rests_on: tuple[str, ...]


def staged(judgement: Judgement, assumptions: frozenset[str]) -> tuple[list[Staged], list[str]]:
    """The states of a judgement's deviations that a program can be in; why the others cannot be set up."""
    found, reasons = [], []
    decoded = judgement.probe.decoded
    length = decoded.layout.length if isinstance(decoded, Decoded) else 15
    places = _places()
    for deviation in judgement.deviations:
        if not is_visible(judgement, deviation.observable):
            reasons.append(f"{deviation.observable}: {UNSEEN[deviation.observable]}")
            continue
        state = realised(judgement, deviation, assumptions)
        if isinstance(state, str):
            reasons.append(state)
        else:
            situation = situation_of(judgement.probe.data[:length], state, places)
            found.append(Staged(deviation.observable, situation, state.moved, state.rests_on))
    return found, list(dict.fromkeys(reasons))


def _places() -> Places:
    text = code_text((b"\x90",))
    with image((text,)) as (_, descriptor), Tracee(descriptor, len(text)) as child:
        return component_offsets(child)


def situation_of(encoding: bytes, state: Realised, places: Places) -> Situation:
    """The state as the kernel's judge takes it."""
    values = state.values
    flags = sum(values.get(n, 0) << position for n, position in FLAG_BITS.items())
    registers = {"eflags": flags | FIXED_FLAGS, **{n: values.get(n, 0) for n in ("fs_base", "gs_base")}}
    registers |= dict(zip(GPRS, values.get("gprs", ()), strict=False))
    if "gprs" not in values:  # it does not matter, but a stack there must be
        registers["rsp"] = 0x7FFD_1234_5000
    memory = dict(sorted(state.memory, key=lambda piece: len(piece[1])))  # the longest of those at one address
    return Situation(encoding, values["origin"], registers, memory, dict(_image(values, places)))


def _image(values: Mapping[str, Any], places: Places) -> Iterator[tuple[int, bytes]]:
    """Pieces of the xsave image by offset (SDM vol. 1, 13.4)."""
    if "mxcsr" in values:
        yield 24, (values["mxcsr"] & MXCSR_BITS).to_bytes(4, "little")
    if "x87" in values:
        yield from _x87(values["x87"])
    if "masks" in values and "mask" in places:
        yield places["mask"][0], b"".join(k.to_bytes(8, "little") for k in values["masks"])
    for number, vector in enumerate(values.get("vectors", ())):
        data = vector.to_bytes(64, "little")
        if number >= 16:
            if "zmm-high" in places:
                yield places["zmm-high"][0] + 64 * (number - 16), data
            continue
        yield 160 + 16 * number, data[:16]
        if "ymm" in places:
            yield places["ymm"][0] + 16 * number, data[16:32]
        if "zmm-low" in places:
            yield places["zmm-low"][0] + 32 * number, data[32:]


def _x87(word: int) -> Iterator[tuple[int, bytes]]:
    """Control, status, abridged tag and registers of the semantics' x87 word."""
    tags = sum(1 << i for i in range(8) if word >> 32 + 2 * i & 3 != 3)
    yield 0, (word & 0xFFFFFFFF).to_bytes(4, "little") + bytes((tags,))
    for i in range(8):
        yield 32 + 16 * i, (word >> 48 + 80 * i & (1 << 80) - 1).to_bytes(10, "little")


def confirmation(data: bytes, judgement: Judgement, assumptions: frozenset[str]) -> str:
    """What the running kernel says of one encoding, in a line.  Raises UprobesUnavailable."""
    with KernelJudge() as kernel:
        reasons: list[str] = []
        if judgement.verdict is Verdict.REFUTED:
            states, reasons = staged(judgement, assumptions)
            for state in states:
                try:
                    found = compared_in(state.situation)
                except (NotReproducible, OSError) as error:
                    reasons.append(str(error))
                    continue
                if found.deviations:
                    return _confirmed(state, found)
                rests = f", where {', '.join(state.rests_on)} decide" if state.rests_on else ""
                reasons.append(f"identical in the state of {state.observable}{rests}")
        found = next(iter(kernel.compare(iter([data]))))
    return _in_standard_states(judgement, found, reasons)


def _confirmed(state: Staged, found: Comparison) -> str:
    where = "the counterexample's state" + (", its addresses moved to where a program can have them" * state.moved)
    first = found.deviations[0].difference
    return f"confirmed: deviates in {', '.join(found.observables)} in {where}: {first.detail}"


def _in_standard_states(judgement: Judgement, found: Comparison, reasons: list[str]) -> str:
    """The answer where the counterexample's own state said nothing."""
    said, seen = predicted(judgement), found.result
    where = f" in {', '.join(found.observables)}" if found.observables else ""
    why = f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""
    if seen == said == "deviates":
        return f"confirmed: deviates{where} in the judge's state {found.deviations[0].state!r}{why}"
    unseen = judgement.verdict is Verdict.REFUTED and said == seen == "identical"
    if unseen:
        return f"not reproducible here: all else identical in the judge's standard states{why}"
    if seen == said:
        number = f" with errno {found.errno}" if found.errno else " in the judge's standard states"
        return f"confirmed: {seen}{number}{why}"
    if said == "deviates" and seen == "identical":
        if any(r.startswith("identical in") and "decide" not in r for r in reasons):
            return f"contradicted: the model says deviates, the kernel identical{why}"
        return f"not reproducible here: identical{why}"
    if said is None:
        return f"not reproducible here: the model says nothing of it; the kernel: {seen}{where}"
    return f"contradicted: the model says {said}, the kernel {seen}{where}"


def write_reproducer(
    directory: Path, data: bytes, judgement: Judgement, assumptions: frozenset[str], summary: str
) -> tuple[tuple[Path, Path], str]:
    """A C program and a shell script that show the deviation, and in which state they do."""
    states, reasons = staged(judgement, assumptions) if judgement.verdict is Verdict.REFUTED else ([], [])
    for state in states:
        try:
            return emit(directory, state.situation, summary), f"the counterexample's state ({state.observable})"
        except NotReproducible as error:
            reasons.append(str(error))
    text = code_text((b"\x90",))
    with image((text,)) as (_, descriptor), Tracee(descriptor, len(text)) as child:
        plain = next(iter(standard_states(child)))
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return emit(directory, standard_situation(data, CODE + 2 * LAYOUT.stride, plain), summary), f"the plain state{why}"
