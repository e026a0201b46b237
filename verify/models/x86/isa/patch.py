"""Fields written back into the bytes of an encoding, in place: nothing moves, and the form stays what it is."""

from __future__ import annotations

from verify.models.x86.isa.assemble import decoded_as
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.fields import fields


def with_fields(
    decoded: Decoded,
    *,
    reg: int | None = None,
    rm: int | None = None,
    base: int | None = None,
    index: int | None = None,
    vvvv: int | None = None,
    opcode_reg: int | None = None,
    disp: int | None = None,
    immediates: tuple[int, ...] | None = None,
) -> bytes:
    """The same encoding with other register numbers, displacement (BV64 value, scaled) or immediates.

    Raises ValueError where a value does not fit the encoding as it stands (no REX byte, a displacement that is no
    multiple of disp8*N, a register whose number means something else there).
    """
    patch = _Patch(decoded)
    wanted = {"reg": reg, "rm": rm, "base": base, "index": index, "vvvv": vvvv, "opcode_reg": opcode_reg}
    for name, number in wanted.items():
        if number is not None:
            getattr(patch, name)(number)
    if disp is not None:
        patch.displacement(disp)
    for (offset, size), value in zip(decoded.layout.immediates, immediates or (), strict=immediates is not None):
        patch.data[offset : offset + size] = (value % (1 << (8 * size))).to_bytes(size, "little")
    return patch.result(wanted, disp)


class _Patch:
    """The bytes being changed."""

    def __init__(self, decoded: Decoded) -> None:
        self.decoded = decoded
        self.data = bytearray(decoded.data)

    def _bits(self, offset: int | None, low: int, width: int, value: int) -> None:
        if offset is None:
            raise ValueError(f"{self.decoded.data.hex()} has no byte for this field")
        mask = (1 << width) - 1 << low
        self.data[offset] = self.data[offset] & ~mask | (value << low & mask)

    def _extension(self, rex_bit: int, vex_bit: int, value: int) -> None:
        layout = self.decoded.layout
        if layout.vex is None:
            if layout.rex_offset is not None:
                self._bits(layout.rex_offset, rex_bit, 1, value)
        elif layout.vex_offset is not None and (layout.vex != "vex2" or vex_bit == 7):
            self._bits(layout.vex_offset + 1, vex_bit, 1, value ^ 1)

    def _payload(self, byte: int, low: int, width: int, value: int) -> None:
        offset = self.decoded.layout.vex_offset
        self._bits(None if offset is None else offset + byte, low, width, ~value)

    def reg(self, number: int) -> None:
        self._bits(self.decoded.layout.modrm_offset, 3, 3, number)
        self._extension(2, 7, number >> 3 & 1)
        if self.decoded.layout.vex == "evex":
            self._payload(1, 4, 1, number >> 4)

    def rm(self, number: int) -> None:
        self._bits(self.decoded.layout.modrm_offset, 0, 3, number)
        self._extension(0, 5, number >> 3 & 1)
        if self.decoded.layout.vex == "evex":
            self._extension(1, 6, number >> 4 & 1)

    def base(self, number: int) -> None:
        layout = self.decoded.layout
        self._bits(layout.modrm_offset if layout.sib_offset is None else layout.sib_offset, 0, 3, number)
        self._extension(0, 5, number >> 3 & 1)

    def index(self, number: int) -> None:
        self._bits(self.decoded.layout.sib_offset, 3, 3, number)
        self._extension(1, 6, number >> 3 & 1)
        if self.decoded.form.opcode.is_vsib and self.decoded.layout.vex == "evex":
            self._payload(3, 3, 1, number >> 4)

    def vvvv(self, number: int) -> None:
        self._payload(1 if self.decoded.layout.vex == "vex2" else 2, 3, 4, number)
        if self.decoded.layout.vex == "evex":
            self._payload(3, 3, 1, number >> 4)

    def opcode_reg(self, number: int) -> None:
        layout = self.decoded.layout
        second = self.decoded.form.opcode.op_code_len == 2
        self._bits(layout.modrm_offset if second else layout.opcode_offset, 0, 3, number)
        self._extension(0, 5, number >> 3 & 1)

    def displacement(self, value: int) -> None:
        layout = self.decoded.layout
        if layout.disp_offset is None or value % layout.disp_scale:
            raise ValueError(f"{self.decoded.data.hex()} cannot hold the displacement {value:#x}")
        size = layout.disp_size
        raw = (value - (1 << 64) if value >> 63 else value) // layout.disp_scale
        self.data[layout.disp_offset : layout.disp_offset + size] = (raw % (1 << (8 * size))).to_bytes(size, "little")

    def result(self, wanted: dict[str, int | None], disp: int | None) -> bytes:
        """The bytes, once they are known to be the same form with exactly the wanted numbers."""
        data = bytes(self.data)
        found = decoded_as(self.decoded.form, data, self.decoded.cpu)
        if found is None:
            raise ValueError(f"{data.hex()} is no longer {self.decoded.form.name}")
        parts = fields(found)
        numbers = {"reg": "reg", "rm": "rm_reg", "base": "base", "index": "index", "vvvv": "vvvv",
                   "opcode_reg": "opcode_reg"}  # fmt: skip
        for name, number in wanted.items():
            if number is not None and getattr(parts, numbers[name]).value != number:
                raise ValueError(f"{self.decoded.data.hex()} cannot hold {name} = {number}")
        if disp is not None and parts.disp.value != disp % (1 << 64):
            raise ValueError(f"{self.decoded.data.hex()} cannot hold the displacement {disp:#x}")
        return data
