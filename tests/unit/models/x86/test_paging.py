"""What a program's instruction may access at another level: SDM vol. 3, 4.6.1 (access rights), 4.7 (error codes)."""

from __future__ import annotations

import pytest

from verify import terms
from verify.claim.premises import instances
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.x86.environment import SUPERVISOR, Environment
from verify.models.x86.machine import GP, NO_FAULT, PF, SS
from verify.models.x86.mode import KERNEL_64, USER_64, on_behalf
from verify.models.x86.paging import SUPERVISOR_PAGE, facts, fault_for_a_program, with_user_bit
from verify.models.x86.semantics.run import access_fault
from verify.smt.decisions import satisfiable
from verify.terms import Term, const, eq, not_, uf, var
from verify.terms.evaluation import evaluate

USER, KERNEL, HOLE = 0x400000, 0xFFFF_8000_0000_0000, 0x8000_0000_0000
LEVELS = [on_behalf(level, True) for level in (0, 1, 2)]


def raised(mode: object, address: int, size: int = 8, kind: str = "r", stack: int = 0, **faults: int) -> int:
    vector, *_ = access_fault(kind, const(address, 64), size, const(stack, 1), mode)  # type: ignore[arg-type]
    told = {(address, size, int(kind == "w")): v for v in faults.values()}
    return int(evaluate((vector,), {"smap": 1}, Environment(told))[0])  # type: ignore[call-overload]


@pytest.mark.parametrize("mode", LEVELS, ids=lambda m: m.name)
@pytest.mark.parametrize("address, at_user, at_supervisor", [
    (USER, NO_FAULT, NO_FAULT), (KERNEL, PF, NO_FAULT), (HOLE, GP, GP), (KERNEL - 4, GP, GP),
    ((1 << 64) - 4, PF, NO_FAULT), ((1 << 47) - 4, GP, GP),
])  # fmt: skip
def test_supervisor_pages_are_open_below_cpl_3_alone(mode, address, at_user, at_supervisor):
    assert (raised(USER_64, address), raised(mode, address)) == (at_user, at_supervisor)


def test_canonicality_comes_first_at_every_level():
    assert [raised(m, HOLE, stack=1) for m in (USER_64, *LEVELS)] == [SS] * 4


def test_a_missing_user_page_is_missing_at_every_level():
    assert [raised(m, USER, missing=PF) for m in (USER_64, *LEVELS)] == [PF] * 4


def test_smap_forbids_user_pages_without_ac():
    """SDM vol. 3, 4.6.1: CR4.SMAP = 1 and EFLAGS.AC = 0; supervisor pages are not concerned."""
    closed = on_behalf(0, False)
    assert (raised(closed, USER), raised(closed, KERNEL), raised(closed, HOLE)) == (PF, NO_FAULT, GP)


def test_a_supervisor_page_may_refuse_a_supervisor():
    vector, *_ = access_fault("w", const(KERNEL, 64), 8, terms.FALSE, LEVELS[0])
    assert evaluate((vector,), {}, Environment({SUPERVISOR: PF})) == (PF,)


HOW = var("address", 64), const(8, 16), const(1, 1), const(0, 1)


def follows(claim: Term, assumptions: frozenset[str] = ASSUMPTIONS) -> bool:
    wanted = not_(claim)
    return satisfiable((wanted, *instances(wanted, assumptions))).status == "unsat"


def test_the_error_code_has_us_as_the_access():
    """U/S 0 for a supervisor access (4.7), and with it set the program's own, whatever the vector."""
    vector, error, _ = fault_for_a_program(HOW, LEVELS[0])
    at_user, code, _ = access_fault("w", HOW[0], 8, terms.FALSE, USER_64)
    on_user_page = not_(uf(SUPERVISOR_PAGE, 1, *HOW))
    us = terms.extract(error, 2, 2)
    is_page_fault = eq(vector, const(PF, 8))
    assert follows(terms.or_(not_(terms.and_(on_user_page, is_page_fault)), not_(us)))
    assert follows(terms.or_(not_(on_user_page), eq(with_user_bit(error), code)))
    assert follows(terms.or_(not_(on_user_page), eq(vector, at_user)))
    assert not follows(eq(vector, at_user)) and not follows(eq(error, code))


@pytest.mark.parametrize("dropped, held", [("", True), ("user-pages", False), ("user-half", True)])
def test_the_user_half_has_user_pages_alone(dropped, held):
    inside = terms.ult(HOW[0], const((1 << 47) - 8, 64))
    claim = terms.or_(not_(inside), not_(uf(SUPERVISOR_PAGE, 1, *HOW)))
    assert follows(claim, ASSUMPTIONS - {dropped}) is held


def test_what_is_said_of_a_supervisor_page_holds_where_evaluation_says_it():
    for address in (USER, KERNEL, HOLE, (1 << 47) - 4, KERNEL - 4, (1 << 64) - 8):
        page = uf(SUPERVISOR_PAGE, 1, const(address, 64), *HOW[1:])
        assert set(evaluate(tuple(facts(page, ASSUMPTIONS)), {}, Environment())) == {1}, hex(address)


def test_other_modes_say_what_they_said():
    for mode, name in ((USER_64, "access_fault"), (KERNEL_64, "supervisor_access_fault")):
        vector, error, address = access_fault("r", HOW[0], 8, terms.FALSE, mode)
        assert [t.params[0] for t in (vector, error, address)] == [name, "access_error", "access_address"]
