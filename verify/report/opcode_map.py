"""The opcode maps of a survey, 16 x 16 cells: in each the worst verdict of the forms of that opcode byte."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from verify.report.surveys import FormRow, Survey

ODD: Final = "odd"
CELLS: Final[Mapping[str, tuple[str, str]]] = {  # what a cell shows -> its letter and its colours, the worst first
    "refuted": ("R", "white on red"), "unknown": ("?", "white on magenta"), "vacuous": ("?", "white on magenta"),
    "refused": ("-", "black on yellow"), ODD: ("o", "black on cyan"), "proved": (".", "black on green"),
}  # fmt: skip
WORST: Final = tuple(CELLS)
ESCAPES: Final = ("0f38", "0f3a", "0f")
LEGEND: Final = (
    "R refuted   - refused   . proved   ? not decided   (the worst form of each byte)\n"
    "o refuted or refused with prefixes alone that compilers do not emit"
)
REGISTERS: Final = {("one byte", first) for first in (0x50, 0x58, 0x90, 0xB0, 0xB8)} | {("0f", 0xC8)}
"""Opcodes whose low three bits name a register: SDM vol. 2, tables A-2 and A-3."""


def place(row: FormRow) -> tuple[str, int]:
    """The map of a form, such as `one byte`, 0f or vex.0f38, and its opcode byte there."""
    opcode = row.opcode.partition("/")[0]
    head, dot, byte = opcode.rpartition(".")
    if dot:
        return head, int(byte[:2], 16)
    if opcode.startswith("0f0f"):
        return "0f0f (3DNow!)", int(opcode[4:6], 16)
    escape = next((e for e in ESCAPES if opcode.startswith(e) and len(opcode) > len(e)), "")
    return escape or "one byte", int(opcode[len(escape) :][:2], 16)


def _shown(row: FormRow) -> str:
    return ODD if row.emitted is False and row.verdict in {"refuted", "refused"} else row.verdict


def maps(rows: Sequence[FormRow]) -> dict[str, dict[int, str]]:
    """By map and opcode byte: the worst verdict, `odd` where it is of what compilers do not emit."""
    found: dict[str, dict[int, str]] = {}
    for row in rows:
        name, byte = place(row)
        cells = found.setdefault(name, {})
        for each in range(byte, byte + 8 if (name, byte) in REGISTERS else byte + 1):
            cells[each] = min(_shown(row), cells.get(each, "proved"), key=WORST.index)
    return dict(sorted(found.items(), key=lambda item: ("." in item[0], item[0] != "one byte", item[0])))


def print_maps(console: Console, document: Survey) -> None:
    """All maps in which the survey has forms, one below the other, 37 columns wide."""
    console.print(f"Scheme {document.scheme}, processor {document.cpu}", highlight=False, soft_wrap=True)
    console.print(LEGEND, highlight=False, soft_wrap=True)
    for name, cells in maps(document.forms).items():
        console.print(f"\n{name}", style="bold", highlight=False)
        for line in _lines(cells):
            console.print(line, soft_wrap=True)


def _lines(cells: Mapping[int, str]) -> Iterator[Text]:
    yield Text("     " + " ".join(f"{low:x}" for low in range(16)))
    for high in range(16):
        line = Text(f"  {high:x}_ ")
        for low in range(16):
            verdict = cells.get(high << 4 | low)
            letter, style = CELLS[verdict] if verdict is not None else (" ", "")
            line.append(f"{letter} ", style)
        line.rstrip()
        yield line
