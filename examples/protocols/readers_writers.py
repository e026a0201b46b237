"""Readers and writers with one queue: is writing exclusive, and is everybody served?

Each may stand in the queue once to read and once to write; its head is served. As in tlaplus/Examples
specifications/ReadersWriters. Published there (manifest): 21,527 states, 59,674 states generated, the initial one
among them, for 3 processes.
"""

from verify.concurrency.language.protocol import Bool, Bounded, Claim, Description, Shared, Thread, leads_to, threads

MOST = 10  # places in the queue: two for each thread

queue = Description(
    "readers-writers",
    "Is writing exclusive, and is everybody served in turn?",
    shared={},
    local={
        "reads": Bool(),
        "writes": Bool(),
        "to_read": Bounded(0, MOST),  # the place in the queue, 1 at its head; 0 is not in it
        "to_write": Bounded(0, MOST),
    },
    threads=3,
)


@queue.step()
def try_read(s: Shared, t: Thread) -> None:
    """It goes to the end of the queue, to read."""
    if t.to_read == 0:
        t.to_read = 1 + sum(1 for u in threads if u.to_read > 0) + sum(1 for u in threads if u.to_write > 0)


@queue.step()
def try_write(s: Shared, t: Thread) -> None:
    """It goes to the end of the queue, to write."""
    if t.to_write == 0:
        t.to_write = 1 + sum(1 for u in threads if u.to_read > 0) + sum(1 for u in threads if u.to_write > 0)


@queue.step()
def read(s: Shared, t: Thread) -> None:
    """The head of the queue reads, when nobody writes."""
    if t.to_read == 1 and all(not u.writes for u in threads):
        t.reads = True
        for u in threads:
            u.to_read = max(u.to_read - 1, 0)
            u.to_write = max(u.to_write - 1, 0)


@queue.step()
def write(s: Shared, t: Thread) -> None:
    """The head of the queue writes, when nobody reads or writes."""
    if t.to_write == 1 and all(not u.writes and not u.reads for u in threads):
        t.writes = True
        for u in threads:
            u.to_read = max(u.to_read - 1, 0)
            u.to_write = max(u.to_write - 1, 0)


@queue.step()
def stop(s: Shared, t: Thread) -> None:
    """It has read or written."""
    if t.reads or t.writes:
        t.reads = False
        t.writes = False


@queue.always
def writing_is_exclusive(s: Shared, t: Thread, u: Thread) -> Claim:
    """Nobody reads or writes beside one who writes."""
    return not (t.writes and (u.writes or u.reads))


@queue.eventually
def who_wants_to_write_writes(s: Shared, t: Thread) -> Claim:
    """A place in the queue is served."""
    return leads_to(t.to_write > 0, t.writes)


hasty = queue.variant(
    "readers-are-not-seen",
    "A writer looks for other writers alone.",
    refutes=["writing_is_exclusive"],
    threads=2,
)


@hasty.step(replaces="write")
def write_beside_readers(s: Shared, t: Thread) -> None:
    """The head of the queue writes, when nobody writes."""
    if t.to_write == 1 and all(not u.writes for u in threads):
        t.writes = True
        for u in threads:
            u.to_read = max(u.to_read - 1, 0)
            u.to_write = max(u.to_write - 1, 0)


PROTOCOL = queue.protocol()
