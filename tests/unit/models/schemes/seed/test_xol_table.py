"""The table of `xol-step` against the ISA model, with which it shares nothing: length, ModRM, REX, rip, immediates."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sampling import sampled

from verify.models.schemes.seed import xol_table
from verify.models.schemes.seed.xol_table import read
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.encode import decoded_irregular, decoded_representatives
from verify.models.x86.isa.forms import Addressing, Cpu, Form, all_forms
from verify.models.x86.isa.forms import form as form_of

PARTS = 300


def encodings(form: Form) -> Iterator[Decoded]:
    for cpu in (Cpu.INTEL, Cpu.AMD):
        yield from decoded_representatives(form, cpu)
        yield from decoded_irregular(form, cpu)


def differs(d: Decoded) -> bool:
    """Whether the table reads the encoding otherwise.

    A near branch with prefix 66 has a length by vendor, which the scheme leaves to the processor: it refuses them.
    """
    found, own = read(d.data.ljust(16, b"\x90")), d.layout
    if 0x66 in own.prefixes and d.form.name.endswith(("REL16/none", "REL32_64/none")):
        return False
    if found is None:
        return True
    same = found.length == own.length and found.is_relative == (d.form.addressing is Addressing.RIP)
    places = [(own.modrm_offset, found.modrm_at), (own.rex_offset, found.rex_at)]
    if own.immediates:
        places.append((own.immediates[0][0], found.immediate_at))
        same &= own.immediates[0][1] == found.immediate_size
    return not same or any((-1 if mine is None else mine) != theirs for mine, theirs in places)


def difference(form: Form) -> str | None:
    """The first encoding of the form that the table reads otherwise, in hex."""
    return next((d.data.hex() for d in encodings(form) if differs(d)), None)


@pytest.mark.parametrize("part", sampled(range(PARTS), 2))
def test_every_representative_is_read_as_the_isa_model_does(part: int) -> None:
    forms = tuple(all_forms())[part::PARTS]
    assert len(forms) > 30
    assert [(f.name, found) for f in forms if (found := difference(f)) is not None] == []


@pytest.mark.parametrize(("where", "part", "without", "name"), [
    ("ONE_BYTE", "word", 0xC8, "ENTERQ_IMM16_IMM8/none"), ("ONE_BYTE", "modrm", 0x63, "MOVSXD_R64_RM32/rip"),
    ("ONE_BYTE", "full", 0x69, "IMUL_R32_RM32_IMM32/mem"), ("TWO_BYTE", "byte", 0xA4, "SHLD_RM32_R32_IMM8/mem"),
    ("TWO_BYTE", "double", 0x84, "JE_REL32_64/none"), ("TWO_BYTE", "modrm", 0xAF, "IMUL_R32_RM32/reg"),
])  # fmt: skip
def test_a_row_that_is_missing_is_found(
    where: str, part: str, without: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert difference(form_of(name)) is None
    table = getattr(xol_table, where)
    changed = table._replace(**{part: getattr(table, part) - {without}})
    monkeypatch.setattr(xol_table, where, changed)
    monkeypatch.setattr(xol_table, "LEGACY_MAPS", {**xol_table.LEGACY_MAPS, "0f": changed})
    assert difference(form_of(name)) is not None


@pytest.mark.parametrize(("data", "length"), [  # SDM vol. 2, 2.1 and 2.3.11
    ("90", 1), ("48b81122334455667788", 10), ("66b81122", 4), ("67a111223344", 6), ("a11122334455667788", 9),
    ("c8112233", 4), ("660f78c01122", 6), ("f20f78c11122", 6), ("0f78c1", 3), ("f6c011", 3), ("f6d0", 2), ("0f20c0", 3),
    ("0f2004", 3), ("0f0fc1bf", 4), ("8fe878c2c100", 6), ("8fea78120311223344", 9), ("62f17c4858c1", 6),
])  # fmt: skip
def test_lengths(data: str, length: int) -> None:
    found = read(bytes.fromhex(data).ljust(16, b"\x00"))
    assert found is not None and found.length == length


@pytest.mark.parametrize("data", ["06", "d5009c", "62f47c0801c0", "9a", "c4e47858c0", "66" * 15])
def test_what_the_table_has_not(data: str) -> None:
    assert read(bytes.fromhex(data).ljust(16, b"\x00")) is None


def test_it_imports_nothing_of_the_isa_model() -> None:
    with open(xol_table.__file__) as source:
        imports = [line for line in source if line.startswith(("import ", "from "))]
    assert imports and not any("verify" in line for line in imports)
