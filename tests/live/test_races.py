"""The running kernel does what the protocols predict of race scenarios; a wrong prediction or a lost hit is noticed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from verify.confirm.races import SCENARIOS, behind, lines
from verify.live.races import code, sequences
from verify.live.races.program import RaceProgram
from verify.live.races.races import Check, Claim, Scenario, Stage, equal, played, rseq_offset
from verify.live.races.sites import LOST
from verify.live.races.steps import SITE, STEADY_HITS, running

pytestmark = [
    pytest.mark.live,
    pytest.mark.needs("uprobes"),
]
SECONDS = 0.3


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_kernel_does_what_is_predicted(scenario: Scenario) -> None:
    outcome = played(scenario, SECONDS, seed=1)
    if outcome.reason:
        pytest.skip(outcome.reason)
    assert [check for check in outcome.checks if not check.agrees] == []
    assert len(list(lines(outcome))) == 1 + len(outcome.checks) > 2
    assert all(behind(scenario, check) for check in outcome.checks)
    assert {check.property for check in outcome.checks} == {claim.property for claim in scenario.claims}


def scenario_of(run) -> Scenario:
    return Scenario("seeded", (Claim("xol-step", "no_missed_hit"), Claim("xol-step", "no_sigtrap")), "", run)


def test_calls_made_while_nobody_is_registered_are_missed_hits() -> None:
    def late(stage: Stage) -> Sequence[Check]:
        child = running(stage, 1)
        stage.wait_for("ready")
        while not stage.board.total("calls"):
            time.sleep(0.001)
        with stage.probe(SITE):
            time.sleep(0.01)
            stage.stop()
            stage.ended(child)
        return [equal("no_missed_hit", STEADY_HITS, stage.board.total("calls"), stage.probes.hits(0))]

    outcome = played(scenario_of(late), SECONDS, seed=1)
    assert outcome.verdict == "disagrees" and outcome.calls > 0
    assert "DISAGREES" in "\n".join(lines(outcome))


def test_without_its_descriptor_a_sequence_is_not_aborted_and_updates_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    right = code._descriptor()
    monkeypatch.setattr(code, "_descriptor", lambda: right[:16] + bytes(8) + right[24:])  # of no length
    with Stage(SECONDS, 1) as stage:
        if rseq_offset() is None:
            pytest.skip("the C library registers no restartable sequences")
        assert any(sequences.counting(stage)[0] for _ in range(sequences.MOST))


def test_one_call_of_another_function_is_one_missed_hit() -> None:
    def skipping(stage: Stage) -> Sequence[Check]:
        def body(program: RaceProgram) -> None:
            program.call(0, SITE, 100)
            program.call(0, "emulated", 1)

        with stage.probe(SITE):
            ended = stage.ended(stage.start(body))
        return [
            equal("no_sigtrap", "end", "exit 0", ended),
            equal("no_missed_hit", STEADY_HITS, stage.board.total("calls"), stage.probes.hits(0)),
        ]

    found = played(scenario_of(skipping), SECONDS, seed=1).checks
    assert [(check.seen, check.agrees) for check in found] == [("exit 0", True), ("100", False)]


def test_a_round_with_too_few_hits_is_short() -> None:
    """The prober's counter is not the one that is read."""

    class Deaf(Stage):
        def probe(self, function: str, counter: int = 0, returning: bool = False):
            return super().probe(function, counter + 1, returning)

    with Deaf(SECONDS, 1) as stage:
        child = running(stage, 1)
        stage.wait_for("ready")
        found = stage.comes_and_goes(SITE, enough=lambda so_far: so_far.short > 0)  # on a busy machine not at once
        stage.stop()
        assert stage.ended(child) == "exit 0"
    assert found.hits == 0 and found.short > 0 and found.least > 0


def test_a_breakpoint_of_the_programs_own_is_a_sigtrap_and_no_result_is_wrong_unnoticed() -> None:
    with Stage(SECONDS, 1) as stage:
        path = Path(stage.path)
        text = bytearray(path.read_bytes())
        text[stage.site("emulated")] = 0xCC
        text[stage.site("nop5") :][:5] = b""
        text[stage.site("nop5")] = 0xF9  # stc: another instruction of one byte
        text[stage.site("stepped") + 3] = 0x37  # lea rdx, [rdi + rsi]
        path.write_bytes(bytes(text))
        assert stage.ended(stage.start(lambda program: program.call(0, "emulated", 1))) == "SIGTRAP"
        assert stage.ended(stage.start(lambda program: program.call(1, SITE, 5))) == "exit 0"
        assert stage.board.field(1, "wrong") > 0


def test_a_child_that_hangs_is_ended_with_the_stage() -> None:
    with Stage(SECONDS, 1) as stage:
        pid = stage.start(lambda program: time.sleep(60))
        assert stage.ended(pid, seconds=0.1) == "did not end"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_a_child_raises_is_told() -> None:
    def broken(program: RaceProgram) -> None:
        raise ValueError("the child's reason")

    with Stage(SECONDS, 1) as stage:
        assert "the child's reason" in stage.ended(stage.start(broken))
        assert stage.ended(stage.start(lambda program: os.kill(os.getpid(), signal.SIGBUS))) == "SIGBUS"


def test_a_scenario_that_breaks_off_disagrees() -> None:
    def stuck(stage: Stage) -> Sequence[Check]:
        stage.wait_for("ready", seconds=0.05)
        return []

    outcome = played(scenario_of(stuck), SECONDS, seed=1)
    assert outcome.verdict == "disagrees" and "did not get to ready" in outcome.checks[0].seen


def test_nothing_is_left_on_error() -> None:
    class Stopped(KeyboardInterrupt):
        pass

    with pytest.raises(Stopped), Stage(SECONDS, 1) as stage:
        pid, path = running(stage), stage.path
        with stage.probe(SITE):
            raise Stopped
    assert not Path(path).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_death_in_the_call_is_named_as_the_kernel_names_it() -> None:
    assert signal.SIGSEGV.name == LOST
