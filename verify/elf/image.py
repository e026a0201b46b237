"""The executable sections of an x86-64 ELF file, its function symbols, and the places that both give names to.

Decides nothing about instructions.  Source: System V ABI, gABI 4.1, chapters 4 and 5, and the AMD64 supplement.
"""

from __future__ import annotations

import bisect
import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, cast

from elftools.elf.elffile import ELFFile

from verify.elf.notes import Sequence, StaticProbe, sequences, static_probes

SHF_EXECINSTR: Final = 4
PF_X: Final = 1
BEHIND: Final = 16  # bytes: an implementation that copies an instruction may look at as many
DF_TEXTREL: Final = 4
KINDS: Final = {"ET_REL": "relocatable object", "ET_EXEC": "executable", "ET_DYN": "shared object"}
FUNCTIONS: Final = {"STT_FUNC", "STT_GNU_IFUNC"}


class NotAnImage(ValueError):
    """The file is no x86-64 ELF file that can be read; the message says why, on one line."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function: its name, the offset of its first byte in its section, its size in bytes (0: not said)."""

    name: str
    at: int
    size: int


@dataclass(frozen=True, slots=True)
class Section:
    """Bytes that are executed: where they lie in memory (of a relocatable object: 0) and in the file.

    `symbols`: ascending by offset, one an offset. `behind`: the bytes of the file behind it, `BEHIND` of them, zeros
    beyond the file's end. `relocated`: offsets, ascending, at which the loader writes (text relocations).
    """

    name: str
    address: int
    offset: int
    code: bytes
    symbols: tuple[Symbol, ...] = ()
    behind: bytes = b""
    relocated: tuple[int, ...] = ()

    def symbol_before(self, at: int) -> Symbol | None:
        """The last function that begins at or before an offset, if the offset lies in it (or it has no size)."""
        n = bisect.bisect_right(self.symbols, at, key=lambda s: s.at)
        found = self.symbols[n - 1] if n else None
        return found if found is not None and (not found.size or at < found.at + found.size) else None

    def window(self, at: int, size: int) -> bytes:
        """`size` bytes of the file from an offset on, at most `BEHIND`."""
        return self.code[at : at + size] + self.behind[: max(0, at + size - len(self.code))]

    def is_relocated(self, at: int, length: int) -> bool:
        """Whether the loader writes into these bytes."""
        n = bisect.bisect_left(self.relocated, at)
        return n < len(self.relocated) and self.relocated[n] < at + length

    def starts(self) -> list[int]:
        """Offsets at which code surely begins: the section's first byte and every function, ascending."""
        return sorted({0, *(s.at for s in self.symbols)})


@dataclass(frozen=True, slots=True)
class Place:
    """A byte of a section."""

    section: Section
    at: int  # offset in the section

    @property
    def address(self) -> int:
        """Where it lies in memory, relative to the load address of a shared object; 64 bits."""
        return self.section.address + self.at

    @property
    def offset(self) -> int:
        """Where it lies in the file: what uprobes are registered at."""
        return self.section.offset + self.at

    def __str__(self) -> str:
        symbol = self.section.symbol_before(self.at)
        name, base = (symbol.name, symbol.at) if symbol is not None else (self.section.name, 0)
        return name if self.at == base and symbol is not None else f"{name}+{self.at - base:#x}"


@dataclass(frozen=True, slots=True)
class Image:
    """A file's code. `is_relocatable`: fields that the linker fills are not what they will be."""

    path: str
    kind: str
    is_relocatable: bool
    sections: tuple[Section, ...]
    probes: tuple[StaticProbe, ...] = ()
    sequences: tuple[Sequence, ...] = ()

    def at_address(self, address: int) -> Place | None:
        """The place of an address; None where no code lies there."""
        within = (s for s in self.sections if s.address <= address < s.address + len(s.code))
        section = next(within, None)
        return Place(section, address - section.address) if section is not None else None

    def place(self, text: str) -> Place:
        """The place that SYMBOL, SYMBOL+OFFSET or a file offset names.  Raises ValueError where there is none."""
        number = _number(text)
        return self._at_offset(number) if number is not None else self._at_symbol(text)

    def function(self, name: str) -> tuple[Section, Symbol]:
        """The function of that name and its section.  Raises ValueError where there is none."""
        for section in self.sections:
            for symbol in section.symbols:
                if symbol.name == name:
                    return section, symbol
        raise ValueError(f"no function {name!r} in {self.path}")

    def _at_offset(self, number: int) -> Place:
        for section in self.sections:
            if section.offset <= number < section.offset + len(section.code):
                return Place(section, number - section.offset)
        raise ValueError(f"no executable section of {self.path} has the file offset {number:#x}")

    def _at_symbol(self, text: str) -> Place:
        name, plus, rest = text.rpartition("+")
        offset = _number(rest) if plus else 0
        if offset is None:
            name, offset = text, 0
        section, start = self._named(name if plus else text)
        if start + offset >= len(section.code):
            raise ValueError(f"{text} lies beyond the section {section.name}")
        return Place(section, start + offset)

    def _named(self, name: str) -> tuple[Section, int]:
        """A section and an offset in it: of its own name, or of a function's."""
        own = next((s for s in self.sections if s.name == name), None)
        if own is not None:
            return own, 0
        section, symbol = self.function(name)
        return section, symbol.at


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def read(path: str | Path) -> Image:
    """The image of a file.  Raises NotAnImage, and OSError where the file cannot be opened."""
    if not _is_regular(path):  # a pipe has no end that one could wait for, a directory no bytes
        raise NotAnImage(f"{path}: not a regular file")
    with open(path, "rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _image(str(path), data)
        except NotAnImage:
            raise
        except Exception as error:  # the library's own errors, and whatever else wrong bytes make it raise
            said = " ".join(str(error).split()) or type(error).__name__
            raise NotAnImage(f"{path}: not an ELF file that can be read: {said}") from error


def _is_regular(path: str | Path) -> bool:
    return stat.S_ISREG(os.stat(path).st_mode)


def _image(path: str, data: mmap.mmap) -> Image:
    elf: Any = ELFFile(cast("IO[bytes]", data))  # it reads, seeks and tells
    if elf["e_machine"] != "EM_X86_64" or elf.elfclass != 64:
        raise NotAnImage(f"{path}: not for 64-bit x86: {elf['e_machine']}, {elf.elfclass} bits")
    kind = elf["e_type"]
    if kind not in KINDS:
        raise NotAnImage(f"{path}: {kind} has no code that is probed")
    sections = _sections(path, elf, data) or _segments(path, elf, data)
    if not sections:
        raise NotAnImage(f"{path}: no executable section and no executable segment")
    return Image(path, KINDS[kind], kind == "ET_REL", sections, static_probes(elf), sequences(elf))


def _sections(path: str, elf: Any, data: mmap.mmap) -> tuple[Section, ...]:
    """The executable sections of a file that has section headers."""
    found = {
        number: (s.name or f"section {number}", s["sh_addr"], s["sh_offset"], s["sh_size"])
        for number, s in enumerate(elf.iter_sections())
        if s["sh_flags"] & SHF_EXECINSTR and s["sh_type"] == "SHT_PROGBITS" and s["sh_size"]
    }
    symbols = _symbols(elf, {n: (0 if elf["e_type"] == "ET_REL" else row[1], row[3]) for n, row in found.items()})
    relocated = _text_relocations(elf)

    def section(number: int, name: str, address: int, offset: int, length: int) -> Section:
        written = tuple(a - address for a in relocated if address <= a < address + length)
        code, behind = _bytes(path, data, offset, length), _behind(data, offset + length)
        return Section(name, address, offset, code, symbols.get(number, ()), behind, written)

    return tuple(section(number, *row) for number, row in found.items())


def _behind(data: mmap.mmap, end: int) -> bytes:
    return data[end : end + BEHIND].ljust(BEHIND, b"\0")


def _text_relocations(elf: Any) -> list[int]:
    """Addresses that the loader writes, of a file that says that its code is among them; ascending."""
    dynamic = [s for s in elf.iter_sections() if s["sh_type"] == "SHT_DYNAMIC"]
    tags = [(t["d_tag"], t["d_val"]) for s in dynamic for t in s.iter_tags()]
    if not any(tag == "DT_TEXTREL" or (tag == "DT_FLAGS" and value & DF_TEXTREL) for tag, value in tags):
        return []
    tables = [s for s in elf.iter_sections() if s["sh_type"] in {"SHT_RELA", "SHT_REL"}]
    return sorted(r["r_offset"] for t in tables for r in t.iter_relocations())


def _segments(path: str, elf: Any, data: mmap.mmap) -> tuple[Section, ...]:
    """The executable segments, where section headers are stripped."""
    rows = [(s["p_vaddr"], s["p_offset"], s["p_filesz"]) for s in elf.iter_segments() if _is_code(s)]
    return tuple(
        Section(f"segment {n}", address, offset, _bytes(path, data, offset, length), (), _behind(data, offset + length))
        for n, (address, offset, length) in enumerate(rows)
    )


def _is_code(segment: Any) -> bool:
    return segment["p_type"] == "PT_LOAD" and bool(segment["p_flags"] & PF_X) and segment["p_filesz"] > 0


def _bytes(path: str, data: mmap.mmap, offset: int, length: int) -> bytes:
    if offset + length > len(data):
        raise NotAnImage(f"{path}: {length:#x} bytes of code at {offset:#x}, and the file has {len(data):#x}")
    return data[offset : offset + length]


def _symbols(elf: Any, extents: dict[int, tuple[int, int]]) -> dict[int, tuple[Symbol, ...]]:
    """By section: its functions, global names before others where several have an offset."""
    found: dict[int, dict[int, Symbol]] = {}
    tables = (s for s in elf.iter_sections() if s["sh_type"] in {"SHT_SYMTAB", "SHT_DYNSYM"})
    for symbol in chain.from_iterable(_functions(t) for t in tables):
        number, at = symbol["st_shndx"], symbol["st_value"]
        if number not in extents:
            continue
        base, length = extents[number]
        if base <= at < base + length and symbol.name:
            own = Symbol(symbol.name, at - base, symbol["st_size"])
            found.setdefault(number, {}).setdefault(own.at, own)
    return {number: tuple(by_offset[at] for at in sorted(by_offset)) for number, by_offset in found.items()}


def _functions(table: Any) -> Iterator[Any]:
    named = [s for s in table.iter_symbols() if s["st_info"]["type"] in FUNCTIONS]
    yield from sorted(named, key=lambda s: s["st_info"]["bind"] != "STB_GLOBAL")
