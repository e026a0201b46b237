"""What stands behind an instruction matters to a scheme's plan exactly where the scheme says so.

Two independent checks of every representative: the plan is made from bytes that fail when something behind the
instruction decides, and it is made again with tails behind it.  `make continuations` sweeps all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Any

import pytest

from verify.claim.probes import probe_of
from verify.models.schemes.linux import uprobes_3_15, uprobes_6_18
from verify.models.schemes.manner import Manner, manners
from verify.models.schemes.scheme import Scheme, nothing_behind
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.encode import decoded_representatives, irregular_representatives
from verify.models.x86.isa.forms import Cpu, Form, all_forms

SCHEMES = (uprobes_6_18.SCHEME, uprobes_3_15.SCHEME)
STEP = 307  # of the forms, in the suite
TAILS = tuple(map(bytes.fromhex, (
    "78656e90909090909090909090909090", "6b766d90909090909090909090909090", "78656eeb101111111111111111111111",
    "0f0b78656e9090909090909090909090", "cc" * 16, "00" * 16, "ff" * 16, "66" * 16, "f0" * 16, "0f" * 16, "c4" * 16,
    "62" * 16, "48" * 16, "8b" + "05" * 15, "d5" * 16, "9d" * 16, "e8" * 16, "70" * 16, "2e" * 16,
)))  # fmt: skip


class Behind(Exception):
    """A byte behind the instruction was to decide."""


class Known(bytes):
    """The bytes of an instruction, and 16 behind it of which nothing is known: looking at one raises `Behind`."""

    size: int

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            start, stop, _ = key.indices(len(self))
            return _part(bytes(self)[key], self.size - start) if stop > self.size else bytes(self)[key]
        if key >= self.size:
            raise Behind(key)
        return bytes(self)[key]

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, bytes)
        if len(other) != len(self) or other[: self.size] != bytes(self)[: self.size]:
            return False
        raise Behind(other.hex())

    def __hash__(self) -> int:
        raise Behind("hash")

    def __add__(self, other: bytes) -> Known:
        return _part(bytes(self) + other, self.size)


def _part(data: bytes, size: int) -> Known:
    found = Known(data)
    found.size = size
    return found


def looks_behind(scheme: Scheme, instruction: bytes) -> bool:
    """Whether the plan is made from more than the instruction's own bytes."""
    try:
        scheme.plan(_part(instruction + bytes(16), len(instruction)))
    except Behind:
        return True
    return False


def representatives(forms: tuple[Form, ...], step: int) -> Iterator[Decoded]:
    """Regular ones of every `step`-th form for both vendors, and some irregular ones."""
    for form in islice(forms, 0, None, step):
        for cpu in Cpu:
            yield from decoded_representatives(form, cpu)
        for data in islice(irregular_representatives(form, Cpu.AMD), 0, None, 7):
            found = decode(data, Cpu.AMD)
            if isinstance(found, Decoded):
                yield found


def swept(scheme: Scheme, forms: tuple[Form, ...], step: int, seed: int = 0) -> tuple[int, list[str]]:
    """How many representatives were looked at, and those of which the scheme does not say what it depends on."""
    rng = Random(seed)
    count, wrong = 0, []
    for decoded in representatives(forms, step):
        count += 1
        data = decoded.data
        said = bool(scheme.continuations(data))
        if said != looks_behind(scheme, data):
            wrong.append(f"{data.hex()}: says {said}, looks otherwise")
        plans = {scheme.plan(data + tail) for tail in (*TAILS, rng.randbytes(16))}
        if len(plans) > 1 and not said:
            wrong.append(f"{data.hex()}: {len(plans)} plans")
        if _copy_is_longer(decoded, scheme):
            wrong.append(f"{data.hex()}: the copy reads behind the instruction")
    return count, wrong


def _copy_is_longer(decoded: Decoded, scheme: Scheme) -> bool:
    p = probe_of(decoded, scheme)
    copy = p.read(p.codes[0]) if manners(p.plan)[0] is Manner.STEPPED else None
    if not isinstance(copy, Decoded):
        return False
    return copy.layout.length > decoded.layout.length


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_a_scheme_says_where_what_follows_decides(scheme: Scheme) -> None:
    count, wrong = swept(scheme, all_forms(), STEP)
    assert count > 150
    assert wrong == []


def test_ud2_alone_begins_an_emulate_prefix() -> None:
    scheme, ud2 = uprobes_6_18.SCHEME, bytes.fromhex("0f0b")
    assert looks_behind(scheme, ud2)
    assert {t[:4].hex() for t in scheme.continuations(ud2)} >= {"78656e90", "6b766d90", "78656eeb", "6b766deb"}
    assert len({scheme.plan(ud2 + t + bytes(16)) for t in scheme.continuations(ud2)}) > 8
    for other in ("0f05", "0fb9c0", "660f0b", "90", "8b04", "0f20c4", "0f2004"[2:]):
        assert not scheme.continuations(bytes.fromhex(other))
    assert not looks_behind(uprobes_3_15.SCHEME, ud2)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
@pytest.mark.parametrize("data", ["0f2004", "0f2104", "410f2234", "0f230c", "f3660f2204", "644f0f230c"])
def test_a_move_of_a_control_register_with_mod_0_has_a_sib_byte_to_the_kernel(scheme: Scheme, data: str) -> None:
    instruction = bytes.fromhex(data)
    (behind,) = scheme.continuations(instruction)
    assert scheme.plan(instruction + behind + bytes(16)) != scheme.plan(instruction + bytes(16))


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
@pytest.mark.parametrize("data", ["0f0f231c", "440f0f231c", "e800000f2304", "b800000f2204", "0f20c4", "0f2005"])
def test_other_instructions_that_end_with_the_same_bytes_have_none(scheme: Scheme, data: str) -> None:
    instruction = bytes.fromhex(data)
    assert not scheme.continuations(instruction)
    assert not looks_behind(scheme, instruction)


@pytest.mark.parametrize("instruction", ["0f0b", "0f0bff", "90", "e811223344", "62f17c48580511223344"])
def test_the_tracing_bytes_tell_a_scheme_that_looks_behind(instruction: str) -> None:
    data = bytes.fromhex(instruction)
    one_more = replace(uprobes_6_18.SCHEME, plan=lambda d: d[len(data)])  # type: ignore[arg-type,return-value]
    whole = data + bytes(16 - len(data))
    sixteen = replace(uprobes_6_18.SCHEME, plan=lambda d: d[:16] == whole)  # type: ignore[arg-type,return-value]
    assert looks_behind(one_more, data)
    assert looks_behind(sixteen, data)


def test_a_scheme_that_does_not_say_so_is_found() -> None:
    silent = replace(uprobes_6_18.SCHEME, continuations=nothing_behind)
    forms = tuple(f for f in all_forms() if f.name == "UD2/none")
    _, wrong = swept(silent, forms, 1)
    assert "0f0b: says False, looks otherwise" in wrong
    assert any(w.startswith("0f0b: ") and w.endswith(" plans") for w in wrong)
    assert swept(uprobes_6_18.SCHEME, forms, 1)[1] == []
