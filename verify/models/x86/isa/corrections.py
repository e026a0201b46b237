"""State that the decoder library does not model: RIP, x87 environment, MXCSR, shadow-stack pointer, segment bases, ...

Names: rip, x87_stack, x87_status, x87_control, x87_tag, fip, fdp, fop, mxcsr, xcr0, ssp, pkru, tsc, tsc_aux, pmc,
fs_base, gs_base, kernel_gs_base, gdtr, idtr, ldtr, tr, control_registers, debug_registers, msr, cpuid, random, tiles,
tile_config, key, transaction, uif, monitor, lwp, and for whole state images vectors and masks.  RIP's plain step to the
next instruction is in no set; a rip-relative address is the form's business, not the opcode's.  Sets are unions over
field values; a read that makes no difference may be listed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from verify.models.x86.isa.rows import Opcode


@dataclass(frozen=True, slots=True)
class Corrections:
    """What an opcode reads and writes besides what its row says."""

    reads: frozenset[str]
    writes: frozenset[str]


class Fix(NamedTuple):
    """One fact; mnemonics, reads and writes are separated by spaces."""

    mnemonics: str
    reads: str
    writes: str
    source: str


_X87: Final = "x87_stack x87_status x87_control x87_tag"
_POINTERS: Final = "fip fdp fop"
_ENVIRONMENT: Final = f"{_X87} {_POINTERS}"
_WORDS: Final = f"x87_status x87_control x87_tag {_POINTERS}"  # the environment without the stack
_TILES: Final = "tile_config tiles"
_XSAVED: Final = f"{_ENVIRONMENT} mxcsr pkru {_TILES} xcr0 vectors masks"
_SUPERVISOR: Final = "msr ssp"

ROWS: Final = (
    # Control transfer.  SDM vol. 1, chapter 6; shadow stacks: SDM vol. 1, 17.2
    Fix("call", "rip ssp", "rip ssp", "SDM vol. 2A, CALL"),
    Fix("ret", "ssp", "rip ssp", "SDM vol. 2B, RET"),
    Fix("retf iret iretd iretq", "ssp gdtr ldtr msr", "rip ssp fs_base gs_base", "SDM vol. 2B, RET; 2A, IRET"),
    Fix("jmp loop loope loopne jrcxz jecxz", "rip", "rip", "SDM vol. 2A, JMP, LOOP; a relative target is an offset"),
    Fix("ja jae jb jbe je jg jge jl jle jne jno jnp jns jo jp js", "rip", "rip", "SDM vol. 2A, Jcc"),
    Fix("int int1 int3", "rip idtr tr gdtr ldtr ssp msr", "rip ssp", "SDM vol. 2A, INT n; the frame holds RIP"),
    Fix("ud0 ud1 ud2", "rip idtr", "rip", "SDM vol. 2B, UD; the frame holds RIP"),
    Fix("syscall", "rip msr ssp", "rip ssp msr", "SDM vol. 2B, SYSCALL; RCX := RIP, IA32_PL3_SSP := SSP"),
    Fix("sysenter", "msr ssp", "rip ssp msr", "SDM vol. 2B, SYSENTER"),
    Fix("sysret sysretq sysexit sysexitq", "msr", "rip ssp", "SDM vol. 2B, SYSRET, SYSEXIT"),
    Fix("erets eretu", "msr ssp gdtr", "rip ssp gs_base kernel_gs_base msr", "FRED specification, 6.1"),
    Fix("uiret", "uif ssp", "rip ssp uif", "SDM vol. 2B, UIRET"),
    Fix("xbegin", "rip transaction", "rip transaction", "SDM vol. 2C, XBEGIN; the fallback address is relative"),
    Fix("xabort xend", "transaction", "rip transaction", "SDM vol. 2C, XABORT, XEND"),
    Fix("xtest xsusldtrk xresldtrk", "transaction", "transaction", "SDM vol. 2C, XTEST"),
    # Shadow stack.  SDM vol. 1, 17.2.3
    Fix("rdsspd rdsspq", "ssp", "", "SDM vol. 2B, RDSSP"),
    Fix("incsspd incsspq saveprevssp rstorssp", "ssp", "ssp", "SDM vol. 2, INCSSP, SAVEPREVSSP, RSTORSSP"),
    Fix("setssbsy clrssbsy", "ssp msr", "ssp", "SDM vol. 2, SETSSBSY, CLRSSBSY"),
    Fix("wrssd wrssq wrussd wrussq", "msr", "", "SDM vol. 2, WRSS, WRUSS; CET MSRs decide whether it is allowed"),
    Fix("endbr32 endbr64", "msr", "msr", "SDM vol. 1, 17.3; the indirect-branch tracker"),
    # x87 control instructions leave FIP, FDP and FOP alone or load them whole.  SDM vol. 1, 8.1.8
    Fix("fldcw", "x87_status", "x87_control x87_status", "SDM vol. 2A, FLDCW"),
    Fix("fnstcw", "x87_control", "", "SDM vol. 2A, FSTCW"),
    Fix("fnstsw", "x87_status", "", "SDM vol. 2A, FSTSW"),
    Fix("fnclex", "x87_status", "x87_status", "SDM vol. 2A, FCLEX"),
    Fix("fninit", "", _WORDS, "SDM vol. 2A, FINIT"),
    Fix("fnstenv", _WORDS, "x87_control", "SDM vol. 2A, FSTENV; masks all exceptions"),
    Fix("fldenv", "x87_status", _WORDS, "SDM vol. 2A, FLDENV"),
    Fix("fnsave", _ENVIRONMENT, _ENVIRONMENT, "SDM vol. 2A, FSAVE; initialises like FNINIT"),
    Fix("frstor", "x87_status", _ENVIRONMENT, "SDM vol. 2A, FRSTOR"),
    Fix("wait", "x87_status x87_control", "", "SDM vol. 2B, WAIT"),
    Fix("fneni fndisi fnsetpm", "", "", "SDM vol. 3B, 23.18.9: no operation since the 80387"),
    Fix("emms femms", "x87_status", "x87_tag x87_status", "SDM vol. 2A, EMMS; APM vol. 5, FEMMS"),
    # State images.  SDM vol. 1, 10.5 and chapter 13
    Fix("fxsave fxsave64", f"{_ENVIRONMENT} mxcsr vectors", "", "SDM vol. 2A, FXSAVE"),
    Fix("fxrstor fxrstor64", "", f"{_ENVIRONMENT} mxcsr vectors", "SDM vol. 2A, FXRSTOR"),
    Fix("xsave xsave64 xsavec xsavec64 xsaveopt xsaveopt64", _XSAVED, "", "SDM vol. 1, 13.7 to 13.10"),
    Fix("xrstor xrstor64", "xcr0", _XSAVED.replace(" xcr0", ""), "SDM vol. 1, 13.8"),
    Fix("xsaves xsaves64", f"{_XSAVED} {_SUPERVISOR}", "", "SDM vol. 1, 13.11"),
    Fix("xrstors xrstors64", "xcr0 msr", f"{_XSAVED.replace(' xcr0', '')} {_SUPERVISOR}", "SDM vol. 1, 13.12"),
    Fix("ldmxcsr vldmxcsr", "", "mxcsr", "SDM vol. 2A, LDMXCSR"),
    Fix("stmxcsr vstmxcsr", "mxcsr", "", "SDM vol. 2B, STMXCSR"),
    Fix("xgetbv", "xcr0", "", "SDM vol. 2C, XGETBV"),
    Fix("xsetbv", "", "xcr0", "SDM vol. 2C, XSETBV"),
    # Processor identity, time, protection keys, random numbers
    Fix("cpuid", "cpuid xcr0 control_registers msr", "",
        "SDM vol. 2A, CPUID; OSXSAVE, OSPKE and leaf 0DH show CR4 and XCR0"),
    Fix("rdtsc", "tsc control_registers", "", "SDM vol. 2B, RDTSC"),
    Fix("rdtscp", "tsc tsc_aux control_registers", "", "SDM vol. 2B, RDTSCP"),
    Fix("rdpid", "tsc_aux", "", "SDM vol. 2B, RDPID"),
    Fix("rdpmc", "pmc control_registers", "", "SDM vol. 2B, RDPMC"),
    Fix("rdpru", "msr control_registers", "", "APM vol. 3, RDPRU"),
    Fix("rdpkru", "pkru control_registers", "", "SDM vol. 2B, RDPKRU"),
    Fix("wrpkru", "control_registers", "pkru", "SDM vol. 2C, WRPKRU"),
    Fix("rdrand rdseed", "random", "random", "SDM vol. 1, 7.3.17"),
    Fix("tpause umwait", "tsc msr monitor", "monitor", "SDM vol. 2, TPAUSE, UMWAIT"),
    Fix("umonitor monitor monitorx", "", "monitor", "SDM vol. 2, UMONITOR, MONITOR; APM vol. 3, MONITORX"),
    Fix("mwait mwaitx", "monitor", "monitor", "SDM vol. 2B, MWAIT; APM vol. 3, MWAITX"),
    Fix("enqcmd", "msr", "", "SDM vol. 2A, ENQCMD; IA32_PASID is stored"),
    # Segments
    Fix("rdfsbase", "fs_base control_registers", "", "SDM vol. 2B, RDFSBASE"),
    Fix("rdgsbase", "gs_base control_registers", "", "SDM vol. 2B, RDGSBASE"),
    Fix("wrfsbase", "control_registers", "fs_base", "SDM vol. 2C, WRFSBASE"),
    Fix("wrgsbase", "control_registers", "gs_base", "SDM vol. 2C, WRGSBASE"),
    Fix("swapgs", "gs_base kernel_gs_base", "gs_base kernel_gs_base", "SDM vol. 2B, SWAPGS"),
    Fix("lkgs", "gdtr ldtr", "kernel_gs_base", "FRED specification, 9.1"),
    Fix("lfs", "gdtr ldtr", "fs_base", "SDM vol. 2A, LFS"),
    Fix("lgs", "gdtr ldtr", "gs_base", "SDM vol. 2A, LGS"),
    Fix("lss", "gdtr ldtr", "", "SDM vol. 2A, LSS"),
    Fix("lar lsl verr verw", "gdtr ldtr", "", "SDM vol. 2, LAR, LSL, VERR"),
    # Descriptor tables; UMIP (CR4) makes the stores fault.  SDM vol. 3A, 2.5
    Fix("sgdt", "gdtr control_registers", "", "SDM vol. 2B, SGDT"),
    Fix("sidt", "idtr control_registers", "", "SDM vol. 2B, SIDT"),
    Fix("sldt", "ldtr control_registers", "", "SDM vol. 2B, SLDT"),
    Fix("str", "tr control_registers", "", "SDM vol. 2B, STR"),
    Fix("smsw", "control_registers", "", "SDM vol. 2B, SMSW"),
    Fix("lgdt", "", "gdtr", "SDM vol. 2A, LGDT"),
    Fix("lidt", "", "idtr", "SDM vol. 2A, LIDT"),
    Fix("lldt", "gdtr", "ldtr", "SDM vol. 2A, LLDT"),
    Fix("ltr", "gdtr", "tr", "SDM vol. 2A, LTR"),
    Fix("lmsw clts", "control_registers", "control_registers", "SDM vol. 2A, LMSW, CLTS"),
    Fix("rdmsr rdmsrlist", "msr", "", "SDM vol. 2B, RDMSR"),
    Fix("wrmsr wrmsrns wrmsrlist hreset", "msr", "msr fs_base gs_base kernel_gs_base", "SDM vol. 2C, WRMSR; HRESET"),
    Fix("in insb insw insd out outsb outsw outsd", "tr", "", "SDM vol. 1, 19.5; the I/O permission bitmap"),
    # AMX, key locker, user interrupts, lightweight profiling
    Fix("ldtilecfg", "", _TILES, "SDM vol. 2A, LDTILECFG"),
    Fix("sttilecfg", "tile_config", "", "SDM vol. 2B, STTILECFG"),
    Fix("tilerelease", "", _TILES, "SDM vol. 2B, TILERELEASE"),
    Fix("tileloadd tileloaddt1 tilezero", _TILES, _TILES, "SDM vol. 2B, TILELOADD; start row"),
    Fix("tilestored", _TILES, "tile_config", "SDM vol. 2B, TILESTORED; start row"),
    Fix("tdpbf16ps tdpbssd tdpbsud tdpbusd tdpbuud tdpfp16ps tcmmimfp16ps tcmmrlfp16ps", _TILES, "tiles",
        "SDM vol. 2B, TDPBF16PS; rounding is fixed, MXCSR is not used"),
    Fix("loadiwkey", "", "key", "SDM vol. 2A, LOADIWKEY"),
    Fix("encodekey128 encodekey256", "key", "", "SDM vol. 2A, ENCODEKEY128"),
    Fix("aesenc128kl aesenc256kl aesdec128kl aesdec256kl aesencwide128kl aesencwide256kl aesdecwide128kl "
        "aesdecwide256kl", "key", "", "SDM vol. 2A, AESENC128KL"),
    Fix("clui stui", "", "uif", "SDM vol. 2, CLUI, STUI"),
    Fix("testui senduipi", "uif msr", "", "SDM vol. 2B, TESTUI, SENDUIPI"),
    Fix("llwpcb", "", "lwp", "APM vol. 3, LLWPCB"),
    Fix("slwpcb", "lwp", "", "APM vol. 3, SLWPCB"),
    Fix("lwpins lwpval", "lwp rip", "lwp", "APM vol. 3, LWPINS; the event record holds the address"),
    Fix("ptwrite", "msr rip", "", "SDM vol. 2B, PTWRITE; a FUP packet may hold the address"),
)  # fmt: skip

# x87: everything that is no control instruction.  SDM vol. 1, 8.1.8 and 8.1.9
_X87_CONTROL: Final = frozenset(
    ["fldcw", "fnstcw", "fnstsw", "fnclex", "fninit", "fnstenv", "fldenv", "fnsave", "frstor",
     "fneni", "fndisi", "fnsetpm"]
)  # fmt: skip
# SSE and AVX instructions that MXCSR governs.  SDM vol. 1, 10.2.3, 11.5; the exception classes of vol. 2A, 2.5, and the
# EVEX exception classes E2, E3 and E11 of 2.8.  Approximations (rcp, rsqrt, fpclass, frcz) read DAZ at most.
_MXCSR: Final = re.compile(
    r"v?(add|sub|mul|div|min|max|sqrt)[ps][sdh]|v?addsubp[sd]|v?h(add|sub)p[sd]|v?dpp[sd]|v?round[ps][sd]|v?cmp[ps][sdh]"
    r"|v(rndscale|reduce|range|getexp|getmant|scalef|fixupimm|fpclass)[ps][sdh]|v?u?comis[sdh]|v?f?rcp[ps][sh]"
    r"|v?(rsqrt|frcz)[ps][sdh]|v(rcp|rsqrt)(14|28)[ps][sd]|vexp2p[sd]|vf(n?m(add|sub)|maddsub|msubadd)\d*[ps][sdh]"
    r"|vfc?(madd|mul)c[ps]h|v4fn?madd[ps]s"
    r"|v?cvt(?!ne|pi2pd)\w+"
)


@cache
def _by_mnemonic() -> dict[str, Fix]:
    return {m: row for row in ROWS for m in row.mnemonics.split()}


def _is_x87(row: Opcode) -> bool:
    return row.encoding == "LEGACY" and row.table == "NORMAL" and 0xD8 <= row.main_byte <= 0xDF


def _is_mmx(row: Opcode) -> bool:
    """MMX and 3DNow: TOP := 0, all tags valid (SDM vol. 1, 9.5.1)."""
    return row.encoding == "3DNOW" or any(k.startswith("mm_") for k in row.op_kinds)


def _segment_load(row: Opcode) -> bool:
    return row.op_kinds[:1] == ("seg_reg",) or (row.mnemonic == "pop" and row.op_kinds[0] in {"fs", "gs"})


@cache
def corrections(opcode: Opcode) -> Corrections:
    """The corrections of an opcode; empty sets where the decoder library tells all."""
    reads: set[str] = set()
    writes: set[str] = set()
    row = _by_mnemonic().get(opcode.mnemonic)
    if row is not None:
        reads.update(row.reads.split())
        writes.update(row.writes.split())
    if _is_x87(opcode) and opcode.mnemonic not in _X87_CONTROL:
        reads.update((*_X87.split(), "rip"))
        writes.update(("x87_stack", "x87_status", "x87_tag", "fip", "fop"))
        if "mem" in opcode.op_kinds:
            writes.add("fdp")
    if _is_mmx(opcode):
        reads.update(("x87_stack", "x87_status"))
        writes.update(("x87_stack", "x87_status", "x87_tag"))
    if opcode.encoding != "3DNOW" and _MXCSR.fullmatch(opcode.mnemonic):
        reads.add("mxcsr")
        writes.add("mxcsr")
    if _segment_load(opcode):
        reads.update(("gdtr", "ldtr"))
        writes.update(("fs_base", "gs_base"))
    if any(k in {"cr_reg", "dr_reg", "tr_reg"} for k in opcode.op_kinds):
        name = "control_registers" if "cr_reg" in opcode.op_kinds else "debug_registers"
        reads.add(name)
        if opcode.op_kinds[0] in {"cr_reg", "dr_reg", "tr_reg"}:
            writes.add(name)
    return Corrections(frozenset(reads), frozenset(writes))
