"""What counts of a survey: restricted observables, ignored causes, odd encodings left out, a baseline."""

from __future__ import annotations

import pytest

from verify.models.x86.machine import OBSERVABLES
from verify.report.records import encoded
from verify.report.surveys import ClassifiedEncoding, FormRow
from verify.survey.selection import EVERYTHING, Selection, known_encodings, known_forms, known_places


def form(refuted: tuple[str, ...], cause: str = "a-cause", emitted: bool = True) -> FormRow:
    return FormRow(
        form="A/none", opcode="", mnemonic="", addressing="none", verdict="refuted" if refuted else "proved",
        observables={o: "refuted" if o in refuted else "proved" for o in OBSERVABLES}, irregular=None, reason="",
        refused_with=(), over_cautious=False, obligations=0, rests_on=(), cause=cause, emitted=emitted,
    )  # fmt: skip


@pytest.mark.parametrize(("selection", "counts"), [
    (EVERYTHING, True),
    (Selection(ignored=frozenset({"a-cause"})), False),
    (Selection(ignored=frozenset({"another"})), True),
    (Selection(only_emitted=True), True),
    (Selection(known={"A/none": frozenset({"hits", "trap"})}), False),
    (Selection(known={"A/none": frozenset({"trap"})}), True),  # worse than it was
    (Selection(known={"B/none": frozenset({"hits"})}), True),
])  # fmt: skip
def test_what_counts(selection: Selection, counts: bool) -> None:
    assert selection.counts_form(form(("hits",))) is counts


def test_odd_encodings_alone_do_not_count_where_compilers_are_asked_for() -> None:
    assert not Selection(only_emitted=True).counts_form(form(("hits",), emitted=False))


def test_observables_that_are_not_asked_for_refute_nothing() -> None:
    only = Selection(observables=frozenset({"gprs", "hits"}))
    assert only.form(form(("hits", "trap"))).verdict == "refuted"
    assert only.form(form(("trap",))).verdict == "proved"
    assert set(only.form(form(("trap",))).observables) == {"gprs", "hits"}
    row = ClassifiedEncoding(bytes="9c", verdict="refuted", observables=("trap",), reason="", cause="a-cause")
    assert (only.encoding(row).verdict, only.encoding(row).cause) == ("proved", "")


def test_a_baseline_of_lines() -> None:
    rows = [ClassifiedEncoding(bytes="9c", verdict="refuted", observables=("trap",), reason=""),
            ClassifiedEncoding(bytes="90", verdict="proved", observables=(), reason="")]  # fmt: skip
    text = "\n".join(map(encoded, rows)).encode()
    assert known_encodings(text) == {"9c": frozenset({"trap"})}
    for of in (known_forms, known_places, known_encodings):
        with pytest.raises(ValueError, match="ubp-verify/"):
            of(b'{"schema": "ubp-verify/other/1"}')
