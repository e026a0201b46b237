"""Rows of the differential run: what is never executed, what no second run repeats, known processor differences.

Each row has its reason or source beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from verify.models.x86.isa.corrections import corrections
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.forms import Opcode


@dataclass(frozen=True, slots=True)
class Skipped:
    """Mnemonics that are not executed, and why."""

    mnemonics: str
    reason: str


SKIPPED: Final = (
    Skipped("syscall sysenter", "enters the kernel with random arguments"),
    Skipped("vmcall vmmcall vmgexit vmfunc", "asks the hypervisor of the machine"),
    Skipped("enclu encls enclv", "enters an enclave"),
)
SYSTEM_CALL: Final = b"\xcd\x80"  # int 80h, which enters the kernel with random arguments
HARMLESS: Final = frozenset({"clzero", "monitorx", "monitor", "umonitor", "movdir64b", "enqcmd", "enqcmds", "xlatb"})
# Answers that change from run to run, by the names in corrections, and mnemonics whose answer the kernel may change.
UNREPEATABLE: Final = frozenset({"tsc", "random", "pmc", "cpuid", "tsc_aux"})
UNREPEATABLE_MNEMONICS: Final = frozenset({"rdpru"})
LOCK: Final = 0xF0
#: Of whose 16 bytes in memory a processor in AMD's misaligned mode (MXCSR.MM) reads the low eight alone, so that one
#: across the end of a mapping raises nothing (seen on Zen 3); their states have no MM.
HALF_READ: Final = frozenset({
    "unpcklps", "unpcklpd", "punpcklbw", "punpcklwd", "punpckldq", "punpcklqdq",
    "psllw", "pslld", "psllq", "psrlw", "psrld", "psrlq", "psraw", "psrad",
})  # fmt: skip
SLOW: Final = frozenset({"mwaitx", "umwait", "tpause", "cpuid"})  # left by an interrupt at the latest, or intercepted


@dataclass(frozen=True, slots=True)
class Erratum:
    """A known difference between processors and the manual that the semantics follow."""

    mnemonic: str  # empty: any
    component: str
    vendor: str
    text: str
    source: str
    prefix: int | None = None  # that the encoding must have


OFFSET_FAULT: Final = "fault of an offset"
KNOWN: Final[tuple[Erratum, ...]] = (
    Erratum("", OFFSET_FAULT, "AuthenticAMD", "#GP for an offset from fs or gs that is not canonical",
          "SDM vol. 1, 3.3.7.1: the linear address alone must be canonical; seen on Zen 3, which asks it of the offset "
          "as well (of its first and its last byte)"),
    Erratum("int1", "trap ip", "AuthenticAMD", "ip stays at INT1",
          "a hypervisor that intercepts #DB gives it back with the ip of the intercept (APM vol. 2, 15.12.2: for INT1 "
          "the saved ip is the instruction's own); seen on a virtual Zen 4, SDM vol. 2, INT1 has ip behind it"),
    *(Erratum("cmpsb", component, "AuthenticAMD", "which operand of REPE CMPSB faults first",
              "no manual says; the first on Zen 4 and 5, the second on Zen 3 (seen on both)")
      for component in ("fault", "fault address")),
    *(Erratum("verw", component, "AuthenticAMD", "LOCK VERW of memory runs as VERW",
              "#UD by SDM and APM; seen on a virtual Zen 3, which raises #UD for a register and for VERR", LOCK)
      for component in ("fault", "error code", "reported address")),
)  # fmt: skip


def skip_reason(opcode: Opcode) -> str | None:
    """Why an opcode is not executed, or None."""
    for row in SKIPPED:
        if opcode.mnemonic in row.mnemonics.split():
            return row.reason
    return None


def is_system_call(decoded: Decoded) -> bool:
    """Whether one encoding of an opcode that is executed must not be."""
    return decoded.data.endswith(SYSTEM_CALL) and decoded.form.opcode.mnemonic == "int"


def is_repeatable(opcode: Opcode) -> bool:
    """Whether the same inputs give the same outputs in a second run."""
    return not corrections(opcode).reads & UNREPEATABLE and opcode.mnemonic not in UNREPEATABLE_MNEMONICS


def known(decoded: Decoded, component: str, vendor: str) -> Erratum | None:
    """The row that explains a difference of an encoding, or None."""
    for row in KNOWN:
        is_meant = row.prefix is None or row.prefix in decoded.layout.prefixes
        mnemonic = row.mnemonic or decoded.form.opcode.mnemonic
        if is_meant and (mnemonic, row.component, row.vendor) == (decoded.form.opcode.mnemonic, component, vendor):
            return row
    return None
