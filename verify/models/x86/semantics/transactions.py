"""Semantics of restricted transactional memory: xbegin, xabort, xend, xtest.

Decides the fallback address, that it is checked, what eax gets, and that single-stepping aborts.  AMD processors have
no RTM: #UD.  Whether a transaction is under way is part of the state component `other`; what an abort rolls back
besides ip and eax is not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from verify import terms
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import GP, STATUS, State
from verify.models.x86.mode import is_canonical
from verify.models.x86.semantics import flags
from verify.models.x86.semantics.kernel_entry import undefined
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import RAX, Run
from verify.terms import TRUE, Term, const

ACTIVE: Final = "in_transaction"  # the function of `other` that says whether a transaction is under way
STATUS_DEBUG: Final = 1 << 4  # SDM vol. 1, table 16-1


def intel_only(semantics: Semantics) -> Semantics:
    """#UD on AMD, else the semantics."""
    return lambda run: undefined(run) if run.insn.cpu is Cpu.AMD else semantics(run)


def in_transaction(run: Run) -> Term:
    """One bit: an RTM region is active."""
    return is_active(run.before)


def is_active(state: State) -> Term:
    """One bit: an RTM region is active."""
    return terms.uf(ACTIVE, 1, state.opaque)


def interrupted(state: State) -> tuple[Term, State]:
    """One bit, whether a transaction is active, and the state after a breakpoint in it (SDM vol. 1, 16.3.7, 16.3.8).

    What the abort rolls back besides ip and rax is not modelled.
    """
    fallback = terms.uf("transaction_fallback", 64, state.opaque)
    gprs = terms.store(state.gprs, RAX, const(STATUS_DEBUG, 64))
    left = terms.uf("transaction_left", 64, state.opaque)
    return is_active(state), replace(state, ip=fallback, gprs=gprs, opaque=left)


def abort(run: Run, condition: Term, fallback: Term, status: Term) -> None:
    """Where the condition holds, goes on at the fallback address with the status in eax."""
    run.set_gpr(RAX, terms.ite(condition, terms.zext(status, 64), run.gpr(RAX)))
    run.set("ip", terms.ite(condition, fallback, run.get("ip")))


def xbegin(run: Run) -> None:
    """XBEGIN: starts a region or aborts at once; a pending debug trap (TF) always aborts (SDM vol. 1, 16.3.7).

    The displacement is never cut to 16 bits in 64-bit mode (SDM vol. 2, XBEGIN).
    """
    fallback = terms.add(run.next_ip, terms.sext(run.insn.fields.immediates[0], 64))
    run.fault(terms.not_(is_canonical(fallback, run.mode)), GP)
    tf, other = run.get("tf"), run.before.opaque
    aborts = terms.or_(tf, terms.uf("xbegin_aborts", 1, other))
    status = terms.ite(tf, const(STATUS_DEBUG, 32), terms.uf("xbegin_status", 32, other))
    run.set("opaque", terms.ite(aborts, other, terms.uf("transaction_begun", 64, other, fallback)))
    abort(run, aborts, fallback, status)


def xabort(run: Run) -> None:
    """XABORT: nothing outside a region; inside, the fallback address with imm8 in bits 31..24 of eax."""
    other, code = run.before.opaque, run.insn.fields.immediates[0]
    status = terms.concat(code, terms.extract(terms.uf("xabort_status", 32, other), 23, 1), TRUE)
    run.set("opaque", terms.ite(in_transaction(run), terms.uf("transaction_left", 64, other), other))
    abort(run, in_transaction(run), terms.uf("transaction_fallback", 64, other), status)


def xend(run: Run) -> None:
    """XEND: #GP(0) outside a region (SDM vol. 2, XEND)."""
    run.fault(terms.not_(in_transaction(run)), GP)
    run.set("opaque", terms.uf("transaction_left", 64, run.before.opaque))


def xtest(run: Run) -> None:
    """XTEST: ZF says that no region is active, the other status flags are 0 (SDM vol. 2, XTEST)."""
    flags.clear(run, *STATUS)
    run.set("zf", terms.not_(in_transaction(run)))


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "xbegin": intel_only(xbegin), "xabort": intel_only(xabort), "xend": intel_only(xend), "xtest": intel_only(xtest),
}  # fmt: skip
