"""What is said of a protocol for any number of threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from verify.concurrency.results.exploration import Exploration, Trace, Unknown, Vacuous


@dataclass(frozen=True, slots=True)
class Method:
    """A method that proved a property; `sizes`: also for every value of the integer parameters from 1 on. `rules`: what
    a proof of liveness uses, sub-proofs about other threads in brackets."""

    name: str
    sizes: bool
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProvedAny:
    """Holds for every number of threads; for `sometimes`: reached with `threads` threads."""

    methods: tuple[Method, ...]
    threads: int | None = None
    name: ClassVar[Literal["proved"]] = "proved"

    @property
    def sizes(self) -> bool:
        """Whether it also holds for any values of the integer parameters."""
        return any(method.sizes for method in self.methods)

    @property
    def reason(self) -> str:
        """What it was proved for, and by what."""
        return scope(self.methods) if self.threads is None else f"reached with {threads_text(self.threads)}"

    @property
    def rules(self) -> tuple[str, ...]:
        """What the proofs use, where they are of liveness."""
        return tuple(rule for method in self.methods for rule in method.rules)


def threads_text(number: int) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} thread{'s' if number != 1 else ''}"


def scope(methods: tuple[Method, ...]) -> str:
    """What was proved for which numbers and sizes, and by what."""
    sizes = "and any sizes" if any(method.sizes for method in methods) else "of the given sizes"
    return f"any number of threads {sizes}: {', '.join(method.name for method in methods)}"


@dataclass(frozen=True, slots=True)
class RefutedAny:
    """Does not hold with `threads` threads; the trace is the shortest. Of a goal (threads is None): `methods` prove
    that it is reached with no number of threads."""

    threads: int | None
    trace: Trace | None
    methods: tuple[Method, ...] = ()
    note: str = ""
    name: ClassVar[Literal["refuted"]] = "refuted"

    @property
    def reason(self) -> str:
        """With how many threads; or, of what is never reached, how far that is known."""
        if self.threads is None:
            return f"never reached, {scope(self.methods)}"
        return f"with {threads_text(self.threads)}" + (f": {self.note}" if self.note else "")


AnyVerdict = ProvedAny | RefutedAny | Vacuous | Unknown


@dataclass(frozen=True, slots=True)
class AnyNumber:
    """The result for one protocol and variant.

    `explored` are the explorations of small numbers, the last perhaps incomplete; `notes` says of each method what it
    did or why not.
    """

    protocol: str
    variant: str
    parameters: tuple[tuple[str, int | bool], ...]
    properties: tuple[tuple[str, AnyVerdict], ...]
    explored: tuple[Exploration, ...]
    notes: tuple[tuple[str, str], ...]
    seconds: float
    interrupted: bool = False

    @property
    def traces(self) -> tuple[tuple[int, Trace], ...]:
        """Number of threads and trace of each refutation that has one."""
        found = (verdict for _, verdict in self.properties if isinstance(verdict, RefutedAny))
        return tuple((v.threads, v.trace) for v in found if v.trace is not None and v.threads is not None)

    def verdict(self, name: str) -> AnyVerdict:
        """The verdict of the named property."""
        return dict(self.properties)[name]

    @property
    def decided(self) -> bool:
        """Whether nothing is left open."""
        return not any(isinstance(found, Unknown | Vacuous) for _, found in self.properties)
