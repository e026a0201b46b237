"""Ctrl-C and the limit of memory end a run as incomplete, with what it found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from verify.concurrency import explorer
from verify.concurrency.bdd import engine as diagrams
from verify.concurrency.explicit import c_engine
from verify.concurrency.explorer import explore
from verify.concurrency.instance.instance import instantiate
from verify.concurrency.language.domains import ProtocolError
from verify.concurrency.liveness import emerson_lei, lasso
from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded import ProvedAny, counter_abstraction, houdini, prove_any, views
from verify.concurrency.unbounded.encoding import NotCovered

RUN = "from verify.cli import main; main(['interleavings', *__import__('sys').argv[1:]])"
ROOT = Path(__file__).parents[3]
SEARCHED = 0.5  # seconds of the processor that a search has had, before it is interrupted
TELLING = """
import os, sys
from verify.concurrency.explicit import c_engine, numpy_engine
step, process, levels = numpy_engine.Explorer.step, c_engine.subprocess.Popen, []
def telling(self):
    levels.append(step(self))
    len(levels) == 5 and print(os.getpid(), file=sys.stderr, flush=True)
def started(*arguments, **options):
    made = process(*arguments, **options)
    "stdout" in options and not options.get("text") and print(made.pid, file=sys.stderr, flush=True)
    return made
numpy_engine.Explorer.step, c_engine.subprocess.Popen = telling, started
"""  # the process that searches, once it does


def cpu_time(process: int) -> float:
    """Seconds of the processor that a process has had; where that is not told, enough of them after a while."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        time.sleep(2 * SEARCHED)
        return 2 * SEARCHED
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("engine", ["numpy", pytest.param("c", marks=pytest.mark.skipif(
    c_engine.compiler() is None, reason="no C compiler on this machine"))])  # fmt: skip
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
        [sys.executable, "-c", TELLING + RUN, *arguments, "--memory", "2000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    searching = int(process.stderr.readline())
    while cpu_time(searching) < SEARCHED:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate()[0]
    assert process.returncode == 130, output
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
    output = process.communicate()[0]
    assert process.returncode == 130, output
    found = json.loads(output)
    assert (found["complete"], found["reason"], found["states"]) == (False, "interrupted", 0)
    assert set(found["properties"].values()) == {"unknown"}


def interrupt(*_: object, **__: object) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize("threads", [3, 6])
def test_interrupted_liveness_keeps_the_verdicts_of_safety(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasso, "judge", interrupt)
    monkeypatch.setattr(emerson_lei, "judge", interrupt)
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
    for engine in ("python", "numpy", "bdd", *(["c"] if c_engine.compiler() else [])):
        limit = 20_000_000 if engine == "bdd" else 4_000_000  # diagrams take more before the first state
        found = explore(protocol("xol-step").with_parameters(M=6, R=6), 5, engine, limits=Limits(memory=limit))
        assert (found.complete, found.decided) == (False, False), engine
        assert "memory" in found.reason or f"{limit} bytes" in found.reason, engine
        assert found.states > 0, engine
        assert found.verdict("no_sigtrap").name == "unknown", engine


def test_what_the_first_search_saw_keeps_its_shortest_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "FIRST", 1000)
    monkeypatch.setattr(diagrams.Reachability, "rings", interrupt)  # no second look
    chosen = protocol("xol-step").with_variant("no-read-lock")
    found = explore(chosen, 3)
    assert (found.complete, found.engine[:2]) == (True, "dd")
    assert [len(trace.events) for trace in found.traces] == [9]


MEMORY = Limits(memory=50_000_000)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("xol-step", {"K": 10**9}), ("inline-step-hwbp", {"D": 10**9}), ("return-probe", {"D": 10**9})],
)
def test_a_model_larger_than_the_memory_is_not_made(name: str, sizes: dict[str, int]) -> None:
    found = explore(protocol(name).with_parameters(**sizes), limits=MEMORY)
    assert (found.complete, found.decided, found.states) == (False, False, 0)
    assert "50000000 bytes for the model: 1000000000 cells" in found.reason
    assert {verdict.name for _, verdict in found.properties} == {"unknown"}


@pytest.mark.parametrize("sizes", [{"R": 10**9}, {"M": 10**9}])
def test_a_variable_of_many_values_is_not_gone_through(sizes: dict[str, int]) -> None:
    tried = protocol("xol-step").with_parameters(**sizes)
    drawn = diagrams.search(instantiate(tried, 3), MEMORY)
    assert (drawn.complete, "1000000001 values" in drawn.reason) == (False, True)
    found = explore(tried, 3, limits=replace(MEMORY, states=200_000))
    assert found.states > 100_000
    assert not found.complete
    assert found.verdict("signal_is_deferred").name == "proved"


def test_an_array_too_long_for_an_expression_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="slot of 1000 cells: at most 128"):
        instantiate(protocol("xol-step").with_parameters(K=1000), 2)


def test_diagrams_are_bounded_while_they_are_encoded() -> None:
    drawn = diagrams.search(instantiate(protocol("xol-step").with_parameters(K=100), 2), MEMORY)
    assert not drawn.complete
    assert drawn.reason == "more than 50000000 bytes of diagrams"


def test_interrupted_grounding_leaves_a_run_that_is_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "instantiate", interrupt)
    found = explore(protocol("xol-step"))
    assert (found.complete, found.reason, found.decided) == (False, "interrupted", False)


MANY = 4_000_000_000  # units of a question: it ends by itself, after an hour
HARD = """
import z3
from verify.concurrency.unbounded.solvers import Constants, asked, horn, solver
ours = Constants()
a, b = z3.BitVecs("a b", 64, ours.context)
made = solver(ours.context)
made.add(a * b == 0xDEADBEEFCAFEBABD, z3.ULT(a, 1 << 33), z3.UGT(a, 1 << 20), z3.ULT(b, 1 << 33), b > 5)
engine, count = horn(ours.context), z3.Function("count", *[ours.integers] * 3, ours.truths)
bad = z3.Function("bad", ours.truths)
p, q, r = map(ours.integer, "pqr")
engine.declare_var(p, q, r)
engine.register_relation(count, bad)
engine.rule(count(p, q, r), [p >= 0, q == 3 * p, r == 1])
engine.rule(count(p + q, q + r * 2, r + p), [count(p, q, r)])
engine.rule(bad(), [count(p, q, r), p * p + 17 == q * r])
try:
    print("ready", flush=True)
    asked(made, (), UNITS) if KIND == "solver" else asked(engine, bad(), UNITS)
    print("went on")
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("kind", ["solver", "spacer"])
def test_ctrl_c_ends_a_query_and_is_not_taken_for_its_time(kind: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", f"KIND, UNITS = {kind!r}, {MANY}\n{HARD}"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate()[0] == "interrupted\n"


@pytest.mark.parametrize("method", [(views, "closed"), (houdini, "invariant"), (counter_abstraction, "counted")])
def test_interrupted_proof_keeps_what_was_found(
    method: tuple[ModuleType, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*method, interrupt)
    found = prove_any(protocol("ref-count").with_variant("no-lock"))
    assert (found.interrupted, found.decided) == (True, False)
    assert found.verdict("registered_is_armed").name == "refuted"


def test_each_proof_is_bounded_in_work_memory_and_time() -> None:
    for limits in (Limits(seconds=0.0), Limits(memory=1), Limits(work=1)):
        with pytest.raises(NotCovered, match=r"more than 0.0 s|bytes of the solver|units of work|small instance"):
            houdini.invariant(protocol("xol-step"), limits)
        with pytest.raises(NotCovered):
            counter_abstraction.counted(protocol("ref-count"), ["no_sigtrap"], limits)


def test_sizes_below_one_are_not_claimed_by_an_invariant_for_sizes_from_one_on() -> None:
    found = prove_any(protocol("xol-step").with_parameters(R=0))
    proved = [verdict for _, verdict in found.properties if isinstance(verdict, ProvedAny)]
    assert proved
    assert not any(method.name == "invariant" for verdict in proved for method in verdict.methods)
