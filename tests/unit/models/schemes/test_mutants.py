"""Each mutant scheme differs from the real one on its witnesses, and names the obligation that shows it."""

import importlib.util
from pathlib import Path

import pytest

from verify.models.schemes.linux_uprobes import SCHEME as REAL

FILES = sorted((Path(__file__).parents[3] / "mutants" / "schemes").glob("*.py"))
OBSERVABLES = {"next-ip", "gprs", "vector", "memory-addresses", "memory-values", "fault", "trap"}


def loaded(path: Path):
    spec = importlib.util.spec_from_file_location(f"mutant_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_are_found():
    assert len(FILES) >= 15


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_mutant_changes_the_plan_of_its_witnesses_and_not_of_a_nop(path):
    mutant = loaded(path)
    reference = getattr(mutant, "CORRECTED", REAL)
    assert mutant.OBLIGATION in OBSERVABLES
    for text in mutant.WITNESSES:
        data = bytes.fromhex(text).ljust(16, b"\x90")
        assert mutant.SCHEME.plan(data) != reference.plan(data), text
    untouched = bytes.fromhex("0f1f440000").ljust(16, b"\x90")
    assert mutant.SCHEME.plan(untouched) == REAL.plan(untouched)
