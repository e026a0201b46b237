"""What a running kernel was seen to do, held against the verdicts: measured encodings in corpus/pass and corpus/fail.

A `fail` encoding that is called proved is the worst defect there can be; of a `pass` encoding nothing may be refuted.
"""

from functools import cache
from pathlib import Path

import pytest

from verify.judge.encoding import Judge
from verify.models.schemes.registry import SCHEMES
from verify.survey.explanation import CPUS, brief_row

CORPUS = Path(__file__).parent / "corpus"
NOT_MODELLED = {"62f2e5107eca"}  # EVEX.b in a register form without rounding: #UD by the manual, run by this processor
FILES = {"linux_uprobes_6_18.tsv": "linux-uprobes-6.18"}


def rows(kind: str) -> list[tuple[str, str, list[str]]]:
    """Scheme, encoding and the remaining columns of every line."""
    found = []
    for path in sorted((CORPUS / kind).iterdir()):
        for line in path.read_text(encoding="ascii").splitlines():
            if line and not line.startswith("#"):
                text, *rest = line.split("\t")
                found.append((FILES[path.name], text, rest))
    return found


@cache
def judge(scheme: str) -> Judge:
    return Judge(SCHEMES[scheme])


def judged(scheme: str, text: str) -> tuple[str, set[str], str]:
    row = brief_row(bytes.fromhex(text), judge(scheme), CPUS["amd"]).row
    return row.verdict, set(row.observables), row.reason


def test_there_are_about_a_hundred_encodings_of_each_kind():
    assert len(rows("pass")) >= 100
    assert len(rows("fail")) >= 100


@pytest.mark.parametrize(("scheme", "text", "rest"), rows("fail"), ids=lambda v: v if isinstance(v, str) else "")
def test_what_the_kernel_gets_wrong_is_refuted_on_an_observable_that_differed(scheme, text, rest):
    verdict, observables, reason = judged(scheme, text)
    seen = set(rest[1].split(","))
    if text in NOT_MODELLED:
        assert verdict == "unknown"
        return
    if rest[2] == "undefined":  # the processor has no such instruction, but the scheme's decoder has
        assert verdict != "proved"
        return
    assert verdict == "refuted", reason
    delivered = {"fault"} if "trap" in seen else set()  # int1 and int3 raise their SIGTRAP as a fault
    assert observables & (seen | delivered)


@pytest.mark.parametrize(("scheme", "text", "rest"), rows("pass"), ids=lambda v: v if isinstance(v, str) else "")
def test_what_the_kernel_does_as_expected_is_not_refuted_on_what_the_measurement_sees(scheme, text, rest):
    assert rest == ["identical"]
    verdict, observables, reason = judged(scheme, text)
    assert verdict in {"proved", "refuted"}, reason
    assert not observables
