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


BITS8 = "(_ BitVec 8)"
NO_STATEMENTS = {  # what an attacker may try -> a definition, or a whole text
    "a negative constant": statement(f"{BITS8} (bvadd #x-5 #x05)", "(_ BitVec 1) (ite (= n0 #x00) #b1 #b0)"),
    "a signed constant": statement(f"{BITS8} (bvadd #x+5 #x05)", "(_ BitVec 1) (ite (= n0 #x00) #b1 #b0)"),
    "an underscore": statement("(_ BitVec 11) ((_ extract 1_0 0) v0)", "(_ BitVec 1) ((_ extract 0 0) n0)"),
    "digits of another script": statement(f"{BITS8} ((_ extract \u0667 0) v0)", "(_ BitVec 1) ((_ extract 0 0) n0)"),
    "a narrower extension": statement("(_ BitVec 63) ((_ zero_extend -1) v0)", "(_ BitVec 1) ((_ extract 0 0) n0)"),
    "no width": statement("(_ BitVec 0) ((_ zero_extend 0) v0)", "(_ BitVec 1) (bvand v4 v4)"),
    "an operation of the checker's own": statement("(_ BitVec 1) (ult v0 v1)"),
    "truth without a choice": statement("(_ BitVec 1) (bvult v0 v1)"),
    "a store of another width": statement(f"{A} (store v2 #x03 v0)", "(_ BitVec 1) (bvand v4 v4)"),
    "a definition of itself": statement("(_ BitVec 1) (bvnot n0)"),
    "definitions of each other": statement("(_ BitVec 1) (bvnot n1)", "(_ BitVec 1) (bvnot n0)"),
    "a name twice": statement("(_ BitVec 1) (bvnot v4)").replace("v1 ()", "v0 ()"),
    "an access defined otherwise": statement(
        "(_ BitVec 1) (bvnot v4)", head=WITH_WRITE.replace("store m p", "store m v")),
    "a wide constant": statement(f"(_ BitVec 1) (ite (= #x{'0' * 40_000} #x{'1' * 40_000}) #b1 #b0)"),
    "deep nesting": statement(f"(_ BitVec 1) {'(bvnot ' * 100_000}v4{')' * 100_000}"),
    "a huge number": statement(f"(_ BitVec 1) ((_ extract {'9' * 100_000} 0) v0)"),
    "many wide nodes": statement("(_ BitVec 131000) ((_ sign_extend 130936) v0)", *(
        f"(_ BitVec 131000) (bvadd n{i} n{i})" for i in range(4100)), "(_ BitVec 1) (bvand v4 v4)"),
    "cut short": FOLLOWS["sum"][:-20],
    "nothing": "",
}  # fmt: skip


@pytest.mark.parametrize("name", NO_STATEMENTS)
def test_what_is_no_statement_is_rejected_with_the_place(name: str) -> None:
    with pytest.raises(Rejected, match=r"^line \d+: |^a statement begins|no characters of a statement"):
        verdict(NO_STATEMENTS[name], BY_REWRITING)


def test_two_functions_are_two_whatever_their_names() -> None:
    declared = "".join(f"(declare-fun {f} ({W}) {BITS8})\n" for f in ("f1", "v7", "v8"))
    for one, two in (("f0", "f1"), ("v7", "v8"), ("f0", "v7")):
        text = statement(f"{BITS8} ({one} v0)", f"{BITS8} ({two} v0)", "(_ BitVec 1) (ite (= n0 n1) #b1 #b0)",
                         "(_ BitVec 1) (bvnot n2)", head=HEAD + DECLARED + declared)  # fmt: skip
        with pytest.raises(Rejected):
            verdict(text, BY_REWRITING)


def chain(body: str, number: int, *more: str) -> str:
    return statement(*(body.format(n=f"n{i}" if i >= 0 else "v0") for i in range(-1, number)), *more)


COSTLY = {  # statements whose proof or value takes the square of their length or more, by what grows
    "sums": chain(f"{W} (bvadd {{n}} v1)", 4_000, "(_ BitVec 1) ((_ extract 3 3) n1)"),
    "conjuncts": HEAD + DECLARED + "".join(
        f"(define-fun n{i} () (_ BitVec 1) (ite (bvult v0 #x{i:016x}) #b1 #b0))\n(assert (= n{i} #b1))\n"
        for i in range(1, 300)) + "(check-sat)\n",
    "choices within choices": chain(f"{W} (ite (= v4 #b1) {{n}} v1)", 4_000, "(_ BitVec 1) ((_ extract 3 3) n1)"),
    "powers": chain(f"{W} (bvmul {{n}} {{n}})", 4_000, "(_ BitVec 1) ((_ extract 3 3) n4000)"),
    "registers": statement(
        *(f"{A} (store {f'n{i - 1}' if i else 'v2'} ((_ extract 3 0) v0) v1)".replace("((_ extract 3 0) v0)", "#x1")
          for i in range(5_000)), "(_ BitVec 1) (ite (= n4999 v2) #b1 #b0)"),
}  # fmt: skip


@pytest.mark.parametrize("name", COSTLY)
def test_what_would_take_long_is_rejected(name: str) -> None:
    """Work is counted, and recursion is bounded."""
    with pytest.raises(Rejected):
        verdict(COSTLY[name], BY_REWRITING)
    with pytest.raises(Rejected):
        verdict(COSTLY[name], f'{REFUTED_BY}{{"v0":"1"}}')


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
