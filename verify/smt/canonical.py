"""The canonical text of an obligation: equal texts are equal up to renaming, so one proof serves all of them.

Variables are numbered in order of first use, and so are datapath functions (uninterpreted functions whose name has a
dot: `OPCODE.output`).  Every other function name is part of the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from verify.models.bits import Term, postorder


@dataclass(frozen=True, slots=True)
class Canonical:
    """Text, its SHA-256 (first 24 hex digits), and which variable each canonical name stands for."""

    digest: str
    text: str
    names: tuple[str, ...]  # names[i] is what v<i> stands for


def canonical(roots: tuple[Term, ...]) -> Canonical:
    """The canonical text of a set of one-bit terms that must not hold together."""
    variables: dict[str, str] = {}
    functions: dict[str, str] = {}
    number: dict[Term, int] = {}
    lines: list[str] = []
    for t in postorder(roots):
        params = t.params
        if t.op == "var":
            name = str(params[0])
            params = (variables.setdefault(name, f"v{len(variables)}"),)
        elif t.op == "uf" and "." in str(params[0]):
            name = str(params[0])
            params = (functions.setdefault(name, f"f{len(functions)}"),)
        number[t] = len(number)
        sort = t.sort if isinstance(t.sort, int) else t.sort.name
        lines.append(f"{t.op} {sort} {params} {[number[a] for a in t.args]}")
    lines.append(str([number[r] for r in roots]))
    text = "\n".join(lines)
    return Canonical(sha256(text.encode()).hexdigest()[:24], text, tuple(variables))
