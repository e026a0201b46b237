"""SPIN and rumur, where they are installed, count the exported models as the engines do."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from verify.concurrency.explicit import python_engine
from verify.concurrency.explorer import explore
from verify.concurrency.instance.instance import Model, Transition, instantiate
from verify.concurrency.language.protocol import Claim, Description, Enum, Shared, Thread, ThreadId
from verify.concurrency.protocols import names, protocol
from verify.concurrency.results import export as exporter
from verify.concurrency.results.exploration import Limits
from verify.concurrency.results.export import export, ordered

LARGEST = 120_000  # states that are worth a run of a peer here
NEEDS_SPIN = pytest.mark.skipif(
    not (shutil.which("spin") and shutil.which("gcc")), reason="SPIN or gcc is not installed"
)
NEEDS_RUMUR = pytest.mark.skipif(
    not (shutil.which("rumur") and shutil.which("gcc")), reason="rumur or gcc is not installed"
)
CASES = [(name, 2) for name in names()] + [("xol-step", 3)]
VARIANTS = [("xol-step", "uprobe-removed-first"), ("xol-step", "signal-in-slot"), ("xol-step", "cyclic")]


def spin(model: Model, place: Path) -> tuple[int, int, int]:
    """States, transitions and errors as SPIN counts them; the initial state is one of its transitions."""
    (place / "m.pml").write_text(export(model, "promela"))
    subprocess.run(["spin", "-a", "m.pml"], cwd=place, check=True, capture_output=True)
    options = ["-O1", "-DSAFETY", "-DNOREDUCE", "-w", "-DVECTORSZ=2048"]
    subprocess.run(["gcc", *options, "-o", "pan", "pan.c"], cwd=place, check=True)
    run = subprocess.run(
        ["./pan", "-m1000000", "-w20", "-c0"], cwd=place, check=True, capture_output=True, text=True
    )
    states = re.search(r"(\d+) states, stored", run.stdout)
    transitions = re.search(r"(\d+) transitions", run.stdout)
    errors = re.search(r"errors: (\d+)", run.stdout)
    assert states and transitions and errors, run.stdout
    assert "max search depth too small" not in run.stdout
    return int(states[1]), int(transitions[1]) - 1, int(errors[1])


def rumur(model: Model, place: Path) -> tuple[int, int]:
    """States and fired rules as rumur counts them."""
    (place / "m.m").write_text(export(model, "murphi"))
    options = ["--deadlock-detection", "off", "--symmetry-reduction", "off", "--max-errors", "1000000000"]
    subprocess.run(["rumur", *options, "--output", "m.c", "m.m"], cwd=place, check=True, capture_output=True)
    options = ["-O1", "-std=c11", "-w", "-march=native", "-mcx16"]
    subprocess.run(["gcc", *options, "-o", "m", "m.c", "-lpthread", "-latomic"], cwd=place, check=True)
    run = subprocess.run(["./m"], cwd=place, check=False, capture_output=True, text=True)
    found = re.search(r"(\d+) states, (\d+) rules fired", run.stdout)
    assert found, run.stdout[-2000:]
    return int(found[1]), int(found[2])


def small(name: str, threads: int, variant: str = "") -> tuple[Model, int, int]:
    chosen = protocol(name).with_variant(variant) if variant else protocol(name)
    model = instantiate(chosen, threads)
    found = python_engine.search(model, False, Limits(states=LARGEST))
    if not found.complete:
        pytest.skip(f"{name} with {threads} threads has more than {LARGEST} states")
    return model, found.states, found.transitions


@NEEDS_SPIN
@pytest.mark.parametrize(("name", "threads"), CASES)
def test_spin_counts_states_and_transitions_alike(name: str, threads: int, tmp_path: Path) -> None:
    model, states, transitions = small(name, threads)
    entered = len(model.initial) if len(model.initial) > 1 else 0  # from a state before them all
    assert spin(model, tmp_path)[:2] == (states + bool(entered), transitions + entered)


@NEEDS_RUMUR
@pytest.mark.parametrize(("name", "threads"), CASES)
def test_rumur_counts_states_and_rules_alike(name: str, threads: int, tmp_path: Path) -> None:
    model, states, transitions = small(name, threads)
    assert rumur(model, tmp_path) == (states, transitions)


def forgets_an_update(model: Model) -> Callable[[Transition], object]:
    """An order of updates that leaves out the first update of the last transition that has two."""
    whole = ordered
    victim = [one.number for one in model.transitions if len(one.updates) > 1][-1]

    def order(one: Transition) -> object:
        updates, held = whole(one)
        return (updates[1:], held - {updates[0][0]}) if one.number == victim else (updates, held)

    return order


@NEEDS_SPIN
@NEEDS_RUMUR
@pytest.mark.parametrize("name", ["xol-step", "jump-xol", "optimised-nop5", "xol-unmap"])
def test_counts_of_a_wrong_export_differ(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, states, transitions = small(name, 2)
    monkeypatch.setattr(exporter, "ordered", forgets_an_update(model))
    assert spin(model, tmp_path)[:2] != (states, transitions)
    assert rumur(model, tmp_path) != (states, transitions)


@NEEDS_SPIN
@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_spin_finds_errors_where_the_engines_refute(name: str, variant: str, tmp_path: Path) -> None:
    model, _, _ = small(name, 2, variant)
    found = explore(protocol(name).with_variant(variant), 2)
    always = [prop.name for prop in model.protocol.properties if prop.kind == "always"]
    refuted = any(found.verdict(prop).name == "refuted" for prop in always)
    assert (spin(model, tmp_path)[2] > 0) == refuted


@NEEDS_SPIN
def test_spin_makes_simultaneous_updates_of_a_swap(tmp_path: Path) -> None:
    p = Description("swap", "q", shared={"a": ThreadId(), "b": ThreadId()}, local={"pc": Enum("x", "y")})

    @p.step()
    def enter(s: Shared, t: Thread) -> None:
        if s.a is None:
            s.a = t

    @p.step(actor="exchanger")
    def swap(s: Shared) -> None:
        first = s.a
        if s.a != s.b:
            s.a = s.b
            s.b = first

    @p.always
    def anything(s: Shared, t: Thread) -> Claim:
        return t.pc == "x"

    model = instantiate(p.protocol(), 2)
    found = python_engine.search(model)
    assert found.states == 9
    assert spin(model, tmp_path) == (found.states, found.transitions, 0)
