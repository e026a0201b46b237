"""Tracked threads: a protocol with some threads in sight and any number of others, as an over-approximating model.

A variable that names a thread may name "another", one that is not tracked. A quantifier over threads is evaluated over
the tracked ones; what it says of the others is free, and is split into one transition for each answer. Every
transition of a run with more threads, seen on the tracked ones, is a transition of the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from verify.concurrency.instance.dag import Dag, Node
from verify.concurrency.instance.instance import Model, instantiate
from verify.concurrency.instance.instantiation import Scope
from verify.concurrency.instance.transitions import Observation, Slot, Transition
from verify.concurrency.language.domains import ProtocolError, ThreadId, starts
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import (
    AllThreads,
    Assign,
    Cell,
    Find,
    For,
    If,
    Let,
    Op,
    PropertyTerm,
    Quantified,
    Statement,
    StepTerm,
    Term,
    conjuncts,
    walk,
)

ROOM = 7  # highest code of a cell that names a thread: one width, so that shared states of all sizes compare


class NotCovered(ProtocolError):
    """The protocol uses something that this method does not cover; the message says what."""


class UsedUp(NotCovered):
    """The time or the memory of the method is used up."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """`model` with `model.threads` tracked threads; a shared cell that names another thread holds `other`."""

    model: Model

    @property
    def other(self) -> int:
        """What a cell holds that names a thread which is not tracked."""
        return self.model.threads + 1


class Sight(Scope):
    """A scope in which quantifiers over threads see the tracked threads; `rest` answers for the others, or where
    `total` is set for all threads."""

    rest: Mapping[str, int]
    total = False

    def _quantified(self, term: Quantified, env: Mapping[str, Node], state: Mapping[int, Node] | None) -> Node:
        seen = super()._quantified(term, env, state)
        if not isinstance(term.over, AllThreads):
            return seen
        others = self.dag.const(self.rest[term.variable])
        if self.total:
            return others
        join = self.dag.conjunction if term.kind == "all" else self.dag.disjunction
        return join((seen, others))


def tracked(protocol: Protocol, threads: int, steps: Iterable[StepTerm]) -> Tracked:
    """The model of some `steps` with `threads` tracked threads. Raises NotCovered."""
    if threads >= ROOM:
        raise NotCovered(f"at most {ROOM - 1} threads can be tracked, got {threads}")
    exact = instantiate(replace(protocol, steps=()), threads)
    if not exact.symmetric:
        raise NotCovered("a per-thread variable names a thread")
    slots, bits = widened(exact)
    scope = Sight(protocol, threads, slots, Dag())
    transitions: list[Transition] = []
    for step in steps:
        check_step(step)
        for scope.rest in answers(_asked(step)):
            transitions += scope.instances(step, len(transitions))
    observations = tuple(item for prop in protocol.properties if prop.kind == "always" for item in _bad(scope, prop))
    model = replace(
        exact, dag=scope.dag, slots=slots, transitions=tuple(transitions), observations=observations,
        terminal=scope.dag.true, bits=bits,
    )  # fmt: skip
    return Tracked(model)


def widened(model: Model) -> tuple[tuple[Slot, ...], int]:
    """The layout with room for "another" in every cell that names a thread, and its width."""
    slots: list[Slot] = []
    offset = 0
    for slot in model.slots:
        hi = ROOM if isinstance(slot.domain, ThreadId) else slot.hi
        slots.append(replace(slot, hi=hi, offset=offset, width=(hi - slot.lo).bit_length()))
        offset += slots[-1].width
    return tuple(slots), offset


def _bad(scope: Sight, prop: PropertyTerm) -> list[Observation]:
    """Where the property may be violated, whatever the others do."""
    if len(prop.threads) > scope.threads:
        return []
    free = {term.variable: (0, 1) for part in (prop.premise, prop.claim) for term in thread_quantifiers(part)}
    check_terms((prop.premise, prop.claim))
    nodes = []
    for scope.rest in answers(free):
        nodes += [item.node for item in scope.observed(prop) if item.role == "bad"]
    return [Observation(prop.name, "bad", scope.dag.disjunction(nodes))]


def answers(free: Mapping[str, tuple[int, ...]]) -> list[dict[str, int]]:
    """Every choice of one answer for each name."""
    return [dict(zip(free, chosen, strict=True)) for chosen in itertools.product(*free.values())]


def _asked(step: StepTerm) -> dict[str, tuple[int, ...]]:
    """The quantifiers over threads of a step with the answers that the others may give; where the guard asks for
    "all" and nothing else depends on it, only the answer that lets the step happen."""
    free: dict[str, tuple[int, ...]] = {
        term.variable: (0, 1) for part in terms_of(step) for term in thread_quantifiers(part)
    }
    for part in conjuncts(step.guard):
        for name in _positive(part):
            free[name] = (1,)
    return free


def _positive(term: Term) -> list[str]:
    """The names of "all" and "any" quantifiers over threads that only make a guard truer."""
    if isinstance(term, Quantified) and isinstance(term.over, AllThreads):
        return [term.variable]
    if isinstance(term, Op) and term.op in ("and", "or"):
        return [name for arg in term.args for name in _positive(arg)]
    return []


def thread_quantifiers(term: Term) -> list[Quantified]:
    """The quantifiers over all threads in a term, inner ones too."""
    return [inner for inner in walk(term) if isinstance(inner, Quantified) and isinstance(inner.over, AllThreads)]


def terms_of(step: StepTerm) -> list[Term]:
    """Every term of a step."""
    found: list[Term] = [step.guard, *(let.value for let in step.lets)]

    def statements(body: tuple[Statement, ...]) -> None:
        for item in body:
            match item:
                case Let():
                    found.append(item.value)
                case Assign():
                    found.extend((item.target, item.value))
                case If():
                    found.append(item.condition)
                    statements(item.then)
                    statements(item.otherwise)
                case For():
                    statements(item.body)

    statements(step.effect)
    return found


def check_step(step: StepTerm) -> None:
    """Raises NotCovered for a step whose terms or loops this encoding does not cover."""
    check_terms(terms_of(step))
    _check_loops(step.name, step.effect, None)


def _check_loops(name: str, body: tuple[Statement, ...], loop: For | None) -> None:
    """Refuses loops over threads that change more than the thread of their round."""
    for item in body:
        match item:
            case For():
                _check_loops(name, item.body, item if isinstance(item.over, AllThreads) else loop)
            case If():
                _check_loops(name, item.then, loop)
                _check_loops(name, item.otherwise, loop)
            case Assign():
                if loop is not None and item.target.thread != loop.variable:
                    raise NotCovered(f"step {name}: a loop over threads writes {item.target.variable}")
                inner = thread_quantifiers(item.value)
            case Let():
                inner = thread_quantifiers(item.value)
        if loop is not None and isinstance(item, Assign | Let) and inner:
            raise NotCovered(f"step {name}: a quantifier over threads inside a loop over threads")


def check_terms(terms: Iterable[Term]) -> None:
    """Refuses what is not exact, or not an over-approximation, with untracked threads."""
    for inner in (part for term in terms for part in walk(term)):
        match inner:
            case Quantified():
                if thread_quantifiers(inner.body):
                    raise NotCovered("a quantifier over threads inside another quantifier")
                if inner.kind in ("sum", "pick") and isinstance(inner.over, AllThreads):
                    raise NotCovered("a sum over threads, or a variable of a thread that another one names")
            case Op(op="==" | "!=", args=(Cell(type="thread"), Cell(type="thread"))):
                raise NotCovered("two variables that name threads are compared")
            case Find(value=Cell(type="thread")):
                raise NotCovered("find of a variable that names a thread")


def initial_records(protocol: Protocol, model: Model) -> tuple[int, int, int]:
    """The packed record of a usual thread, of the one that may start otherwise, and the packed shared state."""
    usual = special = shared = 0
    for slot in model.slots:
        values = starts(slot.domain, protocol.values)
        if slot.thread == 0:
            usual |= (values[0] - slot.lo) << slot.offset
            special |= (values[1] - slot.lo) << slot.offset
        elif slot.thread is None:
            shared |= (values[0] - slot.lo) << slot.offset
    return usual, special, shared
