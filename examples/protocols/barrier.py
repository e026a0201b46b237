"""Barrier with two chambers: does everybody wait for everybody, round after round?

A lock, a count and two gates: whoever comes last opens a gate for all. After Differdange, tlaplus/Examples
specifications/barriers, Barriers.tla. Published: 29,279 states and 104,515 states generated, for 6 processes (manifest
of that folder); the initial one is among the generated ones.
"""

from verify.concurrency.language.protocol import (
    Bool,
    Bounded,
    Claim,
    Description,
    Enum,
    Shared,
    Thread,
    implies,
    leads_to,
    threads,
)

MOST = 12  # threads

barrier = Description(
    "barrier",
    "Does nobody pass a barrier before everybody has come to it?",
    shared={"lock": Bool(), "first": Bounded(0, MOST), "second": Bounded(0, MOST), "count": Bounded(0, MOST)},
    local={"pc": Enum("a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12")},
    threads=4,
)


@barrier.step()
def work(s: Shared, t: Thread) -> None:
    """Something is done between barriers."""
    if t.pc == "a0":
        t.pc = "a1"


@barrier.step(fair="strong")
def lock(s: Shared, t: Thread) -> None:
    """The lock is taken, before either chamber."""
    if t.pc in ("a1", "a7") and not s.lock:
        s.lock = True
        t.pc = "a2" if t.pc == "a1" else "a8"


@barrier.step()
def come(s: Shared, t: Thread) -> None:
    """One more is in the first chamber."""
    if t.pc == "a2":
        s.count += 1
        t.pc = "a3"


@barrier.step()
def see_all(s: Shared, t: Thread) -> None:
    """Is it the last one?"""
    if t.pc == "a3":
        t.pc = "a4" if s.count == sum(1 for u in threads) else "a5"


@barrier.step()
def open_first(s: Shared, t: Thread) -> None:
    """The first gate is opened for all."""
    if t.pc == "a4":
        s.first += sum(1 for u in threads)
        t.pc = "a5"


@barrier.step()
def unlock(s: Shared, t: Thread) -> None:
    """The lock is given back, behind either count."""
    if t.pc in ("a5", "a11"):
        s.lock = False
        t.pc = "a6" if t.pc == "a5" else "a12"


@barrier.step()
def pass_first(s: Shared, t: Thread) -> None:
    """The first gate lets one through."""
    if t.pc == "a6" and s.first > 0:
        s.first -= 1
        t.pc = "a7"


@barrier.step()
def leave(s: Shared, t: Thread) -> None:
    """One less is in the first chamber."""
    if t.pc == "a8":
        s.count -= 1
        t.pc = "a9"


@barrier.step()
def see_none(s: Shared, t: Thread) -> None:
    """Is it the last one?"""
    if t.pc == "a9":
        t.pc = "a10" if s.count == 0 else "a11"


@barrier.step()
def open_second(s: Shared, t: Thread) -> None:
    """The second gate is opened for all."""
    if t.pc == "a10":
        s.second += sum(1 for u in threads)
        t.pc = "a11"


@barrier.step()
def pass_second(s: Shared, t: Thread) -> None:
    """The second gate lets one through."""
    if t.pc == "a12" and s.second > 0:
        s.second -= 1
        t.pc = "a0"


@barrier.always
def all_have_come(s: Shared, t: Thread, u: Thread) -> Claim:
    """Nobody is behind the first gate while another has not come to it."""
    return implies(t.pc in ("a7", "a8", "a9", "a10"), u.pc not in ("a0", "a1", "a2", "a3", "a4"))


@barrier.always
def one_gate_is_closed(s: Shared) -> Claim:
    """The gates are never open together."""
    return s.first == 0 or s.second == 0


@barrier.eventually
def everybody_passes(s: Shared, t: Thread) -> Claim:
    """Who comes to the barrier gets behind it."""
    return leads_to(t.pc == "a1", t.pc == "a0")


one_at_a_time = barrier.variant(
    "gate-for-one",
    "The first gate is opened for one: the others wait for ever.",
    refutes=["everybody_passes", "no_deadlock"],
    threads=2,
)


@one_at_a_time.step(replaces="open_first")
def open_for_one(s: Shared, t: Thread) -> None:
    """One may pass."""
    if t.pc == "a4":
        s.first += 1
        t.pc = "a5"


PROTOCOL = barrier.protocol()
