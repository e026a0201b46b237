"""A scan as JUnit XML, as continuous integration reads it: a suite a cause, a case a place.

Refuted is a failure, undecided an error, refused is skipped; what is no instruction is left out.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree

from verify.report.surveys import Scan, ScanFinding, ScannedPlace

OUTCOMES: Final = {"refuted": "failure", "refused": "skipped"}  # of others: error
CONTROL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2: no characters


def junit(found: Scan) -> str:
    """The scan as an XML document."""
    findings = [f for f in found.findings if f.verdict != "invalid"]
    whole = ElementTree.Element("testsuites", {"name": f"ubp-verify scan {_clean(found.file)}", **_counts(findings)})
    for finding in findings:
        suite = ElementTree.SubElement(whole, "testsuite", {"name": _name(finding), **_counts([finding])})
        for place in finding.places:
            _case(suite, finding, place)
    ElementTree.indent(whole)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(whole, encoding="unicode")


def _counts(findings: list[ScanFinding]) -> dict[str, str]:
    found = [OUTCOMES.get(f.verdict, "error") for f in findings for _ in f.places]
    return {
        "tests": str(len(found)), "failures": str(found.count("failure")), "errors": str(found.count("error")),
        "skipped": str(found.count("skipped")),
    }  # fmt: skip


def _name(finding: ScanFinding) -> str:
    return finding.cause.name if finding.cause is not None else finding.verdict


def _case(suite: ElementTree.Element, finding: ScanFinding, place: ScannedPlace) -> None:
    name = f"{place.place} {place.text} ({place.bytes})"
    case = ElementTree.SubElement(suite, "testcase", {"classname": _name(finding), "name": _clean(name)})
    said = ElementTree.SubElement(case, OUTCOMES.get(finding.verdict, "error"), {"message": _clean(place.reason)})
    said.text = _clean(f"file offset {place.offset:#x}: {finding.reason}")


def _clean(text: str) -> str:
    """The text without what XML cannot hold."""
    return CONTROL.sub("?", text.encode("utf-8", "replace").decode())
