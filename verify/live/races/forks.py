"""Race scenarios of forks: fork, vfork, clone with shared memory, and exec, while threads step out of line.

Each row names the properties that predict its outcome; `steps` says what a steady prober is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from verify.live.races.program import RaceProgram
from verify.live.races.races import Check, Scenario, Stage, at_least, between, equal
from verify.live.races.steps import FEW, SITE, STEADY_HITS, claims

EXECUTED: Final = 64  # calls of the program that is executed by itself


def forking(stage: Stage, site: str, child_calls: Callable[[RaceProgram, int], None]) -> int:
    """The pid of a child whose threads call while it makes children, one after another."""

    def body(program: RaceProgram) -> None:
        board = program.board
        rows = program.threads(2, site)
        board.set("ready", 1)
        while not board.get("stop"):
            child_calls(program, 10)
        for row in rows:
            row.join()

    return stage.start(body)


def fork_and_call(program: RaceProgram, index: int, site: str = SITE) -> None:
    """The child's part: forks, calls the site a few times in the child, waits for it."""
    program.reap(program.forked(lambda: program.called(index, site, FEW)))


def forks_with_the_probe_set(stage: Stage) -> list[Check]:
    """The program forks while its threads step; each child has the breakpoint and calls."""
    with stage.probe(SITE):
        child = forking(stage, SITE, fork_and_call)
        stage.wait_for("ready")
        stage.comes_and_goes(SITE)
        stage.wait_for("children")
        stage.stop()
        ended = stage.ended(child)
    return [*children_checks(stage, ended), *_steady(stage, "child_is_probed")]


def children_checks(stage: Stage, ended: str) -> list[Check]:
    """What every scenario of forks compares: how the program and its children ended."""
    board = stage.board
    failed = board.get("failed")
    return [
        equal("no_sigtrap", "end of the program", "exit 0", ended),
        at_least("both_processes_step", "children", 1, board.get("children")),
        equal("no_fault_in_slot", "children that failed (number, last wait status)", "0, 0x0",
              f"{failed >> 16}, {failed & 0xFFFF:#x}"),
    ]  # fmt: skip


def _steady(stage: Stage, name: str) -> list[Check]:
    return [
        equal(name, STEADY_HITS, stage.board.total("calls"), stage.probes.hits(0)),
        equal("slot_is_owned", "wrong results", 0, stage.board.total("wrong")),
    ]


def forks_while_probes_come_and_go(stage: Stage) -> list[Check]:
    """The address space is copied at any moment of registering; a late child has clean text when nobody is left."""
    board = stage.board

    def kept(program: RaceProgram, index: int) -> None:
        if not board.get("pid"):
            board.set("pid", program.forked(lambda: program.called(11, SITE, 1 << 60)))
        fork_and_call(program, index)

    child = forking(stage, SITE, kept)
    stage.wait_for("pid")
    stage.comes_and_goes(SITE)
    stage.wait_for("children")
    text, copy = stage.text(child, SITE), stage.text(board.get("pid"), SITE)
    stage.stop()
    ended = stage.ended(child)
    original = stage.original_text(SITE)
    return [
        *children_checks(stage, ended),
        equal("no_int3_remains", "text of the program after unregistering", original, text),
        equal("no_int3_remains", "text of its child after unregistering", original, copy),
        equal("slot_is_owned", "wrong results", 0, board.total("wrong")),
    ]


def children_that_share_memory(stage: Stage, site: str = SITE) -> list[Check]:
    """vfork and clone(CLONE_VM): the child steps in the parent's slots, the parent of a vfork waits."""

    def both(program: RaceProgram, index: int) -> None:
        program.reap(program.vforked(index, site, FEW))
        program.reap(program.cloned(index + 1, site, FEW))

    with stage.probe(site):
        child = forking(stage, site, both)
        stage.wait_for("ready")
        stage.comes_and_goes(site)
        stage.wait_for("children")
        stage.stop()
        ended = stage.ended(child)
    children = stage.board.field(10, "calls")
    return [
        *children_checks(stage, ended),
        at_least("a_vfork_parent_goes_on", "calls of vfork children", FEW, children),
        *_steady(stage, "child_is_probed"),
    ]


def exec_of_probed_text(stage: Stage) -> list[Check]:
    """A process whose threads step executes the probed file: the new program has the breakpoint, and ends well."""

    def execute(program: RaceProgram) -> int:
        program.threads(2, SITE)
        time.sleep(0.001)
        os.execv(program.path, [program.path])

    def body(program: RaceProgram) -> None:
        program.board.set("ready", 1)
        while not program.board.get("stop"):
            program.reap(program.forked(lambda: execute(program)))

    with stage.probe(SITE):
        child = stage.start(body)
        stage.wait_for("ready")
        stage.comes_and_goes(SITE)
        stage.wait_for("children")
        stage.stop()
        ended = stage.ended(child)
    executed = stage.board.get("children")
    least = stage.board.total("calls") + EXECUTED * executed
    return [
        *children_checks(stage, ended),
        between("child_is_probed", "hits, and calls before and after exec", least, least + 2 * executed,
                stage.probes.hits(0)),
        equal("slot_is_owned", "wrong results", 0, stage.board.total("wrong")),
    ]  # fmt: skip


SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario("forks-with-the-probe-set",
             claims("xol-fork", "no_sigtrap", "both_processes_step", "no_fault_in_slot", "child_is_probed",
                     "slot_is_owned"),
             "the program forks while its threads step; each child calls", forks_with_the_probe_set),
    Scenario("forks-while-probes-come-and-go",
             claims("xol-fork", "no_sigtrap", "both_processes_step", "no_fault_in_slot", "no_int3_remains",
                     "slot_is_owned"),
             "the program forks at any moment of registering and unregistering", forks_while_probes_come_and_go),
    Scenario("children-that-share-memory",
             claims("xol-fork", "no_sigtrap", "both_processes_step", "no_fault_in_slot", "a_vfork_parent_goes_on",
                     "child_is_probed", "slot_is_owned"),
             "vfork and clone(CLONE_VM) while other threads step; each child calls", children_that_share_memory),
    Scenario("exec-of-probed-text",
             claims("xol-fork", "no_sigtrap", "both_processes_step", "no_fault_in_slot", "child_is_probed",
                     "slot_is_owned"),
             "processes whose threads step execute the probed file", exec_of_probed_text),
)  # fmt: skip
