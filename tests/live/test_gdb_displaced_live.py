"""GDB's displaced stepping, driven for real: the bytes that it puts into its pad are those of the scheme's plan."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from verify.models.schemes.code import Byte
from verify.models.schemes.program import Program, Run
from verify.models.schemes.registry import SCHEMES

FILL = 16  # bytes of nops behind each encoding, which the copy has too
ENCODINGS = (  # REX, VEX, EVEX and XOP, maps and groups, with and without a rip-relative operand
    "488b0511223300", "8b0d11223300", "498b0511223300", "c5fe6f0511223300", "c4c17e6f0511223300", "d32511223300",
    "480fc70d11223300", "ff1511223300", "e811220000", "0f05cc", "90", "8fe878c20511223300aa", "0fb60511223300",
    "0f38f00511223300", "0f3a0f051122330011", "c4e2c8f23511223300", "f3480fb80511223300", "8b442408",
    "6664488b0511223300", "d80511223300", "9c", "c3", "ffd0", "48c7051122330000000000", "0f0d0511223300",
    "c5f0580511223300", "c5f877", "62f17c48580511223300", "62f57c48580511223300", "66480f3a1605112233000a",
    "f60511223300aa", "8fea78120511223300aabbccdd", "660f70c1aa",
)
COPY = re.compile(r"copy 0x([0-9a-f]+)->0x[0-9a-f]+: ((?:[0-9a-f]{2} ?)+)")


def program(folder: Path) -> Path:
    """Every encoding at a symbol of its own."""
    lines = [".globl main", "main:"]
    for i, text in enumerate(ENCODINGS):
        data = ", ".join(f"0x{b:02x}" for b in bytes.fromhex(text))
        lines += [f"s{i}: .byte {data}", f" .fill {FILL}, 1, 0x90"]
    (folder / "t.s").write_text("\n".join((*lines, " ret", '.section .note.GNU-stack,""', "")))
    subprocess.run(("cc", "-o", str(folder / "t"), str(folder / "t.s"), "-no-pie"), check=True, capture_output=True)
    return folder / "t"


def copies(path: Path) -> dict[int, str]:
    """What GDB wrote into its pad for each encoding, in hex."""
    script = ["set pagination off", "set confirm off", "set displaced-stepping on", "break main", "run",
              "handle all stop nopass", "set debug displaced on"]  # fmt: skip
    for i in range(len(ENCODINGS)):
        script += ["set $rax = 0", f"tbreak *&s{i}", f"jump *&s{i}", f"break *&s{i}", "stepi"]
    (path.parent / "script").write_text("\n".join(script))
    command = ("gdb", "-nx", "-batch", "-x", str(path.parent / "script"), str(path))
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout.decode()
    names = subprocess.run(("nm", str(path)), capture_output=True, check=True).stdout.decode().split("\n")
    at = {int(n.split()[0], 16): n.split()[2] for n in names if re.search(r" [tT] s\d+$", n)}
    found = {at[int(m[1], 16)]: m[2].replace(" ", "") for m in COPY.finditer(said) if int(m[1], 16) in at}
    return {int(name[1:]): text for name, text in found.items()}


def planned(data: bytes) -> str:
    found = SCHEMES["gdb-displaced-13"].plan(data)
    assert isinstance(found, Program)
    run = next(a for a in found.actions if isinstance(a, Run))
    return bytes(b.of(data) for b in run.code.pieces if isinstance(b, Byte)).hex()


@pytest.mark.needs("x86-64", "ptrace", "cc", "gdb")
def test_the_pads_bytes_are_the_plans(tmp_path: Path) -> None:
    found = copies(program(tmp_path))
    expected = {i: planned(bytes.fromhex(text).ljust(16, b"\x90")) for i, text in enumerate(ENCODINGS)}
    assert found == expected
    assert sum(not text.startswith(ENCODINGS[i]) for i, text in found.items()) > 15  # rewritten ones
