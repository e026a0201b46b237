"""Each mutant scheme is killed: the prover refutes the named obligation on every witness, the reference keeps it.

An obligation that falls with the named one because its value depends on it is in CONSEQUENCES; nothing else may fall.
"""

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from verify.claim.conditions import field_values
from verify.claim.verdicts import Verdict
from verify.judge.counterexample import counterexample
from verify.judge.encoding import Judge, Judgement
from verify.models.schemes.linux.uprobes_6_18 import SCHEME as REAL
from verify.models.x86.isa.forms import Cpu

FILES = sorted((Path(__file__).parent / "schemes").glob("*.py"))
WRONG_ADDRESS = {"gprs", "memory-values", "fault"}  # what is loaded, and whether the page is there
CONSEQUENCES = {
    "base_is_origin": WRONG_ADDRESS,
    "rex_b_not_cleared": WRONG_ADDRESS,
    "vex_b_not_set": WRONG_ADDRESS | {"flags"},  # andn: flags of the loaded value
    "scratch_ignores_vvvv": {"flags"},  # andn: its source is overwritten
    "scratch_is_rax": {"flags"},  # div: rax is the dividend
}


@cache
def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mutant_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def judged(stem: str, text: str) -> tuple[Judge, Judgement]:
    """A mutant's judgement of one of its witnesses, and the judge."""
    judge = Judge(loaded(Path(__file__).parent / "schemes" / f"{stem}.py").SCHEME)
    return judge, judge.judgement(bytes.fromhex(text), Cpu.AMD)


def refuted(judgement: Judgement) -> set[str]:
    assert Verdict.UNKNOWN not in dict(judgement.observables).values()
    return {name for name, verdict in judgement.observables if verdict is Verdict.REFUTED}


WITNESSES = [(path.stem, text) for path in FILES for text in loaded(path).WITNESSES]


def test_every_mutation_that_the_issue_names_is_there():
    stems = {path.stem for path in FILES}
    assert len(stems) >= 15
    assert stems >= {
        "no_scratch_restore", "scratch_ignores_vvvv", "scratch_is_rax", "no_ip_fixup", "no_call_fixup",
        "tf_not_cleared", "rex_b_not_cleared", "abort_forgets_scratch", "condition_swapped", "opcode_map_forgotten",
    }  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_mutant_changes_the_plan_of_its_witnesses_and_not_of_a_nop(path):
    mutant = loaded(path)
    reference = getattr(mutant, "CORRECTED", REAL)
    for text in mutant.WITNESSES:
        data = bytes.fromhex(text).ljust(16, b"\x90")
        assert mutant.SCHEME.plan(data) != reference.plan(data), text
    untouched = bytes.fromhex("0f1f440000").ljust(16, b"\x90")
    assert mutant.SCHEME.plan(untouched) == REAL.plan(untouched)


@pytest.mark.parametrize(("stem", "text"), WITNESSES)
def test_mutant_is_killed_by_its_named_obligation_alone(stem, text):
    mutant = loaded(Path(__file__).parent / "schemes" / f"{stem}.py")
    _, found = judged(stem, text)
    assert mutant.OBLIGATION in refuted(found)
    assert refuted(found) == {mutant.OBLIGATION} | CONSEQUENCES.get(stem, set())


@pytest.mark.parametrize(("stem", "text"), WITNESSES)
def test_the_reference_scheme_keeps_the_obligation_on_the_same_witness(stem, text):
    mutant = loaded(Path(__file__).parent / "schemes" / f"{stem}.py")
    found = Judge(getattr(mutant, "CORRECTED", REAL)).judgement(bytes.fromhex(text), Cpu.AMD)
    verdicts = dict(found.observables)
    assert verdicts[mutant.OBLIGATION] is Verdict.PROVED
    assert refuted(found) == set()


@pytest.mark.parametrize(("stem", "text"), WITNESSES)
def test_the_counterexample_of_a_mutant_shows_two_different_values(stem, text):
    judge, found = judged(stem, text)
    for deviation in found.deviations:
        assert deviation.query.holds(deviation.witness, field_values(found.probe))
    shown = counterexample(found, judge.assumptions)
    assert shown.data == text
    here, there = dict(shown.in_place), dict(shown.displaced)
    assert here.keys() == there.keys() and here
    assert all(here[name] != there[name] for name in here)
