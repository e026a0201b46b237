"""What is said of protocols: what they are, verdicts for a number of threads and for any, and traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from verify.report.records import Document, Record

PropertyVerdict = Literal["proved", "refuted", "vacuous", "unknown"]
PROPERTY_VERDICTS: Final[Mapping[str, PropertyVerdict]] = {
    "proved": "proved", "refuted": "refuted", "vacuous": "vacuous", "unknown": "unknown",
}  # fmt: skip
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
    """A counterexample of a property; `loop`: the number of the event at which a lasso returns; `start`: where it
    starts, of the variables that may start otherwise.

    `threads`: how many it takes, where the result is for any number.
    """

    threads: int | None = None
    property: str
    length: int
    loop: int | None
    start: dict[str, str] = msgspec.field(default_factory=dict)
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


class RecordedRun(Record, frozen=True, kw_only=True):
    """What a manifest keeps of an exploration, the same in every engine.

    `variant`: "" for the protocol itself; `orbits`, `depth`: none where they were not measured; `shortest`: transitions
    of the shortest trace of each safety property that is refuted.
    """

    variant: str
    threads: int
    parameters: dict[str, Size]
    states: int
    transitions: int
    orbits: int | None
    depth: int | None
    properties: dict[str, PropertyVerdict]
    shortest: dict[str, int]


class Manifest(Document, frozen=True, kw_only=True, tag="ubp-verify/manifest/1"):
    """The recorded runs of a protocol."""

    protocol: str
    runs: tuple[RecordedRun, ...]


class ClauseRow(Record, frozen=True, kw_only=True):
    """A clause of an invariant: `holds` is an expression of the protocol language, of these threads and indices.

    `indices`: the length of what each runs over, as an expression; they run from 0.
    """

    name: str
    holds: str
    threads: tuple[str, ...] = ()
    indices: dict[str, str] = msgspec.field(default_factory=dict)


class StoredInvariant(Document, frozen=True, kw_only=True, tag="ubp-verify/invariant/1"):
    """An inductive invariant of a protocol, for any number of threads.

    `sizes`: those that it is for, where it is not for any.
    """

    protocol: str
    variant: str
    covers: str
    flags: dict[str, bool]
    sizes: dict[str, int] = msgspec.field(default_factory=dict)
    proves: tuple[str, ...]
    clauses: tuple[ClauseRow, ...]


class LivenessRule(Record, frozen=True, kw_only=True):
    """A rule by which a certificate of liveness drops views; `helper`: the step, or of `owner` the shared cell;
    `parts`: the rules of its sub-proofs about other threads."""

    rule: Literal["weak", "strong", "owner", "all", "finite"]
    helper: str = ""
    parts: tuple[tuple[LivenessRule, ...], ...] = ()


class LivenessProof(Record, frozen=True, kw_only=True):
    """The proof of an `eventually` property: views in which its claim holds, and its premise does not, and rules."""

    property: str
    claimed: str
    unmet: str
    rules: tuple[LivenessRule, ...]


class StoredLiveness(Document, frozen=True, kw_only=True, tag="ubp-verify/liveness/1"):
    """A certificate that `eventually` properties hold for `least` threads and more, of the given sizes.

    Sets of views are ranges of numbers: `0-3 7`. `shared`, `records`: expressions of the protocol language about thread
    t; `views`: the records of each shared state, numbered through; `edges`: of a step and the part of t in it
    (`step: t`, `step: other`), `from>to` for every view; `enabled`: where the guard of a step of t or of nobody holds;
    `waits`: where it holds as soon as every thread is in one of the views of each set of `there`.
    """

    protocol: str
    variant: str
    covers: str
    least: int
    flags: dict[str, bool]
    sizes: dict[str, int]
    uses_invariant: bool = False
    proves: tuple[LivenessProof, ...]
    shared: tuple[str, ...]
    records: tuple[str, ...]
    views: tuple[str, ...]
    edges: dict[str, str]
    enabled: dict[str, str]
    waits: dict[str, str]
    there: dict[str, tuple[str, ...]]


class ExploredForAny(Document, frozen=True, kw_only=True, tag="ubp-verify/interleavings-any/2"):
    """What `interleavings --threads any` says of a protocol; `properties` and `reasons` as for a number of threads.

    `rules`: what a proof of liveness uses, sub-proofs about other threads in brackets.
    """

    protocol: str
    variant: str | None
    threads: Literal["any"]
    properties: dict[str, PropertyVerdict]
    reasons: dict[str, str]
    rules: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
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
