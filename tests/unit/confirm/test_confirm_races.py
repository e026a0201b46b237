"""Scenarios name properties that exist, with the verdict that their protocol declares; outcomes become verdicts."""

from __future__ import annotations

import dataclasses

import pytest

from verify.confirm import races
from verify.confirm.races import SCENARIOS, RacesResult, behind, check_claim, lines
from verify.confirm.results import Standing
from verify.live.races.code import BASE, FUNCTION_AT, SITE_AT, UNWINDING_ENTRIES, UNWINDING_RETURNS, image
from verify.live.races.program import Board
from verify.live.races.races import (
    Check,
    Claim,
    Rounds,
    Scenario,
    ScenarioOutcome,
    between,
    checked_rounds,
    equal,
    wait_status,
)

CLAIM = Claim("xol-step", "no_sigtrap")
SCENARIO = Scenario("named", (CLAIM, Claim("xol-unmap", "no_sigtrap", "refuted", "mark-cleared-early")), "what", list)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_claim_is_one_of_its_protocol(scenario: Scenario) -> None:
    for claim in scenario.claims:
        check_claim(claim)
    assert scenario.claims and scenario.what


def test_names_are_unique_and_cover_the_protocols() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS) >= 10
    covered = {claim.protocol for scenario in SCENARIOS for claim in scenario.claims}
    assert covered == {"xol-step", "xol-fork", "xol-unmap", "ref-count", "return-probe", "optimised-nop5",
                       "optimised-nop10", "xol-rseq"}  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (Claim("no-such", "no_sigtrap"), "no protocol 'no-such'"),
        (Claim("xol-step", "no_such_property"), "no property 'no_such_property'"),
        (Claim("xol-step", "no_sigtrap", "refuted"), "declares proved"),
        (Claim("xol-step", "no_sigtrap", variant="no-read-lock"), "declares refuted"),
        (Claim("xol-step", "no_sigtrap", variant="no-such"), "no variant"),
    ],
)
def test_a_wrong_claim_is_refused(claim: Claim, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_claim(claim)


def test_a_check_without_a_claim_is_refused() -> None:
    with pytest.raises(ValueError, match="no claim about 'slot_is_owned'"):
        behind(SCENARIO, Check("slot_is_owned", "", "", "", True))
    assert behind(SCENARIO, Check("no_sigtrap", "", "", "", True)) == "xol-step: no_sigtrap"
    by_variant = Check("no_sigtrap", "", "", "", True, "mark-cleared-early")
    assert behind(SCENARIO, by_variant) == "xol-unmap (mark-cleared-early): no_sigtrap is refuted"


def test_verdicts_of_outcomes() -> None:
    good, bad = equal("no_sigtrap", "end", "exit 0", "exit 0"), equal("no_sigtrap", "end", "exit 0", "SIGTRAP")
    assert ScenarioOutcome(SCENARIO, (good,), 1.0).verdict == "agrees"
    assert ScenarioOutcome(SCENARIO, (good, bad), 1.0).verdict == "disagrees"
    assert ScenarioOutcome(SCENARIO, (), 1.0).verdict == "disagrees"
    assert ScenarioOutcome(SCENARIO, (), 1.0, reason="x").verdict == "does not apply"
    assert ScenarioOutcome(SCENARIO, (), 1.0, reason="x", lacking=True).verdict == "not run"
    shown = "\n".join(lines(ScenarioOutcome(SCENARIO, (good, bad), 1.0)))
    assert shown.count("DISAGREES") == 1 and "predicted exit 0, seen SIGTRAP" in shown


def test_the_document_lists_what_disagrees() -> None:
    bad = ScenarioOutcome(SCENARIO, (equal("no_sigtrap", "hits", 2, 1),), 1.0, calls=7)
    other = ScenarioOutcome(dataclasses.replace(SCENARIO, name="other"), (), 1.0, reason="why")
    result = RacesResult(2, 3, [bad, other], 2.0)
    found, (said,) = result.document(), result.lines()
    assert found.disagree == ("named",) and found.does_not_apply == {"other": "why"} and found.not_run == {}
    assert found.rows[0].checks[0].agrees is False
    assert "1 disagree" in said and "7 calls" in said
    assert (result.standing, found.complete) == (Standing.DISAGREES, True)
    assert RacesResult(2, 3, [other]).document().complete is False


def test_claims_are_checked_before_anything_runs() -> None:
    wrong = Scenario("wrong", (Claim("xol-step", "no_sigtrap", "refuted"),), "", lambda stage: pytest.fail("was run"))
    with pytest.raises(ValueError, match="declares proved"):
        next(races.confirmed((wrong,), 1.0, 1))


def test_bounds_of_rounds() -> None:
    found = Rounds()
    for hits, least, most in ((5, 4, 6), (3, 4, 6), (7, 4, 6)):
        found.take(hits, least, most)
    assert (found.rounds, found.short, found.over, found.hits) == (3, 1, 1, 15)
    assert [check.agrees for check in checked_rounds("p", found)] == [False, False, True]
    assert [between("p", "", 1, 2, n).agrees for n in (0, 1, 2, 3)] == [False, True, True, False]


def test_wait_statuses() -> None:
    assert wait_status(0) == "exit 0" and wait_status(3 << 8) == "exit 3" and wait_status(5) == "SIGTRAP"


def test_the_file_is_an_elf_program_with_the_sites_where_they_are_said_to_be() -> None:
    text = image(0x1234)
    assert text[:4] == b"\x7fELF" and len(text) == 4 * 4096
    assert int.from_bytes(text[24:32], "little") >= BASE
    for name, site in (("nop5", "0f1f440000"), ("nop10", "662e0f1f840000000000"), ("emulated", "90"),
                       ("stepped", "488d143f"), ("relative", "480315")):  # fmt: skip
        assert text[SITE_AT[name] :].startswith(bytes.fromhex(site)), name
        assert text[FUNCTION_AT[name] :].startswith(bytes.fromhex("4889f9"))


def test_entries_and_returns_of_the_unwinding_function() -> None:
    """x mod 4 = 0 leaves at once, 1 calls x + 1 and both return, 2 returns, 3 calls x + 1, which leaves both."""
    assert UNWINDING_ENTRIES == (1, 1 + 1, 1, 1 + 1)
    assert UNWINDING_RETURNS == (0, 1 + 1, 1, 0)


def test_the_board_keeps_words_blocks_and_messages_apart() -> None:
    board = Board()
    board.set("rounds", 5)
    board.prepare(3, 0x1000, 7)
    board.leave_message("x" * 5000 + "end")
    assert board.get("rounds") == 5 and board.get("stop") == 0 and board.message().endswith("end")
    assert board.field(3, "limit") == 7 and board.field(3, "function") == 0x1000 and board.field(2, "limit") == 0
    with pytest.raises(ValueError, match="block"):
        board.block_address(1000)
    board.clear()
    assert board.get("rounds") == 0 and board.message() == ""
