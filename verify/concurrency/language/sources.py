"""Sources: the text of a function, its place, and the names that it sees. Runs nothing."""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from collections.abc import Callable
from typing import Any

from verify.concurrency.language.domains import ProtocolError


def definition(function: Callable[..., Any]) -> tuple[ast.FunctionDef, str]:
    """Syntax tree, with the line numbers of its file, and text of a function."""
    if not inspect.isfunction(function):
        raise ProtocolError(f"expected a function, got {function!r}")
    try:
        lines, first = inspect.getsourcelines(function)
    except OSError as error:
        raise ProtocolError(f"the text of {function.__name__} cannot be read: {error}") from error
    text = textwrap.dedent("".join(lines))
    tree = ast.parse(text).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise ProtocolError(f"{function.__name__} is not a function definition")
    return ast.increment_lineno(tree, first - 1), text


def place_of(function: Callable[..., Any]) -> str:
    """The file of a function: from the working directory where it is below that, and in the package by its name."""
    path = str(inspect.unwrap(function).__code__.co_filename)
    return path.removeprefix(os.getcwd() + os.sep)


def environment(function: Callable[..., Any]) -> dict[str, Any]:
    """The module-level and enclosing names that a function sees."""
    inner = inspect.unwrap(function)
    cells = zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True)
    names = dict(inner.__globals__)
    for name, cell in cells:
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not yet bound: the name stays undeclared
            continue
    return names


def statements(tree: ast.FunctionDef) -> list[ast.stmt]:
    """The body of a function without its docstring."""
    body = tree.body
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        return body[1:]
    return body
