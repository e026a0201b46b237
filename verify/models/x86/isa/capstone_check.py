"""Capstone's view of the same bytes: length and mnemonic only, its operand and register sets are not to be trusted.

A difference is known where a row of the table explains it; any other is an open disagreement, and nothing may be
claimed of that encoding.  Measured against Capstone 5.0.9.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Final, NamedTuple

import capstone

from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.encode import random_encoding
from verify.models.x86.isa.fields import fields
from verify.models.x86.isa.forms import Form, all_forms
from verify.models.x86.isa.rows import Cpu, Opcode
from verify.models.x86.mode import USER_64


@dataclass(frozen=True, slots=True)
class DecoderDifference:
    """One encoding on which Capstone differs."""

    kind: str  # "refused", "length", "name"
    theirs: str  # what Capstone says
    why: str | None  # the known reason; None: an open disagreement


class Quirk(NamedTuple):
    """One known difference: `applies(decoded, their mnemonic)`."""

    kind: str
    applies: Callable[[Decoded, str], bool]
    why: str


_PREFIX_WORDS: Final = frozenset(
    ["rep", "repe", "repz", "repne", "repnz", "lock", "bnd", "xacquire", "xrelease", "notrack", "data16", "addr32"]
)  # fmt: skip
# Extensions that Capstone 5 has not; its x86 tables are those of LLVM 5.
_LATER: Final = frozenset(
    ["RDPRU", "PADLOCK_PMM", "PADLOCK_PHE", "PADLOCK_RNG", "PADLOCK_ACE", "PADLOCK_GMI", "PADLOCK_UNDOC", "AVX512_BF16",
     "AVX512_VP2INTERSECT", "ENQCMD", "SEV_SNP", "SERIALIZE", "TSXLDTRK", "INVLPGB", "AMX_TILE", "AMX_BF16", "AMX_INT8",
     "AMX_FP16", "AMX_COMPLEX", "TDX", "AESKLE", "KL", "UINTR", "HRESET", "AVX_VNNI", "LKGS", "AVX512_FP16", "WRMSRNS",
     "MSRLIST", "RMPQUERY", "RAO_INT", "AVX_VNNI_INT8", "AVX_VNNI_INT16", "AVX_NE_CONVERT", "AVX_IFMA", "CMPCCXADD",
     "TSE", "SHA512", "SM3", "SM4"]
)  # fmt: skip
_NAMES: Final = {  # ours -> theirs
    "mov": "movabs", "retf": "retfq", "fneni": "feni8087_nop", "fndisi": "fdisi8087_nop", "fnsetpm": "fsetpm",
    "fucomip": "fucompi", "fcomip": "fcompi", "call": "lcall", "jmp": "ljmp", "getsecq": "getsec",
    "pcmpestrm64": "pcmpestrm", "pcmpestri64": "pcmpestri", "prefetchit0": "nop", "prefetchit1": "nop",
}  # fmt: skip
_OVERRIDDEN: Final = frozenset(
    [("insd", "insw"), ("outsd", "outsw"), ("pushfq", "pushf"), ("popfq", "popf")]
)  # fmt: skip
_SMALL_ADDRESS: Final = frozenset([("mfence", "tpause"), ("clflush", "clflushopt")])
_LATER_NAMES: Final = {  # a mandatory prefix that Capstone ignores makes it the older neighbour
    "mcommit": "monitorx", "vmgexit": "vmmcall", "seamcall": "encls", "clui": "rdpkru", "stui": "wrpkru",
    "eretu": "clac", "erets": "clac", "senduipi": "rdrand", "enqcmd": "movdir64b", "enqcmds": "movdir64b",
}  # fmt: skip
_PREFIXES: Final = bytes([0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3, *range(0x40, 0x50)])
_PREDICATE: Final = re.compile(r"(v?cmp|vpcmp|vpcom)(?P<type>u?[bwdq]|[ps][sd])")


def _opcode(d: Decoded) -> Opcode:
    return d.form.opcode


def _w(d: Decoded) -> int:
    value = fields(d).w.value
    return 0 if value is None else value


def _is_predicate_alias(d: Decoded, theirs: str) -> bool:
    """cmpltps for cmpps with immediate 1, and the like."""
    ours = _PREDICATE.fullmatch(_opcode(d).mnemonic)
    return ours is not None and theirs.startswith(ours[1]) and theirs.endswith(ours["type"])


def _has_prefixes(d: Decoded, *values: int) -> bool:
    return any(v in d.layout.prefixes for v in values)


def _extension_bits_on_masks(d: Decoded, _theirs: str) -> bool:
    kinds = _opcode(d).op_kinds
    return d.layout.vex is not None and any(k in {"k_rm", "k_reg", "k_or_mem", "kp1_reg", "k_vvvv"} for k in kinds)


def _losing_prefix(d: Decoded, theirs: str) -> bool:
    """F2 or F3 selects the opcode whatever 66 stands beside it, and the last of them wins; Capstone takes an earlier
    F2 or F3, or a 66 that stands nearer, and agrees where the prefixes that lose are left out (measured on Zen 3:
    f3660f1603 and 66f30f1603 are MOVSHDUP, f366f2660f1203 is MOVDDUP).
    """
    wins = {"F2": 0xF2, "F3": 0xF3}.get(_opcode(d).mandatory_prefix)
    if wins is None or d.layout.vex is not None:
        return False
    rest = d.data.lstrip(_PREFIXES)
    kept = d.data[: len(d.data) - len(rest)].translate(None, bytes({0x66, 0xF2, 0xF3} - {wins}))
    said = next(_said(kept + rest), None) if len(kept) + len(rest) < len(d.data) else None
    return said is not None and (said[1] == _opcode(d).mnemonic or _is_predicate_alias(d, said[1]))


KNOWN: Final = (
    Quirk("refused", lambda d, _: bool(_LATER.intersection(_opcode(d).cpuid)), "an extension that Capstone 5 has not"),
    Quirk("refused", lambda d, _: _opcode(d).is_reserved_nop, "reserved NOPs beside the documented ones"),
    Quirk("refused", lambda d, _: _opcode(d).name.startswith("PREFETCHRESERVED"), "0F 0D /3 to /7, NOPs by APM vol. 3"),
    Quirk("refused", lambda d, _: _opcode(d).name[:7] in {"LFENCE_", "MFENCE_", "SFENCE_"},
          "fences with rm other than 0"),
    Quirk("refused", lambda d, _: _opcode(d).name[-5:-2] in {"_DC", "_DD", "_DE", "_DF"}, "undocumented x87 aliases"),
    Quirk("refused", lambda d, _: _opcode(d).name.endswith("REL16") and _has_prefixes(d, 0x66),
          "66 with rel16, as on AMD"),
    Quirk("refused", lambda d, _: _w(d) == 1 and _opcode(d).mnemonic.startswith(("vpinsr", "vpextr", "vpcmpestr")),
          "VEX.W1 of an instruction whose W is ignored or widens"),
    Quirk("refused", lambda d, _: _opcode(d).is_wig and _w(d) == 1, "VEX.W1 or EVEX.W1 where W is ignored"),
    Quirk("refused", lambda d, _: _opcode(d).is_lig and d.layout.vex is not None, "vector length where it is ignored"),
    Quirk("refused", lambda d, _: _opcode(d).mnemonic in {"vcvtdq2pd", "vcvtudq2pd", "vcvtusi2sd", "vcvtsi2sd"},
          "EVEX.b with a register in exact conversions"),
    Quirk("refused", lambda d, _: _has_prefixes(d, 0x66) and _has_prefixes(d, 0xF2, 0xF3), "66 beside F2 or F3"),
    Quirk("refused", lambda d, _: _opcode(d).mnemonic in {"bsf", "bsr"} and _has_prefixes(d, 0xF2), "redundant F2"),
    Quirk("refused", lambda d, _: _opcode(d).mnemonic == "movsxd" and _has_prefixes(d, 0x67), "redundant 67"),
    Quirk("refused", lambda d, _: _opcode(d).mnemonic == "ret" and _has_prefixes(d, 0x66) and d.layout.rex & 8 != 0,
          "66 beside REX.W"),
    Quirk("refused", _extension_bits_on_masks, "VEX.R, X or B beside a mask register, ignored by processors"),
    Quirk("length", lambda d, _: _opcode(d).mnemonic in {"ud0", "ud1"}, "UD0 and UD1 without ModRM"),
    Quirk("length", lambda d, _: d.cpu is Cpu.INTEL and _opcode(d).mnemonic in {"jo", "jno"} and _has_prefixes(d, 0x66),
          "66 0F 80 and 81 read as AMD's processors do"),
    Quirk("name", lambda d, theirs: _has_prefixes(d, 0x66) and d.layout.rex & 8 != 0
          and (_opcode(d).mnemonic, theirs) in _OVERRIDDEN, "66 where REX.W overrides it"),
    Quirk("name", lambda d, theirs: _opcode(d).mnemonic == "pause" and theirs == "xchg", "PAUSE with a REX prefix"),
    Quirk("name", lambda d, theirs: _opcode(d).mnemonic == "jecxz" and theirs == "jrcxz", "67 with other prefixes"),
    Quirk("name", lambda d, theirs: _has_prefixes(d, 0x67) and (_opcode(d).mnemonic, theirs) in _SMALL_ADDRESS,
          "67 with REX.W"),
    Quirk("name", lambda d, theirs: _NAMES.get(_opcode(d).mnemonic) == theirs, "another name for the same"),
    Quirk("name", _is_predicate_alias, "the predicate's alias"),
    Quirk("name", _losing_prefix, "F2 or F3 beside a prefix that loses"),
    Quirk("refused", lambda d, _: _opcode(d).amd_lock_register_bit and d.layout.lock, "LOCK that selects CR8 on AMD"),
    Quirk("name", lambda d, theirs: _opcode(d).is_reserved_nop and theirs.startswith(("nop", "cldemote", "bnd")),
          "reserved NOP; MPX where processors have none, CLDEMOTE with a prefix"),
    Quirk("name", lambda d, theirs: _LATER_NAMES.get(_opcode(d).mnemonic) == theirs,
          "an extension that Capstone 5 has not"),
)  # fmt: skip


@cache
def _engine() -> Any:
    return capstone.Cs(capstone.CS_ARCH_X86, getattr(capstone, f"CS_MODE_{USER_64.bits}"))


def _said(data: bytes) -> Iterator[tuple[int, str]]:
    """Length in bytes and mnemonic by Capstone; nothing where it sees no instruction."""
    for _, size, mnemonic, _ in _engine().disasm_lite(data, 0, 1):
        words = [w for w in mnemonic.split() if w not in _PREFIX_WORDS] if " " in mnemonic else ()
        yield size, words[0] if words else mnemonic


def difference(data: bytes, decoded: Decoded) -> DecoderDifference | None:
    """How Capstone differs on the bytes of an instruction, or None where length and mnemonic agree."""
    return _difference(next(_said(data), None), decoded)


def _difference(said: tuple[int, str] | None, decoded: Decoded) -> DecoderDifference | None:
    if said is None:  # where the processor raises #UD it runs none either
        return None if decoded.faults_ud is not None else _explained("refused", decoded, "no instruction", "")
    size, theirs = said
    if size != len(decoded.data):
        return _explained("length", decoded, f"{size} bytes, {theirs}", theirs)
    return None if theirs == decoded.form.opcode.mnemonic else _explained("name", decoded, theirs, theirs)


def _explained(kind: str, decoded: Decoded, said: str, theirs: str) -> DecoderDifference:
    why = next((k.why for k in KNOWN if k.kind == kind and k.applies(decoded, theirs)), None)
    return DecoderDifference(kind, said, why)


def disagreement(data: bytes, decoded: Decoded) -> str | None:
    """What Capstone says otherwise where no known difference explains it; None: it agrees, or the reason is known."""
    found = difference(data, decoded)
    if found is None or found.why is not None:
        return None
    return f"{data.hex()}: {decoded.form.opcode.mnemonic}, {len(decoded.data)} bytes; Capstone: {found.theirs}"


def is_disputed(data: bytes, mnemonic: str, decoded: Callable[[], Decoded]) -> bool:
    """Whether there is a `disagreement` on data, which are one instruction; it is taken apart where that is needed."""
    said = next(_said(data), None)
    if said == (len(data), mnemonic):
        return False
    found = _difference(said, decoded())
    return found is not None and found.why is None


def sampled_differences(seed: int, samples: int) -> Iterator[tuple[Form, bytes, DecoderDifference]]:
    """Every difference on `samples` random encodings of each form, the known ones with their reasons."""
    for form in all_forms():
        rng = Random(f"{seed} {form.name}")
        for _ in range(samples):
            try:
                data, cpu = random_encoding(form, rng, Cpu.INTEL), Cpu.INTEL
            except ValueError:
                data, cpu = random_encoding(form, rng, Cpu.AMD), Cpu.AMD
            decoded = decode(data, cpu)
            if isinstance(decoded, Decoded) and (found := difference(data, decoded)):
                yield form, data, found
