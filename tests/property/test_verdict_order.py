"""A verdict is a function of bytes, scheme, assumptions and vendor: never of order, company, ledger or jobs."""

from __future__ import annotations

from random import Random

import pytest

from verify.judge import encoding as module
from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.x86.isa.encode import random_encoding
from verify.models.x86.isa.forms import Cpu, all_forms, form
from verify.survey import encodings
from verify.survey.encodings import NOTHING, KnownResults, classified
from verify.survey.ledger import Ledger

SEED = 20260
SCHEME = SCHEMES[DEFAULT]
# Forms that are refuted in some encodings alone, so that an encoding is asked about with its own fields.
MIXED = (
    "PUSHFQ/none", "JMP_RM64/rip", "EVEX_VPSUBSB_YMM_K1Z_YMM_YMMM256/mem", "MOV_RM64_R64/rip", "LEA_R64_M/rip",
    "CALL_RM64/mem", "VEX_VMOVDQU_YMM_YMMM256/rip", "MOVSHDUP_XMM_XMMM128/rip", "LOOP_REL8_64_RCX/none",
    "VEX_VPGATHERDD_XMM_VM32X_XMM/mem", "XCHG_RM32_R32/rip", "POP_RM64/mem",
)  # fmt: skip
REPORTED = ("f364660f163d00000000", "f30f163d00000000", "d5009c", "9c", "66909c", "f00f05", "4146ff1d00000000", "0fff")


def sample(forms: int) -> list[str]:
    """Encodings of mixed forms and of so many others, up to three of each."""
    rng, found = Random(SEED), dict.fromkeys(REPORTED)
    kinds = [*(form(name) for name in MIXED), *rng.sample(all_forms(), forms)]
    for f in kinds:
        for _ in range(2 if forms < len(MIXED) else 3):
            try:
                found[random_encoding(f, rng, Cpu.AMD).hex()] = None
            except ValueError:
                break
    return list(found)


def rows(lines: list[str], jobs: int, known: KnownResults = NOTHING) -> dict[str, tuple[object, ...]]:
    numbered = enumerate((line.encode() for line in lines), 1)
    found = classified(numbered, SCHEME, "any", ASSUMPTIONS, jobs, known)
    return {f.row.bytes: (f.row.verdict, f.row.observables, f.row.reason) for f in found}


@pytest.fixture(scope="module", params=[8, pytest.param(25, marks=pytest.mark.whole)])
def lines(request: pytest.FixtureRequest) -> list[str]:
    return sample(request.param)


@pytest.fixture(scope="module")
def alone(lines: list[str]) -> dict[str, tuple[object, ...]]:
    """What a judge that has seen nothing else says of each."""
    return {line: rows([line], 1)[line] for line in lines}


def test_verdicts_do_not_depend_on_order_or_company(lines, alone):
    rng = Random(SEED)
    assert {v for v, _, _ in alone.values()} >= {"proved", "refuted", "refused", "unknown"}
    assert rows(lines, 1) == alone
    for _ in range(2):
        shuffled = rng.sample(lines, len(lines))
        cut = rng.randrange(len(lines))
        assert rows(shuffled, 1) == alone
        assert {**rows(shuffled[:cut], 1), **rows(shuffled[cut:], 1)} == alone


def test_verdicts_do_not_depend_on_jobs(lines, alone, monkeypatch):
    monkeypatch.setattr(encodings, "CHUNK", 7)
    assert rows(lines[::-1], 2) == alone


@pytest.mark.parametrize("jobs", [1, 2])
def test_verdicts_do_not_depend_on_the_ledger(lines, alone, tmp_path, monkeypatch, jobs):
    """The ledger knows half of the sample, judged in another order and with witnesses made small."""
    monkeypatch.setattr(encodings, "CHUNK", 20)
    first = Judge(SCHEME)
    for line in lines[::-2]:
        for cpu in Cpu:
            first.judgement(bytes.fromhex(line), cpu)
    ledger = Ledger(tmp_path, "some")
    ledger.add(first.decisions.known.items())
    ledger.classes(ASSUMPTIONS).add(first.newly_decided)
    again = Ledger(tmp_path, "some")
    known = KnownResults(again.decisions, again.classes(ASSUMPTIONS).known())
    assert known.classes and known.decisions
    assert rows(lines, jobs, known) == alone


def test_a_dispute_is_about_bytes_and_not_about_their_class(monkeypatch):
    """Both encodings are of one class; the second decoder is made to dispute one of them."""
    monkeypatch.setattr(module, "disagreement", lambda data, _: "seeded" if data[-1] == 0xC3 else None)
    plain, disputed = "4889d8", "4889c3"
    one, other = (Judge(SCHEME).judgement(bytes.fromhex(x), Cpu.AMD).probe.key for x in (plain, disputed))
    assert one == other
    for order in ([plain, disputed], [disputed, plain]):
        found = rows(order, 1)
        assert (found[plain][0], found[disputed][0]) == ("proved", "unknown")
        assert "seeded" in str(found[disputed][2])
