"""What is said of protocols: what they are, verdicts for a number of threads and for any, and traces."""

from __future__ import annotations

from typing import Literal

from verify.report.records import Document, Record

PropertyVerdict = Literal["proved", "refuted", "vacuous", "unknown"]
Size = int | bool


class ChangeRow(Record, frozen=True, kw_only=True):
    """A variable that an event changed."""

    variable: str
    before: str
    after: str


class EventRow(Record, frozen=True, kw_only=True):
    """One step of a trace: who did what, and what that changed."""

    actor: str
    action: str
    changes: tuple[ChangeRow, ...]


class TraceRow(Record, frozen=True, kw_only=True):
    """A counterexample of a property; `loop`: the number of the event at which a lasso returns.

    `threads`: how many it takes, where the result is for any number.
    """

    threads: int | None = None
    property: str
    length: int
    loop: int | None
    events: tuple[EventRow, ...]


class Explored(Document, frozen=True, kw_only=True, tag="ubp-verify/interleavings/1"):
    """What `interleavings` says of a protocol for a number of threads.

    `states`, `transitions`: of the whole graph; `stored`: orbits where it is symmetric; `depth`: none where the engine
    does not measure it; `complete`: false where a bound was hit (`reason`); `never_taken`: the steps that no reachable
    state takes; `bytes`: memory for states.
    """

    protocol: str
    variant: str | None
    threads: int
    parameters: dict[str, Size]
    engine: str
    symmetric: bool
    states: int
    transitions: int
    stored: int
    depth: int | None
    complete: bool
    reason: str
    properties: dict[str, PropertyVerdict]
    never_taken: tuple[str, ...]
    reasons: dict[str, str]
    traces: tuple[TraceRow, ...]
    seconds: float
    bytes: int


class PropertyRow(Record, frozen=True, kw_only=True):
    """A property's verdict, with its reason."""

    verdict: PropertyVerdict
    reason: str


class ExploredForAny(Document, frozen=True, kw_only=True, tag="ubp-verify/interleavings-any/1"):
    """What `interleavings --threads any` says of a protocol."""

    protocol: str
    variant: str | None
    threads: Literal["any"]
    properties: dict[str, PropertyRow]
    traces: tuple[TraceRow, ...]
    seconds: float


class VariantRow(Record, frozen=True, kw_only=True):
    """A variant: its question, and the verdicts that differ from the protocol's."""

    question: str
    expected: dict[str, PropertyVerdict]


class DescribedProtocol(Document, frozen=True, kw_only=True, tag="ubp-verify/protocols/1"):
    """What `protocols` says of a protocol; `properties`: the verdict that is declared of each."""

    protocol: str
    question: str
    threads: int
    parameters: dict[str, Size]
    steps: tuple[str, ...]
    properties: dict[str, PropertyVerdict]
    assumptions: dict[str, str]
    variants: dict[str, VariantRow]
