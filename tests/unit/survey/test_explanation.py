"""What `insn` says of an encoding of which nothing is known: nothing that is proved, in text and in JSON."""

import json

from verify.cli import status
from verify.models.x86.machine import OBSERVABLES

REX2 = "d5009c"  # APX, published after 2023: not modelled


def test_of_what_is_not_modelled_every_observable_is_printed_unknown(capsys):
    assert status(["insn", REX2]) == 2
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["verdict", "unknown"] in lines
    assert [line for line in lines if line[0] in OBSERVABLES] == [[o, "unknown"] for o in OBSERVABLES]


def test_of_what_is_not_modelled_json_says_unknown_too(capsys):
    assert status(["insn", REX2, "--format", "json"]) == 2
    row = json.loads(capsys.readouterr().out)
    assert row["verdict"] == "unknown" and row["reason"].startswith("not modelled")
    assert row["verdicts"] == dict.fromkeys(OBSERVABLES, "unknown")
    assert row["observables"] == []
