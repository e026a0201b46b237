"""A thread that waits for a slot may wait for ever under weak fairness, not under strong fairness or in a queue.

The pool is reduced to a count of free slots; threads come and go for ever.
"""

from __future__ import annotations

import pytest

from verify.concurrency.instance.instance import instantiate
from verify.concurrency.language.protocol import (
    Bounded,
    Claim,
    Description,
    Enum,
    Parameter,
    Protocol,
    Shared,
    Thread,
    leads_to,
    threads,
)
from verify.concurrency.liveness import emerson_lei, lasso
from verify.concurrency.results.exploration import Limits

K = Parameter("K", 2)
QUEUE = Parameter("QUEUE", False)
THREADS = Parameter("THREADS", 3)


def pool(fair: str, queue: bool, slots: int, number: int) -> Protocol:
    p = Description(
        "pool",
        "q",
        shared={"free": Bounded(0, K, initial=K), "waiting": Bounded(0, THREADS)},
        local={"pc": Enum("at", "wait", "slot"), "place": Bounded(0, THREADS)},
    )

    @p.step()
    def arrive(s: Shared, t: Thread) -> None:
        if t.pc == "at":
            t.pc = "wait"
            s.waiting += 1
            t.place = s.waiting

    @p.step(fair=fair)
    def take(s: Shared, t: Thread) -> None:
        if t.pc == "wait" and s.free > 0 and (not QUEUE or t.place == 1):
            s.free -= 1
            s.waiting -= 1
            for u in threads:
                u.place = u.place - 1 if u.pc == "wait" and u.place > 1 else u.place
            t.place = 0
            t.pc = "slot"

    @p.step()
    def leave(s: Shared, t: Thread) -> None:
        if t.pc == "slot":
            s.free += 1
            t.pc = "at"

    @p.eventually
    def served(s: Shared, t: Thread) -> Claim:
        return leads_to(t.pc == "wait", t.pc == "slot")

    return p.protocol().with_parameters(K=slots, QUEUE=queue, THREADS=number)


@pytest.mark.parametrize("number", [2, 3, 4])
@pytest.mark.parametrize(("fair", "queue"), [("weak", False), ("strong", False), ("weak", True)])
def test_waiting_ends_unless_fairness_is_weak_and_slots_are_few(fair: str, queue: bool, number: int) -> None:
    model = instantiate(pool(fair, queue, 2, number), number)
    expected = "refuted" if number > 2 and fair == "weak" and not queue else "proved"
    assert lasso.judge(model, Limits())["served"].name == expected
    assert emerson_lei.judge(model, Limits())["served"].name == expected
