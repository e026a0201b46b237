"""Parts of a ground model: cells, transitions, observations; and the memory that a model may take while it is made."""

from __future__ import annotations

from dataclasses import dataclass

from verify.concurrency.instance.dag import Node
from verify.concurrency.language.domains import Scalar, TooLarge, shown
from verify.concurrency.language.terms import StepTerm

PART_BYTES = 500  # of a node, a cell or a value, with what refers to it


@dataclass(frozen=True, slots=True)
class Slot:
    """One cell of a state: bits offset..offset+width-1 hold value - lo; `thread` is its owner, None where shared."""

    number: int
    variable: str
    thread: int | None
    index: int | None
    domain: Scalar
    lo: int
    hi: int
    offset: int
    width: int

    @property
    def name(self) -> str:
        """`pc`, `slot[1]`: the variable as a step writes it."""
        return self.variable if self.index is None else f"{self.variable}[{self.index}]"

    @property
    def label(self) -> str:
        """The cell with its thread: `thread 0: pc`."""
        return self.name if self.thread is None else f"thread {self.thread}: {self.name}"

    def text(self, value: int) -> str:
        """A value of this cell for people."""
        return shown(self.domain, value)


@dataclass(frozen=True, slots=True)
class DomainCheck:
    """`holds` must be 1 whenever the transition is taken, or `value` leaves the domain of `target`."""

    holds: Node
    target: str
    value: Node
    domain: Scalar | None


@dataclass(frozen=True, slots=True)
class Transition:
    """One instance of a step: where `guard` is 1, all `updates` happen at once; values are read before."""

    number: int
    step: StepTerm
    threads: tuple[int, ...]
    choices: tuple[int, ...]
    guard: Node
    updates: tuple[tuple[int, Node], ...]
    checks: tuple[DomainCheck, ...]

    @property
    def actor(self) -> str:
        """Who acts: "thread 0", or the step's named actor."""
        return f"thread {self.threads[0]}" if self.threads else self.step.actor

    @property
    def label(self) -> str:
        """The step with what else it chose: `fork (thread 2)`."""
        others = [f"thread {thread}" for thread in self.threads[1:]] + [str(choice) for choice in self.choices]
        return self.step.name + (f" ({', '.join(others)})" if others else "")

    @property
    def fair_threads(self) -> tuple[int, ...]:
        """The threads for each of which the step is fair by itself."""
        return tuple(t for name, t in zip(self.step.threads, self.threads, strict=True) if self._fair_over(name))

    @property
    def fair_instance(self) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
        """What a run is fair to, where the step is fair: its name, and the threads and choices it is fair over."""
        names = (name for name, _ in self.step.choices)
        chosen = tuple(c for name, c in zip(names, self.choices, strict=True) if self._fair_over(name))
        return self.step.name, self.fair_threads, chosen

    def _fair_over(self, name: str) -> bool:
        return self.step.fair_over is None or name in self.step.fair_over


@dataclass(frozen=True, slots=True)
class Observation:
    """Something to be seen of a state: `role` is "bad", "premise" or "goal" of the named property."""

    property: str
    role: str
    node: Node


class Room:
    """The memory that a model may take while it is made: an estimate, from the number of its parts."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.taken = most, 0

    def take(self, parts: int, what: str) -> None:
        """Takes room for some parts. Raises TooLarge where there is none."""
        self.taken += parts * PART_BYTES
        if self.most is not None and self.taken > self.most:
            raise TooLarge(f"more than {self.most} bytes for the model: {parts} {what}")
