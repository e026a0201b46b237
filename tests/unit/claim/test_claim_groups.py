"""Encodings of a form are grouped as their own class keys group them, whichever form was seen first."""

from __future__ import annotations

from random import Random

import pytest

from verify.claim import groups, probes
from verify.claim.groups import Groups
from verify.claim.probes import probe_of
from verify.models.schemes.code import ORIGINAL, Byte, Code
from verify.models.schemes.linux.actions import stepped
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Scheme
from verify.models.x86.isa.encode import decoded_representatives, placed_representatives
from verify.models.x86.isa.forms import Cpu, Form, all_forms, form

SEED, FORMS = 11, 36
NEW, OLD = SCHEMES["linux-uprobes-6.18"], SCHEMES["linux-uprobes-3.15"]


def operands(f: Form) -> tuple[object, ...]:
    row = f.opcode
    return row.encoding, row.op_kinds, f.addressing.value, row.table, row.mandatory_prefix, f.name


def alike(seed: int) -> list[Form]:
    """Runs of forms with the same operands: what is found of one serves the next."""
    forms = sorted(all_forms(), key=operands)
    starts = Random(seed).sample(range(len(forms) - 6), FORMS // 6)
    return [f for start in starts for f in forms[start : start + 6]]


def add_and_or() -> list[Form]:
    """Two forms that differ in the opcode's byte."""
    return [form("ADD_RM32_R32/reg"), form("OR_RM32_R32/reg")]


def partition(keys: list[object]) -> list[int]:
    """The place of the first equal one."""
    return [keys.index(k) for k in keys]


def misplaced(scheme: Scheme, forms: list[Form]) -> list[str]:
    """Forms whose encodings are grouped otherwise than their keys say."""
    found, judged = [], Groups(scheme)
    for f in forms:
        placed = placed_representatives(f, Cpu.AMD)
        grouped = judged.of(placed)
        own = [n for n in range(len(placed)) if grouped.classes[n] is not None]
        keys: list[object] = [probe_of(placed[n], scheme).key for n in own]
        if partition(keys) != partition([grouped.classes[n] for n in own]):
            found.append(f.name)
    return found


@pytest.mark.parametrize("scheme", [NEW, OLD], ids=lambda s: str(s.name))
def test_encodings_are_grouped_as_their_keys_say(scheme: Scheme) -> None:
    assert misplaced(scheme, alike(SEED)) == []


def test_a_copy_that_is_the_original_of_one_opcode_alone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit 3 of the first byte set: OR (09) stays itself, ADD (01) becomes OR."""
    code = Code((Byte(0, bits=8), *ORIGINAL.pieces[1:]))
    plan = stepped(code, 2, ())
    scheme = Scheme("s", "", "", lambda _: plan)
    pair = add_and_or()
    assert not misplaced(scheme, pair) and not misplaced(scheme, pair[::-1])
    monkeypatch.setattr(groups, "_copy", lambda *_: (True, 0, 0))
    assert misplaced(scheme, pair)


def test_a_plan_that_is_left_out_of_the_comparison_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Groups, "_numbered", lambda _self, plan: (plan, 0, ()))
    assert any(misplaced(NEW, alike(seed)) for seed in range(20))


def test_an_opcode_that_keys_read_more_of_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if what OR does depended on prefixes, and what ADD does did not."""
    pair = add_and_or()
    traits = probes._traits(pair[1].opcode)._replace(is_prefix_sensitive=True)
    monkeypatch.setitem(probes._TRAITS, pair[1].opcode.code, traits)
    assert not misplaced(NEW, pair) and not misplaced(NEW, pair[::-1])
    monkeypatch.setattr(groups, "read_of_opcode", lambda _: ())
    assert misplaced(NEW, pair)


def test_placed_encodings_are_what_they_decode_to() -> None:
    for f in alike(SEED):
        placed = placed_representatives(f, Cpu.INTEL)
        assert list(placed) == list(decoded_representatives(f, Cpu.INTEL)), f.name


def test_an_encoding_whose_plan_looks_behind_it_has_no_class() -> None:
    def continuations(data: bytes) -> tuple[bytes, ...]:
        return (b"\x90",) if len(data) == 3 else ()

    scheme = Scheme("s", "", "", NEW.plan, continuations=continuations)
    f = form("ADD_RM32_R32/reg")
    placed = placed_representatives(f, Cpu.AMD)
    classes = Groups(scheme).of(placed).classes
    assert [c is None for c in classes] == [len(data) == 3 for data in placed.data]
    assert None in classes


def test_plans_beyond_what_is_kept_are_numbered_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_PLANS", 3)
    assert misplaced(NEW, alike(SEED)) == []
