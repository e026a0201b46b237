"""What paging and SMAP allow a program's instruction that its kernel runs for it, against what they allow at CPL 3.

SDM vol. 3, 4.6.1: an access at CPL 3 is a user access, at CPL 0, 1 and 2 a supervisor access.  Where every page that
is accessed is a user page both have the same rights (CR0.WP is 1, as Linux has it; PKRU concerns both), but for SMAP,
which forbids a supervisor access to a user page while EFLAGS.AC is 0.  Where one is a supervisor page, a user access
is #PF and a supervisor access is what that page allows.  The error code of a user access has U/S set, that of a
supervisor access not (4.7).  Canonicality is checked before, at every level alike.

Not decided: instruction fetches, and implicit supervisor accesses (descriptor tables, TSS).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from verify import terms
from verify.models.x86.machine import NO_FAULT, PF
from verify.models.x86.mode import ACCESS_FAULT, USER_64, Mode, in_own_half, is_canonical
from verify.terms import Term, add, and_, const, eq, ite, not_, or_, postorder, uf, var

SUPERVISOR_PAGE: Final = "supervisor_page"  # 1: what is accessed is canonical, and on a page with U/S 0 in part
THERE: Final = "supervisor_page_fault"  # what a supervisor access there raises
ACCESS_ERROR: Final = "access_error"
USER_BIT: Final = 4  # U/S of a page fault's error code: SDM vol. 3, 4.7
_WIDTH: Final = 32
SMAP: Final = var("smap", 1)  # CR4.SMAP
OWN_PAGES: Final = "user-pages"  # the assumption that the user half has user pages alone


def fault_for_a_program(how: tuple[Term, ...], mode: Mode) -> tuple[Term, Term, Term]:
    """Vector, error code and cr2 of an access with the rights of a mode `on_behalf`.

    `how`: address (64), size (16), write (1), stack (1) and what selects the bytes, as of the access at CPL 3.
    """
    at_user, beyond = uf(ACCESS_FAULT, 8, *how), uf(SUPERVISOR_PAGE, 1, *how)
    error, page_fault = uf(ACCESS_ERROR, _WIDTH, *how), const(PF, 8)
    error = ite(eq(at_user, page_fault), cleared(error), error)
    if not mode.reaches_user:
        quiet = and_(SMAP, eq(at_user, const(NO_FAULT, 8)))
        at_user, error = ite(quiet, page_fault, at_user), ite(quiet, uf("smap_error", _WIDTH, *how), error)
    return (
        ite(beyond, uf(THERE, 8, *how), at_user),
        ite(beyond, uf("supervisor_page_error", _WIDTH, *how), error),
        ite(beyond, uf("supervisor_page_address", 64, *how), uf("access_address", 64, *how)),
    )


def cleared(error: Term) -> Term:
    """An error code with U/S 0, 32 bits."""
    return terms.and_(error, const(~USER_BIT, _WIDTH))


def with_user_bit(error: Term) -> Term:
    """An error code of an access `on_behalf`, with U/S as the same access has it at CPL 3."""
    codes = (t for t in postorder((error,)) if t.op == "uf" and t.params[0] == ACCESS_ERROR)
    return terms.substitute((error,), {cleared(code): code for code in codes})[0]


def facts(page: Term, assumptions: frozenset[str]) -> Iterator[Term]:
    """What holds of an occurrence of `SUPERVISOR_PAGE`, one bit each."""
    address, size, *_ = page.args
    at_user = uf(ACCESS_FAULT, 8, *page.args)
    last = add(address, const((size.value or 1) - 1, 64))
    canonical = and_(is_canonical(address, USER_64), is_canonical(last, USER_64))
    yield or_(not_(page), and_(canonical, eq(at_user, const(PF, 8))))
    if OWN_PAGES in assumptions:
        yield or_(not_(page), not_(in_own_half(address, size.value or 1, USER_64)))
