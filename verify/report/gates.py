"""What the proof gate found."""

from __future__ import annotations

from verify.report.records import Document, Record


class Regression(Record, frozen=True, kw_only=True):
    """One place where recorded evidence, the recorded survey and the code do not agree."""

    form: str
    observable: str
    encoding: str = ""  # hex, and what stands behind it after a `+`
    recorded: str
    found: str
    reason: str


class Gate(Document, frozen=True, kw_only=True, tag="ubp-verify/gate/1"):
    """Evidence of one scheme: `checked` claims were read by the checker, of `known` it had accepted the same before.

    `accepted`: regressions that a baseline names.  `restated`: forms that were stated again from the code; `obsolete`:
    the code is another than the recorded one's.
    """

    scheme: str
    forms: int
    classes: int
    statements: int
    proved: int
    refuted: int
    unknown: int
    checked: int
    known: int
    restated: int
    obsolete: bool
    accepted: int = 0
    regressions: tuple[Regression, ...]
    seconds: float
