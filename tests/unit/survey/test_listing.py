"""Encodings as people have them at hand; the listings are what objdump 2.40 and perf 6.1 print."""

from __future__ import annotations

import pytest

from verify.survey.listing import encodings, lacks_bytes

OBJDUMP = b"""
/bin/true:     file format elf64-x86-64


Disassembly of section .init:

0000000000002000 <.init>:
    2000:\tf3 0f 1e fa          \tendbr64
    2004:\t48 83 ec 08          \tsub    $0x8,%rsp
    23c5:\t66 2e 0f 1f 84 00 00 \tcs nopw 0x0(%rax,%rax,1)
    23cc:\t00 00 00
\t...
    2008:\tc3                   \tret
"""
PERF = b""" Percent |\tSource code & Disassembly of a.out for cycles (12 samples, percent: local period)
------------------------------------------------------------------------------------
         :   5    0000000000401126 <main>:
    0.00 :   401126: 55                      pushq   %rbp
   50.00 :   401127: 48 89 e5                movq    %rsp, %rbp
"""


def found(text: bytes) -> list[bytes]:
    return [data for _, data in encodings(_numbered(text))]


def _numbered(text: bytes) -> list[tuple[int, bytes]]:
    return [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]


def test_lines_of_objdump() -> None:
    assert found(OBJDUMP) == [b"f30f1efa", b"4883ec08", b"662e0f1f840000000000", b"c3"]


def test_lines_of_perf_annotate() -> None:
    assert found(PERF) == [b"55", b"4889e5"]
    assert lacks_bytes("    0.00 :   401126:       push   %rbp") and not lacks_bytes("48 89 e5")


@pytest.mark.parametrize(("line", "data"), [
    (b"9c", b"9c"), (b"0x9c", b"9c"), (b"0X48 0x89 0xd8", b"48 89 d8"), (b"9c # pushfq", b"9c"), (b"zz", b"zz"),
])  # fmt: skip
def test_plain_lines(line: bytes, data: bytes) -> None:
    assert found(line) == [data]


def test_the_number_is_that_of_the_first_line() -> None:
    assert [n for n, _ in encodings(_numbered(OBJDUMP))] == [8, 9, 10, 13]
