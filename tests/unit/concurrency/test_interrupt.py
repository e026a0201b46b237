"""Ctrl-C and the limit of memory end a run as incomplete, with what it found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest

from verify.concurrency import compiled, diagrams, explorer, fair_diagrams, lasso
from verify.concurrency.explored import Limits
from verify.concurrency.explorer import explore
from verify.concurrency.protocols import protocol

RUN = "from verify.cli_interleavings import interleavings; interleavings()"
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("engine", ["numpy", pytest.param("c", marks=pytest.mark.skipif(
    compiled.compiler() is None, reason="no C compiler on this machine"))])  # fmt: skip
def test_interrupted_search_reports_what_it_found(engine: str) -> None:
    arguments = [
        "xol-step",
        "--threads",
        "6" if engine == "c" else "5",
        "-p",
        "M=12",
        "-p",
        "R=6",
        "--engine",
        engine,
        "--format",
        "json",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments, "--memory", "2000"],
        stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    time.sleep(6)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2, output
    found = json.loads(output)
    assert (found["complete"], found["reason"]) == (False, "interrupted")
    assert found["states"] > 0


def test_interrupted_compiler_leaves_a_run_that_is_incomplete(tmp_path: Path) -> None:
    slow = tmp_path / "gcc"
    slow.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexec sleep 60\n")
    slow.chmod(0o755)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "xol-step", "--engine", "c", "--format", "json"],
        stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 2, output
    found = json.loads(output)
    assert (found["complete"], found["reason"], found["states"]) == (False, "interrupted", 0)
    assert set(found["properties"].values()) == {"unknown"}


def interrupt(*_: object, **__: object) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize("threads", [3, 6])
def test_interrupted_liveness_keeps_the_verdicts_of_safety(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasso, "judge", interrupt)
    monkeypatch.setattr(fair_diagrams, "judge", interrupt)
    found = explore(protocol("xol-step"), threads)
    assert (found.complete, found.reason, found.decided) == (False, "interrupted", False)
    assert found.verdict("no_sigtrap").name == "proved"
    assert found.verdict("registering_ends").name == "unknown"


def test_interrupted_trace_keeps_the_refutation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "trace", interrupt)
    found = explore(protocol("xol-step").with_variant("no-read-lock"), 2)
    assert (found.complete, found.reason) == (False, "interrupted")
    assert found.verdict("no_sigtrap").name == "refuted"


@pytest.mark.parametrize("part", ["__init__", "saturate"])
def test_interrupted_diagrams_leave_what_the_first_search_saw(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagrams.Reachability, part, interrupt)
    monkeypatch.setattr(explorer, "FIRST", 1000)
    found = explore(protocol("xol-step"), 4)
    assert (found.complete, found.reason, found.engine) == (False, "interrupted", "numpy")
    assert found.states > 1000
    assert found.verdict("signal_is_deferred").name == "proved"
    assert found.verdict("no_sigtrap").name == "unknown"


def test_memory_bounds_every_engine() -> None:
    for engine in ("python", "numpy", "bdd", *(["c"] if compiled.compiler() else [])):
        found = explore(protocol("xol-step").with_parameters(M=6, R=6), 5, engine, limits=Limits(memory=20_000_000))
        assert (found.complete, found.decided) == (False, False), engine
        assert "memory" in found.reason or "20000000 bytes" in found.reason, engine
        assert found.states > 0, engine
        assert found.verdict("no_sigtrap").name == "unknown", engine


def test_what_the_first_search_saw_keeps_its_shortest_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "FIRST", 1000)
    monkeypatch.setattr(diagrams.Reachability, "rings", interrupt)  # no second look
    chosen = protocol("xol-step").with_variant("no-read-lock")
    found = explore(chosen, 3)
    assert (found.complete, found.engine[:2]) == (True, "dd")
    assert [len(trace.events) for trace in found.traces] == [9]
