"""The instructions of a plan's closed code as semantics sees them, and what the plan says of words and addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import cast

from verify import terms
from verify.claim.copies import Answer, Relation
from verify.claim.probes import Probe
from verify.claim.sequences import Piece
from verify.models.schemes.behaviour import Part, Setup
from verify.models.schemes.code import Code, Word
from verify.models.schemes.meaning import closed
from verify.models.schemes.program import Program
from verify.models.schemes.vocabulary import field_of, variables
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.forms import Opcode
from verify.models.x86.mode import is_canonical
from verify.models.x86.semantics.run import Instruction
from verify.terms import Term, const

# Of what is read, whether it is the original with fields as variables, and which fields are given.
Made = Callable[[Answer, bool, Mapping[str, object]], Instruction]


class Parts:
    """What closed code is to the processor, instruction by instruction; raises ValueError where that is not known."""

    def __init__(self, p: Probe, symbolic: bool, setup: Setup, made: Made) -> None:
        self.probe, self.symbolic, self.setup, self.made = p, symbolic, setup, made
        self._known: dict[tuple[Code, int], Piece] = {}
        for code in p.codes:
            for piece in (p.pieces(code, not symbolic) or ()) if code.closed else ():
                self._known[code, piece.offset] = piece

    def __iter__(self) -> Iterator[tuple[Code, Piece]]:
        """Every instruction that is reached from the code's first byte."""
        yield from ((code, piece) for (code, _), piece in self._known.items())

    @property
    def relations(self) -> tuple[Relation, ...]:
        """How those that are the original's correspond to it."""
        return tuple(p.relation for _, p in self if p.relation is not None) if self.symbolic else ()

    def part(self, code: Code, offset: int) -> Part:
        """The instruction at an offset in bytes."""
        piece = self._known.get((code, offset))
        if piece is None:
            piece = self._known[code, offset] = self.probe.piece(code, offset)
        return Part(self._instruction(piece), piece.onward, self._place)

    def _place(self, offset: int) -> Term:
        """The address of an offset; behind the original, by the original's length."""
        length = self.probe.copied_first if self.symbolic else 0
        if not length or offset < length:
            return terms.add(self.setup.slot, const(offset, 64))
        return terms.add(terms.add(self.setup.slot, self.setup.length), const(offset - length, 64))

    def _instruction(self, piece: Piece) -> Instruction:
        given: dict[str, object] = {n: self._field(piece, n, w) for n, w in piece.words if n == "disp"}
        immediates = self._immediates(piece)
        if immediates is not None:
            given["immediates"] = immediates
        if piece.relation is not None and piece.relation.base is not None:
            base = const(piece.relation.base, 4)
            given |= {"base": base, "based": terms.TRUE, "indexed": terms.FALSE}
        made = self.made(piece.read, self.symbolic and piece.relation is not None, given)
        if not piece.literals:
            return made
        held = ((self._place(at), w.value) for at, w in piece.literals)
        return replace(made, literals=tuple((at, closed(value, self.setup)) for at, value in held))

    def _field(self, piece: Piece, name: str, word: Word) -> Term:
        """A word as a field: whole where it is a displacement or leads somewhere, since it fits; else cut."""
        value = closed(word.value, self.setup)
        leads = isinstance(piece.read, Decoded) and _is_relative(piece.read.form.opcode)
        return value if name == "disp" or leads or word.size == 8 else terms.extract(value, 8 * word.size - 1, 0)

    def _immediates(self, piece: Piece) -> tuple[Term, ...] | None:
        """All immediates, where one of them is a word or, next to the original, a constant."""
        words = {name: word for name, word in piece.words if name != "disp"}
        fixed = dict(piece.relation.fixed) if piece.relation is not None and self.symbolic else {}
        if not (words or fixed):
            return None
        read = cast(Decoded, piece.read)
        own = self.made(read, self.symbolic and piece.relation is not None, {}).fields.immediates
        return tuple(
            self._field(piece, f"imm{i}", words[f"imm{i}"]) if f"imm{i}" in words
            else const(fixed[i], t.width) if i in fixed else t
            for i, t in enumerate(own)
        )  # fmt: skip


def _is_relative(opcode: Opcode) -> bool:
    return any(k.startswith("br") for k in opcode.op_kinds)


def _literals(parts: Parts) -> Iterator[Word]:
    """The words that the code holds for itself, where a field of the original says what they are."""
    words = {word for _, piece in parts for _, word in piece.literals}
    return (w for w in sorted(words, key=lambda w: w.text) if any(map(field_of, variables(w.value))))


def plan_premises(plan: Program, parts: Parts, setup: Setup) -> Iterator[Term]:
    """One bit each: every word fits, where a literal leads is canonical, the slot lies as near as the plan says."""
    words = {word for _, piece in parts for _, word in piece.words if word.size < 8}
    for word in sorted(words, key=lambda w: w.text):
        value = closed(word.value, setup)
        yield terms.eq(terms.sext(terms.extract(value, 8 * word.size - 1, 0), 64), value)
    if "canonical-targets" in setup.assumptions:
        yield from (is_canonical(closed(w.value, setup), setup.mode) for w in _literals(parts))
    if plan.reach:
        above = terms.ult(terms.sub(setup.slot, setup.origin), const(plan.reach, 64))
        yield terms.or_(above, terms.ult(terms.sub(setup.origin, setup.slot), const(plan.reach, 64)))
