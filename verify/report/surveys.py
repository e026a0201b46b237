"""What is said of instructions: forms, encodings, schemes, and what disagrees about their bytes.

Verdicts are proved, refuted, refused, vacuous and unknown; an encoding may be invalid, no instruction.  Bytes and
values are hex; values have their width (0x0000000000000000 is 64 bits).
"""

from __future__ import annotations

from typing import Literal

from verify.report.causes import CauseFinding, CauseRow
from verify.report.judged import CounterexampleRow, FormVerdict, Names
from verify.report.records import Document, Record, Verdict

EncodingVerdict = Literal["proved", "refuted", "refused", "vacuous", "unknown", "invalid"]


class FormRow(FormVerdict, frozen=True, kw_only=True):
    """The verdict of a form.

    `irregular`: of its encodings with repeated or misplaced REX or more than four legacy prefixes; `refused_with`: why
    some encodings of an accepted form are refused; `over_cautious`: refused, though an unchanged copy would be proved;
    `looks_behind`: what stands behind an encoding changes its plan; `undefined_without`: processor features; `cause`:
    of a refutation or refusal; `emitted`: whether encodings as compilers emit them are refuted, or odd ones alone.
    """

    rests_on: Names
    cause: str = ""
    emitted: bool | None = None
    looks_behind: bool = False
    undefined_without: Names = ()
    counterexample: CounterexampleRow | None = None


class SharedDeviation(Record, frozen=True, kw_only=True):
    """A deviation that forms of a scheme share; `left_out`: an assumption keeps it out of their verdicts."""

    name: str
    sees: str
    rule: str
    witness: str
    loses: str
    instead: str
    left_out: bool


class Obligations(Record, frozen=True, kw_only=True):
    """How many there are, and how many of them neither sharing nor identity of terms settles."""

    total: int
    distinct: int


class Survey(Document, frozen=True, kw_only=True, tag="ubp-verify/opcode-range/1"):
    """What `opcode-range` says: every form of the ranges; `rests_on`: forms by assumption; `totals`: by verdict;
    `causes`: of what is refuted or refused and counts, the most harmful first; `left_out`: forms that do not count;
    `observables`: those that were asked about, where not all were.
    """

    version: str
    scheme: str
    cpu: str
    assumptions: Names
    rests_on: dict[str, int]
    deviations: tuple[SharedDeviation, ...]
    totals: dict[Verdict, int]
    obligations: Obligations
    seconds: float
    causes: tuple[CauseFinding, ...] = ()
    left_out: int = 0
    observables: Names = ()
    forms: tuple[FormRow, ...]


class ClassifiedEncoding(Document, frozen=True, kw_only=True, tag="ubp-verify/classify/1"):
    """What `classify` says of a line of its input; `cause`: of a refutation or refusal."""

    bytes: str
    verdict: EncodingVerdict
    observables: Names
    reason: str
    cause: str = ""
    looks_behind: bool = False
    undefined_without: Names = ()


class ExplainedEncoding(Document, frozen=True, kw_only=True, tag="ubp-verify/insn/1"):
    """What `insn` says of an encoding.

    `length`: bytes, 0 where nothing decodes it; `observables`: the refuted ones, `verdicts`: of all; `rests_on`: the
    assumptions without which something proved falls; `undefined`: why it is #UD in place;
    `kernel`: what the running kernel says, where it was asked; `reproducer`: the files of one, likewise; `words`: the
    plan in words; `causes`: of each refuted observable, or of the refusal; `further`: a counterexample of each other
    refuted observable, where all are asked for.
    """

    bytes: str
    verdict: Verdict
    observables: Names
    reason: str
    length: int
    scheme: str
    plan: str
    words: Names = ()
    causes: tuple[CauseRow, ...] = ()
    verdicts: dict[str, Verdict]
    assumptions: Names
    rests_on: Names
    undefined_without: Names = ()
    text: str = ""
    form: str = ""
    memory_styles: Names | None = None
    undefined: str | None = None
    looks_behind: bool = False
    instruction: str = ""
    followed_by: str = ""
    counterexample: CounterexampleRow | None = None
    further: tuple[CounterexampleRow, ...] = ()
    kernel: str = ""
    reproducer: Names | None = None
    reproducer_state: str = ""


class DescribedForm(Document, frozen=True, kw_only=True, tag="ubp-verify/forms/1"):
    """What `forms` says of a form."""

    form: str
    opcode: str
    mnemonic: str
    addressing: str
    encoding: str
    operands: Names


class DecoderDisagreement(Document, frozen=True, kw_only=True, tag="ubp-verify/disagreements/1"):
    """An encoding that the second decoder reads otherwise; `known`: why, none where nobody knows."""

    form: str
    bytes: str
    difference: str
    known: str | None


class AssumptionRow(Record, frozen=True, kw_only=True):
    """An assumption: what it says, and what falls without it."""

    name: str
    says: str
    without: str
    by_default: bool


class DescribedScheme(Document, frozen=True, kw_only=True, tag="ubp-verify/schemes/1"):
    """What `schemes` says of a scheme; its deviations and the assumptions where it is named."""

    scheme: str
    default: bool
    summary: str
    source: str
    deviations: tuple[SharedDeviation, ...] | None = None
    assumptions: tuple[AssumptionRow, ...] | None = None


class ScannedPlace(Record, frozen=True, kw_only=True):
    """An instruction of a file: `offset` is where uprobes are registered, both numbers in bytes."""

    place: str
    address: int
    offset: int
    bytes: str
    text: str
    verdict: EncodingVerdict
    observables: Names
    reason: str
    cause: str = ""


class ScanFinding(Record, frozen=True, kw_only=True):
    """Instructions of one verdict for one cause: how many there are, of how many different bytes, and some of them.

    `reason`: what happens, where there is a cause.
    """

    verdict: EncodingVerdict
    observables: Names
    reason: str
    cause: CauseRow | None = None
    instructions: int
    distinct: int
    places: tuple[ScannedPlace, ...]


class Scan(Document, frozen=True, kw_only=True, tag="ubp-verify/scan/1"):
    """What `scan` says of a file; `totals`: instructions by verdict, `invalid`: bytes at which none begins.

    `relocatable`: fields that the linker fills are judged as they stand. `findings`: all that is not proved
    and counts, `left_out`: instructions that do not count.
    """

    version: str
    file: str
    kind: str
    relocatable: bool
    scheme: str
    cpu: str
    assumptions: Names
    instructions: int
    distinct: int
    totals: dict[EncodingVerdict, int]
    left_out: int = 0
    findings: tuple[ScanFinding, ...]


class ExplainedPlace(Document, frozen=True, kw_only=True, tag="ubp-verify/scan-place/1"):
    """What `scan --explain` says of a place: `inside`: the instruction of which it is not the first byte, and its text;
    `remarks`: what hinders a hook or a probe there besides;
    `answer`: what the implementation says to a probe there.
    """

    file: str
    place: str
    address: int
    offset: int
    inside: str = ""
    remarks: Names = ()
    answer: str
    encoding: ExplainedEncoding | ClassifiedEncoding
