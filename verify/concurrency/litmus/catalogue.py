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
PREEMPT: Final[Action] = ("preempt",)
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
    Litmus("one-byte-seen-old", "A fetch may be stale until its processor serialises.",
           CONSTANT, (LOW,), (CALL,), (OLD,), "allowed"),
    Litmus("one-byte-seen-new", "A store is in memory at once, and a fetch may see memory.",
           CONSTANT, (LOW,), (CALL,), (0x11111122,), "allowed"),
    Litmus("one-byte-leaves-its-neighbour", "A byte that no store names keeps its value.",
           CONSTANT, (LOW,), (CALL,), (0x11112211,), "forbidden"),
    Litmus("one-byte-seen-in-half", "A one-byte write is atomic: no fetch sees bits of both values.",
           CONSTANT, (LOW,), (CALL,), (0x11111133,), "forbidden"),
    Litmus("word-low-byte-first", "A fetch may see any mix of the bytes of a two-byte store.",
           CONSTANT, (WORD,), (CALL,), (0x11111122,), "allowed"),
    Litmus("word-high-byte-first", "The mix may have the higher byte new and the lower one old.",
           CONSTANT, (WORD,), (CALL,), (0x11112211,), "allowed"),
    Litmus("dword-torn", "A fetch may see any mix of the bytes of a four-byte store.",
           CONSTANT, (DWORD,), (CALL,), (0x11112222,), "allowed"),
    Litmus("dword-torn-over-lines", "Two cache lines are fetched one after the other, so that the mix is seen.",
           CONSTANT, (DWORD,), (CALL,), (0x22221111,), "allowed", LINE_END),
    Litmus("dword-torn-over-pages", "Two pages are fetched one after the other, so that the mix is seen.",
           CONSTANT, (DWORD,), (CALL,), (0x22221111,), "allowed", PAGE_END),
    Litmus("dword-of-third-bytes", "A torn fetch has bytes that were once there, and no others.",
           CONSTANT, (DWORD,), (CALL,), (0x33333333,), "forbidden"),
    Litmus("same-bytes-again", "A store of what is there changes nothing, whatever is fetched.",
           CONSTANT, (store(0, "b8111111"),), (CALL,), (OTHER,), "forbidden"),
    Litmus("second-store-before-first", "Fetches of two bytes are not ordered: the later store may be seen alone.",
           CONSTANT, (LOW, LATER, SECOND), (CALL,), (0x11112211,), "allowed"),
    Litmus("sync-orders-stores", "The interrupt serialises the reader: what is stored later is never seen alone.",
           CONSTANT, (LOW, SYNC, SECOND), (CALL,), (0x11112211,), "forbidden"),
    Litmus("sync-orders-stores-over-lines", "The interrupt serialises for both cache lines.",
           CONSTANT, (store(1, "2222"), SYNC, store(3, "2222")), (CALL,), (0x22221111,), "forbidden", LINE_END),
    Litmus("new-then-old", "Seeing a new value does not serialise: the next fetch may be stale again.",
           CONSTANT, (DWORD,), (CALL, CALL), (NEW, OLD), "allowed"),
    Litmus("new-serialise-old", "After serialising a fetch sees memory, which does not go back.",
           CONSTANT, (DWORD,), (CALL, SERIALISE, CALL), (NEW, OLD), "forbidden"),
    Litmus("part-serialise-less", "A part of a store that was seen stays when the reader serialises.",
           CONSTANT, (DWORD,), (CALL, SERIALISE, CALL), (0x11111122, OLD), "forbidden"),
    Litmus("third-then-first", "Without serialising a fetch may go back over two stores.",
           CONSTANT, (LOW, LATER, store(1, "33")), (CALL, CALL), (0x11111133, OLD), "allowed"),
    Litmus("third-serialise-second", "After serialising only the last value of a byte is left.",
           CONSTANT, (LOW, LATER, store(1, "33")), (CALL, SERIALISE, CALL), (0x11111133, 0x11111122), "forbidden"),
    Litmus("third-sync-first", "The interrupt takes the first value away before the last one is stored.",
           CONSTANT, (LOW, SYNC, store(1, "33")), (CALL, CALL), (0x11111133, OLD), "forbidden"),
)  # fmt: skip

# --- code and data ----------------------------------------------------------------------------------------------------
MESSAGES: Final = (
    Litmus("flag-then-stale-code", "Reading the flag orders loads, and not fetches.",
           CONSTANT, (DWORD, FLAG), (FLAG, CALL), (1, OLD), "allowed"),
    Litmus("flag-serialise-code", "Waiting for the flag and serialising is the manuals' way: the code is new.",
           CONSTANT, (DWORD, FLAG), (FLAG, SERIALISE, CALL), (1, OLD), "forbidden"),
    Litmus("flag-serialise-torn-code", "By the same way the code is wholly new.",
           CONSTANT, (DWORD, FLAG), (FLAG, SERIALISE, CALL), (1, 0x11112222), "forbidden"),
    Litmus("flag-serialise-code-over-lines", "Serialising holds for both cache lines of an instruction.",
           CONSTANT, (DWORD, FLAG), (FLAG, SERIALISE, CALL), (1, OLD), "forbidden", LINE_END),
    Litmus("flag-serialise-code-over-pages", "Serialising holds for both pages of an instruction.",
           CONSTANT, (DWORD, FLAG), (FLAG, SERIALISE, CALL), (1, OLD), "forbidden", PAGE_END),
    Litmus("sync-then-flag", "The writer has serialised the reader before it set the flag.",
           CONSTANT, (DWORD, SYNC, FLAG), (FLAG, CALL), (1, OLD), "forbidden"),
    Litmus("flag-before-code", "A flag that is set before the store says nothing of it.",
           CONSTANT, (FLAG, DWORD), (FLAG, SERIALISE, CALL), (1, OLD), "allowed"),
    Litmus("code-seen-before-flag", "The store may be fetched before the flag is set.",
           CONSTANT, (DWORD, FLAG), (CALL, FLAG), (NEW, 0), "allowed"),
    Litmus("no-code-before-its-flag", "The store comes after the flag, and no fetch sees a store early.",
           CONSTANT, (FLAG, DWORD), (CALL, FLAG), (NEW, 0), "forbidden"),
    Litmus("data-new-code-old", "A load that sees the store does not make the next fetch see it.",
           CONSTANT, (LOW,), (LOAD, CALL), (0x111122B8, OLD), "allowed"),
    Litmus("data-new-serialise-code-old", "A load that sees the store, and then serialising, does.",
           CONSTANT, (LOW,), (LOAD, SERIALISE, CALL), (0x111122B8, OLD), "forbidden"),
    Litmus("code-new-data-old", "A fetch that saw the store is followed by loads that see it.",
           CONSTANT, (LOW,), (CALL, LOAD), (0x11111122, 0x111111B8), "forbidden"),
    Litmus("flag-then-data", "Loads are in order, and so are stores (TSO).",
           CONSTANT, (LOW, FLAG), (FLAG, LOAD), (1, 0x111111B8), "forbidden"),
)  # fmt: skip

# --- one byte that decides --------------------------------------------------------------------------------------------
SHORT: Final = bytes.fromhex("eb06b801000000c3b802000000c3")  # jmp to the second of two results
OPCODE: Final = bytes.fromhex("b811111111c3")

SINGLE: Final = (
    Litmus("short-jump-retargeted", "The displacement of a short jump is one byte: it is old or new.",
           SHORT, (store(1, "00"),), (CALL,), (1,), "allowed"),
    Litmus("short-jump-goes-nowhere-else", "One byte has no third value, so that there is no third target.",
           SHORT, (store(1, "00"),), (CALL,), (OTHER,), "forbidden"),
    Litmus("opcode-flips", "An opcode of one byte may be replaced while it runs.",
           OPCODE, (store(0, "b9"),), (CALL,), (0,), "allowed"),
    Litmus("opcode-flips-to-nothing-else", "The opcode is one of the two, with the same operand.",
           OPCODE, (store(0, "b9"),), (CALL,), (OTHER,), "forbidden"),
    Litmus("breakpoint-set", "The int3 is seen sooner or later.",
           CONSTANT, (store(0, "cc"),), (CALL,), (INT3,), "allowed"),
    Litmus("breakpoint-set-is-whole", "An int3 is one byte: what stands behind it is not looked at.",
           CONSTANT, (store(0, "cc"),), (CALL,), (OTHER,), "forbidden"),
    Litmus("breakpoint-set-and-removed", "The old byte and int3 are all that a fetch can see.",
           CONSTANT, (store(0, "cc"), LATER, store(0, "b8")), (CALL,), (OTHER,), "forbidden"),
    Litmus("breakpoint-set-over-lines", "One byte lies in one cache line, wherever the rest is.",
           CONSTANT, (store(0, "cc"),), (CALL,), (OTHER,), "forbidden", LINE_END),
    Litmus("breakpoint-set-over-pages", "One byte lies in one page, wherever the rest is.",
           CONSTANT, (store(0, "cc"),), (CALL,), (OTHER,), "forbidden", PAGE_END),
    Litmus("breakpoint-removed-sync-flag", "After the interrupt no int3 can be fetched any more.",
           CONSTANT, (store(0, "cc"), LATER, store(0, "b8"), SYNC, FLAG), (FLAG, CALL), (1, INT3), "forbidden"),
    Litmus("breakpoint-removed-flag", "Without the interrupt an int3 may be fetched after its removal.",
           CONSTANT, (store(0, "cc"), LATER, store(0, "b8"), FLAG), (FLAG, CALL), (1, INT3), "allowed"),
)  # fmt: skip

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
    Litmus("nop5-to-jump", "Between int3 and the new first byte nobody looks at the tail: each sync makes sure of it.",
           NOP5, TO_JUMP, (CALL,), (OTHER,), "forbidden"),
    Litmus("nop5-to-jump-over-lines", "The order of the writes is what counts, and not where the bytes lie.",
           NOP5, TO_JUMP, (CALL,), (OTHER,), "forbidden", LINE_END),
    Litmus("nop5-to-jump-over-pages", "The same holds over two pages.",
           NOP5, TO_JUMP, (CALL,), (OTHER,), "forbidden", PAGE_END),
    Litmus("nop5-to-jump-traps", "While the tail is written a call ends at the int3.",
           NOP5, TO_JUMP, (CALL,), (INT3,), "allowed"),
    Litmus("nop5-to-jump-new", "In the end the jump is taken.",
           NOP5, TO_JUMP, (CALL,), (2,), "allowed"),
    Litmus("jump-to-nop5", "The way back keeps the same order.",
           JUMP5, TO_NOP, (CALL,), (OTHER,), "forbidden"),
    Litmus("jump-to-nop5-over-lines", "The way back keeps the same order over two lines.",
           JUMP5, TO_NOP, (CALL,), (OTHER,), "forbidden", LINE_END),
    Litmus("nop5-to-jump-without-first-sync", "A stale first byte may meet the new tail.",
           NOP5, NO_FIRST_SYNC, (CALL,), (OTHER,), "allowed"),
    Litmus("nop5-to-jump-without-second-sync", "The new first byte may meet a stale tail.",
           NOP5, NO_SECOND_SYNC, (CALL,), (OTHER,), "allowed"),
    Litmus("nop5-to-jump-without-int3", "One store of all five bytes may be seen in parts.",
           NOP5, (store(0, "e91b000000b80100"),), (CALL,), (OTHER,), "allowed"),
    Litmus("nop5-to-jump-without-last-sync", "Without the last sync a stale int3 may be fetched when all seems done.",
           NOP5, (*TO_JUMP, FLAG), (FLAG, CALL), (1, INT3), "allowed"),
    Litmus("nop5-to-jump-with-last-sync", "The last sync takes the int3 away.",
           NOP5, (*TO_JUMP, SYNC, FLAG), (FLAG, CALL), (1, INT3), "forbidden"),
    Litmus("nop5-to-jump-is-done", "After the last sync the nop cannot be fetched either.",
           NOP5, (*TO_JUMP, SYNC, FLAG), (FLAG, CALL), (1, 1), "forbidden"),
    Litmus("nop5-to-jump-new-then-old", "The first sync takes the old first byte away: after the jump no nop.",
           NOP5, TO_JUMP, (CALL, CALL), (2, 1), "forbidden"),
    Litmus("nop10-to-call", "Ten bytes follow the same order as five.",
           NOP10, TO_CALL, (CALL,), (OTHER,), "forbidden"),
    Litmus("nop10-to-call-over-lines", "Ten bytes in two lines follow the same order.",
           NOP10, TO_CALL, (CALL,), (OTHER,), "forbidden", LINE_END),
    Litmus("call-to-nop10-keeps-the-call", "Only the first five bytes go back, and with any tail they are a nop.",
           LEA10, CALL_KEPT, (CALL,), (OTHER,), "forbidden"),
)  # fmt: skip

# --- a reader that is preempted in the middle -------------------------------------------------------------------------
# Two instructions where the jump goes; a call before three nops, whose callee is at 16; lea and call as above.
TWO: Final = bytes.fromhex("66900f1f00") + NOP5[5:]
CALL8: Final = bytes.fromhex("e80b000000" + "909090" + "b801000000c3" + "f4f4" + "9090909090c3")
ALL_RESTORED: Final = (INT3_FIRST, SYNC, store(1, "2e0f1f8400000000"), store(9, "00"), SYNC, store(0, "66"))
OVER_TAIL: Final = (store(1, "03000000"), store(5, "f4f4"), store(7, "f4"))
OVER_CALL: Final = (INT3_FIRST, SYNC, *OVER_TAIL, SYNC, JUMP_FIRST)

PREEMPTED: Final = (
    Litmus("preempted-at-one-instruction", "A site of one instruction has no boundary inside: sync is enough.",
           NOP5, (PREEMPT, *TO_JUMP), (CALL,), (OTHER,), "forbidden"),
    Litmus("preempted-at-one-instruction-over-pages", "The same where the instruction lies in two pages.",
           NOP5, (PREEMPT, *TO_JUMP), (CALL,), (OTHER,), "forbidden", PAGE_END),
    Litmus("preempted-between-two-instructions", "A reader between them goes on in the middle of the new instruction.",
           TWO, (PREEMPT, *TO_JUMP), (CALL,), (OTHER,), "allowed"),
    Litmus("preempted-in-a-callee-that-returns-inside", "The return address lies in the range that is overwritten.",
           CALL8, (PREEMPT, *OVER_CALL), (CALL,), (OTHER,), "allowed"),
    Litmus("preempted-behind-the-lea", "The call stays when the site goes back: a reader behind the lea finds it.",
           LEA10, (PREEMPT, *CALL_KEPT), (CALL,), (OTHER,), "forbidden"),
    Litmus("preempted-behind-the-lea-and-no-call", "All ten bytes go back: a reader behind the lea finds zeros.",
           LEA10, (PREEMPT, *ALL_RESTORED), (CALL,), (OTHER,), "allowed"),
    Litmus("preempted-by-a-breakpoint-set", "A reader behind the first instruction does not come by the int3.",
           TWO, (PREEMPT, INT3_FIRST, SYNC, FLAG), (CALL, FLAG), (1, 1), "allowed"),
    Litmus("preempted-before-the-flag", "A call after the flag begins after the sync: the int3 is met.",
           TWO, (PREEMPT, INT3_FIRST, SYNC, FLAG), (FLAG, CALL), (1, 1), "forbidden"),
)  # fmt: skip

# The same where the first byte and the tail lie in two lines or two pages.
AT_END: Final = tuple(
    Litmus(f"{name}-over-{what}", question, NOP5, writer, (CALL,), (OTHER,), "allowed", at)
    for name, question, writer in (
        ("nop5-to-jump-without-int3", "One store of all five bytes may be seen in parts, first byte and tail apart.",
         (store(0, "e91b000000b80100"),)),
        ("nop5-to-jump-without-first-sync", "A stale first byte may meet the new tail behind the boundary.",
         NO_FIRST_SYNC),
        ("nop5-to-jump-without-second-sync", "The new first byte may meet a stale tail behind the boundary.",
         NO_SECOND_SYNC),
    )
    for what, at in (("lines", 63), ("pages", 4095))
)

CATALOGUE: Final[tuple[Litmus, ...]] = (*CONSTANTS, *MESSAGES, *SINGLE, *PROTOCOLS, *PREEMPTED, *AT_END)
