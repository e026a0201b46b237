"""Plans of the long-term kernels against uprobes.c and insn.c of Linux 5.15.167, 6.1.192, 6.6.63 and 6.12.117."""

from __future__ import annotations

from pathlib import Path

import pytest

from verify.models.schemes.linux import uprobes_6_18
from verify.models.schemes.linux.decoder_32 import decoded_in_32_bits
from verify.models.schemes.linux.uprobes_lts import SCHEMES, Release
from verify.models.schemes.program import Program
from verify.models.schemes.program_text import text as canonical
from verify.models.schemes.scheme import Plan, Refuse

LENGTHS = Path(__file__).parent / "data" / "linux_lts_lengths.tsv"
BY_NAME = {s.name.removeprefix("linux-uprobes-"): s for s in SCHEMES}
ALL = list(BY_NAME)


def planned(version: str, text: str) -> Plan:
    return BY_NAME[version].plan(bytes.fromhex(text).ljust(16, b"\x90"))


def emulated(found: Plan) -> bool:
    return isinstance(found, Program) and "run " not in canonical(found)


def stepped(found: Plan) -> bool:
    return isinstance(found, Program) and "run " in canonical(found) and found.later is None


def release(version: str) -> Release:
    found = BY_NAME[version].plan.__self__  # type: ignore[attr-defined]
    assert isinstance(found, Release)
    return found


@pytest.mark.parametrize(("version", "column"), [("5.15", 1), ("6.6", 3), ("6.1", 3)])
def test_lengths_are_those_of_the_release(version: str, column: int) -> None:
    rows = [line.split("\t") for line in LENGTHS.read_text().splitlines() if not line.startswith("#")]
    own, wrong = release(version), []
    for row in rows:
        data = bytes.fromhex(row[0]) + bytes(16)
        found = own.decoder.decode(data), decoded_in_32_bits(data, own.attributes, own.features)
        lengths = ["-" if d is None else str(d.length) for d in found]
        wrong += [] if lengths == row[column : column + 2] else [(row, lengths)]
    assert len(rows) > 1000
    assert wrong == []


@pytest.mark.parametrize(("version", "text", "refusal"), [
    ("6.12", "d5009c", None), ("6.6", "d5009c", 524), ("6.1", "d50090", 524), ("5.15", "d5009c", 524),  # REX2; else AAD
    ("6.12", "62f45c4801c0", None), ("6.6", "62f45c4801c0", 8),  # EVEX map 4: from 6.12 on
    ("6.6", "62f57c485ac0", None), ("6.6", "62f57c485400", 8),  # EVEX map 5
    ("5.15", "62f57c485400", None),  # payload f5: map 1 there, ANDPS
    ("6.12", "c4e27850c0", None), ("6.6", "c4e27850c0", 8),  # AVX-VNNI-INT8
    ("6.6", "c4e27950c0", None), ("5.15", "c4e27950c0", 8),  # AVX-VNNI
    ("6.12", "f30f38d8c0", None), ("6.6", "f30f38d8c0", None),  # AESENC128KL; without attributes it is an opcode alone
    *((v, "06", 524) for v in ALL), *((v, "0f05", None) for v in ALL), *((v, "cc", 524) for v in ALL),
    *((v, "2e90", 524) for v in ALL), *((v, "8ed0", 524) for v in ALL), *((v, "66e811223344", 524) for v in ALL),
])  # fmt: skip
def test_refusals(version: str, text: str, refusal: int | None) -> None:
    found = planned(version, text)
    assert (found.errno if isinstance(found, Refuse) else None) == refusal


@pytest.mark.parametrize("version", ALL)
def test_of_nops_opcode_90_alone_is_emulated_and_nothing_becomes_a_call(version: str) -> None:
    lengths = {"90": 1, "f390": 2, "6690": 2, "4190": 2, "f3666690": 4, "6666666690": 5, "c5f890b640000000": 8}
    for text, length in lengths.items():
        found = planned(version, text)
        assert emulated(found) and (found.length, found.later) == (length, None), text
    for text in ("0f1f00", "0f1f440000", "660f1f440000", "0f1f840000000000", "660f1f840000000000"):
        found = planned(version, text)
        assert stepped(found) and found.length == len(text) // 2, text
    assert "rsi := old(rsi)" in canonical(planned(version, "0f1f0511223344"))  # rip-relative: a scratch register


@pytest.mark.parametrize("version", ALL)
def test_xop_is_taken_for_pop(version: str) -> None:
    found = planned(version, "8fe878c2c000")
    assert stepped(found) and found.length == 2
    newer = uprobes_6_18.plan(bytes.fromhex("8fe878c2c000").ljust(16, b"\x90"))
    assert newer != found


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("text", [
    "e811223344", "eb10", "7510", "0f8411223344", "50", "4157", "9d", "c3", "ff15aabbccdd", "ffd0", "488b0511223344",
    "c5fe7f03", "c5fe6f0511223344", "62f17c485805aabbccdd", "668b0511223344", "8b04251122334455",
])  # fmt: skip
def test_everything_else_is_planned_as_6_18_does(version: str, text: str) -> None:
    assert planned(version, text) == uprobes_6_18.plan(bytes.fromhex(text).ljust(16, b"\x90"))


@pytest.mark.parametrize("version", ALL)
def test_the_plan_for_a_32_bit_reading_changes_nothing_that_is_rip_relative(version: str) -> None:
    (name, plan), = BY_NAME[version].otherwise
    found = plan(bytes.fromhex("8b0511223344").ljust(16, b"\x90"))
    assert name == "analysed-as-64-bit"
    assert stepped(found) and found.length == 6 and "rsi" not in canonical(found)
    assert plan(b"\xcc" * 16) == planned(version, "cc")


def test_shadow_stacks_of_programs_came_with_6_6() -> None:
    assert [v for v in ALL if "no-shadow-stack" in BY_NAME[v].holds] == ["6.1", "5.15"]
    shown = {v for v in ALL for e in BY_NAME[v].entries if e.name == "no-shadow-stack"}
    assert shown == {"6.12", "6.6"}


def test_entries_name_the_version_that_was_read() -> None:
    for version, scheme in BY_NAME.items():
        assert not any("6.18" in e.rule for e in scheme.entries if version != "6.18")


@pytest.mark.parametrize("version", ALL)
def test_fewer_than_16_bytes_are_an_error(version: str) -> None:
    with pytest.raises(ValueError, match="got 3"):
        BY_NAME[version].plan(bytes(3))
