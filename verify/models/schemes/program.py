"""The language of plans: a short program of what the host does to the saved state and what the processor runs.

One language for every scheme: a step, an emulation, a boosted copy, an address check before a run at another privilege
level and a hook's trampoline are the same kind of value.  Nothing here belongs to one implementation.  What a program
means for a machine state is `verify.models.schemes.meaning`; a new kind of action touches these two files.

Expressions are ordinary terms (`verify.terms`) over the variables that `VOCABULARY` names.  `NOW` is the state as the
host finds it when it evaluates the expression, `first` says the same of the state at the hit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from typing import Final

from verify import terms
from verify.models.x86.machine import State, component_sort
from verify.models.x86.mode import LEVELS, USER_64
from verify.terms import Sort, Term, const, postorder, uf, var

ORIGIN: Final = var("ORIGIN", 64)  # address of the probed instruction
SLOT: Final = var("SLOT", 64)  # address of the first byte that runs displaced
LENGTH: Final = var("LENGTH", 64)  # bytes of the instruction, as the implementation's decoder sees it
COMPONENTS: Final = tuple(f.name for f in fields(State))
NOW: Final = State(**{n: var(f"now.{n}", component_sort(n)) for n in COMPONENTS})
FIRST: Final = State(**{n: var(f"first.{n}", component_sort(n)) for n in COMPONENTS})
IP, TF = NOW.ip, NOW.tf
# The fault that `on_fault` and the `otherwise` of an access made for the program find pending.
VECTOR, ERROR = var("fault.vector", 8), var("fault.error", 32)
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


def own(name: str, sort: Sort) -> Term:
    """A value that the host alone knows; nothing is assumed of it."""
    return uf(OWN + name, sort)


class Agent(Enum):
    """Who makes an access to the program's memory."""

    HOST = "host"  # copy_to_user and the like: a failure is the host's to handle
    PROGRAM = "program"  # code that the program is made to run: a failure is the program's fault, delivered


@dataclass(frozen=True, slots=True)
class Set:
    """The host writes a component of the saved state, a general register (0..15), or what is told of a fault.

    To be set back to exactly `ORIGIN` without a fault means that the instruction begins again, probe and all.
    """

    target: str | int
    value: Term  # of the target's sort

    def __post_init__(self) -> None:
        if self.value.sort != sort_of(self.target):
            raise ValueError(f"{self.target} has sort {sort_of(self.target)}, got {self.value.sort}")
        _check(self.value)


@dataclass(frozen=True, slots=True)
class Load:
    """The 8 * size bits at the address, under a name; a read that fails continues with `otherwise`."""

    name: str
    address: Term  # 64
    size: int  # bytes
    otherwise: Actions | None = ()  # None: the plan takes it to succeed, an assumption to be named at the scheme
    by: Agent = Agent.HOST
    stack: bool = False  # through the stack segment, as a push: #SS in place of #GP

    def __post_init__(self) -> None:
        _check_access(self.address, self.size)


@dataclass(frozen=True, slots=True)
class Store:
    """The value to memory at the address; a store that fails continues with `otherwise`."""

    address: Term  # 64
    value: Term  # 8 * size bits
    size: int  # bytes
    otherwise: Actions | None = ()  # None: the plan takes it to succeed, an assumption to be named at the scheme
    by: Agent = Agent.HOST
    stack: bool = False  # through the stack segment, as a push: #SS in place of #GP

    def __post_init__(self) -> None:
        _check_access(self.address, self.size)
        _check(self.value)
        if self.value.sort != 8 * self.size:
            raise ValueError(f"a store of {self.size} bytes needs {8 * self.size} bits, got {self.value.sort}")


@dataclass(frozen=True, slots=True)
class Check:
    """The host looks before it acts: where the one-bit condition does not hold it continues with `otherwise`."""

    condition: Term  # 1
    otherwise: Actions

    def __post_init__(self) -> None:
        _check(self.condition)
        if self.condition.sort != 1:
            raise ValueError(f"a condition has one bit, got {self.condition.sort}")


@dataclass(frozen=True, slots=True)
class Signal:
    """The host sends the program a signal, delivered when the plan is done; signal(7), siginfo's si_code, si_addr.

    SIGTRAP is the trap that a program's own TF asks for.  Of another signal vector and error of the frame may be given,
    where the host makes it that of a processor's fault.
    """

    number: int  # 1..64
    code: int
    address: Term  # 64
    vector: Term | None = None  # 8; None: none that a processor's fault gives
    error: Term | None = None  # 32

    def __post_init__(self) -> None:
        if not 1 <= self.number <= 64:
            raise ValueError(f"signals are 1..64, got {self.number}")
        for term, sort in ((self.address, 64), (self.vector, 8), (self.error, 32)):
            _check(self.address if term is None else term)
            if term is not None and term.sort != sort:
                raise ValueError(f"a signal's parts have 64, 8 and 32 bits, got {term.sort} for {sort}")


@dataclass(frozen=True, slots=True)
class Byte:
    """One byte of code: (original[source] & keep) | bits; a source of None is a constant byte, and the only one."""

    source: int | None
    keep: int = 0xFF
    bits: int = 0

    def __post_init__(self) -> None:
        known = self.keep == 0xFF if self.source is None else self.source >= 0 and 0 < self.keep <= 0xFF
        if not (known and 0 <= self.bits <= 0xFF):
            raise ValueError(f"not a byte of code: {self}")


@dataclass(frozen=True, slots=True)
class Word:
    """Little-endian bytes whose value depends on addresses (rel32, disp32, abs64).

    The scheme refuses the probe where the 64-bit value is not the sign extension of its lowest 8 * size bits.
    """

    value: Term  # 64
    size: int  # bytes: 1, 2, 4 or 8

    def __post_init__(self) -> None:
        _check(self.value)
        if self.value.sort != 64 or self.size not in {1, 2, 4, 8}:
            raise ValueError(f"a word of code has 64 bits in 1, 2, 4 or 8 bytes, got {self.value.sort}, {self.size}")


@dataclass(frozen=True, slots=True)
class Code:
    """What the processor runs, and the pairs (slot offset, origin offset) in bytes where both programs stand alike."""

    pieces: tuple[Byte | Word, ...]
    locations: tuple[tuple[int, int], ...] = ((0, 0),)

    def __post_init__(self) -> None:
        if not self.pieces or any(a < 0 or b < 0 for a, b in self.locations):
            raise ValueError(f"code has pieces and its locations are not negative, got {self}")


ORIGINAL: Final = Code(tuple(map(Byte, range(WHOLE))))  # the bytes at the probe and what follows them


@dataclass(frozen=True, slots=True)
class TrapFlag:
    """The host sets TF for the run; it ends at the first instruction boundary at which a debug trap is taken."""


@dataclass(frozen=True, slots=True)
class Breakpoints:
    """Trap instructions in the slot, or debug registers (`armed`), at these addresses end the run."""

    at: tuple[Term, ...]  # 64 each
    armed: bool = False

    def __post_init__(self) -> None:
        for a in self.at:
            _check(a)
        if not self.at or any(a.sort != 64 for a in self.at):
            raise ValueError(f"a breakpoint has an address of 64 bits, got {self.at}")


@dataclass(frozen=True, slots=True)
class Leaves:
    """Nothing ends the run: control leaves by the code itself."""


End = TrapFlag | Breakpoints | Leaves


@dataclass(frozen=True, slots=True)
class Context:
    """How a run ends and in which surroundings it takes place."""

    end: End
    cpl: int = USER_64.cpl  # 0..3
    fs_base: Agent = Agent.PROGRAM  # whose
    gs_base: Agent = Agent.PROGRAM
    instructions: int = 1  # that may run at most

    def __post_init__(self) -> None:
        if self.cpl not in LEVELS or self.instructions < 1:
            raise ValueError(f"CPL is 0..3 and an instruction runs at least, got {self}")


@dataclass(frozen=True, slots=True)
class Run:
    """The processor runs the code; of a fault half-way `on_fault` makes what the program is shown, and it is delivered.

    There `NOW` is the state at the fault; without `on_fault` the program sees it as it is, the slot's address included.
    """

    code: Code
    at: Term  # 64: SLOT or ORIGIN
    context: Context
    on_fault: Actions = ()

    def __post_init__(self) -> None:
        if self.at not in {SLOT, ORIGIN}:
            raise ValueError(f"code runs at SLOT or at ORIGIN, got {self.at}")


Action = Set | Load | Store | Check | Signal | Run
Actions = tuple[Action, ...]


class Entry(Enum):
    """How the host comes into play at the origin."""

    KERNEL = "kernel"  # a breakpoint, or a system call of patched code: the kernel's return brings the program back
    JUMP = "jump"  # the program's own control transfer: a patched jump or call
    NONE = "none"  # no probe at all


@dataclass(frozen=True, slots=True)
class Program:
    """A plan: what happens at a hit, in order; when it is done the program goes on at the saved ip."""

    actions: Actions
    entry: Entry = Entry.KERNEL
    later: Program | None = None  # from the second hit on, where that is another; it names none itself

    def __post_init__(self) -> None:
        if self.later and self.later.later:
            raise ValueError("the plan of later hits names no third one")
        _check_order(self.actions, {}, False)

    @property
    def hits(self) -> tuple[Program, ...]:
        """The plan of the first hit, and that of later ones where it is another."""
        return (self,) if self.later is None else (self, self.later)


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


def _check(expression: Term) -> None:
    for t in postorder((expression,)):
        if t.op == "uf" and not str(t.params[0]).startswith(OWN):
            raise ValueError(f"an expression knows no function {t.params[0]}")
        if t.op == "var" and not str(t.params[0]).startswith(("field.", "loaded.")) and t.params[0] not in VOCABULARY:
            raise ValueError(f"an expression knows no variable {t.params[0]}")


def _check_access(address: Term, size: int) -> None:
    _check(address)
    if address.sort != 64 or size < 1:
        raise ValueError(f"an access has an address of 64 bits and a size, got {address.sort} and {size}")


def _check_order(actions: Actions, known: dict[str, Sort], faulted: bool) -> None:
    """What was read is used behind its `Load`, what is told of a fault where there is one."""
    if any(isinstance(a, Run) and isinstance(a.context.end, Leaves) for a in actions[:-1]):
        raise ValueError("control does not come back from a run that its code leaves by itself")
    for action in actions:
        for v in (v for e in expressions(action) for v in variables(e)):
            name = str(v.params[0])
            if name.startswith("loaded.") and known.get(name) != v.sort:
                raise ValueError(f"{name} is used before it is loaded, or with another size")
            if name.startswith("fault.") and not faulted:
                raise ValueError(f"{name} is used where no fault is pending")
        if isinstance(action, Set) and action.target in FAULT_TARGETS and not faulted:
            raise ValueError(f"{action.target} is set where no fault is pending")
        for inner in branches(action):
            _check_order(inner, known, faulted or isinstance(action, Load | Store | Run))
        if isinstance(action, Load):
            known = {**known, f"loaded.{action.name}": 8 * action.size}


def branches(action: Action) -> Iterator[Actions]:
    """The action sequences that an action may continue with."""
    match action:
        case Load() | Store():
            yield action.otherwise or ()
        case Check():
            yield action.otherwise
        case Run():
            yield action.on_fault
        case _:
            pass


def expressions(action: Action) -> Iterator[Term]:
    """The action's own expressions, not those of what it may continue with."""
    match action:
        case Set(_, value):
            yield value
        case Load():
            yield action.address
        case Store():
            yield from (action.address, action.value)
        case Check():
            yield action.condition
        case Signal():
            yield from (t for t in (action.address, action.vector, action.error) if t is not None)
        case Run():
            yield action.at
            yield from (p.value for p in action.code.pieces if isinstance(p, Word))
            yield from action.context.end.at if isinstance(action.context.end, Breakpoints) else ()


def walk(actions: Actions) -> Iterator[Action]:
    """Every action, those of failures and faults behind the one that they belong to."""
    for action in actions:
        yield action
        for inner in branches(action):
            yield from walk(inner)


def actions_of(program: Program) -> Iterator[Action]:
    """Every action of all hits."""
    for hit in program.hits:
        yield from walk(hit.actions)
