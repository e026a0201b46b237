"""A C program and a shell script that show one deviation with public tools only: cc, tracefs, diff.

Decides nothing: the reader does, by looking at the two outputs. The program maps the instruction from a file of its own
at the address where it was judged, enters the judged state by returning from a signal handler, and prints everything
that the program sees when it stops. It starts fs-relative accesses from its own thread area, not from the judged base.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from verify.live.kernel import code_text
from verify.live.kernel_child import CODE, DATA, DATA_SIZE, LANDING, LANDING_SIZE
from verify.live.kernel_ptrace import REGISTERS, RIP
from verify.live.kernel_state import FILLINGS, State, data_words
from verify.live.reproducer_template import PROGRAM, SCRIPT

#: registers of ucontext_t.uc_mcontext.gregs, by the names of <sys/ucontext.h>
CONTEXT_NAMES: Final[Mapping[str, str]] = {
    **{name: f"REG_{name.upper()}" for name in REGISTERS[:RIP] if name != "orig_rax"},
    "rsp": "REG_RSP",
    "eflags": "REG_EFL",
}
CODE_SPACE: Final = 0x2_0000


def emit(directory: Path, encoding: bytes, state: State, summary: str, *,
         origin: int = CODE, hits: int = 3) -> tuple[Path, Path]:
    """Writes reproducer.c and run.sh for the encoding in the judged state and returns their paths; `summary` is a line.

    Raises ValueError where the origin is not in the code region that the judge uses.
    """
    if not CODE <= origin < CODE + CODE_SPACE:
        raise ValueError(f"origin must be in {CODE:#x}..{CODE + CODE_SPACE:#x}, got {origin:#x}")
    summary = " ".join(summary.split()).replace("*/", "")
    directory.mkdir(parents=True, exist_ok=True)
    program, script = directory / "reproducer.c", directory / "run.sh"
    texts = {"summary": summary, "hits": str(hits), "offset": hex(origin - CODE)}
    program.write_text(PROGRAM.substitute(_fields(encoding, origin, state) | texts))
    script.write_text(SCRIPT.substitute(texts))
    return program, script


def _fields(encoding: bytes, origin: int, state: State) -> dict[str, str]:
    first, far, words = _data_rows(state.data)
    numbers = {"origin": origin, "code": CODE, "code_size": CODE_SPACE, "data": DATA, "data_size": DATA_SIZE,
               "landing": LANDING, "landing_size": LANDING_SIZE, "first": first, "segment": 0x33 * far}
    texts = {
        "encoding": encoding.hex(),
        "text": ", ".join(map(hex, code_text((encoding,)))),
        "registers": _register_rows(state), "words": _word_rows(words), "image": _word_rows(_image_words(state.xstate)),
        "protect": "" if state.accessible else "mprotect((void *)DATA, SIZE, PROT_NONE);",
    }
    return {name: hex(value) for name, value in numbers.items()} | texts


def _register_rows(state: State) -> str:
    values = dict(zip(REGISTERS, state.registers, strict=True))
    return "".join(f'    {{ {number}, "{name}", {values[name]:#x} }},\n' for name, number in CONTEXT_NAMES.items())


def _data_rows(data: bytes) -> tuple[int, bool, list[tuple[int, int]]]:
    """The standard filling that is nearest to the data region, and the 8-byte words that differ from it."""
    candidates = []
    for first, far in FILLINGS:
        filling = data_words(first, far)
        words = [(at, int.from_bytes(data[at : at + 8], "little")) for at in range(0, len(data), 8)
                 if data[at : at + 8] != filling[at : at + 8]]
        candidates.append((first, far, words))
    return min(candidates, key=lambda row: len(row[2]))


def _image_words(image: bytes) -> list[tuple[int, int]]:
    words = ((at, int.from_bytes(image[at : at + 8], "little")) for at in range(0, len(image), 8))
    return [(at, word) for at, word in words if word]


def _word_rows(words: list[tuple[int, int]]) -> str:
    cells = [f"{{ {at:#x}, {word:#x} }}," for at, word in words] or ["{ 0, 0 },"]
    return "".join("    " + " ".join(cells[i : i + 4]) + "\n" for i in range(0, len(cells), 4))
