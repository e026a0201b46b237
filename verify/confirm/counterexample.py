"""A counterexample on the machine: its own state is run without and with a real uprobe.

Decides: confirmed, not reproducible here (with the reason), or contradicted.  A state that no program can be in is
moved to addresses that one can have (`verify.judge.concretise`); where that is impossible the judge's standard states
are run, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from verify.claim.verdicts import Verdict
from verify.confirm.kernel import UNSEEN, is_visible, machine_cpu, predicted
from verify.judge.concretise import PAGE, RSP, STACK, Concretised, concretised
from verify.judge.encoding import Judgement
from verify.live.capabilities import processor, visible
from verify.live.descriptors import STACK_SELECTOR
from verify.live.executor.state import GPR_NAMES, RFLAGS_FIXED
from verify.live.kernel.compat_process import CompatUnavailable, mapped_in_32_bits
from verify.live.kernel.handling import SlotUnreadable, manners
from verify.live.kernel.judge import KernelComparison, KernelJudge, idle_child
from verify.live.kernel.kinds import CODE_32_SELECTOR
from verify.live.kernel.one_state import NotReproducible, Situation, compared_in
from verify.live.kernel.state import component_offsets
from verify.live.needs import absent, lacks
from verify.live.uprobe import missing
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.machine import FLAG_BITS
from verify.terms.evaluation import Value, number, register_file

UNDEFINED: Final = ("ud0", "ud1", "ud2")
ATTEMPTS: Final = 3  # a context switch can hide x87 pointers: NOTE(x87-pointers)
CODE_SEGMENT: Final = "code_selector."  # functions that say what the descriptor tables answer to a far pointer
DATA_SELECTOR: Final = "selector_fault"  # what they answer to a selector of data
TO_DATA: Final = ", a selector of data in memory"
TO_32_BITS: Final = ", its far pointer to the 32-bit code segment, its stack below 4 GiB"
LOW_STACK: Final = 0x3200_0000  # a page that nothing else of a state is in
NEAR: Final = 0x100  # bytes from rsp that are taken for its stack
Pieces = tuple[tuple[int, bytes], ...]  # memory by address
Places = Mapping[str, tuple[int, int]]  # component -> offset and size in the xsave image


@dataclass(frozen=True, slots=True)
class Staged:
    """A counterexample's state, ready to be run, and how it differs from the one that is shown."""

    observable: str
    situation: Situation
    text: str
    rests_on: tuple[str, ...]


def staged(
    judgement: Judgement, assumptions: frozenset[str], unseen: frozenset[str] = frozenset(UNSEEN)
) -> tuple[list[Staged], list[str]]:
    """The states of a judgement's deviations that a program can be in; why the others cannot be set up.

    `unseen`: observables of which no state is made where the judge's states would not show them.
    """
    found: list[Staged] = []
    reasons: list[str] = []
    places = _places()
    for deviation in judgement.deviations:
        if deviation.observable in unseen and not is_visible(judgement, deviation.observable):
            reasons.append(f"{deviation.observable}: {UNSEEN[deviation.observable]}")
            continue
        state = concretised(judgement, deviation, assumptions)
        if isinstance(state, str):
            reasons.append(f"{deviation.observable}: {state}")
        else:
            found += _variants(judgement, state, places)
    return found, list(dict.fromkeys(reasons))


def _variants(judgement: Judgement, state: Concretised, places: Places) -> Iterator[Staged]:
    """The state; and without the memory that only the displaced copy accesses, so that a wrong address shows.

    Where the code segment decides, the far pointer leads to the 32-bit one first: a counterexample takes any segment.
    Where a selector of data does, it is first one that every segment register takes.
    """
    text = "the counterexample's state" + ", its addresses moved to where a program can have them" * state.moved
    if any(name.startswith(CODE_SEGMENT) for name in state.rests_on):
        yield from _with_spare(judgement, _to_32_bits(state), places, text + TO_32_BITS)
    if DATA_SELECTOR in state.rests_on:
        memory, spare = (_with_selector(pieces, STACK_SELECTOR) for pieces in (state.memory, state.spare))
        yield from _with_spare(judgement, replace(state, memory=memory, spare=spare), places, text + TO_DATA)
    yield from _with_spare(judgement, state, places, text)


def _to_32_bits(state: Concretised) -> Concretised:
    """The state with the 32-bit code segment in every selector that is read from memory, and its stack below 4 GiB.

    A far call to that segment pushes at the low half of rsp (SDM vol. 2, CALL).
    """
    gprs = list(register_file(state.values["gprs"]))
    rsp = gprs[RSP]
    gprs[RSP] = LOW_STACK + rsp % PAGE

    def chosen(pieces: Pieces) -> Pieces:
        moved = ((at - rsp + gprs[RSP] if abs(at - rsp) < NEAR else at, data) for at, data in pieces)
        return _with_selector(tuple(moved), CODE_32_SELECTOR)

    values = {**state.values, "gprs": tuple(gprs)}
    return replace(state, values=values, memory=chosen(state.memory), spare=chosen(state.spare))


def _with_selector(pieces: Pieces, selector: int) -> Pieces:
    """The memory with every piece of 2 bytes made the selector."""
    return tuple((at, selector.to_bytes(2, "little") if len(data) == 2 else data) for at, data in pieces)


def _with_spare(judgement: Judgement, state: Concretised, places: Places, text: str) -> Iterator[Staged]:
    decoded = judgement.probe.decoded
    assert isinstance(decoded, Decoded)
    encoding = judgement.probe.data[: decoded.layout.length + len(judgement.probe.followed_by)]
    for spare in (True, False) if state.spare else (True,):
        situation = situation_of(encoding, state, places, spare)
        more = "" if spare else ", what only the displaced copy accesses left unmapped"
        yield Staged(state.observable, situation, text + more, state.rests_on)


def _places() -> Places:
    with idle_child() as child:
        return component_offsets(child)


def situation_of(encoding: bytes, state: Concretised, places: Places, spare: bool) -> Situation:
    """The state as the kernel's judge takes it; `spare`: with the memory that only the displaced copy accesses."""
    values = state.values
    flags = sum(number(values.get(n, 0)) << position for n, position in FLAG_BITS.items())
    registers = {"eflags": flags | RFLAGS_FIXED, **{n: number(values.get(n, 0)) for n in ("fs_base", "gs_base")}}
    anything = tuple(STACK if name == "rsp" else 0x1100 * (i + 1) for i, name in enumerate(GPR_NAMES))
    registers |= dict(zip(GPR_NAMES, register_file(values.get("gprs", anything)), strict=True))
    pieces = (*state.memory, *(state.spare if spare else ()))
    memory = dict(sorted(pieces, key=lambda piece: len(piece[1])))  # the longest of those at one address
    return Situation(encoding, number(values["origin"]), registers, memory, dict(_image(values, places)))


def _image(values: Mapping[str, Value], places: Places) -> Iterator[tuple[int, bytes]]:
    """Pieces of the xsave image by offset (SDM vol. 1, 13.4)."""
    if "mxcsr" in values:
        yield 24, (number(values["mxcsr"]) & visible().mxcsr_mask).to_bytes(4, "little")
    if "x87" in values:
        yield from _x87(number(values["x87"]))
    if "masks" in values and "mask" in places:
        yield places["mask"][0], b"".join(k.to_bytes(8, "little") for k in register_file(values["masks"]))
    for i, vector in enumerate(register_file(values.get("vectors", ()))):
        data = vector.to_bytes(64, "little")
        if i >= 16:
            if "zmm-high" in places:
                yield places["zmm-high"][0] + 64 * (i - 16), data
            continue
        yield 160 + 16 * i, data[:16]
        if "ymm" in places:
            yield places["ymm"][0] + 16 * i, data[16:32]
        if "zmm-low" in places:
            yield places["zmm-low"][0] + 32 * i, data[32:]


def _x87(word: int) -> Iterator[tuple[int, bytes]]:
    """Control, status, abridged tag and registers of the semantics' x87 word."""
    tags = sum(1 << i for i in range(8) if word >> 32 + 2 * i & 3 != 3)
    yield 0, (word & 0xFFFFFFFF).to_bytes(4, "little") + bytes((tags,))
    for i in range(8):
        yield 32 + 16 * i, (word >> 48 + 80 * i & (1 << 80) - 1).to_bytes(10, "little")


def confirmed_state(
    states: list[Staged], reasons: list[str], assumptions: frozenset[str] = ASSUMPTIONS
) -> tuple[Staged, KernelComparison] | None:
    """The first state in which the kernel deviates; what the others showed is added to the reasons."""
    for state in states:
        try:
            for _ in range(ATTEMPTS):
                found = compared_in(state.situation, dropped=ASSUMPTIONS - assumptions)
                if found.deviations:
                    return state, found
        except (NotReproducible, OSError) as error:
            reasons.append(f"{state.observable}: {error}")
            continue
        if not found.valid and not is_undefined_everywhere(state.situation.encoding):
            reasons.append(f"{state.observable}: this processor does not know the instruction (#UD in both places)")
            continue
        rests = f", where {', '.join(state.rests_on)} decides" if state.rests_on else ""
        reasons.append(f"identical in the state of {state.observable}{rests}")
    return None


def is_undefined_everywhere(encoding: bytes) -> bool:
    """Whether the encoding is one of UD0, UD1 and UD2, which every processor knows as undefined (SDM vol. 2, UD)."""
    decoded = decode(encoding, machine_cpu())
    return isinstance(decoded, Decoded) and decoded.form.opcode.mnemonic in UNDEFINED


def confirmation(data: bytes, judgement: Judgement, assumptions: frozenset[str], verdict: str) -> str:
    """What the running kernel says of one encoding, in a line; `verdict`: that over all vendors asked for.

    Raises UprobesUnavailable.
    """
    if "analysed-as-64-bit" not in assumptions:
        return _where_a_32_bit_process_maps_it(data, judgement)
    with KernelJudge() as kernel:
        reasons: list[str] = []
        if judgement.verdict is Verdict.REFUTED:
            states, reasons = staged(judgement, assumptions)
            shown = confirmed_state(states, reasons, assumptions)
            if shown is not None:
                state, found = shown
                first = found.deviations[0].difference
                return f"confirmed: deviates in {', '.join(found.observables)} in {state.text}: {first.detail}"
        found = next(iter(kernel.compare(iter([data]))))
    text = _in_standard_states(judgement, found, reasons)
    if verdict == "refuted" and judgement.verdict is not Verdict.REFUTED:
        return f"not reproducible here: refuted for the other vendor's processors; for this one {text}"
    return text


def _where_a_32_bit_process_maps_it(data: bytes, judgement: Judgement) -> str:
    """What the kernel does with the encoding when it was analysed for a 32-bit process first."""
    where = "where a 32-bit process has the file mapped"
    with KernelJudge():
        try:
            found = next(iter(manners([data], mapped_in_32_bits)))
        except (CompatUnavailable, SlotUnreadable) as error:
            return f"not reproducible here: {error}"
    said, seen = predicted(judgement), "refused" if found.errno else "deviates" if found.shown else "identical"
    text = f"{seen}{' in ' + ', '.join(found.shown) if found.shown else ''} {where}: {found.text}"
    if said == seen:
        return f"confirmed: {text}"
    if said == "deviates" and seen == "identical":
        return f"not reproducible here: {text}; of the judge's plain state the registers alone are compared"
    return f"contradicted: the model says {said or 'nothing'}, the kernel {text}"


def not_on_this_processor(data: bytes) -> str:
    """Why nothing can be confirmed of an instruction that the processor lacks, in a line; empty where it has it.

    Where it is undefined here and the kernel emulates it all the same, that is said too.
    """
    names = absent(data)
    if not names:
        return ""
    text = f"not reproducible here: {lacks(names)}"
    if missing() or processor().absent(names) != names:  # nobody can look, or it is there and hidden
        return text
    with KernelJudge() as kernel:
        found = next(iter(kernel.compare(iter([data]))))
    runs_on = not found.valid and "fault" in found.observables
    return text + "; it is undefined here, and a program runs on when probed" * runs_on


def _in_standard_states(judgement: Judgement, found: KernelComparison, reasons: list[str]) -> str:
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
        if any(r.startswith("identical in") and "decides" not in r for r in reasons):
            return f"contradicted: the model says deviates, the kernel identical{why}"
        return f"not reproducible here: identical{why}"
    if said is None:
        return f"not reproducible here: the model says nothing of it; the kernel: {seen}{where}"
    return f"contradicted: the model says {said}, the kernel {seen}{where}"
