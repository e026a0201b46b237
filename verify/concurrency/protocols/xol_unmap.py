"""xol-unmap: the text or the slot area is unmapped, moved or mapped over while threads are somewhere in a hit.

Question: does a thread ever fault where the program in place would not, run an instruction of a mapping that is gone,
or does the prober write into a mapping that it does not probe?

Model: the page with the probed instruction is the probed text, nothing, or another mapping at the same address; any
thread that is in the program may unmap it, map something else over it, or map the text back, at any time. mremap of the
text is unmapping here (at the new address it is a mapping like any other). A thread that executes at an address with
nothing mapped faults, as it would in place: that is not an error (`fault`). The slot area belongs to the address space,
not to the text, and cannot be unmapped or moved by the program (`SEALED`). The lookup of a trapped thread and the
reading back of the byte are one step under the mmap lock; the prober lists places first, then takes the lock and checks
that the place is still the probed text (`CHECKED`). Two passes of the prober over one address are two rounds of its
cycle.

Left out: several slots (`xol-step`), exec and exit, the page cache being written, huge pages, userfaultfd.

Sources: Linux 6.18 kernel/events/uprobes.c (find_active_uprobe_rcu, handle_swbp, register_for_each_vma, uprobe_mmap,
uprobe_munmap, xol_mremap, xol_add_vma with VM_SEALED_SYSMAP), arch/x86/kernel/uprobes.c (arch_uprobe_abort_xol).
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
)
from verify.concurrency.protocols import _breakpoint, _mapping_races

SEALED = Parameter("SEALED", True)  # the program can neither unmap nor move the slot area
BY_FILE = Parameter("BY_FILE", True)  # a probe is looked up by file and offset of the mapping, not by address
CHECKED = Parameter("CHECKED", True)  # the prober checks the mapping under the lock before it writes
AREA_OF_TEXT = Parameter("AREA_OF_TEXT", False)  # the area goes with the text that it was made for
ON_MMAP = Parameter("ON_MMAP", True)  # mapping the probed text writes the breakpoint
ONE_OWNER = Parameter("ONE_OWNER", True)  # a slot is given to one thread at a time
RESTART = Parameter("RESTART", True)  # a trap whose page is gone or not probed starts the instruction anew

unmap = Description(
    "xol-unmap",
    "Does unmapping or moving the text or the slot area during a hit show in the program?",
    shared={
        "page": Enum("text", "nothing", "other"),  # what is mapped at the probed address
        "byte": Enum("original", "int3"),  # its first byte; "original" where nothing is mapped
        "area": Bool(initial=True),  # the slot area is mapped where threads were sent
        "slot": ThreadId(),  # owner of the one slot
        "registered": Bool(),
        "prober": Enum("idle", "listed", "armed", "removing"),
    },
    local={
        "pc": Enum("at", "trap", "wait", "slot", "stepped", "fault", "killed", "slot-fault"),
        "stale": Bool(),  # the instruction that is to be displaced was not mapped when its probe was found
    },
    assumptions=(
        _breakpoint.SINGLE_BYTE_WRITE,
        _breakpoint.LOOKUP_LOCK,
        Assumption("own-breakpoints", "no other mapping has an int3 of its own at this address"),
        _breakpoint.ONE_SLOT,
    ),
    source="Linux 6.18 kernel/events/uprobes.c",
)


# --- the threads in a hit ---------------------------------------------------------------------------------------------
exec_int3 = unmap.step()(_breakpoint.exec_int3)  # the breakpoint is fetched: on to the trap


@unmap.step(fair=None)
def fault(s: Shared, t: Thread) -> None:
    """Nothing is mapped: the thread faults here as the program would in place."""
    if t.pc == "at" and s.page == "nothing":
        t.pc = "fault"


@unmap.step()
def look_up(s: Shared, t: Thread) -> None:
    """The handler is found by the mapping's file and offset, so that the mapping is the probed text.

    If not: start anew where the page is gone or its byte is no int3; else it seems the program's own.
    """
    found = s.registered and (s.page == "text" or not BY_FILE)
    gone = s.page == "nothing" or s.byte == "original"
    if t.pc == "trap":
        t.pc = "wait" if found else "at" if gone and RESTART else "killed"
        t.stale = found and s.page != "text"


@unmap.step(fair="strong")
def get_slot(s: Shared, t: Thread) -> None:
    """The slot is taken and filled with the instruction as it was when the probe was registered."""
    if t.pc == "wait" and (s.slot is None or not ONE_OWNER) and (s.area or not AREA_OF_TEXT):
        s.slot = t
        t.pc = "slot"


@unmap.step()
def step(s: Shared, t: Thread) -> None:
    """The displaced instruction runs in the slot, if the area is there."""
    if t.pc == "slot":
        t.pc = "stepped" if s.area else "slot-fault"


@unmap.step()
def fixup(s: Shared, t: Thread) -> None:
    """The slot is freed; the thread goes on behind the probed instruction."""
    if t.pc == "stepped":
        s.slot = None
        t.stale = False
        t.pc = "at"


# --- the threads in the program: mappings -----------------------------------------------------------------------------
@unmap.step(fair=None)
def unmap_text(s: Shared, t: Thread) -> None:
    """munmap or mremap of the page, by a thread that is in the program; its private copy with the int3 is gone."""
    if t.pc == "at" and s.page != "nothing":
        s.page = "nothing"
        s.byte = "original"
        s.area = s.area and not AREA_OF_TEXT


@unmap.step(fair=None)
def map_other(s: Shared, t: Thread) -> None:
    """Another mapping takes the address."""
    if t.pc == "at" and s.page == "nothing":
        s.page = "other"


@unmap.step(fair=None)
def map_text(s: Shared, t: Thread) -> None:
    """The text is mapped again; mmap writes the breakpoint if a probe is registered and not about to go."""
    if t.pc == "at" and s.page == "nothing":
        s.page = "text"
        s.area = s.area or AREA_OF_TEXT
        if s.registered and s.prober != "removing" and ON_MMAP:
            s.byte = "int3"


@unmap.step(fair=None)
def unmap_area(s: Shared, t: Thread) -> None:
    """munmap or mremap of the slot area; refused if it is sealed."""
    if t.pc == "at" and s.area and not SEALED:
        s.area = False


# --- the prober -------------------------------------------------------------------------------------------------------
@unmap.step(actor="prober")
def insert_uprobe(s: Shared) -> None:
    """The handler can be found; places to patch are listed if the text is mapped."""
    if s.prober == "idle":
        s.registered = True
        s.prober = "listed" if s.page == "text" else "armed"


@unmap.step(actor="prober")
def write_int3(s: Shared) -> None:
    """Under the lock: the breakpoint is written if the listed place is still the probed text."""
    if s.prober == "listed":
        s.prober = "armed"
        if s.page == "text" or (s.page == "other" and not CHECKED):
            s.byte = "int3"


@unmap.step(actor="prober")
def write_original(s: Shared) -> None:
    """Under the lock: the original byte is written if the place is the probed text."""
    if s.prober == "armed":
        s.prober = "removing"
        if s.page == "text":
            s.byte = "original"


@unmap.step(actor="prober")
def remove_uprobe(s: Shared) -> None:
    """The handler is found no longer."""
    if s.prober == "removing":
        s.prober = "idle"
        s.registered = False


# --- properties -------------------------------------------------------------------------------------------------------
unmap.always(_breakpoint.no_sigtrap)


@unmap.always
def no_fault_in_slot(s: Shared, t: Thread) -> Claim:
    """No thread faults in a slot: the program in place would not fault there."""
    return t.pc != "slot-fault"


@unmap.always
def slot_is_mapped(s: Shared, t: Thread) -> Claim:
    """A thread in its slot has the area under it."""
    return implies(t.pc in ("slot", "stepped"), s.area)


@unmap.always
def displaced_instruction_was_mapped(s: Shared, t: Thread) -> Claim:
    """What runs displaced was the instruction at that address when the probe was found."""
    return not t.stale


@unmap.always
def only_probed_text_is_patched(s: Shared) -> Claim:
    """Another mapping at the address is never written to."""
    return implies(s.page == "other", s.byte == "original")


@unmap.always
def no_int3_remains(s: Shared) -> Claim:
    """After unregistering the text has its original byte."""
    return implies(s.prober == "idle", s.byte == "original")


@unmap.always
def mapped_text_is_probed(s: Shared) -> Claim:
    """While the probe is registered, text that is mapped has its breakpoint, also if it was mapped later."""
    return implies(s.prober == "armed" and s.page == "text", s.byte == "int3")


@unmap.always
def slot_is_owned(s: Shared, t: Thread) -> Claim:
    """A thread that steps owns the slot."""
    return implies(t.pc in ("slot", "stepped"), s.slot == t)


@unmap.sometimes
def text_is_gone_during_the_step(s: Shared, t: Thread) -> Claim:
    """A thread is in its slot while its text is unmapped."""
    return t.pc == "slot" and s.page == "nothing"


@unmap.sometimes
def text_is_gone_after_the_trap(s: Shared, t: Thread) -> Claim:
    """A thread has trapped, and another mapping is there when the handler looks."""
    return t.pc == "trap" and s.page == "other"


@unmap.eventually
def a_hit_ends(s: Shared, t: Thread) -> Claim:
    """A trapped thread comes back to the program or faults as in place."""
    return leads_to(t.pc == "trap", t.pc in ("at", "fault"))


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
unmap.precondition(exec_int3)(_breakpoint.a_hit_is_of_int3)


@unmap.precondition(fault)
def a_fault_is_of_no_page(s: Shared, t: Thread) -> Claim:
    """A thread faults in place only where nothing is mapped."""
    return t.pc == "at" and s.page == "nothing"


unmap.precondition(get_slot)(_breakpoint.only_a_hit_gets_a_slot)


@unmap.precondition(unmap_text)
def the_program_unmaps(s: Shared, t: Thread) -> Claim:
    """Mappings change by a thread in the program, not by one in a hit."""
    return t.pc == "at"


@unmap.precondition(map_other)
def the_program_maps_another(s: Shared, t: Thread) -> Claim:
    """Another mapping comes by a thread in the program, to a free place."""
    return t.pc == "at" and s.page == "nothing"


@unmap.precondition(map_text)
def the_program_maps_the_text(s: Shared, t: Thread) -> Claim:
    """The text is mapped by a thread in the program, to a free place."""
    return t.pc == "at" and s.page == "nothing"


unmap.precondition(insert_uprobe)(_breakpoint.registering_begins_once)


# --- variants ---------------------------------------------------------------------------------------------------------
IN_SLOT = "no_fault_in_slot slot_is_mapped a_hit_ends"  # refuted where a thread loses the area under it
unmap.known_wrong(
    ("area-not-sealed", "The program may unmap or move the area: a thread faults in its slot.", [SEALED], IN_SLOT,
     "Linux before 6.15 (kernel/events/uprobes.c, xol_add_vma without VM_SEALED_SYSMAP); its configuration since"),
    ("area-dies-with-text", "The area belongs to the text mapping and goes with it: a thread faults in its slot.",
     [AREA_OF_TEXT], IN_SLOT),
    ("lookup-by-address", "The probe is looked up by address: a thread whose text was replaced executes the old "
     "instruction.", [BY_FILE], "displaced_instruction_was_mapped"),
    ("unchecked-write", "The prober does not look at the mapping again under the lock: int3 is written into another "
     "mapping.", [CHECKED], "only_probed_text_is_patched no_int3_remains no_sigtrap a_hit_ends"),
    ("no-restart", "A trap whose probe is not found is a SIGTRAP without a look at the byte or the page.",
     [RESTART], "no_sigtrap a_hit_ends"),
    ("mmap-forgets", "Text that is mapped after registering gets no breakpoint: its hits are missed.",
     [ON_MMAP], "mapped_text_is_probed"),
    ("slot-given-twice", "A slot is given to a second thread while the first steps in it.",
     [ONE_OWNER], "slot_is_owned"),
    threads=2,
)  # fmt: skip
area_moved = unmap.variant(
    "area-moved",
    "mremap moves the area and may move it back: threads are still sent to where it was, and fault there.",
    refutes=IN_SLOT.split(),
    threads=2,
    source="Linux before 6.13 (kernel/events/uprobes.c before commit c16e2fdd746c, which refuses it)",
)


@area_moved.step(replaces="unmap_area", fair=None)
def move_area(s: Shared, t: Thread) -> None:
    """mremap of the slot area: away from where threads are sent, or back."""
    if t.pc == "at":
        s.area = not s.area


both_unmapped = unmap.variant(
    "both-unmapped",
    "One munmap takes the text and the area while another thread is in a hit: it faults in its slot.",
    refutes=IN_SLOT.split(),
    threads=2,
)


@both_unmapped.step(replaces="unmap_text", fair=None)
def unmap_both(s: Shared, t: Thread) -> None:
    """munmap of a range with the page and the slot area."""
    if t.pc == "at" and s.page != "nothing":
        s.page = "nothing"
        s.byte = "original"
        s.area = False


_mapping_races.declare(unmap)  # races with the inside of mmap, munmap and mremap, in finer steps

PROTOCOL = unmap.protocol()
