"""two-owners: one breakpoint byte, wanted by uprobes, by a debugger, and by a runtime that patches its own code.

Question: who misses hits, who executes what, and what is left, when the owners come and go in any order?

Model: one instruction whose text, `old` or `new`, is the program's own to change (a runtime). The prober registers and
unregisters a uprobe; a debugger sets and clears a breakpoint; in every order, each at once, as under the locks of the
address space. Threads run over the instruction again and again. Each owner has its own copy of the byte under the int3:
`kept` is what the uprobe displaces, `saved` what the debugger displaces, and what it writes back. In the correct
version the owners share a register of breakpoints: it tells the byte under the int3 (`TOLD`), takes the int3 out with
the last owner (`COUNTED`), tells a hit to all of them (`BOTH_HIT`), and writes of the program go under the int3
(`UNDER`). Linux and GDB have no such register: the variants leave its duties out, one by one and together.

Left out: lookups and writes in several steps (`xol-step`), the debugger's stops of threads (`inline-step`), reading the
file after it was changed (`register-fails`), code of more than one byte (`int3-patch`).

Sources: Linux 6.18 kernel/events/uprobes.c (verify_opcode: an int3 that is there is not written, one that is gone is
not taken out; __copy_insn reads the file; handle_swbp), arch/x86/kernel/uprobes.c (uprobe_pre_sstep_notifier); GDB 13
(memory breakpoints: the bytes that were read are written back); an int3 of the program's own and one of a debugger
beside a probe, seen on 6.18.44.
"""

from verify.concurrency.language.protocol import (
    Assumption,
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

TOLD = Parameter("TOLD", True)  # whoever reads memory is told the byte under the int3
COUNTED = Parameter("COUNTED", True)  # the int3 stays while an owner is left
BOTH_HIT = Parameter("BOTH_HIT", True)  # a hit is told to every owner
UNDER = Parameter("UNDER", True)  # what the program writes to its text goes under the int3, and to every owner's copy
MEMORY = Parameter("MEMORY", True)  # the uprobe's copy is of the text in memory; not: of the file, which is old
RUNTIME = Parameter("RUNTIME", True)  # the program patches its own text

BYTE = ("old", "new", "int3")  # one type, so that they can be compared; text and copy of the uprobe are never int3

owners = Description(
    "two-owners",
    "What do a uprobe, a debugger and a runtime that patches its code do to each other at one breakpoint byte?",
    threads=2,
    shared={
        "byte": Enum(*BYTE),
        "text": Enum(*BYTE),  # what the program has there
        "uprobe": Enum("off", "on"),
        "kept": Enum(*BYTE),  # what the uprobe takes the instruction for
        "debugger": Enum("off", "on"),
        "saved": Enum(*BYTE),  # what the debugger has read there
    },
    local={"pc": Enum("at", "trap", "unheard", "wrong", "killed")},
    assumptions=(
        _breakpoint.SINGLE_BYTE_WRITE,
        _breakpoint.ONE_PROBER,
        Assumption("one-debugger", "a process has one tracer", "ptrace(2), PTRACE_ATTACH"),
    ),
    source="Linux 6.18 kernel/events/uprobes.c, verify_opcode; GDB 13",
)


# --- the threads ------------------------------------------------------------------------------------------------------
exec_int3 = owners.step()(_breakpoint.exec_int3)  # the breakpoint is executed


@owners.step()
def exec_text(s: Shared, t: Thread) -> None:
    """Another byte is executed: the program's text, or what somebody has left there."""
    if t.pc == "at" and s.byte != "int3":
        t.pc = "at" if s.byte == s.text else "wrong"


@owners.step()
def handle(s: Shared, t: Thread) -> None:
    """The uprobe takes the hit and displaces what it has kept, and a debugger hears of it only by the register; without
    a uprobe SIGTRAP is the debugger's, which displaces what it has saved; without both the byte is read back."""
    if t.pc == "trap":
        if s.uprobe == "on":
            t.pc = "wrong" if s.kept != s.text else "at" if s.debugger == "off" or BOTH_HIT else "unheard"
        elif s.debugger == "on":
            t.pc = "at" if s.saved == s.text else "wrong"
        else:
            t.pc = "killed" if s.byte == "int3" else "at"


# --- the owners -------------------------------------------------------------------------------------------------------
@owners.step(actor="prober", fair=None)
def register(s: Shared) -> None:
    """The instruction is read; int3 is written unless it is there."""
    if s.uprobe == "off":
        s.uprobe = "on"
        s.kept = s.text if MEMORY else "old"
        s.byte = "int3"


@owners.step(actor="prober", fair=None)
def unregister(s: Shared) -> None:
    """The original byte is written, where int3 is found: over the debugger's too."""
    if s.uprobe == "on":
        s.uprobe = "off"
        if s.byte == "int3" and not (COUNTED and s.debugger == "on"):
            s.byte = s.kept
        s.kept = "old"


@owners.step(actor="debugger", fair=None)
def set_breakpoint(s: Shared) -> None:
    """The byte is read, and int3 written."""
    if s.debugger == "off":
        s.debugger = "on"
        s.saved = s.text if TOLD else s.byte
        s.byte = "int3"


@owners.step(actor="debugger", fair=None)
def clear_breakpoint(s: Shared) -> None:
    """What was read is written back, whatever is there now."""
    if s.debugger == "on":
        s.debugger = "off"
        if not (COUNTED and s.uprobe == "on"):
            s.byte = s.saved
        s.saved = "old"


@owners.step(actor="runtime", fair=None)
def patch(s: Shared) -> None:
    """The program writes its text: the other instruction."""
    if RUNTIME:
        s.text = "new" if s.text == "old" else "old"
        if not UNDER or s.byte != "int3":
            s.byte = s.text
        if UNDER and s.uprobe == "on":
            s.kept = s.text
        if UNDER and s.debugger == "on":
            s.saved = s.text


# --- properties -------------------------------------------------------------------------------------------------------
owners.always(_breakpoint.no_sigtrap)


@owners.always
def uprobe_is_armed(s: Shared) -> Claim:
    """A registered uprobe has its breakpoint."""
    return implies(s.uprobe == "on", s.byte == "int3")


@owners.always
def debugger_is_armed(s: Shared) -> Claim:
    """A debugger's breakpoint is there while it is set."""
    return implies(s.debugger == "on", s.byte == "int3")


@owners.always
def every_owner_hears_of_a_hit(s: Shared, t: Thread) -> Claim:
    """No hit is another owner's alone."""
    return t.pc != "unheard"


@owners.always
def the_programs_text_is_executed(s: Shared, t: Thread) -> Claim:
    """In place or displaced, the program's instruction is executed and no other."""
    return t.pc != "wrong"


@owners.always
def nothing_is_left(s: Shared) -> Claim:
    """Where nobody wants a breakpoint any more, the program's text stands."""
    return implies(s.uprobe == "off" and s.debugger == "off", s.byte == s.text)


@owners.sometimes
def both_are_there(s: Shared, t: Thread) -> Claim:
    """A thread hits the breakpoint of two owners, over new text."""
    return t.pc == "trap" and s.uprobe == "on" and s.debugger == "on" and s.text == "new"


@owners.eventually
def a_hit_ends(s: Shared, t: Thread) -> Claim:
    """A thread that has hit goes on in the program."""
    return leads_to(t.pc == "trap", t.pc == "at")


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
owners.precondition(exec_int3)(_breakpoint.a_hit_is_of_int3)


@owners.precondition(handle)
def only_a_trap_is_handled(s: Shared, t: Thread) -> Claim:
    """A thread that has trapped is handled."""
    return t.pc == "trap"


@owners.precondition(unregister)
def only_what_is_registered_goes(s: Shared) -> Claim:
    """A uprobe is taken away that was registered."""
    return s.uprobe == "on"


@owners.precondition(clear_breakpoint)
def only_what_is_set_is_cleared(s: Shared) -> Claim:
    """A debugger clears what it has set."""
    return s.debugger == "on"



# --- variants ---------------------------------------------------------------------------------------------------------
UPROBES, BYTES = "Linux 6.18 kernel/events/uprobes.c", "nothing_is_left no_sigtrap"
owners.known_wrong(
    ("int3-is-saved", "The debugger reads the uprobe's int3 and takes it for the program's: it steps an int3, and "
     "writes one back that is nobody's when the uprobe is gone.", [TOLD],
     "nothing_is_left no_sigtrap the_programs_text_is_executed a_hit_ends",
     "GDB PR 16575 (7.7): an int3 read back is taken for the program's; an int3 of uprobes is none that GDB knows"),
    ("first-to-go-takes-it", "Whoever goes first takes the int3 with it: the other owner misses hits.", [COUNTED],
     "uprobe_is_armed debugger_is_armed", f"{UPROBES}, set_orig_insn; GDB 13, default_memory_remove_breakpoint"),
    ("one-is-told", "The uprobe takes every hit: the debugger never hears of one.", [BOTH_HIT],
     "every_owner_hears_of_a_hit a_hit_ends",
     "Linux 6.18 arch/x86/kernel/uprobes.c, uprobe_pre_sstep_notifier: no SIGTRAP where a probe is found"),
    ("written-over", "The runtime writes over the int3: no hit any more; old text is displaced, and written back.",
     [UNDER], "uprobe_is_armed debugger_is_armed the_programs_text_is_executed nothing_is_left a_hit_ends",
     f"{UPROBES}, verify_opcode: an int3 that is gone is not put back"),
    ("copied-from-file", "The uprobe displaces what the file has, though the runtime has patched the text before.",
     [MEMORY], "the_programs_text_is_executed nothing_is_left a_hit_ends", f"{UPROBES}, __copy_insn"),
    ("linux-and-gdb", "A uprobe and a debugger as they are, of a program that leaves its text alone.",
     [TOLD, COUNTED, BOTH_HIT, RUNTIME], f"uprobe_is_armed debugger_is_armed every_owner_hears_of_a_hit {BYTES} "
     "the_programs_text_is_executed a_hit_ends both_are_there", f"{UPROBES}; GDB 13"),
    threads=2,
)  # fmt: skip

PROTOCOL = owners.protocol()
