"""What tests of this folder share, and `needs`, which skips a test where the machine lacks what it needs.

Programs that a test starts are bounded in time, so that none is left; one that is stopped by it skips its test.
"""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator
from itertools import islice

import pytest

from verify.live.available import missing
from verify.live.executor.executor import Executor
from verify.live.kernel.corpus import registration_corpus


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test marked `needs(NAME...)` with what is missing of it; every test here needs Linux on x86-64."""
    names = [name for mark in item.iter_markers("needs") for name in mark.args]
    if absent := missing(["x86-64"]) or missing(names):
        pytest.skip("missing: " + "; ".join(absent))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A busy machine fails no test: what was not done in time is a skip."""
    try:
        return (yield)
    except subprocess.TimeoutExpired as late:
        pytest.skip(f"not done within {late.timeout:g} s here: {late.cmd}")


@pytest.fixture(scope="session")
def corpus_sample() -> tuple[bytes, ...]:
    """Every 211th encoding of the kernel judge's corpus: a pass over all of it takes seconds."""
    return tuple(islice(registration_corpus(), 0, None, 211))


@pytest.fixture(scope="module")
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """One a module; `PATIENCE` of the module: seconds without progress after which a run is hung."""
    if absent := missing(["executor"]):
        pytest.skip(f"no executor here: {absent[0]}")
    with Executor(patience=getattr(request.module, "PATIENCE", 5.0)) as made:
        yield made
