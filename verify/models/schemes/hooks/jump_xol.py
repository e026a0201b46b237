"""A jump at the probe to a copy out of line, every fixup done right: no trap.

The probed instruction, and what follows it where it is shorter than the jump, run in the slot; each is proved alone,
and where one ends the next begins, at both places alike.  The last is followed by a jump back, which is part of what is
proved here.
Every jump that leaves the slot is absolute and has its target behind itself, so the slot may
lie anywhere but for rip-relative operands, which are moved by the distance and refuse a slot out of their reach.

* a branch: its inverse, or itself, around an absolute jump to the target;
* a call: a push of the return address and an absolute jump, so that nothing of the slot is on the stack; its shadow
  stack has no entry (`no-shadow-stack`);
* everything else is copied.

What is refused names the observable that no code of this kind keeps.  Bytes are read by the table of `xol-step`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

from verify.models.schemes.hooks.jumps import HELD, JUMP_ENTRIES, NEXT, absolute, copied, fixed, jumped, moved
from verify.models.schemes.program import Program
from verify.models.schemes.scheme import Plan, Refuse, Scheme
from verify.models.schemes.seed.xol_step import (
    EINVAL,
    ENCLAVE,
    ENTERED,
    FALLBACK,
    NARROW,
    SAMPLED,
    UNREAD,
    X87,
    is_control,
)
from verify.models.schemes.seed.xol_table import LOCK, OPERAND_SIZE, Read, read
from verify.models.schemes.vocabulary import field
from verify.terms import Term, add

POINTED: Final = Refuse("x87-pointers: FIP is the copy's address, and nothing that the slot could run sets it", EINVAL)
CALLED: Final = Refuse("fault: an indirect call reads and checks its target before it pushes", EINVAL)
FAR: Final = Refuse("memory-values: a far call pushes the slot's address", EINVAL)
OVER: Final = "0e"  # bytes of an absolute jump, as a short displacement
PUSHED: Final = "ff350e000000"  # push of the address that stands behind the jump: 6 + 8 bytes away


def plan(data: bytes) -> Plan:
    """The plan for the instruction at the start of `data`, at least 16 bytes (ValueError where shorter)."""
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
    found = read(data)
    if found is None:
        return UNREAD
    return _refusal(data, found) or _transfer(found) or _copied(found)


def _refusal(data: bytes, r: Read) -> Refuse | None:
    relative = _relative_of(r)
    if OPERAND_SIZE in r.prefixes and relative is not None:
        return NARROW
    if r.map == "1":
        if r.opcode == 0xCD and data[r.immediate_at] == 0x80:
            return ENTERED
        if r.opcode == 0xC7 and r.modrm == 0xF8:
            return FALLBACK
        return POINTED if r.opcode in X87 and not is_control(r.opcode, r.modrm) else None
    if r.map == "0f":
        if r.opcode in {0x05, 0x34}:
            return ENTERED
        return ENCLAVE if r.opcode == 0x01 and r.modrm == 0xD7 else None
    return SAMPLED if r.map == "xop10" and r.opcode == 0x12 else None


def _relative_of(r: Read) -> Callable[[Read], Program] | None:
    """What is made of a near transfer with a displacement; None where it is none."""
    if r.map == "0f":
        return _condition if 0x80 <= r.opcode <= 0x8F else None
    if r.map != "1":
        return None
    if 0x70 <= r.opcode <= 0x7F:
        return _condition
    if 0xE0 <= r.opcode <= 0xE3:
        return _counted
    return {0xE8: _call, 0xE9: _jump, 0xEB: _jump}.get(r.opcode)


def _transfer(r: Read) -> Plan | None:
    """What does not simply go on behind itself; None for everything else, and for all that LOCK makes #UD."""
    if LOCK in r.prefixes:
        return None
    relative = _relative_of(r)
    if relative is not None:
        return relative(r)
    if r.map == "1" and r.opcode == 0xFF and r.digit in {2, 3}:
        return FAR if r.digit == 3 else CALLED
    return None


def _target(r: Read) -> Term:
    return add(NEXT, field(r.immediate_at, r.immediate_size))


def _jump(r: Read) -> Program:
    return jumped(absolute(_target(r)), r.length)


def _condition(r: Read) -> Program:
    """The inverse condition leads over the jump to the target."""
    return _around(f"{0x70 | (r.opcode & 15) ^ 1:02x}{OVER}", _target(r), r.length)


@cache
def _around(inverse: str, target: Term, length: int) -> Program:
    return jumped((*fixed(inverse), *absolute(target), *absolute(NEXT)), length)


def _counted(r: Read) -> Program:
    """LOOP and JRCXZ, prefixes and all, with a displacement that leads to the jump to the target."""
    head = (*copied(0, r.immediate_at), *fixed(f"02eb{OVER}"))
    return jumped((*head, *absolute(_target(r)), *absolute(NEXT)), r.length)


def _call(r: Read) -> Program:
    return jumped((*fixed(PUSHED), *absolute(_target(r)), *absolute(NEXT, "")), r.length)


def _copied(r: Read) -> Program:
    return _as_it_stands(r.length, r.modrm_at if r.is_relative else -1)


@cache
def _as_it_stands(length: int, modrm_at: int) -> Program:
    """A copy, its rip-relative operand moved, and the jump back."""
    body = copied(0, length) if modrm_at < 0 else moved(length, (modrm_at + 1, 4))
    return jumped((*body, *absolute(NEXT)), length)


SCHEME: Final = Scheme(
    name="jump-xol",
    summary="a jump to a copy out of line, every fixup done right: no trap, nobody who mends a fault",
    source="the design itself, with no implementation in mind",
    plan=plan,
    entries=JUMP_ENTRIES,
    holds=HELD,
)
