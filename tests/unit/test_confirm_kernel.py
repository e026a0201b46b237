"""How predictions and what the kernel showed are held against each other, without a kernel."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from verify.confirm_kernel import Agreement, row
from verify.models.isa.forms import Cpu
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.smt.judge import Judge

JUDGE = Judge(SCHEMES[DEFAULT])
GATHER = "c4e2b592140e"  # refuted on hits alone, and the kernel's judge hardly ever sees that


def agreement(encoding: str, result: str, *observables: str) -> Agreement:
    data = bytes.fromhex(encoding)
    shown = SimpleNamespace(encoding=data, result=result, observables=observables)
    found = Agreement()
    found.take(row(JUDGE.judgement(data, Cpu.AMD), shown))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("encoding", "result", "observables"),
    [("90", "identical", ()), ("9c", "deviates", ("memory-values",)), ("cc", "refused", ()),
     (GATHER, "identical", ()), (GATHER, "deviates", ("hits",))],
)  # fmt: skip
def test_what_was_predicted_agrees(encoding: str, result: str, observables: tuple[str, ...]) -> None:
    found = agreement(encoding, result, *observables)
    assert (found.disagreements, found.unsound) == ([], [])


@pytest.mark.parametrize(("encoding", "observables"), [("4889d8", ("gprs",)), (GATHER, ("gprs",))])
def test_a_deviation_that_was_not_predicted_is_the_worst(encoding: str, observables: tuple[str, ...]) -> None:
    assert agreement(encoding, "deviates", *observables).unsound == [encoding]
