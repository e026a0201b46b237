"""A C program and a shell script that show one deviation with public tools only: cc, tracefs, diff.

Decides nothing: the reader does, by looking at the two outputs. The program maps the instruction from a file of its own
at the address where it was judged, enters the judged state by returning from a signal handler, and prints everything
that the program sees when it stops. It starts fs-relative accesses from its own thread area, not from the judged base.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from verify.live.descriptors import CODE_SELECTOR
from verify.live.kernel_child import DATA, DATA_SIZE, LANDING_SIZE
from verify.live.kernel_confirm import CODE_PAGES, PAGE, Situation, instruction_text, space
from verify.live.kernel_ptrace import REGISTERS, RIP
from verify.live.kernel_state import FILLINGS, State, data_words
from verify.live.reproducer_template import PROGRAM, SCRIPT

#: registers of ucontext_t.uc_mcontext.gregs, by the names of <sys/ucontext.h>
CONTEXT_NAMES: Final[Mapping[str, str]] = {
    **{name: f"REG_{name.upper()}" for name in REGISTERS[:RIP] if name != "orig_rax"},
    "rsp": "REG_RSP",
    "eflags": "REG_EFL",
}


def standard_situation(encoding: bytes, origin: int, state: State) -> Situation:
    """The situation of the judge's standard state: its registers, data region and xsave image."""
    registers = dict(zip(REGISTERS, state.registers, strict=True))
    return Situation(encoding, origin, registers, {DATA: state.data} if state.accessible else {}, {0: state.xstate})


def emit(directory: Path, situation: Situation, summary: str, hits: int = 3) -> tuple[Path, Path]:
    """Writes reproducer.c and run.sh for the situation and returns their paths; `summary` is a line.

    The situation must name every register that matters. Raises NotReproducible where no program can be in it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    program, script = directory / "reproducer.c", directory / "run.sh"
    texts = {"summary": " ".join(summary.split()).replace("*/", ""), "hits": str(hits),
             "offset": hex(situation.origin % PAGE)}
    program.write_text(PROGRAM.substitute(_fields(situation) | texts))
    script.write_text(SCRIPT.substitute(texts))
    return program, script


def _fields(situation: Situation) -> dict[str, str]:
    where = space(situation)
    first, far, words = _memory_rows(situation.memory)
    filled = DATA if len(situation.memory.get(DATA, b"")) == DATA_SIZE else 0
    numbers = {"origin": situation.origin, "code": where.code, "code_size": CODE_PAGES * PAGE, "landing": where.landing,
               "landing_size": LANDING_SIZE, "first": first, "segment": CODE_SELECTOR * far, "count": len(where.pages),
               "filled_from": filled, "filled_to": filled + DATA_SIZE if filled else 0,
               "gs_base": situation.registers.get("gs_base", 0)}
    texts = {
        "encoding": situation.encoding.hex(),
        "text": ", ".join(map(hex, instruction_text(situation.encoding, where.pages[-1]))),
        "pages": ", ".join(map(hex, where.pages)),
        "registers": _register_rows(situation.registers),
        "words": _word_rows(words),
        "image": _word_rows([w for at, data in situation.vectors.items() for w in _words(at, data) if w[1]]),
    }
    return {name: hex(value) for name, value in numbers.items()} | texts


def _register_rows(registers: Mapping[str, int]) -> str:
    rows = ((number, name) for name, number in CONTEXT_NAMES.items() if name in registers)
    return "".join(f'    {{ {number}, "{name}", {registers[name]:#x} }},\n' for number, name in rows)


def _words(start: int, data: bytes) -> list[tuple[int, int]]:
    """The aligned 8-byte words that hold the bytes, by address; what the bytes leave open is 0."""
    head = start % 8
    padded = b"\0" * head + data + b"\0" * (-(head + len(data)) % 8)
    return [(start - head + i, int.from_bytes(padded[i : i + 8], "little")) for i in range(0, len(padded), 8)]


def _memory_rows(memory: Mapping[int, bytes]) -> tuple[int, bool, list[tuple[int, int]]]:
    """The standard filling that is nearest to the data region, and the words that differ from it or from 0."""
    merged: dict[int, int] = {}
    for start, data in sorted(memory.items()):
        for at, word in _words(start, data):
            merged[at] = merged.get(at, 0) | word
    candidates = []
    for first, far in FILLINGS:
        filling = dict(_words(DATA, data_words(first, far))) if len(memory.get(DATA, b"")) == DATA_SIZE else {}
        candidates.append((first, far, [(at, word) for at, word in merged.items() if word != filling.get(at, 0)]))
    return min(candidates, key=lambda row: len(row[2]))


def _word_rows(words: list[tuple[int, int]]) -> str:
    cells = [f"{{ {at:#x}, {word:#x} }}," for at, word in words] or ["{ ~0ull, 0 },"]
    return "".join("    " + " ".join(cells[i : i + 4]) + "\n" for i in range(0, len(cells), 4))
