"""Bytes to a form and its layout, as the processor of a vendor reads them.

Any byte string gets one answer: `Decoded`, `NotAnInstruction` or `NotModelled`.  The decoder library decides which
opcode it is; what it refuses is not an instruction, except LOCK where it is not allowed: those are decoded and marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import iced_x86

from verify.models.x86.isa import layout as walker
from verify.models.x86.isa.forms import form_of
from verify.models.x86.isa.layout import Layout
from verify.models.x86.isa.rows import Addressing, Cpu, Form
from verify.models.x86.mode import USER_64, Mode, refusal

iced: Any = iced_x86  # its stubs type plain integers as enumerations

MAX_LENGTH: Final = 15  # bytes; SDM vol. 3, section 2.3.11 of vol. 2: longer ones raise #GP
_AMD: Final = iced.DecoderOptions.AMD
_NO_MORE_BYTES: Final = iced.DecoderError.NO_MORE_BYTES
_Decoder: Final = iced.Decoder
_BITS: Final = USER_64.bits  # of every mode that is modelled
# The library reads F3 REX.B 90 as PAUSE; processors exchange r8 and rax (SDM vol. 2B, XCHG; measured on Zen 4).
_PAUSE: Final = iced.Code.PAUSE


@dataclass(frozen=True, slots=True)
class Decoded:
    """One instruction.  `faults_ud`: why the processor raises #UD though the pattern is recognised, or None."""

    form: Form
    data: bytes  # exactly the bytes of the instruction
    layout: Layout
    cpu: Cpu
    faults_ud: str | None = None


@dataclass(frozen=True, slots=True)
class NotAnInstruction:
    """The processor raises #UD (or #GP where the bytes go on past 15), or needs more bytes than there are."""

    reason: str


UNDEFINED: Final = NotAnInstruction("undefined opcode")  # no bytes behind it make it one


@dataclass(frozen=True, slots=True)
class NotModelled:
    """An encoding that some processors define and this model does not."""

    reason: str


_FORMS: dict[tuple[int, Addressing, Cpu], tuple[Form, str | None]] = {}
_LATER_LEGACY: Final = {
    b"\x0f\x38\xf8": "URDMSR, UWRMSR (USER_MSR)",
    b"\x0f\x38\x8a": "MOVRS",
    b"\x0f\x38\x8b": "MOVRS",
}
_VEX_BYTES: Final = frozenset({0xC4, 0xC5, 0x62, 0x8F})
LOCK_FAULT: Final = "LOCK is not allowed here"


def decode(data: bytes, cpu: Cpu, mode: Mode = USER_64) -> Decoded | NotAnInstruction | NotModelled:
    """The instruction that starts at the first byte; bytes after the fifteenth are never looked at.  Never raises.

    The privilege level changes nothing; of modes of other sizes nothing is said.
    """
    if mode is not USER_64 and (why := refusal(mode)) is not None:
        return NotModelled(why)
    window = data[:MAX_LENGTH]
    decoder = _Decoder(_BITS, window, _AMD if cpu is Cpu.AMD else 0)
    instruction = decoder.decode()
    code = instruction.code
    if code == 0:
        return _undecoded(window, decoder.last_error, cpu)
    if code == _PAUSE and window[instruction.len - 2] & 0xF1 == 0x41:
        code = _code(_null_prefixes(window[: instruction.len], b"\xf2\xf3"), cpu)
    return _decoded(window[: instruction.len], code, cpu)


def library_reads(data: bytes, cpu: Cpu) -> tuple[int, int]:
    """The library's code and length in bytes of what starts at the first byte; code 0 where it is no instruction."""
    return _read(data[:MAX_LENGTH], cpu)


def placed_as(form: Form, data: bytes, cpu: Cpu) -> Decoded | None:
    """What the whole of data decodes to where it is this form, else None."""
    found = decode(data, cpu)
    return found if isinstance(found, Decoded) and found.form is form and found.layout.length == len(data) else None


def faults_as(form: Form, data: bytes, cpu: Cpu) -> tuple[str | None] | None:
    """The `faults_ud` of what the whole of data decodes to where it is this form, else None.

    The data are of the form's addressing class, if they are of its opcode at all.
    """
    code, length = _read(data, cpu)
    if code in {0, _PAUSE} or len(data) > MAX_LENGTH:
        found = placed_as(form, data, cpu)
        return None if found is None else (found.faults_ud,)
    if code != form.opcode.code or length != len(data):
        return None
    return (_form_on(code, form.addressing, cpu)[1],)


def _read(data: bytes, cpu: Cpu) -> tuple[int, int]:
    """The library's code, 0 where it is no instruction, and length in bytes; of more than 15 bytes too."""
    instruction = _Decoder(_BITS, data, _AMD if cpu is Cpu.AMD else 0).decode()
    return instruction.code, instruction.len


def readings(data: bytes, cpus: tuple[Cpu, ...]) -> list[Decoded | NotAnInstruction | NotModelled]:
    """`decode` for several vendors; what the library reads alike is taken apart once."""
    found = [decode(data, cpus[0])]
    for cpu in cpus[1:]:
        first = found[0]
        if isinstance(first, Decoded):
            again = _Decoder(_BITS, data[:MAX_LENGTH], _AMD if cpu is Cpu.AMD else 0).decode()
            if again.code == first.form.opcode.code and again.len == first.layout.length:
                form, undefined = _form_on(again.code, first.form.addressing, cpu)
                found.append(Decoded(form, first.data, first.layout, cpu, undefined))
                continue
        found.append(decode(data, cpu))
    return found


def _decoded(data: bytes, code: int, cpu: Cpu) -> Decoded:
    layout, addressing = walker.walk(data, code)
    form, undefined = _form_on(code, addressing, cpu)
    return Decoded(form, data, layout, cpu, undefined)


def _form_on(code: int, addressing: Addressing, cpu: Cpu) -> tuple[Form, str | None]:
    """The form, and why it is undefined on a vendor's processors."""
    found = _FORMS.get((code, addressing, cpu))
    if found is None:
        form = form_of(code, addressing)
        found = _FORMS[code, addressing, cpu] = (form, _undefined_on(form, cpu))
    return found


def _needs_more(data: bytes) -> bool:
    decoder = _Decoder(_BITS, data, 0)
    decoder.decode()
    return bool(decoder.last_error == _NO_MORE_BYTES)


def _undefined_on(form: Form, cpu: Cpu) -> str | None:
    """Why a vendor's processors raise #UD for every encoding of a form that the decoder library accepts."""
    row = form.opcode
    if row.table == "0F" and row.op_code_len == 2 and row.main_byte in {0xA6, 0xA7}:
        return "VIA PadLock: undefined on Intel and AMD processors"
    if cpu is Cpu.AMD and row.name.startswith("RESERVEDNOP") and row.op_code == 0x0D:
        return "0F 0D with a register: undefined on AMD processors"  # measured on Zen 4
    if cpu is Cpu.AMD and row.mnemonic == "sysenter":
        return "SYSENTER: undefined in 64-bit mode on AMD processors"  # APM vol. 3, SYSENTER; measured on Zen 4
    return None


def _undecoded(window: bytes, error: int, cpu: Cpu) -> Decoded | NotAnInstruction | NotModelled:
    if error == _NO_MORE_BYTES:
        return NotAnInstruction("truncated") if _can_go_on(window) else UNDEFINED
    if len(window) == MAX_LENGTH and _needs_more(window[1:]):  # only prefixes make an instruction that long
        return NotAnInstruction("longer than 15 bytes")
    start = walker.first_opcode_byte(window)
    if 0xF0 in window[:start]:
        allowed = _without_lock(window, cpu)
        if allowed is not None:
            return allowed
    reason = _later_extension(window[start:]) or _ignored_bit(window, start, cpu)
    return UNDEFINED if reason is None else NotModelled(reason)


def _can_go_on(window: bytes) -> bool:
    """Whether some continuation of too few bytes is an instruction; not looked into behind VEX, EVEX, XOP and 0F 0F."""
    start = walker.first_opcode_byte(window)
    if start == len(window) or window[start] in _VEX_BYTES or window[start : start + 2] == b"\x0f\x0f":
        return True
    room = max(MAX_LENGTH - len(window) - 1, 0)
    return any(_code(window + bytes((value,)) + bytes(room), Cpu.INTEL) for value in range(256))


def _ignored_bit(window: bytes, start: int, cpu: Cpu) -> str | None:
    """Why bytes that the library refuses run on some processors, or None.

    Zen 4 was seen to ignore EVEX.b where a register operand has no rounding, and VEX.W of VPERMQ and VPERMPD with an
    immediate, which the SDM calls undefined.
    """
    if window[start] == 0x62 and len(window) > start + 5 and window[start + 3] & 0x10 and window[start + 5] >= 0xC0:
        plain = window[: start + 3] + bytes((window[start + 3] & ~0x10,)) + window[start + 4 :]
        return "EVEX.b without a use, which some processors ignore" if _code(plain, cpu) else None
    permutes = window[start] == 0xC4 and len(window) > start + 4 and window[start + 3] in {0, 1}
    if permutes and not window[start + 2] & 0x80:
        plain = window[: start + 2] + bytes((window[start + 2] | 0x80,)) + window[start + 3 :]
        return "VEX.W0, which some processors ignore" if _code(plain, cpu) else None
    return None


def _null_prefixes(data: bytes, values: bytes) -> bytes:
    """The bytes with some legacy prefixes made DS overrides, which have no effect on decoding in 64-bit mode."""
    start = walker.first_opcode_byte(data)
    return data[:start].translate(bytes.maketrans(values, b"\x3e" * len(values))) + data[start:]


def _code(data: bytes, cpu: Cpu) -> int:
    return int(_Decoder(_BITS, data, _AMD if cpu is Cpu.AMD else 0).decode().code)


def _without_lock(window: bytes, cpu: Cpu) -> Decoded | None:
    """The instruction that LOCK makes undefined, decoded without it."""
    bare = _null_prefixes(window, b"\xf0")
    instruction = _Decoder(_BITS, bare, _AMD if cpu is Cpu.AMD else 0).decode()
    if instruction.code == 0:
        return None
    found = decode(bare[: instruction.len], cpu)
    if not isinstance(found, Decoded):
        return None
    layout = walker.walk(window[: instruction.len], found.form.opcode.code)[0]
    return Decoded(found.form, window[: instruction.len], layout, cpu, LOCK_FAULT)


def _later_extension(opcode: bytes) -> str | None:
    """The name of an extension published after 2023 that defines these bytes, or None."""
    first = opcode[0]
    if first == 0xD5:
        return "REX2 prefix (APX)"
    if first == 0x62 and len(opcode) > 2:
        if opcode[1] & 7 == 4:
            return "EVEX map 4 (APX)"
        if opcode[1] & 8 or not opcode[2] & 4:
            return "EVEX with B4 or X4 (APX, AVX10.2)"
    if first == 0xC4 and len(opcode) > 1 and opcode[1] & 0x1F == 7:
        return "VEX map 7 (USER_MSR, MSR_IMM)"
    return _LATER_LEGACY.get(opcode[:3])


def text(decoded: Decoded) -> str:
    """The instruction in Intel syntax, as if at address 0."""
    bare, lock = decoded.data, ""
    if decoded.faults_ud == LOCK_FAULT:
        bare, lock = _null_prefixes(bare, b"\xf0"), "lock "
    if decoded.form.opcode.mnemonic == "xchg":
        bare = _null_prefixes(bare, b"\xf2\xf3")
    instruction = _Decoder(_BITS, bare, _AMD if decoded.cpu is Cpu.AMD else 0).decode()
    return lock + str(iced.Formatter(iced.FormatterSyntax.INTEL).format(instruction))
