"""People's own protocol files: loaded, explored, recorded; and one line with file and line for what is wrong."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import command_line
import pytest

from verify.concurrency import protocols
from verify.concurrency.language.protocol import ProtocolError
from verify.concurrency.protocols import _own

MINE = '''\
"""A lock that is tried again and again."""
from verify.concurrency.language.protocol import Bounded, Description, Enum, Parameter, ThreadId, leads_to

N = Parameter("N", 1)
p = Description("mine", "Is it exclusive?", shared={"owner": ThreadId(), "n": Bounded(0, N)},
                local={"pc": Enum("out", "in")}, threads=2)
print("nothing of this is shown")


@p.step(fair="strong")
def take(s, t):
    if t.pc == "out" and s.owner is None:
        s.owner = t
        t.pc = "in"


@p.step()
def give(s, t):
    if t.pc == "in":
        s.owner = None
        t.pc = "out"


@p.always
def exclusive(s, t, u):
    return not (t.pc == "in" and u.pc == "in")


@p.eventually
def gets_it(s, t):
    return leads_to(t.pc == "out", t.pc == "in")


v = p.variant("taken", "Nobody looks whether it is free.", refutes=["exclusive"])


@v.step(replaces="take", fair="strong")
def take_anyway(s, t):
    if t.pc == "out":
        s.owner = t
        t.pc = "in"


PROTOCOL = p.protocol()
'''


def run(*arguments: str) -> tuple[int, str]:
    return command_line.run("interleavings", *arguments)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


def test_a_file_is_explored_with_variant_and_parameter(mine: Path) -> None:
    status, said = run("mine.py", "-p", "N=2")
    assert status == 0
    assert "3 states, 4 transitions" in said  # nobody, or one of two
    assert "proved   gets_it" in said and "N=2" in said and "nothing of this" not in said
    status, said = run("./mine.py", "--variant", "taken")
    assert "refuted  exclusive" in said
    assert run(str(mine), "--export", "promela")[0] == 0


def test_a_file_is_recorded_and_checked_in_its_own_manifest(mine: Path, tmp_path: Path) -> None:
    assert run("mine.py", "--variant", "all", "--record", "mine.json")[0] == 0
    assert run("mine.py", "--variant", "all", "--check", "mine.json")[0] == 0
    mine.write_text(MINE.replace('t.pc = "out"\n\n\n@p.always', 't.pc = "in"\n\n\n@p.always'))
    status, said = run("mine.py", "--check", "mine.json")
    assert (status, "states: recorded 3" in said or "transitions: recorded 4" in said) == (1, True)
    assert run("mine.py", "--check")[0] == 64
    assert run("mine.py", "ref-count", "--check", "mine.json")[0] == 64


def test_a_file_is_proved_for_any_number(mine: Path) -> None:
    status, said = run("mine.py", "--threads", "any")
    assert (status, "proved   exclusive: any number of threads" in said) == (0, True)


WRONG = [
    ("s.owner = t\n        t.pc = \"in\"\n\n\n@p.step()", "s.ower = t\n\n\n@p.step()", 13, "undeclared name s.ower"),
    ("@p.step()", "@p.step", 17, "the decorator needs parentheses"),
    ('Enum("out", "in")', "Enum()", 6, "an enumeration needs distinct names"),
    ("PROTOCOL = p.protocol()", "", 1, "expected PROTOCOL = description.protocol(), there is none"),
    ("PROTOCOL = p.protocol()", "PROTOCOL = 3", 1, "got int"),
    ("N = Parameter", "N = 1 / 0 #", 4, "ZeroDivisionError: division by zero"),
    ("N = Parameter", "N = (", 4, "'(' was never closed"),
    ("N = Parameter", "import sys; sys.exit(3) #", 4, "SystemExit: 3"),
]


@pytest.mark.parametrize(("old", "new", "line", "said"), WRONG)
def test_what_is_wrong_is_one_line_with_file_and_line(mine: Path, old: str, new: str, line: int, said: str) -> None:
    mine.write_text(MINE.replace(old, new, 1))
    with pytest.raises(ProtocolError) as caught:
        protocols.protocol("mine.py")
    message = str(caught.value)
    assert "\n" not in message
    assert said in message
    assert message.startswith(f"mine.py:{line}: "), message


def test_a_file_that_is_missing_dies_or_takes_too_long_is_told(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProtocolError, match=r"none\.py: no such file"):
        protocols.protocol("none.py")
    mine.write_text("import os\nos._exit(3)\n")
    with pytest.raises(ProtocolError, match=r"mine\.py: not read"):
        protocols.protocol("mine.py")
    monkeypatch.setattr(_own, "SECONDS", 0.2)
    mine.write_text("while True:\n    pass\n")
    with pytest.raises(ProtocolError, match=r"mine\.py: not read"):
        protocols.protocol("mine.py")


def test_an_entry_point_names_a_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        importlib.metadata.EntryPoint("theirs", "verify.concurrency.protocols.ref_count:PROTOCOL", _own.GROUP),
        importlib.metadata.EntryPoint("wrong", "verify.concurrency.protocols.ref_count:threads", _own.GROUP),
        importlib.metadata.EntryPoint("lost", "no.such.module:PROTOCOL", _own.GROUP),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries if group == _own.GROUP else [])
    assert protocols.installed() == ("lost", "theirs", "wrong")
    assert protocols.protocol("theirs").name == "ref-count"
    for name in ("wrong", "lost"):
        with pytest.raises(ProtocolError, match=f"entry point {name} of ubp_verify.protocols"):
            protocols.protocol(name)
