"""Semantics of the instructions that manage the shadow stack at CPL 3.

Decides ssp, #UD where shadow stacks are off, and which are no-operations then.  Shadow-stack memory is no part of the
memory component: what lies there is the environment's.  Kernel-only ones (setssbsy, clrssbsy, wruss) never come here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify import terms
from verify.models.x86.machine import CP, GP, PF, STATUS
from verify.models.x86.semantics import flags, operands
from verify.models.x86.semantics.kernel_entry import privileged, unless
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import Run
from verify.terms import Term, const


def rdssp(run: Run) -> None:
    """RDSSPD, RDSSPQ: nothing is written where shadow stacks are off, not even the upper half (SDM vol. 2, RDSSP)."""
    before = run.get("gprs")
    width = 64 if run.insn.opcode.operand_size == 64 else 32
    operands.write(run, 0, terms.extract(run.get("ssp"), width - 1, 0))
    run.set("gprs", terms.ite(run.get("cet"), run.get("gprs"), before))


def incssp(run: Run) -> None:
    """INCSSPD, INCSSPQ: ssp moves by the low byte of the operand times 4 or 8 (SDM vol. 2, INCSSP).

    The first and the last entry skipped are read as shadow-stack memory: a fault is a function of both addresses.
    """
    unless(run, run.get("cet"))
    size = 8 if run.insn.opcode.operand_size == 64 else 4
    count = terms.zext(terms.extract(operands.read(run, 0), 7, 0), 64)
    moved = terms.add(run.get("ssp"), terms.mul(count, const(size, 64)))
    shadow_access(run, "incssp", run.get("ssp"), moved)
    run.set("ssp", moved)


def shadow_access(run: Run, name: str, *addresses: Term) -> None:
    """#PF where the environment says that this use of shadow-stack addresses is not allowed."""
    run.fault(terms.uf(f"{name}_address.refuses", 1, *addresses), PF)


def saveprevssp(run: Run) -> None:
    """SAVEPREVSSP: leaves a restore token on the previous shadow stack and pops 8 bytes (SDM vol. 2, SAVEPREVSSP).

    CF set says that there is an alignment hole, which 64-bit code does not have: #GP(0).
    """
    unless(run, run.get("cet"))
    run.fault(run.get("cf"), GP)
    ssp = run.get("ssp")
    run.fault_unaligned(ssp, 8)
    shadow_access(run, "saveprevssp", ssp)
    run.set("opaque", terms.uf("saveprevssp", 64, run.get("opaque"), ssp))
    run.set("ssp", terms.add(ssp, const(8, 64)))


def rstorssp(run: Run) -> None:
    """RSTORSSP: ssp := the token's address, #GP(0) misaligned, #CP without a token (SDM vol. 2, RSTORSSP).

    CF says whether the old ssp needs an alignment hole, the other status flags are 0.
    Writing the token is a write to shadow-stack memory, so it is no access of the memory component.
    """
    unless(run, run.get("cet"))
    address = run.operand_address()
    run.fault_unaligned(address, 8)
    shadow_access(run, "rstorssp", address)
    token = terms.uf("shadow_entry", 64, address)
    run.fault(terms.uf("restore_token.refuses", 1, token, address), CP, const(4, 32))
    run.set("opaque", terms.uf("rstorssp", 64, run.get("opaque"), address, run.get("ssp")))
    flags.clear(run, *STATUS)
    run.set("cf", terms.extract(run.get("ssp"), 2, 2))
    run.set("ssp", address)


def wrss(run: Run) -> None:
    """WRSSD, WRSSQ: a shadow-stack write, #UD unless enabled (SDM vol. 2, WRSS); the address must be 4-byte aligned."""
    unless(run, terms.and_(run.get("cet"), terms.uf("wrss_is_on", 1)))
    address, value = run.operand_address(), operands.read(run, 1)
    run.fault_unaligned(address, 4)
    shadow_access(run, "wrss", address)
    run.set("opaque", terms.uf("wrss", 64, run.get("opaque"), address, value))


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "rdsspd": rdssp, "rdsspq": rdssp, "incsspd": incssp, "incsspq": incssp, "saveprevssp": saveprevssp,
    "rstorssp": rstorssp, "wrssd": wrss, "wrssq": wrss,
    "setssbsy": privileged, "clrssbsy": privileged, "wrussd": privileged, "wrussq": privileged,
}  # fmt: skip
