"""Sorts and nodes of terms: immutable, interned, in an order that is the same in every process.  Nothing is rewritten.

A term is interned, so equal terms are the same object.  What its operations mean is SMT-LIB's theory of bit-vectors of
fixed size and of arrays; a memory is an array of bytes by 64-bit address, read and written little-endian, modulo 2**64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cmp_to_key
from typing import Final, NamedTuple
from zlib import crc32


class Array(NamedTuple):
    """The sort of a register file: 2**index_bits registers of value_bits bits."""

    name: str
    index_bits: int
    value_bits: int


class Opaque(NamedTuple):
    """An uninterpreted sort."""

    name: str


GPRS: Final = Array("Gprs", 4, 64)
VECTORS: Final = Array("Vectors", 5, 512)
MASKS: Final = Array("Masks", 3, 64)
MEMORY: Final = Opaque("Memory")

Sort = int | Array | Opaque  # an int is a bit-vector width, 1 or more


class Term:
    """One node; compare with `is`.  `key` is a structural hash, the same in every process; see `precedes`."""

    __slots__ = ("args", "key", "op", "params", "sort")
    op: str
    args: tuple[Term, ...]
    params: tuple[int | str, ...]
    sort: Sort
    key: int

    @property
    def width(self) -> int:
        """Bits of a bit-vector term; TypeError for register files and memory."""
        if not isinstance(self.sort, int):
            raise TypeError(f"a {self.sort} has no width")
        return self.sort

    @property
    def value(self) -> int | None:
        """The constant's value, unsigned; None where the term is not a constant."""
        return int(self.params[0]) if self.op == "const" else None

    def __repr__(self) -> str:
        return text(self)

    def __reduce__(self) -> tuple[object, ...]:
        return as_written, (self.op, self.args, self.params, self.sort)


_INTERNED: dict[tuple[object, ...], Term] = {}
_OP_CODE: dict[str, int] = {}


def _stable(item: int | str) -> int:
    return item if isinstance(item, int) else crc32(item.encode()) ^ 0x5BD1E995


def as_written(op: str, args: tuple[Term, ...], params: tuple[int | str, ...], sort: Sort) -> Term:
    """The node of that operation without any rewriting: what constructors end with, and for terms that are read."""
    identity = (op, args, params, sort)
    found = _INTERNED.get(identity)
    if found is not None:
        return found
    term = Term.__new__(Term)
    term.op, term.args, term.params, term.sort = op, args, params, sort
    code = _OP_CODE.get(op)
    if code is None:
        code = _OP_CODE[op] = _stable(op)
    bits = sort if isinstance(sort, int) else _stable(sort.name)
    # NOTE(datapath-names): order must not depend on an opcode's name, or equal obligations would not look equal.
    named = (str(params[0]).rpartition(".")[2],) if op == "uf" else params
    term.key = hash((code, bits, *[a.key for a in args], *[_stable(p) for p in named]))
    _INTERNED[identity] = term
    return term


def precedes(a: Term, b: Term) -> bool:
    """Whether a comes before b in the order of operands: total, and the same in every process.

    Keys decide; where two terms have one key (constants that differ by a multiple of 2**61 - 1, datapaths of two
    opcodes), their structure does, never which was made first.
    """
    return a.key < b.key or (a.key == b.key and _compared(a, b) < 0)


def _compared(a: Term, b: Term) -> int:
    """Negative, 0 or positive; the names of opcodes decide last."""
    if a is b:
        return 0
    if a.key != b.key:
        return -1 if a.key < b.key else 1
    first, second = _shape(a), _shape(b)
    if first != second:
        return -1 if first < second else 1
    return next((c for x, y in zip(a.args, b.args, strict=True) if (c := _compared(x, y))), _by_name(a, b))


def _shape(t: Term) -> tuple[object, ...]:
    """What a node is but for its arguments and the opcode's name."""
    named = (str(t.params[0]).rpartition(".")[2],) if t.op == "uf" else t.params
    sort = ("", t.sort) if isinstance(t.sort, int) else (t.sort.name, 0)
    return t.op, sort, len(t.args), tuple(("", p) if isinstance(p, int) else (p, 0) for p in named)


def _by_name(a: Term, b: Term) -> int:
    first, second = str(a.params), str(b.params)
    return (first > second) - (first < second)


def in_order(terms: Iterable[Term]) -> list[Term]:
    """Different terms, sorted by `precedes`."""
    found = list(terms)
    if len(found) > 1:
        found.sort(key=_key)
        if len({t.key for t in found}) < len(found):
            found.sort(key=cmp_to_key(_compared))
    return found


def _key(t: Term) -> int:
    return t.key


def const(value: int, width: int) -> Term:
    """The constant `value` modulo 2**width."""
    if width < 1:
        raise ValueError(f"width must be 1 or more, got {width}")
    return as_written("const", (), (value & ((1 << width) - 1),), width)


def var(name: str, sort: Sort) -> Term:
    """A free variable: bit-vector, register file or memory."""
    return as_written("var", (), (name,), sort)


def uf(name: str, sort: Sort, *args: Term) -> Term:
    """An uninterpreted function of everything in args."""
    return as_written("uf", args, (name,), sort)


TRUE: Final = const(1, 1)
FALSE: Final = const(0, 1)


def bit(value: bool) -> Term:
    """A one-bit constant."""
    return TRUE if value else FALSE


def postorder(roots: Iterable[Term]) -> Iterator[Term]:
    """Every term below the roots once, arguments before their users."""
    seen: set[Term] = set()
    stack = [(r, False) for r in reversed(list(roots))]
    while stack:
        term, expanded = stack.pop()
        if expanded:
            yield term
        elif term not in seen:
            seen.add(term)
            stack.append((term, True))
            stack.extend((a, False) for a in reversed(term.args) if a not in seen)


def text(term: Term) -> str:
    """A readable prefix form; shared subterms are repeated."""
    if term.op == "const":
        return f"0x{int(term.params[0]):x}:{term.width}"
    if term.op == "var":
        return str(term.params[0])
    head = " ".join([term.op, *(str(p) for p in term.params)])
    return f"({head} {' '.join(text(a) for a in term.args)})"
