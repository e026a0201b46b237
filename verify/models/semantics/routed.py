"""Semantics of what no family models exactly: operands, addresses, sizes, masks, flags and faults are exact, the
datapath is an uninterpreted function of everything the instruction reads.

A proof that uses it holds for every datapath.  It rests on the read and write sets, which the processor judges
(`verify.live`).  The function's name is the opcode's, so two different opcodes never share a datapath.
"""

from __future__ import annotations

from verify.models import bits
from verify.models.bits import FALSE, TRUE, Term, const
from verify.models.isa.fields import operand_register
from verify.models.isa.overlay import overlay
from verify.models.machine import STATUS
from verify.models.semantics import operands
from verify.models.semantics.run import Run

READS = frozenset({"READ", "COND_READ", "READ_WRITE", "READ_COND_WRITE"})
WRITES = frozenset({"WRITE", "COND_WRITE", "READ_WRITE", "READ_COND_WRITE"})
MODELLED_FLAGS = frozenset({*STATUS, "df"})
