"""The values of a class's variables from the bytes as integers are those of the fields as terms."""

from __future__ import annotations

from random import Random

from verify.models.x86.free_fields import FREE, values_of
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.encode import random_encoding
from verify.models.x86.isa.fields import fields
from verify.models.x86.isa.forms import Cpu, all_forms

FORMS = 1500


def decodings() -> list[Decoded]:
    rng = Random(5)
    found = []
    for form in rng.sample(all_forms(), FORMS):
        try:
            found.append(decode(random_encoding(form, rng, Cpu.INTEL), Cpu.INTEL))
        except ValueError:  # an encoding of another vendor's
            continue
    return [d for d in found if isinstance(d, Decoded)]


def by_terms(d: Decoded, name: str) -> int | None:
    """The value that the field of that name has as a term; 0 where the class has it and the encoding has not."""
    exact = fields(d)
    is_absent = (name == "base" and not exact.has_base) or (name in {"index", "scale"} and d.layout.sib_offset is None)
    if name.startswith("imm"):
        return exact.immediates[int(name[3:])].value
    value = 0 if is_absent else getattr(exact, name).value
    return value & 0xFFFFFFFF if name == "disp" and d.layout.modrm_offset is not None else value


def test_values_from_bytes_are_those_of_the_terms() -> None:
    found = decodings()
    wrong = [(d.data.hex(), n) for d in found for n, v in values_of(d).items() if by_terms(d, n) != v]
    assert wrong == []
    names = {n for d in found for n in values_of(d)}
    assert names >= {*FREE, "imm0"}


def test_an_encoding_has_a_value_for_each_of_its_immediates() -> None:
    assert all(sum(n.startswith("imm") for n in values_of(d)) == len(d.layout.immediates) for d in decodings())
