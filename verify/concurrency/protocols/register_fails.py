"""register-fails: registering and handling a hit when something goes wrong in the middle.

Question: what is left when memory runs out, when the registrar is killed, when the file is rewritten in between?

Model: one probed instruction of a file that may be rewritten (`text`). Registering is four steps: the uprobe can be
found, the instruction is read, the int3 is written, done; each may fail for want of memory, and the registrar may be
killed between any two. What was done is then undone, by itself or by the kernel when its descriptor is closed. What was
read must be what the int3 replaces (`CHECKED`); from then on the page is the process's own, and the file's changes
are not seen in it. A thread that has trapped needs memory: for the slot, before its handler runs (`FIRST`); where there
is none, it hits anew. A killed thread's hit is handled before it dies (`DIES`).

Left out: several threads that wait for a slot (`xol-step`), several registrars (`ref-count`), mappings (`xol-unmap`).

Sources: Linux 6.18 kernel/events/uprobes.c (uprobe_register: __uprobe_unregister where it fails; install_breakpoint,
prepare_uprobe; handle_swbp: get_utask, then handler_chain, then pre_ssout, which makes area and slot and may fail),
kernel/events/core.c (perf_release), kernel/entry/common.c (exit_to_user_mode_loop: TIF_UPROBE before TIF_SIGPENDING).
"""

from verify.concurrency.language.protocol import (
    Bool,
    Claim,
    Description,
    Enum,
    Parameter,
    Shared,
    Thread,
    implies,
    leads_to,
)
from verify.concurrency.protocols import _breakpoint

FIRST = Parameter("FIRST", True)  # what a step needs is there before the handler runs
CHECKED = Parameter("CHECKED", True)  # the byte is written only where the instruction is still what was read
UNDONE = Parameter("UNDONE", True)  # a registration that fails is undone
CLOSED = Parameter("CLOSED", True)  # what a killed registrar leaves is undone by the kernel
LAST = Parameter("LAST", True)  # the uprobe is removed after its int3
DIES = Parameter("DIES", True)  # a killed thread's hit is handled before the thread ends

failing = Description(
    "register-fails",
    "What is left, missed or counted twice when registering or handling a hit fails in the middle?",
    threads=2,
    shared={
        "byte": Enum("original", "int3"),
        "text": Enum("old", "new"),  # the instruction in the file, as far as its page is not the process's own
        "kept": Enum("old", "new"),  # what was read, and will be displaced
        "registered": Bool(),  # the handler can be found
        "prober": Enum("idle", "inserted", "read", "armed", "undoing", "killed"),
    },
    local={
        "pc": Enum("at", "trap", "ready", "slot", "wrong", "twice", "killed", "gone"),
        "counted": Bool(),  # the handler has run for this execution of the instruction
    },
    assumptions=(_breakpoint.SINGLE_BYTE_WRITE, _breakpoint.ONE_PROBER, _breakpoint.LOOKUP_LOCK),
    source="Linux 6.18 kernel/events/uprobes.c, uprobe_register, handle_swbp",
)


# --- the registrar ----------------------------------------------------------------------------------------------------
@failing.step(actor="prober", fair=None)
def insert(s: Shared) -> None:
    """The uprobe can be found from now on."""
    if s.prober == "idle":
        s.registered = True
        s.prober = "inserted"


@failing.step(actor="prober")
def read_text(s: Shared) -> None:
    """The instruction is read from the file, and analysed."""
    if s.prober == "inserted":
        s.kept = s.text
        s.prober = "read"


@failing.step(actor="prober")
def arm(s: Shared) -> None:
    """int3 is written into a page of the process's own; not where the text has changed since it was read."""
    if s.prober == "read":
        s.prober = "armed" if s.kept == s.text or not CHECKED else "undoing"
        s.byte = "int3" if s.kept == s.text or not CHECKED else s.byte


@failing.step(actor="prober", fair=None)
def fail(s: Shared) -> None:
    """There is no memory for what comes next: registering ends with an error."""
    if s.prober in ("inserted", "read"):
        s.prober = "undoing" if UNDONE else "idle"


@failing.step(actor="prober", fair=None)
def unregister(s: Shared) -> None:
    """The probe is taken away again."""
    if s.prober == "armed":
        s.prober = "undoing"
        s.registered = LAST


@failing.step(actor="prober", fair=None)
def die(s: Shared) -> None:
    """The registrar is killed, wherever it is."""
    if s.prober in ("inserted", "read", "armed"):
        s.prober = "killed"


@failing.step(actor="kernel")
def close(s: Shared) -> None:
    """Its descriptors are closed."""
    if s.prober == "killed":
        s.prober = "undoing" if CLOSED else "idle"


@failing.step(actor="prober")
def write_original(s: Shared) -> None:
    """The original byte is written."""
    if s.prober == "undoing" and s.byte == "int3":
        s.byte = "original"


@failing.step(actor="prober")
def remove(s: Shared) -> None:
    """The uprobe cannot be found any longer."""
    if s.prober == "undoing" and s.byte == "original":
        s.registered = False
        s.kept = "old"
        s.prober = "idle"


@failing.step(actor="writer", fair=None)
def rewrite(s: Shared) -> None:
    """The file is rewritten; a page with int3 is the process's own, and stays as it is."""
    if s.byte == "original":
        s.text = "new" if s.text == "old" else "old"


# --- the threads ------------------------------------------------------------------------------------------------------
exec_int3 = failing.step()(_breakpoint.exec_int3)  # the breakpoint is executed


@failing.step()
def miss(s: Shared, t: Thread) -> None:
    """No handler is found: the byte is read back."""
    if t.pc == "trap" and not s.registered:
        t.pc = "killed" if s.byte == "int3" else "at"
        t.counted = False


@failing.step(fair="strong")
def allocate(s: Shared, t: Thread) -> None:
    """What a step needs is there."""
    if t.pc == "trap" and s.registered and FIRST:
        t.pc = "ready"


@failing.step(fair=None)
def allocate_in_vain(s: Shared, t: Thread) -> None:
    """There is no memory: the thread goes back, and hits anew."""
    if (t.pc == "trap" and s.registered and FIRST) or (t.pc == "ready" and not FIRST):
        t.pc = "at"


@failing.step()
def handle(s: Shared, t: Thread) -> None:
    """The handler runs, once for an execution of the instruction."""
    if (t.pc == "ready" and FIRST) or (t.pc == "trap" and s.registered and not FIRST):
        t.pc = "twice" if t.counted else "slot" if FIRST else "ready"
        t.counted = True


@failing.step(fair="strong")
def allocate_late(s: Shared, t: Thread) -> None:
    """What the step needs is there, behind the handler."""
    if t.pc == "ready" and not FIRST:
        t.pc = "slot"


@failing.step()
def step(s: Shared, t: Thread) -> None:
    """What was read is executed out of line; the process sees no other text while its page is its own."""
    if t.pc == "slot":
        t.pc = "wrong" if s.byte == "int3" and s.kept != s.text else "at"
        t.counted = False


@failing.step(fair=None)
def end(s: Shared, t: Thread) -> None:
    """A fatal signal, or exit of another thread: one that has trapped is handled first."""
    if t.pc == "at" or (t.pc == "trap" and not DIES):
        t.pc = "gone"


# --- properties -------------------------------------------------------------------------------------------------------
failing.always(_breakpoint.no_sigtrap)


@failing.always
def one_hit_a_pass(s: Shared, t: Thread) -> Claim:
    """The handler runs once for one execution of the instruction."""
    return t.pc != "twice"


@failing.always
def the_text_is_executed(s: Shared, t: Thread) -> Claim:
    """What is displaced is the instruction that the breakpoint replaced."""
    return t.pc != "wrong"


@failing.always
def nothing_is_left(s: Shared) -> Claim:
    """Without a registrar there is no int3 and no handler."""
    return implies(s.prober == "idle", s.byte == "original" and not s.registered)


@failing.always
def int3_is_owned(s: Shared) -> Claim:
    """Where int3 stands, the handler can be found."""
    return implies(s.byte == "int3", s.registered)


@failing.sometimes
def memory_ran_out(s: Shared, t: Thread) -> Claim:
    """A registration is undone while a thread has trapped."""
    return s.prober == "undoing" and t.pc == "trap"


@failing.eventually
def a_hit_is_handled(s: Shared, t: Thread) -> Claim:
    """A thread that has trapped has its handler run, or ends before it hits anew, or the int3 goes away."""
    return leads_to(t.pc == "trap", t.counted or s.byte == "original" or t.pc == "gone")


@failing.eventually
def undoing_ends(s: Shared) -> Claim:
    """What a registrar leaves is undone."""
    return leads_to(s.prober in ("killed", "undoing"), s.prober == "idle")


@failing.terminal
def all_ended(s: Shared) -> Claim:
    """Nobody is left, and nothing is being registered."""
    return s.prober == "idle"


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
failing.precondition(exec_int3)(_breakpoint.a_hit_is_of_int3)


@failing.precondition(miss)
def only_a_trap_is_missed(s: Shared, t: Thread) -> Claim:
    """A thread that has trapped looks for a handler."""
    return t.pc == "trap"


@failing.precondition(end)
def a_hit_is_handled_before_the_end(s: Shared, t: Thread) -> Claim:
    """A thread ends in the program, not between a hit and its handling."""
    return t.pc == "at"


@failing.precondition(fail)
def what_fails_has_begun(s: Shared) -> Claim:
    """Registering fails before the int3 is there."""
    return s.prober in ("inserted", "read") and s.byte == "original"


@failing.precondition(unregister)
def what_is_registered_is_armed(s: Shared) -> Claim:
    """A registration that has succeeded has its int3."""
    return s.prober == "armed" and s.byte == "int3"


@failing.precondition(die)
def a_registrar_is_killed_at_work(s: Shared) -> Claim:
    """There is a registrar, and something to undo."""
    return s.prober != "idle" and s.registered


@failing.precondition(write_original)
def only_what_is_undone_is_restored(s: Shared) -> Claim:
    """The byte goes back when a registration is undone."""
    return s.prober == "undoing" and s.byte == "int3"


@failing.precondition(remove)
def removed_behind_its_int3(s: Shared) -> Claim:
    """The uprobe goes when the original byte stands."""
    return s.prober == "undoing" and s.byte == "original"


@failing.precondition(rewrite)
def an_own_page_is_not_rewritten(s: Shared) -> Claim:
    """The file's text is seen while the page is not the process's own."""
    return s.byte == "original"


@failing.precondition(allocate)
def memory_is_for_a_hit(s: Shared, t: Thread) -> Claim:
    """Memory is taken for a thread that has trapped, and whose handler can be found."""
    return t.pc == "trap" and s.registered


@failing.precondition(allocate_in_vain)
def no_memory_for_a_hit(s: Shared, t: Thread) -> Claim:
    """Memory runs out for a thread whose handler has not run."""
    return t.pc == "trap" and s.registered and not t.counted


@failing.precondition(step)
def only_a_counted_hit_steps(s: Shared, t: Thread) -> Claim:
    """A thread steps when its handler has run."""
    return t.pc == "slot" and t.counted



# --- variants ---------------------------------------------------------------------------------------------------------
UPROBES = "Linux 6.18 kernel/events/uprobes.c"
failing.variant(
    "handler-before-slot",
    "The handler runs, then there is no memory for area or slot: the thread hits anew, and the handler runs a second "
    "time.",
    constants={"FIRST": False},
    refutes=["one_hit_a_pass", "no_memory_for_a_hit"],
    skipped=["memory_is_for_a_hit"],
    threads=2,
    source=f"{UPROBES}, handle_swbp: handler_chain, then pre_ssout, whose error leads back to the breakpoint",
)
failing.known_wrong(
    ("rewritten-before-arming", "The file is rewritten between reading the instruction and writing int3: the old one "
     "is displaced.", [CHECKED], "the_text_is_executed",
     f"{UPROBES}, prepare_uprobe and verify_opcode: only whether int3 is there already is looked at"),
    ("failure-not-undone", "Registering fails and leaves the uprobe: it can be found, and nobody will remove it.",
     [UNDONE], "nothing_is_left"),
    ("killed-not-closed", "The registrar is killed and nothing is undone: probe and handler stay for ever.", [CLOSED],
     "nothing_is_left what_fails_has_begun"),
    ("handler-removed-first", "The uprobe cannot be found while its int3 stands: SIGTRAP.", [LAST],
     "int3_is_owned no_sigtrap"),
    ("hit-lost-with-thread", "A thread that has trapped is killed before its handler runs.", [DIES],
     "a_hit_is_handled_before_the_end"),
    threads=2,
)  # fmt: skip

PROTOCOL = failing.protocol()
