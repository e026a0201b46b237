"""Causes as results say them: what happens, by which rule, what the program loses, what to do instead."""

from __future__ import annotations

from verify.report.records import Document, Record


class CauseRow(Record, frozen=True, kw_only=True):
    """One cause; `harm`: what it costs the program."""

    name: str
    harm: str
    happens: str
    rule: str
    loses: str
    instead: str


class CauseFinding(Record, frozen=True, kw_only=True):
    """The forms of one cause.

    `forms`: how many are refuted or refused by it, `emitted`: of how many of them encodings as compilers emit them are
    concerned; `example`: the encoding of one, `text`: its assembly, `difference`: what it shows first; `confirmed`: the
    machine that was seen to do it, and the encoding.
    """

    cause: CauseRow
    forms: int
    emitted: int
    over_cautious: int = 0
    form: str
    example: str = ""
    followed_by: str = ""
    text: str = ""
    difference: str = ""
    confirmed: str = ""


class DescribedCause(Document, frozen=True, kw_only=True, tag="ubp-verify/causes/1"):
    """What `causes` says of a cause; `rules`: by the beginning of a scheme's name, function and file."""

    name: str
    harm: str
    happens: str
    loses: str
    instead: str
    rules: dict[str, str]
