"""A small ELF file, made field by field (gABI 4.1, chapters 4 and 5)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

TEXT_AT: Final = 0x1000  # file offset of .text
ADDRESS: Final = 0x401000
ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
X86_64, AARCH64 = 62, 183


def elf(
    path: Path, code: bytes, functions: Sequence[tuple[str, int, int]] = (), kind: int = ET_EXEC,
    machine: int = X86_64, headers: bool = True,
) -> Path:  # fmt: skip
    """An ELF file with a .text and function symbols (name, offset, size); without section headers: a segment alone."""
    names = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    strings, symbols = b"\0", bytes(24)
    base = 0 if kind == ET_REL else ADDRESS
    for name, at, size in functions:
        symbols += struct.pack("<IBBHQQ", len(strings), 0x12, 0, 1, base + at, size)  # global, function, section 1
        strings += name.encode() + b"\0"
    parts, rows, at = [], [bytes(64)], TEXT_AT
    for name, type_, flags, data, link, size in (
        (b".text", 1, 6, code, 0, 0), (b".symtab", 2, 0, symbols, 3, 24), (b".strtab", 3, 0, strings, 0, 0),
        (b".shstrtab", 3, 0, names, 0, 0),
    ):  # fmt: skip
        address = base if name == b".text" else 0
        first = names.index(name), type_, flags, address, at, len(data)
        rows.append(struct.pack("<IIQQQQIIQQ", *first, link, 1, 1, size))
        parts.append(data)
        at += len(data)
    count = len(rows) if headers else 0
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, base, 64, at if headers else 0, 0, 64, 56, 1, 64, count,
                        4 if headers else 0)  # fmt: skip
    head += struct.pack("<IIQQQQQQ", 1, 5, TEXT_AT, base, base, len(code), len(code), 4096)
    path.write_bytes(head.ljust(TEXT_AT, b"\0") + (b"".join(parts + rows) if headers else code))
    return path
