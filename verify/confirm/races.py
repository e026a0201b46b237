"""The protocols against the running kernel: which property predicts a scenario's outcome, and whether it came so.

Decides for each scenario of `live`: does what was seen agree with the verdicts that the protocols declare (the explorer
is held to these elsewhere). A scenario that names a property or verdict that no protocol has raises ValueError.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from typing import Any, Final

from verify.concurrency.language.domains import ProtocolError
from verify.concurrency.protocols import protocol
from verify.live.races.forks import SCENARIOS as OF_FORKS
from verify.live.races.races import Check, Claim, Scenario, ScenarioOutcome, outcomes
from verify.live.races.sites import SCENARIOS as AT_SITES
from verify.live.races.steps import SCENARIOS as OF_STEPS
from verify.live.races.unmap import SCENARIOS as OF_MAPPINGS
from verify.live.results import processor

SCHEMA: Final = "ubp-verify/live-races"
SECONDS: Final = 20.0
SCENARIOS: Final[tuple[Scenario, ...]] = (*OF_STEPS, *OF_MAPPINGS, *OF_FORKS, *AT_SITES)


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


def document(found: Sequence[ScenarioOutcome], seconds: float, seed: int) -> dict[str, Any]:
    """All outcomes as one JSON object."""
    return {
        "schema": SCHEMA, "kernel": platform.release(), "processor": processor(), "seed": seed,
        "seconds": round(seconds, 1), "scenarios": len(found), "calls": sum(outcome.calls for outcome in found),
        "disagree": [outcome.scenario.name for outcome in found if outcome.verdict == "disagrees"],
        "not_run": {outcome.scenario.name: outcome.reason for outcome in found if outcome.verdict == "not run"},
        "does_not_apply": {o.scenario.name: o.reason for o in found if o.verdict == "does not apply"},
        "rows": [_row(outcome) for outcome in found],
    }  # fmt: skip


def _row(outcome: ScenarioOutcome) -> dict[str, Any]:
    checks = [
        {"claims": behind(outcome.scenario, check), "what": check.what, "predicted": check.predicted,
         "seen": check.seen, "agrees": check.agrees}
        for check in outcome.checks
    ]  # fmt: skip
    return {
        "name": outcome.scenario.name, "what": outcome.scenario.what, "verdict": outcome.verdict,
        "calls": outcome.calls, "seconds": round(outcome.seconds, 2), "checks": checks,
    }  # fmt: skip


def summary(found: dict[str, Any]) -> str:
    """The whole run in one line."""
    return (
        f"{found['scenarios']} scenarios on {found['kernel']}, {found['calls']:,} calls in {found['seconds']} s: "
        f"{len(found['disagree'])} disagree, {len(found['not_run'])} not run, "
        f"{len(found['does_not_apply'])} do not apply to this kernel"
    )
