"""Stored invariants: found anew, and written only if the independent check agrees."""

from __future__ import annotations

from pathlib import Path

from verify.concurrency.language.protocol import DEADLOCK, Protocol
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded import check, houdini
from verify.concurrency.unbounded.cutoffs import at_given_sizes
from verify.concurrency.unbounded.encoding import NotCovered
from verify.ledger.files import locked, replace

FOLDER = "invariants"


def path_of(folder: Path, protocol: Protocol) -> Path:
    """Where the invariant of a protocol is, in the folder of manifests."""
    return folder / FOLDER / f"{protocol.name}.json"


def record(folder: Path, protocol: Protocol, limits: Limits) -> check.Checked:
    """Writes the invariant of a protocol: for any sizes, or where that is not covered for the given ones.

    Nothing is written where a solver does not agree, or where the stored one proves more, by clauses that no template
    has. Raises NotCovered and OSError.
    """
    found, about, sizes = _found(protocol, limits)
    deadlock = DEADLOCK in found.proved
    judged = check.check(about, found.clauses, deadlock=deadlock)
    path = path_of(folder, protocol)
    if judged.holds and not _proved(protocol, path) - set(judged.proved):
        with locked(path.parent):
            replace(path, check.stored(about, found.clauses, deadlock, sizes).encode())
    return judged


def _proved(protocol: Protocol, path: Path) -> set[str]:
    """What the stored invariant proves; nothing where there is none."""
    if not path.exists():
        return set()
    stored = check.load(protocol, path)
    return {*check.implied(stored.protocol, stored.clauses), *((DEADLOCK,) if stored.deadlock else ())}


def _found(protocol: Protocol, limits: Limits) -> tuple[houdini.Invariant, Protocol, dict[str, int]]:
    try:
        return houdini.invariant(protocol, limits), protocol, {}
    except NotCovered:
        about = at_given_sizes(protocol)
        sizes = {name: value for name, value in protocol.parameters if not isinstance(value, bool)}
        return houdini.invariant(about, limits), about, sizes


def judge(folder: Path, protocol: Protocol) -> check.Checked | None:
    """The independent check of the stored invariant; None where there is none. Raises ValueError for another's."""
    path = path_of(folder, protocol)
    return check.load(protocol, path).check() if path.exists() else None
