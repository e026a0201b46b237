"""Whatever structure a semantics function looks at is part of the class key, so that equal keys mean equal obligations.

Each form's semantics runs on an instruction that records which attributes are read; those that the key leaves free must
not be among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import islice
from typing import Any

import pytest
from sampling import sampled

from verify.claim import probes
from verify.claim.conditions import verification_condition
from verify.models.schemes.behaviour import in_place
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Refuse
from verify.models.x86.isa.encode import decoded_representatives
from verify.models.x86.isa.forms import Cpu, Form, all_forms
from verify.models.x86.machine import symbolic_state
from verify.models.x86.semantics import signature
from verify.models.x86.semantics.dispatch import execute, is_exact
from verify.smt.canonical import canonical
from verify.terms import Term, under, var

FREE_FIELDS = {"w", "b", "x", "r", "layout", "byte", "little_endian"}  # of Fields: not among what the key fixes


class Recorder:
    """Passes attributes through and notes their names."""

    def __init__(self, inner: Any, seen: set[str], prefix: str = "") -> None:
        self.__dict__.update(_inner=inner, _seen=seen, _prefix=prefix)

    def __getattr__(self, name: str) -> Any:
        self._seen.add(self._prefix + name)
        value = getattr(self._inner, name)
        return Recorder(value, self._seen, "fields.") if name == "fields" else value


def read_by(form: Form) -> set[str]:
    """Attributes of the instruction that the form's semantics reads, over its plainest encodings."""
    seen: set[str] = set()
    for cpu in Cpu:
        for decoded in islice(decoded_representatives(form, cpu), 1):
            p = probes.probe_of(decoded, SCHEMES["identity"])
            setup = verification_condition(p).setup
            execute(Recorder(setup.original, seen), symbolic_state(var("origin", 64)))  # type: ignore[arg-type]
    return seen


def unkeyed(form: Form) -> set[str]:
    opcode = form.opcode
    seen = read_by(form)
    wrong = set()
    if "cpu" in seen and not probes.is_vendor_specific(opcode):
        wrong.add("cpu")
    if seen & {"rep", "lock"} and probes.is_plain(opcode):
        wrong |= seen & {"rep", "lock"}
    if opcode.mnemonic not in probes.PREFIX_SENSITIVE:
        keyed = {"layout"} if probes._traits(opcode).has_byte_registers else set()  # REX or ah..bh
        free = FREE_FIELDS - keyed
        wrong |= {f"fields.{n}" for n in free if f"fields.{n}" in seen}
    if "modrm" in seen and not probes.shows_modrm(opcode):
        wrong.add("modrm")
    return wrong


@pytest.mark.parametrize("part", sampled(range(4), 1))
def test_semantics_reads_nothing_that_a_class_leaves_free(part: int) -> None:
    one_each = {(f.opcode.mnemonic, f.opcode.operand_size, f.addressing): f for f in all_forms()}
    gaps = {f.name: w for f in [*one_each.values()][part::4] if (w := unkeyed(f))}
    assert gaps == {}


def test_a_free_attribute_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PREFIX_SENSITIVE", frozenset())
    assert unkeyed(next(f for f in all_forms() if f.opcode.mnemonic == "pause")) or unkeyed(
        next(f for f in all_forms() if f.opcode.name == "CALL_M1632")
    )


def leaves(value: Any) -> Iterator[Any]:
    """The terms and plain values that a behaviour is made of."""
    if isinstance(value, Term) or not (is_dataclass(value) or isinstance(value, tuple)):
        yield value
    else:
        for part in value if isinstance(value, tuple) else (getattr(value, f.name) for f in fields(value)):
            yield from leaves(part)


def seen(p: probes.Probe) -> tuple[str, ...]:
    """What an instruction does in place, in canonical names, and its premises."""
    material = verification_condition(p)
    done = list(leaves(in_place(material.setup, symbolic_state(material.setup.origin))))
    terms = under(material.distinct, (t for t in done if isinstance(t, Term)))
    return canonical((*terms, *material.premises)).text, *(str(x) for x in done if not isinstance(x, Term))


def members(most: int) -> dict[object, list[probes.Probe]]:
    """The first encodings of some opcodes under the default scheme, by what they share."""
    groups: dict[object, list[probes.Probe]] = {}
    for f in all_forms():
        decoded = next(decoded_representatives(f, Cpu.AMD), None)
        if decoded is None or is_exact(f.opcode.mnemonic):
            continue
        p = probes.probe_of(decoded, SCHEMES["linux-uprobes-6.18"])
        group = groups.setdefault(p.shared_key, [])
        if not isinstance(p.plan, Refuse) and len(group) < most:
            group.append(p)
    return {key: group for key, group in groups.items() if len(group) > 1}


def differing(groups: dict[object, list[probes.Probe]]) -> list[str]:
    """Opcodes that do something else than another with the same key."""
    found = []
    for first, *others in groups.values():
        expected = seen(first)
        found += [str(p.decoded) for p in others if seen(p) != expected]
    return found


def test_opcodes_that_share_a_class_do_the_same() -> None:
    groups = members(most=3)
    assert len(groups) > 300
    assert differing(groups) == []


@pytest.mark.parametrize("forgotten", sampled(["memory_size", "op_access", "encoding"], 1))
def test_an_attribute_forgotten_in_the_signature_would_be_noticed(
    forgotten: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signature, "_VISIBLE", tuple(n for n in signature._VISIBLE if n != forgotten))
    signature.signature.cache_clear()
    try:
        assert differing(members(most=4))
    finally:
        signature.signature.cache_clear()
