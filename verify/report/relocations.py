"""What is said of answers of relocators outside of this project."""

from __future__ import annotations

from verify.report.judged import CounterexampleRow, Names
from verify.report.records import Document, Record
from verify.report.surveys import EncodingVerdict


class RelocatedPair(Document, frozen=True, kw_only=True, tag="ubp-verify/relocated/1"):
    """What is said of an original and its copy at two addresses; `observables`: the refuted ones."""

    original: str
    at: str
    copy: str
    slot: str
    ends: str
    verdict: EncodingVerdict
    observables: Names
    reason: str
    plan: str = ""
    counterexample: CounterexampleRow | None = None


class PairRecord(Record, frozen=True, kw_only=True):
    """A pair as a line of a file says it; addresses as numbers or text, `ends` where it is not the command's."""

    original: str
    at: int | str
    copy: str
    slot: int | str
    ends: str = ""


class RelocatedEncoding(Document, frozen=True, kw_only=True, tag="ubp-verify/relocator/1"):
    """What is said of a relocator's answers for an encoding; `code`: the answer at the first pair of addresses.

    `addresses`: for which addresses, where it is not all.  Verdict unknown: no answer, or none that can be read.
    """

    bytes: str
    ends: str
    code: str = ""
    addresses: str = ""
    verdict: EncodingVerdict
    observables: Names
    reason: str
    counterexample: CounterexampleRow | None = None
