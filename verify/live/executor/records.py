"""Binary layout of what parent and stub share: trial records, memory log entries and the control block.

Decides offsets only.  An input record holds the state before the instruction, an output record the state behind it and
what the kernel delivered; both end with an XSAVE area in the standard format (SDM vol. 1, 13.4) where vector or x87
state takes part.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from verify.live.executor.layout import CHUNK

IN_XSAVE: Final = 192
OUT_XSAVE: Final = 256
Fields = Mapping[str, tuple[int, DTypeLike]]  # offset in bytes and format
IN_FIELDS: Final[Fields] = {
    "gprs": (0, ("<u8", 16)),
    "rflags": (128, "<u8"),
    "fs_base": (136, "<u8"),
    "gs_base": (144, "<u8"),
    "length": (152, "<u4"),
    "pkru": (156, "<u4"),
    "slot": (160, ("u1", 32)),
}
OUT_FIELDS: Final[Fields] = {
    "gprs": (0, ("<u8", 16)),
    "rflags": (128, "<u8"),
    "fs_base": (136, "<u8"),
    "gs_base": (144, "<u8"),
    "ip": (152, "<u8"),
    "signal": (160, "<u4"),  # 0: left by the exit jump
    "kind": (164, "<u4"),
    "si_code": (168, "<i4"),
    "trapno": (172, "<u4"),
    "si_addr": (176, "<u8"),
    "error_code": (184, "<u8"),
    "cr2": (192, "<u8"),
    "selectors": (200, ("<u2", 4)),  # es ds fs gs
    "code_stack": (208, ("<u2", 2)),  # cs ss
    "environment": (216, ("<u4", 7)),  # FNSTENV, SDM vol. 1, figure 8-9; only where left by the exit jump
    "pkru": (244, "<u4"),  # likewise
}
IN_OFFSETS: Final = {name: offset for name, (offset, _) in IN_FIELDS.items()}
OUT_OFFSETS: Final = {name: offset for name, (offset, _) in OUT_FIELDS.items()}
LOG_DTYPE: Final = np.dtype([("trial", "<u8"), ("address", "<u8"), ("chunk", "u1", 64)])

# Component bit of XCR0 -> (field, format); the offset comes from CPUID leaf 0xd (SDM vol. 1, 13.5)
EXTENDED: Final[Mapping[int, tuple[str, DTypeLike]]] = {
    2: ("ymm_high", ("<u8", (16, 2))),
    5: ("masks", ("<u8", 8)),
    6: ("zmm_high", ("<u8", (16, 4))),
    7: ("zmm_upper", ("<u8", (16, 8))),
}
LEGACY: Final[tuple[tuple[str, DTypeLike, int], ...]] = (  # SDM vol. 1, table 13-1 (FXSAVE64 form)
    ("fcw", "<u2", 0),
    ("fsw", "<u2", 2),
    ("ftw", "u1", 4),  # abridged: bit set = register not empty
    ("fop", "<u2", 6),
    ("fip", "<u8", 8),
    ("fdp", "<u8", 16),
    ("mxcsr", "<u4", 24),
    ("st", ("<u8", (8, 2)), 32),
    ("xmm", ("<u8", (16, 2)), 160),
    ("xstate_bv", "<u8", 512),
    ("xcomp_bv", "<u8", 520),
)

CONTROL: Final = (
    "request_fd",
    "response_fd",
    "message",
    "answer",
    "active",
    "flags",
    "in_record",
    "out_record",
    "push_at",  # out_record + 136: the stub pushes the final registers into the record
    "in_stride",
    "out_stride",
    "index",
    "count",
    "tick_index",
    "log_in",
    "log_in_end",
    "log_out",
    "log_out_end",
    "code_alias",
    "xmask_low",
    "xmask_high",
    "xsave_quads",
    "save_rsp",
    "exit_pointer",
    "iret_rip",
    "iret_cs",
    "iret_rflags",
    "iret_rsp",
    "iret_ss",
)
UNMAP_OFFSET: Final = 0x400  # table of (start, size), ended by size 0
REGIONS_OFFSET: Final = 0x800  # table of (end, background's end, minus size), ended by 0
STACK_TOP: Final = 0x3FF0

LOAD_XSTATE: Final = 1
SAVE_XSTATE: Final = 2
BASES: Final = 4
LOAD_MEMORY: Final = 8
COMPARE_MEMORY: Final = 16
LOAD_CODE: Final = 32
KEYS: Final = 64  # load and save PKRU


def chunks_by_trial(entries: NDArray[np.void]) -> dict[int, dict[int, bytes]]:
    """trial -> address -> 64 bytes, from memory log entries."""
    found: dict[int, dict[int, bytes]] = {}
    data = entries["chunk"].tobytes()
    for i, (trial, address) in enumerate(zip(entries["trial"].tolist(), entries["address"].tolist(), strict=True)):
        found.setdefault(trial, {})[address] = data[CHUNK * i : CHUNK * i + CHUNK]
    return found


def xsave_dtype(offsets: Mapping[int, int], size: int) -> np.dtype[np.void]:
    """Structured view of an XSAVE area of `size` bytes; `offsets` gives each extended component's offset."""
    fields = list(LEGACY) + [(*EXTENDED[bit], offset) for bit, offset in offsets.items() if bit in EXTENDED]
    names, formats, places = zip(*fields, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": places, "itemsize": size})


def in_dtype(xsave: np.dtype[np.void] | None) -> np.dtype[np.void]:
    """Input record, without or with an XSAVE area."""
    return _record(IN_FIELDS, IN_XSAVE, xsave)


def out_dtype(xsave: np.dtype[np.void] | None) -> np.dtype[np.void]:
    """Output record, without or with an XSAVE area."""
    if xsave is None:
        fields = {name: row for name, row in OUT_FIELDS.items() if name not in {"environment", "pkru"}}
        return _record(fields, OUT_OFFSETS["environment"], None)
    return _record(OUT_FIELDS, OUT_XSAVE, xsave)


def _record(fields: Fields, at: int, xsave: np.dtype[np.void] | None) -> np.dtype[np.void]:
    if xsave is not None:
        fields = {**fields, "xsave": (at, xsave)}
        at += (xsave.itemsize + 63) // 64 * 64
    offsets, formats = zip(*fields.values(), strict=True)
    return np.dtype({"names": list(fields), "formats": list(formats), "offsets": list(offsets), "itemsize": at})
