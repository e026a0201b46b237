"""Two-phase commit: do all resource managers decide alike?

After Lamport and Gray, Consensus on Transaction Commit (2006), TwoPhase. Messages are never lost and stay where they
are. Published: 288 states for 3 resource managers, 8,832 for 5 (Stateright, examples/2pc.rs).
"""

from verify.concurrency.language.protocol import Bool, Claim, Description, Enum, Shared, Thread, threads

two_phase = Description(
    "two-phase-commit",
    "Do all resource managers decide alike?",
    shared={"manager": Enum("init", "committed", "aborted"), "commit": Bool(), "abort": Bool()},  # messages to all
    local={
        "state": Enum("working", "prepared", "committed", "aborted"),
        "sent": Bool(),  # the message that it is prepared
        "known": Bool(),  # the transaction manager has taken it in
    },
)


@two_phase.step(fair=None)
def prepare(s: Shared, t: Thread) -> None:
    """A resource manager is prepared, and says so."""
    if t.state == "working":
        t.state = "prepared"
        t.sent = True


@two_phase.step(fair=None)
def choose_to_abort(s: Shared, t: Thread) -> None:
    """A resource manager aborts by itself."""
    if t.state == "working":
        t.state = "aborted"


@two_phase.step()
def take_in(s: Shared, t: Thread) -> None:
    """The transaction manager takes in that one is prepared."""
    if s.manager == "init" and t.sent:
        t.known = True


@two_phase.step(actor="manager")
def decide_commit(s: Shared) -> None:
    """All are prepared: the transaction manager commits."""
    if s.manager == "init" and all(t.known for t in threads):
        s.manager = "committed"
        s.commit = True


@two_phase.step(actor="manager", fair=None)
def decide_abort(s: Shared) -> None:
    """The transaction manager aborts, whatever it knows."""
    if s.manager == "init":
        s.manager = "aborted"
        s.abort = True


@two_phase.step()
def hear_commit(s: Shared, t: Thread) -> None:
    """A resource manager hears that it shall commit."""
    if s.commit:
        t.state = "committed"


@two_phase.step()
def hear_abort(s: Shared, t: Thread) -> None:
    """A resource manager hears that it shall abort."""
    if s.abort:
        t.state = "aborted"


@two_phase.always
def all_decide_alike(s: Shared, t: Thread, u: Thread) -> Claim:
    """None commits where another aborts."""
    return not (t.state == "committed" and u.state == "aborted")


@two_phase.sometimes
def all_commit(s: Shared) -> Claim:
    """All can commit."""
    return all(t.state == "committed" for t in threads)


@two_phase.sometimes
def all_abort(s: Shared) -> Claim:
    """All can abort."""
    return all(t.state == "aborted" for t in threads)


@two_phase.terminal
def all_aborted_alone(s: Shared) -> Claim:
    """There is always a message to hear again, once something is decided."""
    return False


hasty = two_phase.variant(
    "one-is-enough",
    "The transaction manager commits when one resource manager is prepared.",
    refutes=["all_decide_alike"],
)


@hasty.step(replaces="decide_commit", actor="manager")
def decide_at_once(s: Shared) -> None:
    """One is prepared: the transaction manager commits."""
    if s.manager == "init" and any(t.known for t in threads):
        s.manager = "committed"
        s.commit = True


PROTOCOL = two_phase.protocol()
