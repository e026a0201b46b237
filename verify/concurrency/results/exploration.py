"""Results: verdicts, traces and counts of one exploration.

Decides how what an engine saw becomes verdicts; an incomplete search never gives Proved for an invariant.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Literal

from verify.concurrency.instance.instance import Model, Transition

FEWER: Final = "there are fewer threads than it is about"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a run: bytes of memory, stored states, units of work (None: none, or what the method says).

    A unit of work is about a microsecond on the machine that weighed them, whatever the engine: Z3's resource units,
    and operations of the others as their modules weigh them. The same run takes the same units on every machine and
    under every load. `seconds` is a user's choice: nothing in this package sets it.
    """

    memory: int | None = None
    states: int | None = None
    seconds: float | None = None
    work: int | None = None

    def at_most(self, work: int) -> Limits:
        """The same, with no more than so many units of work."""
        return replace(self, work=work if self.work is None else min(work, self.work))


class BoundHit(Exception):
    """A bound of the run was hit."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Event:
    """One transition of a trace: who did what, and what changed as (variable, before, after)."""

    actor: str
    action: str
    changes: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """An interleaving from an initial state. `loop` is the index of the state to which a lasso returns, else None;
    `start`: the cells in which initial states differ, with their values in this one."""

    property: str
    events: tuple[Event, ...]
    states: tuple[int, ...]
    loop: int | None = None
    actors: tuple[str, ...] = ()
    start: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Proved:
    """Holds in every reachable state (or, for `sometimes`, was reached)."""

    name: ClassVar[Literal["proved"]] = "proved"


@dataclass(frozen=True, slots=True)
class Refuted:
    """Does not hold; `trace` is the shortest interleaving that shows it (None where nothing can be shown: a goal that
    no state satisfies)."""

    trace: Trace | None = None
    name: ClassVar[Literal["refuted"]] = "refuted"


@dataclass(frozen=True, slots=True)
class Vacuous:
    """The premise holds in no reachable state."""

    reason: str
    name: ClassVar[Literal["vacuous"]] = "vacuous"


@dataclass(frozen=True, slots=True)
class Unknown:
    """Not decided, and why."""

    reason: str
    name: ClassVar[Literal["unknown"]] = "unknown"


Verdict = Proved | Refuted | Vacuous | Unknown


@dataclass(frozen=True, slots=True)
class Discovery:
    """The first state at which something was seen, and the length of the shortest way there (-1: not measured).

    `path` is that way, from an initial state, where the engine has it.
    """

    depth: int
    state: int
    path: tuple[int, ...] = ()


@dataclass(slots=True)
class Search:
    """What an engine found. `states` and `transitions` count the full space, also where `stored` counts orbits.

    `seen[i]` is for `model.observations[i]`, and `deadlock` for a state without successors that is not terminal.
    """

    engine: str
    symmetric: bool
    stored: int = 0
    states: int = 0
    transitions: int = 0
    depth: int = 0
    complete: bool = False
    reason: str = ""
    seconds: float = 0.0
    bytes: int = 0
    seen: dict[int, Discovery] = field(default_factory=dict)
    deadlock: Discovery | None = None
    diagram: Any = None  # what the decision-diagram engine can be asked further
    taken: set[str] = field(default_factory=set)  # the names of the steps that some state takes
    levels: object = None  # what the numpy engine kept: its levels, and the transitions between them


@dataclass(frozen=True, slots=True)
class Exploration:
    """The result for one protocol, variant and number of threads.

    `never`: the steps that no reachable state takes, of a complete exploration; also those of more threads.
    states and transitions: of the full space; stored: what the engine kept (orbits under thread symmetry);
    depth: transitions on the longest shortest way; bytes: memory of the stored states (0: unknown).
    """

    protocol: str
    variant: str
    threads: int
    parameters: tuple[tuple[str, int | bool], ...]
    engine: str
    symmetric: bool
    states: int
    transitions: int
    stored: int
    depth: int
    complete: bool
    reason: str
    properties: tuple[tuple[str, Verdict], ...]
    seconds: float
    bytes: int
    never: tuple[str, ...] = ()

    def verdict(self, name: str) -> Verdict:
        """The verdict of the named property."""
        return dict(self.properties)[name]

    @property
    def decided(self) -> bool:
        """Whether nothing is left open."""
        return self.complete and not any(isinstance(found, Unknown | Vacuous) for _, found in self.properties)

    @property
    def traces(self) -> tuple[Trace, ...]:
        """The counterexamples."""
        return tuple(v.trace for _, v in self.properties if isinstance(v, Refuted) and v.trace is not None)


def safety(model: Model, search: Search) -> dict[str, Verdict | Discovery]:
    """Verdicts of always, sometimes and deadlock; a `Discovery` where the property is refuted and awaits its trace."""
    found: dict[str, Verdict | Discovery] = {}
    pending = Unknown(f"incomplete: {search.reason}")
    roles = {(item.property, item.role): index for index, item in enumerate(model.observations)}
    for prop in model.protocol.properties:
        match prop.kind:
            case "always" | "sometimes" if len(prop.threads) > model.threads:
                found[prop.name] = Vacuous(FEWER)
            case "always":
                bad = search.seen.get(roles[prop.name, "bad"])
                premise = roles.get((prop.name, "premise"))
                if bad is not None:
                    found[prop.name] = bad
                elif not search.complete:
                    found[prop.name] = pending
                elif premise is not None and premise not in search.seen:
                    found[prop.name] = Vacuous("the premise holds in no reachable state")
                else:
                    found[prop.name] = Proved()
            case "sometimes":
                reached = roles[prop.name, "goal"] in search.seen
                found[prop.name] = Proved() if reached else Refuted() if search.complete else pending
            case "deadlock":
                closed = Proved() if search.complete else pending
                found[prop.name] = closed if search.deadlock is None else search.deadlock
    return found


def start(model: Model, state: int) -> tuple[tuple[str, str], ...]:
    """The cells in which the initial states differ, with their values in one of them."""
    columns = zip(model.slots, *map(model.cells, model.initial), strict=True)
    differ = {slot.number for slot, *values in columns if len(set(values)) > 1}
    cells = model.cells(state)
    return tuple((slot.label, slot.text(cells[slot.number])) for slot in model.slots if slot.number in differ)


def event(model: Model, before: int, transition: Transition, after: int) -> Event:
    """A transition as people read it."""
    old, new = model.cells(before), model.cells(after)
    changes = tuple(
        (slot.label, slot.text(old[slot.number]), slot.text(new[slot.number]))
        for slot in model.slots
        if old[slot.number] != new[slot.number]
    )
    return Event(transition.actor, transition.label, changes)
