"""The suite's samples: seeded, of the size that is asked for, and nothing of the rest is lost."""

import subprocess
import sys
from pathlib import Path

from sampling import sampled

CASES = [(number, str(number)) for number in range(30)]


def left(cases):
    return [case.values for case in cases if hasattr(case, "values") and case.marks]


def test_a_sample_has_its_size_and_the_rest_is_marked():
    found = sampled(CASES, 4, always=[(7, "7")])
    assert len(found) == 30
    assert len(left(found)) == 25
    assert (7, "7") not in left(found)


def test_a_sample_is_the_same_every_time():
    assert left(sampled(CASES, 4)) == left(sampled(CASES, 4))


def test_a_sample_of_more_than_there_is_takes_all():
    assert left(sampled(CASES, 100)) == []


def test_what_is_left_out_of_the_suite_runs_when_asked_for(tmp_path: Path):
    (tmp_path / "test_x.py").write_text(
        "import pytest\nfrom sampling import sampled\n"
        "@pytest.mark.parametrize('number', sampled(range(10), 3))\ndef test_x(number): pass\n"
    )
    for chosen, passed in (([], "3 passed"), (["-m", "whole"], "7 passed")):
        command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-c", "pyproject.toml", *chosen, str(tmp_path)]
        run = subprocess.run(
            [*command, "-o", "addopts=-m 'not whole'"], cwd=Path(__file__).parents[1], check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        assert passed in run.stdout, run.stdout
