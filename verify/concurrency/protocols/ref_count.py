"""ref-count: several probers register and unregister at one address, racing with each other and with a hit.

Question: does one prober's unregistering take the breakpoint from another; is the probe's object used after it was
freed, or never freed; does a hit find no object behind an int3?

Model: each thread is a prober, which registers and unregisters for ever. One thread of the program hits the breakpoint.
All share one object, found by file and offset while it is in the tree. A prober takes a reference (making the object
if there is none), takes the object's lock, adds itself to the consumers, writes int3 if it is not there, and lets the
lock go; to unregister it takes the lock, leaves the consumers, writes the original byte if it was the last one, lets
the lock go, and drops its reference. A hit takes a reference as it finds the object. The last reference dropped takes
the object out of the tree and frees it, in one step (`ATOMIC_PUT`). What is to be written is decided under the lock and
written later.

Left out: several address spaces (`xol-fork`), a failing registration, handlers that unregister, the grace period that
stands for the reference of a hit in the kernel (both keep the object while it is used).

Sources: Linux 6.18 kernel/events/uprobes.c (uprobe_register, uprobe_unregister_nosync, consumer_add, consumer_del,
get_uprobe, put_uprobe, try_get_uprobe, find_uprobe_rcu).
"""

from verify.concurrency.language.protocol import (
    Assumption,
    Bool,
    Claim,
    Description,
    Enum,
    Parameter,
    Shared,
    Thread,
    ThreadId,
    implies,
    leads_to,
    threads,
)
from verify.concurrency.protocols import _breakpoint

LOCK = Parameter("LOCK", True)  # joining or leaving the consumers and writing the byte are under one lock
LAST_ONLY = Parameter("LAST_ONLY", True)  # only the last consumer takes the breakpoint out
HIT_REF = Parameter("HIT_REF", True)  # a hit holds the object
ATOMIC_PUT = Parameter("ATOMIC_PUT", True)  # the last reference and the removal from the tree are one step

refs = Description(
    "ref-count",
    "Can several probers share one breakpoint while they come and go, and the breakpoint is hit?",
    shared={
        "byte": Enum("original", "int3"),
        "in_tree": Bool(),  # a hit or a prober finds the object
        "object": Enum("none", "live", "freed"),
        "lock": ThreadId(),
        "hitter": Enum("at", "trap", "handling", "killed", "crashed"),  # the thread of the program
    },
    local={
        "pc": Enum("idle", "has-ref", "joining", "armed", "leaving", "left", "freeing"),
        "ref": Bool(),
        "consumer": Bool(),
        "writes": Bool(),  # has decided under the lock to write the byte
    },
    assumptions=(
        _breakpoint.SINGLE_BYTE_WRITE,
        Assumption(
            "lookup-lock", "finding the object, taking a reference and reading the byte back are one step"
        ).under(HIT_REF),
        Assumption("one-hitter", "hits do not disturb each other: one thread of the program stands for all"),
    ),
    source="Linux 6.18 kernel/events/uprobes.c",
)


# --- the probers ------------------------------------------------------------------------------------------------------
@refs.step()
def get_object(s: Shared, t: Thread) -> None:
    """The object is found in the tree, or made; it cannot be found once its last reference is dropped."""
    if t.pc == "idle":
        t.ref = True
        t.pc = "has-ref"
        if not s.in_tree:
            s.in_tree = True
            s.object = "live"


@refs.step(fair="strong")
def join(s: Shared, t: Thread) -> None:
    """Under the lock: one more consumer; the byte will be written if it is not int3."""
    if t.pc == "has-ref" and (s.lock is None or not LOCK):
        s.lock = t
        t.consumer = True
        t.writes = s.byte == "original"
        t.pc = "joining"


@refs.step()
def write_int3(s: Shared, t: Thread) -> None:
    """int3 is written if so decided; the lock is let go."""
    if t.pc == "joining":
        if t.writes:
            s.byte = "int3"
        s.lock = None
        t.writes = False
        t.pc = "armed"


@refs.step(fair="strong")
def leave(s: Shared, t: Thread) -> None:
    """Under the lock: one consumer less; the byte will be restored if no other is left."""
    if t.pc == "armed" and (s.lock is None or not LOCK):
        s.lock = t
        t.consumer = False
        t.writes = not LAST_ONLY or all(u == t or not u.consumer for u in threads)
        t.pc = "leaving"


@refs.step()
def write_original(s: Shared, t: Thread) -> None:
    """The original byte is written if so decided; the lock is let go."""
    if t.pc == "leaving":
        if t.writes:
            s.byte = "original"
        s.lock = None
        t.writes = False
        t.pc = "left"


@refs.step()
def put_object(s: Shared, t: Thread) -> None:
    """The reference is dropped; the last one frees the object, and takes it out of the tree with the same step."""
    last = all(u == t or not u.ref for u in threads) and (s.hitter != "handling" or not HIT_REF)
    if t.pc == "left":
        t.ref = False
        t.pc = "freeing" if last and not ATOMIC_PUT else "idle"
        if last and ATOMIC_PUT:
            s.in_tree = False
            s.object = "freed"


@refs.step()
def free_late(s: Shared, t: Thread) -> None:
    """The object is taken out of the tree and freed, some time after its count was seen to be zero."""
    if t.pc == "freeing":
        s.in_tree = False
        s.object = "freed"
        t.pc = "idle"


# --- the thread of the program ----------------------------------------------------------------------------------------
@refs.step(actor="program")
def trap(s: Shared) -> None:
    """The breakpoint is executed."""
    if s.hitter == "at" and s.byte == "int3":
        s.hitter = "trap"


@refs.step(actor="program")
def find(s: Shared) -> None:
    """The object is found; or else the byte read back is the original, and the instruction starts anew, or is int3."""
    if s.hitter == "trap":
        s.hitter = "handling" if s.in_tree else "at" if s.byte == "original" else "killed"


@refs.step(actor="program")
def handled(s: Shared) -> None:
    """The consumers have run; the hit's reference is dropped, which frees the object if it was the last."""
    if s.hitter == "handling":
        s.hitter = "at" if s.object == "live" else "crashed"
        if HIT_REF and all(not u.ref and u.pc != "freeing" for u in threads):
            s.in_tree = False
            s.object = "freed"


# --- properties -------------------------------------------------------------------------------------------------------
@refs.always
def registered_is_armed(s: Shared, t: Thread) -> Claim:
    """Whoever has registered has a breakpoint."""
    return implies(t.pc == "armed", s.byte == "int3")


@refs.always
def no_use_after_free(s: Shared) -> Claim:
    """A hit never handles a freed object."""
    return implies(s.hitter == "handling", s.object == "live")


@refs.always
def reference_keeps_object(s: Shared, t: Thread) -> Claim:
    """A prober's reference is to a live object that can be found."""
    return implies(t.ref, s.object == "live" and s.in_tree)


@refs.always
def no_sigtrap(s: Shared) -> Claim:
    """No hit finds int3 and no object."""
    return s.hitter != "killed"


@refs.always
def no_object_remains(s: Shared) -> Claim:
    """When nobody has registered and no hit is handled, the object is gone."""
    return implies(
        all(t.pc == "idle" for t in threads) and s.hitter != "handling", s.object != "live" and not s.in_tree
    )


@refs.always
def no_int3_remains(s: Shared) -> Claim:
    """When nobody has registered, the original byte is back."""
    return implies(all(t.pc == "idle" for t in threads), s.byte == "original")


@refs.sometimes
def two_are_armed(s: Shared, t: Thread, u: Thread) -> Claim:
    """Two probers share the breakpoint."""
    return t.pc == "armed" and u.pc == "armed"


@refs.sometimes
def a_hit_is_the_last_user(s: Shared) -> Claim:
    """Everybody has unregistered while the hit is still handled."""
    return s.hitter == "handling" and all(t.pc == "idle" for t in threads)


@refs.eventually
def registering_ends(s: Shared, t: Thread) -> Claim:
    """Whoever registers gets the lock."""
    return leads_to(t.pc == "has-ref", t.pc == "armed")


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
@refs.precondition(trap)
def a_hit_is_of_int3(s: Shared) -> Claim:
    """The program hits where the breakpoint stands."""
    return s.hitter == "at" and s.byte == "int3"


@refs.precondition(find)
def only_a_trap_looks_up(s: Shared) -> Claim:
    """The object is looked up for a thread that has trapped."""
    return s.hitter == "trap"


@refs.precondition(handled)
def only_a_hit_is_handled(s: Shared) -> Claim:
    """The consumers run for a hit whose object was found."""
    return s.hitter == "handling"


# --- variants ---------------------------------------------------------------------------------------------------------
refs.known_wrong(
    ("no-lock", "Joining and leaving race: one decides that int3 is there, the other that it is the last.",
     [LOCK], "registered_is_armed"),
    ("removes-for-all", "Unregistering takes the breakpoint out whoever else has registered.",
     [LAST_ONLY], "registered_is_armed"),
    ("hit-without-reference", "The handler uses the object that it found without holding it: unregistering frees it "
     "meanwhile.", [HIT_REF], "no_use_after_free"),
    ("late-removal", "The count reaches zero, another prober finds the object in the tree, then it is freed.",
     [ATOMIC_PUT], "reference_keeps_object no_use_after_free no_sigtrap",
     "Linux 6.18 kernel/events/uprobes.c, try_get_uprobe (refcount_inc_not_zero) and put_uprobe prevent it"),
    threads=2,
)  # fmt: skip
early = refs.variant(
    "last-decided-early",
    "Whether it is the last is decided before leaving, without the lock: two see each other, and int3 remains.",
    constants={"LOCK": False},
    refutes=["registered_is_armed", "no_int3_remains", "no_sigtrap"],
    threads=2,
)


@early.step(replaces="leave")
def decide(s: Shared, t: Thread) -> None:
    """Others are looked for, while this one still counts as a consumer."""
    if t.pc == "armed":
        t.writes = all(u == t or not u.consumer for u in threads)
        t.pc = "leaving"


@early.step(replaces="write_original")
def leave_and_write(s: Shared, t: Thread) -> None:
    """The consumer goes, and the original byte is written if so decided."""
    if t.pc == "leaving":
        if t.writes:
            s.byte = "original"
        t.consumer = False
        t.writes = False
        t.pc = "left"


leak = refs.variant(
    "hit-never-frees",
    "The hit drops its reference without looking whether it was the last: the object remains for ever.",
    refutes=["no_object_remains"],
    threads=2,
)


@leak.step(replaces="handled", actor="program")
def handled_without_freeing(s: Shared) -> None:
    """The consumers have run."""
    if s.hitter == "handling":
        s.hitter = "at" if s.object == "live" else "crashed"


PROTOCOL = refs.protocol()
