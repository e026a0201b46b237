"""The canonical text of an obligation: equal texts are equal up to renaming, so one proof serves all of them.

Variables are numbered in order of first use, and so are datapath functions (uninterpreted functions whose name has a
dot: `OPCODE.output`).  Every other function name is part of the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from verify.models.bits import Sort, Term, postorder


@dataclass(frozen=True, slots=True)
class Canonical:
    """Text, its SHA-256 (first 24 hex digits), and which variable each canonical name stands for."""

    digest: str
    text: str
    names: tuple[str, ...]  # names[i] is what v<i> stands for
    sorts: tuple[Sort, ...]  # of the variables
    functions: tuple[str, ...]  # functions[i] is the datapath that f<i> stands for

    def renaming(self) -> dict[str, str]:
        """From the obligation's own names to the canonical ones."""
        variables = {name: f"v{i}" for i, name in enumerate(self.names)}
        return variables | {name: f"f{i}.{name.rpartition('.')[2]}" for i, name in enumerate(self.functions)}


def canonical(roots: tuple[Term, ...]) -> Canonical:
    """The canonical text of a set of one-bit terms that must not hold together."""
    variables: dict[str, str] = {}
    functions: dict[str, str] = {}
    number: dict[Term, int] = {}
    lines: list[str] = []
    sorts: dict[str, Sort] = {}
    for t in postorder(roots):
        params = t.params
        if t.op == "const":
            params = (hex(int(params[0])),)  # a decimal of thousands of digits is refused by Python
        elif t.op == "var":
            name = str(params[0])
            sorts[name] = t.sort
            params = (variables.setdefault(name, f"v{len(variables)}"),)
        elif t.op == "uf" and "." in str(params[0]):
            name = str(params[0])
            output = name.rpartition(".")[2] if name.endswith(".datapath_fault") else ""
            params = (functions.setdefault(name, f"f{len(functions)}{output}"),)
        number[t] = len(number)
        sort = t.sort if isinstance(t.sort, int) else t.sort.name
        lines.append(f"{t.op} {sort} {params} {[number[a] for a in t.args]}")
    lines.append(str([number[r] for r in roots]))
    text = "\n".join(lines)
    digest = sha256(text.encode()).hexdigest()[:24]
    return Canonical(digest, text, tuple(variables), tuple(sorts.values()), tuple(functions))
