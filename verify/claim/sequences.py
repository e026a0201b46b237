"""The instructions of closed code, next to the original: each is the original itself, it with another field, or fixed.

Which instructions there are is found by walking from the first byte along what follows and along relative branches;
what is reached in another way only is met when the run comes there, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from verify.claim.copies import Answer, Relation, relation
from verify.models.schemes.code import Byte, Code, Word
from verify.models.schemes.expression_text import expression
from verify.models.schemes.vocabulary import field_of, variables
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.forms import Addressing
from verify.terms import const

WINDOW: Final = 16  # bytes that are decoded at an offset
WORD_SIZE: Final = 8  # bytes of a literal that the code holds for itself
Places = Callable[[int, int], str | None]  # which field of the original lies at an offset of a size


@dataclass(frozen=True, slots=True)
class Piece:
    """One instruction of closed code."""

    offset: int  # bytes from the beginning
    data: bytes  # from there on, at least 16; words as zero bytes
    read: Answer
    relation: Relation | None  # to the original; None: it has nothing of the original but in words
    words: tuple[tuple[str, Word], ...]  # fields that are words: "disp" or "imm0", "imm1"
    literals: tuple[tuple[int, Word], ...]  # what it reads of the code itself, by offset
    onward: tuple[int, ...]  # offsets to which it may lead


def flat(code: Code) -> list[tuple[Byte | Word, int]]:
    """The piece that each byte belongs to, and which of its bytes it is."""
    return [(p, i) for p in code.pieces for i in range(1 if isinstance(p, Byte) else p.size)]


def bytes_of(code: Code, data: bytes) -> bytes:
    """The bytes of closed code where these are at the probe; words are zero."""
    return bytes(p.of(data) if isinstance(p, Byte) else 0 for p, _ in flat(code))


def pieces_of(
    code: Code, data: bytes, old: Decoded | None, decoded: Callable[[bytes], Answer]
) -> tuple[Piece, ...] | None:
    """Every instruction that is reached, by offset; None where a word is no field of one, or bytes of the original are
    another instruction's.

    `data`: the bytes at the probe, which begin with the original `old`; None: whatever it is, all bytes are constants.
    """
    found: dict[int, Piece] = {}
    stops = {here for here, _ in code.locations if here}
    todo, whole = [0], bytes_of(code, data)
    while todo:
        offset = todo.pop()
        if offset in found or offset in stops or not 0 <= offset < code.length:
            continue
        piece = piece_at(code, offset, whole, data, old, decoded)
        if piece is None:
            return None
        found[offset] = piece
        todo += piece.onward
    return tuple(found[o] for o in sorted(found))


def piece_at(
    code: Code, offset: int, whole: bytes, data: bytes, old: Decoded | None, decoded: Callable[[bytes], Answer]
) -> Piece | None:
    """The instruction at an offset; None as of `pieces_of`.  `whole`: the code's bytes."""
    own = whole[offset:].ljust(WINDOW, b"\x06")  # behind the code stands what is no instruction
    read = decoded(own[:WINDOW])
    if not isinstance(read, Decoded):
        return Piece(offset, own, read, None, (), (), ())
    bytes_here = flat(code)[offset : offset + read.layout.length]
    words = _words(read, bytes_here)
    if words is None:
        return None
    found: Relation | None = None
    if old is not None and any(isinstance(p, Byte) and p.source is not None for p, _ in bytes_here):
        found = _related(old, bytes_here, words, data, read)
        if found is None:
            return None
    onward = tuple(_onward(read, offset, {name for name, _ in words}))
    return Piece(offset, own, read, found, words, _literals(code, read, offset, words), onward)


def _words(read: Decoded, pieces: list[tuple[Byte | Word, int]]) -> tuple[tuple[str, Word], ...] | None:
    """The fields that are words; None where a word is no field, or a field is not a whole word."""
    layout, found, covered = read.layout, [], set[int]()
    spots = {f"imm{i}": spot for i, spot in enumerate(layout.immediates)}
    if layout.disp_offset is not None and layout.disp_scale == 1:
        spots["disp"] = layout.disp_offset, layout.disp_size
    for name, (at, size) in spots.items():
        word, first = pieces[at] if at < len(pieces) else (None, 0)
        if isinstance(word, Word) and first == 0 and word.size == size:
            found.append((name, word))
            covered |= set(range(at, at + size))
    every = {i for i, (p, _) in enumerate(pieces) if isinstance(p, Word)}
    return tuple(found) if every == covered else None


def _related(
    old: Decoded, pieces: list[tuple[Byte | Word, int]], words: tuple[tuple[str, Word], ...], data: bytes,
    read: Decoded,
) -> Relation | None:  # fmt: skip
    """How it corresponds to the original but for its words, which must be the original's fields of that name."""
    layout = old.layout
    spots = {f"imm{i}": spot for i, spot in enumerate(layout.immediates)}
    if layout.disp_offset is not None:
        spots["disp"] = layout.disp_offset, layout.disp_size
    new = read.layout
    mine = {f"imm{i}": spot for i, spot in enumerate(new.immediates)} | {"disp": (new.disp_offset, new.disp_size)}
    if any(spots.get(name) != mine[name] for name, _ in words):
        return None
    plain = Code(tuple(p if isinstance(p, Byte) else Byte(i) for i, (p, _) in enumerate(pieces)))
    return relation(old, plain, data, lambda: read)


def _onward(read: Decoded, offset: int, words: set[str]) -> Iterator[int]:
    """What stands behind it, unless it never goes on there, and where a relative branch leads within the code."""
    opcode, layout = read.form.opcode, read.layout
    behind = offset + layout.length
    if opcode.flow_control not in {"UNCONDITIONAL_BRANCH", "INDIRECT_BRANCH", "RETURN"}:
        yield behind
    if opcode.op_kinds and opcode.op_kinds[0].startswith("br") and "imm0" not in words:
        at, size = layout.immediates[0]
        yield behind + int.from_bytes(read.data[at : at + size], "little", signed=True)


def _literals(
    code: Code, read: Decoded, offset: int, words: tuple[tuple[str, Word], ...]
) -> tuple[tuple[int, Word], ...]:
    """The eight bytes, a word or constants, that a rip-relative operand without a word of its own points to."""
    layout = read.layout
    if read.form.addressing is not Addressing.RIP or layout.disp_offset is None or "disp" in dict(words):
        return ()
    raw = read.data[layout.disp_offset : layout.disp_offset + layout.disp_size]
    at = offset + layout.length + int.from_bytes(raw, "little", signed=True)
    held = _word(flat(code)[at : at + WORD_SIZE]) if at >= 0 else None
    return ((at, held),) if held is not None else ()


def _word(pieces: list[tuple[Byte | Word, int]]) -> Word | None:
    """Eight bytes of code as a word, where they are one or are constants."""
    if len(pieces) < WORD_SIZE:
        return None
    piece, first = pieces[0]
    if isinstance(piece, Word):
        return piece if first == 0 and piece.size == WORD_SIZE else None
    constants = bytes(p.bits for p, _ in pieces if isinstance(p, Byte) and p.source is None)
    return Word(const(int.from_bytes(constants, "little"), 64), WORD_SIZE) if len(constants) == WORD_SIZE else None


def place_text(offset: int, length: int) -> int | str:
    """An offset, behind an original of that length what it is behind it; length 0: itself."""
    return offset if not length or offset < length else f"+{offset - length}"


def key_of(pieces: tuple[Piece, ...], places: Places, first: int) -> tuple[object, ...] | None:
    """What of the code obligations depend on; None where a word has a field that is none of the instruction's own.

    `first`: bytes of the original, where the code begins with it and its length is a variable; else 0.
    """
    found = []
    for p in pieces:
        texts = [(name, _text(w, places)) for name, w in p.words]
        texts += [(str(place_text(at, first)), _text(w, places)) for at, w in p.literals]
        if any(text is None for _, text in texts):
            return None
        length = p.read.layout.length if isinstance(p.read, Decoded) else 0
        what = p.relation if p.relation is not None else p.data[:length]
        length = 0 if first and p.offset == 0 else length
        onward = tuple(place_text(o, first) for o in p.onward)
        found.append((place_text(p.offset, first), length, what, tuple(texts), onward))
    return tuple(found)


def _text(word: Word, places: Places) -> str | None:
    """A word's expression with the instruction's own names of fields."""
    text = f"{expression(word.value)}:{word.size}"
    for v in variables(word.value):
        spot = field_of(v)
        if spot is not None:
            name = places(*spot)
            if name is None:
                return None
            text = text.replace(str(v.params[0]), name)
    return text
