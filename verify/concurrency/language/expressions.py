"""Expressions: what a Python expression says in the language of protocols.

Decides names and types; `reading` decides what whole functions say.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

from verify.concurrency.language.domains import (
    BOOL,
    INT,
    THREAD,
    Array,
    Bounded,
    Domain,
    Parameter,
    ProtocolError,
    Type,
)
from verify.concurrency.language.sources import definition, environment, place_of, statements
from verify.concurrency.language.terms import (
    NO_THREAD,
    AllThreads,
    Bound,
    Cell,
    Const,
    Find,
    Op,
    Over,
    ParameterRef,
    Quantified,
    Range,
    Term,
    lowest,
    walk,
)


class _Shared:
    """What the first parameter of a step or property denotes."""


SHARED = _Shared()
Name = Term | _Shared
_COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Is: "==", ast.IsNot: "!=",
}  # fmt: skip
ARITHMETIC: Mapping[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%",
}  # fmt: skip


threads: Any = object()
"""Stands for every thread, in `for u in threads`."""


def in_order(all_threads: Any) -> Any:
    """`for u in in_order(threads)`: the threads one after the other by their numbers, where that order matters.

    Threads can then not be exchanged: every one is observed, and nothing is proved for any number of them.
    """


def implies(premise: Any, claim: Any) -> Any:
    """A claim that is asked where the premise holds; a premise that no reachable state satisfies makes it vacuous."""


def leads_to(premise: Any, claim: Any) -> Any:
    """Whenever the premise holds, the claim holds then or later."""


class Declarations:
    """The variables of one protocol, and the parameters that its functions use."""

    def __init__(self, shared: Mapping[str, Domain], local: Mapping[str, Domain]) -> None:
        self.shared, self.local = shared, local
        self.parameters: dict[str, Parameter] = {}
        self.temporaries: set[str] = set()  # the names of temporaries, which are no threads of their own
        self._fresh = 0

    def fresh(self, name: str) -> str:
        """A name that no function uses."""
        self._fresh += 1
        return f"{name}'{self._fresh}"

    def parameter(self, value: Parameter) -> ParameterRef:
        """A reference to a parameter, which becomes one of the protocol's."""
        known = self.parameters.setdefault(value.name, value)
        if known != value:
            raise ProtocolError(f"parameter {value.name} is declared twice with different defaults")
        return ParameterRef(value.name, value.type)


class Expressions:
    """Names in force while one function is read."""

    def __init__(
        self, reader: Declarations, where: str, outer: Mapping[str, Any], file: str = "", line: int = 0
    ) -> None:
        self.reader, self.where, self.outer = reader, where, outer
        self.file, self.line = file, line
        self.names: dict[str, Name] = {}

    @classmethod
    def of(cls, reader: Declarations, where: str, function: Callable[..., Any]) -> Self:
        """The scope of a function, without its parameters."""
        return cls(reader, where, environment(function), place_of(function), function.__code__.co_firstlineno)

    def place(self, node: ast.AST | None = None) -> str:
        """`file:line` of a node, or of the function; nothing where there is no file."""
        return f"{self.file}:{getattr(node, 'lineno', self.line)}" if self.file else ""

    def error(self, what: str, node: ast.AST | None = None) -> ProtocolError:
        """An error that names place and step, and quotes the text."""
        quoted = f": {ast.unparse(node)}" if isinstance(node, ast.expr | ast.stmt) else ""
        place = f"{self.place(node)}: " if self.file else ""
        return ProtocolError(f"{place}{self.where}: {what}{quoted}")

    def boolean(self, node: ast.expr) -> Term:
        """An expression that must be a truth value."""
        return self.term(node, BOOL)

    def term(self, node: ast.expr, want: Type | None = None) -> Term:
        """An expression; where `want` is given, of that type."""
        found = self._term(node, want)
        if want is not None and found.type != want:
            raise self.error(f"expected {_named(want)}, got {_named(found.type)}", node)
        return found

    def _term(self, node: ast.expr, want: Type | None) -> Term:
        match node:
            case ast.Constant(value=value):
                return self.constant(value, want, node)
            case ast.Name():
                return self.name(node)
            case ast.Attribute() | ast.Subscript():
                named = self.of_named(node)
                return self.cell(node) if named is None else self.picked(*named)
            case ast.BoolOp(op=op, values=values):
                return Op("and" if isinstance(op, ast.And) else "or", tuple(self.boolean(value) for value in values))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Op("not", (self.boolean(operand),))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return Op("-", (Const(0, INT), self.term(operand, INT)), INT)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                return self.arithmetic(op, self.term(left, INT), self.term(right, INT), node)
            case ast.Compare():
                return self.comparison(node)
            case ast.IfExp(test=test, body=then, orelse=otherwise):
                first = self.typed(then, otherwise, want)
                return Op("ite", (self.boolean(test), *first), first[0].type)
            case ast.Call():
                return self.call(node, want)
        raise self.error("not in the language of expressions", node)

    def arithmetic(self, op: ast.operator, left: Term, right: Term, node: ast.AST) -> Term:
        """A sum, difference, product, quotient or remainder."""
        name = ARITHMETIC[type(op)]
        if name in ("//", "%") and not all(isinstance(x, Const | ParameterRef | Op) for x in walk(right)):
            raise self.error(f"{name} needs a divisor that is a number or a parameter", node)
        if name in ("//", "%") and isinstance(right, Const) and right.value < 1:
            raise self.error(f"{name} needs a divisor of at least 1", node)
        return Op(name, (left, right), INT)

    def constant(self, value: object, want: Type | None, node: ast.expr) -> Term:
        """A literal; a string is a label of the enumeration that it stands beside."""
        if value is None:
            return NO_THREAD
        if isinstance(value, bool):
            return Const(int(value), BOOL)
        if isinstance(value, int):
            return Const(value, INT)
        if isinstance(value, str) and isinstance(want, tuple):
            if value not in want:
                raise self.error(f"undeclared name {value!r}: not one of {want}", node)
            return Const(want.index(value), want)
        raise self.error(f"a string needs an enumeration beside it, found {_named(want)}", node)

    def name(self, node: ast.Name) -> Term:
        """A bound name, or a constant of the module."""
        bound = self.names.get(node.id)
        if isinstance(bound, _Shared):
            raise self.error("the shared state is not a value", node)
        if bound is not None:
            return bound
        value = self.outer.get(node.id)
        if isinstance(value, Parameter):
            return self.reader.parameter(value)
        if isinstance(value, bool | int):
            return Const(int(value), BOOL if isinstance(value, bool) else INT)
        raise self.error(f"undeclared name {node.id}", node)

    def cell(self, node: ast.expr) -> Cell:
        """A variable, or one cell of an array."""
        if isinstance(node, ast.Subscript):
            array = self.cell(node.value)
            if not isinstance(self._domain(array), Array) or array.index is not None:
                raise self.error(f"{array.variable} is not an array", node)
            return Cell(array.variable, array.type, array.thread, self.term(node.slice, INT))
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            raise self.error("not a variable", node)
        owner = self.names.get(node.value.id)
        if isinstance(owner, _Shared):
            if node.attr in self.reader.shared:
                return Cell(node.attr, self.reader.shared[node.attr].type)
        elif isinstance(owner, Bound) and owner.type == THREAD and node.attr in self.reader.local:
            return Cell(node.attr, self.reader.local[node.attr].type, owner.name)
        raise self.error(f"undeclared name {ast.unparse(node)}", node)

    def of_named(self, node: ast.expr) -> tuple[Term, str, Term | None] | None:
        """(thread, variable, index) of a per-thread variable of the thread that a value names: `s.owner.pc`."""
        index = None
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
            index, node = node.slice, node.value
        if not isinstance(node, ast.Attribute) or node.attr not in self.reader.local:
            return None
        if isinstance(node.value, ast.Name):
            thread = self.names.get(node.value.id)
            if not isinstance(thread, Term) or thread.type != THREAD:
                return None
            if isinstance(thread, Bound) and thread.name not in self.reader.temporaries:
                return None
        elif isinstance(node.value, ast.Attribute | ast.Subscript):
            thread = self.term(node.value, THREAD)
        else:
            return None
        if isinstance(self.reader.local[node.attr], Array) != (index is not None):
            return None
        return thread, node.attr, None if index is None else self.term(index, INT)

    def picked(self, thread: Term, variable: str, index: Term | None) -> Term:
        """The variable of the named thread; of none: the first value of its domain, as outside an array."""
        domain = self.reader.local[variable]
        unique = self.reader.fresh("v")
        here = Op("==", (Bound(unique, THREAD), thread))
        cell = Cell(variable, domain.type, unique, index)
        if domain.type == BOOL:
            return Quantified("any", unique, AllThreads(), Op("and", (here, cell)))
        scalar = domain.element if isinstance(domain, Array) else domain
        first = lowest(scalar) if isinstance(scalar, Bounded) else Const(0, domain.type)
        body = Op("ite", (here, cell, first), domain.type)
        return Quantified("pick", unique, AllThreads(), body, domain.type)

    def _domain(self, cell: Cell) -> Domain:
        return (self.reader.shared if cell.thread is None else self.reader.local)[cell.variable]

    def typed(self, left: ast.expr, right: ast.expr, want: Type | None = None) -> tuple[Term, Term]:
        """Two expressions of one type; a label takes the type of the other side."""
        if isinstance(left, ast.Constant) and isinstance(left.value, str) and want is None:
            second = self.term(right)
            return self.term(left, second.type), second
        first = self.term(left, want)
        return first, self.term(right, first.type)

    def comparison(self, node: ast.Compare) -> Term:
        """A chain of comparisons."""
        parts: list[Term] = []
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            parts.append(self._membership(left, op, right) or self._compared(left, op, right))
            left = right
        return parts[0] if len(parts) == 1 else Op("and", tuple(parts))

    def _membership(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Term | None:
        if not isinstance(op, ast.In | ast.NotIn):
            return None
        if not isinstance(right, ast.Tuple | ast.List | ast.Set):
            raise self.error("`in` needs the values written out", right)
        inside = Op("or", tuple(Op("==", self.typed(left, item)) for item in right.elts))
        return inside if isinstance(op, ast.In) else Op("not", (inside,))

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Term:
        terms = self.typed(left, right)
        name = _COMPARISONS[type(op)]
        if name not in ("==", "!=") and terms[0].type != INT:
            raise self.error(f"{name} needs integers", left)
        for term in terms:
            if isinstance(term, Cell) and term.index is None and isinstance(self._domain(term), Array):
                raise self.error(f"{term.variable} is an array: compare its cells", left)
        return Op(name, terms)

    def call(self, node: ast.Call, want: Type | None) -> Term:
        """find, all, any, sum, implies or a helper."""
        if isinstance(node.func, ast.Attribute) and node.func.attr == "find" and len(node.args) == 1:
            array = self.cell(node.func.value)
            return Find(array, self.term(node.args[0], array.type))
        callee = self._outer(node.func)
        if callee is implies and len(node.args) == 2:
            return Op("or", (Op("not", (self.boolean(node.args[0]),)), self.boolean(node.args[1])))
        if callee in (min, max) and len(node.args) >= 2 and not node.keywords:
            return self.extreme("<" if callee is min else ">", [self.term(arg, INT) for arg in node.args])
        if callee in (all, any, sum) and len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp):
            return self.quantified(callee.__name__, node.args[0])
        inner, tree = self._callee(node)
        value = inner.definitions(tree).value
        assert value is not None
        return inner.term(value, want)

    @staticmethod
    def extreme(sign: str, terms: list[Term]) -> Term:
        """The least (`<`) or the greatest (`>`) of some integers."""
        found = terms[0]
        for term in terms[1:]:
            found = Op("ite", (Op(sign, (term, found)), term, found), INT)
        return found

    def quantified(self, kind: str, node: ast.GeneratorExp) -> Term:
        """all, any or sum over one range, or over several, one inside the other."""
        generator, *inner = node.generators
        if not isinstance(generator.target, ast.Name):
            raise self.error("one name a `for`", node)
        over, variable = self.over(generator.iter)
        unique = self.reader.fresh(generator.target.id)
        saved = dict(self.names)
        self.names[generator.target.id] = Bound(unique, variable)
        conditions = tuple(self.boolean(test) for test in generator.ifs)
        rest = ast.GeneratorExp(node.elt, inner) if inner else None
        body = self.quantified(kind, rest) if rest else self.term(node.elt, None if kind == "sum" else BOOL)
        self.names = saved
        return Quantified(kind, unique, over, _filtered(kind, conditions, body), INT if kind == "sum" else BOOL)

    def _outer(self, node: ast.expr) -> Any:
        """The object of the module (or the builtin) that a name stands for."""
        if not isinstance(node, ast.Name) or node.id in self.names:
            return None
        builtins: dict[str, Any] = {"all": all, "any": any, "sum": sum, "range": range, "min": min, "max": max}
        return self.outer.get(node.id, builtins.get(node.id))

    def _callee(self, call: ast.Call) -> tuple[Self, ast.FunctionDef]:
        """Scope and tree of a called helper, its parameters bound."""
        function = self._outer(call.func)
        if not inspect.isfunction(function):
            raise self.error("non-deterministic or unknown effect: only helper functions may be called", call)
        tree, _ = definition(function)
        names = [arg.arg for arg in tree.args.args]
        if call.keywords or len(names) != len(call.args):
            raise self.error(f"{function.__name__} takes {len(names)} positional arguments", call)
        inner = type(self).of(self.reader, f"{self.where}, in {function.__name__}", function)
        for name, arg in zip(names, call.args, strict=True):
            inner.names[name] = self._argument(arg)
        return inner, tree

    def _argument(self, node: ast.expr) -> Name:
        if isinstance(node, ast.Name) and isinstance(self.names.get(node.id), _Shared):
            return SHARED
        return self.term(node)

    def over(self, node: ast.expr) -> tuple[Over, Type]:
        """The range of a loop or quantifier, and the type of its variable."""
        if self._outer(node) is threads:
            return AllThreads(), THREAD
        if isinstance(node, ast.Call) and self._outer(node.func) is range and 1 <= len(node.args) <= 2:
            bounds = [self.term(arg, INT) for arg in node.args]
            if not all(isinstance(bound, Const | ParameterRef | Op) for bound in bounds):
                raise self.error("unbounded: a range needs constants or parameters", node)
            return Range(Const(0, INT) if len(bounds) == 1 else bounds[0], bounds[-1]), INT
        raise self.error("loops and quantifiers go over `threads` or range(constant)", node)

    def in_order(self, node: ast.expr) -> bool:
        """Whether a loop goes over `in_order(threads)`."""
        inner = node.args if isinstance(node, ast.Call) and self._outer(node.func) is in_order else ()
        return len(inner) == 1 and self._outer(inner[0]) is threads

    def definitions(self, tree: ast.FunctionDef) -> ast.Return:
        """Takes in the temporaries of an expression function; its return statement."""
        body = statements(tree)
        for item in body[:-1]:
            if not (isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name)):
                raise self.error("only temporaries may come before return", item)
            self.names[item.targets[0].id] = self.term(item.value)
        if not body or not isinstance(body[-1], ast.Return) or body[-1].value is None:
            raise self.error("must end in return with a value")
        return body[-1]


def _filtered(kind: str, conditions: tuple[Term, ...], body: Term) -> Term:
    """The body of a quantifier with its `if` folded in."""
    if not conditions:
        return Op("ite", (body, Const(1, INT), Const(0, INT)), INT) if (kind, body.type) == ("sum", BOOL) else body
    if kind == "all":
        return Op("or", (*(Op("not", (condition,)) for condition in conditions), body))
    if kind == "any":
        return Op("and", (*conditions, body))
    value = Op("ite", (body, Const(1, INT), Const(0, INT)), INT) if body.type == BOOL else body
    return Op("ite", (Op("and", conditions), value, Const(0, INT)), INT)


def _named(kind: Type | None) -> str:
    """A type as people read it."""
    if kind is None:
        return "nothing that fixes a type"
    return kind if isinstance(kind, str) else "one of " + ", ".join(kind)
