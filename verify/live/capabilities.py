"""What the running processor and kernel offer to the executor: vendor, family, features, XSAVE components.

Decides from CPUID and XCR0, read by a stub of a few bytes, and from the auxiliary vector; says precisely what is
missing and executes nothing else.
"""

import ctypes
import mmap
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from verify.live.features import AVX, AVX512, ENABLED_BY, FEATURES, sufficient
from verify.live.hiding import hidden
from verify.models.x86.isa.rows import Cpu

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

LOADED: Final = 0xE7  # components that the executor loads and stores: x87, SSE, AVX, AVX-512
STATE_OF: Final = {  # component -> the features of which one has it
    2: frozenset({"avx"}),
    **dict.fromkeys((5, 6, 7), frozenset({"avx512f"})),
    9: frozenset({"ospke"}),
    **dict.fromkeys((17, 18), frozenset({"amx_tile"})),
}
LEGACY_SIZE: Final = 576  # bytes of the legacy area and the header, SDM vol. 1, 13.4
COMPONENTS: Final = {0: "x87", 1: "sse", 2: "avx", 5: "opmask", 6: "zmm_hi256", 7: "hi16_zmm", 9: "pkru"}


class ExecutorUnavailable(RuntimeError):
    """The machine lacks something that the executor needs; the text says what."""


@dataclass(frozen=True, slots=True)
class XsaveComponent:
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
    components: tuple[XsaveComponent, ...]
    fsgsbase: bool

    @property
    def component_names(self) -> tuple[str, ...]:
        """Names of the state components that the kernel has enabled."""
        return tuple(name for bit, name in COMPONENTS.items() if self.xcr0 >> bit & 1)

    @property
    def vector_bits(self) -> int:
        """Width of the vector registers in bits: 128, 256 or 512."""
        return 512 if self.xcr0 & AVX512 == AVX512 else 256 if self.xcr0 & AVX else 128

    @property
    def mxcsr_mask(self) -> int:
        """The bits that MXCSR has: 16, and MM (bit 17) where CPUID tells it (APM vol. 1, 4.2.2)."""
        return 0x2FFFF if "misalignsse" in self.features else 0xFFFF

    def missing(self, features: Iterable[str]) -> tuple[str, ...]:
        """Those of `features` that this processor does not have, in the order given; ValueError for an unknown name."""
        names = tuple(features)
        for name in names:
            if name not in FEATURES:
                raise ValueError(f"unknown processor feature {name!r}")
        return tuple(name for name in names if name not in self.features)

    def absent(self, needed: Iterable[str]) -> tuple[str, ...]:
        """Those of the opcode table's feature names that this processor does not have."""
        return tuple(n for n in needed if (any_of := sufficient(n)) and not self.features.intersection(any_of))


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


def capabilities() -> Capabilities:
    """The running machine's capabilities without what is hidden.

    Raises ExecutorUnavailable unless it is x86-64 Linux with XSAVE, HidingError.
    """
    found = visible()
    if "osxsave" not in found.features:
        raise ExecutorUnavailable("the processor or the kernel does not offer XSAVE (CPUID.1:ECX.OSXSAVE = 0)")
    return found


def visible() -> Capabilities:
    """`capabilities`, XSAVE or not."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ExecutorUnavailable(f"needs x86-64 Linux, this is {sys.platform} on {platform.machine()}")
    return without(processor(), hidden())


@cache
def without(caps: Capabilities, names: frozenset[str]) -> Capabilities:
    """The capabilities of the processor that lacks these features, as its programs see them."""
    features = caps.features - names
    gone = sum(1 << bit for bit in STATE_OF if not features & STATE_OF[bit])
    xcr0 = caps.xcr0 & ~gone
    components = tuple(c for c in caps.components if xcr0 >> c.bit & 1)
    return replace(
        caps,
        features=features,
        xcr0=xcr0,
        xsave_size=max([LEGACY_SIZE, *(c.offset + c.size for c in components)]),
        components=components,
        fsgsbase=caps.fsgsbase and "fsgsbase" in features,
    )


@cache
def processor() -> Capabilities:
    """The processor's capabilities, nothing hidden; on x86-64 Linux only."""
    page, extra = machine_code(_CPUID), machine_code(_XGETBV)
    call = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))(_address(page))
    out = (ctypes.c_uint32 * 4)()

    def leaf(number: int, sub: int = 0) -> tuple[int, int, int, int]:
        call(number, sub, out)
        return out[0], out[1], out[2], out[3]

    told = frozenset(_told(leaf))
    xcr0 = int(ctypes.CFUNCTYPE(ctypes.c_uint64)(_address(extra))()) if "osxsave" in told else 0
    fsgsbase = bool(_hwcap2() & HWCAP2_FSGSBASE)
    closed = frozenset() if fsgsbase else frozenset({"fsgsbase"})
    enabled = frozenset(n for n in told if xcr0 & ENABLED_BY.get(n, 0) == ENABLED_BY.get(n, 0)) - closed
    _, b, c, d = leaf(0)
    components = tuple(XsaveComponent(bit, *_place(leaf(13, bit))) for bit in range(2, 63) if xcr0 & LOADED & 1 << bit)
    return Capabilities(
        vendor=b"".join(part.to_bytes(4, "little") for part in (b, d, c)).decode("latin-1"),
        features=enabled,
        xcr0=xcr0,
        xsave_size=max([LEGACY_SIZE, *(c.offset + c.size for c in components)]),
        components=components,
        fsgsbase=fsgsbase,
        **dict(zip(("family", "model", "stepping"), _family_model(leaf(1)[0]), strict=True)),
    )


def _told(leaf: Callable[[int, int], tuple[int, int, int, int]]) -> Iterator[str]:
    """The features whose CPUID bit is set; a range of leaves ends where its first leaf says."""
    limits = {first: leaf(first, 0)[0] for first in (0, 0x8000_0000, 0xC000_0000)}
    for name, (number, sub, register, bit) in FEATURES.items():
        first = number & 0xC000_0000
        last = limits[first]
        if first <= number <= last < first + 0x1_0000 and leaf(number, sub)[register] >> bit & 1:
            yield name


def _place(registers: tuple[int, int, int, int]) -> tuple[int, int]:
    """Offset and size of a component from CPUID leaf 0xd: EBX and EAX."""
    return registers[1], registers[0]


def _hwcap2() -> int:
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return int(getauxval(AT_HWCAP2))
