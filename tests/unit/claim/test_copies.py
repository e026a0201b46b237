"""The short ways of judging a slot's copy agree with taking the copy apart and with the fields as terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from random import Random

import pytest

from verify.claim import copies
from verify.claim.conditions import verification_condition
from verify.claim.probes import Probe, probe, probe_of
from verify.judge.encoding import Judge
from verify.models.schemes.code import ORIGINAL, Byte, Code, Word
from verify.models.schemes.program import Program, Run
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.encode import decoded_representatives
from verify.models.x86.isa.fields import fields, operand_register
from verify.models.x86.isa.forms import Addressing, Cpu, all_forms
from verify.terms import Term, const

FORMS, EACH = 60, 40  # rip-relative forms, and encodings of each


def probes(scheme: str = "linux-uprobes-6.18") -> Iterator[Probe]:
    """Stepped rip-relative encodings; forms with general registers as operands come first."""
    found = [f for f in all_forms() if f.addressing is Addressing.RIP]
    registers = [f for f in found if copies.general_operands(f.opcode, Addressing.RIP)]
    rng = Random(5)
    for f in rng.sample(registers, FORMS // 2) + rng.sample(found, FORMS // 2):
        for d in islice(decoded_representatives(f, Cpu.AMD), EACH):
            p = probe_of(d, SCHEMES[scheme])
            if isinstance(p.plan, Program) and any(isinstance(a, Run) for a in p.plan.actions):
                yield p


def numbers_by_terms(d: Decoded) -> list[int | None]:
    found: list[Term] = [
        operand_register(d.form.opcode, i, fields(d))[1] for i in copies.general_operands(d.form.opcode, Addressing.RIP)
    ]
    return [None if t.value is None else t.value & 15 for t in found]


def test_register_numbers_from_bytes_are_those_of_the_fields() -> None:
    seen = [(p.decoded, numbers_by_terms(p.decoded)) for p in probes() if isinstance(p.decoded, Decoded)]
    assert len({n for _, numbers in seen for n in numbers}) == 16
    assert [d.data.hex() for d, numbers in seen if [n & 15 for n in copies._numbers(d)] != numbers] == []


def test_the_library_alone_says_what_taking_the_copy_apart_says(monkeypatch: pytest.MonkeyPatch) -> None:
    short = [(p, p.relations) for p in probes()]
    monkeypatch.setattr(copies, "_is_plainly_based", lambda old, copy: False)
    assert {6, 7, 3} <= {r[0].base for _, r in short if r}
    assert [p.data.hex() for p, r in short if replace(p).relations != r] == []


def test_a_copy_is_the_code_byte_by_byte() -> None:
    for p in islice(probes(), 400):
        (code,) = p.codes
        made = [
            (p.data[b.source] & b.keep if b.source is not None else 0) | b.bits
            for b in code.pieces if isinstance(b, Byte)
        ]  # fmt: skip
        assert p.code_bytes(code) == bytes(made)
        assert copies.is_plain_code(code) == (bytes(made) == p.data[:16])


@pytest.mark.parametrize(("text", "fixed"), [
    ("e811223344", ((0, 0),)),          # the kernel zeroes the displacement of a call that it may have to step
    ("48e811223344", ((0, 0),)),
    ("50", ()),
])  # fmt: skip
def test_immediates_that_code_replaces_are_constants_of_it(text: str, fixed: tuple[tuple[int, int], ...]) -> None:
    p = probe(bytes.fromhex(text), SCHEMES["linux-uprobes-6.18"], Cpu.AMD)
    assert p.relations == (copies.Relation(fixed=fixed),)
    condition = verification_condition(p).setup
    (code,) = p.codes
    found = [t.value for t in condition.instruction(code).fields.immediates]
    assert found == [value for _, value in fixed] and condition.original.fields.immediates is not None


def test_a_constant_in_part_of_an_immediate_is_a_class_of_its_own() -> None:
    decoded = decode(bytes.fromhex("e811223344"), Cpu.AMD)
    assert isinstance(decoded, Decoded)
    half = Code((*map(Byte, range(3)), Byte(None), Byte(None), *map(Byte, range(5, 16))))
    assert copies.relation(decoded, half, bytes.fromhex("e811223344").ljust(16, b"\x90"), lambda: decoded) is None
    assert copies.relation(decoded, ORIGINAL, bytes(16), lambda: decoded) is copies.SAME


def test_code_that_holds_addresses_is_no_plain_copy() -> None:
    assert not copies.is_plain_code(Code((Word(const(0, 64), 4),)))
    assert copies.is_plain_code(ORIGINAL)


def test_the_layout_of_a_based_copy_is_the_originals() -> None:
    for p in islice(probes(), 400):
        copy = decode(p.code_bytes(p.codes[0]), Cpu.AMD)
        based = p.relations and p.relations[0].base is not None
        if based and isinstance(copy, Decoded) and isinstance(p.decoded, Decoded):
            assert copy.layout._replace(rex=0) == p.decoded.layout._replace(rex=0)


def shortened() -> list[Probe]:
    """Encodings of which the copy has no displacement."""
    return [p for p in probes("linux-uprobes-3.15") if p.relations and p.relations[0].removed]


def test_a_shortened_copy_is_the_original_but_for_base_and_displacement() -> None:
    found = shortened()
    assert {0, 1} <= {p.relations[0].base for p in found if p.relations} and len(found) > 200
    for p in found:
        old, new = p.decoded, decode(p.code_bytes(p.codes[0]), Cpu.AMD)
        assert isinstance(old, Decoded) and isinstance(new, Decoded) and p.relations
        there, here = fields(new), fields(old)
        assert (new.form.opcode, new.form.addressing) == (old.form.opcode, Addressing.MEM)
        assert (there.base.value, there.disp.value, there.has_index) == (p.relations[0].base, 0, False)
        assert new.layout.length == old.layout.length - 4 and new.layout.prefixes == old.layout.prefixes
        same = ("reg", "immediates", "r", "w", "ll", "aaa", "z", "broadcast") + ("vvvv",) * (old.layout.vex is not None)
        assert [n for n in same if getattr(there, n) != getattr(here, n)] == []
        assert p.relations[0].base not in numbers_by_terms(old)


@pytest.mark.parametrize(
    "text", ["8b0511223344", "48034d11223344", "c70511223344aabbccdd", "0fb60d11223344", "f72d11223344"]
)
def test_a_class_of_shortened_copies_judges_as_its_bytes_do(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scheme, data = SCHEMES["linux-uprobes-3.15"], bytes.fromhex(text)
    by_class = Judge(scheme).judgement(data, Cpu.AMD)
    monkeypatch.setattr(copies, "_shortened", lambda old, copy, taken_apart: None)
    by_bytes = Judge(scheme).judgement(data, Cpu.AMD)
    assert by_bytes.probe.is_concrete == (by_bytes.probe.decoded.form.addressing is Addressing.RIP)  # type: ignore[union-attr]
    assert (by_class.verdict, by_class.observables) == (by_bytes.verdict, by_bytes.observables)


def test_a_copy_that_leaves_an_immediate_where_it_was_is_a_class_of_its_own() -> None:
    data = bytes.fromhex("c70511223344aabbccdd").ljust(16, b"\x90")
    decoded = decode(data, Cpu.AMD)
    assert isinstance(decoded, Decoded)
    moved = Code((Byte(0), Byte(1, keep=0x38, bits=1), *(Byte(i + 4) for i in range(2, 12)), *map(Byte, range(12, 16))))
    stays = Code((Byte(0), Byte(1, keep=0x38, bits=1), *map(Byte, range(2, 16))))
    found = {
        name: copies.relation(decoded, code, data, partial(decode, copies.code_bytes(code, data), Cpu.AMD))
        for name, code in (("moved", moved), ("stays", stays))
    }
    assert found == {"moved": copies.Relation(base=1, removed=4), "stays": None}
