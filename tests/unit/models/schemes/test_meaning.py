"""What programs mean where no scheme says it yet: runs that end otherwise than by TF, accesses made for the program."""

from __future__ import annotations

from collections.abc import Set as Set_
from dataclasses import replace

import pytest

from verify.claim.conditions import verification_condition
from verify.claim.obligations import compared, sides
from verify.claim.probes import probe
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.code import ORIGINAL, Code
from verify.models.schemes.identity import SCHEME
from verify.models.schemes.meaning import behaviours
from verify.models.schemes.program import (
    Agent,
    Breakpoints,
    Check,
    Context,
    Entry,
    Leaves,
    Load,
    Program,
    Run,
    Set,
    Shadow,
    Signal,
    TrapFlag,
)
from verify.models.schemes.vocabulary import (
    ERROR,
    FAULT_ADDRESS,
    IP,
    LENGTH,
    ORIGIN,
    SLOT,
    TF,
    VECTOR,
    field,
    first,
    loaded,
    register,
)
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import NO_FAULT
from verify.models.x86.semantics.run import OVERRIDDEN, SEGMENT_BASE, SMALL_ADDRESS
from verify.smt.z3terms import unsatisfiable
from verify.terms import FALSE, Term, add, const, eq, not_, sub

NEXT = add(ORIGIN, LENGTH)
TO_ORIGIN = Set("ip", add(IP, sub(ORIGIN, SLOT)))
OWN_TF = Set("tf", first(TF))
TRAP = (Check(first(TF), ()), Signal(5, 0, IP))
AS_AT_THE_ORIGIN = (Set("ip", ORIGIN), OWN_TF, Set("reported", FAULT_ADDRESS))


def refuted(program: Program, text: str, without: Set_[str] = frozenset()) -> set[str]:
    """The observables that are not proved of the program; the encoding's length is its own."""
    data = bytes.fromhex(text)
    p = probe(data, SCHEME, Cpu.AMD)
    material = verification_condition(p, ASSUMPTIONS - without)
    state, pair = sides(p, material)
    premises = (*material.premises, eq(material.setup.length, const(len(data), 64)))
    setup = replace(material.setup, instruction=lambda _: material.setup.original)  # each code here is a copy
    goals = [compared(material, replace(pair, there=(hit,))) for hit in behaviours(program, setup, state)]
    return {name for g in goals for name, goal in g.items() if not unsatisfiable((not_(goal), *premises))}


def boosted(length: int, located: bool = True) -> Program:
    """A copy behind which a jump leads back; the host clears TF for it, as kprobes does."""
    code = Code(ORIGINAL.pieces[:length], ((0, 0), (length, length)) if located else ((0, 0),))
    return Program((Set("tf", FALSE), Run(code, SLOT, Context(Leaves()), AS_AT_THE_ORIGIN)))


def until_behind(length: int) -> Program:
    """A copy with a breakpoint behind it."""
    end = Breakpoints((add(SLOT, const(length, 64)),))
    run = Run(ORIGINAL, SLOT, Context(end), AS_AT_THE_ORIGIN)
    return Program((Set("tf", FALSE), run, TO_ORIGIN, OWN_TF, *TRAP))


def test_a_boosted_copy_differs_by_the_programs_own_trap_alone() -> None:
    assert refuted(boosted(2), "89c8") == {"trap"}
    assert refuted(boosted(2, located=False), "89c8") == {"trap", "next-ip"}  # it stands behind the copy, not there


def test_a_breakpoint_behind_the_copy_ends_the_run() -> None:
    assert refuted(until_behind(2), "89c8") == set()
    assert refuted(until_behind(3), "89c8") == {"next-ip", "trap"}  # the run does not stop where it should


def test_a_repeated_instruction_is_hit_again_under_tf_only() -> None:
    step = Program((Run(ORIGINAL, SLOT, Context(TrapFlag()), AS_AT_THE_ORIGIN), TO_ORIGIN, OWN_TF, *TRAP))
    assert "hits" in refuted(step, "f3a4")
    assert refuted(until_behind(2), "f3a4") & {"hits", "next-ip"} == set()


def test_a_copy_under_the_programs_own_tf_is_not_contained() -> None:
    run = Run(ORIGINAL, SLOT, Context(Breakpoints((add(SLOT, LENGTH),))), AS_AT_THE_ORIGIN)
    assert refuted(Program((run, TO_ORIGIN)), "89c8") == {"containment"}


def test_a_fault_that_the_host_changes_or_forgets_is_told() -> None:
    def step(*on_fault: Set) -> Program:
        return Program(
            (Run(ORIGINAL, SLOT, Context(TrapFlag()), (*AS_AT_THE_ORIGIN, *on_fault)), TO_ORIGIN, OWN_TF, *TRAP)
        )

    for text, found in (("89c8", set[str]()), ("488b06", {"fault"})):  # the first one cannot fault
        assert refuted(step(), text) == set()
        assert refuted(step(Set("vector", const(14, 8))), text) == found
        assert refuted(step(Set("vector", const(NO_FAULT, 8))), text) == found
        assert refuted(step(Set("error", const(4, 32))), text) == found


def test_what_the_host_writes_to_the_shadow_stack_is_compared_entry_by_entry() -> None:
    """CALL near pushes one entry, CALL far three, the address of the next instruction second: SDM vol. 1, 17.2.1."""

    def called(text: str, *written: Shadow) -> set[str]:
        step = (Run(ORIGINAL, SLOT, Context(TrapFlag()), AS_AT_THE_ORIGIN), *written, OWN_TF, *TRAP)
        return refuted(Program(step), text, {"no-shadow-stack"}) & {"shadow-stack"}

    for text, depth in (("ffd0", 0), ("ff18", 1)):
        assert called(text) == called(text, Shadow(NEXT, 1 - depth)) == called(text, Shadow(NEXT)) == {"shadow-stack"}
        assert called(text, Shadow(NEXT, depth)) == set()
    assert called("ffd0", Shadow(NEXT, 1)) == {"shadow-stack"}  # an entry of before
    assert called("89c8", Shadow(NEXT)) == {"shadow-stack"}


def load(agent: Agent, *otherwise: Signal) -> Program:
    """An emulated `mov rax, [rsi + disp8]`."""
    read = Load("value", add(register(6), field(3, 1)), 8, otherwise, agent)
    return Program((read, Set(0, loaded("value", 8)), Set("ip", NEXT), *TRAP))


def test_an_emulated_load_passes_its_fault_on() -> None:
    passed_on = Signal(11, 1, FAULT_ADDRESS, VECTOR, ERROR)
    assert "fault" not in ended(load(Agent.PROGRAM))  # delivered as the program's own
    assert "fault" in ended(load(Agent.HOST))  # the host gives up, and nobody is told
    assert "fault" in ended(load(Agent.HOST, Signal(11, 1, FAULT_ADDRESS)))  # a signal that no fault gives
    assert "fault" not in ended(load(Agent.PROGRAM, passed_on))


def ended(program: Program) -> set[str]:
    """What differs of the load where the class has its registers fixed."""
    data = bytes.fromhex("488b4610")
    p = probe(data, SCHEME, Cpu.AMD)
    material = verification_condition(p)
    state, pair = sides(p, material)
    f = material.setup.original.fields
    premises = [
        *material.premises, eq(material.setup.length, const(4, 64)), eq(f.reg, const(0, 4)), eq(f.base, const(6, 4)),
        f.based, not_(f.indexed), eq(f.disp, const(0x10, 64)), *unsegmented(),
    ]  # fmt: skip
    setup = replace(material.setup, displacement=lambda *_: const(0x10, 64))
    goals = [compared(material, replace(pair, there=(hit,))) for hit in behaviours(program, setup, state)]
    return {name for g in goals for name, goal in g.items() if not unsatisfiable((not_(goal), *premises))}


def unsegmented() -> tuple[Term, ...]:
    return not_(OVERRIDDEN), eq(SEGMENT_BASE, const(0, 64)), not_(SMALL_ADDRESS)


def test_without_a_probe_the_original_runs_at_the_origin() -> None:
    assert refuted(Program((Run(ORIGINAL, ORIGIN, Context(Leaves())),), Entry.NONE), "488b4610") == set()


@pytest.mark.parametrize(
    "program",
    [
        Program((Run(ORIGINAL, SLOT, Context(TrapFlag(), fs_base=Agent.HOST)),)),
        Program((Run(ORIGINAL, SLOT, Context(TrapFlag(), gs_base=Agent.HOST)),)),
        Program((Run(ORIGINAL, SLOT, Context(Leaves(), instructions=2)),)),
        Program((), Entry.NONE),
    ],
)
def test_what_is_not_modelled_is_told(program: Program) -> None:
    with pytest.raises(ValueError, match="modelled"):
        refuted(program, "89c8")
