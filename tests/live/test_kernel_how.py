"""How the running kernel runs a probed instruction: refused, stepped, emulated or called, as the scheme plans it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from verify.claim.probes import probe
from verify.claim.undefined import undefined_runs_on
from verify.confirm.handling import compared_ways, document, rows
from verify.confirm.kernel import machine_cpu
from verify.live.kernel.child import END_OF_USER_SPACE, LANDING
from verify.live.kernel.handling import Manner, Way, manners
from verify.live.kernel.judge import KernelJudge
from verify.live.kernel.one_state import Situation, compared_in
from verify.models.schemes.code import Byte, Code
from verify.models.schemes.linux.actions import NEXT, gone
from verify.models.schemes.linux.uprobes_6_18 import ENOTSUPP, SCHEME
from verify.models.schemes.program import Action, Program, Run, Store
from verify.models.schemes.scheme import Plan
from verify.models.schemes.vocabulary import register
from verify.models.x86.isa.ranges import parsed

pytestmark = [pytest.mark.live, pytest.mark.needs("kernel", "modelled-kernel")]
SLOT_PAGE = END_OF_USER_SPACE - 0x1000  # where the kernel asks for it: xol_add_vma, TASK_SIZE - PAGE_SIZE
EMULATED, STEPPED = (Way.EMULATED, Way.EMULATED), (Way.STEPPED, Way.STEPPED)


def test_the_way_of_each_hit_and_the_slots_bytes_are_seen() -> None:
    expected = {
        "90": EMULATED, "0f1f840000000000": EMULATED, "660f1f840000000000": STEPPED, "0f1f00": EMULATED,
        "0f1f4001": STEPPED, "0f1f440000": (Way.EMULATED, Way.CALLED), "0f1f440001": (Way.STEPPED, Way.CALLED),
        "e800000000": EMULATED, "50": EMULATED, "4050": STEPPED, "4889d8": STEPPED, "c5f877": EMULATED, "f4": (),
        "c5f890b640000000": EMULATED,
    }  # fmt: skip
    found = list(manners([bytes.fromhex(e) for e in expected]))
    assert {e: m.ways for e, m in zip(expected, found, strict=True)} == expected
    by_text = dict(zip(expected, found, strict=True))
    assert by_text["f4"].errno == ENOTSUPP
    slot = by_text["4889d8"].slot
    assert slot is not None and slot.startswith(bytes.fromhex("4889d8f4"))


def test_a_rip_relative_copy_is_seen_in_the_slot() -> None:
    (found,) = manners([bytes.fromhex("488b0511223344")])
    assert found.slot is not None
    assert found.slot[:3] == bytes.fromhex("488b86")


def test_the_kernel_runs_every_kind_of_plan_as_it_is_planned() -> None:
    found = compared_ways((parsed("all"),), SCHEME, machine_cpu())
    summary = document(found)
    assert summary.disagreements == ()
    assert summary.compared >= 500
    assert summary.kinds >= 200


def test_bytes_that_are_no_instruction_run_on_where_the_scheme_says_so() -> None:
    """#UD without the probe; with it a nop, a branch (seen on 6.18.44), and of the last one #UD too: it is stepped."""
    texts = ("c5e1713500000000", "c5d09065d70bc548", "c55b70d507b675f3", "c50e7f6802b0b9b6", "c5a9700000000000", "0f04")
    data = [bytes.fromhex(t) for t in texts]
    said = [undefined_runs_on(probe(d, SCHEME, machine_cpu())) for d in data]
    assert said == [True] * 5 + [False]
    with KernelJudge() as kernel:
        found = list(kernel.compare(iter(data), wanted=frozenset({"standard"})))
    assert not any(f.valid for f in found)
    assert ["fault" in f.observables for f in found] == said


@pytest.mark.parametrize("text", ["8b03", "c5b25213"])
def test_a_load_from_the_page_of_slots_shows_the_probe(text: str) -> None:
    """`code-not-read`: SIGSEGV without the probe, the copy's own bytes with it; below the page nothing differs."""
    data, found = bytes.fromhex(text), []
    for address in (SLOT_PAGE, SLOT_PAGE + 0x80, SLOT_PAGE - 0x1000):
        compared = compared_in(Situation(data, LANDING + 0x0800_0000, {"rbx": address}, {}, {}))
        found.append("fault" in compared.observables)
    assert found == [True, True, False]


def planned_otherwise(data: bytes) -> Plan:
    """Faults: the kernel's nine-byte nop taken for 66 0f 1f 84, nops never stepped first, a copy that keeps REX.B."""
    plan = SCHEME.plan(data)
    if data.startswith(bytes.fromhex("660f1f84")):
        return Program(gone(NEXT), length=9)
    if not isinstance(plan, Program):
        return plan
    if plan.later is not None:
        return replace(plan, actions=gone(NEXT))
    return replace(plan, actions=tuple(map(with_rex_b, plan.actions)))


def with_rex_b(action: Action) -> Action:
    if not isinstance(action, Run):
        return action
    pieces = action.code.pieces
    kept = (replace(b, keep=0xFF) if isinstance(b, Byte) and b.keep == 0xFE else b for b in pieces)
    return replace(action, code=Code(tuple(kept)))


@pytest.mark.parametrize("text", ["660f1f840000000000", "0f1f440001", "498b0511223344"])
def test_a_plan_of_another_kind_is_told(text: str) -> None:
    wrong = replace(SCHEME, plan=planned_otherwise)
    (seen,) = rows([bytes.fromhex(text)], wrong, machine_cpu())
    assert not seen.agrees
    (right,) = rows([bytes.fromhex(text)], SCHEME, machine_cpu())
    assert right.agrees


def storing_otherwise(data: bytes) -> Plan:
    """Faults: a trampoline that saves rcx and rax the other way round, a push of another register."""
    plan = SCHEME.plan(data)
    assert isinstance(plan, Program)
    *first, last = plan.hits
    swapped = {1: 0, 0: 1, 7: 6}
    values = {register(a): register(b) for a, b in swapped.items()}
    changed = tuple(
        replace(a, value=values.get(a.value, a.value)) if isinstance(a, Store) else a for a in last.actions
    )
    wrong = replace(last, actions=changed)
    return replace(first[0], later=wrong) if first else wrong


@pytest.mark.parametrize("text", ["0f1f440000", "0f1f440001", "57"])
def test_what_the_last_hit_stores_is_told(text: str) -> None:
    (right,) = rows([bytes.fromhex(text)], SCHEME, machine_cpu())
    assert right.agrees and "at rsp-8" in right.seen
    (seen,) = rows([bytes.fromhex(text)], replace(SCHEME, plan=storing_otherwise), machine_cpu())
    assert not seen.agrees


def test_no_short_jump_leads_to_another_encoding() -> None:
    """A jump by 3d behind three bytes leads to the next place of 64 bytes."""
    found = list(manners([bytes.fromhex(e) for e in ("f2eb3d", "4889d8", "f27f3d", "4889d8")]))
    assert [m.ways for m in found] == [EMULATED, STEPPED, EMULATED, STEPPED]


def test_a_refusal_is_told_with_its_number() -> None:
    assert Manner(b"\x90", 0, 8, (), None).text == "refused with errno 8"
