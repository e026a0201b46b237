"""What decided a stored result: a hash of every module that can be reached by import from what decides.

The two decoder libraries are part of it.  The solver and Python are not: another version of theirs decides the same
queries, so their versions are only recorded beside the result.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

PROVER: Final = ("verify.smt.decisions",)  # what decides an obligation's text
JUDGE: Final = ("verify.judge.encoding", "verify.models.schemes.registry")  # what decides a class of encodings
SURVEY: Final = ("verify.survey.forms", "verify.models.schemes.registry")  # what makes a form's row
STATED: Final = ("verify.survey.certify", "verify.models.schemes.registry")  # what states a class, and its evidence
CHECKER: Final = ("verify.certificates.checker",)
DECODERS: Final = ("iced-x86", "capstone")  # pinned in pyproject.toml
LENGTH: Final = 32  # hex digits
PACKAGE: Final = Path(__file__).parents[1]
FROM: Final = re.compile(r"from[ \t]+(verify[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)")
IMPORT: Final = re.compile(r"import[ \t]+(verify[^\n]*)")
BY_NAME: Final = ("import_module(", "__import__(")  # a module that calls them may import its whole package


def fingerprint(roots: tuple[str, ...], *options: str, package: Path = PACKAGE) -> str:
    """The hash of the modules that the roots reach, of the decoders' versions and of the options."""
    digest = sha256(_code(roots, package))
    digest.update("\0".join(options).encode())
    return digest.hexdigest()[:LENGTH]


def versions() -> str:
    """What is recorded beside a result: the solver's version and Python's."""
    return f"z3-solver {version('z3-solver')}, Python {platform.python_version()}"


@cache
def _code(roots: tuple[str, ...], package: Path) -> bytes:
    digest = sha256()
    for module, path in sorted(reached(roots, package).items()):
        digest.update(f"{module} {path.stat().st_size}\0".encode() + path.read_bytes())
    for library in DECODERS:
        digest.update(f"{library} {version(library)}\0".encode())
    return digest.digest()


def reached(roots: tuple[str, ...], package: Path = PACKAGE) -> dict[str, Path]:
    """Module -> file of everything of the package that the roots import, at whatever depth, themselves included.

    Raises ValueError where a root is no module.
    """
    found: dict[str, Path] = {}
    seen, waiting = set(roots), list(roots)
    while waiting:
        module = waiting.pop()
        path = _path(module, package)
        if path is None and module in roots:
            raise ValueError(f"{module} is no module of {package}")
        if path is not None:
            found[module] = path
            names = imported(module, path) - seen
            seen |= names
            waiting += names
    return found


@cache
def imported(module: str, path: Path) -> frozenset[str]:
    """Every name that may be a module imported by this one, and the packages that it lies in."""
    return frozenset(_imported(module, path))


def _imported(module: str, path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    own = module if path.name == "__init__.py" else module.rpartition(".")[0]
    yield from _packages(module)
    for source, names in FROM.findall(text):
        yield from (source, *_packages(source))
        yield from (f"{source}.{name}" for name in _names(names))
    for names in IMPORT.findall(text):
        for name in _names(names):
            yield from (name, *_packages(name))
    if any(call in text for call in BY_NAME):
        yield from (f"{own}.{p.stem}" for p in path.parent.glob("*.py") if p.stem != "__init__")


def _packages(module: str) -> Iterator[str]:
    while module := module.rpartition(".")[0]:
        yield module


def _names(text: str) -> list[str]:
    """The names of an import list, without what they are called here."""
    plain = re.sub(r"#[^\n]*", "", text).strip("()")
    return [words[0] for words in (part.split() for part in plain.split(",")) if words]


def _path(module: str, package: Path) -> Path | None:
    first, *rest = module.split(".")
    if first != package.name:
        return None
    place = package.joinpath(*rest)
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((p for p in candidates if p.is_file()), None)
