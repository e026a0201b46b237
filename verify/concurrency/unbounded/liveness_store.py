"""Stored certificates of liveness: made anew, and written only if the independent check agrees."""

from __future__ import annotations

from dataclasses import replace as changed
from pathlib import Path

from verify.concurrency.explorer import explore
from verify.concurrency.language.protocol import DEADLOCK, Protocol
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded import check, fair_views, store, views
from verify.concurrency.unbounded.budget import Budget
from verify.concurrency.unbounded.certificate_check import RuleCheck, Views
from verify.concurrency.unbounded.certificate_conditions import Conditions
from verify.concurrency.unbounded.certificates import certificate
from verify.concurrency.unbounded.clauses import Clause, of_property
from verify.concurrency.unbounded.cutoffs import at_given_sizes
from verify.concurrency.unbounded.encoding import NotCovered
from verify.concurrency.unbounded.solvers import SOLVERS
from verify.ledger.files import locked, replace
from verify.report.explorations import StoredLiveness
from verify.report.records import decoded, indented

UNITS = 20  # times what a condition of an invariant may take


def path_of(folder: Path, protocol: Protocol) -> Path:
    """Where the certificate of a protocol is, in the folder of manifests."""
    return folder / store.FOLDER / "liveness" / f"{protocol.name}.json"


def record(folder: Path, protocol: Protocol, limits: Limits) -> check.Checked:
    """Writes the certificate of all `eventually` properties. Nothing is written where the check does not agree. Raises
    NotCovered, also where a property is left open, and OSError."""
    made = make(folder, protocol, limits)
    judged = judge_certificate(folder, protocol, made)
    if judged.holds:
        path = path_of(folder, protocol)
        with locked(path.parent):
            replace(path, (indented(made) + "\n").encode())
    return judged


def make(folder: Path, protocol: Protocol, limits: Limits) -> StoredLiveness:
    """The certificate; with the invariants that the stored one proves, where views alone leave something open."""
    wanted = [prop.name for prop in protocol.properties if prop.kind == "eventually"]
    reached = views.closed(protocol, 1, limits)
    known: tuple[str, ...] = ()
    for known in ((), _stored_invariants(folder, protocol)):
        single = fair_views.known_views(protocol, reached, known)
        found = fair_views.leads_to(protocol, reached.least, single, wanted, Budget(limits, fair_views.WORK))
        if not found.open:
            return certificate(protocol, found, bool(known))
    raise NotCovered(f"left open: {', '.join(found.open)}")


def _stored_invariants(folder: Path, protocol: Protocol) -> tuple[str, ...]:
    """The names of the properties that the stored invariant proves."""
    path = store.path_of(folder, protocol)
    if not path.exists():
        return ()
    stored = check.load(protocol, path)
    return check.implied(stored.protocol, stored.clauses)


def judge(folder: Path, protocol: Protocol) -> check.Checked | None:
    """The independent check of the stored certificate; None where there is none. Raises ValueError for another's."""
    path = path_of(folder, protocol)
    if not path.exists():
        return None
    return judge_certificate(folder, protocol, decoded(path.read_bytes(), StoredLiveness))


def judge_certificate(
    folder: Path, protocol: Protocol, stored: StoredLiveness, solvers: tuple[str, ...] = ("z3", "cvc5")
) -> check.Checked:
    """The independent check: conditions by each solver that is there, rules, and fewer threads by exploration."""
    about = _about(protocol, stored)
    found = Views.of(at_given_sizes(about), stored)
    conditions = Conditions(at_given_sizes(about), found, _invariant(folder, about, stored))
    asked = list(conditions.all())
    there = tuple(name for name in solvers if SOLVERS[name].available())
    failed = [
        (name, f"liveness: {query.name}", answer)
        for name in there
        for query in asked
        if (answer := SOLVERS[name].answer(UNITS * SOLVERS[name].units, query.text)) != "unsat"
    ]
    rules = RuleCheck(found, conditions.owners())
    for proof in stored.proves:
        if not rules.proof(proof):
            failed.append(("rules", f"liveness: {proof.property}", "not dropped"))
    failed += _fewer(about, stored)
    return check.Checked(tuple(proof.property for proof in stored.proves), tuple(failed), there, len(asked))


def _about(protocol: Protocol, stored: StoredLiveness) -> Protocol:
    """The protocol with the sizes of a certificate. Raises ValueError where it is another one's."""
    flags = {name: value for name, value in protocol.parameters if isinstance(value, bool)}
    if (stored.protocol, stored.variant, stored.flags) != (protocol.name, protocol.variant, flags):
        raise ValueError(f"a certificate of {stored.protocol} {stored.variant}, expected {protocol.name} with {flags}")
    kinds = {prop.name: (prop.kind, len(prop.threads)) for prop in protocol.properties}
    for proof in stored.proves:
        kind, threads = kinds.get(proof.property, ("", 0))
        if kind != "eventually" or threads > 1:
            raise ValueError(f"{proof.property} is no property of one thread that holds eventually")
    return protocol.with_parameters(**stored.sizes)


def _invariant(folder: Path, protocol: Protocol, stored: StoredLiveness) -> tuple[Clause, ...]:
    """The clauses of the stored invariant at the certificate's sizes, where it uses them."""
    if not stored.uses_invariant:
        return ()
    clauses = check.load(protocol, store.path_of(folder, protocol)).clauses
    end = tuple(prop for prop in protocol.properties if prop.name == DEADLOCK)
    named = tuple(changed(clause.as_property(), name=f"clause {i}") for i, clause in enumerate(clauses))
    fixed = at_given_sizes(changed(protocol, properties=(*named, *end), expected=()))
    return tuple(of_property(prop) for prop in fixed.properties if prop.name != DEADLOCK)


def _fewer(protocol: Protocol, stored: StoredLiveness) -> list[tuple[str, str, str]]:
    """What explorations of fewer threads than the certificate covers do not decide."""
    failed = list[tuple[str, str, str]]()
    for threads in range(1, stored.least):
        found = explore(protocol, threads)
        for proof in stored.proves:
            verdict = found.verdict(proof.property).name
            if verdict not in ("proved", "vacuous"):
                failed.append(("exploration", f"liveness: {proof.property} with {threads} threads", verdict))
    return failed
