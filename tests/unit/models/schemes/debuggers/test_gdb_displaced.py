"""Plans of GDB's displaced stepping against gdb/amd64-tdep.c: its decoder, scratch register and fixups."""

from __future__ import annotations

from dataclasses import replace

import pytest

from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.debuggers import gdb_displaced
from verify.models.schemes.debuggers.gdb_displaced import SCHEMES, Seen, seen_13, seen_17
from verify.models.schemes.program import Program, Run
from verify.models.schemes.program_text import text as canonical
from verify.models.schemes.scheme import Plan, Refuse
from verify.models.x86.isa.forms import Cpu
from verify.survey.documents import shared_deviations

OLD, NEW = SCHEMES
JUDGES = {s.name.removeprefix("gdb-displaced-"): Judge(s) for s in SCHEMES}


def planned(text: str, scheme: gdb_displaced.Scheme = OLD) -> Plan:
    return scheme.plan(bytes.fromhex(text).ljust(16, b"\x90"))


def pad(text: str, scheme: gdb_displaced.Scheme = OLD) -> str:
    """The bytes in the pad, as many as the original has."""
    found = planned(text, scheme)
    assert isinstance(found, Program)
    run = next(a for a in found.actions if isinstance(a, Run))
    data = bytes.fromhex(text).ljust(16, b"\x90")
    return bytes(b.of(data) for b in run.code.pieces if isinstance(b, gdb_displaced.Byte))[: len(text) // 2].hex()


@pytest.mark.parametrize(("text", "old", "new"), [  # facts, section 2
    ("488b05", Seen(1, 2, rex_at=0), Seen(1, 2, rex_at=0)), ("666490", Seen(2, -1), Seen(2, -1)),
    ("0fb605", Seen(0, 2), Seen(0, 2)), ("0f38f005", Seen(0, 3), Seen(0, 3)), ("0f05", Seen(0, -1), Seen(0, -1)),
    ("c5fe6f05", Seen(2, -1), Seen(2, 3)), ("c5f877", Seen(2, -1), Seen(2, -1)), ("c5f01005", Seen(2, 3), Seen(2, 3)),
    ("c4e17e6f05", Seen(3, -1, payload_at=1), Seen(3, 4, payload_at=1)),
    ("c4e2f9f705", Seen(3, 4, payload_at=1), Seen(3, 4, payload_at=1)),
    ("c4e17877", Seen(3, -1, payload_at=1), Seen(3, -1, payload_at=1)),
    ("62f17c485805", Seen(0, 1), Seen(4, 5, payload_at=1, is_evex=True)), ("62f57c485805", Seen(0, 1), None),
    ("8fe878c205", Seen(0, 1), Seen(3, 4, payload_at=1)), ("8f05", Seen(0, 1), Seen(0, 1)), ("c4e7f90005", None, None),
    ("d5088b05", Seen(0, -1), Seen(2, 3, rex2_at=1)), ("d580af05", Seen(0, -1), Seen(2, 3, rex2_at=1)),
    ("48c5fe6f05", Seen(1, 2, rex_at=0), Seen(1, 2, rex_at=0)),  # LDS to it
])  # fmt: skip
def test_what_it_sees(text: str, old: Seen | None, new: Seen | None) -> None:
    data = bytes.fromhex(text).ljust(32, b"\x00")
    assert seen_17(data) == new
    assert old is None or seen_13(data) == old


@pytest.mark.parametrize(("text", "old", "new"), [  # facts, section 3: RCX, or RBX where reg is 1
    ("488b0511223344", "488b8111223344", "488b8111223344"), ("8b0d11223344", "8b8b11223344", "8b8b11223344"),
    ("498b0511223344", "488b8111223344", "488b8111223344"),
    ("c5fe6f0511223344", "c5fe6f0511223344", "c5fe6f8111223344"),
    ("c4c1fe6f0511223344", "c4c1fe6f0511223344", "c4e1fe6f8111223344"),
    ("62d17c48580511223344", "62d17c48580511223344", "62f17c48588111223344"),
    ("8b442408", "8b442408", "8b442408"), ("e811223344", "e811223344", "e811223344"), ("0f05cc", "0f0590", "0f0590"),
])  # fmt: skip
def test_the_bytes_in_the_pad(text: str, old: str, new: str) -> None:
    assert (pad(text), pad(text, NEW)) == (old, new)


@pytest.mark.parametrize(("text", "old", "new"), [
    ("90", "", ""), ("8b06", "", ""), ("c3", "", ""), ("ffe0", "", ""), ("ffd0", "", ""), ("7510", "", ""),
    ("e210", "", ""), ("e811223344", "", ""), ("0f8411223344", "", ""), ("c5fe7f03", "", ""), ("c8112201", "", ""),
    ("488b0511223344", "fault", ""),  # 13 leaves the scratch register where the instruction faults
    ("d32511223344", "flags memory-values fault", "flags memory-values"),  # SHL by cl, whose register is the base
    ("480fc70d11223344", "memory-values fault", "memory-values"),  # CMPXCHG16B stores rcx
    ("c5fe6f0511223344", "vector memory-addresses memory-values fault", ""),  # no ModRM in the one-byte table
    ("62f17c48580511223344", "vector memory-addresses memory-values fault", ""), ("f7f1", "", ""), ("f090", "", ""),
    ("c5f8c2c100", "next-ip", "next-ip"),  # VCMPPS: RET by its opcode byte
    ("c5f9e8c1", "memory-addresses memory-values", "memory-addresses memory-values"),  # VPSUBSB: CALL
    ("9c", "memory-values trap", "memory-values trap"), ("9d", "fault", "fault"), ("f3a4", "hits", "hits"),
    ("0f0b", "", ""), ("d9c0", "x87-pointers", "x87-pointers"),
    ("8ed0", "containment", "containment"), ("0f05", "next-ip gprs trap containment", "next-ip gprs trap containment"),
    ("ff18", "memory-values", "memory-values"),
])  # fmt: skip
def test_verdicts(text: str, old: str, new: str) -> None:
    for version, expected in (("13", old), ("17", new)):
        found = JUDGES[version].judgement(bytes.fromhex(text), Cpu.AMD)
        assert {v.value for _, v in found.observables} <= {"proved", "refuted"}
        assert " ".join(d.observable for d in found.deviations) == expected, version


def test_an_unknown_map_is_stepped_in_place() -> None:
    found = planned("62f57c48580511223344", NEW)
    assert found is gdb_displaced.UNKNOWN and isinstance(found, Refuse)
    assert isinstance(planned("62f57c48580511223344"), Program)


def test_fixups() -> None:
    assert canonical(planned("ffd0", NEW)).splitlines()[-3:] == [
        "shadow stack, 0 := ((load:64 8 memory rsp) + ORIGIN - SLOT)",
        "8 bytes at rsp := ((load:64 8 memory rsp) + ORIGIN - SLOT), on the stack", "  taken to succeed",
    ]  # fmt: skip
    assert "shadow stack" not in canonical(planned("ffd0"))
    assert canonical(planned("0f05")).splitlines()[-3:] == [
        "check (ult (ip - SLOT) 0x4)", "  otherwise done", "ip := (ORIGIN + ip - SLOT)",
    ]  # fmt: skip
    assert "ip :=" not in canonical(planned("c3")).rpartition("on a fault")[2].split("tf :=", 2)[2]


def test_fewer_than_16_bytes_are_an_error() -> None:
    for scheme in SCHEMES:
        with pytest.raises(ValueError, match="got 3"):
            scheme.plan(bytes(3))


@pytest.mark.parametrize(("text", "observables"), [
    ("e811223344", []), ("ffd0", []),
    ("e800000000", ["shadow-stack"]),  # has no entry of its own: SDM vol. 2, CALL
])  # fmt: skip
def test_17_mends_the_shadow_stack(text: str, observables: list[str]) -> None:
    found = Judge(NEW, ASSUMPTIONS - {"no-shadow-stack"}).judgement(bytes.fromhex(text), Cpu.AMD)
    assert [d.observable for d in found.deviations] == observables


@pytest.mark.parametrize("text", ["e811223344", "0f8411223344"])
def test_relative_branches_rest_on_canonical_targets(text: str) -> None:
    bare = replace(NEW, holds=NEW.holds - {"pad-canonical"})
    found = Judge(bare).judgement(bytes.fromhex(text), Cpu.AMD)
    assert [d.observable for d in found.deviations] == ["fault"]


def test_the_pads_address_is_told_and_left_out() -> None:
    bare = replace(NEW, holds=NEW.holds - {"fault-address"})
    for text in ("0f0b", "f7f1", "f090"):
        found = Judge(bare).judgement(bytes.fromhex(text), Cpu.AMD)
        assert [d.observable for d in found.deviations] == ["fault"]


def test_what_a_program_with_tf_set_loses_is_left_out() -> None:
    bare = replace(NEW, holds=NEW.holds - {"no-own-trap-flag"})
    found = Judge(bare).judgement(b"\x90", Cpu.AMD)
    assert [d.observable for d in found.deviations] == ["trap"]


def test_what_it_holds_is_said_to_be_left_out_of_the_verdicts() -> None:
    shown = {d.name: d.left_out for d in shared_deviations(OLD, ASSUMPTIONS)}
    own = {"no-own-trap-flag": True, "fault-address": True, "pad-canonical": True, "pad-not-code": False}
    assert shown == {**dict.fromkeys(shown, True), **own}
