"""What verdicts rest on: the short ways to the answer agree with building and deciding everything again."""

from dataclasses import replace
from random import Random

import pytest

from verify.claim.obligations import Builder
from verify.claim.probes import Probe, probe
from verify.claim.verdicts import Verdict
from verify.judge.dependence import Dependence
from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Refuse, Scheme
from verify.models.x86.isa.encode import representatives
from verify.models.x86.isa.forms import Cpu, all_forms
from verify.survey.explanation import CPUS, encoding_row

LINUX = Judge(SCHEMES["linux-uprobes-6.18"])
SAMPLE = 14  # forms; all kinds of plan are among the encodings below
ENCODINGS = (
    "4889d8", "488b1d11223344", "8903", "a4", "f3a4", "9c", "9d", "55", "4154", "e811223344", "ffd3", "ff13", "66ffd3",
    "48ff1b", "c3", "cb", "7405", "eb05", "0f1f440000", "0f0b", "c5f877", "c7f800000000", "f30f1ec8", "0f05", "d9e8",
    "c8100001", "62f27d48a0040a", "c4e27d900c0a", "0fae13", "f30fa7c0", "0f01d6", "c5f8e8c0",
)  # fmt: skip


def random_encodings() -> list[str]:
    forms = Random(9).sample(sorted(all_forms(), key=lambda f: f.name), SAMPLE)
    return [data.hex() for f in forms for data in list(representatives(f, Cpu.AMD))[:1]]


def decided_again(p: Probe) -> set[str]:
    """Every assumption dropped, everything built and decided."""
    other = Dependence(Builder(ASSUMPTIONS))
    built, plans = other._built(p, LINUX._proved(p)), dict(p.scheme.otherwise)
    probes = {name: replace(p, plan=plans[name](p.data)) if name in plans else p for name in ASSUMPTIONS}
    return {n for n, q in probes.items() if not isinstance(q.plan, Refuse) and other._falls(n, q, built)}


@pytest.mark.parametrize("text", [*ENCODINGS, *random_encodings()])
def test_what_is_plain_is_what_deciding_gives(text):
    p = probe(bytes.fromhex(text), LINUX.scheme, Cpu.AMD)
    if LINUX.judged(p).verdict in {None, Verdict.REFUSED, Verdict.UNKNOWN}:
        assert LINUX.rests_on(p, ASSUMPTIONS) == set()
    else:
        assert LINUX.rests_on(p, ASSUMPTIONS) == decided_again(p)


def test_a_rip_relative_operand_rests_on_how_wide_the_bytes_are_analysed():
    relative, plain = (probe(bytes.fromhex(t), LINUX.scheme, Cpu.AMD) for t in ("8b0511223344", "8b03"))
    name = frozenset({"analysed-as-64-bit"})
    assert (LINUX.rests_on(relative, name), LINUX.rests_on(plain, name)) == (name, set())
    rows = [encoding_row(p.data[: p.decoded.layout.length], LINUX, CPUS["amd"]) for p in (relative, plain)]
    assert [name <= set(row.rests_on) for row in rows] == [True, False]


def test_nothing_rests_on_an_assumption_under_a_scheme_that_does_nothing():
    judge = Judge(SCHEMES["identity"])
    assert judge.rests_on(probe(b"\x8b\x03", judge.scheme, Cpu.AMD), ASSUMPTIONS) == set()


OF_THE_PROBE = {"code-mapped", "user-half", "no-alignment-check", "canonical-targets"}
ASKED = ("4889d8", "8903", "9d", "55", "e811223344", "c5f877", "8b0511223344", "0f31", "0fae00", "0f01d0")


def rested_on(scheme: Scheme) -> set[str]:
    judge, found = Judge(scheme), set()
    for text in ASKED:
        found |= judge.rests_on(probe(bytes.fromhex(text), scheme, Cpu.INTEL), ASSUMPTIONS)
    return found - OF_THE_PROBE


def listed(scheme: Scheme) -> set[str]:
    return {e.name for e in scheme.entries}


@pytest.mark.parametrize("name", SCHEMES)
def test_what_verdicts_of_a_scheme_rest_on_is_listed_at_the_scheme(name):
    """But for what is said of the probed code and of single forms: CAVEATS, "Assumptions in force"."""
    scheme = SCHEMES[name]
    assert rested_on(scheme) == listed(scheme) & ASSUMPTIONS
    assert scheme.holds - ASSUMPTIONS <= listed(scheme)  # what no option drops is told by the entry alone


def test_what_a_scheme_forgets_is_told():
    scheme = SCHEMES["inline-step-hwbp"]
    forgetful = replace(scheme, entries=scheme.entries[1:], holds=scheme.holds - {"fault-frame"})
    assert rested_on(forgetful) - listed(forgetful) == {scheme.entries[0].name, "fault-frame"}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
def test_a_deviation_is_listed_once(scheme):
    assert len(listed(scheme)) == len(scheme.entries)


def test_what_is_plain_of_another_scheme_is_what_deciding_gives():
    """Stepped where it stands: the host's signal says what the processor's trap does, nothing is stored or mapped."""
    judge = Judge(SCHEMES["inline-step"])
    p = probe(b"\x8b\x03", judge.scheme, Cpu.AMD)
    other = Dependence(Builder(ASSUMPTIONS))
    built = other._built(p, judge._proved(p))
    names = ASSUMPTIONS - judge.scheme.holds
    assert judge.rests_on(p, ASSUMPTIONS) == {n for n in names if other._falls(n, p, built)}


def test_an_answer_does_not_depend_on_what_was_asked_before():
    first, second = Judge(LINUX.scheme), Judge(LINUX.scheme)
    p = probe(bytes.fromhex("e811223344"), LINUX.scheme, Cpu.AMD)
    some = {name: first.rests_on(p, frozenset({name})) for name in sorted(ASSUMPTIONS, reverse=True)}
    assert frozenset().union(*some.values()) == second.rests_on(p, ASSUMPTIONS)
