"""Stepping out of line with every fixup done right: the reference relocator, of no implementation.

A copy runs in the slot with a breakpoint behind it and TF clear, so that neither the program nor the processor's own
rules for debug traps see a step; control transfers, which leave the slot, run under TF or are emulated.  Mended are:

* ip, of the result and of a fault, by origin - slot;
* a rip-relative operand: a scratch register that is no operand holds the address of the next instruction meanwhile;
* the return address of a call, and its entry on the shadow stack;
* the x87 pointers FIP, and FOP where ModRM is changed;
* TF: it is the program's own afterwards, in a pushed image, or what the instruction loads; its trap is sent.

What is refused names the observable that no plan of this kind keeps.  Bytes are read by a table of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

from verify import terms
from verify.models.schemes.code import ORIGINAL, Byte, Code
from verify.models.schemes.host_entries import host_entries
from verify.models.schemes.processor_entries import PROCESSOR_ENTRIES
from verify.models.schemes.program import (
    Action,
    Actions,
    Breakpoints,
    Check,
    Context,
    Program,
    Run,
    Set,
    Shadow,
    Store,
    TrapFlag,
)
from verify.models.schemes.scheme import Plan, Refuse, Scheme
from verify.models.schemes.seed.inline_step import OWN_TF, TRAPPED
from verify.models.schemes.seed.xol_table import LOCK, OPERAND_SIZE, REP, REPNE, Read, read
from verify.models.schemes.vocabulary import (
    AT_IP,
    FAULT_ADDRESS,
    IP,
    LENGTH,
    NOW,
    ORIGIN,
    SLOT,
    field,
    first,
    register,
)
from verify.terms import FALSE, TRUE, Term, add, const, eq, extract, sub

RSP, RBX, RSI, RDI = 4, 3, 6, 7
NEXT: Final = add(ORIGIN, LENGTH)
BEHIND: Final = Context(Breakpoints((add(SLOT, LENGTH),)))
UNDER_TF: Final = Context(TrapFlag())
MOVED: Final = Set("ip", add(IP, sub(ORIGIN, SLOT)))
TOLD: Final = Set("reported", terms.ite(AT_IP, ORIGIN, FAULT_ADDRESS))
BEGUN: Final = (Set("gprs", first(NOW.gprs)), Set("selectors", first(NOW.selectors)), OWN_TF, Set("ip", ORIGIN))

EINVAL: Final = 22


def _refused(observable: str, why: str) -> Refuse:
    return Refuse(f"{observable}: {why}", EINVAL)


UNREAD: Final = Refuse("the table has no such instruction", EINVAL)
NARROW: Final = _refused("next-ip", "with prefix 66 length and target of a near branch are the processor's choice")
REPEATED: Final = _refused("hits", "with TF set a trap behind each iteration leads back to the probe")
GATHERED: Final = _refused("hits", "with TF set a page fault at a later element leads back to the probe")
ENTERED: Final = _refused("next-ip", "the kernel keeps the slot's address: a child, a restarted call, a signal frame")
FALLBACK: Final = _refused("next-ip", "a transaction that is aborted goes on at an address relative to the slot")
ENCLAVE: Final = _refused("next-ip", "an asynchronous exit from the enclave leads to the slot")
SAMPLED: Final = _refused("memory-values", "the record that it writes holds the address of the instruction")

STRINGS: Final = frozenset({*range(0x6C, 0x70), *range(0xA4, 0xA8), *range(0xAA, 0xB0)})
RELATIVE: Final = frozenset({*range(0x70, 0x80), *range(0xE0, 0xE4), 0xE8, 0xE9, 0xEB})
GATHERS: Final = frozenset({*range(0x90, 0x94), *range(0xA0, 0xA4)})  # map 2
X87: Final = range(0xD8, 0xE0)
X87_CONTROL_IN_MEMORY: Final = {0xD9: frozenset({4, 5, 6, 7}), 0xDD: frozenset({4, 6, 7})}  # by digit
X87_CONTROL: Final = {  # by ModRM: FNENI, FNDISI, FNCLEX, FNINIT, FNSETPM; FNSTSW AX
    0xDB: frozenset(range(0xE0, 0xE5)), 0xDF: frozenset({0xE0}),
}  # fmt: skip


def plan(data: bytes) -> Plan:
    """The plan for the instruction at the start of `data`, at least 16 bytes (ValueError where shorter)."""
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
    found = read(data)
    if found is None:
        return UNREAD
    return _refusal(data, found) or _transfer(found) or copied(data, found)


def _refusal(data: bytes, r: Read) -> Refuse | None:
    """What no plan of this kind keeps, with LOCK too, though that raises #UD wherever it stands."""
    if OPERAND_SIZE in r.prefixes and _is_relative(r):
        return NARROW
    if r.map == "1":
        if r.opcode in STRINGS and r.prefixes & {REP, REPNE}:
            return REPEATED
        if r.opcode == 0xCD and data[r.immediate_at] == 0x80:
            return ENTERED
        return FALLBACK if r.opcode == 0xC7 and r.modrm == 0xF8 else None
    if r.map == "0f":
        if r.opcode in {0x05, 0x34}:
            return ENTERED
        return ENCLAVE if r.opcode == 0x01 and r.modrm == 0xD7 else None
    if r.map in {"vex2", "evex2"}:
        return GATHERED if r.opcode in GATHERS else None
    return SAMPLED if r.map == "xop10" and r.opcode == 0x12 else None


def _transfer(r: Read) -> Plan | None:
    """What does not simply go on behind itself; None for everything else."""
    if LOCK in r.prefixes:  # all of it raises #UD
        return None
    if r.map == "1":
        made = ONE_BYTE.get(r.opcode)
        return made(r) if made is not None else _indirect(r) if r.opcode == 0xFF else None
    return _relative(r) if r.map == "0f" and _is_relative(r) else None


def _is_relative(r: Read) -> bool:
    """Whether it is a near branch or call with a displacement."""
    if r.map == "0f":
        return 0x80 <= r.opcode <= 0x8F
    return r.map == "1" and r.opcode in RELATIVE


def _relative(r: Read) -> Plan:
    """Near branches and calls with a displacement, emulated."""
    spot = (r.immediate_at, r.immediate_size)
    if r.opcode == 0xE8:
        return _call(spot, r.length)
    condition = None if r.opcode in {0xE9, 0xEB} else r.opcode & 15
    return _jump(condition, spot, r.length)


def _indirect(r: Read) -> Plan | None:
    """ff /2 to /5; the rest of the group goes on behind itself."""
    if r.digit in {2, 3}:
        return None if r.is_relative else _stepped_call(ORIGINAL, r.length, r.digit == 3, -1)
    return None if r.digit not in {4, 5} or r.is_relative else _left(r.length)


def copied(data: bytes, r: Read) -> Program:
    """A copy that goes on behind itself, or faults."""
    pointers = r.map == "1" and r.opcode in X87 and not is_control(r.opcode, r.modrm)
    if not r.is_relative:
        if _is_late(r):
            return _behind(ORIGINAL, r.length, traps=False)
        return _behind(ORIGINAL, r.length, ((Set("fip", ORIGIN),) if pointers else ()))
    scratch = next(n for n in (RSI, RDI, RBX) if n not in {r.digit, r.vvvv})
    code = _based(r.rex_at, r.payload_at, r.modrm_at, scratch)
    if r.map == "1" and r.opcode == 0xFF and r.digit in {2, 3} and LOCK not in r.prefixes:
        return _stepped_call(code, r.length, r.digit == 3, scratch)
    if r.map == "1" and r.opcode == 0xFF and r.digit in {4, 5} and LOCK not in r.prefixes:
        return _left(r.length, code=code, scratch=scratch)
    fop = const((r.opcode & 7) << 8 | r.modrm, 11)
    if _is_late(r):
        return _behind(code, r.length, traps=False, scratch=scratch)
    return _behind(code, r.length, ((Set("fip", ORIGIN), Set("fop", fop)) if pointers else ()), scratch=scratch)


def _is_late(r: Read) -> bool:
    """Whether the trap of the program's own TF comes one instruction later, by itself.

    MOV to SS holds it back (SDM vol. 3, 6.8.3); what the kernel finishes under UMIP, SLDT, STR, SGDT, SIDT and SMSW,
    has none (arch/x86/kernel/umip.c, Linux 6.18).
    """
    return r.is_finished_by_the_kernel or (r.map == "1" and r.opcode == 0x8E and r.digit == 2)


def is_control(opcode: int, modrm: int) -> bool:
    """Whether an x87 instruction is one of control, which leaves the pointers or loads them (SDM vol. 1, 8.1.8)."""
    if modrm < 0xC0:
        return (modrm >> 3 & 7) in X87_CONTROL_IN_MEMORY.get(opcode, frozenset())
    return modrm in X87_CONTROL.get(opcode, frozenset())


@cache
def _based(rex_at: int, payload_at: int, modrm_at: int, scratch: int) -> Code:
    """The copy with [rip + disp32] made [scratch + disp32]: REX.B clear, B and X of a longer prefix set (inverted)."""
    pieces = list(ORIGINAL.pieces)
    if rex_at >= 0:
        pieces[rex_at] = Byte(rex_at, keep=0xFE)
    if payload_at >= 0:
        pieces[payload_at] = Byte(payload_at, bits=0x60)
    pieces[modrm_at] = Byte(modrm_at, keep=0x38, bits=0x80 | scratch)
    return Code(tuple(pieces))


def _held(scratch: int) -> tuple[Actions, Actions]:
    """A scratch register holds the address of the next instruction, and then its own value again; -1: none."""
    if scratch < 0:
        return (), ()
    return (Set(scratch, NEXT),), (Set(scratch, first(register(scratch))),)


@cache
def _behind(
    code: Code, length: int, mended: Actions = (), loads_tf: bool = False, scratch: int = -1, traps: bool = True
) -> Program:
    """A copy with a breakpoint behind it."""
    prepared, restored = _held(scratch)
    run = Run(code, SLOT, BEHIND, (*restored, MOVED, OWN_TF, TOLD))
    own_tf, trapped = () if loads_tf else (OWN_TF,), TRAPPED if traps else ()
    return Program((Set("tf", FALSE), *prepared, run, *restored, *own_tf, MOVED, *mended, *trapped), length=length)


def _stepped(code: Code, scratch: int, loads_tf: bool = False) -> Actions:
    """A copy that leaves the slot, under TF."""
    prepared, restored = _held(scratch)
    run = Run(code, SLOT, UNDER_TF, (*restored, MOVED, OWN_TF, TOLD))
    return (*prepared, run, *restored, *(() if loads_tf else (OWN_TF,)))


@cache
def _left(length: int, loads_tf: bool = False, code: Code = ORIGINAL, scratch: int = -1) -> Program:
    """A jump or return to an address that does not depend on where it stands."""
    return Program((*_stepped(code, scratch, loads_tf), *TRAPPED), length=length)


@cache
def _counted(length: int) -> Program:
    """LOOP and JRCXZ: both ways are relative."""
    return Program((*_stepped(ORIGINAL, -1), MOVED, *TRAPPED), length=length)


@cache
def _stepped_call(code: Code, length: int, is_far: bool, scratch: int) -> Program:
    """An indirect call; how many bytes its return address has is seen by how far rsp moved.

    A far call has pushed as many for cs before, and on the shadow stack its entry stands below the old ssp.
    """
    def mended(size: int) -> Actions:
        return (
            Store(register(RSP), extract(NEXT, 8 * size - 1, 0), size, BEGUN, stack=TRUE),
            Shadow(NEXT, 1 if is_far else 0), *TRAPPED,
        )  # fmt: skip

    def moved(size: int) -> Term:
        """By the low 32 bits, which are all that a 32-bit code segment leaves of rsp."""
        old, new = (extract(x, 31, 0) for x in (first(register(RSP)), register(RSP)))
        return eq(new, sub(old, const(size * (2 if is_far else 1), 32)))

    narrow: Actions = (Check(moved(4), mended(2)), *mended(4)) if is_far else mended(2)
    return Program((*_stepped(code, scratch), Check(moved(8), narrow), *mended(8)), length=length)


def _gone(to: Term) -> Actions:
    return (Set("ip", to), *TRAPPED)


@cache
def _jump(condition: int | None, spot: tuple[int, int], length: int) -> Program:
    """Emulated, since a target beyond the end of user space is the origin's matter."""
    target = _gone(add(NEXT, field(*spot)))
    if condition is None:
        return Program(target, length=length)
    return Program((Check(holds(condition), _gone(NEXT)), *target), length=length)


_MASKS: Final = (("of",), ("cf",), ("zf",), ("cf", "zf"), ("sf",), ("pf",), (), ("zf",))


def holds(condition: int) -> Term:
    """One bit: a condition code 0..15 holds of the flags now (SDM vol. 1, table B-1)."""
    found = terms.any_of(getattr(NOW, name) for name in _MASKS[condition >> 1])
    if condition >= 12:
        found = terms.or_(found, terms.xor(NOW.sf, NOW.of))
    return terms.not_(found) if condition & 1 else found


@cache
def _call(spot: tuple[int, int], length: int) -> Program:
    """Emulated; one with displacement 0 has no entry on the shadow stack (SDM vol. 2, CALL).

    Where the return address cannot be stored, a copy with displacement 0 runs, which stays in the slot, for the
    processor's own fault; if it has none the call begins again.
    """
    where = range(spot[0], sum(spot))
    code = Code(tuple(Byte(None) if i in where else Byte(i) for i in range(len(ORIGINAL.pieces))))
    displaced = Check(terms.not_(eq(field(*spot), const(0, 64))), _gone(NEXT))
    return Program(
        (*_pushed(NEXT, 8, code), displaced, Shadow(NEXT), *_gone(add(NEXT, field(*spot)))), length=length
    )  # fmt: skip


def _pushed(value: Term, size: int, code: Code) -> tuple[Action, ...]:
    """The host's own push; where it fails, the code for the processor's fault."""
    top = sub(register(RSP), const(size, 64))
    run = Run(code, SLOT, BEHIND, (MOVED, OWN_TF, TOLD))
    return (Store(top, value, size, (Set("tf", FALSE), run, *BEGUN), stack=TRUE), Set(RSP, top))


# RFLAGS as PUSHF stores it, by bit: a program has IF set and IOPL 0 under Linux; RF and VM read 0 (SDM vol. 2, PUSHF).
IMAGE: Final = {
    "cf": 0, "pf": 2, "af": 4, "zf": 6, "sf": 7, "tf": 8, "df": 10, "of": 11, "nt": 14, "ac": 18, "id": 21,
}  # fmt: skip
ALWAYS_SET: Final = 0x202


@cache
def _pushed_flags(size: int, length: int) -> Program:
    """Emulated: the image has the program's own TF."""
    word = const(ALWAYS_SET, 64)
    for name, bit in IMAGE.items():
        word = terms.or_(word, terms.shl(terms.zext(getattr(NOW, name), 64), const(bit, 64)))
    return Program((*_pushed(extract(word, 8 * size - 1, 0), size, ORIGINAL), *_gone(NEXT)), length=length)


ONE_BYTE: Final[dict[int, Callable[[Read], Plan]]] = {
    **dict.fromkeys((*range(0x70, 0x80), 0xE8, 0xE9, 0xEB), _relative),
    **dict.fromkeys(range(0xE0, 0xE4), lambda r: _counted(r.length)),
    **dict.fromkeys((0xC2, 0xC3, 0xCA, 0xCB), lambda r: _left(r.length)),
    0xCF: lambda r: _left(r.length, loads_tf=True),
    0x9C: lambda r: _pushed_flags(2 if OPERAND_SIZE in r.prefixes and not r.is_wide else 8, r.length),
    0x9D: lambda r: _behind(ORIGINAL, r.length, loads_tf=True),
}

ENTRIES: Final = (
    *host_entries(
        "not-restartable slot-available no-signal-awaited kernel-may-store sigtrap-not-held code-not-read",
        "the design: a copy runs in one of the host's slots, signals wait until it has left, pushes are the host's own",
    ),
    *PROCESSOR_ENTRIES,
)

SCHEME: Final = Scheme(
    name="xol-step",
    summary="a generic, careful step of a copy out of line, every fixup done right: the reference relocator",
    source="the design itself, with no implementation in mind",
    plan=plan,
    entries=ENTRIES,
    # What is in memory is copied, and has the breakpoint; a fault is passed on as raised.
    holds=frozenset({"breakpoint-in-place", "code-as-in-file", "fault-frame"}),
)
