"""Certificates of liveness: the stored ones are granted, and each seeded fault is told by name."""

from __future__ import annotations

from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest
from sampling import sampled

from verify.concurrency.protocols import names, protocol
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded import liveness_store
from verify.concurrency.unbounded.check import Checked
from verify.report.explorations import StoredLiveness
from verify.report.records import decoded, replaced

PROOFS = Path(__file__).parents[4] / "proofs" / "protocols"
ONE = protocol("inline-step")
QUICK = ("inline-step", "int3-patch", "jump-xol", "ref-count", "return-probe", "xol-unmap")


def stored(name: str = "inline-step") -> StoredLiveness:
    return decoded(liveness_store.path_of(PROOFS, protocol(name)).read_bytes(), StoredLiveness)


def judged(certificate: StoredLiveness, **fairness: str | None) -> Checked:
    """By one solver, of the protocol with other fairness of some steps."""
    steps = tuple(changed(step, fair=fairness.get(step.name, step.fair)) for step in ONE.steps)
    return liveness_store.judge_certificate(PROOFS, changed(ONE, steps=steps), certificate, ("z3",))


@pytest.mark.parametrize(
    "name", [*sampled(QUICK, 2), *(pytest.param(n, marks=pytest.mark.whole) for n in names() if n not in QUICK)]
)
def test_the_stored_certificate_is_granted_by_every_solver(name: str) -> None:
    found = liveness_store.judge(PROOFS, protocol(name))
    assert found is not None
    assert found.holds, found.failed
    assert set(found.proved) == {p.name for p in protocol(name).properties if p.kind == "eventually"}


def test_a_certificate_made_anew_is_the_stored_one() -> None:
    assert liveness_store.make(PROOFS, ONE, Limits()) == stored()


def failed(found: Checked) -> set[str]:
    return {condition.removeprefix("liveness: ") for _, condition, _ in found.failed}


def without_edge(found: StoredLiveness) -> dict[str, Any]:
    first, _, rest = found.edges["take_out: t as 0"].partition(">")
    return {"edges": {**found.edges, "take_out: t as 0": f"{first}>{int(rest) - 1}"}}


SEEDED = [
    (lambda c: {"records": (c.records[0], c.records[0], *c.records[2:])}, "exec_int3, t as (0,)"),
    (without_edge, "take_out, t as (0,)"),
    (lambda c: {"enabled": {**c.enabled, "step": "0-5"}}, "step enabled"),
    (lambda c: {"shared": (c.shared[1], c.shared[1])}, "initial"),
    (lambda c: {"proves": (replaced(c.proves[0], claimed="0-5"), c.proves[1])}, "claim of a_step_ends"),
    (lambda c: {"proves": (replaced(c.proves[0], unmet="0-5"), c.proves[1])}, "no premise of a_step_ends"),
    (lambda c: {"proves": (replaced(c.proves[0], rules=c.proves[0].rules[1:]), c.proves[1])}, "a_step_ends"),
]


@pytest.mark.parametrize(("change", "told"), SEEDED, ids=[told for _, told in SEEDED])
def test_a_fault_in_a_certificate_is_told(change: Any, told: str) -> None:
    certificate = stored()
    assert judged(certificate).holds
    assert told in failed(judged(replaced(certificate, **change(certificate))))


def test_fairness_is_that_of_the_protocol_not_of_the_certificate() -> None:
    assert failed(judged(stored(), take_out="weak")) >= {"a_trapped_thread_steps"}
    assert failed(judged(stored(), put_back=None)) >= {"a_step_ends", "a_trapped_thread_steps"}


def test_a_certificate_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="a certificate of inline-step"):
        liveness_store.judge_certificate(PROOFS, ONE.with_variant("two-steppers"), stored())
    other = replaced(stored(), proves=(replaced(stored().proves[0], property="no_missed_hit"),))
    with pytest.raises(ValueError, match="no_missed_hit is no property"):
        judged(other)
