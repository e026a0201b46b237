"""Every store and every read of memory is in the log of accesses, whose places the theorem compares."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from random import Random

import pytest
from access_log import outside_the_log

from verify.claim.conditions import verification_condition
from verify.claim.probes import probe_of
from verify.models.schemes.identity import SCHEME
from verify.models.x86.isa.encode import decoded_representatives
from verify.models.x86.isa.forms import Cpu, Form, all_forms, form
from verify.models.x86.machine import Outcome, symbolic_state
from verify.models.x86.semantics.dispatch import execute
from verify.models.x86.semantics.run import Run
from verify.terms import FALSE, var

SEED = 11


def outcome(f: Form, cpu: Cpu) -> Outcome | None:
    for decoded in islice(decoded_representatives(f, cpu), 1):
        setup = verification_condition(probe_of(decoded, SCHEME)).setup
        return execute(setup.original, symbolic_state(var("origin", 64)))
    return None


def wrong(forms: list[Form]) -> list[str]:
    found = ((f.name, o) for f in forms for cpu in Cpu if (o := outcome(f, cpu)) is not None)
    return [f"{name}: {row}" for name, o in found for row in outside_the_log(o)]


def test_a_sample_of_the_forms_accesses_what_is_logged_alone() -> None:
    assert wrong(Random(SEED).sample(list(all_forms()), 60)) == []


@pytest.mark.whole
def test_every_form_accesses_what_is_logged_alone() -> None:
    assert wrong(list(all_forms())) == []


@pytest.mark.parametrize(("name", "outside"), [
    ("PUSH_R64/none", ["store of 8"]), ("CMPXCHG16B_M128/mem", ["store of 16", "read of 16"]),
    ("SGDT_M1664/mem", ["store of 10"]), ("LODSB_AL_M8/none", ["read of 1"]),
])  # fmt: skip
def test_an_access_that_is_not_noted_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, outside: list[str]
) -> None:
    monkeypatch.setattr(Run, "note", lambda *_: None)
    assert sorted({row.split(": ")[1].partition(" at")[0] for row in wrong([form(name)])}) == sorted(outside)


def test_a_store_that_is_logged_as_not_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    note = Run.note
    monkeypatch.setattr(Run, "note", lambda self, access: note(self, replace(access, condition=FALSE)))
    assert wrong([form("SGDT_M1664/mem")])
