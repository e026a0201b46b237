"""What starting costs: `--help` says what the commands' docstrings say and imports none of them."""

from __future__ import annotations

import gc
import importlib
import subprocess
import sys

import pytest

from verify.cli import COMMANDS, main
from verify.cli.confirm import MODES

HEAVY = ("z3", "numpy", "capstone", "iced_x86", "rich", "verify.smt", "verify.models", "verify.concurrency", "msgspec")


ROWS = COMMANDS | MODES


@pytest.mark.parametrize("name", ROWS)
def test_a_line_of_help_is_the_first_paragraph_of_the_docstring(name: str) -> None:
    module, _, attribute = ROWS[name].where.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert " ".join(command.help.split("\n\n")[0].split()) == ROWS[name].says
    assert command.short_help is None and not command.hidden and not command.deprecated


@pytest.mark.parametrize(("arguments", "named"), [("'--help'", "opcode-range"), ("'confirm', '--help'", "semantics")])
def test_help_imports_no_command(arguments: str, named: str) -> None:
    code = f"import sys; from verify.cli import status; status([{arguments}]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert named in done.stdout
    assert not set(HEAVY) & set(done.stderr.split())


def test_the_collector_looks_at_what_a_survey_makes_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    before, found = gc.get_threshold(), list[tuple[int, int, int]]()
    monkeypatch.setattr("verify.cli.status", lambda arguments: found.append(gc.get_threshold()) or 0)
    try:
        with pytest.raises(SystemExit):
            main([])
    finally:
        gc.set_threshold(*before)
    assert found == [(50_000, 20, 50)]
