"""Ticket lock: is it exclusive, and served in turn?

Tickets are counted modulo `W`, which is enough for `W` threads: with one thread more, two hold one ticket.
After Reed and Kanodia, Synchronization with eventcounts and sequencers (1979).
"""

from verify.concurrency.language.protocol import Bounded, Claim, Description, Enum, Parameter, Shared, Thread, leads_to

W = Parameter("W", 4)  # tickets

lock = Description(
    "ticket-lock",
    "Is a lock whose tickets are counted modulo a number exclusive, and does everybody get it?",
    shared={"next": Bounded(0, W - 1), "served": Bounded(0, W - 1)},
    local={"pc": Enum("idle", "waiting", "inside"), "ticket": Bounded(0, W - 1)},
    threads=3,
)


@lock.step(fair=None)
def take_ticket(s: Shared, t: Thread) -> None:
    """Fetch and add."""
    if t.pc == "idle":
        t.ticket = s.next
        s.next = (s.next + 1) % W
        t.pc = "waiting"


@lock.step()
def enter(s: Shared, t: Thread) -> None:
    """The number is called."""
    if t.pc == "waiting" and s.served == t.ticket:
        t.pc = "inside"


@lock.step()
def leave(s: Shared, t: Thread) -> None:
    """The next number is called."""
    if t.pc == "inside":
        s.served = (s.served + 1) % W
        t.ticket = 0
        t.pc = "idle"


@lock.always
def exclusive(s: Shared, t: Thread, u: Thread) -> Claim:
    """Two threads are never inside."""
    return not (t.pc == "inside" and u.pc == "inside")


@lock.eventually
def served_in_the_end(s: Shared, t: Thread) -> Claim:
    """Who waits gets in."""
    return leads_to(t.pc == "waiting", t.pc == "inside")


lock.variant(
    "too-few-tickets",
    "Two tickets for three threads.",
    constants={"W": 2},
    refutes=["exclusive", "served_in_the_end"],
    threads=3,
)

PROTOCOL = lock.protocol()
