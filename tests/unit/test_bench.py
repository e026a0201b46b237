"""What the benchmarks import exists, also in the programs that they start as text: no test runs them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
IMPORT = re.compile(r"^from (verify[\w.]*) import ([\w, ]+?)(?: as \w+)?$", re.MULTILINE)


@pytest.mark.parametrize("path", sorted(BENCH.glob("*.py")), ids=lambda p: p.stem)
def test_what_a_benchmark_imports_exists(path: Path) -> None:
    for module, names in IMPORT.findall(path.read_text(encoding="utf-8")):
        found = importlib.import_module(module)
        for name in names.split(", "):
            assert hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}"), f"{module}.{name}"
