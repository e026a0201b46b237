"""Races of `xol-unmap` with the inside of mmap, munmap and mremap: variants that need finer steps than the protocol.

`page`, `byte`, `prober` and `pc` are those of `xol-unmap`. Three operations of the kernel are taken apart: mmap makes
the page reachable before it writes the breakpoint; munmap takes the mapping out before the page tables; the prober
lists places before it takes the lock, and mremap may come between.
"""

from __future__ import annotations

from verify.concurrency.language.domains import Bool
from verify.concurrency.language.protocol import Description, Shared, Thread

KERNEL = "Linux 6.18 kernel/events/uprobes.c"


# --- mmap: first the page, then the breakpoint ------------------------------------------------------------------------

def map_page(s: Shared, t: Thread) -> None:
    """The text is mapped again as it is in the file."""
    if t.pc == "at" and s.page == "nothing":
        s.page = "text"


def write_int3_of_mmap(s: Shared) -> None:
    """Still in mmap: the breakpoint is written."""
    if s.page == "text" and s.byte == "original" and s.prober in ("listed", "armed"):
        s.byte = "int3"


# --- munmap: first the mapping, then the page -------------------------------------------------------------------------

def exec_reachable_int3(s: Shared, t: Thread) -> None:
    """The breakpoint is fetched; without the mark it counts as the program's own."""
    if t.pc == "at" and s.byte == "int3":
        t.pc = "trap" if s.mark else "killed"


def look_up_and_clear(s: Shared, t: Thread) -> None:
    """The probe is found, or the instruction starts anew; where no mapping has a probe the mark goes."""
    if t.pc == "trap":
        gone = s.page == "nothing" or s.byte == "original"
        t.pc = "wait" if s.registered and s.page == "text" else "at" if gone else "killed"
        s.mark = s.mark and s.page == "text"


def remove_mapping(s: Shared, t: Thread) -> None:
    """munmap takes the mapping out; the page tables still lead to the page with the int3."""
    if t.pc == "at" and s.page != "nothing":
        s.page = "nothing"


def clear_page_tables(s: Shared) -> None:
    """munmap goes on: the page cannot be reached any more."""
    if s.page == "nothing" and s.byte == "int3":
        s.byte = "original"


def write_original_after(s: Shared) -> None:
    """Under the lock, which munmap has until it ends."""
    if s.prober == "armed" and (s.page != "nothing" or s.byte == "original"):
        s.prober = "removing"
        s.byte = "original"


def map_other_after(s: Shared, t: Thread) -> None:
    """Another mapping takes the address, when munmap has ended."""
    if t.pc == "at" and s.page == "nothing" and s.byte == "original":
        s.page = "other"


def map_text_after(s: Shared, t: Thread) -> None:
    """The text is mapped again, when munmap has ended; writing the breakpoint sets the mark."""
    if t.pc == "at" and s.page == "nothing" and s.byte == "original":
        s.page = "text"
        if s.registered and s.prober != "removing":
            s.byte = "int3"
            s.mark = True


# --- the prober: first a list, then the lock --------------------------------------------------------------------------
def list_place(s: Shared) -> None:
    """Unregistering lists where the text is mapped; text that is elsewhere by then is put right there."""
    if s.prober == "armed" and not s.listed:
        s.listed = True
        s.moved = False


def write_original_if_there(s: Shared) -> None:
    """Under the lock: the original byte is written if the listed place is still the probed text."""
    if s.prober == "armed" and s.listed:
        s.prober = "removing"
        s.listed = False
        if s.page == "text":
            s.byte = "original"


def move_text(s: Shared, t: Thread) -> None:
    """mremap moves the page with its int3 to another address."""
    if t.pc == "at" and s.page == "text" and s.byte == "int3" and not s.moved:
        s.page = "nothing"
        s.byte = "original"
        s.moved = True


def move_text_back(s: Shared, t: Thread) -> None:
    """mremap moves it back, as it is."""
    if t.pc == "at" and s.page == "nothing" and s.moved:
        s.page = "text"
        s.byte = "int3"
        s.moved = False


def declare(unmap: Description) -> None:
    """Declares the variants of `xol-unmap`."""
    page_first = unmap.variant(
        "page-before-breakpoint",
        "mmap makes the page reachable, then writes the breakpoint: hits in between are missed.",
        refutes=["mapped_text_is_probed"],
        threads=2,
        source=f"{KERNEL}, uprobe_write: the copied page is mapped before it is written; 6.18.44",
    )
    page_first.step(replaces="map_text", fair=None)(map_page)
    page_first.step(actor="kernel")(write_int3_of_mmap)
    cleared = unmap.variant(
        "mark-cleared-early",
        "A trap that finds no mapping clears the mark of the address space while the page can still be executed: "
        "SIGTRAP.",
        shared={"mark": Bool(initial=True)},  # the address space is known to have breakpoints
        refutes=["no_sigtrap"],
        threads=2,
        source=f"{KERNEL}, mmf_recalc_uprobes; mm/vma.c, munmap downgrades its lock; 6.18.44",
    )
    cleared.step(replaces="exec_int3")(exec_reachable_int3)
    cleared.step(replaces="look_up")(look_up_and_clear)
    cleared.step(replaces="unmap_text", fair=None)(remove_mapping)
    cleared.step(actor="kernel")(clear_page_tables)
    cleared.step(replaces="write_original", actor="prober")(write_original_after)
    cleared.step(replaces="map_other", fair=None)(map_other_after)
    cleared.step(replaces="map_text", fair=None)(map_text_after)
    moved = unmap.variant(
        "text-moved-after-listing",
        "mremap moves the text between the prober's list and its write, which finds nothing there: int3 stays in the "
        "moved text.",
        shared={"listed": Bool(), "moved": Bool()},  # for removal; the text is elsewhere, with its int3
        refutes=["no_int3_remains", "no_sigtrap", "a_hit_ends"],
        threads=2,
        source=f"{KERNEL}, register_for_each_vma: build_map_info lists, the mapping is looked at under the lock",
    )
    moved.step(actor="prober")(list_place)
    moved.step(replaces="write_original", actor="prober")(write_original_if_there)
    moved.step(fair=None)(move_text)
    moved.step(fair=None)(move_text_back)
