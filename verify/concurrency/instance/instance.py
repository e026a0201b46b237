"""Ground models: a protocol for a given number of threads and given parameters, as dags over packed cells.

Decides the layout of a state, the instances of every step and what is observed of a state. Every engine reads this.
"""

from __future__ import annotations

from dataclasses import dataclass

from verify.concurrency.instance.dag import Dag, Node
from verify.concurrency.instance.instantiation import Scope
from verify.concurrency.instance.transitions import DomainCheck, Observation, Room, Slot, Transition
from verify.concurrency.language.domains import Array, Domain, ProtocolError, Start, ThreadId, options, size, span
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.rounds import ordered

__all__ = ["DomainCheck", "Model", "Observation", "Slot", "Transition", "instantiate"]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A protocol made concrete; equal to itself only.

    A state is one integer of `bits` bits; thread records of `record` bits come first.
    """

    protocol: Protocol
    threads: int
    dag: Dag
    slots: tuple[Slot, ...]
    initial: tuple[int, ...]
    transitions: tuple[Transition, ...]
    observations: tuple[Observation, ...]
    terminal: Node
    record: int
    bits: int

    @property
    def identities(self) -> tuple[Slot, ...]:
        """The shared cells that name a thread."""
        return tuple(slot for slot in self.slots if slot.thread is None and isinstance(slot.domain, ThreadId))

    @property
    def exchangeable(self) -> bool:
        """Whether threads may be renamed: no step goes through them in a declared order, and none starts by number."""
        starts = (slot.domain.initial for slot in self.slots)
        numbered = any(isinstance(start, Start) and start.by_thread for start in starts)
        return not numbered and not any(ordered(step) for step in self.protocol.steps)

    @property
    def symmetric(self) -> bool:
        """Whether thread symmetry can be reduced exactly: threads may be renamed, and no per-thread variable names a
        thread."""
        named = any(slot.thread is not None and isinstance(slot.domain, ThreadId) for slot in self.slots)
        return self.exchangeable and not named

    def cells(self, state: int) -> tuple[int, ...]:
        """The values of a packed state."""
        return tuple(((state >> slot.offset) & ((1 << slot.width) - 1)) + slot.lo for slot in self.slots)

    def packed(self, cells: tuple[int, ...]) -> int:
        """The packed state of values."""
        return sum((value - slot.lo) << slot.offset for slot, value in zip(self.slots, cells, strict=True))

    def eventualities(self) -> tuple[tuple[str, Node, Node], ...]:
        """(property, premise, claim) of each leads-to property and thread choice."""
        scope = Scope(self.protocol, self.threads, self.slots, self.dag)
        found = []
        for prop in self.protocol.properties:
            if prop.kind == "eventually":
                for _, env in scope.choices_of(prop.threads):
                    found.append((prop.name, scope.term(prop.premise, env), scope.term(prop.claim, env)))
        return tuple(found)


MEMORY = 1 << 30  # bytes of a model, which no engine could do anything with


def instantiate(protocol: Protocol, threads: int, memory: int | None = None) -> Model:
    """The model of `protocol` for `threads` threads (at least 1), in `memory` bytes (None: `MEMORY`).

    Raises TooLarge where it does not fit, and ProtocolError where a size leaves a variable without values.
    """
    if threads < 1:
        raise ProtocolError(f"number of threads must be at least 1, got {threads}")
    room = Room(MEMORY if memory is None else memory)
    slots, record = _layout(protocol, threads, room)
    scope = Scope(protocol, threads, slots, Dag(), room)
    transitions: list[Transition] = []
    for step in protocol.steps:
        transitions += scope.instances(step, len(transitions))
    observations = tuple(item for prop in protocol.properties for item in scope.observed(prop))
    deadlock = next(prop for prop in protocol.properties if prop.kind == "deadlock")
    return Model(
        protocol,
        threads,
        scope.dag,
        slots,
        _initial(protocol, threads, slots, room),
        tuple(transitions),
        observations,
        scope.term(deadlock.claim, {}),
        record,
        sum(slot.width for slot in slots),
    )


def _layout(protocol: Protocol, threads: int, room: Room) -> tuple[tuple[Slot, ...], int]:
    """The cells of a state, thread by thread and the shared ones last, and the width of a thread's record."""
    slots: list[Slot] = []
    owners: list[tuple[int | None, str, Domain]] = [
        (thread, name, domain) for thread in range(threads) for name, domain in protocol.local
    ]
    owners += [(None, name, domain) for name, domain in protocol.shared]
    offset, record = 0, 0
    for thread, name, domain in owners:
        count = size(domain.length, protocol.values) if isinstance(domain, Array) else 1
        scalar = domain.element if isinstance(domain, Array) else domain
        lo, hi = span(scalar, threads, protocol.values)
        if hi < lo or count < 0:
            raise ProtocolError(f"variable {name} has no values: {lo}..{hi}, {count} cells")
        room.take(count, f"cells of {name}")
        for index in range(count):
            position = index if isinstance(domain, Array) else None
            width = (hi - lo).bit_length()
            slots.append(Slot(len(slots), name, thread, position, scalar, lo, hi, offset, width))
            offset += width
        record = offset if thread == 0 else record
    return tuple(slots), record


def _initial(protocol: Protocol, threads: int, slots: tuple[Slot, ...], room: Room) -> tuple[int, ...]:
    """The initial states: for each thread that may be the first, one for every way to start."""
    found = set()
    for first in range(threads):
        states = [0]
        for slot in slots:
            owner = -1 if slot.thread is None else slot.thread
            values = options(slot.domain, owner, first, threads, protocol.values)
            for value in values:
                if not slot.lo <= value <= slot.hi:
                    raise ProtocolError(f"variable {slot.name} starts at {value}, outside {slot.lo}..{slot.hi}")
            room.take(len(states) * (len(values) - 1), "initial states")
            states = [state | (value - slot.lo) << slot.offset for state in states for value in values]
        found |= set(states)
    return tuple(sorted(found))
