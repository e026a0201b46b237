"""Dining philosophers: does one of them always eat?

Each sits at a ring, takes the fork at his left and that at his right, in any order, eats, and puts both down. A fork is
the variable of the philosopher at whose left it lies. Any placing of forks can be reached: 3^n states. Published: 243
states and 945 transitions for 5 (Model Checking Contest, Philosophers-PT-000005, examination StateSpace).
After Dijkstra, Hierarchical ordering of sequential processes (1971).
"""

from verify.concurrency.language.protocol import (
    NEXT,
    NUMBER,
    Bounded,
    Claim,
    Description,
    Enum,
    Shared,
    Thread,
    ThreadId,
    threads,
)

dining = Description(
    "dining-philosophers",
    "Does a philosopher that is hungry always eat?",
    shared={},
    local={
        "fork": Enum("free", "left", "right"),  # the fork at his left: free, his own, or his left neighbour's
        "right": ThreadId(initial=NEXT),  # the neighbour at whose left his other fork lies
        "place": Bounded(0, 63, initial=NUMBER),
    },
    expected={"no_deadlock": "refuted"},
    threads=5,
)


@dining.step()
def take_left(s: Shared, t: Thread) -> None:
    """The fork at his left is free: he takes it."""
    if t.fork == "free":
        t.fork = "left"


@dining.step()
def take_right(s: Shared, t: Thread) -> None:
    """The fork at his right is free: he takes it."""
    if t.right.fork == "free":
        t.right.fork = "right"


@dining.step()
def eat(s: Shared, t: Thread) -> None:
    """He has both, eats, and puts them down."""
    if t.fork == "left" and t.right.fork == "right":
        t.fork = "free"
        t.right.fork = "free"


@dining.sometimes
def all_hold_their_left(s: Shared) -> Claim:
    """The famous deadlock."""
    return all(t.fork == "left" for t in threads)


first = dining.variant(
    "last-takes-right-first",
    "One of them takes the fork at his right first, the others that at their left: nobody waits for ever in a ring.",
    refutes=["all_hold_their_left"],
    expected={"no_deadlock": "proved"},
)


@first.step(replaces="take_left")
def take_left_in_order(s: Shared, t: Thread) -> None:
    """The first philosopher takes the fork at his left second."""
    if t.fork == "free" and (t.place > 0 or t.right.fork == "right"):
        t.fork = "left"


@first.step(replaces="take_right")
def take_right_in_order(s: Shared, t: Thread) -> None:
    """All but the first take the fork at their right second."""
    if t.right.fork == "free" and (t.place == 0 or t.fork == "left"):
        t.right.fork = "right"


PROTOCOL = dining.protocol()
