"""All engines count alike on xol-step; the expected numbers were measured with SPIN 6.5, TLC 2.15, rumur and Storm."""

from __future__ import annotations

from pathlib import Path

import pytest

from verify.concurrency import explorer
from verify.concurrency.bdd import engine as diagrams
from verify.concurrency.bdd import symbolic
from verify.concurrency.explicit import c_engine, numpy_engine, python_engine
from verify.concurrency.instance.instance import Model, instantiate
from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Limits, Search

# threads: states, transitions, orbits under thread symmetry
COUNTS = {2: (4_297, 13_048, 2_188), 3: (93_175, 365_310, 16_508), 4: (1_729_929, 8_147_528, 85_482)}
CYCLIC = {2: 726, 3: 7_442, 4: 66_866}
NEEDS_C = pytest.mark.skipif(c_engine.compiler() is None, reason="no C compiler on this machine")
EXPLICIT = ["python", "numpy", pytest.param("c", marks=NEEDS_C)]


def xol(threads: int, **values: int | bool) -> Model:
    return instantiate(protocol("xol-step").with_parameters(**values), threads)


def counted(engine: str, model: Model, symmetric: bool) -> Search:
    found = explorer.search(model, engine, symmetric, Limits())
    assert found.complete
    return found


@pytest.mark.parametrize("engine", [*EXPLICIT, "bdd"])
@pytest.mark.parametrize("threads", [2, 3])
def test_full_space_has_the_measured_counts(engine: str, threads: int) -> None:
    found = counted(engine, xol(threads), False)
    assert (found.states, found.transitions) == COUNTS[threads][:2]
    assert found.stored == COUNTS[threads][0]


@pytest.mark.parametrize("engine", EXPLICIT)
@pytest.mark.parametrize("threads", [2, 3])
def test_symmetric_search_stores_orbits_and_counts_the_full_space(engine: str, threads: int) -> None:
    found = counted(engine, xol(threads), True)
    assert (found.states, found.transitions, found.stored) == COUNTS[threads]


@pytest.mark.parametrize("engine", ["numpy", pytest.param("c", marks=NEEDS_C)])
def test_four_threads_symmetric(engine: str) -> None:
    found = counted(engine, xol(4), True)
    assert (found.states, found.transitions, found.stored) == COUNTS[4]


def test_four_threads_by_diagrams() -> None:
    assert (counted("bdd", xol(4), False).states) == COUNTS[4][0]


def test_six_threads_by_diagrams() -> None:
    found = counted("bdd", xol(6), False)
    assert (found.states, found.transitions) == (486_747_145, 2_995_559_720)


@pytest.mark.parametrize("engine", [*EXPLICIT, "bdd"])
@pytest.mark.parametrize("threads", [2, 3, 4])
def test_cyclic_variant_has_the_measured_states(engine: str, threads: int) -> None:
    assert counted(engine, xol(threads, CYCLIC=True), False).states == CYCLIC[threads]


@NEEDS_C
@pytest.mark.parametrize("symmetric", [False, True])
def test_depth_is_the_same_in_every_explicit_engine(symmetric: bool) -> None:
    model = xol(3)
    searches = (python_engine.search, numpy_engine.search, c_engine.search)
    assert len({search(model, symmetric).depth for search in searches}) == 1


@NEEDS_C
def test_states_wider_than_a_word_are_counted_by_c_as_by_diagrams() -> None:
    model = xol(7, M=1, R=1)
    assert model.bits <= 63
    wide = xol(8, M=1, R=1)
    assert wide.bits > 63
    by_c, by_diagrams = c_engine.search(wide, True), diagrams.search(wide)
    assert (by_c.states, by_c.transitions) == (by_diagrams.states, by_diagrams.transitions)


def test_numpy_refuses_states_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="63 bits"):
        numpy_engine.search(xol(8))


@pytest.mark.parametrize("engine", EXPLICIT)
def test_a_bound_leaves_the_search_incomplete(engine: str) -> None:
    found = explorer.search(xol(3), engine, False, Limits(states=1_000))
    assert not found.complete
    assert "1000 states" in found.reason or "limit of states" in found.reason


@pytest.mark.parametrize("engine", EXPLICIT)
def test_a_memory_limit_leaves_the_search_incomplete(engine: str) -> None:
    found = explorer.search(xol(3), engine, False, Limits(memory=800_000))
    assert not found.complete
    assert found.reason
    assert 0 < found.states < COUNTS[3][0]


def test_compiler_that_fails_is_named_and_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'no space left' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(c_engine, "compiler", lambda: (str(broken),))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(c_engine.CompilerFailed, match="status 3: no space left"):
        c_engine.search(xol(2), True)
    assert explorer.explicit(xol(2), True, Limits()).engine == "numpy"


@NEEDS_C
def test_compiler_that_knows_no_native_processor_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = c_engine.compiler()
    assert real is not None
    plain = tmp_path / "plain"
    plain.write_text(f'#!/bin/sh\ncase "$*" in *-march=native*) exit 1;; esac\nexec {" ".join(real)} "$@"\n')
    plain.chmod(0o755)
    monkeypatch.setattr(c_engine, "compiler", lambda: (str(plain),))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert c_engine.search(xol(2), True).states == COUNTS[2][0]


def test_counting_goes_deeper_than_calls_usually_may() -> None:
    model = xol(150)
    encoding = symbolic.Encoding(model)
    assert encoding.count(encoding.cube(model.initial[0])) == 1
    assert encoding.count(encoding.bdd.true) == 2 ** len(encoding.names)
