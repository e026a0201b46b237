"""What a state is certain to show, and what follows from it: no alarm where model and kernel mean the same.

Each row is an encoding that was an alarm once; with what is known of its kind taken away it is one again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from verify.confirm import predictions
from verify.confirm.agreement import ELSEWHERE, Agreement, KernelRow
from verify.confirm.kernel import Predictor, machine_cpu
from verify.judge.encoding import Judge
from verify.live import alignment
from verify.live.kernel import placement as kernel_placement
from verify.live.kernel.judge import KernelComparison, KernelJudge
from verify.live.kernel.kinds import FAR_32, HANDLER, OPERAND_EDGE, STACK_EDGE
from verify.live.kernel.placement import ORDINARY, available
from verify.live.kernel.state import STANDARD
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.semantics.run import Run

pytestmark = [pytest.mark.live, pytest.mark.needs("avx2", "uprobes", "modelled-kernel")]
BELOW, BRANCH, SYSTEM_CALL = "displacements below 0", "branch behind", "system call behind"
Patch = pytest.MonkeyPatch
ENVIRONMENT, THERE = predictions.environment, predictions._There.function


def no_segments(state: Any, setting: Any, busy: int = 0) -> dict[str, Any]:
    """The state as if fs and gs were based at 0."""
    return ENVIRONMENT(state, setting, busy) | {"fs_base": 0, "gs_base": 0}


def all_aligned(patch: Patch) -> None:
    patch.setattr(alignment, "UNALIGNED", {cpu: () for cpu in Cpu})


def no_traps_of_its_own(patch: Patch) -> None:
    outcome = Run.outcome
    patch.setattr(Run, "outcome", lambda self: replace(outcome(self), interrupts=False))


def same_end_of_faults(patch: Patch) -> None:
    covers = predictions._covers
    patch.setattr(predictions, "_covers", lambda shown, *seen: covers(replace(shown, end="arrived"), *seen))


ROWS: tuple[tuple[str, str, Callable[[Patch], None]], ...] = (
    ("41468d35382400f8", BELOW, lambda p: p.setattr(kernel_placement, "OVERWRITTEN", {})),        # lea r14d
    ("482e8d05b8240008", SYSTEM_CALL, lambda p: p.setattr(kernel_placement, "OVERWRITTEN", {})),  # lea eax
    ("64c4e161740f", OPERAND_EDGE, lambda p: p.setattr(predictions, "environment", no_segments)),
    ("48660f3a61352e7e000811", STANDARD, all_aligned),                                            # pcmpestri
    ("c4e23190140e", STANDARD, lambda p: p.setattr(predictions, "_gathers", lambda _: False)),
    ("482ecc", BRANCH, no_traps_of_its_own),                                                      # int3, in the slot
    ("4848cd03", BRANCH, no_traps_of_its_own),
    ("4848cd04", BRANCH, same_end_of_faults),                                                     # #OF
)
SHA = ("482e0f38c8056f7e0008", "482e0f38cd05ef770008")  # sha1nexte and sha256msg2, read where nothing is aligned
MOV_SS = "41418e5424f8"
OTHERS = (
    (MOV_SS, STANDARD), ("4867f1", HANDLER), ("484f0fb205772a0008", HANDLER), ("c4e2fd9d0f", BRANCH), ("48669d", BELOW),
)  # fmt: skip


@pytest.fixture(name="shown", scope="module")
def _shown() -> dict[str, KernelComparison]:
    found: dict[str, KernelComparison] = {}
    rows = (*(r[:2] for r in ROWS), *((e, STANDARD) for e in SHA), *OTHERS)
    with KernelJudge() as judge:
        for kind in dict.fromkeys(kind for _, kind in rows):
            encodings = [e for e, k in rows if k == kind]
            seen = judge.compare(map(bytes.fromhex, encodings), hits=1, wanted=frozenset({kind}), each=True)
            found |= dict(zip(encodings, seen, strict=True))
    return found


def row(comparison: KernelComparison) -> KernelRow:
    """What a judge that has seen nothing yet makes of it."""
    return Predictor(Judge(SCHEMES["linux-uprobes-6.18"]), machine_cpu()).row(comparison)


def apart(comparison: KernelComparison) -> int:
    """In how many states the kernel did something else."""
    return len(row(comparison).apart)


@pytest.mark.parametrize(("encoding", "kind", "seed"), ROWS, ids=[row[0] for row in ROWS])
def test_alarm_is_mended_and_comes_back_with_the_fault(
    shown: dict[str, KernelComparison], monkeypatch: Patch, encoding: str, kind: str, seed: Callable[[Patch], None]
) -> None:
    assert shown[encoding].shown
    assert apart(shown[encoding]) == 0
    seed(monkeypatch)
    assert apart(shown[encoding]) > 0


@pytest.mark.parametrize("encoding", [*SHA, *(row[0] for row in OTHERS)])
def test_what_follows_from_what_is_predicted_is_no_alarm(shown: dict[str, KernelComparison], encoding: str) -> None:
    assert shown[encoding].shown
    assert apart(shown[encoding]) == 0


def test_a_move_to_ss_that_faults_in_every_state_is_contained_in_each(shown: dict[str, KernelComparison]) -> None:
    """Only where it does not fault does it hold the step's trap back, and that shows in none of these states."""
    found = row(shown[MOV_SS])
    assert set(shown[MOV_SS].ends) == {"fault"}
    assert (found.said, found.seen) == (ELSEWHERE, "identical")


def test_registers_that_the_code_behind_leaves_alone_must_show(
    shown: dict[str, KernelComparison], monkeypatch: Patch
) -> None:
    placement = next(p for p in available() if p.tail == ORDINARY)
    assert "rax" not in placement.overwritten
    comparison = shown["41468d35382400f8"]
    monkeypatch.setattr(kernel_placement, "OVERWRITTEN", {ORDINARY: frozenset({"r12", "r13", "r15"})})
    assert apart(comparison) > 0


def test_failed_push_of_a_vector_instruction_that_is_taken_for_a_call_restarts_it() -> None:
    """VPSUBSB xmm0, xmm2, xmm1: rsp grows by 8 until the push succeeds, at the first page's start or never."""
    with KernelJudge() as judge:
        data, kinds = iter([bytes.fromhex("c5e9e8c1")]), frozenset({STANDARD, STACK_EDGE})
        found = next(judge.compare(data, hits=1, wanted=kinds, each=True))
    seen = {(d.state, d.difference.observable): d.difference.detail for d in found.deviations}
    assert seen["stack-edge start+0", "hits"] == "2 hits in one run"
    assert ("stack-edge start+8", "hits") not in seen
    assert ", runaway (" in seen["fault", "fault"]
    assert int(seen["fault", "hits"].split()[0]) > 100
    assert apart(found) == 0


@pytest.mark.needs("fsrm")
@pytest.mark.parametrize(("encoding", "differs"), [
    ("55", True), ("e811000000", True), ("6a05", False), ("ffd0", False),
])  # fmt: skip
def test_a_store_by_the_kernel_that_a_mapping_cuts_leaves_its_first_bytes(encoding: str, differs: bool) -> None:
    """A stack that begins 1 to 7 bytes beyond the end: bare nothing is written; left out by `kernel-may-store`."""
    with KernelJudge() as judge:
        found = next(judge.compare(iter([bytes.fromhex(encoding)]), hits=1, wanted=frozenset({STACK_EDGE}), each=True))
    cut = {d.state for d in found.deviations if d.difference.observable == "memory-values"}
    cut.discard("stack-edge end+7")  # one byte, which may be the same
    assert cut == ({f"stack-edge end+{k}" for k in range(1, 7)} if differs else set())
    assert (row(found).said, row(found).seen) == ("identical", "identical")
    assert row(found).assumed == (("kernel-may-store",) if differs else ())


def test_what_is_refuted_in_states_that_were_not_run_is_no_disagreement(monkeypatch: Patch) -> None:
    """A far call deviates where its pointer leads to the 32-bit segment, in none of the standard states."""
    with KernelJudge() as judge:
        standard, far = (next(judge.compare(iter([bytes.fromhex("48ff1b")]), hits=1, wanted=frozenset({k}), each=True))
                         for k in (STANDARD, FAR_32))
    assert (row(far).said, row(far).seen) == ("deviates", "deviates")
    found = Agreement("linux-uprobes-6.18")
    found.take(row(standard))
    assert (dict(found.counts), found.disagreements) == ({(ELSEWHERE, "identical"): 1}, [])
    monkeypatch.setattr(predictions.States, "deviating", lambda *_: predictions.Predicted(frozenset({"gprs"})))
    found.take(row(standard))
    assert [r.said for r in found.disagreements] == ["deviates"]
