"""What becomes of a seeded fault: killed by a verdict or a stored invariant, equivalent, or survivor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from protocol_equivalence import equivalent
from protocol_faults import Fault

from verify.concurrency.explorer import explore
from verify.concurrency.language.domains import DomainOverflow
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.language.terms import PropertyTerm
from verify.concurrency.protocols import protocol
from verify.concurrency.results import manifest
from verify.concurrency.unbounded import check
from verify.report.explorations import RecordedRun

KILLED = ("verdict", "overflow", "invariant")
FATES = (*KILLED, "equivalent", "counts", "survives")
INVARIANTS = Path(__file__).resolve().parents[2] / "proofs" / "protocols" / "invariants"


@dataclass(frozen=True, slots=True)
class Fate:
    """One of `FATES`, and why; "counts": no verdict changes, the recorded counts do."""

    fault: Fault
    fate: str
    reason: str

    @property
    def killed(self) -> bool:
        """Whether a check tells the fault."""
        return self.fate in KILLED


@cache
def clauses(name: str) -> tuple[PropertyTerm, ...]:
    """The clauses of the stored invariant as properties; none where nothing is stored."""
    path, right = INVARIANTS / f"{name}.json", protocol(name)
    found = check.load(right, path).clauses if path.exists() else ()
    return tuple(replace(clause.as_property(), name=f"clause {i}: {clause.name}") for i, clause in enumerate(found))


@cache
def recorded(name: str) -> RecordedRun:
    """The recorded run of the right protocol."""
    found = [run for run in manifest.read(INVARIANTS.parent, name).values() if run.variant == ""]
    return next(run for run in found if run.threads == protocol(name).threads)


def watched(faulty: Protocol) -> Protocol:
    """The protocol with the clauses of its stored invariant as further properties."""
    return replace(faulty, properties=(*faulty.properties, *clauses(faulty.name)))


def fate(fault: Fault) -> Fate:
    """Judges one fault at its protocol's own number of threads."""
    right = protocol(fault.protocol.name)
    try:
        found = explore(watched(fault.protocol), right.threads)
    except DomainOverflow as error:
        return Fate(fault, "overflow", str(error))
    assert found.complete, found.reason
    wrong = [f"{name} {verdict.name}" for name, verdict in found.properties if verdict.name != "proved"]
    own = [reason for reason in wrong if not reason.startswith("clause ")]
    if own:
        return Fate(fault, "verdict", own[0])
    if any(reason.endswith(" refuted") for reason in wrong):
        return Fate(fault, "invariant", next(reason for reason in wrong if reason.endswith(" refuted")))
    same = equivalent(fault, right, right.threads)
    if same:
        return Fate(fault, "equivalent", same)
    before = recorded(right.name)
    differs = (found.states, found.transitions) != (before.states, before.transitions)
    text = f"{found.states} states, {found.transitions} transitions"
    return Fate(fault, "counts" if differs else "survives", text)
