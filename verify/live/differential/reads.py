"""What an outcome's terms read: of register files and memory by place, of other components as a whole.

Decides nothing about processors.  An output of its own may read less than the outcome as a whole: `Apart` says what all
outputs but one read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from verify.models.x86.machine import FLAG_BITS
from verify.terms import Term, postorder

FLAGS_GROUP: Final = "flags"  # all flags are one component here


@dataclass(frozen=True, slots=True)
class Read:
    """One read of the outcome: a register's bits, or bytes of memory; `where` is a term of the number or address."""

    kind: str  # gprs, vectors, masks, memory
    where: Term
    mask: int  # gprs, vectors, masks: the bits; memory: bytes


@dataclass(frozen=True, slots=True)
class Apart:
    """What is read by everything but the new value of one component (a register file, memory, "flags", mxcsr, ...)."""

    component: str
    masks: tuple[int, ...]  # as Read.mask, for each of the outcome's reads; 0: not read
    whole: frozenset[str]


def apart(
    outputs: Mapping[str, Sequence[Term]], others: Sequence[Term], reads: Sequence[Read], whole: frozenset[str]
) -> Iterator[Apart]:
    """The rows of those components without which less is read; `others`: fault, ip and what else is always compared."""
    groups: dict[str, set[str]] = {}
    for name in outputs:
        groups.setdefault(FLAGS_GROUP if name in FLAG_BITS else name, set()).add(name)
    full = tuple(read.mask for read in reads)
    for group, names in groups.items():
        rest = [t for name, terms in outputs.items() if name not in names for t in terms]
        if not any(t.op == "uf" for t in postorder(rest)):
            continue
        fewer, parts = read_set([*others, *rest])
        masks = {(read.kind, read.where): read.mask for read in fewer}
        found = tuple(masks.get((read.kind, read.where), 0) for read in reads)
        if found != full or parts != whole:
            yield Apart(group, found, parts)


def read_set(roots: Iterable[Term]) -> tuple[tuple[Read, ...], frozenset[str]]:
    """What the roots read of register files and memory, and the names of what they read as a whole.

    A store or a choice between register files passes the others through, which is no read; what is stored on one side
    of a choice counts as read, because the choice may leave it as it was.
    """
    terms = list(postorder(roots))
    top = {r for r in roots if not isinstance(r.sort, int)}
    used: dict[Term, int] = {}  # select -> bits of it that are used
    places: dict[tuple[str, Term], int] = {}
    whole: set[str] = set()
    for t in terms:
        for position, a in enumerate(t.args):
            if a.op == "select":
                used[a] = used.get(a, 0) | _bits_used(t)
            if a.op == "var" and not _passes(t, position):
                whole.add(str(a.params[0]))
        if t.op == "load":
            at = ("memory", t.args[1])
            places[at] = max(places.get(at, 0), int(t.params[0]))
    for t in terms:
        if t.op == "ite" and not isinstance(t.sort, int):
            for kind, where, mask in _stored(t):
                places[kind, where] = max(places.get((kind, where), 0), mask)
    for r in roots:
        if r.op == "select":
            used[r] = (1 << r.width) - 1
        if r.op == "var" and r not in top:
            whole.add(str(r.params[0]))
    for select, mask in used.items():
        at = (_file(select.args[0]), select.args[1])
        places[at] = places.get(at, 0) | mask
    return tuple(Read(kind, where, mask) for (kind, where), mask in places.items()), frozenset(whole)


def _stored(choice: Term) -> list[tuple[str, Term, int]]:
    """Registers and bytes that the sides of a choice write: kind, place, mask or size."""
    found = []
    for t in postorder([choice]):
        if t.op == "store":
            found.append((_file(t), t.args[1], (1 << 512) - 1))
        elif t.op == "write":
            found.append(("memory", t.args[1], t.args[2].width // 8))
    return found


def _bits_used(user: Term) -> int:
    """Bits of its argument that a term looks at."""
    if user.op == "extract":
        high, low = int(user.params[0]), int(user.params[1])
        return (1 << high + 1) - (1 << low)
    return (1 << 512) - 1


def _passes(user: Term, position: int) -> bool:
    """Whether argument `position` of `user`, a register file or memory, is only looked into or passed through."""
    if user.op in {"select", "load", "store", "write"}:
        return position == 0
    return user.op == "ite" and position > 0 and not isinstance(user.sort, int)


def _file(array: Term) -> str:
    """The register file that a term is made of."""
    return {"Gprs": "gprs", "Vectors": "vectors", "Masks": "masks"}[array.sort.name]  # type: ignore[union-attr]
