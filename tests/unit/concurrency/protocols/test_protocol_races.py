"""The shortest interleavings of the historic races are the ones that history tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from verify.concurrency.explorer import explore
from verify.concurrency.language.protocol import DEADLOCK
from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Refuted

RACES = {
    # text is copied after the prober has listed the address spaces: the child keeps int3
    ("xol-fork", "no-dup-lock", "no_int3_remains"): ("begin_removal", "fork_process", "write_original_parent"),
    # the child wakes up in a slot of an area that was not copied
    ("xol-fork", "fork-in-slot", "no_fault_in_slot"): ("get_slot", "fork_process"),
    # the parent blocks in vfork with the only slot, its child traps
    ("xol-fork", "vfork-in-slot", "blocked_parent_owns_no_slot"): ("get_slot", "vfork"),
    # thread traps, another removes the probe, lookup fails, SIGTRAP
    ("optimised-nop5", "no-recheck", "no_sigtrap"): ("register", "forget", "look_up"),
    ("optimised-nop10", "no-recheck", "no_sigtrap"): ("fetch_int3", "forget", "look_up"),
    # patched text is inherited, the trampoline is not
    ("optimised-nop5", "trampoline-not-inherited", "no_call_into_nothing"): ("write_call", "fork", "child_call"),
    # preempted behind the lea, all ten bytes restored
    ("optimised-nop10", "call-overwritten", "no_torn_instruction"): ("fetch_lea", "write_nop_tail", "fetch_no_call"),
    # preempted at the boundary inside the site
    ("int3-patch", "preempted-inside", "no_torn_instruction"): ("fetch_old", "write_tail", "go_on_in_overwritten_tail"),
    # a return address inside the site
    ("int3-patch", "returns-inside", "no_torn_instruction"): ("fetch_old", "come_back", "go_on_in_overwritten_tail"),
    # stale first byte, new tail; new first byte, stale tail; stale int3, record gone
    ("int3-patch", "no-sync-after-int3", "no_torn_instruction"): ("write_tail", "fetch_torn"),
    ("int3-patch", "no-sync-after-tail", "no_torn_instruction"): ("write_tail", "write_first", "fetch_torn"),
    ("int3-patch", "no-sync-after-first", "no_sigtrap"): ("write_first", "fetch_int3", "handle"),
    # a thread preempted in the copy
    ("jump-xol", "no-grace-period", "no_thread_in_freed_copy"): ("fetch_jump", "free_copy", "run_freed_copy"),
    # the frame of a signal handler leads back into the copy
    ("jump-xol", "signal-frame-overlooked", "no_thread_in_freed_copy"): ("signal", "free_copy", "run_freed_copy"),
    # a handler uses an object that unregistering frees
    ("ref-count", "hit-without-reference", "no_use_after_free"): ("find", "put_object"),
    # the int3 is out, and one processor has not loaded the register yet
    ("inline-step-hwbp", "no-ipi", "no_missed_hit"): ("claim", "take_out", "exec_other_gap"),
    ("inline-step-hwbp", "one-too-many", "no_missed_hit_of_its_own"): ("step_without_register", "exec_own_gap"),
    ("inline-step", "others-run", "no_missed_hit"): ("take_out", "exec_in_gap"),
    # longjmp leaves an instance behind; the next return takes it for its own
    ("return-probe", "no-cleanup-at-return", "no_return_goes_astray"): ("longjmp", "handle_trampoline"),
    ("return-probe", "instances-dropped", "no_return_is_lost"): ("call_probed", "unregister", "handle_trampoline"),
    # the slot area is unmapped under a thread
    ("xol-unmap", "area-not-sealed", "no_fault_in_slot"): ("unmap_area", "step"),
    # munmap takes the mapping out before the page: a trap in between clears the mark, the next is not looked up
    ("xol-unmap", "mark-cleared-early", "no_sigtrap"): ("unmap_text", "look_up", "exec_int3"),
    # text is mapped under a registered probe, and executed before its int3 is written
    ("xol-unmap", "page-before-breakpoint", "mapped_text_is_probed"): ("insert_uprobe", "map_text"),
    # the call in the child is not known as one: it stays, and another round of registering leaves half of it
    ("optimised-nop5", "trampoline-not-inherited", "no_torn_instruction"): ("fork", "forget", "register", "child_torn"),
    # the prober has listed a place; the text is moved away, not written, and moved back with its int3
    ("xol-unmap", "text-moved-after-listing", "no_sigtrap"): (
        "list_place", "move_text", "write_original", "move_text_back", "exec_int3", "look_up",
    ),
    # the area is moved, or goes with the text: the slot that a thread is sent to is not there
    ("xol-unmap", "area-moved", "no_fault_in_slot"): ("unmap_area", "get_slot", "step"),
    ("xol-unmap", "both-unmapped", "no_fault_in_slot"): ("unmap_text", "get_slot", "step"),
    # thread traps, another removes the probe, lookup fails, SIGTRAP
    ("xol-step", "no-recheck", "no_sigtrap"): ("exec_int3", "write_original", "remove_uprobe", "miss", "sigtrap"),
    # the thread is gone, its slot is not free; and the reverse
    ("xol-step", "exit-keeps-slot", "no_deadlock"): ("get_slot", "exit_with_slot", "hit"),
    ("xol-step", "exec-keeps-step", "slot_is_owned"): ("get_slot", "exec_in_slot"),
    # the register is given away while the int3 is still out
    ("inline-step-hwbp", "int3-back-too-late", "no_missed_hit"): ("take_out", "put_back", "exec_other_gap"),
    # new over old is right, old over new is not
    ("int3-patch", "no-sync-after-int3-back", "no_torn_instruction"): (
        "forget", "write_int3", "write_tail", "fetch_torn",
    ),
    ("int3-patch", "no-sync-after-tail-back", "no_torn_instruction"): ("forget", "write_first", "fetch_torn"),
    ("int3-patch", "no-sync-after-first-back", "no_sigtrap"): ("forget", "write_first", "fetch_int3", "handle"),
    ("int3-patch", "tail-before-int3", "no_torn_instruction"): ("write_int3", "fetch_torn"),
    ("int3-patch", "first-before-tail", "no_torn_instruction"): ("write_int3", "write_tail", "fetch_torn"),
    # preempted on the way to the slot, another commits, and the thread commits what it loaded before
    ("xol-rseq", "slot-outside", "no_lost_update"): ("load", "hit", "to_slot", "step", "fixup", "commit", "commit"),
    # the first address space that is written decides; a hit is handled after another width has registered anew
    ("one-analysis", "first-decides", "read_as_its_own"): ("write_int3", "write_int3", "exec_int3", "handle"),
    ("one-analysis", "other-width-refused", "read_as_its_own"): (
        "exec_int3", "unregister", "register", "write_int3", "handle",
    ),
    ("xol-unmap", "lookup-by-address", "displaced_instruction_was_mapped"): ("exec_int3", "unmap_text", "look_up"),
    # the debugger saves the uprobe's int3, outlives the uprobe, and writes it back
    ("two-owners", "int3-is-saved", "nothing_is_left"): (
        "register", "set_breakpoint", "unregister", "clear_breakpoint",
    ),
    ("two-owners", "int3-is-saved", "no_sigtrap"): (
        "register", "set_breakpoint", "unregister", "clear_breakpoint", "exec_int3", "handle",
    ),
    ("two-owners", "first-to-go-takes-it", "uprobe_is_armed"): ("set_breakpoint", "clear_breakpoint"),
    ("two-owners", "first-to-go-takes-it", "debugger_is_armed"): ("register", "unregister"),
    ("two-owners", "one-is-told", "every_owner_hears_of_a_hit"): ("exec_int3", "handle"),
    ("two-owners", "written-over", "uprobe_is_armed"): ("register", "patch"),
    ("two-owners", "copied-from-file", "the_programs_text_is_executed"): ("patch", "register", "exec_int3", "handle"),
    # no memory behind the handler: the same execution hits twice
    ("register-fails", "handler-before-slot", "one_hit_a_pass"): (
        "exec_int3", "handle", "allocate_in_vain", "exec_int3", "handle",
    ),
    ("register-fails", "rewritten-before-arming", "the_text_is_executed"): ("read_text", "rewrite", "arm", "step"),
    ("register-fails", "failure-not-undone", "nothing_is_left"): ("insert", "fail"),
    ("register-fails", "killed-not-closed", "nothing_is_left"): ("insert", "die", "close"),
    ("register-fails", "handler-removed-first", "no_sigtrap"): ("arm", "exec_int3", "unregister", "miss"),
    # created behind the list; on the boundary; in the detour; with a return address inside the site
    ("jump-suspended", "late-thread", "no_torn_instruction"): ("begin", "create", "move", "enter"),
    ("jump-suspended", "not-moved", "no_torn_instruction"): ("enter", "begin", "suspend", "move", "resume", "leave"),
    ("jump-suspended", "freed-at-once", "nobody_is_in_freed_code"): (
        "begin", "enter", "resume", "free", "call_original",
    ),
    ("jump-suspended", "returns-inside", "no_torn_instruction"): (
        "enter", "begin", "suspend", "move", "resume", "come_back", "leave",
    ),
    ("jump-suspended", "moved-to-the-beginning", "no_instruction_twice"): ("enter", "begin", "suspend", "move"),
    # seen in the slot; lost in the slot; the scratch register at the handler; the debugger's step
    ("step-signals", "signal-in-slot", "nobody_sees_the_slot"): ("hit", "get_slot", "handler_in_slot"),
    ("step-signals", "signal-in-slot", "no_deadlock"): ("handler_in_slot", "handler_jumps"),
    ("step-signals", "scratch-kept", "registers_are_the_programs"): ("hit", "get_slot", "cut_short"),
    ("step-signals", "slot-kept", "no_deadlock"): ("kill", "get_slot", "cut_short", "hit"),
    ("step-signals", "step-swallowed", "a_single_step_stops"): ("single_step", "hit", "get_slot", "step", "fixup"),
    ("step-signals", "stopped-in-slot", "nobody_sees_the_slot"): ("single_step", "hit", "get_slot", "step"),
}


@pytest.mark.parametrize(("race", "actions"), RACES.items(), ids=["-".join(race) for race in RACES])
def test_shortest_interleaving_tells_the_race(race: tuple[str, str, str], actions: tuple[str, ...]) -> None:
    name, variant, violated = race
    case = protocol(name).with_variant(variant)
    asked = tuple(prop for prop in case.properties if prop.name in (violated, DEADLOCK))
    verdict = explore(replace(case, properties=asked, expected=()), engine="python").verdict(violated)
    assert isinstance(verdict, Refuted) and verdict.trace is not None
    taken = iter(event.action.split(" ")[0] for event in verdict.trace.events)
    assert all(action in taken for action in actions), [event.action for event in verdict.trace.events]
