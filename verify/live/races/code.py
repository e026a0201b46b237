"""The program of the race scenarios as machine code: a small ELF file whose functions are probed.

Decides the bytes only (Intel SDM vol. 2 for every encoding; elf(5)). The file is mapped at `BASE` by a forked child, or
executed by itself. Every probed function of x gives 3 x + 7 in rax and notices a changed rcx, rdx, rdi or r11. A thread
runs `loop` over a block of eight 64-bit words; `FIELDS` names them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

BASE: Final = 0x2000_0000
PAGE: Final = 4096
SIZE: Final = 4 * PAGE
DRIVER: Final = PAGE  # file offsets, and offsets from BASE
SITES: Final = 2 * PAGE
RETURNS: Final = 3 * PAGE
HELD: Final = 0x2100_0000
"""A page of zeros that `held` reads; a thread that finds it missing stays in its slot."""

FIELDS: Final = ("calls", "wrong", "limit", "function", "stop", "stack", "faults", "gate")
"""Words of a block: calls done; wrong results; calls wanted; the function; address of the flag that ends the loop;
rsp before the call; calls that ended in a fault; address of (entered, released) for `waiting`."""

_ROWS: Final[tuple[tuple[str, str], ...]] = (
    # name, bytes in the order of the file; relative branches are valid in this order only
    ("loop",
     "53 4889fb"                    # push rbx; mov rbx, rdi
     "488b4320 833800 7532"         # again: [stop] != 0: out
     "488b3b 483b7b10 7329"         # rdi := calls; not below limit: out
     "48896328 ff5318"),            # stack := rsp; call [function]
    ("resume",
     "488b0b 488d544907 4839d0 7410"  # calls * 3 + 7 == rax: next
     "4883f8ff 7506 48ff4330 eb04"  # rax == -1: a page fault: faults += 1, next
     "48ff4308"                     # wrong += 1
     "48ff03 ebc5 5b c3"),          # next: calls += 1; jmp again; out: pop rbx; ret
    ("entry",                       # of the ELF file: a block on the stack, 64 calls of the first function
     "4883ec50 4889e7 48c70700000000 48c7470800000000 48c7471040000000 48c7471800200020 488d4740 48c70000000000"
     "48894720 48c7473000000000 e87dffffff"
     "488b7c2408 480b7c2430 400f95c7 400fb6ff b8e7000000 0f05"),  # exit_group(wrong or faults)
    ("vforked",                     # (block): the child runs the loop and exits; the pid
     "53 4889fb b83a000000 0f05 85c0 751f"
     "4889df e84dffffff 488b7b08 480b7b30 400f95c7 400fb6ff b83c000000 0f05 5b c3"),
    ("cloned",                      # (block, end of a stack): the same with clone(CLONE_VM | SIGCHLD)
     "53 4889fb bf11010000 31d2 4531d2 4531c0 b838000000 0f05 85c0 751f"
     "4889df e810ffffff 488b7b08 480b7b30 400f95c7 400fb6ff b83c000000 0f05 5b c3"),
    ("fault",                       # handler: a fault in SITES ends the call with -1 in rax; elsewhere ud2
     "488b82a8000000 482d00200020 483d00100000 7328"
     "488b82a0000000 488b08 48898aa8000000 4883c008 488982a0000000 48c78290000000ffffffff c3 0f0b"),
    ("counted",                     # handler: [rax] += 1; calls [rax + 8] with 5; a wrong result: [rax + 16] += 1
     "48b8 {counters} f048ff00 50 bf05000000 488b4808 ffd1 59 4883f816 7405 f048ff4110 c3"),
    ("restorer", "b80f000000 0f05"),  # rt_sigreturn
)  # fmt: skip

HEAD: Final = "4889f9 4989fb"  # mov rcx, rdi; mov r11, rdi
DOUBLE: Final = "488d143f"  # lea rdx, [rdi + rdi]
TAIL: Final = "488d441107 4801f8 4c29d8 c3"  # lea rax, [rcx + rdx + 7]; add rax, rdi; sub rax, r11; ret
_FUNCTIONS: Final[tuple[tuple[str, int, str, str], ...]] = (
    # name, file offset, before the site, the site (and what follows it)
    ("stepped", SITES, HEAD + "31d2", DOUBLE + TAIL),  # xor edx, edx first: a site that is skipped shows
    ("nop5", SITES + 0x100, HEAD + DOUBLE, "0f1f440000" + TAIL),
    ("nop10", SITES + 0x200, HEAD + DOUBLE, "662e0f1f840000000000" + TAIL),
    ("emulated", SITES + 0x300, HEAD + DOUBLE, "90" + TAIL),
    ("relative", SITES + 0x400, HEAD + "31d2", "480315 19000000 4801fa 4801fa" + TAIL + "90" * 4 + "00" * 16),
    ("held", SITES + 0x500, HEAD + DOUBLE, "48031425 00000021" + TAIL),  # add rdx, [HELD]
    ("restartable", SITES + 0x600,  # a restartable sequence that adds 1 to `datum`; an abort: faults += 1, anew
     "48b8 {descriptor} 64488904 25{area} 48a1 {datum}",  # fs:[area] := descriptor; the sequence: rax := [datum]
     "488d4001 48a3 {datum} 488d447f07 c3 53300553 48ff4330 ebc5"),  # rax + 1; [datum] := rax; out; signature; abort
    ("unwinding", RETURNS, "", "89f8 83e003 7414 a801 740a 57 48ffc7 e8ecffffff 5f 488d447f07 c3"
     "488b6328 488b3b 488d447f07 e9 {resume}"),
    ("waiting", RETURNS + 0x100, "", "488b4338 f048ff00 f390 4883780800 74f7 488d447f07 c3"),
)  # fmt: skip
DESCRIPTOR: Final = SITES + 0x700  # of the restartable sequence
RSEQ_CS: Final = 8  # offset of the descriptor's address in `struct rseq`
UNWINDING_ENTRIES: Final = (1, 2, 1, 2)
"""Entries of `unwinding` for x mod 4: x mod 4 = 0 leaves by longjmp; odd x calls itself with x + 1 first."""
UNWINDING_RETURNS: Final = (0, 2, 1, 0)


def _offsets() -> dict[str, int]:
    """Where each row of the driver lies."""
    found, at = {}, DRIVER
    for name, text in _ROWS:
        found[name] = at
        at += len(bytes.fromhex(text.format(counters="00" * 8)))
    return found


DRIVER_AT: Final[Mapping[str, int]] = _offsets()
FUNCTION_AT: Final[Mapping[str, int]] = {name: offset for name, offset, _, _ in _FUNCTIONS}
SITE_AT: Final[Mapping[str, int]] = {
    name: offset + len(bytes.fromhex(before.format(descriptor="00" * 8, datum="00" * 8, area="00" * 4)))
    for name, offset, before, _ in _FUNCTIONS
}
"""File offset of the instruction that is probed in each function."""
_JUMP_AT: Final = 0x27  # of the last instruction of `unwinding`


def image(counters: int, datum: int = 0, area: int = 0) -> bytes:
    """The file; `counters` is the address of the words that the handler `counted` uses, `datum` of the word that
    `restartable` counts in; `area`: offset of `struct rseq` from fs's base."""
    text = bytearray(b"\xf4" * SIZE)  # hlt: faults in user mode
    header = _header()
    text[: len(header)] = header
    driver = "".join(row for _, row in _ROWS).format(counters=struct.pack("<Q", counters).hex())
    _place(text, DRIVER, driver)
    back = DRIVER_AT["resume"] - (FUNCTION_AT["unwinding"] + _JUMP_AT + 5)
    words = {
        "resume": struct.pack("<i", back).hex(), "descriptor": struct.pack("<Q", BASE + DESCRIPTOR).hex(),
        "datum": struct.pack("<Q", datum).hex(), "area": struct.pack("<i", area + RSEQ_CS).hex(),
    }  # fmt: skip
    for _, offset, before, site in _FUNCTIONS:
        _place(text, offset, (before + site).format(**words))
    _place(text, DESCRIPTOR, _descriptor().hex())
    return bytes(text)


def _descriptor() -> bytes:
    """`struct rseq_cs` of `restartable` (include/uapi/linux/rseq.h): start, length, and where an abort goes."""
    site = BASE + SITE_AT["restartable"]
    start, end, abort = site - 10, site + 14, site + 24  # behind it lea and mov; then lea, ret, signature
    return struct.pack("<IIQQQ", 0, 0, start, end - start, abort)


def _place(text: bytearray, offset: int, hexadecimal: str) -> None:
    code = bytes.fromhex(hexadecimal)
    text[offset : offset + len(code)] = code


def _header() -> bytes:
    """An ELF header and one loadable segment, readable and executable: the whole file at BASE."""
    entry = BASE + DRIVER_AT["entry"]
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, SIZE, SIZE, PAGE)
