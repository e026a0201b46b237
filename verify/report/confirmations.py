"""What this machine said of the models: one document a mode of `confirm`.

All begin alike: the kernel's release, the processor, how long it took (seconds), and whether all that was asked for was
judged (`complete`).
"""

from __future__ import annotations

from verify.report.records import Document, Record


class Confirmation(Document, frozen=True, kw_only=True):
    """What every confirmation says."""

    kernel: str
    processor: str
    seconds: float
    complete: bool


class FormCounts(Record, frozen=True, kw_only=True):
    """Forms asked for, executed, skipped; `completed`: of those executed, in some state without a fault."""

    wanted: int
    executed: int
    skipped: int
    completed: int


class MismatchRow(Record, frozen=True, kw_only=True):
    """A disagreement of semantics and processor in its smallest state; `explained`: the source of a known one."""

    form: str
    check: str
    component: str
    code: str
    state: str
    expected: str
    seen: str
    trials: int
    explained: str | None


class SemanticsConfirmation(Confirmation, frozen=True, kw_only=True, tag="ubp-verify/confirm-semantics/1"):
    """The processor as judge of the semantics; `skipped`: forms by reason, `lost`: why a form has no judgement."""

    seed: int
    rounds: int
    forms: FormCounts
    states: int
    unexplained: int
    lost: dict[str, str]
    skipped: dict[str, int]
    mismatches: tuple[MismatchRow, ...]


class StateKind(Record, frozen=True, kw_only=True):
    """Runs with the probe in states of a kind, and the encodings that deviate in some of them."""

    runs: int
    deviating: int


class StateDisagreement(Record, frozen=True, kw_only=True):
    """A state in which the observables that deviate are others than the model says."""

    encoding: str
    kind: str
    state: str
    model: tuple[str, ...]
    kernel: tuple[str, ...]


class WayDisagreement(Record, frozen=True, kw_only=True):
    """An encoding that is run otherwise than its plan says."""

    encoding: str
    plan: str
    kernel: str


class Ways(Record, frozen=True, kw_only=True):
    """How the kernel runs encodings, against their plans; `reason`: why none was compared."""

    compared: int
    kinds: int
    disagreements: tuple[WayDisagreement, ...]
    reason: str = ""


class EncodingDisagreement(Record, frozen=True, kw_only=True):
    """An encoding whose result is another than predicted; `where`: the observables, and the first state of it."""

    encoding: str
    model: str
    kernel: str
    where: str


class KernelConfirmation(Confirmation, frozen=True, kw_only=True, tag="ubp-verify/confirm-kernel/1"):
    """The running kernel as judge of a scheme.

    `although`: why the kernel is no judge of the scheme, where it was asked all the same; `one_by_one`: states
    predicted each for itself, `apart` those in which the kernel did something else; `assumed`: encodings that differ in
    what an assumption leaves out; `frames`: faults delivered, by their trap number.
    """

    scheme: str
    although: str = ""
    compared: int
    judged: int
    agreement: float
    confirmed: int
    unsound: tuple[str, ...]
    predicted_and_seen: dict[str, int]
    states: dict[str, StateKind]
    assumed: dict[str, int]
    frames: dict[str, int]
    one_by_one: int
    apart: tuple[StateDisagreement, ...]
    not_run: dict[str, str]
    skipped: dict[str, int]
    lost: tuple[str, ...]
    ways: Ways | None
    ways_in_32_bits: Ways | None
    disagreements: tuple[EncodingDisagreement, ...]


class DeviationRow(Record, frozen=True, kw_only=True):
    """Opcodes of one map that deviate on the same observables: how many encodings, and the shortest of them."""

    map: str
    opcodes: str
    observables: tuple[str, ...]
    encodings: int
    example: str
    detail: str


class KernelSurvey(Document, frozen=True, kw_only=True, tag="ubp-verify/kernel-survey/1"):
    """What the kernel did with a corpus, whatever a model says; `valid`: results of those that are not #UD."""

    kernel: str
    processor: str
    encodings: int
    results: dict[str, int]
    valid: dict[str, int]
    classes: dict[str, int]
    deviations: tuple[DeviationRow, ...]


class CostRow(Record, frozen=True, kw_only=True):
    """A way to probe: cycles of a hit, none where not measured (`reason`); the original discussion's figure."""

    name: str
    cycles: float | None
    discussed: int
    reason: str


class CostConfirmation(Confirmation, frozen=True, kw_only=True, tag="ubp-verify/confirm-cost/1"):
    """What a probe hit costs."""

    unit: str
    rows: tuple[CostRow, ...]


class LitmusRow(Record, frozen=True, kw_only=True):
    """One litmus test; `seen`: runs by outcome, of `seen_in_all` outcomes; `allowed` is left out where it is kept."""

    name: str
    reason: str
    outcome: str
    verdict: str
    runs: int
    seconds: float
    seen: dict[str, int]
    seen_in_all: int
    forbidden_and_seen: tuple[str, ...]
    allowed: tuple[str, ...] | None = None


class LitmusConfirmation(Confirmation, frozen=True, kw_only=True, tag="ubp-verify/confirm-litmus/1"):
    """The processors as judge of the fetch model; `defects`: tests that showed what it forbids."""

    wanted_runs: int
    seed: int
    tests: int
    runs: int
    defects: tuple[str, ...]
    unfinished: dict[str, str]
    allowed_and_seen: tuple[str, ...]
    allowed_and_not_seen: tuple[str, ...]
    rows: tuple[LitmusRow, ...]


class CheckRow(Record, frozen=True, kw_only=True):
    """One comparison: the claims of the protocols behind it, what they predict, what was seen."""

    claims: str
    what: str
    predicted: str
    seen: str
    agrees: bool


class ScenarioRow(Record, frozen=True, kw_only=True):
    """One scenario: agrees, disagrees, does not apply, or not run."""

    name: str
    what: str
    verdict: str
    calls: int
    seconds: float
    checks: tuple[CheckRow, ...]


class RacesConfirmation(Confirmation, frozen=True, kw_only=True, tag="ubp-verify/confirm-races/1"):
    """The running kernel as judge of the protocols."""

    seed: int
    scenarios: int
    calls: int
    disagree: tuple[str, ...]
    not_run: dict[str, str]
    does_not_apply: dict[str, str]
    rows: tuple[ScenarioRow, ...]


