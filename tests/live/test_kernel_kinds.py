"""Kinds of states of the kernel's judge: what each shows, and that a fault seeded into the model is found by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from verify.confirm.kernel import BEFORE, Predictor, machine_cpu
from verify.confirm.predictions import SLOT_SIZE, SLOTS
from verify.judge.encoding import Judge
from verify.live.kernel.child import DATA, LANDING, STUBS
from verify.live.kernel.judge import KernelComparison, KernelJudge
from verify.live.kernel.kinds import (
    EXCEPTIONS,
    FAR_32,
    FLAG_BITS_SET,
    HANDLER,
    NON_CANONICAL,
    NULL_SELECTORS,
    OPERAND_EDGE,
    READ_ONLY,
    STACK_EDGE,
)
from verify.live.kernel.placement import LAST_SLOT, available, unavailable
from verify.live.kernel.runner import Runner
from verify.live.kernel.slots import hanging
from verify.live.kernel.state import STANDARD, X87_AREA, standard_states
from verify.live.ptrace import RIP
from verify.live.uprobe import Probes
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.linux.actions import BACK, NEXT, gone, held
from verify.models.schemes.linux.uprobes_6_18 import plan
from verify.models.schemes.program import UNPROBED, Action, Check, Program, Store
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Plan

pytestmark = [pytest.mark.live, pytest.mark.needs("kernel", "modelled-kernel")]
SCHEME = SCHEMES["linux-uprobes-6.18"]
LOAD_16, NOP_5 = "0fb705aa555a25", "0f1f440000"


def stepped(data: bytes, *left_out: object) -> Program:
    """The plan without some of its actions."""
    found = plan(data)
    assert isinstance(found, Program)
    kept = tuple(a for a in found.actions if a not in left_out and not (Store in left_out and isinstance(a, Store)))
    return replace(found, actions=kept)


def nop(length: int) -> Program:
    return Program(gone(NEXT), length=length)


Seed = Callable[[bytes], Plan]
SEEDS: Mapping[str, Seed] = {
    "the trap number is the fault's own": lambda _: UNPROBED,
    "the kernel stores no return address": lambda d: stepped(d, Store),
    "a nop of three bytes": lambda _: nop(3),
    "a nop of two bytes": lambda _: nop(2),
    "a nop of one byte": lambda _: nop(1),
    "a nop of five bytes, never optimised": lambda _: nop(5),
    "the push is stepped": lambda d: replace(stepped(b"\x8b" + d[1:]), length=1),
    "the scratch register is not restored": lambda d: stepped(d, *(held(n, BACK)[1][0] for n in (3, 6, 7))),
}
ROWS = (  # kind of state, encoding, the fault, whether it is the standard states that do not find it
    (HANDLER, "8b03", "the trap number is the fault's own", True),
    (STACK_EDGE, "66ffd3", "the kernel stores no return address", True),
    (OPERAND_EDGE, "0fae3f", "a nop of three bytes", False),
    (NON_CANONICAL, "0fae3f", "a nop of three bytes", False),
    (READ_ONLY, "8807", "a nop of two bytes", False),
    (FLAG_BITS_SET, "50", "the push is stepped", True),
    (EXCEPTIONS, "9b", "a nop of one byte", True),
    (STANDARD, NOP_5, "a nop of five bytes, never optimised", False),
    *((p.name, LOAD_16, "the scratch register is not restored", False) for p in available()),
)


@pytest.fixture(name="shown", scope="module")
def _shown() -> dict[str, KernelComparison]:
    encodings = list(dict.fromkeys((*(row[1] for row in ROWS), "8ed8", "48ff1b", "90", "9c", "f3a4", "0f05")))
    with KernelJudge() as judge:
        found = judge.compare(map(bytes.fromhex, encodings), each=True)
        return dict(zip(encodings, found, strict=True))


@pytest.fixture(name="right", scope="module")
def _right() -> Predictor:
    return Predictor(Judge(SCHEME), machine_cpu())


def only(comparison: KernelComparison, kind: str) -> KernelComparison:
    """What the states of one kind alone showed."""
    return replace(
        comparison, deviations=tuple(d for d in comparison.deviations if d.kind == kind),
        assumed=tuple(d for d in comparison.assumed if d.kind == kind),
        shown=tuple(s for s in comparison.shown if s.state.kind == kind),
        frames=comparison.frames if kind == HANDLER else (),
    )  # fmt: skip


def finds(predictor: Predictor, comparison: KernelComparison, kind: str) -> bool:
    """Whether the states of the kind contradict the model."""
    row = predictor.row(only(comparison, kind))
    return bool(row.apart or row.frame) or (row.said, row.seen) == ("identical", "deviates")


@pytest.mark.parametrize(("kind", "encoding", "seed", "alone"), ROWS, ids=[row[0] for row in ROWS])
def test_seeded_fault_of_the_model_is_found_by_the_kind_of_state(
    shown: dict[str, KernelComparison], right: Predictor, kind: str, encoding: str, seed: str, alone: bool
) -> None:
    scheme = replace(SCHEME, name="seeded", plan=SEEDS[seed])
    wrong = Predictor(Judge(scheme), machine_cpu())
    assert not finds(right, shown[encoding], kind)
    assert finds(wrong, shown[encoding], kind)
    assert not (alone and finds(wrong, shown[encoding], STANDARD))


def is_width(action: Action) -> bool:
    """Whether it looks how wide a return address is: what else is checked ends the plan where it does not hold."""
    return isinstance(action, Check) and bool(action.otherwise)


def test_seeded_width_of_a_far_call_is_found(shown: dict[str, KernelComparison], right: Predictor) -> None:
    assert not finds(right, shown["48ff1b"], FAR_32)
    scheme = replace(SCHEME, name="seeded", plan=lambda d: stepped(d, *(a for a in stepped(d).actions if is_width(a))))
    wrong = Predictor(Judge(scheme), machine_cpu())
    assert finds(wrong, shown["48ff1b"], FAR_32)
    assert not finds(wrong, shown["48ff1b"], STANDARD)


def test_null_selectors_are_seen_and_left_out_by_name_only(shown: dict[str, KernelComparison]) -> None:
    differences = [d.difference for d in shown["8ed8"].assumed if d.kind == NULL_SELECTORS]
    assert {(d.observable, d.assumption) for d in differences} == {("segment-bases", "null-selectors")}
    named = Predictor(Judge(SCHEME, ASSUMPTIONS | {"null-selectors"}), machine_cpu())
    without = Predictor(Judge(SCHEME, ASSUMPTIONS - {"null-selectors"}), machine_cpu())
    assert "null-selectors" in named.row(shown["8ed8"]).assumed
    assert not finds(named, shown["8ed8"], NULL_SELECTORS)
    assert finds(without, shown["8ed8"], NULL_SELECTORS)


def test_each_of_a_hundred_states_is_predicted(shown: dict[str, KernelComparison], right: Predictor) -> None:
    rows = [right.row(c) for c in shown.values() if c.encoding != bytes.fromhex(NOP_5)]     # that one: by hits
    assert [a for row in rows for a in row.apart] == []
    assert min(row.states for row in rows) > 100
    assert [row.frame for row in rows if row.frame] == []


def test_every_kind_is_run_and_counted(shown: dict[str, KernelComparison]) -> None:
    runs = dict(shown["90"].runs)
    kinds = {STANDARD, STACK_EDGE, OPERAND_EDGE, READ_ONLY, NON_CANONICAL, NULL_SELECTORS, FAR_32, FLAG_BITS_SET,
             EXCEPTIONS, HANDLER, *(p.name for p in available())}
    assert set(runs) == kinds
    assert min(runs.values()) >= 2


def test_frame_differs_in_the_trap_number_alone(shown: dict[str, KernelComparison]) -> None:
    faults = [d for d in shown["8b03"].assumed if d.difference.assumption == "fault-frame"]
    assert {d.kind for d in faults} == {HANDLER}
    assert not shown["8b03"].deviations
    page_faults = [probed for plain, probed in shown["8b03"].frames if plain == 14]
    assert page_faults
    assert set(page_faults) <= BEFORE


def test_call_at_the_end_of_the_stack_is_restarted(shown: dict[str, KernelComparison]) -> None:
    states = {d.state for d in shown["66ffd3"].deviations if d.difference.observable == "hits"}
    assert states == {f"{STACK_EDGE} end-{k}" for k in range(6)}    # 8 bytes from rsp - 2 on do not fit


def test_last_slot_is_the_one_that_is_used() -> None:
    placement = next((p for p in available() if p.busy), None) or pytest.skip(unavailable()["last slot"])
    with Runner(placement, [bytes.fromhex("d9e8")]) as runner, Probes(2) as probes:
        state = standard_states(runner.child)[0]
        with probes.attached(runner.path, [placement.offset(0), placement.offset(1)]):
            runner.occupy()
            assert (hanging(runner.child), probes.hits(1)) == (placement.busy, placement.busy)
            environment = runner.run(state, 0).data[X87_AREA - DATA :]
    assert int.from_bytes(environment[12:16], "little") == SLOTS + SLOT_SIZE * LAST_SLOT & 0xFFFF_FFFF     # FIP


def test_sequence_is_entered_and_left_when_the_thread_is_switched() -> None:
    placement = next((p for p in available() if p.prologue), None) or pytest.skip("no restartable sequences")
    with Runner(placement, [bytes.fromhex("ebfe")]) as runner:     # a loop: the watchdog's signal restarts the sequence
        stop = runner.run(standard_states(runner.child)[0], 0).stop
    assert stop.registers[RIP] == LANDING + STUBS["abort"][0] + 4
