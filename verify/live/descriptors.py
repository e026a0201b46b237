"""The descriptor tables of a 64-bit Linux program: which selectors it may load into which segment register.

Source: arch/x86/include/asm/segment.h (indices of the GDT), arch/x86/kernel/cpu/common.c (access rights) and
arch/x86/entry/vdso/vma.c (CPUNODE), Linux 6.18; checks: SDM vol. 2, MOV, JMP, RET, and vol. 3, 5.5 and 5.8.
A program without local descriptors and thread segments has no others: all else raises #GP.  The executor's has a table
with an empty local descriptor, where the kernel lets it have one.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from verify.live.uprobe_syscalls import system_call

CODE_32, DATA, CODE_64, NODE = 4, 5, 6, 15  # indices of descriptors with DPL 3
CODE: Final = frozenset({CODE_32, CODE_64})  # readable, not conforming
READABLE: Final = CODE | {DATA, NODE}
STACK_REGISTER: Final = 2  # ss among es, cs, ss, ds, fs, gs
SYS_MODIFY_LDT: Final = 154
CODE_SELECTOR, STACK_SELECTOR = 0x33, 0x2B  # cs and ss of a program: __USER_CS, __USER_DS


def refuses_code(selector: int, target: int) -> bool:
    """Whether a far transfer at CPL 3 to `selector` (16 bits) raises #GP; a 32-bit segment ends at 4 GiB."""
    return selector & 4 != 0 or selector >> 3 not in CODE or is_beyond(selector, target)


def is_beyond(selector: int, target: int) -> bool:
    """Whether the target lies beyond the limit of a code segment that is taken."""
    return selector & 4 == 0 and selector >> 3 == CODE_32 and target >> 32 != 0


def is_32_bit(selector: int) -> bool:
    """Whether a code selector that is taken leads to compatibility mode."""
    return selector >> 3 == CODE_32


def refuses_stack(selector: int) -> bool:
    """Whether loading ss at CPL 3 raises #GP: only the writable data segment with RPL 3 is taken."""
    return selector != STACK_SELECTOR


def refuses_data(register: int, selector: int) -> bool:
    """Whether loading segment register `register` (0..5) with `selector` raises #GP; null selectors are taken."""
    if register == STACK_REGISTER:
        return refuses_stack(selector)
    return selector > 3 and (bool(selector & 4) or selector >> 3 not in READABLE)


@cache
def has_local_table() -> bool:
    """Whether the kernel lets a program have local descriptors (modify_ldt; arch/x86/kernel/ldt.c)."""
    try:
        system_call(SYS_MODIFY_LDT, 0, 0, 0)
    except OSError:
        return False
    return True
