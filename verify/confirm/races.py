"""The protocols against the running kernel: which property predicts a scenario's outcome, and whether it came so.

Decides for each scenario of `live`: does what was seen agree with the verdicts that the protocols declare (the explorer
is held to these elsewhere). A scenario that names a property or verdict that no protocol has raises ValueError.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from verify.concurrency.language.domains import ProtocolError
from verify.concurrency.protocols import protocol
from verify.confirm.results import Kept, Standing, file_name
from verify.live.races.forks import SCENARIOS as OF_FORKS
from verify.live.races.races import Check, Claim, Scenario, ScenarioOutcome, outcomes
from verify.live.races.sequences import SCENARIOS as OF_SEQUENCES
from verify.live.races.sites import SCENARIOS as AT_SITES
from verify.live.races.steps import SCENARIOS as OF_STEPS
from verify.live.races.unmap import SCENARIOS as OF_MAPPINGS
from verify.live.results import processor
from verify.report.confirmations import CheckRow, RacesConfirmation, ScenarioRow

SECONDS: Final = 20.0
SCENARIOS: Final[tuple[Scenario, ...]] = (*OF_STEPS, *OF_MAPPINGS, *OF_FORKS, *AT_SITES, *OF_SEQUENCES)


def check_claim(claim: Claim) -> None:
    """Raises ValueError unless the protocol has this property and declares this verdict on it."""
    try:
        found = protocol(claim.protocol)
        found = found.with_variant(claim.variant) if claim.variant else found
    except ProtocolError as error:
        raise ValueError(str(error)) from error
    if claim.property not in {prop.name for prop in found.properties}:
        raise ValueError(f"{claim.protocol} has no property {claim.property!r}")
    if found.expectation(claim.property) != claim.verdict:
        declared = found.expectation(claim.property)
        raise ValueError(f"{claim_text(claim)}: the protocol declares {declared}")


def claim_text(claim: Claim) -> str:
    """A claim in words: protocol, variant, property, and its verdict if it is not proved."""
    name = claim.protocol + (f" ({claim.variant})" if claim.variant else "")
    return f"{name}: {claim.property}" + (f" is {claim.verdict}" if claim.verdict != "proved" else "")


def behind(scenario: Scenario, check: Check) -> str:
    """The claims behind one comparison; raises ValueError where the scenario has none of that name."""
    wanted = (check.property, check.variant)
    found = [claim_text(claim) for claim in scenario.claims if (claim.property, claim.variant) == wanted]
    if not found:
        raise ValueError(f"{scenario.name}: no claim about {check.property!r} {check.variant}")
    return ", ".join(found)


def confirmed(scenarios: Sequence[Scenario], seconds: float | None, seed: int) -> Iterator[ScenarioOutcome]:
    """Every scenario on the running kernel, in about `seconds` for all (default 20).

    Raises UprobesUnavailable where this machine lets nobody probe; ValueError for a claim that no protocol makes.
    """
    for scenario in scenarios:
        for claim in scenario.claims:
            check_claim(claim)
    yield from outcomes(scenarios, SECONDS if seconds is None else seconds, seed)


def lines(outcome: ScenarioOutcome) -> Iterator[str]:
    """One scenario for people: a head, then a row a comparison."""
    head = f"{outcome.scenario.name}: {outcome.verdict}"
    yield f"{head}: {outcome.reason}" if outcome.reason else f"{head}; {outcome.scenario.what}; {outcome.calls:,} calls"
    for check in outcome.checks:
        mark = "  " if check.agrees else "! "
        yield (
            f"  {mark}{behind(outcome.scenario, check)}: {check.what}: predicted {check.predicted}, seen {check.seen}"
            f"{'' if check.agrees else ': DISAGREES'}"
        )


@dataclass(slots=True)
class RacesResult:
    """The outcomes so far of a run over `wanted` scenarios, and how long it took in seconds."""

    wanted: int
    seed: int
    outcomes: list[ScenarioOutcome] = field(default_factory=list)
    seconds: float = 0.0

    def document(self) -> RacesConfirmation:
        """All outcomes for programs."""
        not_run = self._because("not run")
        return RacesConfirmation(
            kernel=platform.release(), processor=processor(), seconds=round(self.seconds, 1),
            complete=len(self.outcomes) == self.wanted and not not_run, seed=self.seed,
            scenarios=len(self.outcomes), calls=sum(outcome.calls for outcome in self.outcomes),
            disagree=tuple(self._because("disagrees")), not_run=not_run,
            does_not_apply=self._because("does not apply"), rows=tuple(map(_row, self.outcomes)),
        )  # fmt: skip

    def _because(self, verdict: str) -> dict[str, str]:
        """Scenario -> reason, of those with this verdict."""
        return {o.scenario.name: o.reason for o in self.outcomes if o.verdict == verdict}

    def lines(self) -> Iterator[str]:
        """The whole run in one line."""
        found = self.document()
        yield (
            f"{found.scenarios} scenarios on {found.kernel}, {found.calls:,} calls in {found.seconds} s: "
            f"{len(found.disagree)} disagree, {len(found.not_run)} not run, "
            f"{len(found.does_not_apply)} do not apply to this kernel"
        )

    def kept(self) -> Iterable[Kept]:
        """One file."""
        yield Kept(file_name("races"), self.document(), "rows")

    @property
    def standing(self) -> Standing:
        """A disagreement weighs more than what was not run."""
        if self._because("disagrees"):
            return Standing.DISAGREES
        return Standing.UNDECIDED if self._because("not run") else Standing.AGREES


def _row(outcome: ScenarioOutcome) -> ScenarioRow:
    checks = (
        CheckRow(claims=behind(outcome.scenario, check), what=check.what, predicted=check.predicted, seen=check.seen,
                 agrees=check.agrees)
        for check in outcome.checks
    )  # fmt: skip
    return ScenarioRow(
        name=outcome.scenario.name, what=outcome.scenario.what, verdict=outcome.verdict, calls=outcome.calls,
        seconds=round(outcome.seconds, 2), checks=tuple(checks),
    )  # fmt: skip
