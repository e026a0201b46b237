"""Fields to bytes and back, and that representatives reach everything an implementation could tell apart."""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Any

import pytest
from sampling import sampled

from verify.models.x86.isa import encode
from verify.models.x86.isa.assemble import assemble, decoded_as, plain_parts
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.encode import (
    decoded_representatives,
    irregular_representatives,
    random_encoding,
    representatives,
    with_fields,
)
from verify.models.x86.isa.fields import fields, operand_register
from verify.models.x86.isa.forms import Addressing, Cpu, Form, all_forms, form


def decoded(data: bytes, cpu: Cpu = Cpu.INTEL) -> Decoded:
    found = decode(data, cpu)
    assert isinstance(found, Decoded)
    return found


@pytest.mark.parametrize("part", sampled(range(4), 1))
def test_random_encodings_of_every_form_are_that_form(part: int) -> None:
    rng = Random(f"every form {part}")
    for f in all_forms()[part::4]:
        for cpu in Cpu:
            if plain_parts(f, cpu) is not None:
                data = random_encoding(f, rng, cpu)
                assert decoded(data, cpu).form is f
                assert len(decoded(data, cpu).data) == len(data)


def test_a_form_that_a_vendor_lacks_has_no_encoding() -> None:
    f = form("JMP_REL16/none")
    assert list(representatives(f, Cpu.INTEL)) == []
    with pytest.raises(ValueError, match="no encoding on intel"):
        random_encoding(f, Random(0), Cpu.INTEL)
    assert list(representatives(f, Cpu.AMD))


def test_every_form_has_distinct_representatives_that_are_that_form() -> None:
    for f in all_forms()[::61]:
        for cpu in Cpu:
            found = [*representatives(f, cpu), *irregular_representatives(f, cpu)]
            assert len(set(representatives(f, cpu))) == len(list(representatives(f, cpu)))
            for data in found:
                assert decoded(data, cpu).form is f
                assert len(decoded(data, cpu).data) == len(data) <= 15


def made_one_by_one(f: Form, cpu: Cpu) -> list[Decoded]:
    """Representatives, then irregular ones, each assembled and taken apart for itself."""
    plain = plain_parts(f, cpu)
    assert plain is not None
    regular = dict.fromkeys(assemble(f, parts) for parts in encode._variants(f, plain))
    irregular = dict.fromkeys(data for data, _ in encode._irregular(f, plain))
    return [d for data in (*regular, *irregular) if (d := decoded_as(f, data, cpu)) is not None]


def test_forms_that_share_patterns_have_the_representatives_that_are_made_one_by_one() -> None:
    groups: dict[object, list[Form]] = defaultdict(list)
    for f in all_forms():
        if (plain := plain_parts(f, Cpu.AMD)) is not None:
            groups[encode._Alike(f, plain)].append(f)
    shared = [group for group in groups.values() if len(group) > 1]
    assert sum(len(group) for group in shared) > 8000
    for group in Random(3).sample(shared, 30):
        for f in (group[0], group[-1]):  # the first one's layouts serve the last
            found = [*decoded_representatives(f, Cpu.AMD), *encode.decoded_irregular(f, Cpu.AMD)]
            assert found == made_one_by_one(f, Cpu.AMD)


def seen(name: str) -> dict[str, set[object]]:
    """The values that fields take over the representatives of a form."""
    values: dict[str, set[object]] = defaultdict(set)
    for d in decoded_representatives(form(name), Cpu.INTEL):
        parts, layout = fields(d), d.layout
        if layout.modrm_offset is not None:
            values["mod"].add(d.data[layout.modrm_offset] >> 6)
        values["prefix"].update(layout.prefixes)
        values["rex"].add(layout.rex)
        values["sib"].add(layout.sib_offset is not None)
        values["faults"].add(d.faults_ud is not None)
        values["disp"].add(parts.disp.value)
        for i, kind in enumerate(d.form.opcode.op_kinds):
            if "imm" not in kind and not ("mem" in kind and d.form.addressing is not Addressing.REG):
                values[kind].add(operand_register(d.form.opcode, i, parts)[1].value)
        if parts.has_base:
            values["base"].add(parts.base.value)
        values["index"].add(parts.index.value if parts.has_index else None)
    return values


def test_representatives_of_a_register_form() -> None:
    values = seen("ADD_RM64_R64/reg")
    assert values["r64_reg"] & values["r64_or_mem"] >= {4, 5, 8, 12, 13, 15}
    assert values["prefix"] == set(b"\x66\x67\x64\x65\xf2\xf3\x26\x2e\x36\x3e\xf0")
    assert values["rex"] == set(range(0x48, 0x50))
    assert values["faults"] == {True, False}  # LOCK


def test_representatives_of_a_memory_form() -> None:
    values = seen("ADD_RM32_R32/mem")
    assert values["base"] >= {0, 4, 5, 8, 12, 13, 15}
    assert values["mod"] == {0, 1, 2}
    assert values["sib"] == {True, False}
    assert values["rex"] >= {0, *range(0x40, 0x48)}
    assert {None, 0, 5, 8, 12} <= values["index"]
    assert {0, 1} < values["disp"]
    assert values["faults"] == {False, True} or values["faults"] == {False}


def test_representatives_of_a_rip_relative_form_take_every_register_and_pair() -> None:
    values = seen("VEX_VFMADD231PS_XMM_XMM_XMMM128/rip")
    assert values["xmm_reg"] == values["xmm_vvvv"] == set(range(16))
    pairs = {
        (fields(d).reg.value, fields(d).vvvv.value)
        for d in decoded_representatives(form("VEX_BZHI_R64_RM64_R64/rip"), Cpu.INTEL)
    }
    assert {(r, v) for r in (0, 1, 2, 3, 6, 7) for v in (0, 1, 2, 3, 6, 7)} <= pairs


def test_representatives_reach_the_opcode_register_and_ignored_mod() -> None:
    assert seen("PUSH_R64/none")["r64_opcode"] == set(range(16))
    assert seen("MOV_CR_R64/reg")["mod"] == {0, 1, 2, 3}


def test_irregular_representatives_repeat_and_misplace_rex_and_crowd_prefixes() -> None:
    found = [decoded(data) for data in irregular_representatives(form("ADD_RM32_R32/rip"))]
    repeated = [d for d in found if d.layout.rex_offset and d.data[d.layout.rex_offset - 1] & 0xF0 == 0x40]
    assert {d.data[d.layout.opcode_offset - 2] for d in repeated} == {0x40, 0x4F}
    misplaced = [d for d in found if d.layout.ignored_rex and not d.layout.rex]
    assert {d.data[1] for d in misplaced if d.data[0] == 0x40} >= {0x64, 0x3E}
    assert any(len(set(d.layout.prefixes)) > 4 for d in found)
    assert any(d.layout.length == 15 for d in found)


def changes(d: Decoded) -> dict[str, Any]:
    """Fields that can be written back in an encoding, with their values."""
    parts, layout = fields(d), d.layout
    found = {}
    if layout.modrm_offset is not None and d.form.opcode.op_code_len == 1:
        found["reg"] = parts.reg.value
        if d.form.addressing is Addressing.REG:
            found["rm"] = parts.rm_reg.value
    if parts.has_base:
        found["base"] = parts.base.value
    if parts.has_index:
        found["index"] = parts.index.value
    if layout.vex is not None:
        found["vvvv"] = parts.vvvv.value
    if layout.disp_offset is not None:
        found["disp"] = parts.disp.value
    return {k: v for k, v in found.items() if v is not None}


def test_writing_back_what_is_there_changes_nothing() -> None:
    rng = Random("identity")
    for f in all_forms()[::5]:
        if plain_parts(f, Cpu.INTEL) is None:
            continue
        d = decoded(random_encoding(f, rng))
        immediates = tuple(i.value or 0 for i in fields(d).immediates)
        assert with_fields(d, **changes(d), immediates=immediates) == d.data


def other_encoding(f: Form, rng: Random, like: Decoded) -> Decoded | None:
    for _ in range(50):
        d = decoded(random_encoding(f, rng))
        if d.layout._replace(rex=0) == like.layout._replace(rex=0) and set(changes(d)) == set(changes(like)):
            return d
    return None


def test_writing_another_encodings_fields_gives_its_register_numbers() -> None:
    rng = Random("transfer")
    names = ["ADD_RM64_R64/reg", "ADD_RM32_R32/mem", "ADD_RM32_R32/rip", "VEX_VADDPS_YMM_YMM_YMMM256/reg",
             "EVEX_VADDPS_ZMM_K1Z_ZMM_ZMMM512B32_ER/mem", "EVEX_VPGATHERDD_ZMM_K1_VM32Z/mem"]  # fmt: skip
    transferred = 0
    for f in [form(n) for n in names for _ in range(10)]:
        d = decoded(random_encoding(f, rng))
        target = other_encoding(f, rng, d)
        if target is None:
            continue
        wanted = changes(target)
        try:
            patched = decoded(with_fields(d, **wanted))
        except ValueError:
            continue  # a REX or VEX bit that this encoding has no room for
        assert changes(patched) == wanted
        transferred += 1
    assert transferred > 15


@pytest.mark.parametrize(
    ("data", "change", "expected"),
    [
        ("4801d8", {"reg": 9}, "4c01c8"),  # R
        ("4801d8", {"rm": 12}, "4901dc"),  # B
        ("48018c9800100000", {"base": 13, "index": 9}, "4b018c8d00100000"),  # X and B
        ("4150", {"opcode_reg": 3}, "4053"),
        ("488b0511223344", {"disp": 0x7FFFFFFF}, "488b05ffffff7f"),
        ("488b0511223344", {"disp": (1 << 64) - 2}, "488b05feffffff"),
        ("c5e858c1", {"vvvv": 9}, "c5b058c1"),
        ("c4e16858c1", {"rm": 9, "reg": 8}, "c4416858c1"),
        ("62f17c48584301", {"disp": (1 << 64) - 128, "vvvv": 31, "reg": 17}, "62e10440584bfe"),
        ("62f17c4858c1", {"rm": 29}, "62917c4858c5"),  # X is the top bit of a vector in rm
        ("62f27d4990046b", {"index": 21}, "62f27d4190046b"),
    ],
)
def test_a_changed_field_changes_its_bits(data: str, change: dict[str, Any], expected: str) -> None:
    assert with_fields(decoded(bytes.fromhex(data)), **change).hex() == expected


@pytest.mark.parametrize(
    ("data", "change"),
    [
        ("01c8", {"reg": 8}),  # no REX byte
        ("018800100000", {"base": 4}),  # rm=4 asks for SIB
        ("62f17c48584301", {"disp": 65}),  # no multiple of 64
        ("62f17c48584301", {"disp": 64 * 200}),
        ("01c8", {"disp": 1}),
        ("01c8", {"vvvv": 1}),
        ("c5e858c1", {"rm": 9}),  # the two-byte VEX prefix has no B
    ],
)
def test_what_does_not_fit_is_a_value_error(data: str, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        with_fields(decoded(bytes.fromhex(data)), **change)
