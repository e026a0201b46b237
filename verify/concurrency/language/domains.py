"""Domains: the finite sets of values that a protocol's variables range over.

Decides which declarations are finite and which values belong; says nothing about steps or about how values are stored.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Value = int | bool | str | None
Type = str | tuple[str, ...]
"""Type of an expression: "int", "bool", "thread", or the labels of an enumeration."""

INT: Final = "int"
BOOL: Final = "bool"
THREAD: Final = "thread"


class ProtocolError(ValueError):
    """A protocol that is not a finite, deterministic description; the message names the step and the variable."""


class DomainOverflow(ProtocolError):
    """A step assigns a value outside the variable's domain in a reachable state."""

    def __init__(self, step: str, variable: str, value: object) -> None:
        super().__init__(f"domain overflow: step {step} assigns {value} to {variable}")
        self.step, self.variable, self.value = step, variable, value


class TooLarge(ProtocolError):
    """A model that does not fit into the memory of a run."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named constant of a protocol with its default; a bool is a flag. Variants and callers replace the value."""

    name: str
    default: int | bool

    def __repr__(self) -> str:
        return self.name

    def __add__(self, other: int) -> Offset:
        return Offset(self, other)

    def __sub__(self, other: int) -> Offset:
        return Offset(self, -other)

    @property
    def type(self) -> Type:
        """A truth value where the default is one, else an integer."""
        return BOOL if isinstance(self.default, bool) else INT

    def __index__(self) -> int:
        return int(self.default)

    @property
    def origin(self) -> Parameter:
        """The parameter itself; of an `Offset`, the parameter that it counts from."""
        return self

    def at(self, values: Mapping[str, int]) -> int:
        """The number, where the parameters have these values."""
        return values[self.name]


@dataclass(frozen=True, slots=True)
class Offset:
    """A size beside a parameter: `K - 1`, `R + 2`."""

    origin: Parameter
    offset: int

    def __repr__(self) -> str:
        return f"{self.origin} {'+' if self.offset >= 0 else '-'} {abs(self.offset)}"

    def __index__(self) -> int:
        return int(self.origin.default) + self.offset

    def at(self, values: Mapping[str, int]) -> int:
        """The number, where the parameters have these values."""
        return values[self.origin.name] + self.offset


Size = Parameter | Offset


def size(bound: int | Size, values: Mapping[str, int]) -> int:
    """`bound` as a number."""
    return bound.at(values) if isinstance(bound, Size) else bound


class Start(enum.Enum):
    """Initial values that are not one for all: `ANY` of the domain, each an initial state of its own; of a thread, its
    `NUMBER` (from 0), or the `NEXT` or the `PREVIOUS` thread in a ring. Threads with numbers cannot be exchanged."""

    ANY = "ANY"
    NUMBER = "NUMBER"
    NEXT = "NEXT"
    PREVIOUS = "PREVIOUS"

    @property
    def by_thread(self) -> bool:
        """Whether it differs from thread to thread."""
        return self is not Start.ANY


ANY, NUMBER, NEXT, PREVIOUS = Start


@dataclass(frozen=True, slots=True)
class Bounded:
    """Integers lo..hi, both included; starts at `initial` (default lo).

    `first` is where one thread, any one of them, starts instead (per-thread variables only).
    """

    lo: int | Size
    hi: int | Size
    initial: int | Size | Start | None = None
    first: int | Size | None = None

    def __post_init__(self) -> None:
        _start(self.initial, Start.ANY, Start.NUMBER, first=self.first)
        for bound in (self.lo, self.hi):
            if isinstance(bound, bool) or not isinstance(bound, int | Size):
                raise ProtocolError(f"unbounded: the bounds must be integers or parameters, got {bound!r}")

    @property
    def type(self) -> Type:
        """Integers."""
        return INT


@dataclass(frozen=True, slots=True, init=False)
class Enum:
    """Named values, written as strings in steps; starts at `initial` (default the first)."""

    labels: tuple[str, ...]
    initial: str | Start | None
    first: str | None

    def __init__(self, *labels: str, initial: str | Start | None = None, first: str | None = None) -> None:
        _start(initial, Start.ANY, first=first)
        if not labels or len(set(labels)) != len(labels) or not all(isinstance(label, str) for label in labels):
            raise ProtocolError(f"an enumeration needs distinct names, got {labels!r}")
        for start in (initial, first):
            if start is not None and start is not Start.ANY and start not in labels:
                raise ProtocolError(f"initial value {start!r} is not one of {labels!r}")
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "initial", initial)
        object.__setattr__(self, "first", first)

    @property
    def type(self) -> Type:
        """The labels."""
        return self.labels


@dataclass(frozen=True, slots=True)
class Bool:
    """False or True; starts at False."""

    initial: bool | Start = False
    first: bool | None = None

    def __post_init__(self) -> None:
        _start(self.initial, Start.ANY, first=self.first)

    @property
    def type(self) -> Type:
        """Truth values."""
        return BOOL


@dataclass(frozen=True, slots=True)
class ThreadId:
    """None or one of the threads; starts at None. Only equality is defined on it, which keeps threads symmetric."""

    initial: Start | None = None

    def __post_init__(self) -> None:
        _start(self.initial, Start.ANY, Start.NEXT, Start.PREVIOUS)

    @property
    def type(self) -> Type:
        """Threads."""
        return THREAD


@dataclass(frozen=True, slots=True)
class Array:
    """`length` cells of one scalar domain, indexed from 0.

    Reading outside the array gives the first value of the domain (lo, the first label, False, None);
    writing outside it is a domain overflow.
    """

    length: int | Size
    element: Scalar

    def __post_init__(self) -> None:
        if isinstance(self.length, bool) or not isinstance(self.length, int | Size):
            raise ProtocolError(f"unbounded: an array needs a length, got {self.length!r}")
        if not isinstance(self.element, Bounded | Enum | Bool | ThreadId):
            raise ProtocolError(f"unbounded: array elements need a scalar domain, got {self.element!r}")

    @property
    def type(self) -> Type:
        """The type of its elements."""
        return self.element.type


Scalar = Bounded | Enum | Bool | ThreadId
Domain = Scalar | Array


def _start(initial: object, *allowed: Start, first: object = None) -> None:
    """Raises ProtocolError for an initial value that means nothing in a domain, and for a `first` that means nothing
    beside it."""
    if isinstance(initial, Start) and first is not None:
        raise ProtocolError(f"first={first!r} means nothing beside initial={initial.name}: that says where each starts")
    if isinstance(initial, Start) and initial not in allowed:
        known = ", ".join(start.name for start in allowed)
        raise ProtocolError(f"initial value {initial.name} is none of this domain, which has {known}")


def span(domain: Scalar, threads: int, values: Mapping[str, int]) -> tuple[int, int]:
    """Lowest and highest code of `domain`: the integers themselves, label numbers, 0/1, or 0 for None and i+1 for
    thread i."""
    match domain:
        case Bounded():
            return size(domain.lo, values), size(domain.hi, values)
        case Enum():
            return 0, len(domain.labels) - 1
        case Bool():
            return 0, 1
        case ThreadId():
            return 0, threads


def code(domain: Scalar, value: Value | Size, values: Mapping[str, int]) -> int:
    """The integer that stands for `value` (not a thread) in `domain`."""
    if isinstance(value, Size):
        return value.at(values)
    if isinstance(domain, Enum):
        return domain.labels.index(str(value))
    return int(value or 0)


def plain_start(domain: Bounded) -> int | Size:
    """The initial value of all threads. Raises ProtocolError where there is none."""
    if isinstance(domain.initial, Start):
        raise ProtocolError(f"threads start at {domain.initial.name}: only given numbers of them are covered")
    return domain.lo if domain.initial is None else domain.initial


def starts(domain: Scalar, values: Mapping[str, int]) -> tuple[int, int]:
    """Codes of the initial value, and of the initial value of the one thread that may start otherwise. Raises
    ProtocolError where there is no one value for all."""
    if isinstance(domain.initial, Start):
        raise ProtocolError(f"threads start at {domain.initial.name}: only given numbers of them are covered")
    if isinstance(domain, ThreadId):
        return 0, 0
    if isinstance(domain, Bounded):
        default: int | str | Size = plain_start(domain)
    else:
        default = domain.labels[0] if isinstance(domain, Enum) else False
    usual = code(domain, default if domain.initial is None else domain.initial, values)
    return usual, usual if domain.first is None else code(domain, domain.first, values)


def options(domain: Scalar, thread: int, first: int, threads: int, values: Mapping[str, int]) -> tuple[int, ...]:
    """Codes of the values at which a cell of `thread` (-1: shared) may start, where `first` is the one that may start
    otherwise."""
    match domain.initial:
        case Start.ANY:
            lo, hi = span(domain, threads, values)
            return tuple(range(lo, hi + 1))
        case Start.NUMBER:
            return (thread,)
        case Start.NEXT:
            return ((thread + 1) % threads + 1,)
        case Start.PREVIOUS:
            return ((thread - 1) % threads + 1,)
    usual, special = starts(domain, values)
    return (special if thread == first else usual,)


def shown(domain: Scalar, value: int) -> str:
    """The code `value` of `domain` as people read it."""
    if isinstance(domain, Enum):
        return domain.labels[value] if 0 <= value < len(domain.labels) else str(value)
    if isinstance(domain, Bool):
        return str(bool(value))
    if isinstance(domain, ThreadId):
        return "None" if value == 0 else f"thread {value - 1}"
    return str(value)
