"""Which counterexample is shown, and what of it stands for any value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from verify.cli import status


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    status(["insn", *arguments, "--format", "json"])
    return json.loads(capsys.readouterr().out)


def test_of_a_system_call_the_register_that_every_return_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """SDM vol. 2, SYSCALL: rcx is the address behind it.  What the kernel answers is nobody's to compute."""
    found = explained(capsys, "0f05", "--all")
    first = found["counterexample"]
    assert first["observable"] == "gprs" and "stand_ins" not in first
    assert int(first["in_place"]["rcx"], 16) == int(first["origin"], 16) + 2
    assert int(first["displaced"]["rcx"], 16) == int(first["slot"], 16) + 2
    further = {row["observable"]: row for row in found["further"]}
    assert set(further) == {"next-ip", "trap", "containment"}
    assert further["next-ip"]["stand_ins"] == ["rip"]


def test_of_a_push_the_value_that_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "9c")
    assert found["counterexample"]["observable"] == "memory-values" and "further" not in found


@pytest.mark.parametrize("syntax", ["intel", "att"])
def test_the_syntax_is_that_asked_for(syntax: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "488b0511223344", "--syntax", syntax)
    assert found["text"] == {"intel": "mov rax,[rip+0x44332211]", "att": "mov 0x44332211(%rip), %rax"}[syntax]
