"""What `insn` says of an encoding of which nothing is known: nothing that is proved, in text and in JSON."""

import json

import pytest

from verify.cli import status
from verify.models.x86.machine import OBSERVABLES

REX2 = "d5009c"  # APX, published after 2023: not modelled


def test_of_what_is_not_modelled_every_observable_is_printed_unknown(capsys):
    assert status(["insn", REX2]) == 2
    said = capsys.readouterr().out.replace(",", "").split()
    assert said[said.index("verdict") :][:2] == ["verdict", "unknown"]
    behind = said[said.index("verdict") + 2 :]
    assert behind[behind.index("unknown") + 1 :][: len(OBSERVABLES)] == list(OBSERVABLES)
    assert "proved" not in said


def test_of_what_is_not_modelled_json_says_unknown_too(capsys):
    assert status(["insn", REX2, "--format", "json"]) == 2
    row = json.loads(capsys.readouterr().out)
    assert row["verdict"] == "unknown" and row["reason"].startswith("not modelled")
    assert row["verdicts"] == dict.fromkeys(OBSERVABLES, "unknown")
    assert row["observables"] == []


@pytest.mark.parametrize(("given", "verdict"), [
    ("78", "refuted"), ("7865", "refuted"), ("6b76", "refuted"), ("78656e0f", "refuted"),
    ("78656ee8", "refuted"), ("90", "proved"), ("7866", "proved"), ("9078656e", "proved"), ("90" * 14, "proved"),
])  # fmt: skip
def test_what_stands_behind_a_continuation_that_is_given_in_part_is_any_byte(given, verdict, capsys):
    """The kernel takes 0f0b78656e for an emulate prefix; on 6.18.44 0f0b78656e0f8400000000 runs on when probed."""
    status(["insn", "0f0b", "--followed-by", given, "--format", "json"])
    assert json.loads(capsys.readouterr().out)["verdict"] == verdict
