"""Race scenarios of mappings: the probed page is unmapped, mapped again and moved while threads hit it.

Each row names the properties that predict its outcome. Two of them are refuted for this kernel's way (the variants of
xol-unmap): then what they forbid may be seen, and how often is said.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import replace
from typing import Final

from verify.live.races.code import SITES
from verify.live.races.program import ELSEWHERE, RaceProgram
from verify.live.races.races import Check, Claim, Scenario, Stage, at_least, between, equal
from verify.live.races.steps import FEW, SITE, THREADS, claims

PROTOCOL: Final = "xol-unmap"
MARK: Final = Claim(PROTOCOL, "no_sigtrap", "refuted", "mark-cleared-early")
PAGE_FIRST: Final = Claim(PROTOCOL, "mapped_text_is_probed", "refuted", "page-before-breakpoint")
COPY: Final = ELSEWHERE + (1 << 20)
PIECE: Final = 0.4  # seconds that one of several programs runs


def remapping(stage: Stage, copy: bool) -> int:
    """The pid of a child that unmaps and maps the page under its threads.

    `copy`: it has another one, probed too, all the time, and moves the first one as well.
    """

    def body(program: RaceProgram) -> None:
        program.handle(signal.SIGSEGV, "fault")
        if copy:
            program.map_page(SITES, COPY)
        rows = program.threads(THREADS, SITE)
        program.board.set("ready", 1)
        while not program.board.get("stop"):
            program.unmap_sites()
            program.map_page(SITES)
            time.sleep(0.001)
            if copy:
                program.move_sites()
                program.map_page(SITES)
                program.call(THREADS, SITE, FEW, ELSEWHERE)
                program.unmap_moved()
        for row in rows:
            row.join()

    return stage.start(body)


def text_unmapped_during_hits(stage: Stage) -> list[Check]:
    """Several programs, one after another: each ends well, or by the SIGTRAP of a cleared mark."""
    ends: Counter[str] = Counter()
    deadline = time.monotonic() + stage.seconds
    with stage.probe(SITE):
        while not ends or time.monotonic() < deadline:
            stage.board.set("stop", 0)
            stage.board.set("ready", 0)
            child = remapping(stage, copy=False)
            stage.wait_for("ready")
            time.sleep(PIECE)
            stage.stop()
            ends[stage.ended(child)] += 1
    seen = ", ".join(f"{end}: {number}" for end, number in sorted(ends.items()))
    foreseen = ends.keys() <= {"exit 0", "SIGTRAP"}
    trapped = Check("no_sigtrap", "ends of the programs", "exit 0 or SIGTRAP", seen, foreseen)
    return [replace(trapped, variant=MARK.variant), *_hits(stage, ends.total())]


def _hits(stage: Stage, programs: int) -> list[Check]:
    """Hits are at most the calls, and those that were not over; calls in the time of an mmap may be missed."""
    calls, faults, hits = stage.board.total("calls"), stage.board.total("faults"), stage.probes.hits(0)
    missed = f"hits; {faults:,} calls met no text, {max(0, calls - faults - hits):,} others were missed"
    most = calls + (THREADS + 1) * programs
    return [
        replace(between("mapped_text_is_probed", missed, 1, most, hits), variant=PAGE_FIRST.variant),
        equal("no_fault_in_slot", "wrong results", 0, stage.board.total("wrong")),
    ]


def text_unmapped_beside_a_copy(stage: Stage) -> list[Check]:
    """Another probed mapping of the page keeps the mark: nobody dies."""
    with stage.probe(SITE):
        child = remapping(stage, copy=True)
        stage.wait_for("ready")
        stage.comes_and_goes(SITE)
        text = stage.text(child, SITE)
        stage.stop()
        ended = stage.ended(child)
    return [
        equal("no_sigtrap", "end of the program", "exit 0", ended),
        *_hits(stage, 1),
        equal("only_probed_text_is_patched", "text behind the breakpoint", stage.original_text(SITE)[1:], text[1:]),
    ]


def text_mapped_then_called(stage: Stage) -> list[Check]:
    """One thread unmaps, maps, moves, and calls afterwards: every call is hit, at either place."""

    def body(program: RaceProgram) -> None:
        program.board.set("ready", 1)
        while not program.board.get("stop"):
            program.unmap_sites()
            program.map_page(SITES)
            program.called(0, SITE, FEW)
            program.move_sites()
            program.called(0, SITE, FEW, ELSEWHERE)
            program.map_page(SITES)
            program.called(0, SITE, FEW)
            program.unmap_moved()

    with stage.probe(SITE):
        child = stage.start(body)
        stage.wait_for("ready")
        found = stage.comes_and_goes(SITE, enough=lambda so_far: so_far.hits > 0)
        stage.stop()
        ended = stage.ended(child)
    return [
        equal("no_sigtrap", "end of the program", "exit 0", ended),
        equal("mapped_text_is_probed", "hits of the steady prober are the calls", stage.board.total("calls"),
              stage.probes.hits(0)),
        at_least("a_hit_ends", "hits of the other prober", 1, found.hits),
        equal("no_fault_in_slot", "wrong results", 0, stage.board.total("wrong")),
    ]  # fmt: skip


SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario("text-unmapped-during-hits",
             (*claims(PROTOCOL, "no_fault_in_slot"), MARK, PAGE_FIRST),
             "the probed page is unmapped and mapped again under running threads", text_unmapped_during_hits),
    Scenario("text-unmapped-beside-a-copy",
             (*claims(PROTOCOL, "no_sigtrap", "no_fault_in_slot", "only_probed_text_is_patched"), PAGE_FIRST),
             "the same, and moved, in a program that has another probed mapping", text_unmapped_beside_a_copy),
    Scenario("text-mapped-then-called",
             claims(PROTOCOL, "no_sigtrap", "mapped_text_is_probed", "a_hit_ends", "no_fault_in_slot"),
             "one thread unmaps, maps and moves the page, and calls when the system call is over",
             text_mapped_then_called),
)  # fmt: skip
