"""Faults seeded mechanically into the semantics, the corrections and the scheme's model, applied in the process.

A fault is one change of one syntax node of one function (a constant, an operator, a flag's name, a statement left out,
a condition turned round) or one word of a row of the corrections.  It is applied by giving the live functions the
changed code, and undone the same way.  Decides nothing about who tells it: `semantics_score`.
"""

from __future__ import annotations

import ast
import functools
import gc
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

import verify.models.x86.semantics
from verify.live.differential import prediction
from verify.models.schemes.linux import decoder, uprobes_6_18
from verify.models.x86.isa import corrections

FAMILIES: Final = tuple(m.name for m in pkgutil.iter_modules(verify.models.x86.semantics.__path__))
SEMANTICS: Final = tuple(importlib.import_module(f"verify.models.x86.semantics.{name}") for name in FAMILIES)
SCHEME: Final = (uprobes_6_18, decoder)
FUNCTIONS: Final = {  # of bits: what is written instead
    "add": "sub", "sub": "add", "and_": "or_", "or_": "and_", "xor": "or_", "zext": "sext", "sext": "zext",
    "shl": "lshr", "lshr": "shl", "ashr": "lshr", "ult": "ule", "ule": "ult",
}  # fmt: skip
NAMES: Final = {  # of globals
    "TRUE": "FALSE", "FALSE": "TRUE", "RAX": "RCX", "RCX": "RAX", "RDX": "RAX", "RBX": "RAX", "RSP": "RBP",
    "RBP": "RSP", "RSI": "RDI", "RDI": "RSI", "GP": "UD", "UD": "GP", "SS": "GP", "DE": "GP",
}  # fmt: skip
STRINGS: Final = {  # components and flags
    "cf": "zf", "zf": "cf", "sf": "of", "of": "sf", "pf": "af", "af": "pf", "df": "cf", "fs_base": "gs_base",
    "gs_base": "fs_base", "fip": "fdp", "fdp": "fip", "mxcsr": "x87", "r": "w", "w": "r",
}  # fmt: skip
COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Lt: ast.LtE,
    ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
KEPT: Final = ("verify.models.x86.isa.forms", "verify.terms")  # identities that everything else rests on
Key = tuple[str, int, str]  # file, first line, qualified name of a function's code


@dataclass(frozen=True, slots=True)
class Fault:
    """One change: where, in words, of which function's code; `apply` puts it in and gives what undoes it."""

    text: str
    lines: frozenset[tuple[str, int]]  # file and number: who runs through none of them does not meet it
    apply: Callable[[], Callable[[], None]]

    @property
    def of_semantics(self) -> bool:
        """Whether it is one of the semantics' functions: no plan and no decoding depends on it."""
        return self.text.startswith(verify.models.x86.semantics.__name__)

    @property
    def of_scheme(self) -> bool:
        """Whether it is one of the scheme's functions: what an instruction does where it stands is no matter of it."""
        return self.text.startswith(SCHEME[0].__name__.rpartition(".")[0])


def key_of(code: CodeType) -> Key:
    """The name of a code object that survives a change of its body."""
    return code.co_filename, code.co_firstlineno, code.co_qualname


def live_functions() -> dict[Key, list[FunctionType]]:
    """Every function of the models that there is, closures made at import included."""
    found: dict[Key, list[FunctionType]] = {}
    for candidate in gc.get_objects():
        if isinstance(candidate, FunctionType) and (candidate.__module__ or "").startswith("verify.models"):
            found.setdefault(key_of(candidate.__code__), []).append(candidate)
    return found


def forget() -> None:
    """Drops every cache of the models, and what was compiled from them."""
    for cache in _caches():
        cache.cache_clear()
    prediction.forget_predictions()


@functools.cache
def _caches() -> tuple[Any, ...]:
    """The caches of the models, which are all made at import."""
    wrappers = (c for c in gc.get_objects() if isinstance(c, functools._lru_cache_wrapper))
    named = ((c, getattr(c, "__module__", None) or "") for c in wrappers)
    return tuple(c for c, module in named if module.startswith("verify.models") and not module.startswith(KEPT))


def caches_of(files: frozenset[str]) -> tuple[Any, ...]:
    """Those of the functions in some files."""
    return tuple(c for c in _caches() if c.__wrapped__.__code__.co_filename in files)


@contextmanager
def seeded(fault: Fault) -> Iterator[None]:
    """The fault is in place while the context lasts; ValueError where Python does not take it."""
    undo = fault.apply()
    forget()
    try:
        yield
    finally:
        undo()
        forget()


def faults(modules: tuple[ModuleType, ...], number: int, seed: int) -> Iterator[Fault]:
    """Random faults of the modules' functions, no two alike."""
    random, functions = Random(seed), live_functions()
    places = [(m, tree, i) for m in modules for tree in (_tree(m),) for i in range(len(_sites(tree)))]
    for module, tree, index in random.sample(places, min(number, len(places))):
        changed = deepcopy(tree)
        node, owner = _sites(changed)[index]
        text = _change(node, random)
        if text is None:
            continue
        where = f"{module.__name__}:{getattr(node, 'lineno', 0)} {owner}: {text}"
        key = _changed_code(module, tree, changed)
        if key is not None and key[0] in functions:
            lines = frozenset((str(module.__file__), n) for n in _lines(tree, _sites(tree)[index][0]))
            yield Fault(where, lines, functools.partial(_swap, functions[key[0]], key[1]))


def _lines(tree: ast.Module, node: ast.AST) -> range:
    """The lines of the statement that a node stands in; of a compound one those of the node, of an If its test's."""
    node = node.test if isinstance(node, ast.If) else node
    first, last = node.lineno, node.end_lineno or node.lineno  # type: ignore[attr-defined]
    around = [s for s in ast.walk(tree) if isinstance(s, ast.stmt) and s.lineno <= first <= (s.end_lineno or 0)]
    statement = max(around, key=lambda s: (s.lineno, -(s.end_lineno or 0)))
    if hasattr(statement, "body"):
        return range(first, last + 1)
    return range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))


def _sites(tree: ast.Module) -> list[tuple[ast.AST, str]]:
    """Nodes inside functions that a fault may change, with their function's name."""
    found = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            body = [n for statement in function.body for n in ast.walk(statement)]
            docstrings = {id(function.body[0].value)} if isinstance(function.body[0], ast.Expr) else set()
            found += [(n, function.name) for n in body if id(n) not in docstrings and _is_site(n)]
    return list({id(n): (n, name) for n, name in found}.values())


def _is_site(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=bool()):
            return True
        case ast.Constant(value=int()):
            return True
        case ast.Constant(value=str()):
            return node.value in STRINGS
        case ast.Attribute(value=ast.Name(id="terms"), attr=name):
            return name in FUNCTIONS
        case ast.Name(id=name, ctx=ast.Load()):
            return name in NAMES
        case ast.Compare(ops=[operator]):
            return type(operator) in COMPARISONS
        case ast.Expr(value=ast.Call()):
            return True
        case ast.If() | ast.IfExp() | ast.BoolOp():
            return True
    return False


def _change(node: ast.AST, random: Random) -> str | None:
    """Changes the node in place; what was done, in words."""
    before = ast.unparse(node).splitlines()[0]
    match node:
        case ast.Constant(value=bool(value)):
            node.value = not value
        case ast.Constant(value=int(value)):
            node.value = value + random.choice((1, -1)) if value else 1
        case ast.Constant(value=str(value)):
            node.value = STRINGS[value]
        case ast.Attribute(attr=name):
            node.attr = FUNCTIONS[name]
        case ast.Name(id=name):
            node.id = NAMES[name]
        case ast.Compare(ops=[operator]):
            node.ops = [COMPARISONS[type(operator)]()]
        case ast.Expr():
            node.value = ast.copy_location(ast.Constant(value=None), node)
            return f"without {before}"
        case ast.If() | ast.IfExp():
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case _:
            return None
    return f"{before} -> {ast.unparse(node).splitlines()[0]}"


def _changed_code(module: ModuleType, before: ast.Module, after: ast.Module) -> tuple[Key, CodeType] | None:
    """The innermost function whose code differs, and its new code."""
    name = str(module.__file__)
    old, new = (compile(ast.fix_missing_locations(t), name, "exec", dont_inherit=True) for t in (before, after))
    found = None
    pairs = [(old, new)]
    while pairs:
        a, b = pairs.pop()
        if (a.co_code, a.co_names, _own(a)) != (b.co_code, b.co_names, _own(b)):
            found = key_of(a), b
        inner = [[c for c in code.co_consts if isinstance(c, CodeType)] for code in (a, b)]
        if len(inner[0]) == len(inner[1]):
            pairs += [(x, y) for x, y in zip(*inner, strict=True) if x != y]
    return found if found is not None and found[0][2] != "<module>" else None


def _own(code: CodeType) -> list[Any]:
    return [c for c in code.co_consts if not isinstance(c, CodeType)]


def _swap(functions: list[FunctionType], code: CodeType) -> Callable[[], None]:
    before = [(f, f.__code__) for f in functions]
    for _, old in before:
        if (code.co_freevars, code.co_name) != (old.co_freevars, old.co_name):
            raise ValueError("the change takes a free variable away")
    for function, _ in before:
        function.__code__ = code

    def undo() -> None:
        for function, old in before:
            function.__code__ = old

    return undo


def overlay_faults(seed: int) -> Iterator[tuple[Fault, frozenset[str]]]:
    """Each word of each row of the corrections left out, in a random order; with the mnemonics concerned."""
    sides = [(i, side) for i in range(len(corrections.ROWS)) for side in ("reads", "writes")]
    words = [(i, side, w) for i, side in sides for w in getattr(corrections.ROWS[i], side).split()]
    for i, side, word in Random(seed).sample(words, len(words)):
        row = corrections.ROWS[i]
        rest = " ".join(w for w in getattr(row, side).split() if w != word)
        rows = (*corrections.ROWS[:i], row._replace(**{side: rest}), *corrections.ROWS[i + 1 :])
        text = f"corrections of {row.mnemonics}: {side} no {word}"
        yield Fault(text, frozenset(), functools.partial(_rows, rows)), frozenset(row.mnemonics.split())


def _rows(rows: Any) -> Callable[[], None]:
    before = corrections.ROWS
    corrections.ROWS = rows  # type: ignore[misc]

    def undo() -> None:
        corrections.ROWS = before  # type: ignore[misc]

    return undo
