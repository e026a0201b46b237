"""Elements that an opmask leaves out: unchanged or zeroed in registers, not accessed in memory.

The routed semantics say only that the mask decides.  Which element size it counts in, and whether faults of elements
that it leaves out are suppressed (SDM vol. 2, 2.8, exception classes E4 and E4NF), is found from an opcode's first
batch of trials; all trials, those and later ones, must then keep to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from verify.live.differential.expectation import Expected
from verify.live.differential.prediction import Bytes, faulting
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.fields import Fields, fields, operand_register
from verify.models.x86.isa.forms import Addressing, Opcode
from verify.models.x86.semantics.operands import VECTOR_WIDTH

if TYPE_CHECKING:
    from verify.live.differential.comparison import Comparison

SIZES: Final = (8, 16, 32, 64)  # bits
COMPRESSING: Final = ("vcompress", "vpcompress")  # their results are not in the elements' places
BLENDING: Final = ("vblendm", "vpblendm")  # what is left out comes from the first source, SDM vol. 2, VPBLENDMD
PACKED: Final = (*COMPRESSING, "vexpand", "vpexpand")  # nor are their elements in memory
SCALAR: Final = ("ss", "sd", "sh")
ENOUGH: Final = 4  # trials that tell the hypotheses apart before one of them is held to
_FOUND: dict[tuple[str, str], object] = {}  # opcode, what -> the hypothesis that held


def forget_hypotheses() -> None:
    """Drops what was found of opcodes."""
    _FOUND.clear()


Verdicts = Mapping[object, bool]  # hypothesis -> whether the trial keeps to it


def left_out(mask: int, size: int, width: int, scalar: bool) -> int:
    """Ones over the elements of `size` bits that a mask leaves out of `width` bits."""
    element, lanes = (1 << size) - 1, 0
    for n in range(1 if scalar else width // size):
        if not mask >> n & 1:
            lanes |= element << size * n
    return lanes


def is_scalar(opcode: Opcode) -> bool:
    """Whether only the lowest element is masked."""
    return opcode.mnemonic.endswith(SCALAR) and not opcode.mnemonic.startswith("vp")


def broken(what: str, opcode: Opcode, trials: Mapping[int, Verdicts]) -> list[int]:
    """The trials that do not keep to the opcode's hypothesis; none while no hypothesis is settled."""
    key = (opcode.name, what)
    if key not in _FOUND:
        kept: Counter[object] = Counter()
        telling = 0
        for verdicts in trials.values():
            kept.update(h for h, holds in verdicts.items() if holds)
            telling += len(set(verdicts.values())) > 1 or not any(verdicts.values())
        best = kept.most_common(2)
        if telling < ENOUGH or not best or (len(best) == 2 and best[0][1] == best[1][1]):
            return []  # not told apart yet
        _FOUND[key] = best[0][0]
    chosen = _FOUND[key]
    return [i for i, verdicts in trials.items() if not verdicts[chosen]]


def register_trials(comparison: Comparison, i: int, decoded: Decoded) -> Iterator[tuple[str, Verdicts, int, int]]:
    """Of a completed trial: component, what each element size says of it, register before, register after."""
    opcode, parts = decoded.form.opcode, fields(decoded)
    mask = _mask(comparison, i, parts)
    in_memory = "_or_mem" in opcode.op_kinds[0] and decoded.form.addressing is not Addressing.REG
    if mask is None or in_memory or not opcode.op_kinds[0].startswith(("k", "xmm", "ymm", "zmm")):
        return
    register_class, number = operand_register(opcode, 0, parts)
    n = int(number.value or 0)
    if register_class == "k":
        after = comparison.seen.file(i, "masks")[n]
        yield f"masks{n}", {0: not after & ~mask}, comparison.input.file(i, "masks")[n], after
    elif register_class in VECTOR_WIDTH and not opcode.mnemonic.startswith(COMPRESSING):
        width = VECTOR_WIDTH[register_class]
        before, after = comparison.input.file(i, "vectors")[n], comparison.seen.file(i, "vectors")[n]
        if opcode.mnemonic.startswith(BLENDING):
            before = comparison.input.file(i, "vectors")[int(operand_register(opcode, 1, parts)[1].value or 0)]
        wanted = 0 if parts.z.value else before
        holds: dict[object, bool] = {}
        for size in SIZES:
            for part in (width, width // 2, width // 4, width // 8):  # narrowing conversions fill a part of it
                lanes = left_out(mask, size, part, is_scalar(opcode)) if part >= size else 0
                rest = ((1 << width) - 1) ^ ((1 << part) - 1)
                holds[size, part] = part >= size and not (after ^ wanted) & lanes and not after & rest
        yield f"vectors{n}", holds, before, after


def store_verdicts(comparison: Comparison, i: int, decoded: Decoded, expected: Expected) -> Verdicts | None:
    """What each element size says of a masked store that completed: bytes left out are as before."""
    mask = _mask(comparison, i, fields(decoded))
    if mask is None or expected.masked is None or not expected.masked[2]:
        return None
    if decoded.form.opcode.mnemonic.startswith(PACKED):
        return None
    address, size, _ = expected.masked
    if faulting(address, size, 1, None) is not None:
        return None
    background = comparison.input.background
    before = Bytes(comparison.input.memory.get(i, {}), background).load(address, size)
    after = Bytes(comparison.seen.memory.get(i, {}), background).load(address, size)
    return {element: not (before ^ after) & left_out(mask, element, 8 * size, scalar=False) for element in SIZES}


def memory_verdicts(
    comparison: Comparison, i: int, decoded: Decoded, expected: Expected, faulted: bool
) -> Verdicts | None:
    """What each hypothesis says of a trial whose masked operand lies partly in memory that cannot be accessed."""
    parts = fields(decoded)
    mask = _mask(comparison, i, parts)
    if mask is None or expected.masked is None or parts.broadcast.value == 1:
        return None
    if decoded.form.opcode.mnemonic.startswith(PACKED):
        return None
    address, size, write = expected.masked
    if faulting(address, size, write, None) is None:
        return None
    found: dict[object, bool] = {"not suppressed": faulted}
    for element in SIZES:
        lanes = (1 << 8 * size) - 1 & ~left_out(mask, element, 8 * size, scalar=False)
        reached = faulting(address, size, write, lanes) is not None if lanes else False
        found[element] = reached == faulted
    return found


def _mask(comparison: Comparison, i: int, parts: Fields) -> int | None:
    """The opmask in use; None without one."""
    number = parts.aaa.value
    if not number:
        return None
    return int(comparison.input.file(i, "masks")[number])
