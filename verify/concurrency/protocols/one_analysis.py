"""one-analysis: one reading of an instruction for all address spaces that map its file, 32-bit and 64-bit ones.

Question: is a probed instruction ever handled as the other width reads it?

Model: threads are processes, which begin as programs of one width or the other, map the file, and run over the probed
instruction. The prober registers and unregisters again and again; the breakpoint is written in every address space that
maps the file, also in one that maps it later, in any order. What the instruction is, is decided when the first of them
is written, and kept for the file until the probe is gone (`PER_WIDTH` off), or for each width by itself. The other
processes' hits are handled by it: the copy in the slot, what is emulated, and the fixup may be of another instruction.

Left out: the bytes (whether both widths read them alike: `ubp-verify insn` says so of each encoding), several probes.

Sources: Linux 6.18 kernel/events/uprobes.c (install_breakpoint, prepare_uprobe: UPROBE_COPY_INSN is set once),
arch/x86/kernel/uprobes.c (arch_uprobe_analyze_insn: is_64bit_mm of the first address space); seen on 6.18.44, with a
32-bit and with a 64-bit program first.
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
    threads,
)
from verify.concurrency.protocols import _breakpoint

PER_WIDTH = Parameter("PER_WIDTH", True)  # the instruction is read for each width by itself
REFUSE = Parameter("REFUSE", False)  # an address space of the other width gets no breakpoint
CHECKED = Parameter("CHECKED", False)  # ... and a hit of the other width counts as nobody's
AT_HIT = Parameter("AT_HIT", False)  # the instruction is read anew at each hit, as that process reads it

one = Description(
    "one-analysis",
    "Is a probed instruction ever handled as a program of the other width reads it?",
    shared={
        "registered": Bool(),
        "read_as": Enum("nothing", "64", "32"),  # what the file's instruction was taken for
    },
    local={
        "pc": Enum("none", "begun", "at", "trap", "misread"),
        "width": Enum("64", "32"),
        "int3": Bool(),  # this address space has the breakpoint
    },
    assumptions=(_breakpoint.SINGLE_BYTE_WRITE, _breakpoint.ONE_PROBER),
    source="Linux 6.18 kernel/events/uprobes.c, arch/x86/kernel/uprobes.c",
)


def other(s: Shared, t: Thread) -> Claim:
    """Whether the instruction was taken for one of the other width."""
    return (s.read_as == "64" and t.width == "32") or (s.read_as == "32" and t.width == "64")


# --- the processes ----------------------------------------------------------------------------------------------------
@one.step(fair=None)
def begin_64(s: Shared, t: Thread) -> None:
    """A 64-bit program begins."""
    if t.pc == "none":
        t.pc = "begun"


@one.step(fair=None)
def begin_32(s: Shared, t: Thread) -> None:
    """A 32-bit program begins."""
    if t.pc == "none":
        t.width = "32"
        t.pc = "begun"


@one.step()
def map_file(s: Shared, t: Thread) -> None:
    """The file is mapped."""
    if t.pc == "begun":
        t.pc = "at"


@one.step()
def exec_int3(s: Shared, t: Thread) -> None:
    """The breakpoint is executed."""
    if t.pc == "at" and t.int3:
        t.pc = "trap"


@one.step()
def handle(s: Shared, t: Thread) -> None:
    """The hit is handled by what the instruction was taken for; or the probe is gone, and it is executed in place."""
    wrong = s.registered and other(s, t) and not PER_WIDTH and not AT_HIT and not CHECKED
    if t.pc == "trap":
        t.pc = "misread" if wrong else "at"


# --- the prober -------------------------------------------------------------------------------------------------------
@one.step(actor="prober", fair=None)
def register(s: Shared) -> None:
    """The probe is registered for the file; address spaces get their breakpoints one after the other."""
    if not s.registered:
        s.registered = True


@one.step(actor="prober")
def write_int3(s: Shared, t: Thread) -> None:
    """The breakpoint is written in an address space; for the first one the instruction is read."""
    if s.registered and t.pc in ("at", "misread") and not t.int3 and not (REFUSE and other(s, t)):
        t.int3 = True
        if s.read_as == "nothing":
            s.read_as = "64" if t.width == "64" else "32"


@one.step(actor="prober", fair=None)
def unregister(s: Shared) -> None:
    """Every breakpoint is taken out, and what the instruction was taken for is forgotten."""
    if s.registered:
        s.registered = False
        s.read_as = "nothing"
        for t in threads:
            t.int3 = False


# --- properties -------------------------------------------------------------------------------------------------------
@one.always
def read_as_its_own(s: Shared, t: Thread) -> Claim:
    """No hit is handled as a program of the other width reads the instruction."""
    return t.pc != "misread"


@one.always
def whoever_is_first_is_safe(s: Shared, t: Thread) -> Claim:
    """What the instruction is taken for is what some address space with its breakpoint reads."""
    return implies(t.int3, s.registered and s.read_as != "nothing")


@one.sometimes
def both_widths_have_it(s: Shared, t: Thread, u: Thread) -> Claim:
    """A 32-bit and a 64-bit process have the breakpoint at the same time."""
    return t.int3 and u.int3 and t.width == "32" and u.width == "64"


@one.eventually
def mapped_text_is_probed(s: Shared, t: Thread) -> Claim:
    """Whoever maps the file gets the breakpoint, while the probe is registered."""
    return leads_to(s.registered and t.pc == "at", t.int3 or not s.registered)


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
@one.precondition(handle)
def only_a_trap_is_handled(s: Shared, t: Thread) -> Claim:
    """A process that has trapped runs."""
    return t.pc == "trap"


# --- variants ---------------------------------------------------------------------------------------------------------
one.known_wrong(
    ("first-decides", "The first address space that gets the breakpoint decides what the instruction is, for every "
     "later one.", [PER_WIDTH], "read_as_its_own",
     "Linux 6.18 kernel/events/uprobes.c, prepare_uprobe; seen on 6.18.44, 32-bit and 64-bit ones first"),
    threads=2,
)  # fmt: skip
one.variant(
    "other-width-refused",
    "The same, and an address space of the other width gets no breakpoint: not probed, and not safe, since a hit may "
    "be handled after the probe was registered anew, for the other width.",
    constants={"PER_WIDTH": False, "REFUSE": True},
    refutes=["read_as_its_own", "both_widths_have_it", "mapped_text_is_probed"],
    threads=2,
)
one.variant(
    "refused-and-checked",
    "The same, and a hit looks at the width again: safe, and not probed.",
    constants={"PER_WIDTH": False, "REFUSE": True, "CHECKED": True},
    refutes=["both_widths_have_it", "mapped_text_is_probed"],
    threads=2,
)
one.variant(
    "read-at-the-hit",
    "The instruction is read anew at each hit, as the process reads it.",
    constants={"PER_WIDTH": False, "AT_HIT": True},
    threads=2,
)

PROTOCOL = one.protocol()
