"""Classes of one kind have the same obligations, observable by observable, in canonical names."""

from __future__ import annotations

from functools import cache
from itertools import islice
from random import Random

import pytest

from verify.claim import kinds
from verify.claim.kinds import Kinds
from verify.claim.obligations import Builder
from verify.claim.probes import Probe, probe_of
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Refuse
from verify.models.x86.isa.encode import decoded_representatives
from verify.models.x86.isa.forms import Cpu, all_forms
from verify.smt.canonical import canonical

SEED, FORMS, EACH, PAIRS = 7, 900, 3, 120


@cache
def classes() -> list[Probe]:
    """One encoding of each class that the first encodings of some forms are in."""
    found: dict[object, Probe] = {}
    for f in Random(SEED).sample(all_forms(), FORMS):
        for d in islice(decoded_representatives(f, Cpu.AMD), EACH):
            p = probe_of(d, SCHEMES["linux-uprobes-6.18"])
            if not isinstance(p.plan, Refuse):
                found.setdefault(p.shared_key, p)
    return list(found.values())


def pairs() -> list[tuple[Probe, Probe]]:
    """Classes of one kind, a seeded sample."""
    of, first, found = Kinds(ASSUMPTIONS).of, dict[int, Probe](), []
    for p in classes():
        other = first.setdefault(of(p), p)
        if other is not p:
            found.append((other, p))
    return Random(SEED).sample(found, min(PAIRS, len(found)))


def texts(p: Probe) -> list[tuple[str, str]]:
    """Each observable with its obligation in canonical names."""
    return [(o.observable, canonical(o.roots).text) for o in Builder(ASSUMPTIONS).built(p).obligations()]


def differing(of_one_kind: list[tuple[Probe, Probe]]) -> list[str]:
    return [f"{a.data.hex()} {b.data.hex()}" for a, b in of_one_kind if texts(a) != texts(b)]


def test_classes_of_one_kind_have_the_same_obligations() -> None:
    found = pairs()
    assert len(found) > PAIRS // 2
    assert differing(found) == []


def test_a_kind_that_forgets_what_instructions_do_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "done", lambda instruction: ())
    assert differing(pairs()[:20]) != []
