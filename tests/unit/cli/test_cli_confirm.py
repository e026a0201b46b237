"""`confirm` is a group: every judge has its own options, and those of another are wrong usage."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from verify.cli import status
from verify.cli.confirm import MODES

ROOT = Path(__file__).parents[3]
OPTIONS = {  # option with a value -> the judges that take it
    ("--states", "5"): {"semantics"}, ("--runs", "5"): {"litmus"}, ("--step", "2"): {"kernel"},
    ("--scheme", "identity"): {"kernel"}, ("--although",): {"kernel"},
    ("--seed", "1"): {"semantics", "litmus", "races"}, ("--seconds", "1"): set(MODES) - {"cost"},
}  # fmt: skip
FOREIGN = [(mode, option) for option, takes in OPTIONS.items() for mode in MODES if mode not in takes]


@pytest.mark.parametrize(("mode", "option"), FOREIGN)
def test_an_option_of_another_judge_is_one_line_that_names_it(
    mode: str, option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(["confirm", mode, *option]) == 64
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and option[0] in err


@pytest.mark.parametrize("mode", MODES)
def test_each_judge_takes_the_options_that_are_its_own(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["confirm", mode, "--help"]) == 0
    words = set(capsys.readouterr().out.replace(",", " ").split())
    assert {option[0] for option, takes in OPTIONS.items() if mode in takes} <= words
    assert {"--format", "--store", "--jobs", "--ledger", "-q", "-v"} <= words


@pytest.mark.parametrize(("arguments", "named"), [
    ((), "semantics, kernel, litmus, races, cost"), (("90",), "'90'"), (("scheme",), "'scheme'"),
    *(((f"--{mode}",), f"--{mode}") for mode in MODES), (("cost", "90"), "90"), (("kernel", "zz"), "'zz'"),
    (("semantics", "zz"), "'zz'"), (("litmus", "nope"), "'nope'"), (("races", "nope"), "'nope'"),
    (("semantics", "90", "--store"), "90"), (("kernel", "90", "--store"), "90"),
    (("litmus", "dword-torn", "--store"), "dword-torn"), (("races", "stepped", "--store"), "stepped"),
])  # fmt: skip
def test_wrong_usage_is_one_line_that_names_the_value(
    arguments: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(["confirm", *arguments]) == 64
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and named in err


def test_nothing_speaks_of_judges_as_options() -> None:
    """Of the files in git; this one has the words in a list."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("missing: a git checkout")
    texts = (ROOT / name for name in listed.stdout.split() if name.endswith((".md", ".py", "Makefile", "run", ".toml")))
    old = [f"confirm --{mode}" for mode in MODES]
    assert [str(path) for path in texts if path.exists() and any(o in path.read_text("utf-8") for o in old)] == []
