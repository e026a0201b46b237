"""From bytes to a probe site: what the processor sees, what the scheme sees, and the class both belong to.

Two encodings with equal keys have equal obligations: what differs between them (register numbers, displacement,
immediates, length) is a variable of the obligation.  The plan is in the key by its canonical text, in which code and
fields of the original are what they are to the instruction.  An encoding for which they are nothing of the kind is a
class of its own, with every byte concrete.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple, cast

from verify.claim.copies import Relation, code_bytes, general_operands, is_plain_code, relation
from verify.claim.once import once
from verify.claim.plan_keys import place, plan_key
from verify.claim.sequences import Piece, bytes_of, key_of, piece_at, pieces_of, place_text
from verify.models.schemes.code import Code
from verify.models.schemes.program import Program
from verify.models.schemes.program_text import shape
from verify.models.schemes.program_text import text as program_text
from verify.models.schemes.scheme import Plan, Refuse, Scheme
from verify.models.x86.isa.decode import Decoded, NotAnInstruction, NotModelled, decode, readings
from verify.models.x86.isa.features import needed
from verify.models.x86.isa.fields import Fields, fields, operand_register
from verify.models.x86.isa.forms import Addressing, Cpu, Opcode
from verify.models.x86.mode import Mode, on_behalf
from verify.models.x86.semantics import umip
from verify.models.x86.semantics.signature import signature
from verify.models.x86.semantics.supervisor import gap
from verify.terms import Term

FILLER: Final = b"\x90"  # what follows the instruction in 16 copied bytes, where nothing else is known
X87: Final = range(0xD8, 0xE0)
CONCRETE_IMMEDIATES: Final = frozenset({"int"})  # the immediate decides what happens
# Mnemonics whose semantics read REX.W, REX.B or 66 besides the opcode, or what the kernel recognises.
PREFIX_SENSITIVE: Final = frozenset({"pause", "call", *umip.DUMMY})
# Mnemonics whose semantics read the vendor; tests/unit/claim/test_class_keys.py finds what is missing.
VENDOR_SENSITIVE: Final = frozenset({
    "andnpd", "andnps", "andpd", "andps", "cmpsb", "cmpsd", "cmpsq", "cmpsw", "cvtpi2ps", "ldmxcsr", "movapd", "movaps",
    "movdqa", "movntdq", "movntdqa", "movntpd", "movntps", "movsxd", "orpd", "orps", "pand", "pandn", "por",
    "pxor", "reservednop", "vldmxcsr", "vmovapd", "vmovaps", "vmovdqa", "vmovdqa32", "vmovdqa64", "vmovntdq",
    "vmovntdqa", "vmovntpd", "vmovntps", "xabort", "xend", "xorpd", "xorps", "xtest",
})  # fmt: skip
ADDRESS_SENSITIVE: Final = frozenset({"xlatb", "maskmovq", "maskmovdqu", "monitor", "umonitor", "clzero"})
SENSITIVE: Final = CONCRETE_IMMEDIATES | PREFIX_SENSITIVE | ADDRESS_SENSITIVE


@dataclass(frozen=True)
class Probe:
    """One encoding under one scheme and one vendor's decoder."""

    scheme: Scheme
    data: bytes  # 16 bytes or more: the encoding and what stands behind it
    decoded: Decoded | NotAnInstruction | NotModelled
    plan: Plan
    followed_by: bytes = b""  # what is known to stand behind the instruction; nothing: `FILLER`

    def code_bytes(self, code: Code) -> bytes:
        """The 16 bytes that the processor runs for code of the plan; of closed code all, words as zero."""
        return bytes_of(code, self.data) if code.closed else code_bytes(code, self.data)

    def read(self, code: Code) -> Decoded | NotAnInstruction | NotModelled:
        """What code of the plan is to the processor."""
        if code.closed:
            return decode(bytes_of(code, self.data)[:16].ljust(16, FILLER), cpu_of(self.decoded), self.scheme.mode)
        if is_plain_code(code):
            return self.decoded
        copy = self.code_bytes(code)
        return self.decoded if copy == self.data[:16] else decode(copy, cpu_of(self.decoded), self.scheme.mode)

    @once
    def codes(self) -> tuple[Code, ...]:
        """The code that the plan has the processor run, each once."""
        return () if isinstance(self.plan, Refuse) else shape(self.plan).codes

    def pieces(self, code: Code, apart: bool = False) -> tuple[Piece, ...] | None:
        """The instructions of closed code; None where they are not known one by one.

        `apart`: whatever they are to the original.
        """
        known = self.known_pieces
        if (code, apart) not in known:
            old = self.decoded if isinstance(self.decoded, Decoded) and not apart else None
            known[code, apart] = pieces_of(code, self.data, old, self._decoded)
        return known[code, apart]

    @once
    def known_pieces(self) -> dict[tuple[Code, bool], tuple[Piece, ...] | None]:
        """What `pieces` has found."""
        return {}

    def piece(self, code: Code, offset: int) -> Piece:
        """The instruction at an offset of closed code, whatever it is to the original.  ValueError: a word is no field.
        """
        found = piece_at(code, offset, bytes_of(code, self.data), self.data, None, self._decoded)
        if found is None:
            raise ValueError(f"a word of the code is no field of the instruction at {offset}: {code.text}")
        return found

    def _decoded(self, data: bytes) -> Decoded | NotAnInstruction | NotModelled:
        return decode(data, cpu_of(self.decoded), self.scheme.mode)

    @once
    def copied_first(self) -> int:
        """Bytes of the original, where every closed code begins with it and the plan sees its length; else 0.

        Only then is the length a variable; what stands behind it is placed by it.
        """
        if not isinstance(self.decoded, Decoded) or getattr(self.plan, "length", 0) != self.decoded.layout.length:
            return 0
        length = self.decoded.layout.length
        heads = [p[0] for c in self.codes if c.closed and (p := self.pieces(c)) is not None and self.plan_is_shared]
        first = bool(heads) and len(heads) == len(self.codes)
        whole = all(h.relation is not None and getattr(h.read, "layout", self.decoded.layout).length == length
                    for h in heads)  # fmt: skip
        return length if first and whole else 0

    @property
    def plan_is_shared(self) -> bool:
        """Whether the plan is that of other encodings too."""
        return not (isinstance(self.plan, Program) and self.plan.singular)

    def _closed_key(self, code: Code) -> tuple[object, ...] | None:
        """What of closed code obligations depend on, with the instruction's length, which is no variable then."""
        decoded = cast(Decoded, self.decoded)
        pieces = self.pieces(code)
        first = self.copied_first
        found = None if pieces is None else key_of(pieces, lambda at, size: place(decoded, at, size), first)
        located = tuple((place_text(a, first), place_text(b, first)) for a, b in code.locations)
        return None if found is None else (0 if first else decoded.layout.length, first > 0, located, found)

    def _relation(self, code: Code) -> Relation | None:
        return relation(cast(Decoded, self.decoded), code, self.data, lambda: self.read(code))

    @once
    def relations(self) -> tuple[Relation | tuple[object, ...], ...] | None:
        """How each code corresponds to the original; None where one of them does not."""
        found: list[Relation | tuple[object, ...]] = []
        for code in self.codes:
            if not isinstance(self.decoded, Decoded):
                return None
            one = self._closed_key(code) if code.closed else self._relation(code)
            if one is None:
                return None
            found.append(one)
        return tuple(found)

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The modes at lower CPL in which the plan has code run for the program, and the program's own."""
        own = self.scheme.mode
        levels = shape(self.plan).levels if isinstance(self.plan, Program) else frozenset[int]()
        return *(on_behalf(n, True) for n in sorted(levels) if n < own.cpl), own

    @property
    def is_lent(self) -> bool:
        """Whether the plan has code run for the program at another level."""
        return len(self.modes) > 1

    @property
    def is_concrete(self) -> bool:
        """Whether the class is the encoding alone."""
        return self.key[0] == "concrete"

    @once
    def key(self) -> tuple[object, ...]:
        """Equal keys: equal obligations."""
        plan = None
        alone = isinstance(self.plan, Program) and self.plan.singular
        if isinstance(self.decoded, Decoded) and not alone and self.relations is not None:
            plan = plan_key(self.plan, self.decoded)
        if plan is None:
            return "concrete", self.data[:16], cpu_of(self.decoded), _text_alone(self.plan)
        return _structure_key(self), plan, self.relations

    @once
    def shared_key(self) -> tuple[object, ...]:
        """Equal keys: equal obligations but for the names of datapaths; opcodes share it that `key` tells apart."""
        if self.key[0] == "concrete" or self.is_lent:
            return self.key
        form = cast(Decoded, self.decoded).form
        opcode, in_register = form.opcode, form.addressing is Addressing.REG
        structure = cast(tuple[object, ...], self.key[0])
        named = opcode.mnemonic if opcode.mnemonic in SENSITIVE or shows_modrm(opcode) else None
        seen = signature(opcode, in_register, bool(structure[BROADCAST]))
        return named, seen, bool(needed(opcode)), structure[1:], *self.key[1:]


def _text_alone(plan: Plan) -> str:
    """Of a plan that is not made of the encoding's bytes alone, its text."""
    return program_text(plan) if isinstance(plan, Program) and plan.singular else ""


def not_modelled(p: Probe) -> str | None:
    """Why nothing is said of the probe's instruction or of its copies, or None: no reading, none at that level."""
    apart = next((c.text for c in p.codes if c.closed and p.pieces(c, True) is None), None)
    if apart is not None:
        return f"a word that is no field of an instruction: {apart}"
    copies = tuple(map(p.read, p.codes)) if p.relations is None or not p.scheme.mode.is_user else ()
    unread = next((f"a copy: {c.reason}" for c in copies if isinstance(c, NotModelled)), None)
    if unread is None and not p.scheme.mode.is_user:
        copies = (p.decoded, *copies)
    elif unread is not None or not p.is_lent:
        return unread
    found = [gap(d.form.opcode, m) for d in copies or (p.decoded,) if isinstance(d, Decoded) for m in p.modes]
    return next(filter(None, found), None)


def cpu_of(decoded: Decoded | NotAnInstruction | NotModelled) -> Cpu:
    """The vendor by whose decoder something was decoded; AMD for what is no instruction."""
    return decoded.cpu if isinstance(decoded, Decoded) else Cpu.AMD


def padded(data: bytes) -> bytes:
    """At least 16 bytes: the encoding and what follows it."""
    return data if len(data) >= 16 else data + FILLER * (16 - len(data))


def probe(data: bytes, scheme: Scheme, cpu: Cpu, followed_by: bytes = b"") -> Probe:
    """The probe of an encoding with these bytes behind it, and `FILLER` behind them."""
    whole = padded(data + followed_by)
    return Probe(scheme, whole, decode(data, cpu, scheme.mode), scheme.plan(whole), followed_by)


def probes(data: bytes, scheme: Scheme, cpus: tuple[Cpu, ...], followed_by: bytes = b"") -> list[Probe]:
    """The probe of an encoding for each vendor; one alone where all read the bytes alike and run them alike."""
    whole = padded(data + followed_by)
    plan = scheme.plan(whole)
    first, *others = readings(data, cpus)
    if all(_alike(first, other) for other in others):
        others = []
    return [Probe(scheme, whole, d, plan, followed_by) for d in (first, *others)]


def _alike(first: object, second: object) -> bool:
    if not (isinstance(first, Decoded) and isinstance(second, Decoded)):
        return False
    same = first.form is second.form and first.layout == second.layout and first.faults_ud == second.faults_ud
    return same and not is_vendor_specific(first.form.opcode)


def probe_of(decoded: Decoded, scheme: Scheme, followed_by: bytes = b"", plan: Plan | None = None) -> Probe:
    """The probe of an encoding that is decoded already; `plan`: the scheme's, where it is known."""
    whole = padded(decoded.data + followed_by)
    return Probe(scheme, whole, decoded, plan or scheme.plan(whole), followed_by)


def operand_numbers(decoded: Decoded, parts: Fields) -> list[Term]:
    """The numbers of the general registers that operands name (address registers left out)."""
    opcode = decoded.form.opcode
    return [operand_register(opcode, i, parts)[1] for i in general_operands(opcode, decoded.form.addressing)]


@cache
def is_plain(opcode: Opcode) -> bool:
    """Whether prefixes matter to the opcode through its ModRM operand's address alone."""
    kinds = opcode.op_kinds
    special = opcode.is_string or opcode.is_stack or bool(opcode.implicit_memory) or opcode.is_save_restore
    odd = any(k.startswith(("br", "es_r", "mem_offs", "mem_vsib", "sibmem", "mem_mib")) for k in kinds)
    named = opcode.mnemonic in PREFIX_SENSITIVE or opcode.mnemonic in ADDRESS_SENSITIVE
    return opcode.flow_control == "NEXT" and not (special or odd or named) and not opcode.may_require_cpl0


BROADCAST: Final = 9  # where a structure key has EVEX.b


class _Traits(NamedTuple):
    """What a class key asks of an opcode."""

    is_plain: bool
    is_vendor_specific: bool
    has_byte_registers: bool
    shows_modrm: bool
    has_fixed_values: bool
    is_prefix_sensitive: bool


_TRAITS: dict[int, _Traits] = {}  # by the opcode's code


def _traits(opcode: Opcode) -> _Traits:
    found = _TRAITS.get(opcode.code)
    if found is None:
        fixed = opcode.mnemonic in CONCRETE_IMMEDIATES or opcode.mnemonic == "enter" or "seg_reg" in opcode.op_kinds
        found = _TRAITS[opcode.code] = _Traits(
            is_plain(opcode), is_vendor_specific(opcode), any(k.startswith("r8_") for k in opcode.op_kinds),
            shows_modrm(opcode), fixed, opcode.mnemonic in PREFIX_SENSITIVE,
        )  # fmt: skip
    return found


def read_of_opcode(opcode: Opcode) -> tuple[object, ...]:
    """What class keys read of an opcode, besides how it is encoded and which operands it has."""
    traits = _traits(opcode)
    named = traits.has_fixed_values or traits.is_prefix_sensitive or traits.shows_modrm
    return (*traits, opcode.code if named else None)


def has_fixed_values(opcode: Opcode) -> bool:
    """Whether the values of immediates, or which segment register is meant, are in its class keys."""
    return _traits(opcode).has_fixed_values


def _structure_key(p: Probe) -> tuple[object, ...]:
    """The concrete structure that semantics may look at, from the bytes as integers: this runs for every encoding."""
    d = cast(Decoded, p.decoded)
    layout, opcode, data = d.layout, d.form.opcode, d.data
    traits = _traits(opcode)
    modrm = data[layout.modrm_offset] if layout.modrm_offset is not None else None
    payload = data[layout.vex_offset + 3] if layout.vex_offset is not None and layout.vex == "evex" else 0
    return (
        opcode.code, d.form.addressing, d.cpu if traits.is_vendor_specific or d.faults_ud is not None else None,
        () if traits.is_plain else (layout.address_size, layout.segment, layout.rep, layout.lock), d.faults_ud,
        traits.has_byte_registers and layout.rex_offset is None, modrm if traits.shows_modrm else None,
        _fixed_values(d) if traits.has_fixed_values else (), _has_base(d, modrm) if opcode.is_vsib else None,
        payload & 0x10, _prefix_key(d) if traits.is_prefix_sensitive else None,
    )  # fmt: skip


def _fixed_values(d: Decoded) -> tuple[object, ...]:
    """Values that decide what happens: immediates of some instructions, which segment register is meant."""
    opcode = d.form.opcode
    fixed: tuple[object, ...] = fields(d).immediates if opcode.mnemonic in CONCRETE_IMMEDIATES else ()
    if opcode.mnemonic == "enter":
        fixed = (nesting_level(d),)
    return (*fixed, cast(int, fields(d).reg.value) & 7) if "seg_reg" in opcode.op_kinds else fixed


def nesting_level(d: Decoded) -> int:
    """Of ENTER: it decides how many accesses are made."""
    return cast(int, fields(d).immediates[1].value) & 31


def _prefix_key(d: Decoded) -> tuple[object, ...]:
    if d.form.opcode.mnemonic in umip.DUMMY:
        return (umip.is_recognised(d.layout, d.form.addressing in {Addressing.MEM, Addressing.RIP}),)
    parts = fields(d)
    if d.form.opcode.mnemonic == "call":
        return (parts.w.value,)
    return parts.w.value, parts.b.value, 0x66 in d.layout.prefixes


@cache
def shows_modrm(opcode: Opcode) -> bool:
    """Whether the opcode is an x87 one, of which FOP shows ModRM."""
    return opcode.table == "NORMAL" and (opcode.op_code if opcode.op_code_len == 1 else opcode.op_code >> 8) in X87


def _has_base(d: Decoded, modrm: int | None) -> bool:
    """Whether the ModRM operand has a base register."""
    sib = d.layout.sib_offset
    return sib is None or modrm is None or modrm >= 0x40 or d.data[sib] & 7 != 5


@cache
def is_vendor_specific(opcode: Opcode) -> bool:
    """Whether vendors may run the opcode differently: control transfer, what only one decodes, and named ones."""
    return opcode.flow_control != "NEXT" or opcode.is_intel != opcode.is_amd or opcode.mnemonic in VENDOR_SENSITIVE
