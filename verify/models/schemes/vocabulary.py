"""What the expressions of plans speak of: ordinary terms (`verify.terms`) over the variables that `VOCABULARY` names.

`NOW` is the state as the host finds it when it evaluates the expression, `first` says the same of the state at the hit.
Nothing here belongs to one implementation.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Final

from verify import terms
from verify.models.x86.machine import State, component_sort
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
AT_IP: Final = var("fault.at_ip", 1)  # the program is told the address of the instruction
FAULT_TARGETS: Final = {"vector": 8, "error": 32, "reported": 64}  # bits; what the program is told of a fault
OWN: Final = "scheme_"  # begins the names of values that the host alone knows
_NAMED: Final = {"ORIGIN", "SLOT", "LENGTH", "fault.vector", "fault.error", "fault.address", "fault.at_ip"}
VOCABULARY: Final = frozenset(_NAMED | {f"{when}.{n}" for when in ("now", "first") for n in COMPONENTS})
WHOLE: Final = 16  # bytes that are copied from the original at most


def register(number: int) -> Term:
    """General register 0..15 as it is now, 64 bits."""
    return terms.select(NOW.gprs, const(number, 4))


def first(expression: Term) -> Term:
    """The same expression of the state at the moment of the hit."""
    return terms.substitute((expression,), {getattr(NOW, n): getattr(FIRST, n) for n in COMPONENTS})[0]


def field(offset: int, size: int) -> Term:
    """The signed little-endian field of the original bytes, 64 bits; offset and size (1, 2, 4, 8) in bytes."""
    if not (offset >= 0 and size in {1, 2, 4, 8} and offset + size <= WHOLE):
        raise ValueError(f"a field must lie in {WHOLE} bytes, got offset {offset} size {size}")
    return var(f"field.{offset}.{size}", 64)


def loaded(name: str, size: int) -> Term:
    """What `Load` has read under that name: 8 * size bits."""
    return var(f"loaded.{name}", 8 * size)


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
        if t.op == "uf" and not str(t.params[0]).startswith(OWN):
            raise ValueError(f"an expression knows no function {t.params[0]}")
        if t.op == "var" and not str(t.params[0]).startswith(("field.", "loaded.")) and t.params[0] not in VOCABULARY:
            raise ValueError(f"an expression knows no variable {t.params[0]}")
