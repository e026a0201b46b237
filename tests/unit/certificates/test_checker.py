"""The checker accepts what follows by its rules, rejects what does not, and never ends otherwise."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from property.certificate_examples import DECLARED, HEAD, differ, sample, statement

from verify.certificates.checker import BY_REWRITING, REFUTED_BY, verdict
from verify.certificates.statement import Rejected, access, read

W = "(_ BitVec 64)"
A = "(Array (_ BitVec 4) (_ BitVec 64))"
ONE = "#x0000000000000001"
WITH_WRITE = f"{HEAD}{access('write8')}\n{DECLARED}"
FOLLOWS = {  # rule -> a statement that needs it
    "sum": differ("n1", "v1", f"{W} (bvadd v0 v1)", f"{W} (bvsub n0 v0)"),
    "complement in a sum": differ("n1", "n2", f"{W} (bvnot v0)", f"{W} (bvadd n0 {ONE})", f"{W} (bvneg v0)"),
    "product with a constant": differ("n1", "n0", f"{W} (bvmul v0 #x0000000000000002)", f"{W} (bvadd v0 v0)"),
    "low bits of a sum": statement(
        f"{W} (bvadd v0 v1)", "(_ BitVec 8) ((_ extract 7 0) n0)", "(_ BitVec 8) ((_ extract 7 0) v0)",
        "(_ BitVec 8) ((_ extract 7 0) v1)", "(_ BitVec 8) (bvadd n2 n3)", "(_ BitVec 1) (ite (= n1 n4) #b1 #b0)",
        "(_ BitVec 1) (bvnot n5)"),
    "xor": differ("n1", "v0", f"{W} (bvxor v0 v1)", f"{W} (bvxor n0 v1)"),
    "or by De Morgan": differ("n0", "n4", f"{W} (bvor v0 v1)", f"{W} (bvnot v0)", f"{W} (bvnot v1)",
                              f"{W} (bvand n1 n2)", f"{W} (bvnot n3)"),
    "slices": differ("n2", "v0", "(_ BitVec 128) (concat v1 v0)", "(_ BitVec 96) ((_ extract 95 0) n0)",
                     f"{W} ((_ extract 63 0) n1)"),
    "choice": differ("n1", "n2", "(_ BitVec 1) (bvnot v4)", f"{W} (ite (= v4 #b1) v0 v1)",
                     f"{W} (ite (= n0 #b1) v1 v0)"),
    "select of a store": differ("n1", "v0", f"{A} (store v2 #x3 v0)", f"{W} (select n0 #x3)"),
    "select past a store": differ("n1", "n2", f"{A} (store v2 #x3 v0)",
                                  f"{W} (select n0 #x4)", f"{W} (select v2 #x4)"),
    "a function of equals": statement(
        f"{W} (bvadd v0 v1)", f"{W} (bvadd v1 v0)", "(_ BitVec 8) (f0 n0)", "(_ BitVec 8) (f0 n1)",
        "(_ BitVec 1) (ite (= n2 n3) #b1 #b0)", "(_ BitVec 1) (bvnot n4)"),
    "sum in range": statement(
        "(_ BitVec 1) (ite (bvult v0 #x0000000000001000) #b1 #b0)", f"{W} (bvadd v0 #x0000000000000004)",
        "(_ BitVec 48) ((_ extract 47 0) n1)", f"{W} ((_ sign_extend 16) n2)", "(_ BitVec 1) (ite (= n3 n1) #b1 #b0)",
        "(_ BitVec 1) (bvnot n4)", "(_ BitVec 1) (bvand n5 n0)"),
    "written twice": statement(
        "Memory (write8 v3 v0 v1)", "Memory (write8 n0 v0 v0)", "Memory (write8 v3 v0 v0)",
        "(_ BitVec 1) (ite (= n1 n2) #b1 #b0)", "(_ BitVec 1) (bvnot n3)", head=WITH_WRITE),
    "cases": statement(
        f"{W} (ite (= v4 #b1) v0 v1)", f"{W} (bvadd n0 #x0000000000000001)", f"{W} (bvadd v0 #x0000000000000001)",
        f"{W} (bvadd v1 #x0000000000000001)", f"{W} (ite (= v4 #b1) n2 n3)", "(_ BitVec 1) (ite (= n1 n4) #b1 #b0)",
        "(_ BitVec 1) (bvnot n5)"),
}  # fmt: skip
DOES_NOT = {  # each a neighbour of one above that is false somewhere
    "a sum that is another": differ("n1", "v1", f"{W} (bvadd v0 v1)", f"{W} (bvsub n0 v1)"),
    "a high slice of a sum": statement(
        f"{W} (bvadd v0 v1)", "(_ BitVec 8) ((_ extract 15 8) n0)", "(_ BitVec 8) ((_ extract 15 8) v0)",
        "(_ BitVec 8) ((_ extract 15 8) v1)", "(_ BitVec 8) (bvadd n2 n3)", "(_ BitVec 1) (ite (= n1 n4) #b1 #b0)",
        "(_ BitVec 1) (bvnot n5)"),
    "arms not swapped": differ("n1", "n2", "(_ BitVec 1) (bvnot v4)", f"{W} (ite (= v4 #b1) v0 v1)",
                               f"{W} (ite (= n0 #b1) v0 v1)"),
    "registers that may be one": differ("n2", "n1", "(_ BitVec 4) ((_ extract 3 0) v0)", f"{W} (select v2 n0)",
                                        f"{W} (select v2 #x4)"),
    "sum beyond its range": statement(
        "(_ BitVec 1) (ite (bvult v0 #x0000800000000000) #b1 #b0)", f"{W} (bvadd v0 #x0000000000000004)",
        "(_ BitVec 48) ((_ extract 47 0) n1)", f"{W} ((_ sign_extend 16) n2)", "(_ BitVec 1) (ite (= n3 n1) #b1 #b0)",
        "(_ BitVec 1) (bvnot n4)", "(_ BitVec 1) (bvand n5 n0)"),
    "written beside": statement(
        f"{W} (bvadd v0 {ONE})", "Memory (write8 v3 v0 v1)", "Memory (write8 n1 n0 v0)", "Memory (write8 v3 n0 v0)",
        "(_ BitVec 1) (ite (= n2 n3) #b1 #b0)", "(_ BitVec 1) (bvnot n4)", head=WITH_WRITE),
    "odd and even": differ("n0", "n1", f"{W} (bvmul v0 #x0000000000000002)", f"{W} (bvmul v1 #x0000000000000002)"),
    "nothing asserted that is false": statement("(_ BitVec 1) (bvor v4 #b1)"),
}  # fmt: skip


@pytest.mark.parametrize("rule", FOLLOWS)
def test_what_follows_is_accepted(rule: str) -> None:
    assert verdict(FOLLOWS[rule], BY_REWRITING) == "proved"


@pytest.mark.parametrize("name", DOES_NOT)
def test_what_does_not_follow_is_rejected(name: str) -> None:
    with pytest.raises(Rejected, match=r"no.* contradiction"):
        verdict(DOES_NOT[name], BY_REWRITING)


REFUTES = f'{REFUTED_BY}{{"v4":"1"}}'
BIT = statement("(_ BitVec 1) (bvand v4 v4)", head="(set-logic QF_AUFBV)\n(declare-fun v4 () (_ BitVec 1))\n")


def test_an_assignment_in_which_all_assertions_hold_refutes() -> None:
    assert verdict(BIT, REFUTES) == "refuted"


@pytest.mark.parametrize("evidence", [
    f'{REFUTED_BY}{{"v4":"0"}}', f"{REFUTED_BY}{{}}", f'{REFUTED_BY}{{"v4":"2"}}', f'{REFUTED_BY}{{"v4":1}}',
    REFUTED_BY,
    f'{REFUTED_BY}{{"v4":"01"}}', f'{REFUTED_BY}{{"v4":["1"]}}', f"{REFUTED_BY}[1]", f"{REFUTED_BY}{'[' * 100_000}", "",
    "proved", BY_REWRITING, f"{BY_REWRITING} {BY_REWRITING}", '{"v4":"1"}',
])  # fmt: skip
def test_other_evidence_is_rejected(evidence: str) -> None:
    with pytest.raises(Rejected):
        verdict(BIT, evidence)


def test_a_function_has_one_value_for_its_arguments() -> None:
    text = statement("(_ BitVec 8) (f0 v0)", "(_ BitVec 8) (f0 v1)", "(_ BitVec 1) (ite (= n0 n1) #b1 #b0)",
                     "(_ BitVec 1) (bvnot n2)")  # fmt: skip
    rows = '"f0":[["0","1"],["{}","2"]]'
    values = '"v0":"0","v2":{"a":"1"},"v3":{},"v4":"0"'
    assert verdict(text, f'{REFUTED_BY}{{{values},"v1":"5",{rows.format(5)}}}') == "refuted"
    with pytest.raises(Rejected, match="two values"):
        verdict(text, f'{REFUTED_BY}{{{values},"v1":"0",{rows.format(0)}}}')
    with pytest.raises(Rejected, match="no row"):
        verdict(text, f'{REFUTED_BY}{{{values},"v1":"6",{rows.format(5)}}}')


@pytest.mark.parametrize(("statement_", "evidence", "status", "said"), [
    (FOLLOWS["sum"], BY_REWRITING, 0, "proved\n"), (BIT, REFUTES, 0, "refuted\n"), (BIT, BY_REWRITING, 1, "rejected: "),
    ("", BY_REWRITING, 1, "rejected: "),
])  # fmt: skip
def test_it_runs_alone(tmp_path: Path, statement_: str, evidence: str, status: int, said: str) -> None:
    """With nothing but its own modules and the standard library."""
    (tmp_path / "s").write_text(statement_)
    (tmp_path / "e").write_text(evidence)
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r}); import runpy; " \
           f"sys.argv = ['checker', {str(tmp_path / 's')!r}, {str(tmp_path / 'e')!r}]; " \
           "runpy.run_module('verify.certificates.checker', run_name='__main__')"  # fmt: skip
    found = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout[: len(said)]) == (status, said), found.stderr


def test_usage_and_files_that_are_not_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "verify.certificates.checker"]
    for more in ([], [str(tmp_path), str(tmp_path)], [str(tmp_path / "none"), str(tmp_path / "none")]):
        found = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
        assert found.returncode == 64
        assert found.stderr.count("\n") == 1


def test_a_changed_text_is_rejected_or_is_still_a_statement() -> None:
    """Random characters changed: no other exception than Rejected."""
    random = Random(5)
    for text in (*FOLLOWS.values(), *sample(20, 3)):
        for _ in range(20):
            at = random.randrange(len(text))
            other = random.choice(["", "0", "1", "(", ")", " ", "\n", "v0", "x", "bv", "9" * 30])
            changed = text[:at] + other + text[at + 1 :]
            try:
                read(changed)
            except Rejected:
                continue
