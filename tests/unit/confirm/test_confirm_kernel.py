"""How predictions and what the kernel showed are held against each other, without a kernel."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from verify.confirm import kernel
from verify.confirm.agreement import Agreement
from verify.confirm.kernel import Predictor, sampled
from verify.confirm.predictions import Disagreement
from verify.confirm.results import Standing
from verify.judge.encoding import Judge
from verify.live.kernel import placement
from verify.live.kernel.judge import KernelComparison, ObservedDeviation
from verify.live.kernel.outcome import Difference
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.x86.isa.forms import Cpu
from verify.report.confirmations import StateKind, WayDisagreement, Ways

JUDGE = Judge(SCHEMES[DEFAULT])
GATHER = "c4e2b592140e"  # refuted on hits alone, and the kernel's judge hardly ever sees that


class NoKernel:
    """In the place of the kernel's judge."""

    def __enter__(self) -> NoKernel:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("deaths", [0, 1, 2])
def test_a_lost_worker_costs_its_encodings_one_retry_and_a_line(
    deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def judging(*_: object) -> Iterator[Callable[[tuple[bytes, ...]], tuple[list[object], Counter[str]]]]:
        def answer(task: tuple[bytes, ...]) -> tuple[list[object], Counter[str]]:
            if b"\x9c" in task and len(list(tmp_path.iterdir())) < deaths:
                (tmp_path / str(os.getpid())).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return [], Counter({"seen": len(task)})

        yield answer

    tasks = [(b"\x90", b"\x91"), (b"\x9c",), (b"\xf4",)]
    monkeypatch.setattr(kernel, "KernelJudge", NoKernel)
    monkeypatch.setattr(kernel, "ways", lambda *_: ())
    monkeypatch.setattr(kernel, "_tasks", lambda *_: iter(tasks))
    monkeypatch.setattr(kernel, "_judge", judging)
    found, said = Agreement(DEFAULT), list[tuple[tuple[bytes, ...], str]]()
    for _ in kernel.compared(found, (), 1.0, 2, JUDGE, None, lambda *lost: said.append(lost)):
        pass
    ended = "the worker process ended with status -9"
    assert (found.complete, found.skipped["seen"]) == (True, 4 if deaths < 2 else 3)
    assert said == [(tasks[1], ended)] * (deaths > 0)
    assert found.lost == [f"1 encodings from 9c: {ended}, as did the one before"] * (deaths == 2)


def deviation(observable: str, **state: Any) -> ObservedDeviation:
    return ObservedDeviation("plain", 1, Difference(observable, "1 without, 2 with the probe"), **state)


def agreement(encoding: str, result: str, *deviations: ObservedDeviation) -> Agreement:
    data = bytes.fromhex(encoding)
    found = Agreement(DEFAULT)
    errno = 524 if result == "refused" else 0
    found.take(Predictor(JUDGE, Cpu.AMD).row(KernelComparison(data, 0x2000_0000, errno, deviations, ("arrived",))))
    return found


@pytest.mark.parametrize(
    ("encoding", "result", "observables"),
    [("90", "identical", ()), ("9c", "deviates", ("memory-values",)), ("cc", "refused", ()),
     (GATHER, "identical", ()), (GATHER, "deviates", ("hits",))],
)  # fmt: skip
def test_what_was_predicted_agrees(encoding: str, result: str, observables: tuple[str, ...]) -> None:
    found = agreement(encoding, result, *map(deviation, observables))
    assert (found.disagreements, found.unsound) == ([], [])


@pytest.mark.parametrize(("encoding", "observable"), [("4889d8", "gprs"), (GATHER, "gprs")])
def test_a_deviation_that_was_not_predicted_is_the_worst(encoding: str, observable: str) -> None:
    assert agreement(encoding, "deviates", deviation(observable)).unsound == [encoding]


def test_state_that_breaks_an_assumption_is_predicted_without_it() -> None:
    broken = frozenset({"no-alignment-check"})
    run = deviation("fault", breaks=broken), deviation("gprs", breaks=broken)     # what follows from a fault missed
    found = agreement("50", "deviates", *run)
    assert (found.unsound, dict(found.assumed)) == ([], {"no-alignment-check": 1})
    assert agreement("50", "deviates", deviation("fault")).unsound == ["50"]
    assert agreement("4889d8", "deviates", deviation("fault", breaks=broken)).unsound == ["4889d8"]


def test_difference_that_an_assumption_leaves_out_needs_the_assumption() -> None:
    difference = Difference("fault", "trapno", "fault-frame")
    data = bytes.fromhex("8b03")
    shown = KernelComparison(data, 0, 0, (), ("fault",), (ObservedDeviation("handler fault", 1, difference),))
    assert Predictor(JUDGE, Cpu.AMD).row(shown).seen == "identical"
    without = Judge(SCHEMES[DEFAULT], ASSUMPTIONS - {"fault-frame"})
    assert Predictor(without, Cpu.AMD).row(shown).seen == "deviates"


@pytest.mark.parametrize(("encoding", "frames", "wrong"), [
    ("8b03", (14, 6), ""), ("8b03", (14, 14), "stale expected"), ("8b03", (13, 13), ""), ("50", (14, 14), "stale"),
])  # fmt: skip
def test_trap_number_of_a_frame_is_what_the_plan_makes_of_it(
    encoding: str, frames: tuple[int, int], wrong: str
) -> None:
    shown = KernelComparison(bytes.fromhex(encoding), 0, 0, (), ("fault",), frames=(frames,))
    found = Predictor(JUDGE, Cpu.AMD).row(shown)
    assert wrong in found.frame and bool(wrong) == bool(found.frame)


def test_runs_are_counted_by_kind_of_state() -> None:
    found = Agreement(DEFAULT)
    kinds = (("standard", 5), ("handler", 2))
    shown = KernelComparison(b"\x90", 0, 0, (), ("arrived",), runs=kinds)
    found.take(Predictor(JUDGE, Cpu.AMD).row(shown))
    expected = {"handler": StateKind(runs=2, deviating=0), "standard": StateKind(runs=5, deviating=0)}
    assert found.document().states == expected


@pytest.mark.parametrize(("step", "taken"), [(1, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [0, 3, 6]), (2.4, [0, 3, 5])])
def test_one_in_so_many_encodings_is_taken(step: float, taken: list[int]) -> None:
    assert [e[0] for e in sampled((bytes((i,)) for i in range(8)), step)] == taken


def test_place_that_cannot_be_had_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "slots_unavailable", lambda: "userfaultfd(2) is refused here")
    assert placement.unavailable()["last slot"] == "userfaultfd(2) is refused here"
    assert "last slot" not in {p.name for p in placement.available()}
    assert Agreement(DEFAULT).document().not_run["last slot"]


WRONG_WAY = Ways(compared=1, kinds=1, disagreements=(WayDisagreement(encoding="90", plan="a", kernel="b"),))


@pytest.mark.parametrize(("found", "standing"), [
    ({}, Standing.AGREES), ({"lost": ["3 encodings"]}, Standing.LOST),
    ({"ways": {"ways": WRONG_WAY}}, Standing.DISAGREES),
    ({"apart": [Disagreement("90", "standard", "plain", (), ("gprs",))], "lost": ["1"]}, Standing.DISAGREES),
])  # fmt: skip
def test_whatever_disagrees_is_the_standing(found: dict[str, Any], standing: Standing) -> None:
    assert Agreement(DEFAULT, **found).standing is standing


def test_an_encoding_that_disagrees_is_the_standing() -> None:
    found = agreement("4889d8", "deviates", deviation("gprs"))
    assert found.standing is Standing.DISAGREES
    (row,) = found.document().disagreements
    assert (row.encoding, row.model, row.kernel) == ("4889d8", "identical", "deviates")
