"""Whatever structure a semantics function looks at is part of the class key, so that equal keys mean equal obligations.

Each form's semantics runs on an instruction that records which attributes are read; those that the key leaves free must
not be among them.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from verify.models import sites
from verify.models.bits import var
from verify.models.isa.encode import decoded_representatives
from verify.models.isa.forms import Cpu, Form, all_forms
from verify.models.machine import symbolic_state
from verify.models.schemes.registry import SCHEMES
from verify.models.semantics.dispatch import execute

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
            p = sites.probe_of(decoded, SCHEMES["identity"])
            site = sites.problem(p).site
            execute(Recorder(site.original, seen), symbolic_state(var("origin", 64)))  # type: ignore[arg-type]
    return seen


def unkeyed(form: Form) -> set[str]:
    opcode = form.opcode
    seen = read_by(form)
    wrong = set()
    if "cpu" in seen and not sites.is_vendor_specific(opcode):
        wrong.add("cpu")
    if seen & {"rep", "lock"} and sites._is_plain(opcode):
        wrong |= seen & {"rep", "lock"}
    if opcode.mnemonic not in sites.PREFIX_SENSITIVE:
        free = FREE_FIELDS - ({"layout"} if sites._has_byte_registers(opcode) else set())  # REX or ah..bh is keyed
        wrong |= {f"fields.{n}" for n in free if f"fields.{n}" in seen}
    if "modrm" in seen and not sites.shows_modrm(opcode):
        wrong.add("modrm")
    return wrong


def test_semantics_reads_nothing_that_a_class_leaves_free() -> None:
    one_each = {(f.opcode.mnemonic, f.opcode.operand_size, f.addressing): f for f in all_forms()}
    gaps = {f.name: w for f in one_each.values() if (w := unkeyed(f))}
    assert gaps == {}


def test_a_free_attribute_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "PREFIX_SENSITIVE", frozenset())
    assert unkeyed(next(f for f in all_forms() if f.opcode.mnemonic == "pause")) or unkeyed(
        next(f for f in all_forms() if f.opcode.name == "CALL_M1632")
    )
