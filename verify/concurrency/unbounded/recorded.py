"""Stored proofs as a method: what the invariant and the certificate of a protocol prove, where their checks grant them.

Nothing of a file counts that some condition of it, by some solver or rule, is not granted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from verify.concurrency.language.protocol import Protocol
from verify.concurrency.unbounded import check, liveness_store, store
from verify.concurrency.unbounded.answers import Method
from verify.report.explorations import LivenessRule, StoredLiveness
from verify.report.records import decoded

CALLED = {"owner": "owner of ", "all": "all: ", "finite": "finite"}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the checks of the stored files said, and by which method each property is proved that they prove."""

    checks: tuple[check.Checked, ...] = ()
    methods: tuple[tuple[str, Method], ...] = ()

    @property
    def failed(self) -> tuple[tuple[str, str, str], ...]:
        """What is not granted: (solver, condition, answer)."""
        return tuple(failure for found in self.checks for failure in found.failed)

    @property
    def holds(self) -> bool:
        """Whether everything is granted that is stored."""
        return all(found.holds for found in self.checks)


def recorded(folder: Path, protocol: Protocol) -> Recorded:
    """The stored proofs of a protocol, judged by the independent checks. Raises ValueError for another's."""
    invariant, certificate = store.judge(folder, protocol), liveness_store.judge(folder, protocol)
    methods = () if invariant is None else _invariants(folder, protocol, invariant)
    if certificate is not None and certificate.holds:
        methods += _liveness(folder, protocol, invariant is not None and invariant.holds)
    return Recorded(tuple(found for found in (invariant, certificate) if found is not None), methods)


_Methods = tuple[tuple[str, Method], ...]


def _invariants(folder: Path, protocol: Protocol, judged: check.Checked) -> _Methods:
    """What a stored invariant proves, if it is granted: for its sizes, or for any of at least 1."""
    sizes = dict(check.load(protocol, store.path_of(folder, protocol)).sizes)
    mine = _sizes(protocol)
    if not judged.holds or (sizes not in ({}, mine)) or min(mine.values(), default=1) < 1:
        return ()
    return tuple((name, Method("stored invariant", not sizes or not mine)) for name in judged.proved)


def _liveness(folder: Path, protocol: Protocol, invariant: bool) -> _Methods:
    """What a granted certificate proves, for its sizes; one that uses the invariant stands with that."""
    stored = decoded(liveness_store.path_of(folder, protocol).read_bytes(), StoredLiveness)
    sizes = _sizes(protocol)
    if stored.sizes != sizes or (stored.uses_invariant and not invariant):
        return ()
    named = ", ".join(f"{name} = {value}" for name, value in sizes.items())
    name = "stored certificate" + (f" with {named}" if named else "")
    return tuple((one.property, Method(name, not sizes, tuple(map(text, one.rules)))) for one in stored.proves)


def _sizes(protocol: Protocol) -> dict[str, int]:
    return {name: value for name, value in protocol.parameters if not isinstance(value, bool)}


def text(rule: LivenessRule) -> str:
    """A rule with its helper and what its sub-proofs use, for people: `owner of slot[0] [step; fixup]`."""
    inner = sorted({text(below) for part in rule.parts for below in part})
    strong = " (strong)" if rule.rule == "strong" else ""
    said = CALLED.get(rule.rule, "") + rule.helper + strong
    return said + (f" [{'; '.join(inner)}]" if inner else "")
