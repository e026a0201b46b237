"""Trials dealt to processes, without a processor as judge."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from verify.live.differential import run
from verify.live.differential.run import FormTrials, Settings, survey
from verify.models.x86.isa.forms import form

FORMS = [form(name) for name in ("NOPD/none", "CLC/none", "STC/none", "HLT/none")]


@pytest.mark.parametrize("deaths", [0, 1, 2])
def test_a_lost_worker_costs_its_form_one_retry(deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def judging(settings: Settings) -> Iterator[Callable[[tuple[int, str]], FormTrials]]:
        def answer(task: tuple[int, str]) -> FormTrials:
            if task[1] == "STC/none" and len(list(tmp_path.iterdir())) < deaths:
                (tmp_path / str(os.getpid())).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return FormTrials(task[1], 1, 1, ())

        yield answer

    monkeypatch.setattr(run, "_judge", judging)
    said: list[tuple[tuple[int, str], str]] = []
    results = dict((r.form, r.lost) for _, r in survey(FORMS, Settings(), None, 2, lambda *lost: said.append(lost)))
    ended = "the worker process ended with status -9"
    assert results == {f.name: None for f in FORMS} | (
        {"STC/none": f"{ended}, as did the one before"} if deaths == 2 else {}
    )
    assert said == [((0, "STC/none"), ended)] * (deaths > 0)
