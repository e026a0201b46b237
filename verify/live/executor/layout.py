"""Where everything of the in-process executor lies in its child's address space and in the shared arena.

Decides fixed addresses, sizes and guard pages; maps nothing itself.  The child keeps nothing mapped but what is listed
here, so that every stray access of an instruction under test faults.
"""

from dataclasses import dataclass, field
from typing import Final

from verify.models.x86.mode import USER_64

PAGE: Final = 4096
CHUNK: Final = 64  # bytes; memory is compared and logged in chunks of this size
CODE_BASE: Final = 0x7A00_0000  # below 2 GiB: reachable by disp32, moffs32 and 32-bit addressing
EXIT_JUMP: Final = bytes.fromhex("e9cccccccc")  # jmp rel32; its displacement bytes are int3, which catch any arrival
EXIT_DISPLACEMENT: Final = -0x3333_3334  # 0xcccccccc as a signed 32-bit displacement
MAX_LENGTH: Final = 15  # bytes of one instruction, SDM vol. 2, 2.3.11
SLOT: Final = 32  # bytes written for one instruction: itself, the exit jump, int3 behind it
STUB_BASE: Final = 0x7900_0000
CONTROL_BASE: Final = 0x7901_0000
CONTROL_SIZE: Final = 4 * PAGE  # the control block, and above it the stub's own stack
SIGNAL_STACK_BASE: Final = 0x7902_0000
SIGNAL_STACK_SIZE: Final = 16 * PAGE
ARENA_BASE: Final = 0x2000_0000_0000
TASK_END: Final = USER_64.half - PAGE


@dataclass(frozen=True, slots=True)
class ChildRegion:
    """Memory that instructions under test may use: `pages` pages at `address`, with a PROT_NONE page at both sides."""

    name: str
    address: int
    pages: int
    writable: bool = True

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.pages * PAGE

    @property
    def end(self) -> int:
        """First address behind the region; a guard page begins there."""
        return self.address + self.size

    def holds(self, address: int, size: int) -> bool:
        """Whether `size` bytes from `address` lie wholly inside."""
        return self.address <= address and address + size <= self.end


DATA: Final = ChildRegion("data", 0x7B00_1000, 2)
SECOND: Final = ChildRegion("second", 0x7B01_1000, 1)
STACK: Final = ChildRegion("stack", 0x7B02_1000, 1)
READ_ONLY: Final = ChildRegion("read-only", 0x7B03_1000, 1, writable=False)
REGIONS: Final = (DATA, SECOND, STACK, READ_ONLY)


def is_the_executors(address: int) -> bool:
    """Whether a byte may belong to the executor itself (stub, control block, code pages, arena): it does not fault."""
    return STUB_BASE <= address < DATA.address - PAGE or ARENA_BASE <= address < ARENA_BASE + (1 << 32)


@dataclass(frozen=True, slots=True)
class ChildLayout:
    """Addresses of the code pages and offsets of every section in the shared arena, all in bytes."""

    code_base: int = CODE_BASE
    code_pages: int = 4
    records_size: int = 2 << 20
    log_size: int = 2 << 20
    regions: tuple[ChildRegion, ...] = field(default=REGIONS)

    def __post_init__(self) -> None:
        if self.code_base % PAGE or not 1 <= self.code_pages <= 4096:
            raise ValueError(f"code must be 1..4096 pages at a page boundary: {self.code_pages}, {self.code_base:#x}")
        if self.code_base + EXIT_DISPLACEMENT < 1 << 20:
            raise ValueError(f"the landings lie {-EXIT_DISPLACEMENT:#x} below the code at {self.code_base:#x}")

    @property
    def code_size(self) -> int:
        """Size of the code area."""
        return self.code_pages * PAGE

    @property
    def code_end(self) -> int:
        """First address behind the code area."""
        return self.code_base + self.code_size

    @property
    def landing_base(self) -> int:
        """Address of the pages where the exit jumps of all slots arrive."""
        return (self.code_base + EXIT_DISPLACEMENT) // PAGE * PAGE

    @property
    def landing_size(self) -> int:
        """Size of the landing pages: as the code area, plus the slot's length and a page boundary."""
        return self.code_size + 2 * PAGE

    @property
    def offsets(self) -> dict[str, tuple[int, int]]:
        """Section name -> (offset, size) in the arena."""
        sizes = {
            "control": CONTROL_SIZE,
            "stub": PAGE,
            "signal_stack": SIGNAL_STACK_SIZE,
            "landing": self.landing_size,
            "code": self.code_size,
            "regions": sum(r.size for r in self.regions),
            "background": sum(r.size for r in self.regions),
            "log_in": self.log_size,
            "log_out": self.log_size,
            "records_in": self.records_size,
            "records_out": self.records_size,
        }
        table, offset = {}, 0
        for name, size in sizes.items():
            table[name] = (offset, size)
            offset += size
        return table

    @property
    def arena_size(self) -> int:
        """Size of the whole arena."""
        return sum(size for _, size in self.offsets.values())

    def arena_address(self, section: str) -> int:
        """Address of a section in the child's writable view of the whole arena."""
        return ARENA_BASE + self.offsets[section][0]

    def landing_of(self, fall_through: int) -> int:
        """Address where the exit jump at `fall_through` arrives."""
        return fall_through + len(EXIT_JUMP) + EXIT_DISPLACEMENT

    def region_of(self, address: int, size: int) -> ChildRegion:
        """The region that holds these bytes; ValueError where none does."""
        for region in self.regions:
            if region.holds(address, size):
                return region
        raise ValueError(f"{size} bytes at {address:#x} are not inside one mapped region")


def slot(code: bytes) -> bytes:
    """`code`, the exit jump behind it, and int3 up to the slot's end; ValueError unless 1..15 bytes."""
    if not 1 <= len(code) <= MAX_LENGTH:
        raise ValueError(f"an instruction has 1..{MAX_LENGTH} bytes, got {len(code)}")
    return (code + EXIT_JUMP).ljust(SLOT, b"\xcc")


def code_image(size: int, codes: dict[int, bytes]) -> bytes:
    """Contents of code pages of `size` bytes: each instruction's slot at its offset, int3 everywhere else."""
    image = bytearray(b"\xcc" * size)
    for offset, code in codes.items():
        piece = slot(code)[: len(code) + len(EXIT_JUMP)]
        if not 0 <= offset <= size - len(piece):
            raise ValueError(f"offset {offset:#x} leaves no room for a slot in {size:#x} bytes")
        image[offset : offset + len(piece)] = piece
    return bytes(image)
