"""Machine code of a litmus run: the writer's and the reader's pass over all sites, and the signal handler.

Decides the bytes only (Intel SDM vol. 2 for every encoding); `litmus` maps and runs them. Both passes meet at a barrier
before and after. A site's results go to the next words of the reader's output: what is left in eax, or, after a signal,
2^32 + its number. Instructions are rows: (bytes, what they are).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

Action = tuple[str, int, bytes] | tuple[str]

GO_WRITER: Final = 0x000
"""Offsets in the shared page, 64-byte lines of their own: generation counters and delays (u32)."""
GO_READER: Final = 0x080
DONE_WRITER: Final = 0x100
DONE_READER: Final = 0x180
DELAY_WRITER: Final = 0x200
DELAY_READER: Final = 0x280
TASK: Final = 0x300  # process and thread id of the reader (u32 each)
FLAGS: Final = 0x1000
FLAG_STRIDE: Final = 64
SIGNALLED: Final = 1 << 32
SYS_MEMBARRIER: Final = 324
SYNC_CORE: Final = 1 << 5  # MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, Linux include/uapi/linux/membarrier.h
REGISTER_SYNC_CORE: Final = 1 << 6

SERIALISE: Final = bytes.fromhex(
    "4889e1"  # mov rcx, rsp
    "8cd0"  # mov eax, ss
    "5051"  # push rax; push rcx
    "9c"  # pushfq
    "8cc850"  # mov eax, cs; push rax
    "488d0503000000"  # lea rax, [rip + 3]
    "50"  # push rax
    "48cf"  # iretq: serialising on Intel (SDM vol. 3, 9.3) and AMD (APM vol. 2, 7.6.4)
)
SYNC: Final = (
    bytes.fromhex("b8") + SYS_MEMBARRIER.to_bytes(4, "little") + bytes.fromhex("bf") + SYNC_CORE.to_bytes(4, "little")
    + bytes.fromhex("31f631d20f05")  # xor esi, esi; xor edx, edx; syscall
)  # fmt: skip
HELD_SIGNAL: Final = 10  # SIGUSR1
HOLD: Final = bytes.fromhex("b9 80841e00 ffc9 7ffc c3")  # its handler: mov ecx, 2000000; dec ecx; jg; ret: half a ms
HANDLER: Final = bytes.fromhex(
    "488b4240"  # mov rax, [rdx + 64]: r11, where the call's return address lies; ucontext of asm/sigcontext.h
    "488b08"  # mov rcx, [rax]
    "48898aa8000000"  # mov [rdx + 168], rcx: rip
    "4883c008"  # add rax, 8
    "488982a0000000"  # mov [rdx + 160], rax
    "89f8"  # mov eax, edi: the signal
    "480fbae820"  # bts rax, 32
    "48898290000000"  # mov [rdx + 144], rax
    "c3"
)
RESTORER: Final = bytes.fromhex("b80f0000000f05")  # mov eax, 15; syscall: rt_sigreturn
STORES: Final = {1: "c687", 2: "66c787", 4: "c787"}  # mov [rdi + disp32], imm


@dataclass(frozen=True, slots=True)
class Place:
    """Addresses of the shared page and the first site, bytes from site to site, and the number of sites."""

    page: int
    sites: int
    stride: int
    count: int


def writer_pass(actions: Sequence[Action], place: Place) -> bytes:
    """Each stretch of stores up to a sync (or "later", "preempt") for all sites, then the sync, and so on."""
    code = _meet(place.page, GO_WRITER, GO_READER) + _delay(place.page + DELAY_WRITER)
    stretch = b""
    for action in actions:
        if action[0] in BETWEEN:
            code += _over_sites(stretch, place) + BETWEEN[action[0]](place)
            stretch = b""
        else:
            stretch += _store(action)
    code += _over_sites(stretch, place)
    return code + _meet(place.page, DONE_WRITER, DONE_READER) + b"\xc3"


def reader_pass(actions: Sequence[Action], place: Place, output: int) -> bytes:
    """All actions at one site, then at the next."""
    body = b"".join(_ACTIONS[action[0]] for action in actions)
    code = _meet(place.page, GO_READER, GO_WRITER) + SERIALISE + _delay(place.page + DELAY_READER)
    code += b"\x49\xba" + output.to_bytes(8, "little")  # mov r10, output
    code += _over_sites(body, place)
    return code + _meet(place.page, DONE_READER, DONE_WRITER) + b"\xc3"


def _preempt(place: Place) -> bytes:
    """tgkill(process, thread, HELD_SIGNAL): the reader is held where it is."""
    code = b"\x48\xb9" + (place.page + TASK).to_bytes(8, "little") + bytes.fromhex("8b398b7104")  # edi, esi := [rcx]
    return code + b"\xba" + HELD_SIGNAL.to_bytes(4, "little") + bytes.fromhex("b8ea0000000f05")


BETWEEN: Final[dict[str, Callable[[Place], bytes]]] = {
    # what the writer does once for all sites
    "sync": lambda place: SYNC,
    "later": lambda place: b"",
    "preempt": _preempt,
}

_KEEP: Final = bytes.fromhex("4989024983c208")  # mov [r10], rax; add r10, 8
_ACTIONS: Final = {
    "call": bytes.fromhex("4c8d5c24f831c0ffd7") + _KEEP,  # lea r11, [rsp - 8]; xor eax, eax; call rdi
    "flag": bytes.fromhex("8b06") + _KEEP,  # mov eax, [rsi]
    "load": bytes.fromhex("8b07") + _KEEP,  # mov eax, [rdi]
    "serialise": SERIALISE,
}


def _store(action: Action) -> bytes:
    """One store of the writer at the site in rdi, or to the flag in rsi."""
    match action:
        case ("flag",):
            return bytes.fromhex("c70601000000")  # mov dword [rsi], 1
        case ("store", int(offset), bytes(data)) if len(data) in STORES:
            return bytes.fromhex(STORES[len(data)]) + offset.to_bytes(4, "little") + data
        case ("store", int(offset), bytes(data)) if len(data) == 8:
            return b"\x48\xb8" + data + b"\x48\x89\x87" + offset.to_bytes(4, "little")  # mov rax, imm64; mov [..], rax
    raise ValueError(f"a writer stores 1, 2, 4 or 8 bytes, or the flag, got {action}")


def _over_sites(body: bytes, place: Place) -> bytes:
    """A loop with the site in rdi, its flag in rsi, and edx sites to go."""
    if not body:
        return b""
    head = b"\x48\xbf" + place.sites.to_bytes(8, "little") + b"\x48\xbe" + (place.page + FLAGS).to_bytes(8, "little")
    head += b"\xba" + place.count.to_bytes(4, "little")
    step = b"\x48\x81\xc7" + place.stride.to_bytes(4, "little") + b"\x48\x83\xc6" + bytes((FLAG_STRIDE,))
    loop = body + step + b"\xff\xca"  # add rdi, stride; add rsi, FLAG_STRIDE; dec edx
    return head + loop + b"\x0f\x85" + (-len(loop) - 6).to_bytes(4, "little", signed=True)  # jnz


def _meet(page: int, mine: int, other: int) -> bytes:
    """Adds one to my counter, then waits until the other's is as high."""
    code = b"\x49\xb8" + (page + mine).to_bytes(8, "little") + bytes.fromhex("f041ff00418b00")  # lock inc; mov eax
    return code + b"\x49\xb9" + (page + other).to_bytes(8, "little") + bytes.fromhex("4139017d04f390ebf7")


def _delay(address: int) -> bytes:
    """Counts down from the number at `address`."""
    return b"\x49\xb8" + address.to_bytes(8, "little") + bytes.fromhex("418b08ffc97ffc")  # dec ecx; jg
