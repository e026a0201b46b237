"""Every run begins with the x87 pointers of its own image, whatever the run before it left."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from verify.live.kernel import child
from verify.live.kernel.child import DATA
from verify.live.kernel.placement import HERE
from verify.live.kernel.runner import Runner
from verify.live.kernel.state import X87_AREA, standard_states
from verify.live.ptrace import CONT, SETREGSET, trace_request

pytestmark = [pytest.mark.live, pytest.mark.needs("kernel")]
FNOP, FNDISI = bytes.fromhex("d9d0"), bytes.fromhex("dbe1")     # the first sets the pointers, the second leaves them
RUNS = 500
POINTERS = slice(X87_AREA - DATA + 12, X87_AREA - DATA + 28)    # FIP, FOP, FDP of the environment


@pytest.fixture(name="runner")
def _runner() -> Iterator[Runner]:
    """A child on a processor of its own, where there are two, so that this process does not take its x87 registers."""
    allowed = os.sched_getaffinity(0)
    with Runner(HERE, [FNOP, FNDISI]) as runner:
        os.sched_setaffinity(runner.child.pid, {max(allowed)})
        os.sched_setaffinity(0, allowed - {max(allowed)} or allowed)
        try:
            yield runner
        finally:
            os.sched_setaffinity(0, allowed)


def test_image_is_set_in_every_run_also_where_it_is_there_already(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def recorded(request: int, pid: int, address: int = 0, data: int = 0) -> int:
        asked.append(request)
        return trace_request(request, pid, address, data)

    monkeypatch.setattr(child, "trace_request", recorded)
    plain = standard_states(runner.child)[0]
    del asked[:]
    assert runner.run(plain, 0).stop.xstate == runner.run(plain, 0).stop.xstate
    assert (asked.count(SETREGSET), asked.count(CONT)) == (2, 2)


def test_pointers_that_the_run_before_left_are_not_seen(runner: Runner) -> None:
    plain = standard_states(runner.child)[0]
    seen = set()
    for _ in range(RUNS):
        runner.run(plain, 0)
        seen.add(runner.run(plain, 1).data[POINTERS])
    assert len(seen) == 1
