"""What the proof gate found, for continuous integration: JUnit XML, SARIF 2.1.0, GitHub's annotations.

A regression is a failed case, a result of level error, an annotation each.  Its place is the ledger of the evidence and
the form; there is no line to point at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree

import msgspec

from verify.report.gates import Gate, Regression
from verify.report.junit import CONTROL
from verify.report.sarif import SCHEMA

RULE: Final = "proof-gate"
ESCAPES: Final = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))  # docs.github.com, workflow commands, escapeData
TITLE_ESCAPES: Final = (*ESCAPES, (":", "%3A"), (",", "%2C"))  # escapeProperty


def place(r: Regression, scheme: str) -> str:
    """Which form, encoding and observable; the scheme where none is named."""
    return " ".join(filter(None, (r.form, r.encoding, r.observable))) or scheme


def sentence(r: Regression) -> str:
    """What is wrong, in one line."""
    return f"{r.reason} (recorded: {r.recorded}; now: {r.found})" if r.found else r.reason


def junit(gates: Sequence[Gate]) -> str:
    """A suite a scheme; a case that passes says what was checked, those that fail are the regressions."""
    whole = ElementTree.Element("testsuites", {"name": "ubp-verify gate"})
    for g in gates:
        counts = {"tests": str(len(g.regressions) + 1), "failures": str(len(g.regressions)), "errors": "0"}
        suite = ElementTree.SubElement(whole, "testsuite", {"name": g.scheme, "time": str(g.seconds), **counts})
        ElementTree.SubElement(suite, "testcase", {"classname": g.scheme, "name": f"{g.statements} statements"})
        for r in g.regressions:
            name = CONTROL.sub("?", place(r, g.scheme))
            case = ElementTree.SubElement(suite, "testcase", {"classname": g.scheme, "name": name})
            ElementTree.SubElement(case, "failure", {"message": CONTROL.sub("?", sentence(r))})
    ElementTree.indent(whole)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(whole, encoding="unicode")


def sarif(gates: Sequence[Gate]) -> str:
    """One run, a result a regression."""
    results = [
        {
            "ruleId": RULE, "ruleIndex": 0, "level": "error",
            "message": {"text": f"{place(r, g.scheme)}: {sentence(r)}"},
            "locations": [{
                "physicalLocation": {"artifactLocation": {"uri": f"proofs/evidence/{g.scheme}/ledger.tsv"}},
                "logicalLocations": [{"fullyQualifiedName": r.form or g.scheme}],
            }],
        }
        for g in gates for r in g.regressions
    ]  # fmt: skip
    text = {"text": "Recorded evidence, the recorded survey and the code do not agree."}
    driver = {"name": "ubp-verify", "rules": [{"id": RULE, "shortDescription": text}]}
    found = {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def github(gates: Sequence[Gate]) -> str:
    """An `::error` line a regression."""
    lines = [
        f"::error title={_escaped(place(r, g.scheme), TITLE_ESCAPES)}::{_escaped(sentence(r), ESCAPES)}"
        for g in gates for r in g.regressions
    ]  # fmt: skip
    return "\n".join(lines)


def _escaped(text: str, escapes: Sequence[tuple[str, str]]) -> str:
    for old, new in escapes:
        text = text.replace(old, new)
    return text
