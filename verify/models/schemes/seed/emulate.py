"""Emulation of the legacy integer map by a table: nothing runs in a slot, the host applies every effect itself.

What an instruction does is said by `emulate_table` (operands and the order of effects: reads, checks, writes, flags,
registers, ip) and `emulate_operations` (values and flags).  Accesses are made with the program's rights, and what one
raises is delivered as the program's own; #DE and #GP of a bad target are sent.  Flags that the manual leaves undefined
are those of the processor's own unit, on which the host does the operation.

Refused is what the table has not: LOCK, F2 and F3, far and kernel entries, segment registers, repeated strings.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from verify.models.schemes.host_entries import host_entries
from verify.models.schemes.processor_entries import NO_TRANSACTION, NULL_SELECTORS
from verify.models.schemes.program import Program
from verify.models.schemes.scheme import Plan, Refuse, Scheme
from verify.models.schemes.seed.emulate_operands import Encoding
from verify.models.schemes.seed.emulate_table import MAPS
from verify.models.schemes.seed.xol_table import LOCK, REP, REPNE, Read, read

EINVAL: Final = 22
UNREAD: Final = Refuse("the table has no such instruction", EINVAL)
PREFIXED: Final = frozenset({LOCK, REP, REPNE})


def plan(data: bytes) -> Plan:
    """The plan for the instruction at the start of `data`, at least 16 bytes (ValueError where shorter)."""
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
    found = read(data)
    if found is None or found.prefixes & PREFIXED or found.map not in MAPS:
        return UNREAD
    return _planned(bytes(data[: found.length]), found)


@cache
def _planned(data: bytes, r: Read) -> Plan:
    made = MAPS[r.map].get(r.opcode)
    actions = None if made is None else made(Encoding(data, r))
    return UNREAD if actions is None else Program(actions, length=r.length)


ENTRIES: Final = (
    *host_entries(
        "not-restartable sigtrap-not-held no-shadow-stack",
        "the design: the host applies the effect, with the program's rights",
    ),
    NO_TRANSACTION, NULL_SELECTORS,
)

SCHEME: Final = Scheme(
    name="emulate",
    summary="table-driven emulation of the legacy integer map, without a slot",
    source="the design itself, with no implementation in mind; SDM vol. 2",
    plan=plan,
    entries=ENTRIES,
    # What is in memory is read, a fault is made as the processor raises it.
    holds=frozenset({"breakpoint-in-place", "code-as-in-file", "fault-frame"}),
)
