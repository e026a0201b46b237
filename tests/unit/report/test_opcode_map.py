"""Opcode maps: the worst verdict of each opcode byte, where the manual's tables have it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from verify.report.opcode_map import maps, place, print_maps
from verify.report.records import replaced
from verify.report.surveys import FormRow, Obligations, Survey


def row(opcode: str, verdict: str = "proved") -> FormRow:
    return FormRow(
        form=f"{opcode}/none", opcode=opcode, mnemonic="", addressing="none", verdict=verdict,  # type: ignore[arg-type]
        observables={}, irregular=None, reason="", refused_with=(), over_cautious=False, obligations=0, rests_on=(),
    )  # fmt: skip


@pytest.mark.parametrize(("opcode", "where"), [
    ("9c", ("one byte", 0x9C)), ("ff/2", ("one byte", 0xFF)), ("0f05", ("0f", 0x05)), ("0f38f6", ("0f38", 0xF6)),
    ("0f01d7", ("0f", 0x01)), ("0f", ("one byte", 0x0F)), ("vex.0f38.9d", ("vex.0f38", 0x9D)),
    ("evex.map5.78", ("evex.map5", 0x78)), ("0f0f9e", ("0f0f (3DNow!)", 0x9E)),
])  # fmt: skip
def test_the_place_of_an_opcode(opcode: str, where: tuple[str, int]) -> None:
    assert place(row(opcode)) == where


def test_the_worst_form_decides() -> None:
    rows = [row("9c"), row("9c", "refuted"), row("9c", "refused"), row("98"), row("cc", "refused")]
    assert maps(rows) == {"one byte": {0x9C: "refuted", 0x98: "proved", 0xCC: "refused"}}


def test_a_register_in_the_opcode_has_eight_cells() -> None:
    assert set(maps([row("50")])["one byte"]) == set(range(0x50, 0x58))


def test_what_compilers_do_not_emit_is_shown_apart() -> None:
    odd = replaced(row("70", "refused"), emitted=False)
    assert maps([odd, row("70")]) == {"one byte": {0x70: "odd"}}
    assert maps([odd, row("70", "refuted")]) == {"one byte": {0x70: "refuted"}}


def test_in_a_pipe_maps_are_plain_text() -> None:
    out = io.StringIO()
    survey = Survey(
        version="", scheme="s", cpu="any", assumptions=(), rests_on={}, deviations=(), totals={}, seconds=0.0,
        obligations=Obligations(total=0, distinct=0), forms=(row("9c", "refuted"), row("98")),
    )  # fmt: skip
    print_maps(Console(file=out, width=80), survey)
    assert f"  9_ {' ' * 16}.{' ' * 7}R" in out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue() and max(map(len, out.getvalue().splitlines())) <= 80
