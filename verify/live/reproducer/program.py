"""A C program and a shell script that show one deviation with public tools only: cc, perf_event_open or tracefs.

Decides nothing: the program does, when it is run.  It starts from the judge's own full state (registers, segment bases
and selectors, xsave image, memory and its protections, code at the judged address) and compares what the judge does.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Final

from verify.live.kernel.child import (
    DATA,
    DATA_SIZE,
    END_OF_USER_SPACE,
    LANDING_SIZE,
    READ_ONLY_PAGES,
    READ_WRITE,
    STUBS,
)
from verify.live.kernel.judge import idle_child
from verify.live.kernel.one_state import PAGE, Situation, instruction_text, setting_of, state_of
from verify.live.kernel.outcome import RunSetting, is_own_target
from verify.live.kernel.state import COMPONENTS, KernelState, component_offsets
from verify.live.ptrace import REGISTERS
from verify.live.reproducer.template import PROGRAM, SCRIPT

LEGACY: Final = ((0, 24), (32, 416))  # bytes of x87 state and XMM in the xsave image; MXCSR lies between
MXCSR_AT: Final = 24
Rows = Sequence[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Account:
    """What a reader is told at the top of the program, each a line; `observable`: what is refuted (or nothing)."""

    summary: str
    text: str = ""
    scheme: str = ""
    plan: str = ""
    reason: str = ""
    state: str = ""
    observable: str = ""
    undefined: bool = False  # no processor knows the instruction
    null_selectors: bool = False  # the selectors 1 to 3, which every return from the kernel makes 0, are compared


def standard_situation(encoding: bytes, origin: int, state: KernelState) -> Situation:
    """The situation of one of the judge's own states: its registers, data region and xsave image."""
    registers = dict(zip(REGISTERS, state.registers, strict=True))
    pages = range(DATA, DATA + DATA_SIZE, PAGE)
    written = dict.fromkeys(pages[:READ_ONLY_PAGES], mmap.PROT_READ) if state.read_only else {}
    protections = written if state.accessible else dict.fromkeys(pages, 0)
    return Situation(encoding, origin, registers, {DATA: state.data}, {0: state.xstate}, protections)


def emit(directory: Path, situation: Situation, account: Account, hits: int = 3) -> tuple[Path, Path]:
    """Writes reproducer.c and run.sh for the situation and returns their paths.

    Raises NotReproducible where no program can be in the situation.
    """
    setting = setting_of(situation)
    with idle_child() as child:
        state, places = state_of(child, situation, setting.space), component_offsets(child)
    told = {name: _lines(getattr(account, name)) for name in ("summary", "text", "scheme", "plan", "reason", "state")}
    numbers = {name: hex(value) for name, value in _numbers(setting, state).items()}
    rows = {name: _rows(found) for name, found in _tables(situation, setting, state, places).items()}
    texts = {
        "hits": str(hits), "any_hits": str(int(is_own_target(setting))), "undefined": str(int(account.undefined)),
        "null_selectors": str(int(account.null_selectors)),
        "bytes": situation.encoding.hex(" "), "code_bytes": _bytes(situation, setting),
        "observable": account.observable,
        "components": ", ".join(str(n) for n in (0, *(COMPONENTS[p] for p in places))),
    }  # fmt: skip
    directory.mkdir(parents=True, exist_ok=True)
    program, script = directory / "reproducer.c", directory / "run.sh"
    program.write_text(PROGRAM.substitute(told | numbers | rows | texts))
    script.write_text(SCRIPT)
    return program, script


def _lines(text: str) -> str:
    """Lines of a C comment; they end no comment and continue none."""
    plain = text.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/").replace("??", "? ?")
    return f"\n *{' ' * 16}".join(part for line in plain.splitlines() for part in wrap(line, 100)) or "-"


def _numbers(setting: RunSetting, state: KernelState) -> dict[str, int]:
    return {
        "origin": setting.origin, "code": setting.space.code, "code_size": len(setting.code),
        "landing": setting.space.landing, "landing_size": LANDING_SIZE, "stub": STUBS["syscall"][0],
        "area": setting.x87_area, "count": len(setting.space.pages), "end": END_OF_USER_SPACE,
        "mxcsr": int.from_bytes(state.xstate[MXCSR_AT : MXCSR_AT + 4], "little"),
    }  # fmt: skip


def _bytes(situation: Situation, setting: RunSetting) -> str:
    return ", ".join(map(hex, instruction_text(situation.encoding, setting.x87_area)))


def _tables(
    situation: Situation, setting: RunSetting, state: KernelState, places: Mapping[str, tuple[int, int]]
) -> dict[str, Rows]:  # fmt: skip
    return {
        "registers": [(value,) for value in _registers(state, setting)],
        "pages": [(page, situation.protections.get(page, READ_WRITE)) for page in setting.space.pages],
        "words": list(_memory(setting, state.data)) or [(0, 0, 0)],
        "image": list(_image(state.xstate, places)) or [(0, 0, 0)],
    }


def _registers(state: KernelState, setting: RunSetting) -> Iterator[int]:
    for name, value in zip(REGISTERS, state.registers, strict=True):
        yield setting.origin if name == "rip" else value


def _words(data: bytes) -> Iterator[tuple[int, int]]:
    """Offset and value of every 8 bytes."""
    for at in range(0, len(data), 8):
        yield at, int.from_bytes(data[at : at + 8], "little")


def _memory(setting: RunSetting, data: bytes) -> Iterator[tuple[int, int, int]]:
    """Address, count, value of equal words that follow one another in a page; zeros left out."""
    cells = ((value, setting.address(at)) for at, value in _words(data))
    for (value, _), group in groupby(cells, key=lambda cell: (cell[0], cell[1] // PAGE)):
        places = [at for _, at in group]
        if value:
            yield places[0], len(places), value


def _image(xstate: bytes, places: Mapping[str, tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Component, offset in it, value of the words that are not 0; component 0 is the legacy area as a whole."""
    for first, last in LEGACY:
        yield from ((0, first + at, value) for at, value in _words(xstate[first:last]) if value)
    for name, (offset, size) in places.items():
        part = xstate[offset : offset + size]
        yield from ((COMPONENTS[name], at, value) for at, value in _words(part) if value)


def _rows(rows: Rows) -> str:
    """C initialisers, four a line."""
    cells = [("{ %s }" if len(row) > 1 else "%s") % ", ".join(map(hex, row)) + "," for row in rows]
    return "".join("    " + " ".join(cells[i : i + 4]) + "\n" for i in range(0, len(cells), 4))
