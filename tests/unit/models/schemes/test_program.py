"""Programs are valid when built; what other schemes need of the language can be said, and has a text of its own.

The programs below follow the fact pages of Linux uprobes, kprobes and of execution in the kernel, of GDB, Frida and
Detours: no scheme is made of them yet.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from verify.models.schemes.code import ORIGINAL, Byte, Code, Word
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
    Store,
    TrapFlag,
)
from verify.models.schemes.program_text import shape, text
from verify.models.schemes.scheme import Refuse
from verify.models.schemes.vocabulary import (
    AT_IP,
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
    own,
    register,
)
from verify.terms import FALSE, add, const, eq, extract, or_, sub, uf, ult, var

STEP = Context(TrapFlag())
RSP = 4
BACK = add(sub(ORIGIN, SLOT), LENGTH)  # rel32 of a jump behind a copy of the same length, but for its own 5 bytes
JUMP_BACK = (Byte(None, bits=0xE9), Word(sub(BACK, const(8, 64)), 4))
USER_END = const(1 << 47, 64)

SAID = {
    "uprobes: a step": Program(
        (Run(ORIGINAL, SLOT, STEP, (Set("ip", ORIGIN),)), Set("ip", add(IP, sub(ORIGIN, SLOT))))
    ),
    "kprobes: a boosted copy that jumps back": Program(
        (Set("tf", FALSE), Run(Code(tuple(map(Byte, range(3))) + JUMP_BACK, ((0, 0), (3, 3))), SLOT, Context(Leaves())))
    ),
    "execution in the kernel, checked": Program(
        (
            Check(ult(add(register(6), field(3, 4)), USER_END), (Signal(11, 1, add(register(6), field(3, 4))),)),
            Set("ac", const(1, 1)),
            Run(
                ORIGINAL,
                SLOT,
                Context(Breakpoints((add(SLOT, LENGTH),)), 0, gs_base=Agent.HOST),
                (Set("error", or_(ERROR, const(4, 32))), Set("reported", FAULT_ADDRESS), Set("ip", ORIGIN)),
            ),
            Set("ip", add(IP, sub(ORIGIN, SLOT))),
        )
    ),
    "GDB: a call's return address is moved": Program(
        (
            Run(ORIGINAL, SLOT, STEP, (Set("ip", add(IP, sub(ORIGIN, SLOT))),)),
            Load("return", register(RSP), 8),
            Store(register(RSP), add(loaded("return", 64 // 8), sub(ORIGIN, SLOT)), 8),
        )
    ),
    "GDB: step in place under debug registers": Program(
        (Run(ORIGINAL, ORIGIN, Context(Breakpoints((add(ORIGIN, LENGTH), add(ORIGIN, field(1, 4))), True))),)
    ),
    "Frida: a call by push and absolute jump, several instructions": Program(
        (
            Run(
                Code((Byte(None, bits=0x50), Byte(None, bits=0xB8), Word(add(ORIGIN, LENGTH), 8))),
                SLOT,
                Context(Leaves(), instructions=4),
            ),
        ),
        Entry.JUMP,
    ),
    "Detours: rip-relative with another displacement": Program(
        (
            Run(
                Code(
                    (*map(Byte, range(3)), Word(add(field(3, 4), sub(ORIGIN, SLOT)), 4), *JUMP_BACK), ((0, 0), (7, 7))
                ),
                SLOT,
                Context(Leaves()),
            ),
        ),
        Entry.JUMP,
    ),
    "an emulated load, its fault passed on": Program(
        (
            Load("value", register(6), 8, (Signal(11, 1, FAULT_ADDRESS, VECTOR, ERROR),), Agent.PROGRAM),
            Set(0, loaded("value", 8)),
            Set("ip", add(ORIGIN, LENGTH)),
        )
    ),
    "a register that the host loses": Program((Set(3, own("rbx", 64)), Set("ip", add(ORIGIN, LENGTH)))),
    "another plan from the second hit on": Program((), later=Program((Set("ip", add(ORIGIN, LENGTH)),))),
    "the shadow stack": Program((Shadow(add(ORIGIN, LENGTH)), Shadow(ORIGIN, 0), Shadow(ORIGIN, 1))),
}


def test_what_other_schemes_need_can_be_said_and_told_apart() -> None:
    texts = {name: text(program) for name, program in SAID.items()}
    assert len(set(texts.values())) == len(SAID)
    assert texts["kprobes: a boosted copy that jumps back"].splitlines() == [
        "entered by kernel",
        "tf := 0x0:1",
        "run [0..2] e9 {(LENGTH + ORIGIN - SLOT - 0x8)}:4 alike 0=0 3=3 at SLOT, until it leaves, cpl 3",
    ]
    assert texts["execution in the kernel, checked"].splitlines()[1:] == [
        "check (ult (field.3.4 + rsi) 0x800000000000)",
        "  otherwise",
        "    signal 11, si_code 1, si_addr (field.3.4 + rsi)",
        "ac := 0x1:1",
        "run [0..15] at SLOT, breakpoints at (LENGTH + SLOT), cpl 0, gs base of the host",
        "  on a fault",
        "    error := (or 0x4:32 fault.error)",
        "    reported := fault.address",
        "    ip := ORIGIN",
        "ip := (ORIGIN + ip - SLOT)",
    ]
    assert texts["the shadow stack"].splitlines()[1:] == [
        "shadow stack, pushed := (LENGTH + ORIGIN)",
        "shadow stack, 0 := ORIGIN",
        "shadow stack, 1 := ORIGIN",
    ]
    assert text(Refuse("no", 22)) == "refused: no (errno 22)"


@pytest.mark.parametrize("name", SAID)
def test_any_change_of_a_program_shows_in_its_text(name: str) -> None:
    """One more action, another entry, one fewer action: three other texts."""
    program = SAID[name]
    changed = [
        Program((Set("of", FALSE), *program.actions), program.entry, program.later),
        Program(program.actions, Entry.NONE, program.later),
        Program(program.actions[1:] or (Set("zf", FALSE),), program.entry, program.later)
        if not any(isinstance(a, Load) for a in program.actions[:1])
        else Program((), program.entry),
    ]
    assert len({text(p) for p in (program, *changed)}) == 4


@pytest.mark.parametrize(
    ("sentence", "built"),
    {
        "sort": lambda: Set("ip", const(0, 32)),
        "no component": lambda: Set("rip", ORIGIN),
        "0..15": lambda: Set(16, ORIGIN),
        "no variable": lambda: Set("ip", var("origin", 64)),
        "no function": lambda: Set("ip", uf("abort_handler", 64)),
        "a field must lie": lambda: field(13, 4),
        "size 3": lambda: field(0, 3),
        "address of 64": lambda: Load("x", const(0, 32), 8),
        "needs 32 bits": lambda: Store(register(4), const(0, 64), 4),
        "one bit": lambda: Check(ORIGIN, ()),
        "signals are": lambda: Signal(0, 0, IP),
        "64, 8 and 32": lambda: Signal(11, 0, IP, ORIGIN),
        "not a byte": lambda: Byte(None, keep=0x0F),
        "a word of code": lambda: Word(ORIGIN, 3),
        "code has pieces": lambda: Code(()),
        "64 bits an entry": lambda: Shadow(const(0, 32)),
        "and a depth": lambda: Shadow(ORIGIN, -1),
        "a breakpoint has": lambda: Breakpoints(()),
        "CPL is": lambda: Context(TrapFlag(), cpl=4),
        "instruction runs": lambda: Context(TrapFlag(), instructions=0),
        "at SLOT or at ORIGIN": lambda: Run(ORIGINAL, IP, STEP),
        "no third": lambda: Program((), later=Program((), later=Program(()))),
        "before it is loaded": lambda: Program((Set(0, loaded("x", 8)), Load("x", IP, 8))),
        "another size": lambda: Program((Load("x", IP, 8), Set("fop", extract(loaded("x", 4), 10, 0)))),
        "no fault is pending": lambda: Program((Set("reported", ORIGIN),)),
        "where no fault": lambda: Program((Check(AT_IP, ()),)),
        "one length of": lambda: Program((), length=17),
        "one length": lambda: Program((), later=Program((), length=5), length=4),
        "does not come back": lambda: Program((Run(ORIGINAL, SLOT, Context(Leaves())), Set("ip", ORIGIN))),
    }.items(),
)
def test_what_cannot_be_meant_cannot_be_built(sentence: str, built: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=sentence):
        built()


def test_first_is_the_same_expression_of_the_state_at_the_hit() -> None:
    assert text(Program((Check(eq(TF, first(TF)), ()),))).splitlines()[1] == "check (not (xor old(tf) tf))"
    assert first(add(ORIGIN, register(0))) is not add(ORIGIN, register(0))
    assert first(ORIGIN) is ORIGIN


def test_the_order_of_what_commutes_is_the_texts_own() -> None:
    """Whichever term was made first: a text is the same in every process."""
    a, b = own("a", 64), own("b", 64)
    assert text(Program((Set(0, add(b, a)),))) == text(Program((Set(0, add(a, b)),)))
    assert text(Program((Set(0, or_(b, a)),))) == text(Program((Set(0, or_(a, b)),)))


def test_a_shape_numbers_code_and_fields_and_nothing_else() -> None:
    def jump(offset: int, size: int, length: int) -> Program:
        return Program((Set("ip", add(add(ORIGIN, LENGTH), field(offset, size))),), length=length)

    near, prefixed = shape(jump(1, 4, 5)), shape(jump(2, 4, 6))
    assert near.text == prefixed.text == "entered by kernel\nip := (LENGTH + ORIGIN + field 0)"
    assert (near.fields, prefixed.fields) == (((1, 4),), ((2, 4),))
    assert near.uses_length and near.branches and near.applies and not (near.stores or near.names_registers)
    copy = shape(SAID["Detours: rip-relative with another displacement"])
    assert copy.text.splitlines()[1] == "run code 0 at SLOT, until it leaves, cpl 3"
    assert len(copy.codes) == 1 and not copy.applies
    assert shape(SAID["an emulated load, its fault passed on"]).names_registers
