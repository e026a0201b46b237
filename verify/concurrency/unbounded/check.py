"""The independent check of an invariant: initial, inductive, implies the properties; by two solvers, and by force.

Takes the clauses as they are stored; knows nothing of how they were found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from verify.concurrency.explorer import explore
from verify.concurrency.language.protocol import DEADLOCK, Protocol
from verify.concurrency.language.terms import PropertyTerm
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded.clauses import Clause, of_property, read
from verify.concurrency.unbounded.cutoffs import at_given_sizes
from verify.concurrency.unbounded.smtlib import SmtQuery, problems
from verify.concurrency.unbounded.solvers import SOLVERS
from verify.report.explorations import StoredInvariant
from verify.report.records import decoded, indented


@dataclass(frozen=True, slots=True)
class Checked:
    """`failed` names the conditions that are not "unsat" as (solver, condition, answer); empty: checked.

    `proved` are the properties that the clauses imply; `solvers` those that were there.
    """

    proved: tuple[str, ...]
    failed: tuple[tuple[str, str, str], ...]
    solvers: tuple[str, ...]
    conditions: int

    @property
    def holds(self) -> bool:
        """Whether every condition was proved by every solver, and there was one."""
        return bool(self.solvers) and not self.failed


def check(
    protocol: Protocol,
    clauses: tuple[Clause, ...],
    solvers: tuple[str, ...] = ("z3", "cvc5"),
    deadlock: bool = False,
) -> Checked:
    """Checks the clauses with each of the solvers that is installed; with `deadlock` that they exclude one, too."""
    asked = problems(protocol, clauses, deadlock)
    there = tuple(name for name in solvers if SOLVERS[name].available())
    failed = [
        (name, problem.name, answer)
        for name in there
        for problem in asked
        if (answer := SOLVERS[name].answer(SOLVERS[name].units, problem.text)) != "unsat"
    ]
    proved = (*implied(protocol, clauses), *((DEADLOCK,) if deadlock else ()))
    return Checked(proved, tuple(failed), there, len(asked))


def implied(protocol: Protocol, clauses: tuple[Clause, ...]) -> tuple[str, ...]:
    """The invariants of the protocol that are among the clauses, name and meaning."""
    return tuple(
        prop.name for prop in protocol.properties if prop.kind == "always" and any(_says(c, prop) for c in clauses)
    )


def _says(clause: Clause, prop: PropertyTerm) -> bool:
    own = of_property(prop)
    return (clause.name, clause.threads, clause.canonical) == (own.name, own.threads, own.canonical)


def by_force(
    protocol: Protocol, clauses: tuple[Clause, ...], threads: int, limits: Limits | None = None
) -> dict[str, str]:
    """The verdict of each clause in every reachable state of `threads` threads."""
    asked = tuple(replace(clause.as_property(), name=f"{i}:{clause.name}") for i, clause in enumerate(clauses))
    end = tuple(prop for prop in protocol.properties if prop.kind == "deadlock")
    explored = explore(replace(protocol, properties=(*asked, *end), expected=()), threads, limits=limits or Limits())
    return {prop.name: explored.verdict(prop.name).name for prop in asked}


@dataclass(frozen=True, slots=True)
class Stored:
    """The invariant of a file: clauses about `protocol`, which has the file's sizes written in where it is for these
    only; `deadlock`: they exclude one. `sizes`: those of the file, empty: any."""

    protocol: Protocol
    clauses: tuple[Clause, ...]
    deadlock: bool
    sizes: tuple[tuple[str, int], ...]

    def check(self, solvers: tuple[str, ...] = ("z3", "cvc5")) -> Checked:
        """Checks everything that the file claims."""
        return check(self.protocol, self.clauses, solvers, self.deadlock)


def stored(
    protocol: Protocol, clauses: tuple[Clause, ...], deadlock: bool = False, sizes: Mapping[str, int] | None = None
) -> str:
    """The text of an invariant file. `sizes`: those written into the protocol (`cutoffs.at_given_sizes`)."""
    return indented(StoredInvariant(
        protocol=protocol.name, variant=protocol.variant,
        covers="any number of threads; " + _sizes(protocol, sizes or {}),
        flags={name: value for name, value in protocol.parameters if isinstance(value, bool)}, sizes=dict(sizes or {}),
        proves=(*implied(protocol, clauses), *((DEADLOCK,) if deadlock else ())),
        clauses=tuple(clause.row() for clause in clauses),
    )) + "\n"  # fmt: skip


def _sizes(protocol: Protocol, fixed: Mapping[str, int]) -> str:
    sizes = [name for name, value in protocol.parameters if not isinstance(value, bool)]
    if fixed:
        return ", ".join(f"{name} = {value}" for name, value in fixed.items())
    return f"every {', '.join(sizes)} of at least 1" if sizes else "no sizes"


def load(protocol: Protocol, path: Path) -> Stored:
    """The invariant of a file. Raises ProtocolError, or ValueError where the file is another protocol's."""
    file = decoded(path.read_bytes(), StoredInvariant)
    name = (file.protocol, file.variant)
    if name != (protocol.name, protocol.variant):
        raise ValueError(f"{path.name} holds the invariant of {name}, expected {(protocol.name, protocol.variant)}")
    about = at_given_sizes(protocol.with_parameters(**file.sizes)) if file.sizes else protocol
    clauses = tuple(read(about, clause) for clause in file.clauses)
    return Stored(about, clauses, DEADLOCK in file.proves, tuple(file.sizes.items()))


__all__ = ["Checked", "SmtQuery", "Stored", "by_force", "check", "implied", "load", "stored"]
