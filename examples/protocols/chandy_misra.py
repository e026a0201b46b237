"""Chandy-Misra: philosophers that hand forks to each other; does everybody eat again and again?

A dirty fork is cleaned and handed over; eating needs two clean forks and leaves them dirty. A fork lies at the left of
the philosopher whose variable it is. After Chandy and Misra, The drinking philosophers problem (1984), as in
tlaplus/Examples specifications/DiningPhilosophers. Published there (manifest): 67 states, 336 states generated, the
initial one among them.
"""

from verify.concurrency.language.protocol import (
    NEXT,
    NUMBER,
    Bool,
    Bounded,
    Claim,
    Description,
    Enum,
    Shared,
    Thread,
    ThreadId,
    implies,
    leads_to,
)

table = Description(
    "chandy-misra",
    "Does every philosopher eat again and again?",
    shared={},
    local={
        "pc": Enum("loop", "eat", "think"),
        "hungry": Bool(initial=True),
        "place": Bounded(0, 7, initial=NUMBER),
        # Who has the fork at the left: as at the start, when each had it but the first, whose left neighbour had it.
        "fork": Enum("start", "other"),
        "clean": Bool(),  # that fork
        "right": ThreadId(initial=NEXT),
    },
    threads=5,
)


@table.step()
def look(s: Shared, t: Thread) -> None:
    """A dirty fork is handed over, that at the left first; with two clean ones a hungry philosopher eats."""
    has_left = t.place > 0 if t.fork == "start" else t.place == 0
    has_right = t.right.place == 0 if t.right.fork == "start" else t.right.place > 0
    eats = has_left and has_right and t.clean and t.right.clean
    if t.pc == "loop":
        t.pc = "think" if not t.hungry else "eat" if eats else "loop"
        if has_left and not t.clean:
            t.fork = "other" if t.place > 0 else "start"
            t.clean = True
        elif has_right and not t.right.clean:
            t.right.fork = "start" if t.right.place > 0 else "other"
            t.right.clean = True


@table.step()
def eat(s: Shared, t: Thread) -> None:
    """Both forks are dirty then."""
    if t.pc == "eat":
        t.hungry = False
        t.clean = False
        t.right.clean = False
        t.pc = "loop"


@table.step()
def think(s: Shared, t: Thread) -> None:
    """The philosopher is hungry again."""
    if t.pc == "think":
        t.hungry = True
        t.pc = "loop"


@table.always
def neighbours_do_not_eat_together(s: Shared, t: Thread) -> Claim:
    """Who eats has both forks."""
    return implies(t.pc == "eat", t.right.pc != "eat")


@table.eventually
def nobody_starves(s: Shared, t: Thread) -> Claim:
    """Who is hungry eats."""
    return leads_to(t.hungry, not t.hungry)


dirty = table.variant(
    "forks-stay-clean",
    "Eating leaves the forks clean: nobody hands one over.",
    refutes=["nobody_starves"],
)


@dirty.step(replaces="eat")
def eat_and_keep(s: Shared, t: Thread) -> None:
    """Both forks are as clean as before."""
    if t.pc == "eat":
        t.hungry = False
        t.pc = "loop"


PROTOCOL = table.protocol()
