"""Peterson's lock for two threads: is it exclusive, and does nobody wait for ever?

After Peterson, Myths about the mutual exclusion problem (1981). Each access to a shared variable is a step.
"""

from verify.concurrency.language.protocol import (
    Bool,
    Claim,
    Description,
    Enum,
    Shared,
    Thread,
    ThreadId,
    leads_to,
)

peterson = Description(
    "peterson",
    "Is Peterson's lock exclusive, and does everybody get it?",
    shared={"turn": ThreadId()},
    local={"pc": Enum("idle", "raised", "waiting", "inside"), "flag": Bool()},
    threads=2,
)


@peterson.step(fair=None)
def raise_flag(s: Shared, t: Thread) -> None:
    """It wants to enter."""
    if t.pc == "idle":
        t.flag = True
        t.pc = "raised"


@peterson.step()
def give_turn(s: Shared, t: Thread, u: Thread) -> None:
    """After you."""
    if t.pc == "raised":
        s.turn = u
        t.pc = "waiting"


@peterson.step()
def enter(s: Shared, t: Thread, u: Thread) -> None:
    """The other does not want to, or it is not its turn."""
    if t.pc == "waiting" and (not u.flag or s.turn == t):
        t.pc = "inside"


@peterson.step()
def leave(s: Shared, t: Thread) -> None:
    """It wants no more."""
    if t.pc == "inside":
        t.flag = False
        t.pc = "idle"


@peterson.always
def exclusive(s: Shared, t: Thread, u: Thread) -> Claim:
    """Two threads are never inside."""
    return not (t.pc == "inside" and u.pc == "inside")


@peterson.eventually
def everybody_enters(s: Shared, t: Thread) -> Claim:
    """Who has raised its flag gets in."""
    return leads_to(t.pc == "raised", t.pc == "inside")


selfish = peterson.variant(
    "keeps-turn",
    "Each takes the turn for itself: both are inside.",
    refutes=["exclusive", "everybody_enters"],
    threads=2,
)


@selfish.step(replaces="give_turn")
def take_turn(s: Shared, t: Thread, u: Thread) -> None:
    """After me."""
    if t.pc == "raised":
        s.turn = t
        t.pc = "waiting"


PROTOCOL = peterson.protocol()
