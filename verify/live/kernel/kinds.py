"""Kinds of initial states beside the standard ones: what programs rarely do, and what schemes get wrong there.

Decides nothing about instructions. A family is a tuple of states of one kind, of which an encoding is run in one at
most (or in each, where it is asked for); which one depends on its bytes alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from verify.live.descriptors import CODE_32
from verify.live.kernel.child import DATA, DATA_SIZE, LANDING, AddressSpace, Tracee
from verify.live.kernel.state import (
    ALIGNMENT_CHECK,
    ID_FLAG,
    NESTED_TASK,
    STACK,
    KernelState,
    interrupt_frame,
    standard_states,
)
from verify.live.ptrace import REGISTERS, RIP
from verify.models.x86.mode import USER_64

Family = tuple[KernelState, ...]
GENERAL: Final = tuple(n for n in REGISTERS[:RIP] if n not in ("orig_rax", "rcx"))     # rcx is index and count
END: Final = DATA + DATA_SIZE
STACK_EDGE, OPERAND_EDGE, READ_ONLY, NON_CANONICAL = "stack-edge", "operand-edge", "read-only", "non-canonical"
NULL_SELECTORS, FAR_32, FLAG_BITS_SET, EXCEPTIONS, HANDLER = (
    "null-selectors", "far-32", "flags", "exceptions", "handler")
SPARSE: Final = frozenset((STACK_EDGE, OPERAND_EDGE, READ_ONLY, NON_CANONICAL, NULL_SELECTORS, FAR_32, FLAG_BITS_SET,
                           EXCEPTIONS, HANDLER))
SHARE: Final = 3                                    # an encoding in so many is run in a state of a kind
BELOW_END: Final = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64)
BELOW_START: Final = (1, 2, 3, 4, 7, 8, 16, 32)
#: addresses that no program has mapped: not canonical, at the end of user space, in the kernel half. The low half of
#: each is no number of a system call, which the encoding may be
BEYOND: Final = {
    "low": 0x0000_8000_2800_1000, "crossing": USER_64.half - 4, "middle": 0x8000_0000_2800_1000,
    "high": 0xFFFF_7FFF_2800_1000, "kernel": 0xFFFF_8000_2800_1000, "top": (1 << 64) - 4,
}
CODE_32_SELECTOR: Final = CODE_32 << 3 | 3
#: lanes that raise every SIMD exception: signalling NaN, denormal, infinity, zero, largest (single and double)
RAISING: Final = struct.pack("<IIIIQQQQ", 0x7F80_0001, 1, 0x7F80_0000, 0x7F7F_FFFF, 0x7FF0_0000_0000_0001, 3,
                             0x7FEF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000)
UNMASKED_MXCSR, UNMASKED_X87, X87_INVALID_UNMASKED = 0, 0x0340, 0x037E
PENDING: Final = 0x8081                             # IE, ES and B: an x87 exception waits to be raised


def kinds(child: Tracee) -> tuple[Family, ...]:
    """The families of this module: the child's own processor decides what its xsave image holds."""
    standard = {state.name: state for state in standard_states(child)}
    plain, fault = standard["plain"], standard["fault"]
    raising = tuple(_exceptions(plain))
    return (
        tuple(_stack_edges(plain)), tuple(_operand_edges(plain)), tuple(_read_only(plain)), tuple(_beyond(plain)),
        tuple(_null_selectors(plain)), tuple(_far_32(plain, child.space)), tuple(_flags(plain)), raising,
        tuple(_handlers(plain, fault, raising)),
    )


def chosen(encoding: bytes, family: Family) -> KernelState | None:
    """The state of the family in which the encoding is run; None where it is left to other encodings.

    A family of one state is for every encoding, others of this module for every SHARE-th.
    """
    number = zlib.crc32(encoding + family[0].kind.encode())
    if len(family) > 1 and family[0].kind in SPARSE and number % SHARE:
        return None
    return family[number // SHARE % len(family)]


def _stack_edges(plain: KernelState) -> Iterator[KernelState]:
    """rsp at 0 to 8 bytes from either end of the mapping, misaligned within it, and a little beyond its end."""
    rows = {f"end-{k}": END - k for k in range(9)} | {f"start+{k}": DATA + k for k in range(9)}
    rows |= {f"misaligned+{k}": STACK + 0x100 + k for k in range(1, 8)}
    for name, rsp in rows.items():
        yield replace(plain.with_registers(f"{STACK_EDGE} {name}", rsp=rsp), kind=STACK_EDGE)
    for k in range(1, 8):
        cut = plain.with_registers(f"{STACK_EDGE} end+{k}", rsp=END + k)
        yield replace(cut, kind=STACK_EDGE, breaks=frozenset({"kernel-may-store"}))


def pointing(state: KernelState, name: str, address: int, but: Sequence[str] = ("rsp",)) -> KernelState:
    """The state with every general register but rcx and `but` at the address."""
    return state.with_registers(name, **{r: address for r in GENERAL if r not in but})


def _operand_edges(plain: KernelState) -> Iterator[KernelState]:
    rows = {f"end-{k}": END - k for k in BELOW_END} | {f"start-{k}": DATA - k for k in BELOW_START}
    for name, address in rows.items():
        state = pointing(plain, f"{OPERAND_EDGE} {name}", address)
        displaced = state.with_registers(state.name, rbx=address - 0x40)           # of the operand [rbx+40h]
        yield replace(displaced, kind=OPERAND_EDGE)


def _read_only(plain: KernelState) -> Iterator[KernelState]:
    for name, rsp in {"stack too": STACK, "operands": STACK + 0x800}.items():
        yield replace(plain.with_registers(f"{READ_ONLY} {name}", rsp=rsp), kind=READ_ONLY, read_only=True)


def _beyond(plain: KernelState) -> Iterator[KernelState]:
    for name, address in BEYOND.items():
        operands = pointing(plain, f"{NON_CANONICAL} operands {name}", address)
        yield replace(operands, kind=NON_CANONICAL)
        yield replace(plain.with_registers(f"{NON_CANONICAL} stack {name}", rsp=address), kind=NON_CANONICAL)


def _null_selectors(plain: KernelState) -> Iterator[KernelState]:
    """The null selectors 1 to 3, in memory, and in registers, which point into the data region all the same."""
    for k in (1, 2, 3):
        words = struct.pack("<H", k) * (DATA_SIZE // 2)
        yield replace(plain, name=f"{NULL_SELECTORS} {k} in memory", data=words, kind=NULL_SELECTORS)
        registers = pointing(plain, "", DATA + k).with_registers(f"{NULL_SELECTORS} {k} in registers", rcx=DATA + k)
        yield replace(registers, kind=NULL_SELECTORS)


def _far_32(plain: KernelState, space: AddressSpace) -> Iterator[KernelState]:
    """Far pointers, return addresses and interrupt frames that lead to the 32-bit code segment."""
    for name, word, wide in (("narrow", "<I", False), ("wide", "<Q", True)):
        places = (LANDING + 0x120 + 8 * (i % 64) for i in range(DATA_SIZE // (2 * struct.calcsize(word))))
        data = bytearray(b"".join(struct.pack(word, p) + struct.pack(word, CODE_32_SELECTOR) for p in places))
        frame = interrupt_frame(space, wide, 0x202, CODE_32_SELECTOR)
        data[STACK - DATA : STACK - DATA + len(frame)] = frame
        yield replace(plain, name=f"{FAR_32} {name}", data=bytes(data), kind=FAR_32)


def _flags(plain: KernelState) -> Iterator[KernelState]:
    rows = {"nt": NESTED_TASK, "id": ID_FLAG, "nt id": NESTED_TASK | ID_FLAG}
    for name, bits in rows.items():
        yield replace(plain.with_registers(f"flags {name}", eflags=0x203 | bits), kind=FLAG_BITS_SET)
    checked = replace(plain, kind=FLAG_BITS_SET, breaks=frozenset({"no-alignment-check"}))
    yield checked.with_registers("flags ac", eflags=0x203 | ALIGNMENT_CHECK)
    off = pointing(checked, "", DATA + 0x1001)
    yield off.with_registers("flags ac misaligned", eflags=0x203 | ALIGNMENT_CHECK, rsp=STACK + 4)


def _exceptions(plain: KernelState) -> Iterator[KernelState]:
    lanes = (RAISING * 8)[:256]
    image = plain.xstate
    rows = {
        "mxcsr": (image[:24] + struct.pack("<I", UNMASKED_MXCSR) + image[28:160] + lanes + image[416:]),
        "x87 unmasked": struct.pack("<H", UNMASKED_X87) + image[2:],
        "x87 pending": struct.pack("<HH", X87_INVALID_UNMASKED, int.from_bytes(image[2:4], "little") | PENDING)
                       + image[4:6] + struct.pack("<HQQ", 0x1D9, LANDING + 0x40, DATA + 0x40) + image[24:],
    }
    data = bytearray((RAISING * (DATA_SIZE // len(RAISING) + 1))[:DATA_SIZE])
    at = STACK - DATA - 0x100
    data[at : at + 0x400] = plain.data[at : at + 0x400]
    for name, xstate in rows.items():
        filled = bytes(data) if name != "x87 pending" else plain.data
        yield replace(plain, name=f"{EXCEPTIONS} {name}", xstate=xstate, data=filled, kind=EXCEPTIONS)


def _handlers(plain: KernelState, fault: KernelState, raising: Sequence[KernelState]) -> Iterator[KernelState]:
    """States in which the program's own handler is run, and sees a frame."""
    edge = pointing(plain, "operands at the end", END - 1)
    beyond = pointing(plain, "operands not canonical", BEYOND["low"])
    stack = plain.with_registers("stack at the start", rsp=DATA)
    written = replace(plain, name="read-only", read_only=True)
    trap = plain.with_registers("trap", eflags=0x303)
    for state in (fault, edge, fault, beyond, stack, written, trap, plain, *raising):
        name = f"{HANDLER} {state.name.removeprefix(EXCEPTIONS).strip()}"
        yield replace(state, name=name, kind=HANDLER, delivered=True)
