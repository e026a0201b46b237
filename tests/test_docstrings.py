"""Every public module, class, function and method of `verify/` says what it is, in a docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "verify"
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def undocumented(source: str) -> Iterator[str]:
    """What is public and has no docstring; a module without a statement needs none."""
    tree = ast.parse(source)
    if tree.body and not ast.get_docstring(tree):
        yield "the module"
    yield from _inside(tree, "")


def _inside(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[str]:
    for item in node.body:
        if isinstance(item, Definition) and not item.name.startswith("_"):
            if not ast.get_docstring(item) and "overload" not in map(ast.unparse, item.decorator_list):
                yield f"{prefix}{item.name} (line {item.lineno})"
            if isinstance(item, ast.ClassDef):
                yield from _inside(item, f"{prefix}{item.name}.")


def test_everything_public_has_a_docstring() -> None:
    found = {path.relative_to(ROOT).as_posix(): list(undocumented(path.read_text("utf-8")))
             for path in sorted(PACKAGE.rglob("*.py"))}  # fmt: skip
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(("source", "found"), [
    ("", []), ('"""M."""', []), ("X = 1", ["the module"]), ("def f(): pass", ["the module", "f (line 1)"]),
    ('"""M."""\ndef f(): pass', ["f (line 2)"]), ('"""M."""\ndef _f(): pass', []),
    ('"""M."""\ndef f():\n    """F."""\n    def g(): pass', []),
    ('"""M."""\nclass C:\n    """C."""\n    def f(self): pass', ["C.f (line 4)"]),
    ('"""M."""\nclass C:\n    """C."""\n    def _f(self): pass\n    def __len__(self): pass', []),
    ('"""M."""\nclass _C:\n    def f(self): pass', []), ('"""M."""\nclass C:\n    x = 1', ["C (line 2)"]),
    ('"""M."""\n@overload\ndef f(): ...', []), ('"""M."""\nasync def f(): pass', ["f (line 2)"]),
])  # fmt: skip
def test_what_has_none_is_found(source: str, found: list[str]) -> None:
    assert list(undocumented(source)) == found
