"""Pairs of an original and a copy: what the manual says of both, one wrong byte at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command_line import run
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.external.relocation import Ends
from verify.report.relocations import RelocatedPair
from verify.survey.explanation import CPUS
from verify.survey.relocated import Pair, pair_of, pair_row

AT, SLOT = 0x401000, 0x402000
BOTH = CPUS["any"]


def back(copy: str, length: int, slot: int = SLOT) -> str:
    """The copy with a jump behind it to the instruction behind the original."""
    behind = slot + len(bytes.fromhex(copy)) + 5
    return copy + "e9" + ((AT + length - behind) % 2**32).to_bytes(4, "little").hex()


def row(original: str, copy: str, ends: Ends = Ends.JUMP, dropped: frozenset[str] = frozenset()) -> RelocatedPair:
    pair = Pair(bytes.fromhex(original), AT, bytes.fromhex(copy), SLOT, ends)
    return pair_row(pair, BOTH, ASSUMPTIONS - dropped)


RIGHT = {
    "a copy and a jump": ("4889d8", back("4889d8", 3)),
    "a displacement moved by the distance": ("488b0511223344", back("488b0511123344", 7)),
    "a jump": ("eb10", "e90df0ffff"),
    "a condition, both ways by jumps": ("7510", "7505e9fbefffffe906f0ffff"),
    "an inverted condition": ("7510", "7405e90bf0ffffe9f6efffff"),
    "an absolute jump by its own literal": ("90", "90ff25000000000110400000000000"),
    "an absolute jump over two bytes": ("90", "90ff25020000000f0b0110400000000000"),
    "a call as a push and a jump": ("e810000000", "6805104000e90bf0ffff"),
    "a register saved by a move": ("8b0511223344", back("8b0511123344", 6)),
    "a return": ("c3", "c3"),
    "a longer form of the same": ("83c001", back("81c001000000", 3)),
    "a jump to its own beginning": ("ebfe", "e9fbefffff"),
}
WRONG = {  # the observable that tells it, and the copy
    "the displacement is not moved": ("gprs", "488b0511223344", back("488b0511223344", 7)),
    "the displacement is moved the other way": ("gprs", "488b0511223344", back("488b0511323344", 7)),
    "the jump back is one byte short": ("next-ip", "4889d8", back("4889d8", 2)),
    "the jump back is missing": ("containment", "4889d8", "4889d8"),
    "the condition is not inverted": ("next-ip", "7510", "7505e90bf0ffffe9f6efffff"),
    "another condition": ("next-ip", "7510", "7605e9fbefffffe906f0ffff"),
    "the call's return address is the slot's": ("memory-values", "e810000000", "e80bf0ffff"),
    "a register is overwritten": ("gprs", "4889d8", back("4889d84831c9", 3)),
    "the flags are overwritten": ("flags", "4889d8", back("4889d84885c0", 3)),
    "another operand size": ("gprs", "4889d8", back("89d8", 3)),
    "another width in memory": ("memory-addresses", "488906", back("8906", 3)),
    "the value is stored twice": ("memory-addresses", "488906", back("488906488906", 3)),
    "another fault": ("fault", "0f0b", "cc"),
    "bytes that are no instruction": ("fault", "90", "06"),
    "a literal that is another's": ("next-ip", "90", "90ff25000000000210400000000000"),
    "the red zone is overwritten": ("memory-addresses", "4889d8", back("50584889d8", 3)),
    "it loops": ("containment", "4889d8", "9090ebfd"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_copy_that_does_the_same_is_proved(name: str) -> None:
    original, copy = RIGHT[name]
    found = row(original, copy)
    assert (found.verdict, found.reason) == ("proved", "")


@pytest.mark.parametrize("name", WRONG)
def test_a_fault_is_told_by_its_observable(name: str) -> None:
    observable, original, copy = WRONG[name]
    found = row(original, copy)
    assert found.verdict == "refuted" and observable in found.observables
    assert found.counterexample is not None and found.reason


def test_one_byte_changed_of_a_right_copy_is_never_proved() -> None:
    original, copy = RIGHT["a displacement moved by the distance"]
    for at in range(len(copy) // 2):
        data = bytearray.fromhex(copy)
        data[at] ^= 0x20
        assert row(original, data.hex()).verdict == "refuted", at


def test_a_host_that_comes_back_by_a_breakpoint_or_a_trap_moves_ip() -> None:
    for ends in (Ends.BREAKPOINT, Ends.TRAP):
        assert row("488b06", "488b06", ends).verdict == "proved"
        assert row("0f0b", "0f0b", ends).verdict == "proved"
        assert "next-ip" in row("eb10", "eb10", ends).observables
    assert row("488b06", "4889c0488b06", Ends.BREAKPOINT).verdict == "proved"
    assert row("488b06", "4889c0488b06", Ends.TRAP).verdict == "refuted"


def test_what_a_jump_hides_of_faults_and_traps_is_assumed() -> None:
    original, copy = "488b06", back("488b06", 3)
    assert row(original, copy).verdict == "proved"
    assert row(original, copy, dropped=frozenset({"no-fault-in-slot"})).observables == ("fault",)
    assert "containment" in row(original, copy, dropped=frozenset({"no-tf-in-slot"})).observables


def test_a_pair_of_addresses_says_nothing_of_others() -> None:
    original, copy = RIGHT["a displacement moved by the distance"]
    pair = Pair(bytes.fromhex(original), AT, bytes.fromhex(copy), SLOT + 1)
    assert pair_row(pair, BOTH, ASSUMPTIONS).verdict == "refuted"


def test_a_line_of_a_file() -> None:
    pair = pair_of('{"original": "90", "at": "0x401000", "copy": "90", "slot": 4202496, "ends": "trap"}', Ends.JUMP)
    assert pair == Pair(b"\x90", AT, b"\x90", 0x402000, Ends.TRAP)
    for wrong, said in (
        ('{"original": "9", "at": 1, "copy": "90", "slot": 2}', "hex digits"),
        ('{"original": "90", "at": "x", "copy": "90", "slot": 2}', "an address is a number"),
        ('{"original": "90", "at": 1, "copy": "zz", "slot": 2}', "is not hex"),
        ('{"original": "90", "at": 1, "copy": "", "slot": 2}', "a copy has 1 to"),
        ('{"original": "90", "at": 1, "copy": "90", "slot": -2}', "64 bits"),
        ('{"original": "90", "at": 1, "copy": "90", "slot": 2, "ends": "never"}', "ends is"),
        ("90", "PairRecord"),
    ):
        with pytest.raises(ValueError, match=said):
            pair_of(wrong, Ends.JUMP)


def test_the_command(tmp_path: Path) -> None:
    original, copy = RIGHT["a jump"]
    given = ("--original", original, "--at", hex(AT), "--slot", hex(SLOT))
    assert run("relocated", *given, "--copy", copy) == (0, f"{original} at {AT:#x}, copy {copy} at {SLOT:#x}: proved\n")
    assert run("relocated", *given, "--copy", "eb10", "--check")[0] == 1
    assert run("relocated", "--original", "9090", *given[2:], "--copy", "90")[1].count("ends after 1 of 2") == 1
    file = tmp_path / "pairs.jsonl"
    line = {"original": original, "at": AT, "copy": copy, "slot": SLOT}
    file.write_text(json.dumps(line) + "\n\n" + json.dumps(line | {"copy": "06"}) + "\nnone\n", encoding="utf-8")
    status, said = run("relocated", str(file), "--format", "json")
    assert status == 64 and "line 4" in said
    rows = [json.loads(text) for text in said.splitlines() if text.startswith("{")]
    assert [r["verdict"] for r in rows] == ["proved", "refuted"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--at", "1"), "--original, --copy, --slot not given"),
        (("--original", "90", "--at", "q", "--copy", "90", "--slot", "1"), "'q'"),
        ((__file__, "--at", "1"), "a file of pairs has"),
    ],
)
def test_wrong_usage_names_what_is_wrong(arguments: tuple[str, ...], said: str) -> None:
    status, text = run("relocated", *arguments)
    assert status == 64 and said in text
