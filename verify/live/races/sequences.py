"""Race scenario of restartable sequences: threads of one processor count in one word, the probe inside the sequence.

Without the probe a sequence that is preempted is aborted, and no update is lost. That one is lost with the probe must
be seen, since the kernel is the variant `slot-outside` of `xol-rseq`; counted work bounds the wait for both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from verify.live.races.program import RaceProgram
from verify.live.races.races import Check, Claim, Lacking, Scenario, Stage, at_least, equal, rseq_offset

SITE: Final = "restartable"
PROTOCOL: Final = "xol-rseq"
THREADS: Final = 3
PIECE: Final = 0.3  # seconds of one program
MOST: Final = 40  # programs in which an update is lost, at the latest
IN_PLACE: Final = "refused"  # the variants: the instruction stays where it is
IN_SLOT: Final = "slot-outside"


def counting(stage: Stage) -> tuple[int, int]:
    """Updates that were lost, and sequences that were aborted, of threads that count on one processor for a while."""
    calls, datum, aborts = stage.board.total("calls"), stage.board.get("datum"), stage.board.total("faults")

    def body(program: RaceProgram) -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        rows = program.threads(THREADS, SITE)
        program.board.set("ready", 1)
        for row in rows:
            row.join()

    stage.board.set("stop", 0)
    stage.board.set("ready", 0)
    child = stage.start(body)
    stage.wait_for("ready")
    time.sleep(PIECE)
    stage.stop()
    if (end := stage.ended(child)) != "exit 0":
        raise RuntimeError(f"the program ended with {end}")
    made = stage.board.total("calls") - calls
    return made - (stage.board.get("datum") - datum), stage.board.total("faults") - aborts


def several(stage: Stage, enough: Callable[[int, int], bool]) -> tuple[int, int]:
    """The same of one program after another, for half of the scenario's time, and until it is enough or `MOST` ran."""
    lost = aborted = programs = 0
    until = time.monotonic() + stage.seconds / 2
    while programs == 0 or time.monotonic() < until or (not enough(lost, aborted) and programs < MOST):
        found = counting(stage)
        lost, aborted, programs = lost + found[0], aborted + found[1], programs + 1
    return lost, aborted


def preempted_in_a_sequence(stage: Stage) -> list[Check]:
    """First without a probe, then with one in the middle of the sequence."""
    if rseq_offset() is None:
        raise Lacking("a C library that registers restartable sequences (glibc 2.35)")
    lost, aborted = several(stage, lambda lost, aborted: aborted > 0)
    with stage.probe(SITE):
        probed, _ = several(stage, lambda lost, aborted: lost > 0)
    return [
        replace(equal("no_lost_update", "updates lost without the probe", 0, lost), variant=IN_PLACE),
        replace(at_least("a_sequence_is_aborted", "sequences aborted without the probe", 1, aborted), variant=IN_PLACE),
        replace(at_least("no_lost_update", "updates lost with the probe", 1, probed), variant=IN_SLOT),
        equal("one_on_the_processor", "wrong results", 0, stage.board.total("wrong")),
    ]


SCENARIOS: Final = (
    Scenario(
        "preempted-in-a-restartable-sequence",
        (
            Claim(PROTOCOL, "no_lost_update", "proved", IN_PLACE),
            Claim(PROTOCOL, "a_sequence_is_aborted", "proved", IN_PLACE),
            Claim(PROTOCOL, "no_lost_update", "refuted", IN_SLOT),
            Claim(PROTOCOL, "one_on_the_processor"),
        ),
        f"{THREADS} threads of one processor add to one word in a restartable sequence, without and with a probe in it",
        preempted_in_a_sequence,
    ),
)
