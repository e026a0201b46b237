"""Processor features as rows: where CPUID tells each, what each needs, and which one an instruction belongs to.

Decides names and places only; whether the processor at hand has one is in `capabilities`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Place = tuple[int, int, int, int]  # leaf, subleaf, register 0..3 = eax ebx ecx edx, bit
AVX, AVX512, TILES = 1 << 2, 7 << 5, 3 << 17  # state components in XCR0, SDM vol. 1, 13.3

# name -> where CPUID tells it; SDM vol. 2, CPUID; SDM future extensions, table 1-3; APM vol. 3, appendix E
FEATURES: Final[Mapping[str, Place]] = {
    "sep": (1, 0, 3, 11), "clfsh": (1, 0, 3, 19), "sse3": (1, 0, 2, 0), "pclmulqdq": (1, 0, 2, 1),
    "monitor": (1, 0, 2, 3), "vmx": (1, 0, 2, 5), "smx": (1, 0, 2, 6), "ssse3": (1, 0, 2, 9), "fma": (1, 0, 2, 12),
    "cx16": (1, 0, 2, 13), "sse4_1": (1, 0, 2, 19), "sse4_2": (1, 0, 2, 20), "movbe": (1, 0, 2, 22),
    "popcnt": (1, 0, 2, 23), "aes": (1, 0, 2, 25), "xsave": (1, 0, 2, 26), "osxsave": (1, 0, 2, 27),
    "avx": (1, 0, 2, 28), "f16c": (1, 0, 2, 29), "rdrand": (1, 0, 2, 30), "hypervisor": (1, 0, 2, 31),
    "fsgsbase": (7, 0, 1, 0), "bmi1": (7, 0, 1, 3), "hle": (7, 0, 1, 4), "avx2": (7, 0, 1, 5), "bmi2": (7, 0, 1, 8),
    "invpcid": (7, 0, 1, 10), "rtm": (7, 0, 1, 11), "avx512f": (7, 0, 1, 16), "avx512dq": (7, 0, 1, 17),
    "rdseed": (7, 0, 1, 18), "adx": (7, 0, 1, 19), "smap": (7, 0, 1, 20), "avx512ifma": (7, 0, 1, 21),
    "clflushopt": (7, 0, 1, 23), "clwb": (7, 0, 1, 24), "avx512pf": (7, 0, 1, 26), "avx512er": (7, 0, 1, 27),
    "avx512cd": (7, 0, 1, 28), "sha": (7, 0, 1, 29), "avx512bw": (7, 0, 1, 30), "avx512vl": (7, 0, 1, 31),
    "prefetchwt1": (7, 0, 2, 0), "avx512vbmi": (7, 0, 2, 1), "umip": (7, 0, 2, 2), "pku": (7, 0, 2, 3),
    "ospke": (7, 0, 2, 4), "waitpkg": (7, 0, 2, 5), "avx512vbmi2": (7, 0, 2, 6), "shstk": (7, 0, 2, 7),
    "gfni": (7, 0, 2, 8), "vaes": (7, 0, 2, 9), "vpclmulqdq": (7, 0, 2, 10), "avx512vnni": (7, 0, 2, 11),
    "avx512bitalg": (7, 0, 2, 12), "avx512vpopcntdq": (7, 0, 2, 14), "rdpid": (7, 0, 2, 22), "kl": (7, 0, 2, 23),
    "cldemote": (7, 0, 2, 25), "movdiri": (7, 0, 2, 27), "movdir64b": (7, 0, 2, 28), "enqcmd": (7, 0, 2, 29),
    "avx512_4vnniw": (7, 0, 3, 2), "avx512_4fmaps": (7, 0, 3, 3), "fsrm": (7, 0, 3, 4), "uintr": (7, 0, 3, 5),
    "avx512vp2intersect": (7, 0, 3, 8), "serialize": (7, 0, 3, 14), "tsxldtrk": (7, 0, 3, 16),
    "pconfig": (7, 0, 3, 18), "ibt": (7, 0, 3, 20), "amx_bf16": (7, 0, 3, 22), "avx512fp16": (7, 0, 3, 23),
    "amx_tile": (7, 0, 3, 24), "amx_int8": (7, 0, 3, 25),
    "sha512": (7, 1, 0, 0), "sm3": (7, 1, 0, 1), "sm4": (7, 1, 0, 2), "rao_int": (7, 1, 0, 3),
    "avx_vnni": (7, 1, 0, 4), "avx512bf16": (7, 1, 0, 5), "cmpccxadd": (7, 1, 0, 7), "fred": (7, 1, 0, 17),
    "lkgs": (7, 1, 0, 18), "wrmsrns": (7, 1, 0, 19), "amx_fp16": (7, 1, 0, 21), "hreset": (7, 1, 0, 22),
    "avx_ifma": (7, 1, 0, 23), "msrlist": (7, 1, 0, 27), "tse": (7, 1, 1, 1), "avx_vnni_int8": (7, 1, 3, 4),
    "avx_ne_convert": (7, 1, 3, 5), "amx_complex": (7, 1, 3, 8), "avx_vnni_int16": (7, 1, 3, 10),
    "prefetchiti": (7, 1, 3, 14),
    "xsaveopt": (13, 1, 0, 0), "xsavec": (13, 1, 0, 1), "xsaves": (13, 1, 0, 3), "sgx1": (18, 0, 0, 0),
    "oss": (18, 0, 0, 5), "ptwrite": (20, 0, 1, 4), "aeskle": (25, 0, 1, 0), "wide_kl": (25, 0, 1, 2),
    "lahf_lm": (0x8000_0001, 0, 2, 0), "svm": (0x8000_0001, 0, 2, 2), "lzcnt": (0x8000_0001, 0, 2, 5),
    "sse4a": (0x8000_0001, 0, 2, 6), "misalignsse": (0x8000_0001, 0, 2, 7), "3dnowprefetch": (0x8000_0001, 0, 2, 8),
    "xop": (0x8000_0001, 0, 2, 11), "skinit": (0x8000_0001, 0, 2, 12), "lwp": (0x8000_0001, 0, 2, 15),
    "fma4": (0x8000_0001, 0, 2, 16), "tbm": (0x8000_0001, 0, 2, 21), "monitorx": (0x8000_0001, 0, 2, 29),
    "rdtscp": (0x8000_0001, 0, 3, 27), "3dnowext": (0x8000_0001, 0, 3, 30), "3dnow": (0x8000_0001, 0, 3, 31),
    "clzero": (0x8000_0008, 0, 1, 0), "xsaveerptr": (0x8000_0008, 0, 1, 2), "invlpgb": (0x8000_0008, 0, 1, 3),
    "rdpru": (0x8000_0008, 0, 1, 4), "mcommit": (0x8000_0008, 0, 1, 8), "wbnoinvd": (0x8000_0008, 0, 1, 9),
    "sev_es": (0x8000_001F, 0, 0, 3), "sev_snp": (0x8000_001F, 0, 0, 4), "rmpquery": (0x8000_001F, 0, 0, 6),
    "padlock_rng": (0xC000_0001, 0, 3, 2), "padlock_gmi": (0xC000_0001, 0, 3, 4), "padlock_ace": (0xC000_0001, 0, 3, 6),
    "padlock_phe": (0xC000_0001, 0, 3, 10), "padlock_pmm": (0xC000_0001, 0, 3, 12),
}  # fmt: skip

_AVX_FAMILY: Final = (
    "avx2", "fma", "f16c", "vaes", "vpclmulqdq", "xop", "fma4", "avx_vnni", "avx_ifma", "avx_ne_convert",
    "avx_vnni_int8", "avx_vnni_int16", "sha512", "sm3", "sm4",
)  # fmt: skip
# What has a state component that the kernel must enable: its bits in XCR0. SDM vol. 1, 14.3, 15.2, 18.2
ENABLED_BY: Final[Mapping[str, int]] = {
    **dict.fromkeys(("avx", *_AVX_FAMILY), AVX),
    **{name: AVX | AVX512 for name in FEATURES if name.startswith("avx512")},
    **{name: TILES for name in FEATURES if name.startswith("amx_")},
}
RIGHTS: Final[Mapping[str, str]] = {  # what is no matter of the processor, and can be hidden all the same
    "root": "privileges",
    "ptrace": "tracing of children",
    "uprobes": "uprobes of any interface",
    "perf": "perf events",
    "tracefs": "the mounted tracefs",
    "cc": "a C compiler",
}
# name -> what it does not exist without; SDM vol. 1, 14.3 and 15.2; Linux: uprobes, tracefs and perf events on them
# are privileged
IMPLIED: Final[Mapping[str, frozenset[str]]] = {
    "osxsave": frozenset({"xsave"}),
    **dict.fromkeys(("avx", "xsaveopt", "xsavec", "xsaves"), frozenset({"osxsave"})),
    **dict.fromkeys(_AVX_FAMILY, frozenset({"avx"})),
    **{name: frozenset({"avx512f"}) for name in FEATURES if name.startswith("avx512")},
    "avx512f": frozenset({"avx2"}),
    **{name: frozenset({"amx_tile"}) for name in FEATURES if name.startswith("amx_")},
    "amx_tile": frozenset({"osxsave"}),
    "ospke": frozenset({"pku"}),
    **dict.fromkeys(("aeskle", "wide_kl"), frozenset({"kl"})),
    **dict.fromkeys(("uprobes", "tracefs", "perf"), frozenset({"root"})),
}

# --- which feature an instruction belongs to, by the names that the opcode table has --------------------------------
EVERYWHERE: Final = "every x86-64 processor has it"
NO_OPERATION: Final = "no operation where it is absent"
BY_STATE: Final = "on or off by the state, which the semantics model"
NO_BIT: Final = "CPUID has no bit of it"
NOT_TOLD: Final[Mapping[str, str]] = {  # opcode table's name -> why CPUID is not asked
    **dict.fromkeys(("INTEL8086", "INTEL186", "INTEL286", "INTEL386", "INTEL486", "X64", "FPU", "FPU287", "FPU387",
                     "CMOV", "CPUID", "CX8", "FXSR", "MMX", "MSR", "RDPMC", "SMM", "SSE", "SSE2", "SYSCALL", "TSC"),
                    EVERYWHERE),
    **dict.fromkeys(("PAUSE", "MULTIBYTENOP", "PREFETCHW", "PREFETCHWT1", "PREFETCHITI", "CLDEMOTE", "CET_IBT"),
                    NO_OPERATION),
    "CET_SS": BY_STATE,
    **dict.fromkeys(("PADLOCK_UNDOC", "TDX"), NO_BIT),
}  # fmt: skip
_RENAMED: Final[Mapping[str, tuple[str, ...]]] = {  # opcode table's name -> the features of which one suffices
    "CMPXCHG16B": ("cx16",), "D3NOW": ("3dnow",), "D3NOWEXT": ("3dnowext",), "PKU": ("ospke",), "XSAVE": ("osxsave",),
    "HLE_OR_RTM": ("hle", "rtm"), "SKINIT_OR_SVM": ("skinit", "svm"),
    "INVEPT": ("vmx",), "INVVPID": ("vmx",),  # SDM vol. 3, A.10: an MSR tells them
    **{f"AVX512_{name}": (f"avx512{name.lower()}",) for name in (
        "BF16", "BITALG", "FP16", "IFMA", "VBMI", "VBMI2", "VNNI", "VP2INTERSECT", "VPOPCNTDQ")},
}  # fmt: skip


def sufficient(name: str) -> tuple[str, ...]:
    """The features of which one suffices for what the opcode table calls `name`; () where CPUID is not asked.

    Raises ValueError for a name that no row has.
    """
    if name in NOT_TOLD:
        return ()
    found = _RENAMED.get(name, (name.lower(),))
    if any(n not in FEATURES for n in found):
        raise ValueError(f"no row says which CPUID bit tells {name!r}")
    return found
