"""Which addresses the designs that run an instruction in the kernel check before, and what the exact one refuses.

A check is a one-bit expression over the registers at the hit.  `naive` is the check of the discussion.  `every_byte`
covers whatever is accessed: what begins below the limit and has at most `WIDEST` bytes ends below it, and what fails
the check is run at CPL 3, where a check that is too strict costs time alone.

Source of memory styles: SDM vol. 2 of each instruction; vol. 1, 3.7.5 (addresses), 3.1.1.9 (bit strings).
"""

from __future__ import annotations

from typing import Final

from verify import terms
from verify.models.schemes.scheme import Refuse
from verify.models.schemes.seed.xol_table import ADDRESS_SIZE, OFFSETS, OPERAND_SIZE, REP, REPNE, Read
from verify.models.schemes.vocabulary import NOW, field, number, offset, register
from verify.models.x86.mode import USER_64
from verify.terms import Term, add, and_, ashr, const, extract, ite, mul, not_, sext, shl, sub, ult, zext

Checks = tuple[Term, ...]  # one bit each
EINVAL: Final = 22
LIMIT: Final = USER_64.half - 4096  # TASK_SIZE_MAX: arch/x86/include/asm/page_64_types.h
WIDEST: Final = 1 << 17  # bytes; no access is as wide: XSAVE with every component, ENTER with all it can allocate
MANY: Final = 1 << 44  # repetitions of a string instruction beyond which it runs at CPL 3
RAX, RCX, RBX, RSP, RBP, RSI, RDI = 0, 1, 3, 4, 5, 6, 7

MOVES: Final = frozenset({0xA4, 0xA5})
COMPARES: Final = frozenset({0xA6, 0xA7})
LOADS: Final = frozenset({0xAC, 0xAD})
STORES: Final = frozenset({0xAA, 0xAB, 0xAE, 0xAF})  # STOS, SCAS: es:[rdi]
FROM_RSI: Final = MOVES | COMPARES | LOADS
STRINGS: Final = FROM_RSI | STORES
STACK: Final = frozenset({*range(0x50, 0x60), 0x68, 0x6A, 0x8F, 0x9C, 0x9D, 0xC8, 0xC9})
BIT_STRINGS: Final = frozenset({0xA3, 0xAB, 0xB3, 0xBB})  # 0f: BT, BTS, BTR, BTC with the bit in a register
GATHERS: Final = frozenset({*range(0x90, 0x94), *range(0xA0, 0xA4)})  # map 2 of VEX and EVEX; scatters too
SEGMENT_BASES: Final = {0x64: NOW.fs_base, 0x65: NOW.gs_base}


def _refused(observable: str, why: str) -> Refuse:
    return Refuse(f"{observable}: {why}", EINVAL)


PRIVILEGED: Final = _refused("fault", "it faults at CPL 3 and runs at CPL 0")
BY_LEVEL: Final = _refused("fault", "whether it faults depends on CPL and a control register")
FLAGS: Final = _refused("flags", "it shows or loads IF, AC and IOPL, which are the kernel's for the run")
SELECTORS: Final = _refused("segment-bases", "a selector is checked against CPL, and cs and ss are the kernel's")
SHADOW: Final = _refused("shadow-stack", "the kernel's own shadow stack is used")
BASED: Final = _refused("containment", "the check of a repeated instruction knows no segment base")
ELEMENTS: Final = _refused("fault", "no check of one address covers elements at many")


def operand_size(r: Read) -> int:
    """Bytes, by prefixes alone."""
    return 8 if r.is_wide else 2 if OPERAND_SIZE in r.prefixes else 4


def truncated(address: Term, r: Read) -> Term:
    """An offset cut to the address size, 64 bits."""
    return zext(extract(address, 31, 0), 64) if ADDRESS_SIZE in r.prefixes else address


def in_memory(r: Read) -> bool:
    """Whether ModRM names memory; MOV of control and debug registers ignores mod."""
    return 0 <= r.modrm < 0xC0 and not (r.map == "0f" and 0x20 <= r.opcode < 0x24)


def modrm_offset(r: Read) -> Term:
    """The offset of the ModRM operand, not cut."""
    return offset(r.modrm_at, r.rex_at, r.payload_at)


# The check of the discussion


def naive(data: bytes, r: Read) -> Checks:
    """Address plus size at most the limit: no wrap-around, no segment base, one element, nothing implicit."""
    size = _naive_size(r)
    if r.map == "1" and r.opcode in STRINGS:
        both = (RSI, RDI) if r.opcode in MOVES | COMPARES else (RSI,) if r.opcode in LOADS else (RDI,)
        return tuple(_fits(truncated(register(n), r), size) for n in both)
    if r.map == "1" and r.opcode in OFFSETS:
        return (_fits(_absolute(r), size),)
    if in_memory(r):
        return (_fits(truncated(modrm_offset(r), r), size),)
    return (_fits(register(RSP), 8),) if r.map == "1" and r.opcode in STACK else ()


def _fits(address: Term, size: int) -> Term:
    return ult(add(address, const(size, 64)), const(LIMIT + 1, 64))


def _naive_size(r: Read) -> int:
    if r.map in {"1", "0f"}:
        return operand_size(r)
    return 64 if r.map.startswith("evex") else 32 if r.map.startswith(("vex", "xop")) else 16


# The check of every byte


def every_byte(data: bytes, r: Read) -> Checks | Refuse:
    """The checks that cover every byte, or why there is none."""
    refused = _differs(r)
    if refused is not None:
        return refused
    base = _segment_base(data, r)
    if r.map == "1":
        if r.opcode in STRINGS:
            is_moved = r.opcode in FROM_RSI and base.value is None and r.prefixes & {REP, REPNE}
            return BASED if is_moved else _string(r, base)
        if r.opcode == 0xD7:
            table = add(register(RBX), zext(extract(register(RAX), 7, 0), 64))
            return (_low(add(truncated(table, r), base)),)
        if r.opcode in OFFSETS:
            return (_low(add(_absolute(r), base)),)
    found: Checks = ()
    if r.map == "1" and (r.opcode in STACK or (r.opcode == 0xFF and r.digit == 6)):
        found = (_around(register(RSP)),)
        found += (_around(register(RBP)),) if r.opcode in {0xC8, 0xC9} else ()
    return (*found, *_implicit(r, base), *_modrm(r, base))


def _modrm(r: Read, base: Term) -> Checks:
    if not in_memory(r):
        return ()
    plain = modrm_offset(r)
    if r.map == "0f" and r.opcode in BIT_STRINGS:
        width = 8 * operand_size(r)
        bit = extract(terms.select(NOW.gprs, number("reg", r.modrm_at, r.rex_at)), width - 1, 0)
        index = ashr(sext(bit, 64), const(width.bit_length() - 1, 64))
        plain = add(plain, mul(index, const(width // 8, 64)))
    return (_low(add(truncated(plain, r), base)),)


def _implicit(r: Read, base: Term) -> Checks:
    """MASKMOVQ, MASKMOVDQU; CLZERO, MONITORX; MOVDIR64B, ENQCMD; UMONITOR."""
    at = _implicit_offset(r)
    if at is None:
        return ()
    is_source = r.map == "0f38"  # the destination of MOVDIR64B and ENQCMD is in es
    return (_around(truncated(at, r)),) if is_source else (_around(add(truncated(at, r), base)),)


def _implicit_offset(r: Read) -> Term | None:
    if (r.map, r.opcode) in {("0f", 0xF7), ("vex1", 0xF7)}:
        return register(RDI)
    if r.map == "0f" and r.opcode == 0x01 and r.modrm in {0xFA, 0xFC}:
        return register(RAX)
    if r.map == "0f" and r.opcode == 0xAE and r.modrm >= 0xC0 and r.digit == 6:
        return terms.select(NOW.gprs, number("rm", r.modrm_at, r.rex_at))
    if r.map == "0f38" and r.opcode == 0xF8 and in_memory(r):
        return terms.select(NOW.gprs, number("reg", r.modrm_at, r.rex_at))
    return None


def _string(r: Read, base: Term) -> Checks:
    """The element, or with a repeat prefix all that may come: counted up or down from the register, by DF.

    A program's own TF asks for a trap behind each iteration, which the kernel's run has not.
    """
    found: list[Term] = []
    if r.opcode in FROM_RSI:
        found.append(add(truncated(register(RSI), r), base))
    if r.opcode not in LOADS:
        found.append(truncated(register(RDI), r))
    if not r.prefixes & {REP, REPNE}:
        return tuple(map(_low, found))
    count = truncated(register(RCX), r)
    room = shl(count, const(3, 64))
    return (not_(NOW.tf), ult(count, const(MANY, 64)), *(_all_of_them(address, room) for address in found))


def _all_of_them(address: Term, room: Term) -> Term:
    """One bit: this many bytes lie in user space, in the direction of DF."""
    up = ult(add(address, room), const(LIMIT - WIDEST, 64))
    down = not_(ult(address, room))
    return and_(_low(address), ite(NOW.df, down, up))


def _low(address: Term) -> Term:
    """One bit: what begins there ends in user space."""
    return ult(address, const(LIMIT - WIDEST, 64))


def _around(address: Term) -> Term:
    """One bit: what begins or ends there lies in user space."""
    return ult(sub(address, const(WIDEST, 64)), const(LIMIT - 2 * WIDEST, 64))


def _absolute(r: Read) -> Term:
    return truncated(field(r.immediate_at, r.immediate_size), r)


def _segment_base(data: bytes, r: Read) -> Term:
    """The base of the last segment prefix that names fs or gs; in 64-bit mode the others do not count (APM vol. 3)."""
    named = [b for b in data[: r.head_at] if b in SEGMENT_BASES]
    return SEGMENT_BASES[named[-1]] if named else const(0, 64)


def popped(r: Read) -> int:
    """Bytes by which POP to memory has moved rsp when it computes the address (SDM vol. 2, POP); 0 of all others."""
    return (2 if operand_size(r) == 2 else 8) if r.map == "1" and r.opcode == 0x8F else 0


# What does something else in the kernel, by map and opcode: SDM vol. 3, 5.9, and vol. 2 of each instruction

PRIVILEGED_1: Final = frozenset({*range(0x6C, 0x70), *range(0xE4, 0xE8), *range(0xEC, 0xF0), 0xF4, 0xFA, 0xFB})
PRIVILEGED_0F: Final = frozenset({0x06, 0x08, 0x09, *range(0x20, 0x24), 0x30, 0x32, 0x78, 0x79})
BY_LEVEL_0F: Final = frozenset({0x31, 0x33, 0xA2, 0xA6, 0xA7})  # RDTSC, RDPMC, CPUID, PadLock
SELECTORS_1: Final = frozenset({0x8E})
SELECTORS_0F: Final = frozenset({0x02, 0x03, 0xA1, 0xA9, 0xB2, 0xB4, 0xB5})
OPEN_0F01: Final = frozenset({0xD0, 0xD5, 0xD6, 0xE8, 0xEE, 0xEF, 0xFC})  # XGETBV, XEND, XTEST, SERIALIZE, PKRU, CLZERO


def _differs(r: Read) -> Refuse | None:
    """What does something else at CPL 0, whatever it accesses."""
    if r.map == "1":
        return _differs_1(r)
    if r.map == "0f":
        return _differs_0f(r)
    if r.map == "0f38":
        if r.opcode in {0xF5, 0xF6} and in_memory(r):  # WRUSS, WRSS
            return SHADOW
        is_enqueued = r.opcode == 0xF8 and r.prefixes & {REP, REPNE}
        return PRIVILEGED if r.opcode in {0x80, 0x81, 0x82} or is_enqueued else None
    in_map_2 = r.map in {"vex2", "evex2"}
    if in_map_2 and (r.opcode in GATHERS or r.opcode in {0x4A, 0x4B, 0xC6, 0xC7}):
        return ELEMENTS
    return PRIVILEGED if r.map == "vex7" else None


def _differs_1(r: Read) -> Refuse | None:
    if r.opcode in PRIVILEGED_1:
        return PRIVILEGED
    if r.opcode in {0x9C, 0x9D}:
        return FLAGS
    return SELECTORS if r.opcode in SELECTORS_1 or (r.opcode == 0x8C and r.digit in {1, 2}) else None


def _differs_0f(r: Read) -> Refuse | None:
    if r.opcode in PRIVILEGED_0F:
        return PRIVILEGED
    if r.opcode in BY_LEVEL_0F:
        return BY_LEVEL
    if r.opcode in SELECTORS_0F or (r.opcode == 0x00 and r.digit in {4, 5}):
        return SELECTORS
    if r.opcode == 0x00 or (r.opcode == 0x01 and r.modrm not in OPEN_0F01):
        return PRIVILEGED
    if r.opcode in {0x1A, 0x1B}:
        return ELEMENTS
    if r.opcode == 0xC7 and r.digit in {3, 4, 5, 6, 7}:
        return _extended(r)
    if r.opcode in {0xAE, 0x1E} and r.modrm >= 0xC0 and REP in r.prefixes:
        return SHADOW if r.digit in {1, 5} else BY_LEVEL if r.digit == 6 else None
    return SHADOW if r.opcode == 0xAE and REP in r.prefixes and r.digit == 6 else None


def _extended(r: Read) -> Refuse | None:
    """0f c7: XRSTORS, XSAVEC, XSAVES, VMPTRLD, VMPTRST and, of a register, RDRAND, RDSEED, RDPID, SENDUIPI."""
    if r.modrm < 0xC0:
        return PRIVILEGED if r.digit in {3, 5, 6, 7} else None
    return PRIVILEGED if r.digit == 6 and REP in r.prefixes else None
