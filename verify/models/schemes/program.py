"""The language of plans: a short program of what the host does to the saved state and what the processor runs.

One language for every scheme: a step, an emulation, a boosted copy, an address check before a run at another privilege
level and a hook's trampoline are the same kind of value.  Nothing here belongs to one implementation.  What a program
means for a machine state is `verify.models.schemes.meaning`; a new kind of action touches these two files.
Each action gives its expressions, what else it may continue with (by title), and its line of the canonical text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final

from verify.models.schemes.code import ORIGINAL, Code, Word
from verify.models.schemes.expression_text import REGISTERS, expression
from verify.models.schemes.vocabulary import FAULT_TARGETS, ORIGIN, SLOT, WHOLE, check, sort_of, variables
from verify.models.x86.mode import LEVELS, USER_64
from verify.terms import FALSE, TRUE, Sort, Term

CodeText = Callable[[Code], str]
Branches = tuple[tuple[str, "Actions"], ...]  # what an action may continue with besides the next one, by title


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
        check(self.value)

    @property
    def expressions(self) -> tuple[Term, ...]:
        """The value."""
        return (self.value,)

    @property
    def branches(self) -> Branches:
        """None."""
        return ()

    def line(self, _: CodeText) -> str:
        """Target := value."""
        return f"{REGISTERS[self.target] if isinstance(self.target, int) else self.target} := {expression(self.value)}"


@dataclass(frozen=True, slots=True)
class Load:
    """The 8 * size bits at the address, under a name; a read that fails continues with `otherwise`."""

    name: str
    address: Term  # 64
    size: int  # bytes
    otherwise: Actions | None = ()  # None: the plan takes it to succeed, an assumption to be named at the scheme
    by: Agent = Agent.HOST
    stack: Term = FALSE  # 1: through the stack segment, as a push: #SS in place of #GP

    def __post_init__(self) -> None:
        _check_access(self.address, self.size, self.stack)

    @property
    def expressions(self) -> tuple[Term, ...]:
        """The address and the segment."""
        return self.address, self.stack

    @property
    def branches(self) -> Branches:
        """What a read that fails continues with."""
        return _otherwise(self)

    def line(self, _: CodeText) -> str:
        """Name := bytes at the address."""
        return f"{self.name} := {self.size} bytes at {expression(self.address)}{_by(self)}"


@dataclass(frozen=True, slots=True)
class Store:
    """The value to memory at the address; a store that fails continues with `otherwise`."""

    address: Term  # 64
    value: Term  # 8 * size bits
    size: int  # bytes
    otherwise: Actions | None = ()  # None: the plan takes it to succeed, an assumption to be named at the scheme
    by: Agent = Agent.HOST
    stack: Term = FALSE  # 1: through the stack segment, as a push: #SS in place of #GP

    def __post_init__(self) -> None:
        _check_access(self.address, self.size, self.stack)
        check(self.value)
        if self.value.sort != 8 * self.size:
            raise ValueError(f"a store of {self.size} bytes needs {8 * self.size} bits, got {self.value.sort}")

    @property
    def expressions(self) -> tuple[Term, ...]:
        """Address, value and the segment."""
        return self.address, self.value, self.stack

    @property
    def branches(self) -> Branches:
        """What a store that fails continues with."""
        return _otherwise(self)

    def line(self, _: CodeText) -> str:
        """Bytes at the address := value."""
        return f"{self.size} bytes at {expression(self.address)} := {expression(self.value)}{_by(self)}"


@dataclass(frozen=True, slots=True)
class Shadow:
    """The host writes the shadow stack where it is on, a new entry or that `depth` below the top; taken to succeed."""

    value: Term  # 64
    depth: int | None = None  # None: pushed

    def __post_init__(self) -> None:
        check(self.value)
        if self.value.sort != 64 or (self.depth or 0) < 0:
            raise ValueError(f"a shadow stack has 64 bits an entry and a depth, got {self.value.sort}, {self.depth}")

    @property
    def expressions(self) -> tuple[Term, ...]:
        """The value."""
        return (self.value,)

    @property
    def branches(self) -> Branches:
        """None."""
        return ()

    def line(self, _: CodeText) -> str:
        """Entry := value."""
        return f"shadow stack, {'pushed' if self.depth is None else self.depth} := {expression(self.value)}"


@dataclass(frozen=True, slots=True)
class Check:
    """The host looks before it acts: where the one-bit condition does not hold it continues with `otherwise`."""

    condition: Term  # 1
    otherwise: Actions

    def __post_init__(self) -> None:
        check(self.condition)
        if self.condition.sort != 1:
            raise ValueError(f"a condition has one bit, got {self.condition.sort}")

    @property
    def expressions(self) -> tuple[Term, ...]:
        """The condition."""
        return (self.condition,)

    @property
    def branches(self) -> Branches:
        """What follows where the condition does not hold."""
        return _branch(self.otherwise)

    def line(self, _: CodeText) -> str:
        """The condition."""
        return f"check {expression(self.condition)}"


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
            check(self.address if term is None else term)
            if term is not None and term.sort != sort:
                raise ValueError(f"a signal's parts have 64, 8 and 32 bits, got {term.sort} for {sort}")

    @property
    def expressions(self) -> tuple[Term, ...]:
        """The address, and vector and error where they are given."""
        return tuple(t for t in (self.address, self.vector, self.error) if t is not None)

    @property
    def branches(self) -> Branches:
        """None."""
        return ()

    def line(self, _: CodeText) -> str:
        """Number, si_code and si_addr, and what of the frame is given."""
        given = (("vector", self.vector), ("error", self.error))
        frame = "".join(f", {n} {expression(t)}" for n, t in given if t is not None)
        return f"signal {self.number}, si_code {self.code}, si_addr {expression(self.address)}{frame}"


@dataclass(frozen=True, slots=True)
class TrapFlag:
    """The host sets TF for the run; it ends at the first instruction boundary at which a debug trap is taken."""

    text: ClassVar = "under TF"


@dataclass(frozen=True, slots=True)
class Breakpoints:
    """Trap instructions in the slot, or debug registers (`armed`), at these addresses end the run."""

    at: tuple[Term, ...]  # 64 each
    armed: bool = False

    def __post_init__(self) -> None:
        for a in self.at:
            check(a)
        if not (self.at and all(a.sort == 64 for a in self.at)):
            raise ValueError(f"a breakpoint has an address of 64 bits, got {self.at}")

    @property
    def text(self) -> str:
        """What ends the run, in a line of a program."""
        return f"{'debug registers' if self.armed else 'breakpoints'} at {' '.join(map(expression, self.at))}"


@dataclass(frozen=True, slots=True)
class Leaves:
    """Nothing ends the run: control leaves by the code itself."""

    text: ClassVar = "until it leaves"


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

    @property
    def text(self) -> str:
        """The context in a line of a program."""
        hosts = [f"{n} base of the host" for n in ("fs", "gs") if getattr(self, f"{n}_base") is Agent.HOST]
        many = [f"{self.instructions} instructions"] * (self.instructions > 1)
        return ", ".join([self.end.text, f"cpl {self.cpl}", *hosts, *many])


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

    @property
    def expressions(self) -> tuple[Term, ...]:
        """The address, the code's words and what ends the run."""
        words = (p.value for p in self.code.pieces if isinstance(p, Word))
        ends = self.context.end.at if isinstance(self.context.end, Breakpoints) else ()
        return self.at, *words, *ends

    @property
    def branches(self) -> Branches:
        """What is made of a fault half-way."""
        return (("on a fault", self.on_fault),) if self.on_fault else ()

    def line(self, shown: CodeText) -> str:
        """Code, address and context."""
        return f"run {shown(self.code)} at {expression(self.at)}, {self.context.text}"


Action = Set | Load | Store | Shadow | Check | Signal | Run
Actions = tuple[Action, ...]


def _by(action: Load | Store) -> str:
    where = f", on the stack{f' where {expression(action.stack)}' * (action.stack is not TRUE)}"
    return where * (action.stack is not FALSE) + ", by the program" * (action.by is Agent.PROGRAM)


def _otherwise(action: Load | Store) -> Branches:
    return (("taken to succeed", ()),) if action.otherwise is None else _branch(action.otherwise)


def _branch(otherwise: Actions) -> Branches:
    return (("otherwise" if otherwise else "otherwise done", otherwise),)


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
    length: int = 0  # bytes, what LENGTH is; 0: the implementation does not look
    reach: int = 0  # bytes, below which the slot lies away from the origin; 0: it lies anywhere
    addresses: tuple[int, int] | None = None  # the only origin and slot of which the plan speaks; None: all
    singular: bool = False  # it is a plan of these bytes alone, and tells nothing of others

    def __post_init__(self) -> None:
        if self.later and self.later.later:
            raise ValueError("the plan of later hits names no third one")
        if not 0 <= self.length <= WHOLE or (self.later and self.later.length != self.length):
            raise ValueError(f"an instruction has one length of at most {WHOLE} bytes, got {self.length}")
        _check_order(self.actions, {}, False)

    @property
    def hits(self) -> tuple[Program, ...]:
        """The plan of the first hit, and that of later ones where it is another."""
        return (self,) if self.later is None else (self, self.later)


def _check_access(address: Term, size: int, stack: Term) -> None:
    for term in (address, stack):
        check(term)
    if (address.sort, stack.sort) != (64, 1) or size < 1:
        raise ValueError(f"an access has an address of 64 bits and a size, got {address.sort} and {size}")


def _check_order(actions: Actions, known: dict[str, Sort], faulted: bool) -> None:
    """What was read is used behind its `Load`, what is told of a fault where there is one."""
    if any(isinstance(a, Run) and isinstance(a.context.end, Leaves) for a in actions[:-1]):
        raise ValueError("control does not come back from a run that its code leaves by itself")
    for action in actions:
        for v in (v for e in action.expressions for v in variables(e)):
            name = str(v.params[0])
            if name.startswith("loaded.") and known.get(name) != v.sort:
                raise ValueError(f"{name} is used before it is loaded, or with another size")
            if name.startswith("fault.") and not faulted:
                raise ValueError(f"{name} is used where no fault is pending")
        if isinstance(action, Set) and action.target in FAULT_TARGETS and not faulted:
            raise ValueError(f"{action.target} is set where no fault is pending")
        for _, inner in action.branches:
            _check_order(inner, known, faulted or isinstance(action, Load | Store | Run))
        if isinstance(action, Load):
            known = {**known, f"loaded.{action.name}": 8 * action.size}


def walk(actions: Actions) -> Iterator[Action]:
    """Every action, those of failures and faults behind the one that they belong to."""
    for action in actions:
        yield action
        for _, inner in action.branches:
            yield from walk(inner)


UNPROBED: Final = Program((Run(ORIGINAL, ORIGIN, Context(Leaves())),), Entry.NONE)  # the instruction where it stands


def actions_of(program: Program) -> Iterator[Action]:
    """Every action of all hits."""
    for hit in program.hits:
        yield from walk(hit.actions)
