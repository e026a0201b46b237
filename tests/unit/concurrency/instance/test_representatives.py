"""Both ways to compute the representative of an orbit give the same one; traces mix them."""

from __future__ import annotations

import numpy as np

from verify.concurrency.explicit import python_engine
from verify.concurrency.explorer import explore
from verify.concurrency.instance.instance import instantiate
from verify.concurrency.instance.vectors import Orbits
from verify.concurrency.language.protocol import Bool, Claim, Description, Shared, Thread, ThreadId
from verify.concurrency.results.exploration import Refuted

d = Description(
    "two-names",
    "Threads that differ only in the shared cell that names them.",
    shared={"left": ThreadId(), "right": ThreadId(), "done": Bool()},
    local={"seen": Bool()},
)


@d.step()
def take_left(s: Shared, t: Thread) -> None:
    if s.left is None and s.right != t:
        s.left = t


@d.step()
def take_right(s: Shared, t: Thread) -> None:
    if s.right is None and s.left != t:
        s.right = t


@d.step()
def finish(s: Shared, t: Thread) -> None:
    if s.left is not None and s.right is not None and not t.seen:
        t.seen = True


@d.always
def not_all_seen(s: Shared, t: Thread, u: Thread) -> Claim:
    return not (s.left == t and s.right == u and t.seen and u.seen)


TWO_NAMES = d.protocol()


def test_interpreter_and_vectors_agree() -> None:
    model = instantiate(TWO_NAMES, 3)
    code, rename = python_engine.program(model), python_engine.canonical(model)
    states, frontier = set(model.initial), list(model.initial)
    while frontier:
        out: list[int] = []
        code.expand(frontier.pop(), out)
        frontier += [after for after in out if after not in states]
        states |= set(out)
    vector = Orbits.of(model).representatives(np.array(sorted(states), dtype=np.int64))
    assert [rename(state) for state in sorted(states)] == [int(state) for state in vector]
    assert len(set(vector.tolist())) < len(states)


def test_trace_through_such_states_is_found() -> None:
    for engine in ("python", "numpy"):
        verdict = explore(TWO_NAMES, 2, engine=engine).verdict("not_all_seen")
        assert isinstance(verdict, Refuted) and verdict.trace is not None and len(verdict.trace.events) == 4
