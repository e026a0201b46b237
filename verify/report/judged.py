"""What is kept of instructions: verdicts of forms, with their counterexamples.

Verdicts are proved, refuted, refused, vacuous and unknown.  Bytes and values are hex; values have their width
(0x0000000000000000 is 64 bits).  What commands say of them is `verify.report.surveys`.
"""

from __future__ import annotations

from verify.report.records import Record, Verdict

Names = tuple[str, ...]


class CounterexampleRow(Record, frozen=True, kw_only=True):
    """A state from which the probed instruction differs; `followed_by`: what stands behind it, where that matters.

    `stand_ins`: values there that stand for any other, since nothing computes them here: data of memory, the results of
    datapaths, what a system call answers.
    """

    bytes: str
    followed_by: str = ""
    observable: str
    vendor: str
    origin: str
    slot: str
    initial: dict[str, str]
    in_place: dict[str, str]
    displaced: dict[str, str]
    first_difference: str
    also_refuted: Names
    stand_ins: Names = ()


class FormVerdict(Record, frozen=True, kw_only=True):
    """What the shown and the kept row of a form begin with."""

    form: str
    opcode: str
    mnemonic: str
    addressing: str
    verdict: Verdict
    observables: dict[str, Verdict]
    irregular: Verdict | None
    reason: str
    refused_with: Names
    over_cautious: bool
    obligations: int


class JudgedForm(FormVerdict, frozen=True, kw_only=True):
    """The verdict of a form as the ledger keeps it; `queries`: digests of what identity of terms does not settle.

    `irregular`: of its encodings with repeated or misplaced REX or more than four legacy prefixes; `refused_with`: why
    some encodings of an accepted form are refused; `over_cautious`: refused, though an unchanged copy would be proved;
    `looks_behind`: what stands behind an encoding changes its plan; `undefined_without`: processor features.
    """

    queries: Names
    rests_on: Names
    looks_behind: bool = False
    undefined_without: Names = ()
    counterexample: CounterexampleRow | None = None
