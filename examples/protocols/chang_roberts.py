"""Chang-Roberts: is one leader elected on a ring, the initiator with the least number?

Messages lie at the node that they have come to, in a set. After Chang and Roberts, An improved algorithm for
decentralized extrema-finding (1979), as in tlaplus/Examples specifications/chang_roberts. Published there (manifest):
137 states, 227 states generated, the eight initial ones among them, for 3 nodes.
"""

from verify.concurrency.language.protocol import (
    ANY,
    NEXT,
    NUMBER,
    Array,
    Bool,
    Bounded,
    Claim,
    Description,
    Enum,
    Parameter,
    Shared,
    Thread,
    ThreadId,
    implies,
    leads_to,
)

N = Parameter("N", 3)  # nodes: as many as there are threads

ring = Description(
    "chang-roberts",
    "Is the initiator with the least number elected, and nobody else?",
    shared={},
    local={
        "state": Enum("fresh", "candidate", "lost", "won"),
        "initiator": Bool(initial=ANY),
        "place": Bounded(0, N - 1, initial=NUMBER),
        "right": ThreadId(initial=NEXT),
        "messages": Array(N, Bool()),  # of which nodes a message has come here
    },
    threads=3,
)


@ring.step()
def begin(s: Shared, t: Thread) -> None:
    """An initiator sends its number to its neighbour."""
    if t.state == "fresh":
        t.state = "candidate" if t.initiator else "lost"
        if t.initiator:
            t.right.messages[t.place] = True


@ring.step(choose={"k": N}, fair_over=("t",))
def receive(s: Shared, t: Thread, k: int) -> None:
    """A smaller number is passed on, and by who has lost every one; one's own elects; a greater one ends here."""
    if t.state != "fresh" and t.messages[k]:
        t.messages[k] = False
        if t.state == "lost" or k < t.place:
            t.state = "lost"
            t.right.messages[k] = True
        elif k == t.place:
            t.state = "won"


@ring.always
def the_least_wins(s: Shared, t: Thread, u: Thread) -> Claim:
    """The leader was an initiator; all others have lost, and no initiator has a smaller number."""
    others_lose = u.state in ("lost", "fresh") and (not u.initiator or u.place > t.place)
    return implies(t.state == "won", t.initiator and others_lose)


@ring.eventually
def somebody_wins(s: Shared, t: Thread) -> Claim:
    """A candidate wins or loses."""
    return leads_to(t.state == "candidate", t.state in ("won", "lost"))


@ring.terminal
def all_is_received(s: Shared) -> Claim:
    """Nobody has a message to receive."""
    return True


greedy = ring.variant(
    "passes-all-on",
    "A candidate passes greater numbers on too: several win.",
    refutes=["the_least_wins"],
)


@greedy.step(replaces="receive", choose={"k": N}, fair_over=("t",))
def receive_and_pass_on(s: Shared, t: Thread, k: int) -> None:
    """Only one's own number stops."""
    if t.state != "fresh" and t.messages[k]:
        t.messages[k] = False
        if k == t.place and t.state == "candidate":
            t.state = "won"
        else:
            t.right.messages[k] = True


PROTOCOL = ring.protocol()
