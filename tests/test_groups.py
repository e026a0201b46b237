"""Tests of a group run in one process, whatever runs beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from groups import GROUPS, group

ROOT = Path(__file__).parents[1]
TESTS = """
import os, pathlib, time, pytest

@pytest.mark.parametrize("n", range(12))
def test_x(n):
    with open({noted!r}, "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + " ")
    while {meets} and len(set(pathlib.Path({noted!r}).read_text().split())) < 2:
        time.sleep(0.01)
"""


def test_every_file_of_a_group_is_there() -> None:
    assert [name for name in GROUPS if not (ROOT / name).is_file()] == []


def test_a_test_is_in_the_group_of_its_file_and_alone_where_it_has_none() -> None:
    assert group("tests/test_layers.py::test_x[a::b]") == group("tests/test_layers.py::test_y") == "sources"
    assert group("tests/unit/test_x.py::test_y[1]") == "tests/unit/test_x.py::test_y[1]"


def test_a_group_has_one_process_and_what_is_in_none_is_spread(tmp_path: Path) -> None:
    """What is spread waits for the other process: no matter how slow one of them is, both must have a part."""
    pytest.importorskip("xdist")
    noted = {name: tmp_path / name for name in ("test_layers.py", "test_other.py")}
    for name, path in noted.items():
        (tmp_path / "tests").mkdir(exist_ok=True)
        (tmp_path / "tests" / name).write_text(TESTS.format(noted=str(path), meets=f"tests/{name}" not in GROUPS))
    for name in ("conftest.py", "groups.py"):
        (tmp_path / "tests" / name).write_text((ROOT / "tests" / name).read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = tests\n")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "tests"]
    run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert "24 passed" in run.stdout, run.stdout
    assert len(set(noted["test_layers.py"].read_text().split())) == 1
    assert len(set(noted["test_other.py"].read_text().split())) == 2
