"""The machine state, what an instruction makes of it, and the observables that are compared.

Every component is a term (`verify.terms`): a variable or expression in a proof, a constant in a replay.  The
state covers what a user program can see in 64-bit mode: SDM vol. 1, sections 3.4 (basic registers), 8.1 (x87), 10.2
(SSE), 14.1 (AVX), 15.1 (AVX-512), 17.2 (shadow stacks).  Not covered: caches, timing, LBR, PMU, SGX, debug registers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from verify import terms
from verify.models.x86.mode import Mode
from verify.terms import TRUE, Term, const, var

NO_FAULT: Final = 0xFF  # fault vector of an outcome without a fault
DE, DB, BP, OF, UD, NP, SS, GP, PF, MF, AC, XM, CP = 0, 1, 3, 4, 6, 11, 12, 13, 14, 16, 17, 19, 21  # SDM vol. 3, 6.1
FLAG_BITS: Final = {
    "cf": 0, "pf": 2, "af": 4, "zf": 6, "sf": 7, "tf": 8, "df": 10, "of": 11, "nt": 14, "ac": 18, "id": 21,
}  # fmt: skip
STATUS: Final = ("cf", "pf", "af", "zf", "sf", "of")
SYSTEM_FLAGS: Final = {"interrupts": (9, 1), "iopl": (12, 2)}  # lowest bit and width; SDM vol. 1, 3.4.3.3
USER_WORD: Final = 0x202  # IF and reserved bit 1: what a program has of the other flags under Linux
RESERVED_WORD: Final = 0x2  # reserved bit 1; SDM vol. 1, figure 3-8


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a program can see of the machine between two instructions (widths in bits)."""

    ip: Term  # 64
    gprs: Term  # GPRS
    cf: Term  # 1, like every flag
    pf: Term
    af: Term
    zf: Term
    sf: Term
    tf: Term
    df: Term
    of: Term
    nt: Term
    ac: Term
    id: Term
    interrupts: Term  # IF, which only CPL 0 changes
    iopl: Term  # 2, likewise
    fs_base: Term  # 64
    gs_base: Term  # 64
    selectors: Term  # 96: gs fs ds ss cs es, es lowest
    vectors: Term  # VECTORS
    masks: Term  # MASKS
    mxcsr: Term  # 32
    x87: Term  # 688: st7..st0 (80 each), tag, status, control word (16 each), control lowest
    fip: Term  # 64
    fdp: Term  # 64
    fop: Term  # 11
    opaque: Term  # 64: a token for AMX tiles, PKRU, bound registers and whatever else no scheme touches
    ssp: Term  # 64: shadow-stack pointer
    cet: Term  # 1: shadow stacks are on
    memory: Term  # MEMORY


_WIDTHS: Final[dict[str, terms.Sort]] = {
    "ip": 64, "gprs": terms.GPRS, "fs_base": 64, "gs_base": 64, "selectors": 96, "vectors": terms.VECTORS,
    "masks": terms.MASKS, "mxcsr": 32, "x87": 688, "fip": 64, "fdp": 64, "fop": 11, "opaque": 64, "ssp": 64,
    "memory": terms.MEMORY, "iopl": 2,
}  # fmt: skip


def component_sort(name: str) -> terms.Sort:
    """The sort of a state component; flags have one bit."""
    return _WIDTHS.get(name, 1)


def symbolic_state(ip: Term) -> State:
    """A state of which nothing is known but ip."""
    named = {f.name: var(f.name, component_sort(f.name)) for f in fields(State) if f.name != "ip"}
    return State(ip=ip, **named)


@dataclass(frozen=True, slots=True)
class Access:
    """One access to memory, in program order."""

    kind: str  # "r" or "w"
    address: Term  # 64, linear
    size: int  # bytes
    value: Term  # 8*size bits
    stack: Term  # 1: made through the stack segment (#SS instead of #GP)
    condition: Term  # 1: made at all (masked elements, cmov-like stores)


@dataclass(frozen=True, slots=True)
class ShadowEvent:
    """One push to or pop from the shadow stack, where it is on."""

    kind: str  # "push" or "pop"; "write": an entry of before is written anew, which no instruction does here
    value: Term  # 64: what is pushed or written, or what the popped entry must equal
    condition: Term = TRUE  # 1: it happens at all


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one instruction does to a state; for a repeated string instruction, one iteration."""

    state: State  # where there is no fault
    accesses: tuple[Access, ...]
    fault_vector: Term  # 8; NO_FAULT where there is none
    fault_error: Term  # 32
    fault_address: Term  # 64: cr2 or si_addr as far as it is a data address, else 0
    fault_at_ip: Term  # 1: the reported si_addr is the instruction's own address
    fault_state: State  # registers as the handler sees them
    repeats: Term  # 1: ip stays, another iteration follows
    tf_seen: tuple[Term, ...]  # the value of TF wherever the program can see it afterwards, r11 and pushed images
    shadow: tuple[ShadowEvent, ...]
    inhibits_trap: bool  # an interrupt shadow: the debug trap comes one instruction later
    kernel_completes: bool  # system calls and what the kernel finishes by moving ip: likewise
    attempted: tuple[Term, ...] = ()  # 1 each, of every access: no fault came before it
    interrupts: bool = False  # INT n, INT3, INT1: #BP and #DB are what the instruction asks for


OBSERVABLES: Final = (
    "next-ip", "gprs", "flags", "segment-bases", "vector", "x87", "x87-pointers", "memory-addresses", "memory-values",
    "shadow-stack", "fault", "trap", "hits", "containment",
)  # fmt: skip


def flags_word(state: State, tf: Term, mode: Mode) -> Term:
    """RFLAGS as pushf stores it, 64 bits: RF and VM 0 (SDM vol. 2, PUSHF); at CPL 3 IF is set and IOPL 0."""
    word = const(USER_WORD if mode.is_user else RESERVED_WORD, 64)
    for name, position in FLAG_BITS.items():
        value = tf if name == "tf" else getattr(state, name)
        word = terms.or_(word, terms.shl(terms.zext(value, 64), const(position, 64)))
    for name, (position, _) in () if mode.is_user else SYSTEM_FLAGS.items():
        word = terms.or_(word, terms.shl(terms.zext(getattr(state, name), 64), const(position, 64)))
    return word
