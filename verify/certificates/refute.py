"""Statements proved: the assertions rewritten with each other as facts, and by cases, until one of them is 0."""

from __future__ import annotations

from typing import Final

from verify.certificates.normal import LIMIT, Exhausted, Table
from verify.certificates.statement import Statement

SPLITS: Final = 9  # cases within each other
ROUNDS: Final = 40


class Refutation:
    """The search for a contradiction among assertions; it is a function of the statement alone."""

    def __init__(self, statement: Statement, limit: int = LIMIT) -> None:
        self.table, self.statement = Table(limit), statement

    def closes(self) -> bool:
        """Whether the assertions contradict each other; False where that is not found within the limit."""
        try:
            return self._closes(self._normal(), SPLITS)
        except (Exhausted, RecursionError):
            return False

    def _normal(self) -> list[int]:
        done: list[int] = []
        for node in self.statement.nodes:
            done.append(self.table.rebuilt(node, [done[a] for a in node.args]))
        return [done[r] for r in self.statement.asserted]

    def _closes(self, asserted: list[int], splits: int) -> bool:
        asserted = self._rewritten(asserted)
        if any(self.table.value(x) == 0 for x in asserted):
            return True
        condition = self._condition(asserted)
        if condition is None or splits == 0:
            return False
        no = self.table.complement(condition)
        return all(self._closes([case, *asserted], splits - 1) for case in (condition, no))

    def _rewritten(self, asserted: list[int]) -> list[int]:
        """Assertions rewritten by each other until nothing changes: together they say the same."""
        table = self.table
        literals = dict(enumerate(self._conjuncts(asserted)))
        for _ in range(ROUNDS):
            changed = False
            for i in list(literals):
                new = self._under(literals, i)
                if new == literals[i]:
                    continue
                changed = True
                del literals[i]
                for x in self._conjuncts([new]):
                    if table.value(x) == 0:
                        return [x]
                    if table.value(x) is None and x not in literals.values():
                        literals[max(literals, default=0) + 1 + i] = x
            if not changed:
                break
        return list(literals.values())

    def _conjuncts(self, xs: list[int]) -> list[int]:
        found = dict[int, None]()
        for x in xs:
            node = self.table.nodes[x]
            for y in node.args if node.op == "and" else (x,):
                if self.table.value(y) != 1:
                    found[y] = None
        return list(found)

    def _under(self, literals: dict[int, int], own: int) -> int:
        """The literal with all others as facts."""
        table = self.table
        table.memo.clear()
        for i, x in literals.items():
            if i != own:
                for key, value in self._facts(x):
                    table.facts[key] = value, i
        table.current = own
        try:
            return self._rebuilt(literals[own])
        finally:
            table.facts.clear()
            table.memo.clear()

    def _rebuilt(self, root: int) -> int:
        table, done = self.table, dict[int, int]()
        stack = [root]
        while stack:
            x = stack[-1]
            if x in done:
                stack.pop()
                continue
            node = table.nodes[x]
            missing = [a for a in node.args if a not in done]
            if missing:
                stack += missing
                continue
            stack.pop()
            fact = table.facts.get(x)
            done[x] = fact[0] if fact is not None else table.rebuilt(node, [done[a] for a in node.args])
        return done[root]

    def _facts(self, x: int) -> list[tuple[int, int]]:
        """What x = 1 says of nodes."""
        table = self.table
        found = [(x, table.const(1, 1))]
        negated = table._negated(x)
        if negated >= 0:
            found.append((negated, table.const(0, 1)))
        node = table.nodes[x]
        if node.op == "eq":
            oriented = self._oriented(*node.args)
            if oriented is not None:
                found.append(oriented)
        return found

    def _oriented(self, a: int, b: int) -> tuple[int, int] | None:
        """An equation as a replacement: of a node that does not occur in what replaces it."""
        table = self.table
        if table.nodes[a].op == "sum" and table.value(b) == 0:
            return self._solved(a)
        for x, y in ((a, b), (b, a)) if table.value(a) is None else ((b, a),):
            if table.value(x) is None and not self._occurs(x, y):
                return x, y
        return None

    def _solved(self, total: int) -> tuple[int, int] | None:
        """The sum = 0, for one of its terms with an odd coefficient."""
        table = self.table
        width = table.width(total)
        constant, terms = table.parts(total)
        for t in sorted(terms, reverse=True):
            if terms[t] & 1:
                inverse = -pow(terms[t], -1, 1 << width)
                rest = {u: inverse * c for u, c in terms.items() if u != t}
                value = table.polynomial(inverse * constant, rest, width)
                if not self._occurs(t, value):
                    return t, value
        return None

    def _occurs(self, x: int, within: int) -> bool:
        seen, stack = set[int](), [within]
        while stack:
            y = stack.pop()
            if y == x:
                return True
            if y > x and y not in seen:  # arguments come before their users
                seen.add(y)
                stack += self.table.nodes[y].args
        return False

    def _condition(self, asserted: list[int]) -> int | None:
        """The condition of a choice without a choice within it, the first that is found."""
        table, seen, found = self.table, set[int](), list[int]()
        stack = list(reversed(asserted))
        while stack:
            x = stack.pop()
            if x in seen:
                continue
            seen.add(x)
            node = table.nodes[x]
            if node.op == "ite" and not self._has_choice(node.args[0]):
                found.append(node.args[0])
            stack += node.args
        return min(found) if found else None

    def _has_choice(self, x: int) -> bool:
        stack, seen = [x], set[int]()
        while stack:
            y = stack.pop()
            if y not in seen:
                seen.add(y)
                if self.table.nodes[y].op == "ite":
                    return True
                stack += self.table.nodes[y].args
        return False
