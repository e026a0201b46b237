"""What the expressions of plans speak of: ordinary terms (`verify.terms`) over the variables that `VOCABULARY` names.

`NOW` is the state as the host finds it when it evaluates the expression, `first` says the same of the state at the hit.
Nothing here belongs to one implementation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Final

from verify import terms
from verify.models.x86.machine import STATUS, State, component_sort
from verify.terms import Sort, Term, const, postorder, uf, var

ORIGIN: Final = var("ORIGIN", 64)  # address of the probed instruction
SLOT: Final = var("SLOT", 64)  # address of the first byte that runs displaced
LENGTH: Final = var("LENGTH", 64)  # bytes of the instruction, as the implementation's decoder sees it
COMPONENTS: Final = tuple(f.name for f in fields(State))
NOW: Final = State(**{n: var(f"now.{n}", component_sort(n)) for n in COMPONENTS})
FIRST: Final = State(**{n: var(f"first.{n}", component_sort(n)) for n in COMPONENTS})
IP, TF = NOW.ip, NOW.tf
# The fault that `on_fault` and the `otherwise` of an access made for the program find pending.
VECTOR: Final = var("fault.vector", 8)
ERROR: Final = var("fault.error", 32)
FAULT_ADDRESS: Final = var("fault.address", 64)  # the data address, else 0
ERROR_AS_USER: Final = var("fault.as_user", 32)  # the error code, with U/S set where it is of a page fault
AT_IP: Final = var("fault.at_ip", 1)  # the program is told the address of the instruction
FAULT_TARGETS: Final = {"vector": 8, "error": 32, "reported": 64}  # bits; what the program is told of a fault
UNDEFINED: Final = "undefined_"  # begins the names of what the manual leaves undefined
OWN: Final = "scheme_"  # begins the names of values that the host alone knows
_FAULT: Final = {f"fault.{n}" for n in ("vector", "error", "as_user", "address", "at_ip")}
_NAMED: Final = {"ORIGIN", "SLOT", "LENGTH", *_FAULT}
VOCABULARY: Final = frozenset(_NAMED | {f"{when}.{n}" for when in ("now", "first") for n in COMPONENTS})
_OPERANDS: Final = ("offset.", "segment.", "number.")  # begin the names of what ModRM and register fields say
_WIDTHS: Final = {"offset": 64, "segment": 1}
PARTS: Final = ("reg", "rm", "opcode")  # ModRM.reg, ModRM.rm of a register, the low bits of the opcode
WHOLE: Final = 16  # bytes that are copied from the original at most


def register(number: int) -> Term:
    """General register 0..15 as it is now, 64 bits."""
    return terms.select(NOW.gprs, const(number, 4))


def first(expression: Term) -> Term:
    """The same expression of the state at the moment of the hit; ValueError where an offset of now is in it."""
    if any((spot := spot_of(v)) is not None and spot.part == "offset" for v in variables(expression)):
        raise ValueError("an operand's offset is that of the registers now")
    return terms.substitute((expression,), {getattr(NOW, n): getattr(FIRST, n) for n in COMPONENTS})[0]


def field(offset: int, size: int) -> Term:
    """The signed little-endian field of the original bytes, 64 bits; offset and size (1, 2, 4, 8) in bytes."""
    if not (offset >= 0 and size in {1, 2, 4, 8} and offset + size <= WHOLE):
        raise ValueError(f"a field must lie in {WHOLE} bytes, got offset {offset} size {size}")
    return var(f"field.{offset}.{size}", 64)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an operand's bits lie in the original, offsets in bytes; -1: there is none such."""

    part: str  # one of PARTS; "offset": the address that ModRM, SIB and displacement say; "segment": through SS
    at: int  # of ModRM, or of the opcode's last byte
    rex_at: int = -1
    payload_at: int = -1  # of the byte of VEX, XOP or EVEX that extends registers

    def __post_init__(self) -> None:
        if not (0 <= self.at < WHOLE and self.part in {*PARTS, *_WIDTHS}):
            raise ValueError(f"an operand lies in {WHOLE} bytes, got {self}")


def offset(modrm_at: int, rex_at: int = -1, payload_at: int = -1) -> Term:
    """The offset of the ModRM operand from registers as they are now, 64 bits, not cut to the address size.

    A rip-relative one is relative to `ORIGIN`.  No segment base is in it (SDM vol. 1, 3.7.5).
    """
    return _operand(Spot("offset", modrm_at, rex_at, payload_at))


def through_stack(modrm_at: int, rex_at: int = -1, payload_at: int = -1) -> Term:
    """One bit: the default segment of the ModRM operand is SS (SDM vol. 1, table 3-5)."""
    return _operand(Spot("segment", modrm_at, rex_at, payload_at))


def number(part: str, at: int, rex_at: int = -1, payload_at: int = -1) -> Term:
    """The number of the general register in a field of the original, 4 bits with its extension (SDM vol. 2, 2.2.1)."""
    return _operand(Spot(part, at, rex_at, payload_at))


def _operand(spot: Spot) -> Term:
    places = f"{spot.at}.{spot.rex_at}.{spot.payload_at}"
    if spot.part in _WIDTHS:
        return var(f"{spot.part}.{places}", _WIDTHS[spot.part])
    return var(f"number.{spot.part}.{places}", 4)


def spot_of(variable: Term) -> Spot | None:
    """Where the bits lie, where the variable is an operand of the original."""
    name = str(variable.params[0])
    if not name.startswith(_OPERANDS):
        return None
    parts = name.split(".")
    part = parts[0] if parts[0] in _WIDTHS else parts[1]
    at, rex_at, payload_at = map(int, parts[-3:])
    return Spot(part, at, rex_at, payload_at)


def loaded(name: str, size: int) -> Term:
    """What `Load` has read under that name: 8 * size bits."""
    return var(f"loaded.{name}", 8 * size)


def undefined(flag: str, operation: str, *reads: Term) -> Term:
    """One bit: a flag that the manual leaves undefined, as the processor's own unit leaves it of these operands.

    A host that lets the processor do the operation on them has it, whatever it is.
    """
    before = terms.concat(*(getattr(FIRST, name) for name in STATUS))
    return uf(f"{UNDEFINED}{flag}_{operation}_{'_'.join(str(r.width) for r in reads)}", 1, *reads, before)


def cut(value: Term, size: int) -> Term:
    """What an implementation stores of a value of 64 bits in `size` bytes without looking whether it fits, as read."""
    return terms.sext(terms.extract(value, 8 * size - 1, 0), 64)


def own(name: str, sort: Sort) -> Term:
    """A value that the host alone knows; nothing is assumed of it."""
    return uf(OWN + name, sort)


def sort_of(target: str | int) -> Sort:
    """The sort of what `Set` writes; ValueError where there is no such thing."""
    if isinstance(target, int):
        if not 0 <= target < 16:
            raise ValueError(f"general registers are 0..15, got {target}")
        return 64
    if target in FAULT_TARGETS:
        return FAULT_TARGETS[target]
    if target not in COMPONENTS:
        raise ValueError(f"the state has no component {target}")
    return component_sort(target)


@cache
def variables(expression: Term) -> frozenset[Term]:
    """The variables that an expression names."""
    return frozenset(t for t in postorder((expression,)) if t.op == "var")


def field_of(variable: Term) -> tuple[int, int] | None:
    """Offset and size in bytes, where the variable is a field of the original bytes."""
    name = str(variable.params[0])
    if not name.startswith("field."):
        return None
    _, offset, size = name.split(".")
    return int(offset), int(size)


def check(expression: Term) -> None:
    """ValueError where the term is no expression of the language."""
    for t in postorder((expression,)):
        if t.op == "uf" and not str(t.params[0]).startswith((OWN, UNDEFINED)):
            raise ValueError(f"an expression knows no function {t.params[0]}")
        free = ("field.", "loaded.", *_OPERANDS)
        if t.op == "var" and not str(t.params[0]).startswith(free) and t.params[0] not in VOCABULARY:
            raise ValueError(f"an expression knows no variable {t.params[0]}")
