"""The gate's document as continuous integration reads it."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from verify.report.gated import github, junit, sarif
from verify.report.gates import Gate, Regression

WRONG = (
    Regression(form="ADD", observable="gprs", encoding="01d8", recorded="a", found="b\n%", reason="no, really: other"),
    Regression(form="", observable="", recorded="", found="", reason="a line\x01is not what was written"),
)


def gate(*regressions: Regression) -> Gate:
    return Gate(
        scheme="s", forms=1, classes=2, statements=3, proved=2, refuted=1, unknown=0, checked=3, known=0, restated=1,
        obsolete=False, regressions=regressions, seconds=0,
    )  # fmt: skip


def test_junit_fails_a_case_a_regression_and_passes_one_a_scheme() -> None:
    whole = ElementTree.fromstring(junit([gate(*WRONG), gate()]))
    assert [(s.get("tests"), s.get("failures"), len(s)) for s in whole] == [("3", "2", 3), ("1", "0", 1)]
    failed = [case.get("name") for case in whole.iter("testcase") if case.find("failure") is not None]
    assert failed == ["ADD 01d8 gprs", "s"]


def test_sarif_has_a_result_a_regression_at_the_ledger() -> None:
    run = json.loads(sarif([gate(*WRONG)]))["runs"][0]
    assert [r["level"] for r in run["results"]] == ["error", "error"]
    first = run["results"][0]
    assert first["message"]["text"] == "ADD 01d8 gprs: no, really: other (recorded: a; now: b\n%)"
    place = first["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "proofs/evidence/s/ledger.tsv"
    assert place["logicalLocations"] == [{"fullyQualifiedName": "ADD"}]
    assert json.loads(sarif([gate()]))["runs"][0]["results"] == []


def test_annotations_escape_what_would_end_them() -> None:
    first, second = github([gate(*WRONG)]).splitlines()
    assert first == "::error title=ADD 01d8 gprs::no, really: other (recorded: a; now: b%0A%25)"
    assert second.startswith("::error title=s::")
    assert github([gate()]) == ""
