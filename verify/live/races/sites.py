"""Race scenarios of several probers, of return probes, and of optimised sites (a call in the place of a nop).

Each row names the properties that predict its outcome.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from verify.live.races.code import UNWINDING_ENTRIES, UNWINDING_RETURNS
from verify.live.races.forks import children_that_share_memory, fork_and_call, forking
from verify.live.races.program import RaceProgram
from verify.live.races.races import (
    MOST_ROUNDS,
    STEADY,
    Check,
    Claim,
    DoesNotApply,
    Scenario,
    Stage,
    at_least,
    checked_rounds,
    equal,
    wait_status,
)
from verify.live.races.steps import (
    FEW,
    SITE,
    STEADY_HITS,
    THREADS,
    claims,
    running,
    signals_during_steps,
    threads_come_and_go,
)
from verify.live.uprobe_counters import PerfCounter

CALL: Final = 0xE8
INT3: Final = b"\xcc"
NOT_INHERITED: Final = "trampoline-not-inherited"
CALL_AT: Final = {"nop5": 0, "nop10": 5}  # where the call stands in an optimised site
LENGTH: Final = {"nop5": 5, "nop10": 10}
WARM: Final = 200  # calls after which a site has been optimised, if ever
CHILDREN: Final = 5
LOST: Final = "SIGSEGV"


def several_probers(stage: Stage) -> list[Check]:
    """Three probers come and go at one site where a fourth, and a perf event, stay."""
    child = running(stage)
    stage.wait_for("ready")
    rounds: list[int] = []

    def prober(counter: int) -> None:
        until = time.monotonic() + stage.seconds
        while time.monotonic() < until or not stage.probes.hits(counter):
            with stage.probe(SITE, counter):
                stage.pause()
            rounds.append(counter)
            if rounds.count(counter) > MOST_ROUNDS:
                return

    stage.board.set("stop", 1)
    ended = stage.ended(child)
    stage.board.set("stop", 0)
    uncounted = stage.board.total("calls")
    with stage.probe(SITE), PerfCounter(stage.path, stage.site(SITE)) as events:
        child = running(stage)
        threads = [threading.Thread(target=prober, args=(i,)) for i in range(1, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stage.stop()
        ended = f"{ended}, {stage.ended(child)}"
        counted = events.count()
    calls = stage.board.total("calls") - uncounted
    return [
        equal("no_sigtrap", "ends of the programs, unprobed and probed", "exit 0, exit 0", ended),
        equal("registered_is_armed", STEADY_HITS, calls, stage.probes.hits(STEADY)),
        equal("registered_is_armed", "counts of the steady perf event are the calls", calls, counted),
        at_least("no_use_after_free", "rounds of the three others", 3, len(rounds)),
        at_least("registered_is_armed", "hits of the three others", 1, sum(map(stage.probes.hits, (1, 2, 3)))),
        equal("no_use_after_free", "wrong results", 0, stage.board.total("wrong")),
        *_nothing_remains(stage),
    ]


def _nothing_remains(stage: Stage) -> list[Check]:
    """A program that maps the file when all probers are gone has clean text and is not counted."""
    before = stage.probes.hits(STEADY)
    stage.board.set("stop", 0)
    child = running(stage)
    time.sleep(0.01)
    text = stage.text(child, SITE)
    stage.stop()
    stage.ended(child)
    return [
        equal("no_int3_remains", "text after the last has gone", stage.original_text(SITE), text),
        equal("no_object_remains", "hits after the last has gone", 0, stage.probes.hits(STEADY) - before),
    ]


# --- return probes ----------------------------------------------------------------------------------------------------
def frames_left_by_longjmp(stage: Stage) -> list[Check]:
    """Frames are left by return and by longjmp, nested and not; a second return prober comes and goes."""
    child = 0
    with stage.probe("unwinding"), stage.probe("unwinding", 2, returning=True):
        child = running(stage, site="unwinding")
        stage.wait_for("ready")
        until, rounds = time.monotonic() + stage.seconds, 0
        while time.monotonic() < until or not rounds:
            with stage.probe("unwinding", 3, returning=True):
                stage.pause()
            rounds += 1
        stage.stop()
        ended = stage.ended(child)
    entries, returns = (_per_call(stage, row) for row in (UNWINDING_ENTRIES, UNWINDING_RETURNS))
    return [
        equal("no_return_is_lost", "end of the program", "exit 0", ended),
        equal("no_return_goes_astray", "wrong results", 0, stage.board.total("wrong")),
        equal("hijacked_frame_has_instance", "entries counted", entries, stage.probes.hits(STEADY)),
        equal("no_return_is_lost", "returns counted, of frames that were not left by longjmp", returns,
              stage.probes.hits(2)),
        at_least("dead_instance_remains", "frames left by longjmp", 1, entries - returns),
    ]  # fmt: skip


def _per_call(stage: Stage, per_four: Sequence[int]) -> int:
    """The sum of a row of four over the arguments 0, 1, 2, ... of each thread."""
    return sum(calls // 4 * sum(per_four) + sum(per_four[: calls % 4]) for calls in stage.board.calls())


def unregistered_with_frames_outstanding(stage: Stage) -> list[Check]:
    """Functions are called, the return probe goes, then they return."""
    board, wanted = stage.board, 0
    until = time.monotonic() + stage.seconds

    def body(program: RaceProgram) -> None:
        while not board.get("stop"):
            for row in program.threads(THREADS, "waiting", 1):
                row.join()
            board.set("released", 0)
            board.add("rounds")

    child = stage.start(body)
    while not wanted or time.monotonic() < until:
        wanted += 1
        with stage.probe("waiting", 2, returning=True):
            stage.wait_for("entered", THREADS * (2 * wanted - 1))
        board.set("released", 1)  # those from before or during the registration
        stage.wait_for("rounds", 2 * wanted - 1)
        stage.wait_for("entered", THREADS * 2 * wanted)
        board.set("released", 1)
        stage.wait_for("rounds", 2 * wanted)
    stage.stop()
    board.set("released", 1)
    ended = stage.ended(child)
    return [
        equal("no_return_is_lost", "end of the program", "exit 0", ended),
        equal("no_return_goes_astray", f"wrong results in {wanted} registrations", 0, board.total("wrong")),
        equal("no_return_is_lost", "returns counted after unregistering", 0, stage.probes.hits(2)),
        at_least("outstanding_frame_after_unregister", "frames outstanding", THREADS, THREADS * wanted),
    ]


# --- optimised sites --------------------------------------------------------------------------------------------------
def _optimised(stage: Stage, pid: int, site: str) -> bool:
    """Whether a process has a call at the site."""
    return stage.text(pid, site)[CALL_AT[site]] == CALL


def optimised_sites_come_and_go(site: str, stage: Stage) -> list[Check]:
    """Threads call a nop that is optimised and goes back; then again beside a steady prober."""
    child = running(stage, site=site)
    stage.wait_for("ready")
    _require_optimising(stage, child, site)
    found = stage.comes_and_goes(site, until=time.monotonic() + stage.seconds / 2)
    text = stage.text(child, site)
    stage.stop()
    ended = stage.ended(child)
    stage.board.set("stop", 0)
    before, hits = stage.board.total("calls"), stage.probes.hits(STEADY)
    with stage.probe(site):
        child = running(stage, site=site)
        stage.comes_and_goes(site, 2, time.monotonic() + stage.seconds / 2)
        optimised = _optimised(stage, child, site)
        stage.stop()
        ended = f"{ended}, {stage.ended(child)}"
    calls = stage.board.total("calls") - before
    return [
        equal("no_sigtrap", "ends of the programs", "exit 0, exit 0", ended),
        *checked_rounds("no_missed_hit", found),
        equal("no_missed_hit", STEADY_HITS, calls, stage.probes.hits(STEADY) - hits),
        equal("optimising_ends", "the site has a call", True, optimised),
        equal("no_torn_instruction", "wrong results", 0, stage.board.total("wrong")),
        equal(REMAINS[site], "text after unregistering, as far as it is executed", _executed(stage, site),
              text[: len(_executed(stage, site))]),
    ]  # fmt: skip


REMAINS: Final = {"nop5": "no_call_remains", "nop10": "no_probe_remains"}


def _executed(stage: Stage, site: str) -> bytes:
    """The first five bytes of the site's nop: a ten-byte one keeps the call behind them."""
    return stage.original_text(site, 5)


def _require_optimising(stage: Stage, child: int, site: str) -> None:
    """Raises DoesNotApply where the kernel leaves the breakpoint in a nop of this length."""
    try:
        with stage.probe(site, 3):
            time.sleep(0.05)
            reason = "" if _optimised(stage, child, site) else "is not optimised by this kernel"
    except OSError as error:
        reason = f"is refused by this kernel ({error.strerror}, errno {error.errno})"
    if reason:
        raise DoesNotApply(f"a probe on {stage.original_text(site, LENGTH[site]).hex(' ')} {reason}")


def fork_of_an_optimised_site(site: str, stage: Stage) -> list[Check]:
    """The program forks when its site has a call: each child executes it; one waits until the probe is gone."""

    def body(program: RaceProgram) -> None:
        program.call(0, site, WARM)
        program.board.set("ready", 1)
        while not program.board.get("entered"):
            time.sleep(0.001)
        for _ in range(CHILDREN):
            program.reap(program.forked(lambda: program.called(1, site, FEW)))
        program.call(0, site, WARM)
        program.board.set("pid", waits := program.forked(lambda: waiting(program)))
        program.reap(waits)

    def waiting(program: RaceProgram) -> int:
        while not program.board.get("released"):
            time.sleep(0.001)
        return program.called(2, site, FEW)

    with stage.probe(site):
        child = stage.start(body)
        stage.wait_for("ready")
        if not _optimised(stage, child, site):
            text = stage.original_text(site, LENGTH[site]).hex(" ")
            raise DoesNotApply(f"a probe on {text} is refused or not optimised by this kernel")
        stage.board.set("entered", 1)
        stage.wait_for("pid")
        died, hits = _failed(stage), stage.probes.hits(STEADY) - stage.board.field(1, "calls")
    left = _left_in_child(stage, site, child) if site == "nop5" else []
    stage.board.set("released", 1)
    ended = stage.ended(child)
    return [
        equal("no_sigtrap", "end of the parent", "exit 0", ended),
        equal("no_torn_instruction", "wrong results", 0, stage.board.total("wrong")),
        equal("no_missed_hit", "hits of the parent are its calls", 2 * WARM, hits),
        _of_variant(equal("no_call_into_nothing", f"children of {CHILDREN} that died in the call, and of what",
                          f"{CHILDREN}, {LOST}", died)),
        *left,
    ]  # fmt: skip


def _left_in_child(stage: Stage, site: str, parent: int) -> list[Check]:
    """Text of a child that inherited the call: after unregistering, and after another round."""
    child = stage.board.get("pid")
    original, call = stage.original_text(site, 5), stage.text(child, site)[:5]
    with stage.probe(site, 2):
        again = stage.text(child, site)[:5]
    torn = stage.text(child, site)[:5]
    return [
        equal(REMAINS[site], "text of the parent after unregistering", original, stage.text(parent, site)[:5]),
        _of_variant(equal(REMAINS[site], "first byte of a child that inherited the call, after unregistering",
                          bytes((CALL,)), call[:1])),
        _of_variant(equal("no_torn_instruction", "its text, registered again", INT3 + call[1:], again)),
        _of_variant(equal("no_torn_instruction", "its text, unregistered again: nop, and call behind",
                          original[:1] + call[1:], torn)),
    ]  # fmt: skip


def _of_variant(check: Check) -> Check:
    return replace(check, variant=NOT_INHERITED)


def forks_while_an_optimised_site_comes_and_goes(site: str, stage: Stage) -> list[Check]:
    """The program forks at any moment of optimising and going back; a child with the call dies, any other is well."""
    child = forking(stage, site, partial(fork_and_call, site=site))
    stage.wait_for("ready")
    _require_optimising(stage, child, site)
    found = stage.comes_and_goes(site, enough=lambda so_far: stage.board.get("lost") > 0)
    text = stage.text(child, site)
    stage.stop()
    ended = stage.ended(child)
    lost, failed = stage.board.get("lost"), stage.board.get("failed") >> 16
    return [
        equal("no_sigtrap", "end of the parent", "exit 0", ended),
        at_least("no_missed_hit", "registrations", 1, found.rounds),
        equal("no_sigtrap", f"children of {stage.board.get('children'):,} that failed, but not in the call", 0,
              failed - lost),
        _of_variant(at_least("no_call_into_nothing", f"children that died in the call ({LOST})", 1, lost)),
        equal("no_torn_instruction", "wrong results", 0, stage.board.total("wrong")),
        equal(REMAINS[site], "text after unregistering", stage.original_text(site, 5), text[:5]),
    ]  # fmt: skip


RENAMED: Final = {
    # property of the stepped probe's protocols: what stands for it where the site is a call to a trampoline
    "signal_is_deferred": "a_hit_ends", "signal_handler_owns_no_slot": "a_hit_ends",
    "slot_is_owned": "no_torn_instruction", "a_waiting_thread_gets_a_slot": "a_hit_ends",
    "child_is_probed": "no_missed_hit", "both_processes_step": "a_hit_ends", "a_vfork_parent_goes_on": "a_hit_ends",
    "no_fault_in_slot": "no_call_into_nothing",
}  # fmt: skip


def at_optimised_site(run: Callable[[Stage, str], list[Check]], site: str, stage: Stage) -> list[Check]:
    """A scenario of stepped probes at a site that becomes a call."""
    probe = running(stage, 1, site)
    stage.wait_for("ready")
    _require_optimising(stage, probe, site)
    stage.stop()
    stage.ended(probe)
    stage.board.clear()
    found = run(stage, site)
    return [replace(check, property=RENAMED.get(check.property, check.property)) for check in found]


def _failed(stage: Stage) -> str:
    """Number of children that failed, and how the last of them ended."""
    failed = stage.board.get("failed")
    return f"{failed >> 16}, {wait_status(failed & 0xFFFF)}" if failed else "0"


def _fork_claims(site: str, *names: str) -> tuple[Claim, ...]:
    protocol = f"optimised-{site}"
    lost = ("no_call_into_nothing", *(("no_call_remains", "no_torn_instruction") if site == "nop5" else ()))
    return (*claims(protocol, *names), *(Claim(protocol, name, "refuted", NOT_INHERITED) for name in lost))


SCENARIOS: Final[tuple[Scenario, ...]] = (
    Scenario("several-probers-come-and-go",
             claims("ref-count", "no_sigtrap", "registered_is_armed", "no_use_after_free", "no_int3_remains",
                     "no_object_remains"),
             "three probers register and unregister where one and a perf event stay", several_probers),
    Scenario("frames-left-by-longjmp",
             claims("return-probe", "no_return_is_lost", "no_return_goes_astray", "hijacked_frame_has_instance",
                     "dead_instance_remains"),
             "nested frames with return probes end by return or by longjmp", frames_left_by_longjmp),
    Scenario("unregistered-with-frames-outstanding",
             claims("return-probe", "no_return_is_lost", "no_return_goes_astray",
                     "outstanding_frame_after_unregister"),
             "a return probe is removed while threads are in the function", unregistered_with_frames_outstanding),
    *(Scenario(f"optimised-{site}-comes-and-goes",
               claims(f"optimised-{site}", "no_sigtrap", "no_missed_hit", "optimising_ends", "no_torn_instruction",
                       REMAINS[site]),
               f"threads call a {site} that becomes a call and goes back", partial(optimised_sites_come_and_go, site))
      for site in CALL_AT),
    *(Scenario(f"fork-of-an-optimised-{site}",
               _fork_claims(site, "no_sigtrap", "no_torn_instruction", "no_missed_hit", REMAINS[site]),
               "the program forks when its site has a call; each child executes it",
               partial(fork_of_an_optimised_site, site))
      for site in CALL_AT),
    *(Scenario(f"forks-while-an-optimised-{site}-comes-and-goes",
               _fork_claims(site, "no_sigtrap", "no_torn_instruction", "no_missed_hit", REMAINS[site]),
               "the program forks at any moment of optimising and going back",
               partial(forks_while_an_optimised_site_comes_and_goes, site))
      for site in CALL_AT),
    *(Scenario(f"{name}-at-an-optimised-{site}",
               claims(f"optimised-{site}", "no_sigtrap", "no_torn_instruction", "no_missed_hit", "a_hit_ends", *more),
               f"{what}, where the site is a call", partial(at_optimised_site, run, site))
      for site in CALL_AT
      for name, what, run, more in (
          ("signals", "queued signals, whose handler calls the site too", signals_during_steps, ()),
          ("threads-come-and-go", "threads call and exit", threads_come_and_go, ()),
          ("children-that-share-memory", "vfork and clone(CLONE_VM)", children_that_share_memory,
           ("no_call_into_nothing",)))),
)  # fmt: skip
