"""Reading: Python functions become steps and properties, through `ast`; they are never run.

Decides whether a function is inside the language and whether its names and types are declared. The grammar:
a docstring; temporaries; then one `if guard:` with the effect as its body (or just the effect). Effects are assignments
to variables, `if`/`elif`/`else`, `for u in threads` (whose rounds must not depend on each other: `rounds`),
`for u in in_order(threads)`, `for k in range(n)`, temporaries and calls of helpers. Expressions are comparisons,
`and`/`or`/`not`, + - * // %, `min`, `max`, conditional expressions, `in (..)`, `s.owner.pc`, `array[i]`,
`array.find(v)` (lowest index, the length if none), `all/any/sum(.. for u in threads if ..)` and calls of helpers:
module-level functions in the same grammar, expanded where they are called.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from verify.concurrency.language.domains import INT, THREAD, Domain, Offset, ProtocolError, Size
from verify.concurrency.language.expressions import (
    ARITHMETIC,
    SHARED,
    Declarations,
    Expressions,
    implies,
    leads_to,
    threads,
)
from verify.concurrency.language.rounds import Domains, dependent
from verify.concurrency.language.sources import definition, statements
from verify.concurrency.language.terms import (
    TRUE,
    AllThreads,
    Assign,
    Bound,
    Cell,
    Const,
    For,
    If,
    Let,
    Op,
    PropertyTerm,
    Range,
    Statement,
    StepTerm,
    Term,
)


class Reader(Declarations):
    """Reads the functions of one protocol."""

    def beside(self, shared: Mapping[str, Domain], local: Mapping[str, Domain]) -> Reader:
        """A reader that knows more variables, with the same parameters. Raises ProtocolError for a known name."""
        for name in (*shared, *local):
            if name in self.shared or name in self.local:
                raise ProtocolError(f"variable {name} of a variant is one of the protocol's")
        found = Reader({**self.shared, **shared}, {**self.local, **local})
        found.parameters = self.parameters
        return found

    @property
    def domains(self) -> Domains:
        """The domain of each variable."""
        every = [(False, name, domain) for name, domain in self.shared.items()]
        every += [(True, name, domain) for name, domain in self.local.items()]
        return {(local, name): domain for local, name, domain in every}

    def step(
        self,
        function: Callable[..., Any],
        name: str,
        actor: str,
        fair: str | None,
        choose: Mapping[str, Any],
        fair_over: Sequence[str] | None = None,
    ) -> StepTerm:
        """The step that `function` describes."""
        tree, text = definition(function)
        scope = _Scope.of(self, f"step {name}", function)
        threads_, choices = scope.parameters(tree, choose)
        over = scope.fair_over(fair_over, (*threads_, *choose))
        lets, guard, effect = scope.guarded(tree)
        found = StepTerm(name, actor, threads_, choices, lets, guard, effect, fair, text, over, scope.place())
        rounds = dependent(found, self.domains)
        if rounds is not None:
            raise ProtocolError(
                f"{rounds.loop.place}: step {name}: two rounds of `for {rounds.loop.variable.split(chr(39))[0]} in "
                f"threads` depend on each other: {rounds}; threads have no order, unless it is declared: "
                "`in_order(threads)`"
            )
        return found

    def property(self, function: Callable[..., Any], name: str, kind: str) -> PropertyTerm:
        """The property that `function` describes."""
        tree, text = definition(function)
        scope = _Scope.of(self, f"property {name}", function)
        threads_, _ = scope.parameters(tree, {})
        if kind == "deadlock" and threads_:
            raise scope.error(f"is of all threads: takes the shared state alone, and not {threads_[0]} besides")
        returned = scope.returned(tree)
        premise: Term = TRUE
        if isinstance(returned, tuple):
            form, premise, claim = returned
            if (kind, form) not in (("always", "implies"), ("eventually", "leads_to")):
                raise scope.error(f"{form} does not belong in {kind}")
        else:
            claim = returned
        if kind == "eventually" and not isinstance(returned, tuple):
            raise scope.error("must return leads_to(premise, claim)")
        return PropertyTerm(name, kind, threads_, premise, claim, text, place=scope.place())


def helper(text: str) -> Callable[..., Any]:
    """The helper function that `text` defines, for helpers that a table of names writes; read like any other.

    `threads` is the only name that it sees.
    """
    place = f"<helper {hash(text):x}>"
    linecache.cache[place] = (len(text), None, text.splitlines(keepends=True), place)
    names: dict[str, Any] = {"threads": threads}
    exec(compile(text, place, "exec"), names)
    found: Callable[..., Any] = next(value for value in names.values() if inspect.isfunction(value))
    return found


class _Scope(Expressions):
    """One function that is read."""

    def parameters(
        self, tree: ast.FunctionDef, choose: Mapping[str, Any]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, Range], ...]]:
        """Thread parameters and choices of a function; the first parameter is the shared state."""
        names = [arg.arg for arg in tree.args.args]
        if not names or tree.args.vararg or tree.args.kwarg or tree.args.kwonlyargs or tree.args.defaults:
            raise self.error("takes the shared state, then threads, then choices, all positional")
        unknown = set(choose) - set(names)
        if unknown:
            raise self.error(f"chooses {sorted(unknown)} which are not parameters")
        self.names[names[0]] = SHARED
        found_threads = tuple(name for name in names[1:] if name not in choose)
        for name in found_threads:
            self.names[name] = Bound(name, THREAD)
        choices = []
        for name in names[1:]:
            if name in choose:
                self.names[name] = Bound(name, INT)
                choices.append((name, Range(Const(0, INT), self._bound(name, choose[name]))))
        return found_threads, tuple(choices)

    def _bound(self, name: str, value: Any) -> Term:
        """The number of values of a choice as a term."""
        if isinstance(value, Size) and value.origin.type == INT:
            base, offset = self.reader.parameter(value.origin), value.offset if isinstance(value, Offset) else 0
            return Op("+", (base, Const(offset, INT)), INT) if offset else base
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 1:
                raise self.error(f"choice {name} has no values: expected 1 or more, got {value}")
            return Const(value, INT)
        raise self.error(f"unbounded choice {name}: a choice needs a number or a parameter, got {value!r}")

    def fair_over(self, names: Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...] | None:
        """The parameters of the step over which it is fair."""
        if names is None:
            return None
        given = (names,) if isinstance(names, str) else tuple(names)
        unknown = [name for name in given if name not in known]
        if unknown:
            raise self.error(f"fair_over names no thread or choice of the step: {', '.join(map(repr, unknown))}")
        return given

    def guarded(self, tree: ast.FunctionDef) -> tuple[tuple[Let, ...], Term, tuple[Statement, ...]]:
        """Temporaries, guard and effect of a step."""
        body = statements(tree)
        lets: list[Let] = []
        while body and isinstance(body[0], ast.Assign) and isinstance(body[0].targets[0], ast.Name):
            read = self.statement(body[0])
            lets.extend(item for item in read if isinstance(item, Let))
            body = body[1:]
        if len(body) == 1 and isinstance(body[0], ast.If):
            if body[0].orelse:
                raise self.error("a step has one guard: its `if` has no else")
            return tuple(lets), self.boolean(body[0].test), self.block(body[0].body)
        if any(isinstance(item, ast.If) and item is body[0] for item in body):
            raise self.error("the guard's `if` must be the last statement of a step")
        return tuple(lets), TRUE, self.block(body)

    def returned(self, tree: ast.FunctionDef) -> Term | tuple[str, Term, Term]:
        """The boolean that a property returns, or (implies or leads_to, premise, claim)."""
        body = self.definitions(tree)
        value = body.value
        if isinstance(value, ast.Call) and self._outer(value.func) in (implies, leads_to) and len(value.args) == 2:
            form = "implies" if self._outer(value.func) is implies else "leads_to"
            return form, self.boolean(value.args[0]), self.boolean(value.args[1])
        assert value is not None
        return self.boolean(value)

    def block(self, body: list[ast.stmt]) -> tuple[Statement, ...]:
        """Statements in order."""
        return tuple(item for node in body for item in self.statement(node))

    def statement(self, node: ast.stmt) -> tuple[Statement, ...]:
        """What one statement of an effect says."""
        match node:
            case ast.Pass():
                return ()
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                return (self.temporary(name, value),)
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript() as target], value=value) if (
                named := self.of_named(target)
            ):
                return self.assigned(named, self.term(value, self.reader.local[named[1]].type), node)
            case ast.AugAssign(target=ast.Attribute() | ast.Subscript() as target, op=op, value=value) if (
                type(op) in ARITHMETIC and (named := self.of_named(target))
            ):
                changed = self.arithmetic(op, self.picked(*named), self.term(value, INT), node)
                return self.assigned(named, changed, node)
            case ast.Assign(targets=[target], value=value):
                cell = self.cell(target)
                return (Assign(cell, self.term(value, cell.type), self.place(node)),)
            case ast.AugAssign(target=target, op=op, value=value) if type(op) in ARITHMETIC:
                cell = self.cell(target)
                if cell.type != INT:
                    raise self.error("arithmetic on a variable that is not an integer", node)
                changed = self.arithmetic(op, cell, self.term(value, INT), node)
                return (Assign(cell, changed, self.place(node)),)
            case ast.If(test=test, body=then, orelse=otherwise):
                return (If(self.boolean(test), self.block(then), self.block(otherwise), self.place(node)),)
            case ast.For(target=ast.Name(id=name), iter=iterator, body=body, orelse=[]):
                return (self.loop(name, iterator, body),)
            case ast.Expr(value=ast.Call() as call):
                return self.procedure(call)
        raise self.error("not in the language of effects", node)

    def assigned(self, named: tuple[Term, str, Term | None], value: Term, node: ast.stmt) -> tuple[Statement, ...]:
        """An assignment to a variable of the thread that a value names; of none: nothing."""
        thread, variable, index = named
        kind = self.reader.local[variable].type
        if value.type != kind:
            raise self.error("a value of another type", node)
        lets: list[Statement] = []
        fixed: list[Term] = []  # what the rounds must not change for each other
        for term in (thread, value, *([] if index is None else [index])):
            unique = self.reader.fresh("x")
            lets.append(Let(unique, term, self.place(node)))
            fixed.append(Bound(unique, term.type))
        unique = self.reader.fresh("u")
        target = Cell(variable, kind, unique, fixed[2] if index is not None else None)
        here = Op("==", (Bound(unique, THREAD), fixed[0]))
        body = If(here, (Assign(target, fixed[1], self.place(node)),), (), self.place(node))
        return (*lets, For(unique, AllThreads(), (body,), False, self.place(node)))

    def temporary(self, name: str, value: ast.expr) -> Let:
        """A temporary, assigned once."""
        if name in self.names:
            raise self.error(f"{name} is assigned twice; temporaries are assigned once", value)
        term = self.term(value)
        unique = self.reader.fresh(name)
        self.names[name] = Bound(unique, term.type)
        self.reader.temporaries.add(unique)
        return Let(unique, term, self.place(value))

    def loop(self, name: str, iterator: ast.expr, body: list[ast.stmt]) -> For:
        """A loop over threads or numbers."""
        ordered = self.in_order(iterator)
        over, variable = (AllThreads(), THREAD) if ordered else self.over(iterator)
        unique = self.reader.fresh(name)
        saved = dict(self.names)
        self.names[name] = Bound(unique, variable)
        inner = self.block(body)
        self.names = saved
        return For(unique, over, inner, ordered, self.place(iterator))

    def procedure(self, call: ast.Call) -> tuple[Statement, ...]:
        """The statements of a helper, expanded."""
        inner, tree = self._callee(call)
        return inner.block(statements(tree))
