"""Race scenarios of probes that are stepped out of line: threads and signals.

Each row names the properties that predict its outcome. "Steady" is a prober that is registered all the time: its hits
must be the calls, exactly. Another prober comes and goes meanwhile.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Final

from verify.live.races.code import BASE, FUNCTION_AT
from verify.live.races.program import COUNTED_SIGNAL, RaceProgram
from verify.live.races.races import (
    GRACE,
    Check,
    Claim,
    Lacking,
    Scenario,
    Stage,
    at_least,
    between,
    checked_rounds,
    equal,
)

SITE: Final = "stepped"
THREADS: Final = 3
MANY: Final = 40  # threads
SLOTS: Final = 31  # one page of 128-byte slots, the first of which is the return probes' (Linux 6.18, uprobes.c)
FEW: Final = 50  # calls of a child
STEADY_HITS: Final = "hits of the steady prober are the calls"


def running(stage: Stage, count: int = THREADS, site: str = SITE) -> int:
    """The pid of a child whose threads call until they are stopped."""

    def body(program: RaceProgram) -> None:
        rows = program.threads(count, site)
        program.board.set("ready", 1)
        for row in rows:
            row.join()

    return stage.start(body)


def probers_come_and_go(stage: Stage, site: str = SITE, name: str = "no_missed_hit") -> list[Check]:
    """Threads call while one prober registers and unregisters."""
    child = running(stage, site=site)
    stage.wait_for("ready")
    found = stage.comes_and_goes(site)
    text = stage.text(child, site)
    stage.stop()
    return [
        equal("no_sigtrap", "end of the program", "exit 0", stage.ended(child)),
        *checked_rounds(name, found),
        equal("no_slot_is_shared", "wrong results", 0, stage.board.total("wrong")),
        equal("no_int3_remains", "text after unregistering", stage.original_text(site), text),
    ]


def more_threads_than_slots(stage: Stage) -> list[Check]:
    """Threads stay in their slots, waiting for a page, until there are none left; all get through in the end."""

    def body(program: RaceProgram) -> None:
        try:
            program.hold()
        except OSError as error:
            program.board.set("errno", error.errno or 1)
            return
        rows = program.threads(MANY, "held", 1)
        program.board.set("ready", 1)
        while not program.board.get("stop"):
            time.sleep(0.001)
        program.board.set("stop", 0)
        program.release()
        for row in rows:
            row.join()

    with stage.probe("held"):
        child = stage.start(body)
        while not stage.board.get("ready"):
            if number := stage.board.get("errno"):
                raise Lacking(f"userfaultfd: {os.strerror(number)}")
            time.sleep(0.001)
        waiting = _waiting(stage, child)
        stage.stop()
        ended = stage.ended(child)
    calls, name = stage.board.total("calls"), "a_waiting_thread_gets_a_slot"
    return [
        equal("no_slot_is_shared", f"threads of {MANY} that wait for one of {SLOTS} slots", MANY - SLOTS, waiting),
        equal("no_sigtrap", "end of the program", "exit 0", ended),
        equal(name, f"threads of {MANY} that got through", MANY, calls),
        equal("no_missed_hit", STEADY_HITS, calls, stage.probes.hits(0)),
        equal("slot_is_owned", "wrong results", 0, stage.board.total("wrong")),
    ]


def _waiting(stage: Stage, child: int) -> int:
    """Threads that sleep in the kernel's slot allocation, when the others sleep in their slots or time is over."""
    deadline = time.monotonic() + max(stage.seconds, GRACE / 4)
    while True:
        places = [(task / "wchan").read_text() for task in Path(f"/proc/{child}/task").iterdir()]
        in_slot = places.count("handle_userfault")
        waiting = sum("xol" in place or "uprobe" in place for place in places)
        if in_slot + waiting >= MANY or time.monotonic() > deadline:
            return waiting
        time.sleep(0.005)


def signals_during_steps(stage: Stage, site: str = SITE) -> list[Check]:
    """Queued signals arrive all the time; the handler calls the probed function too."""
    board = stage.board
    board.set("handler", BASE + FUNCTION_AT[site])

    def body(program: RaceProgram) -> None:
        program.handle(COUNTED_SIGNAL, "counted")
        rows = program.threads(THREADS, site)
        board.set("ready", 1)
        for row in rows:
            row.join()
        deadline = time.monotonic() + GRACE / 2  # the last of them are still queued
        while board.get("handled") < board.get("rounds") and time.monotonic() < deadline:
            time.sleep(0.001)

    with stage.probe(site):
        child = stage.start(body)
        stage.wait_for("ready")
        sent = _signals(stage, child)
        board.set("rounds", sent)
        stage.stop()
        ended = stage.ended(child)
    calls, handled = board.total("calls"), board.get("handled")
    return [
        equal("no_sigtrap", "end of the program", "exit 0", ended),
        at_least("signal_is_deferred", "signals sent", 1, sent),
        equal("signal_handler_owns_no_slot", "signals handled, of those sent", sent, handled),
        equal("no_missed_hit", "hits are calls and calls by handlers", calls + handled, stage.probes.hits(0)),
        equal("slot_is_owned", "wrong results", 0, board.total("wrong") + board.get("handler_wrong")),
    ]


def _signals(stage: Stage, child: int) -> int:
    """Signals sent to the child for the scenario's time; a queue that is full is not counted."""
    sent, deadline = 0, time.monotonic() + stage.seconds
    while not sent or time.monotonic() < deadline:
        try:
            os.kill(child, COUNTED_SIGNAL)
            sent += 1
        except BlockingIOError:
            pass
        time.sleep(0.0001)
    return sent


def fatal_signals_during_steps(stage: Stage) -> list[Check]:
    """Processes are killed while their threads step; one that is not goes on."""
    killed: list[str] = []
    board, deadline = stage.board, time.monotonic() + stage.seconds
    with stage.probe(SITE):
        while not killed or time.monotonic() < deadline:
            board.set("ready", 0)
            child = running(stage)
            stage.wait_for("ready")
            stage.pause()
            os.kill(child, signal.SIGKILL)
            killed.append(stage.ended(child))
        survivor = stage.start(lambda program: program.call(THREADS, SITE, FEW))
        ended = stage.ended(survivor)
    calls = board.total("calls")
    return [
        equal("no_sigtrap", f"ends of {len(killed)} killed programs", "SIGKILL", " ".join(sorted(set(killed)))),
        equal("no_sigtrap", "end of the next program", "exit 0", ended),
        between("no_missed_hit", "hits, and calls that were over", calls, calls + THREADS * len(killed),
                stage.probes.hits(0)),
        equal("slot_is_owned", "wrong results", 0, board.total("wrong")),
    ]  # fmt: skip


def threads_come_and_go(stage: Stage, site: str = SITE) -> list[Check]:
    """Threads are born, call a little and exit, while a prober comes and goes beside the steady one."""

    def body(program: RaceProgram) -> None:
        board = program.board
        board.set("ready", 1)
        while not board.get("stop"):
            for row in program.threads(THREADS, site, FEW):
                row.join()
            board.add("rounds")

    with stage.probe(site):
        child = stage.start(body)
        stage.wait_for("ready")
        found = stage.comes_and_goes(site, enough=lambda so_far: so_far.hits > 0)
        stage.wait_for("rounds")
        stage.stop()
        ended = stage.ended(child)
    board = stage.board
    return [
        equal("no_sigtrap", "end of the program", "exit 0", ended),
        equal("no_missed_hit", STEADY_HITS, board.total("calls"), stage.probes.hits(0)),
        at_least("no_missed_hit", "hits of the other in its registrations", 1, found.hits),
        equal("slot_is_owned", "wrong results", 0, board.total("wrong")),
        at_least("a_waiting_thread_gets_a_slot", "threads that ended", THREADS, THREADS * board.get("rounds")),
    ]


def claims(protocol: str, *names: str) -> tuple[Claim, ...]:
    """That these properties of a protocol are proved."""
    return tuple(Claim(protocol, name) for name in names)


SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario("threads-hit-while-probes-come-and-go",
             (*claims("xol-step", "no_sigtrap", "no_missed_hit", "no_slot_is_shared"),
              *claims("ref-count", "no_int3_remains")),
             "three threads call; one prober registers and unregisters", probers_come_and_go),
    *(Scenario(f"threads-hit-{'an' if site == 'emulated' else 'a'}-{site}-site",
               (*claims("xol-step", "no_sigtrap", "no_missed_hit", "no_slot_is_shared"),
                *claims("ref-count", "no_int3_remains")),
               f"the same at {what}", partial(probers_come_and_go, site=site))
      for site, what in (("emulated", "an instruction that the kernel emulates"),
                         ("relative", "a rip-relative instruction, which needs a scratch register"))),
    Scenario("more-threads-than-slots",
             claims("xol-step", "no_sigtrap", "a_waiting_thread_gets_a_slot", "no_missed_hit", "no_slot_is_shared",
                     "slot_is_owned"),
             "forty threads call one stepped site and stay in the 31 slots of one page", more_threads_than_slots),
    Scenario("signals-during-steps",
             claims("xol-step", "no_sigtrap", "signal_is_deferred", "signal_handler_owns_no_slot", "no_missed_hit",
                     "slot_is_owned"),
             "queued signals to stepping threads; the handler calls the site", signals_during_steps),
    Scenario("fatal-signals-during-steps", claims("xol-step", "no_sigtrap", "no_missed_hit", "slot_is_owned"),
             "SIGKILL to programs whose threads step", fatal_signals_during_steps),
    Scenario("threads-come-and-go",
             claims("xol-step", "no_sigtrap", "no_missed_hit", "slot_is_owned", "a_waiting_thread_gets_a_slot"),
             "threads call and exit; one prober steady, one registers and unregisters", threads_come_and_go),
)  # fmt: skip
