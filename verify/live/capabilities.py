"""What the running processor and kernel offer to the executor: vendor, family, features, XSAVE components.

Decides from CPUID and XCR0, read by a stub of a few bytes, and from the auxiliary vector; says precisely what is
missing and executes nothing else.
"""

import ctypes
import mmap
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from verify.models.isa.rows import Cpu

# void cpuid(u32 leaf, u32 subleaf, u32 out[4])
_CPUID: Final = bytes.fromhex(
    "53"  # push rbx
    "4989d0"  # mov r8, rdx
    "89f8"  # mov eax, edi
    "89f1"  # mov ecx, esi
    "0fa2"  # cpuid
    "418900"  # mov [r8], eax
    "41895804"  # mov [r8+4], ebx
    "41894808"  # mov [r8+8], ecx
    "4189500c"  # mov [r8+12], edx
    "5b"  # pop rbx
    "c3"  # ret
)
# u64 xgetbv(void)
_XGETBV: Final = bytes.fromhex(
    "31c9"  # xor ecx, ecx
    "0f01d0"  # xgetbv
    "48c1e220"  # shl rdx, 32
    "4809d0"  # or rax, rdx
    "c3"  # ret
)
VENDORS: Final = {"AuthenticAMD": Cpu.AMD, "HygonGenuine": Cpu.AMD, "GenuineIntel": Cpu.INTEL}  # whose semantics
AT_HWCAP2: Final = 26
HWCAP2_FSGSBASE: Final = 2  # Linux 5.9 and later, arch/x86/include/uapi/asm/hwcap2.h

# name -> (leaf, subleaf, register 0..3 = eax ebx ecx edx, bit); SDM vol. 2, CPUID; APM vol. 3, appendix E
FEATURES: Final[dict[str, tuple[int, int, int, int]]] = {
    "sse3": (1, 0, 2, 0),
    "pclmulqdq": (1, 0, 2, 1),
    "ssse3": (1, 0, 2, 9),
    "fma": (1, 0, 2, 12),
    "cx16": (1, 0, 2, 13),
    "sse4_1": (1, 0, 2, 19),
    "sse4_2": (1, 0, 2, 20),
    "movbe": (1, 0, 2, 22),
    "popcnt": (1, 0, 2, 23),
    "aes": (1, 0, 2, 25),
    "xsave": (1, 0, 2, 26),
    "osxsave": (1, 0, 2, 27),
    "avx": (1, 0, 2, 28),
    "f16c": (1, 0, 2, 29),
    "rdrand": (1, 0, 2, 30),
    "hypervisor": (1, 0, 2, 31),
    "fsgsbase": (7, 0, 1, 0),
    "bmi1": (7, 0, 1, 3),
    "avx2": (7, 0, 1, 5),
    "bmi2": (7, 0, 1, 8),
    "rtm": (7, 0, 1, 11),
    "avx512f": (7, 0, 1, 16),
    "avx512dq": (7, 0, 1, 17),
    "rdseed": (7, 0, 1, 18),
    "adx": (7, 0, 1, 19),
    "avx512ifma": (7, 0, 1, 21),
    "clflushopt": (7, 0, 1, 23),
    "clwb": (7, 0, 1, 24),
    "avx512cd": (7, 0, 1, 28),
    "sha": (7, 0, 1, 29),
    "avx512bw": (7, 0, 1, 30),
    "avx512vl": (7, 0, 1, 31),
    "avx512vbmi": (7, 0, 2, 1),
    "umip": (7, 0, 2, 2),
    "pku": (7, 0, 2, 3),
    "ospke": (7, 0, 2, 4),
    "avx512vbmi2": (7, 0, 2, 6),
    "shstk": (7, 0, 2, 7),
    "gfni": (7, 0, 2, 8),
    "vaes": (7, 0, 2, 9),
    "vpclmulqdq": (7, 0, 2, 10),
    "avx512vnni": (7, 0, 2, 11),
    "avx512bitalg": (7, 0, 2, 12),
    "avx512vpopcntdq": (7, 0, 2, 14),
    "rdpid": (7, 0, 2, 22),
    "cldemote": (7, 0, 2, 25),
    "movdiri": (7, 0, 2, 27),
    "movdir64b": (7, 0, 2, 28),
    "ibt": (7, 0, 3, 20),
    "fsrm": (7, 0, 3, 4),
    "serialize": (7, 0, 3, 14),
    "amx_tile": (7, 0, 3, 24),
    "avx512fp16": (7, 0, 3, 23),
    "avx_vnni": (7, 1, 0, 4),
    "avx512bf16": (7, 1, 0, 5),
    "xsaveopt": (13, 1, 0, 0),
    "xsavec": (13, 1, 0, 1),
    "xsaves": (13, 1, 0, 3),
    "lahf_lm": (0x8000_0001, 0, 2, 0),
    "lzcnt": (0x8000_0001, 0, 2, 5),
    "sse4a": (0x8000_0001, 0, 2, 6),
    "3dnowprefetch": (0x8000_0001, 0, 2, 8),
    "xop": (0x8000_0001, 0, 2, 11),
    "fma4": (0x8000_0001, 0, 2, 16),
    "tbm": (0x8000_0001, 0, 2, 21),
    "rdtscp": (0x8000_0001, 0, 3, 27),
    "3dnow": (0x8000_0001, 0, 3, 31),
    "clzero": (0x8000_0008, 0, 1, 0),
    "xsaveerptr": (0x8000_0008, 0, 1, 2),
    "rdpru": (0x8000_0008, 0, 1, 4),
}
LOADED: Final = 0xE7  # components that the executor loads and stores: x87, SSE, AVX, AVX-512
LEGACY_SIZE: Final = 576  # bytes of the legacy area and the header, SDM vol. 1, 13.4
COMPONENTS: Final = {0: "x87", 1: "sse", 2: "avx", 5: "opmask", 6: "zmm_hi256", 7: "hi16_zmm", 9: "pkru"}


class ExecutorUnavailable(RuntimeError):
    """The machine lacks something that the executor needs; the text says what."""


@dataclass(frozen=True, slots=True)
class Component:
    """One extended XSAVE component: its bit in XCR0, and offset and size in bytes in the standard format."""

    bit: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Capabilities:
    """The processor as the program sees it; `components` and `xsave_size` (bytes) are those loaded.

    Compared by identity: a process has one.
    """

    vendor: str
    family: int
    model: int
    stepping: int
    features: frozenset[str]
    xcr0: int
    xsave_size: int
    components: tuple[Component, ...]
    fsgsbase: bool

    @property
    def component_names(self) -> tuple[str, ...]:
        """Names of the state components that the kernel has enabled."""
        return tuple(name for bit, name in COMPONENTS.items() if self.xcr0 >> bit & 1)

    @property
    def vector_bits(self) -> int:
        """Width of the vector registers in bits: 128, 256 or 512."""
        return 512 if self.xcr0 & 0xE0 == 0xE0 else 256 if self.xcr0 & 4 else 128

    def missing(self, features: Iterable[str]) -> tuple[str, ...]:
        """Those of `features` that this processor does not have, in the order given; ValueError for an unknown name."""
        names = tuple(features)
        for name in names:
            if name not in FEATURES:
                raise ValueError(f"unknown processor feature {name!r}")
        return tuple(name for name in names if name not in self.features)


def machine_code(code: bytes) -> mmap.mmap:
    """An executable private mapping that holds `code`; ExecutorUnavailable where the system forbids one."""
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError as error:
        raise ExecutorUnavailable(f"no executable memory here: {error}") from error
    page.write(code)
    return page


def _address(page: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(page))


def _family_model(eax: int) -> tuple[int, int, int]:
    """Display family, model and stepping of CPUID leaf 1, SDM vol. 2, CPUID."""
    family, model = eax >> 8 & 15, eax >> 4 & 15
    if family in (6, 15):
        model |= (eax >> 16 & 15) << 4
    if family == 15:
        family += eax >> 20 & 255
    return family, model, eax & 15


@cache
def capabilities() -> Capabilities:
    """The running machine's capabilities; ExecutorUnavailable unless it is x86-64 Linux with XSAVE."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ExecutorUnavailable(f"needs x86-64 Linux, this is {sys.platform} on {platform.machine()}")
    page, extra = machine_code(_CPUID), machine_code(_XGETBV)
    call = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))(_address(page))
    out = (ctypes.c_uint32 * 4)()

    def leaf(number: int, sub: int = 0) -> tuple[int, int, int, int]:
        call(number, sub, out)
        return out[0], out[1], out[2], out[3]

    limits = {0: leaf(0)[0], 0x8000_0000: leaf(0x8000_0000)[0]}
    features = frozenset(
        name
        for name, (number, sub, register, bit) in FEATURES.items()
        if number <= limits[number & 0x8000_0000] and leaf(number, sub)[register] >> bit & 1
    )
    if "osxsave" not in features:
        raise ExecutorUnavailable("the processor or the kernel does not offer XSAVE (CPUID.1:ECX.OSXSAVE = 0)")
    _, b, c, d = leaf(0)
    xcr0 = int(ctypes.CFUNCTYPE(ctypes.c_uint64)(_address(extra))())
    components = tuple(Component(bit, *_place(leaf(13, bit))) for bit in range(2, 63) if xcr0 & LOADED & 1 << bit)
    return Capabilities(
        vendor=b"".join(part.to_bytes(4, "little") for part in (b, d, c)).decode("latin-1"),
        features=features,
        xcr0=xcr0,
        xsave_size=max([LEGACY_SIZE, *(c.offset + c.size for c in components)]),
        components=components,
        fsgsbase=bool(_hwcap2() & HWCAP2_FSGSBASE),
        **dict(zip(("family", "model", "stepping"), _family_model(leaf(1)[0]), strict=True)),
    )


def _place(registers: tuple[int, int, int, int]) -> tuple[int, int]:
    """Offset and size of a component from CPUID leaf 0xd: EBX and EAX."""
    return registers[1], registers[0]


def _hwcap2() -> int:
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return int(getauxval(AT_HWCAP2))
