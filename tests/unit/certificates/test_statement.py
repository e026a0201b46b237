"""Statements are read as SMT-LIB has them, and whatever else is rejected with its line."""

import pytest
import z3
from property.certificate_examples import DECLARED, HEAD, differ, statement

from verify.certificates.statement import Rejected, access, read

B1 = "(_ BitVec 1)"
WRONG = {
    "no logic": "(check-sat)\n",
    "another logic": "(set-logic QF_BV)\n(check-sat)\n",
    "no end": HEAD,
    "text behind the end": statement(f"{B1} (bvnot v4)") + "(assert (= n0 #b1))\n",
    "a name that is not declared": statement(f"{B1} (bvnot v9)"),
    "a name of a later line": statement(f"{B1} (bvnot n1)", f"{B1} (bvnot v4)"),
    "a name twice": HEAD + DECLARED + DECLARED,
    "a definition twice": statement(f"{B1} (bvnot v4)").replace(
        "(assert", f"(define-fun n0 () {B1} (bvnot v4))\n(assert"),
    "a function redeclared": statement(f"{B1} (bvnot v4)", head=HEAD + DECLARED + "(declare-fun f0 () (_ BitVec 8))\n"),
    "another sort than declared": statement("(_ BitVec 2) (bvnot v4)"),
    "operands of two widths": statement("(_ BitVec 64) (bvadd v0 #x00)"),
    "a sum of arrays": statement("(Array (_ BitVec 4) (_ BitVec 64)) (bvadd v2 v2)"),
    "an array as a bit": statement(f"{B1} (ite (= v2 #b1) v4 v4)"),
    "arms of two sorts": statement("(_ BitVec 64) (ite (= v4 #b1) v0 #x00)"),
    "bits that are not there": statement("(_ BitVec 65) ((_ extract 64 0) v0)"),
    "a slice upside down": statement("(_ BitVec 1) ((_ extract 0 1) v0)"),
    "an index of another width": statement("(_ BitVec 64) (select v2 #b1)"),
    "a value of another width": statement("(Array (_ BitVec 4) (_ BitVec 64)) (store v2 #x0 #x00)"),
    "an argument too many": statement("(_ BitVec 8) (f0 v0 v0)"),
    "an operand too many": statement("(_ BitVec 64) (bvadd v0 v0 v0)"),
    "an operation that there is not": statement("(_ BitVec 64) (bvnand v0 v0)"),
    "a nested term": statement("(_ BitVec 64) (bvadd (bvnot v0) v0)"),
    "a load that is not defined": statement("(_ BitVec 64) (load8 v3 v0)"),
    "a load that is defined otherwise": statement(
        "(_ BitVec 64) (load8 v3 v0)", head=HEAD + access("load8").replace("#x0000000000000001", "#x0000000000000002")
        + "\n" + DECLARED),
    "a width of none": statement("(_ BitVec 0) (bvnot v0)"),
    "a width too many": HEAD + "(declare-fun v0 () (_ BitVec 999999))\n(check-sat)\n",
    "assertion of more than a bit": statement("(_ BitVec 64) (bvnot v0)"),
    "digits that are none": differ("v0", "#xg000000000000000"),
    "another sort Memory": statement(f"{B1} (bvnot v4)", head=HEAD.replace("BitVec 8", "BitVec 16")),
    "a command that there is not": HEAD + "(declare-const v0 (_ BitVec 1))\n(check-sat)\n",
    "deep brackets": HEAD + "(" * 100_000 + "\n(check-sat)\n",
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_statement_is_rejected(name: str) -> None:
    with pytest.raises(Rejected):
        read(WRONG[name])


def test_a_statement_has_so_many_nodes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verify.certificates.statement.MOST", 20)
    with pytest.raises(Rejected, match="more than 20 nodes"):
        read(statement(*[f"{B1} (bvnot v4)"] * 20))


@pytest.mark.parametrize("name", ["load1", "load8", "load64", "write1", "write8", "write64"])
def test_an_access_is_what_its_bytes_are(name: str) -> None:
    """Against the solver's arrays: byte i of a value lies at address p + i."""
    solver = z3.Solver()
    size = int(name.lstrip("loadwrite"))
    load = f"(declare-fun r () (_ BitVec {8 * size}))\n(assert (= r (load{size} m0 p0)))\n"
    store = f"(declare-fun x () (_ BitVec {8 * size}))\n(assert (= (write{size} m0 p0 x) m0))\n(assert (= r x))\n"
    text = HEAD.partition("\n")[2] + access(f"load{size}") + "\n" + access(f"write{size}") + "\n"
    text += "(declare-fun m0 () Memory)\n(declare-fun p0 () (_ BitVec 64))\n" + load + store
    last = f"(select m0 (bvadd p0 #x{size - 1:016x}))"
    wrong = f"(assert (not (= {last} ((_ extract {8 * size - 1} {8 * size - 8}) r))))\n"
    solver.from_string(text)
    assert solver.check() == z3.sat
    solver = z3.Solver()
    solver.from_string(text + wrong)
    assert solver.check() == z3.unsat


@pytest.mark.parametrize("name", ["load0", "load65", "load08", "write", "loaded8", "load8x"])
def test_other_names_are_no_accesses(name: str) -> None:
    assert access(name) == ""
