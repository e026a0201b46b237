"""The canonical text of an obligation: equal texts are equal up to renaming, so one proof serves all of them.

Variables are numbered in order of first use, and so are datapath functions (uninterpreted functions whose name has a
dot: `OPCODE.output`).  Every other function name is part of the text, and so are the names of variables that have a
typical value where a witness says nothing.  It is JSON, [nodes, roots, [[variable's number, its name]...]], a node
being [operation, sort, parameters, positions of arguments]; it can be read again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

from verify.terms import GPRS, MASKS, MEMORY, VECTORS, Sort, Term, as_written, postorder
from verify.terms.evaluation import Node, TermProgram

DIGEST: Final = 24  # hex digits of SHA-256
MEANT: Final = frozenset({"datapath_fault", "refuses", "is_32_bit"})  # outputs by which evaluation knows an answer
TYPICAL: Final[Mapping[str, int]] = {
    "origin": 0x401000, "slot": 0x7FFFFFFFE080, "kernel_slot": 0xFFFFC90000000080, "length": 4,
}  # fmt: skip
FILES: Final = {s.name: s for s in (GPRS, MASKS, MEMORY, VECTORS)}


@dataclass(frozen=True)
class Canonical:
    """Text, its digest, and which variable each canonical name stands for."""

    digest: str
    text: str
    names: tuple[str, ...]  # names[i] is what v<i> stands for

    @cached_property
    def program(self) -> TermProgram:
        """The text as a program in canonical names."""
        found = _PROGRAMS.get(self.digest)
        if found is None:
            nodes, roots, _ = json.loads(self.text)
            found = _PROGRAMS[self.digest] = TermProgram(tuple(_node(*n) for n in nodes), tuple(roots))
        return found

    @cached_property
    def sorts(self) -> tuple[Sort, ...]:
        """The variables' sorts."""
        return tuple(n.sort for n in self.program.nodes if n.op == "var")

    @property
    def anonymous(self) -> Canonical:
        """The same query in canonical names, but for those that are part of the text: a function of the text."""
        return replace(self, names=tuple(n if n in TYPICAL else f"v{i}" for i, n in enumerate(self.names)))

    def terms(self) -> tuple[Term, ...]:
        """The roots, with the variables' own names."""
        terms = self.node_terms()
        return tuple(terms[r] for r in self.program.roots)

    def node_terms(self) -> list[Term]:
        """The term of every node of the program, with the variables' own names."""
        terms: list[Term] = []
        own = {f"v{i}": name for i, name in enumerate(self.names)}
        for n in self.program.nodes:
            params = (own[str(n.params[0])],) if n.op == "var" else n.params
            terms.append(as_written(n.op, tuple(terms[i] for i in n.args), params, n.sort))
        return terms


_PROGRAMS: dict[str, TermProgram] = {}  # by digest: a program is a function of the text


def _node(op: str, sort: int | str, params: list[Any], args: list[int]) -> Node:
    values = (int(params[0], 16),) if op == "const" else tuple(params)
    return Node(op, FILES[sort] if isinstance(sort, str) else sort, values, tuple(args))


def digest_of(text: str) -> str:
    """The digest by which a text is known."""
    return sha256(text.encode()).hexdigest()[:DIGEST]


def canonical(roots: tuple[Term, ...]) -> Canonical:
    """The canonical text of a set of one-bit terms that must not hold together."""
    variables: dict[str, str] = {}
    functions: dict[str, str] = {}
    number: dict[Term, int] = {}
    nodes: list[tuple[object, ...]] = []
    for t in postorder(roots):
        params: tuple[int | str, ...] = t.params
        if t.op == "const":
            params = (hex(int(params[0])),)  # a decimal of thousands of digits is refused by Python
        elif t.op == "var":
            name = str(params[0])
            params = (variables.setdefault(name, f"v{len(variables)}"),)
        elif t.op == "uf" and "." in str(params[0]):
            name = str(params[0])
            output = name.rpartition(".")[2]
            params = (functions.setdefault(name, f"f{len(functions)}.{output if output in MEANT else 'value'}"),)
        number[t] = len(nodes)
        nodes.append((t.op, t.sort if isinstance(t.sort, int) else t.sort.name, params, [number[a] for a in t.args]))
    typical = [(i, name) for i, name in enumerate(variables) if name in TYPICAL]
    text = json.dumps([nodes, [number[r] for r in roots], typical], separators=(",", ":"))
    return Canonical(digest_of(text), text, tuple(variables))
