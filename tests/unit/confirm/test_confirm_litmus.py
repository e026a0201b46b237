"""What was seen of a litmus test is held against the model; a forbidden outcome is a defect and exit status 1."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from verify import cli
from verify.cli.request import chosen
from verify.concurrency.litmus.catalogue import CATALOGUE
from verify.concurrency.litmus.fetch import INT3, OTHER
from verify.confirm import litmus
from verify.confirm.litmus import LitmusResult, confirmed, defects, judged, line, shown
from verify.confirm.results import Standing, keep
from verify.live.litmus.litmus import LitmusRun, Observed

BY_NAME = {test.name: test for test in CATALOGUE}
SYNC = BY_NAME["sync-orders-stores"]  # forbidden: the second store without the first, 11112211


def seen(*counts: tuple[tuple[int, ...], int], reason: str = "") -> Observed:
    return Observed(counts, sum(number for _, number in counts), 0.5, reason)


def test_a_forbidden_outcome_is_a_defect() -> None:
    row = judged(SYNC, seen(((0x11111111,), 5), ((0x11112211,), 2)))
    assert row.forbidden == ((0x11112211,),) and row.of_interest == 2
    assert defects(row) == ["DEFECT OF THE MODEL: sync-orders-stores: 11112211 was seen 2 times and is forbidden"]
    found = LitmusResult(1, 1, 1, [row])
    assert (found.document().defects, found.standing) == (("sync-orders-stores",), Standing.DISAGREES)


def test_allowed_outcomes_are_none() -> None:
    row = judged(SYNC, seen(((0x11111111,), 5), ((0x11112222,), 2), ((0x11111122,), 1)))
    assert row.forbidden == () and defects(row) == []
    assert "forbidden, seen 0 times in 8; allowed: 11111111 | 11111122 | 11112222; seen: 11111111: 5" in line(row)


def test_a_test_that_did_not_run_often_enough_is_said() -> None:
    result = LitmusResult(1, 10, 1, [judged(SYNC, seen(((0x11111111,), 5), reason="0.1 s were over"))])
    found = result.document()
    assert found.unfinished == {"sync-orders-stores": "0.1 s were over"} and found.defects == ()
    assert (result.standing, found.complete) == (Standing.UNDECIDED, False)


def test_every_test_has_its_turn_and_time_is_shared() -> None:
    asked: list[tuple[LitmusRun, int, float, int]] = []

    def observer(run: LitmusRun, runs: int, seconds: float, seed: int) -> Observed:
        asked.append((run, runs, seconds, seed))
        return seen(((0x11111111,), runs))

    rows = list(confirmed(CATALOGUE[:3], 7, 1.0, 40, observer))
    assert [(runs, seconds, seed) for _, runs, seconds, seed in asked] == [(7, 1.0, 40), (7, 0.5, 41)]
    assert [row.unfinished for row in rows] == ["", "", "no time was left"]


def test_outcomes_in_words() -> None:
    assert shown((INT3, OTHER, 0x22)) == "int3,other,22"


def test_the_kept_file_has_every_test_and_is_small(tmp_path: Path) -> None:
    rows = [judged(test, seen((next(iter(judged(test, seen()).allowed)), 10**6))) for test in CATALOGUE]
    result = LitmusResult(len(rows), 10**6, 1, rows)
    (path,) = keep(result, tmp_path / "live")
    written = json.loads(path.read_text())
    assert [row["name"] for row in written["rows"]] == [test.name for test in CATALOGUE]
    assert path.stat().st_size < 100_000 and path.name.startswith("litmus-")
    assert f"{len(CATALOGUE)} tests" in next(result.lines())


def test_names_choose_tests() -> None:
    assert chosen("test", ("dword-torn",), CATALOGUE) == (BY_NAME["dword-torn"],)
    assert chosen("test", (), CATALOGUE) == CATALOGUE
    with pytest.raises(click.UsageError, match=r"no test 'dword'; there are .*dword-torn"):
        chosen("test", ("dword",), CATALOGUE)


@pytest.mark.parametrize(
    ("observed", "status", "said"),
    [
        (seen(((0x11111111,), 9)), 0, "0 show what the model forbids"),
        (seen(((0x11112211,), 9)), 1, "DEFECT OF THE MODEL"),
        (seen(reason="the child gave no result"), 2, "the child gave no result"),
    ],
)
def test_exit_status(
    observed: Observed, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("verify.live.litmus.litmus.unavailable", lambda: "")
    monkeypatch.setattr(litmus, "observe", lambda *_: observed)
    assert cli.status(["confirm", "litmus", "sync-orders-stores"]) == status
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["litmus", "races"])
def test_unknown_names_are_wrong_usage(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.status(["confirm", mode, "no-such-name"]) == 64
    assert "no-such-name" in capsys.readouterr().err


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("verify.live.litmus.litmus.unavailable", lambda: "needs two processors")
    monkeypatch.setattr("verify.live.races.races.missing", lambda: ("capability CAP_BPF (or CAP_SYS_ADMIN)", "tracefs"))
    assert cli.status(["confirm", "litmus"]) == 2
    assert "needs two processors" in capsys.readouterr().err
    assert cli.status(["confirm", "races"]) == 2
    assert "capability CAP_BPF (or CAP_SYS_ADMIN); tracefs" in capsys.readouterr().err
