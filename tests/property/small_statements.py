"""Random statements so small that all their states can be tried.

`python tests/property/small_statements.py NUMBER [SEED]` makes so many and prints those that are proved and are not so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any

from verify.certificates.evaluate import _array, _result
from verify.certificates.refute import contradictory
from verify.certificates.statement import Statement, read

FILE = "(Array (_ BitVec 1) (_ BitVec 2))"
VARIABLES = {"v0": 2, "v1": 3, "v2": 1, "v3": (1, 2)}
HEAD = [
    "(set-logic QF_AUFBV)", "(declare-fun v0 () (_ BitVec 2))", "(declare-fun v1 () (_ BitVec 3))",
    "(declare-fun v2 () (_ BitVec 1))", f"(declare-fun v3 () {FILE})",
]  # fmt: skip
BINARY = ("bvadd", "bvsub", "bvmul", "bvand", "bvor", "bvxor", "bvshl", "bvlshr", "bvudiv", "bvsrem")


class Writer:
    """Steps of a statement."""

    def __init__(self, random: Random) -> None:
        self.random, self.lines, self.sorts = random, list(HEAD), dict[str, Any](VARIABLES)

    def step(self, sort: Any, body: str) -> str:
        name = f"n{len(self.lines) - len(HEAD)}"
        text = FILE if isinstance(sort, tuple) else f"(_ BitVec {sort})"
        self.lines.append(f"(define-fun {name} () {text} {body})")
        self.sorts[name] = sort
        return name

    def constant(self, wide: int) -> str:
        return f"#b{self.random.randrange(1 << wide):0{wide}b}"

    def of(self, wide: Any) -> str:
        return self.random.choice([n for n, s in self.sorts.items() if s == wide] or [self.constant(wide)])

    def mixed(self) -> str:
        """A value of two or three bits."""
        wide = self.random.choice((2, 3))
        return self.step(wide, f"({self.random.choice(BINARY)} {self.of(wide)} {self.of(wide)})")

    def kept(self, x: str) -> str:
        """The same value by other steps; one in four times it may be another."""
        w, random = self.sorts[x], self.random

        def other(true: Any, false: Any) -> Any:
            return false if random.random() < 0.25 else true

        c, y, k = self.constant(w), self.of(w), random.randrange(1, w)
        match random.randrange(10 if w == 2 else 9):
            case 0:
                return self.step(w, f"(bvsub {self.step(w, f'(bvadd {x} {c})')} {other(c, self.constant(w))})")
            case 1:
                return self.step(w, f"(bvxor {self.step(w, f'(bvxor {x} {y})')} {other(y, self.of(w))})")
            case 2:
                less = self.step(w, f"(bvneg {self.step(w, f'(bvnot {x})')})")
                return self.step(w, f"(bvsub {less} {other('#b' + '1'.zfill(w), self.constant(w))})")
            case 3:
                high = self.step(w - k, f"((_ extract {w - 1} {k}) {x})")
                low = self.step(k, f"((_ extract {k - 1} 0) {other(x, y)})")
                return self.step(w, f"(concat {high} {low})")
            case 4:
                arms = [x, other(x, y)]
                return self.step(w, f"(ite (= {self.of(1)} #b1) {arms[0]} {arms[1]})")
            case 5:
                kind = random.choice(("zero", "sign"))
                wider = self.step(w + 1, f"((_ {kind}_extend 1) {x})")
                high, low = other((w - 1, 0), (w, 1))
                return self.step(w, f"((_ extract {high} {low}) {wider})")
            case 6:
                three = self.step(w, f"(bvmul {x} #b{'11'.zfill(w)})")
                return self.step(w, f"(bvsub {three} {self.step(w, f'(bvadd {x} {other(x, y)})')})")
            case 7:
                same = self.step(1, f"(ite (= {x} {y}) #b1 #b0)")
                then, otherwise = other((y, x), (x, y))
                return self.step(w, f"(ite (= {same} #b1) {then} {otherwise})")
            case 8:
                both = self.step(w, f"(bvand {x} {y})")
                rest = self.step(w, f"(bvand {x} {self.step(w, f'(bvnot {other(y, self.of(w))})')})")
                return self.step(w, f"(bvxor {both} {rest})")
            case _:
                i = self.of(1)
                first = self.step((1, 2), f"(store v3 {i} {x})")
                return self.step(w, f"(select {self.step((1, 2), f'(store {first} {self.of(1)} {other(x, y)})')} {i})")


def statement(random: Random) -> str:
    """That a value is not the same by other steps, and sometimes another bit asserted."""
    writer = Writer(random)
    x = y = writer.mixed()
    for _ in range(random.randrange(1, 4)):
        y = writer.kept(y)
    if random.random() < 0.3:
        wide = writer.sorts[x]
        z = writer.of(wide)
        x, y = (writer.step(wide, f"(bvmul {a} {z})") for a in (x, y))
    asserted = [writer.step(1, f"(bvnot {writer.step(1, f'(ite (= {x} {y}) #b1 #b0)')})")]
    if random.random() < 0.5:
        op = random.choice(("=", "bvult"))
        asserted.append(writer.step(1, f"(ite ({op} {writer.of(3)} {writer.of(3)}) #b1 #b0)"))
    return "\n".join([*writer.lines, *(f"(assert (= {b} #b1))" for b in asserted), "(check-sat)", ""])


def states() -> Iterator[dict[str, Any]]:
    """All values of the variables."""
    files = [_array({0: a, 1: b}) for a in range(4) for b in range(4)]
    for values in product(range(4), range(8), range(2), files):
        yield dict(zip(VARIABLES, values, strict=True))


ALL = tuple(states())


def holds_somewhere(found: Statement) -> bool:
    """Whether all assertions are 1 in some state."""
    for given in ALL:
        values: list[Any] = []
        for node in found.nodes:
            sorts = [found.nodes[a].sort for a in node.args]
            values.append(given[str(node.params[0])] if node.op == "var" else _result(
                node, sorts, *(values[a] for a in node.args)))  # fmt: skip
        if all(values[a] == 1 for a in found.asserted):
            return True
    return False


def wrong(number: int, seed: int) -> tuple[int, list[str]]:
    """How many are proved, and those of them that hold somewhere."""
    random, proved, found = Random(seed), 0, []
    for _ in range(number):
        text = statement(random)
        made = read(text)
        if made.asserted and contradictory(made):
            proved += 1
            if holds_somewhere(made):
                found.append(text)
    return proved, found


if __name__ == "__main__":
    count, bad = wrong(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    sys.stdout.write("\n".join([*bad, f"{count} proved, {len(bad)} of them wrong\n"]))
    sys.exit(bool(bad))
