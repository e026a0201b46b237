"""The litmus tests: cross-modifying code in small, each with one outcome and the model's verdict on it.

Names say what happens. The verdicts are declared here and computed by `fetch`; a test compares them. Three kinds of
site: a constant in an instruction; a jump's displacement or a single-byte opcode; and the five- and ten-byte sites of
the probe protocols with their int3 sequences, where `OTHER` is the torn instruction.
"""

from __future__ import annotations

from typing import Final

from verify.concurrency.litmus.fetch import INT3, OTHER, Action, Litmus

CALL: Final[Action] = ("call",)
FLAG: Final[Action] = ("flag",)
LOAD: Final[Action] = ("load",)
SYNC: Final[Action] = ("sync",)
LATER: Final[Action] = ("later",)
SERIALISE: Final[Action] = ("serialise",)
LINE_END: Final = 61  # a five-byte instruction that begins here lies in two cache lines
PAGE_END: Final = 4093  # ... and here in two pages


def store(offset: int, data: str) -> Action:
    """One store of the bytes, written in hex, to the site."""
    return ("store", offset, bytes.fromhex(data))


# --- a constant: mov eax, 11111111; ret -------------------------------------------------------------------------------
CONSTANT: Final = bytes.fromhex("b811111111c3")
OLD, NEW = 0x11111111, 0x22222222
LOW: Final = store(1, "22")  # the lowest byte of the constant
SECOND: Final = store(2, "22")
WORD, DWORD = store(1, "2222"), store(1, "22222222")

CONSTANTS: Final = (
    Litmus("one-byte-seen-old", "old byte", CONSTANT, (LOW,), (CALL,), (OLD,), "allowed"),
    Litmus("one-byte-seen-new", "new byte", CONSTANT, (LOW,), (CALL,), (0x11111122,), "allowed"),
    Litmus(
        "one-byte-leaves-its-neighbour", "another byte changes", CONSTANT, (LOW,), (CALL,), (0x11112211,), "forbidden"
    ),
    Litmus("one-byte-seen-in-half", "a mix of bits", CONSTANT, (LOW,), (CALL,), (0x11111133,), "forbidden"),
    Litmus("word-low-byte-first", "a torn word", CONSTANT, (WORD,), (CALL,), (0x11111122,), "allowed"),
    Litmus("word-high-byte-first", "a torn word", CONSTANT, (WORD,), (CALL,), (0x11112211,), "allowed"),
    Litmus("dword-torn", "a torn doubleword", CONSTANT, (DWORD,), (CALL,), (0x11112222,), "allowed"),
    Litmus("dword-torn-over-lines", "over two lines", CONSTANT, (DWORD,), (CALL,), (0x22221111,), "allowed", LINE_END),
    Litmus("dword-torn-over-pages", "over two pages", CONSTANT, (DWORD,), (CALL,), (0x22221111,), "allowed", PAGE_END),
    Litmus("dword-of-third-bytes", "bytes of neither", CONSTANT, (DWORD,), (CALL,), (0x33333333,), "forbidden"),
    Litmus(
        "same-bytes-again", "old bytes rewritten", CONSTANT, (store(0, "b8111111"),), (CALL,), (OTHER,), "forbidden"
    ),
    Litmus(
        "second-store-before-first",
        "no order of fetches",
        CONSTANT,
        (LOW, LATER, SECOND),
        (CALL,),
        (0x11112211,),
        "allowed",
    ),
    Litmus("sync-orders-stores", "sync between", CONSTANT, (LOW, SYNC, SECOND), (CALL,), (0x11112211,), "forbidden"),
    Litmus(
        "sync-orders-stores-over-lines",
        "sync between",
        CONSTANT,
        (store(1, "2222"), SYNC, store(3, "2222")),
        (CALL,),
        (0x22221111,),
        "forbidden",
        LINE_END,
    ),
    Litmus("new-then-old", "an older value later", CONSTANT, (DWORD,), (CALL, CALL), (NEW, OLD), "allowed"),
    Litmus(
        "new-serialise-old", "serialised between", CONSTANT, (DWORD,), (CALL, SERIALISE, CALL), (NEW, OLD), "forbidden"
    ),
    Litmus(
        "part-serialise-less",
        "a torn fetch, serialised, less of it",
        CONSTANT,
        (DWORD,),
        (CALL, SERIALISE, CALL),
        (0x11111122, OLD),
        "forbidden",
    ),
    Litmus(
        "third-then-first",
        "two stores to one byte",
        CONSTANT,
        (LOW, LATER, store(1, "33")),
        (CALL, CALL),
        (0x11111133, OLD),
        "allowed",
    ),
    Litmus(
        "third-serialise-second",
        "two stores to one byte",
        CONSTANT,
        (LOW, LATER, store(1, "33")),
        (CALL, SERIALISE, CALL),
        (0x11111133, 0x11111122),
        "forbidden",
    ),
    Litmus(
        "third-sync-first",
        "sync between two stores to one byte",
        CONSTANT,
        (LOW, SYNC, store(1, "33")),
        (CALL, CALL),
        (0x11111133, OLD),
        "forbidden",
    ),
)

# --- code and data ----------------------------------------------------------------------------------------------------
MESSAGES: Final = (
    Litmus(
        "flag-then-stale-code", "message passing to a fetch", CONSTANT, (DWORD, FLAG), (FLAG, CALL), (1, OLD), "allowed"
    ),
    Litmus(
        "flag-serialise-code",
        "as the manual wants it",
        CONSTANT,
        (DWORD, FLAG),
        (FLAG, SERIALISE, CALL),
        (1, OLD),
        "forbidden",
    ),
    Litmus(
        "flag-serialise-torn-code",
        "as the manual wants it, torn",
        CONSTANT,
        (DWORD, FLAG),
        (FLAG, SERIALISE, CALL),
        (1, 0x11112222),
        "forbidden",
    ),
    Litmus(
        "flag-serialise-code-over-lines",
        "as the manual wants it",
        CONSTANT,
        (DWORD, FLAG),
        (FLAG, SERIALISE, CALL),
        (1, OLD),
        "forbidden",
        LINE_END,
    ),
    Litmus(
        "flag-serialise-code-over-pages",
        "as the manual wants it",
        CONSTANT,
        (DWORD, FLAG),
        (FLAG, SERIALISE, CALL),
        (1, OLD),
        "forbidden",
        PAGE_END,
    ),
    Litmus(
        "sync-then-flag",
        "the writer serialises the reader",
        CONSTANT,
        (DWORD, SYNC, FLAG),
        (FLAG, CALL),
        (1, OLD),
        "forbidden",
    ),
    Litmus(
        "flag-before-code",
        "the flag is set too early",
        CONSTANT,
        (FLAG, DWORD),
        (FLAG, SERIALISE, CALL),
        (1, OLD),
        "allowed",
    ),
    Litmus(
        "code-seen-before-flag",
        "the flag is read after the fetch",
        CONSTANT,
        (DWORD, FLAG),
        (CALL, FLAG),
        (NEW, 0),
        "allowed",
    ),
    Litmus(
        "no-code-before-its-flag",
        "a fetch sees no store early",
        CONSTANT,
        (FLAG, DWORD),
        (CALL, FLAG),
        (NEW, 0),
        "forbidden",
    ),
    Litmus(
        "data-new-code-old", "loaded new, fetched old", CONSTANT, (LOW,), (LOAD, CALL), (0x111122B8, OLD), "allowed"
    ),
    Litmus(
        "data-new-serialise-code-old",
        "loaded new, serialised",
        CONSTANT,
        (LOW,),
        (LOAD, SERIALISE, CALL),
        (0x111122B8, OLD),
        "forbidden",
    ),
    Litmus(
        "code-new-data-old",
        "fetched new, loaded old",
        CONSTANT,
        (LOW,),
        (CALL, LOAD),
        (0x11111122, 0x111111B8),
        "forbidden",
    ),
    Litmus(
        "flag-then-data", "message passing to a load", CONSTANT, (LOW, FLAG), (FLAG, LOAD), (1, 0x111111B8), "forbidden"
    ),
)

# --- one byte that decides --------------------------------------------------------------------------------------------
SHORT: Final = bytes.fromhex("eb06b801000000c3b802000000c3")  # jmp to the second of two results
OPCODE: Final = bytes.fromhex("b811111111c3")

SINGLE: Final = (
    Litmus("short-jump-retargeted", "to the other target", SHORT, (store(1, "00"),), (CALL,), (1,), "allowed"),
    Litmus(
        "short-jump-goes-nowhere-else", "to a third place", SHORT, (store(1, "00"),), (CALL,), (OTHER,), "forbidden"
    ),
    Litmus("opcode-flips", "mov eax becomes mov ecx", OPCODE, (store(0, "b9"),), (CALL,), (0,), "allowed"),
    Litmus("opcode-flips-to-nothing-else", "a third opcode", OPCODE, (store(0, "b9"),), (CALL,), (OTHER,), "forbidden"),
    Litmus("breakpoint-set", "int3 over the first byte", CONSTANT, (store(0, "cc"),), (CALL,), (INT3,), "allowed"),
    Litmus(
        "breakpoint-set-is-whole", "int3 and nothing torn", CONSTANT, (store(0, "cc"),), (CALL,), (OTHER,), "forbidden"
    ),
    Litmus(
        "breakpoint-set-and-removed",
        "int3 and back",
        CONSTANT,
        (store(0, "cc"), LATER, store(0, "b8")),
        (CALL,),
        (OTHER,),
        "forbidden",
    ),
    Litmus(
        "breakpoint-set-over-lines",
        "int3, in two lines",
        CONSTANT,
        (store(0, "cc"),),
        (CALL,),
        (OTHER,),
        "forbidden",
        LINE_END,
    ),
    Litmus(
        "breakpoint-set-over-pages",
        "int3, in two pages",
        CONSTANT,
        (store(0, "cc"),),
        (CALL,),
        (OTHER,),
        "forbidden",
        PAGE_END,
    ),
    Litmus(
        "breakpoint-removed-sync-flag",
        "no trap after removal",
        CONSTANT,
        (store(0, "cc"), LATER, store(0, "b8"), SYNC, FLAG),
        (FLAG, CALL),
        (1, INT3),
        "forbidden",
    ),
    Litmus(
        "breakpoint-removed-flag",
        "a late trap",
        CONSTANT,
        (store(0, "cc"), LATER, store(0, "b8"), FLAG),
        (FLAG, CALL),
        (1, INT3),
        "allowed",
    ),
)

# --- the sites of the probe protocols ---------------------------------------------------------------------------------
# nop5; mov eax, 1; ret; ...; at 20: mov eax, 2; ret.   New: jmp 20 (e9 1b 00 00 00).
NOP5: Final = bytes.fromhex("0f1f440000b801000000c3" + "f4" * 21 + "b802000000c3")
INT3_FIRST, JUMP_TAIL, JUMP_FIRST = store(0, "cc"), store(1, "1b000000"), store(0, "e9")
NOP_TAIL, NOP_FIRST = store(1, "1f440000"), store(0, "0f")
TO_JUMP: Final = (INT3_FIRST, SYNC, JUMP_TAIL, SYNC, JUMP_FIRST)
TO_NOP: Final = (INT3_FIRST, SYNC, NOP_TAIL, SYNC, NOP_FIRST)
JUMP5: Final = bytes.fromhex("e91b000000") + NOP5[5:]
NO_FIRST_SYNC: Final = (INT3_FIRST, LATER, JUMP_TAIL, SYNC, JUMP_FIRST)
NO_SECOND_SYNC: Final = (INT3_FIRST, SYNC, JUMP_TAIL, LATER, JUMP_FIRST)
# ten-byte nop; mov eax, 1; ret; ...; at 20: trampoline mov ecx, 3; ret 80.   New: lea -80(%rsp),%rsp; call 20.
NOP10: Final = bytes.fromhex("662e0f1f840000000000b801000000c3" + "f4" * 16 + "b903000000c28000")
LEA10: Final = bytes.fromhex("488d642480e816000000") + NOP10[10:]
TO_CALL: Final = (INT3_FIRST, SYNC, store(1, "8d642480e8160000"), store(9, "00"), SYNC, store(0, "48"))
CALL_KEPT: Final = (INT3_FIRST, SYNC, store(1, "2e0f1f84"), SYNC, store(0, "66"))

PROTOCOLS: Final = (
    Litmus("nop5-to-jump", "int3, sync, tail, sync, first byte", NOP5, TO_JUMP, (CALL,), (OTHER,), "forbidden"),
    Litmus("nop5-to-jump-over-lines", "the same in two lines", NOP5, TO_JUMP, (CALL,), (OTHER,), "forbidden", LINE_END),
    Litmus("nop5-to-jump-over-pages", "the same in two pages", NOP5, TO_JUMP, (CALL,), (OTHER,), "forbidden", PAGE_END),
    Litmus("nop5-to-jump-traps", "a hit meanwhile", NOP5, TO_JUMP, (CALL,), (INT3,), "allowed"),
    Litmus("nop5-to-jump-new", "the jump is taken", NOP5, TO_JUMP, (CALL,), (2,), "allowed"),
    Litmus("jump-to-nop5", "the way back", JUMP5, TO_NOP, (CALL,), (OTHER,), "forbidden"),
    Litmus("jump-to-nop5-over-lines", "the way back", JUMP5, TO_NOP, (CALL,), (OTHER,), "forbidden", LINE_END),
    Litmus(
        "nop5-to-jump-without-first-sync", "old first byte, new tail", NOP5, NO_FIRST_SYNC, (CALL,), (OTHER,), "allowed"
    ),
    Litmus(
        "nop5-to-jump-without-second-sync",
        "new first byte, old tail",
        NOP5,
        NO_SECOND_SYNC,
        (CALL,),
        (OTHER,),
        "allowed",
    ),
    Litmus(
        "nop5-to-jump-without-int3",
        "one store of all five bytes",
        NOP5,
        (store(0, "e91b000000b80100"),),
        (CALL,),
        (OTHER,),
        "allowed",
    ),
    Litmus("nop5-to-jump-without-last-sync", "a late trap", NOP5, (*TO_JUMP, FLAG), (FLAG, CALL), (1, INT3), "allowed"),
    Litmus(
        "nop5-to-jump-with-last-sync",
        "no late trap",
        NOP5,
        (*TO_JUMP, SYNC, FLAG),
        (FLAG, CALL),
        (1, INT3),
        "forbidden",
    ),
    Litmus(
        "nop5-to-jump-is-done",
        "no old code after the last sync",
        NOP5,
        (*TO_JUMP, SYNC, FLAG),
        (FLAG, CALL),
        (1, 1),
        "forbidden",
    ),
    Litmus("nop5-to-jump-new-then-old", "no way back", NOP5, TO_JUMP, (CALL, CALL), (2, 1), "forbidden"),
    Litmus("nop10-to-call", "lea and call over a ten-byte nop", NOP10, TO_CALL, (CALL,), (OTHER,), "forbidden"),
    Litmus(
        "nop10-to-call-over-lines", "the same in two lines", NOP10, TO_CALL, (CALL,), (OTHER,), "forbidden", LINE_END
    ),
    Litmus("call-to-nop10-keeps-the-call", "the way back", LEA10, CALL_KEPT, (CALL,), (OTHER,), "forbidden"),
)

# The same where the first byte and the tail lie in two lines or two pages.
AT_END: Final = tuple(
    Litmus(f"{name}-over-{what}", question, NOP5, writer, (CALL,), (OTHER,), "allowed", at)
    for name, question, writer in (
        ("nop5-to-jump-without-int3", "one store of all five bytes", (store(0, "e91b000000b80100"),)),
        ("nop5-to-jump-without-first-sync", "old first byte, new tail", NO_FIRST_SYNC),
        ("nop5-to-jump-without-second-sync", "new first byte, old tail", NO_SECOND_SYNC),
    )
    for what, at in (("lines", 63), ("pages", 4095))
)

CATALOGUE: Final[tuple[Litmus, ...]] = (*CONSTANTS, *MESSAGES, *SINGLE, *PROTOCOLS, *AT_END)
