"""The modes: each constant held, what differs at CPL 0, and that no other mode is judged."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from tests.unit.models.x86.semantics.executed import DATA, ORIGIN, STACK, executed, instruction
from verify.claim.premises import instances
from verify.claim.verdicts import Verdict
from verify.judge.encoding import Judge
from verify.models.schemes.code import ORIGINAL, Byte, Code
from verify.models.schemes.identity import SCHEME
from verify.models.schemes.linux.actions import AT_ORIGIN, OWN_TF, TRAPPED
from verify.models.schemes.linux.actions import moved as ip_moved
from verify.models.schemes.program import Context, Program, Run, Set, TrapFlag
from verify.models.schemes.scheme import Scheme
from verify.models.schemes.vocabulary import ORIGIN as AT
from verify.models.schemes.vocabulary import SLOT
from verify.models.x86 import mode as modes
from verify.models.x86.environment import Environment
from verify.models.x86.isa.decode import NotModelled, decode
from verify.models.x86.isa.forms import Cpu, all_opcodes
from verify.models.x86.machine import symbolic_state
from verify.models.x86.mode import KERNEL_64, USER_64, Mode, is_canonical
from verify.models.x86.semantics.dispatch import execute
from verify.models.x86.semantics.run import access_fault
from verify.models.x86.semantics.supervisor import gap
from verify.terms import FALSE, Term, const, eq, var
from verify.terms.evaluation import evaluate, number

UPPER = 0xFFFF_8000_0000_0000  # the first address of the kernel's half: Documentation/arch/x86/x86_64/mm.rst
OTHER_32 = replace(USER_64, name="32-bit mode", bits=32, stack_width=32, address_widths=(32, 16), canonical_bits=32)
LEVEL_1 = replace(KERNEL_64, name="64-bit mode, CPL 1", cpl=1)
AT_CPL0 = replace(SCHEME, name="identity at CPL 0", mode=KERNEL_64, holds=frozenset({"user-half"}))


def moved(mode: Mode) -> int:
    return STACK - executed("50", mode=mode).rsp  # push rax


def address(text: str, mode: Mode, **given: int) -> int:
    (_, where, _, _), *_ = executed(text, mode=mode, **given).accesses
    return where


def refuses(term: Term) -> bool:
    return evaluate((term,), {}, Environment())[0] == 0


def raised(mode: Mode, where: int) -> int:
    """What a read of 8 bytes raises where CR4.SMAP is 1: SDM vol. 3, 4.6.1."""
    vector, *_ = access_fault("r", const(where, 64), 8, FALSE, mode)
    return number(evaluate((vector,), {"smap": 1}, Environment())[0])


HELD: dict[str, tuple[object, Callable[[Mode], bool]]] = {
    # constant -> another value, and what the manual says of the mode, which is false with the other value
    "stack_width": (32, lambda m: moved(m) == 8 and executed("c3", mode=m).rsp == STACK + 8),
    "address_widths": ((32, 64), lambda m: address("678b03", m, rbx=1 << 33 | 0x1_2345) == 0x1_2345),
    "canonical_bits": (57, lambda m: refuses(is_canonical(const(1 << 47, 64), m)) and m.half == 0x8000_0000_0000),
    "linear_segments": (("gs",), lambda m: address("648b03", m, rbx=DATA, fs_base=0x100) == DATA + 0x100),
    "cpl": (0, lambda m: executed("fa", mode=m).fault == 13),  # cli
    "bits": (32, lambda m: modes.refusal(m) is None),
    "on_behalf": (True, lambda m: raised(m, UPPER) == 14),
    "reaches_user": (False, lambda m: raised(replace(m, on_behalf=True), DATA) == 0xFF),
    "name": ("another", lambda m: m.name == "64-bit mode, CPL 3"),
}


@pytest.mark.parametrize("name", [f.name for f in fields(Mode)])
def test_a_constant_is_held_by_what_the_manual_says(name, monkeypatch):
    other, holds = HELD[name]
    changed = replace(USER_64, **{name: other})
    assert holds(USER_64)
    if name != "bits":
        monkeypatch.setattr(modes, "MODELLED", (changed,))
    assert not holds(changed)


def test_both_modes_differ_in_their_level_alone():
    assert replace(KERNEL_64, name=USER_64.name, cpl=3) == USER_64


@pytest.mark.parametrize("mode", [OTHER_32, LEVEL_1], ids=lambda m: m.name)
def test_any_other_mode_is_refused_by_name(mode):
    answer = decode(b"\x90", Cpu.INTEL, mode)
    assert isinstance(answer, NotModelled) and mode.name in answer.reason
    with pytest.raises(ValueError, match=mode.name):
        replace(SCHEME, mode=mode)
    with pytest.raises(ValueError, match=mode.name):
        execute(instruction("90", mode=mode), symbolic_state(const(ORIGIN, 64)))


@pytest.mark.parametrize("changes", [{"bits": 16}, {"cpl": 4}, {"canonical_bits": 65}])
def test_what_is_no_mode_cannot_be_made(changes):
    with pytest.raises(ValueError, match="a mode has"):
        replace(USER_64, **changes)


# What is otherwise at CPL 0, by the manual.


@pytest.mark.parametrize("text, flag, value", [
    ("fa", "interrupts", 0), ("fb", "interrupts", 1),  # cli, sti: SDM vol. 2, whatever IOPL
    ("0f01ca", "ac", 0), ("0f01cb", "ac", 1),  # clac, stac
])  # fmt: skip
@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("iopl", [0, 3])
def test_flags_that_cpl0_sets(text, flag, value, before, iopl):
    found = executed(text, mode=KERNEL_64, iopl=iopl, **{flag: before})
    assert (found.fault, getattr(found, flag)) == (0xFF, value)
    assert executed(text, iopl=iopl).fault == (13 if flag == "interrupts" else 6)  # at CPL 3: #GP(0), #UD


@pytest.mark.parametrize("text", ["9d", "669d"])  # popfq, popfw: SDM vol. 2, table 4-16
def test_popf_loads_if_and_iopl_at_cpl0_alone(text):
    image = 0x3202  # IOPL 3, IF
    found = executed(text, mode=KERNEL_64, memory={UPPER: image}, rsp=UPPER)
    assert (found.interrupts, found.iopl) == (1, 3)
    assert (found.fault, executed(text, memory={STACK: image}).iopl) == (0xFF, 0)


def test_pushf_shows_if_and_iopl_of_the_state():
    (_, _, _, value), = executed("9c", mode=KERNEL_64, iopl=2).accesses
    assert value == 0x2002
    (_, _, _, value), = executed("9c", mode=KERNEL_64, interrupts=1).accesses
    assert value == 0x202


@pytest.mark.parametrize("text, size", [("0f0103", 10), ("0f010b", 10), ("0f0003", 2), ("0f000b", 2), ("0f0123", 2)])
def test_umip_concerns_programs_alone(text, size):
    """sgdt, sidt, sldt, str, smsw: the processor answers, at its own length, and moves ip itself."""
    found = executed(text, mode=KERNEL_64, rbx=DATA | UPPER)
    assert found.fault == 0xFF and not found.kernel_completes
    assert [(kind, n) for kind, _, n, _ in found.accesses] == [("w", size)]


@pytest.mark.parametrize("text, width", [("0f00c8", 32), ("480f00c8", 64), ("660f00c8", 16)])  # str
def test_a_selector_is_zero_extended_to_the_operand(text, width):
    before = (1 << 64) - 1
    found = executed(text, mode=KERNEL_64, rax=before, answers={"str": 0x40}).rax
    assert found == (0x40 if width > 16 else before & ~0xFFFF | 0x40)


def test_ports_are_open_whatever_iopl():
    for text, width in (("ec", 8), ("66ed", 16), ("ed", 32), ("e460", 8)):
        found = executed(text, mode=KERNEL_64, answers={f"port_in_{width}": 0x5A}, rdx=0x60)
        assert (found.fault, found.rax) == (0xFF, 0x5A)
    assert executed("ee", mode=KERNEL_64, rdx=0x60, opaque=7).opaque & 0xFFFF_FFFF == 7  # PKRU stays
    assert executed("ee").fault == 13


@pytest.mark.parametrize("text, names", [("0fa2", "cpuid"), ("0f31", "rdtsc"), ("0f01fd", "rdpru")])
def test_what_a_kernel_closes_to_programs_is_open_at_cpl0(text, names):
    closed = {f"{names}.refuses": 1}
    assert executed(text, answers=closed).fault != 0xFF
    assert executed(text, mode=KERNEL_64, answers=closed).fault == 0xFF


def test_alignment_is_checked_at_cpl3_alone():
    """SDM vol. 3, 6.15, interrupt 17."""
    misaligned = {"ac": 1, "rbx": DATA + 1}
    assert executed("8b03", **misaligned).fault == 17
    assert executed("8b03", mode=KERNEL_64, **{**misaligned, "rbx": UPPER + 1}).fault == 0xFF


@pytest.mark.parametrize("where, at_cpl3, at_cpl0", [
    (DATA, 0xFF, 14), (UPPER, 14, 0xFF), (0x8000_0000_0000, 13, 13), (UPPER - 1, 13, 13), ((1 << 64) - 4, 14, 14),
])  # fmt: skip
def test_each_level_has_its_half(where, at_cpl3, at_cpl0):
    assert (executed("488b03", rbx=where).fault, executed("488b03", mode=KERNEL_64, rbx=where).fault) == (
        at_cpl3, at_cpl0,
    )  # fmt: skip


@pytest.mark.parametrize("mode, inside, outside", [(USER_64, DATA, UPPER), (KERNEL_64, UPPER, DATA)])
def test_the_premise_of_user_half_is_the_level_s_own(mode, inside, outside):
    where = var("where", 64)
    fault = access_fault("r", where, 8, FALSE, mode)[0]
    (premise,) = instances(eq(fault, const(0xFF, 8)), frozenset({"user-half"}))
    mapped = {"where": inside}, {"where": outside}

    class Mapped(Environment):
        def function(self, name, sort, args):
            return 0xFF

    assert [evaluate((premise,), env, Mapped())[0] for env in mapped] == [1, 0]


# What has no model at CPL 0 is named.

NAMED = (
    "wrmsr", "mov", "iretq", "retf", "syscall", "swapgs", "lgdt", "hlt", "int", "insb", "vmcall", "xsaves", "monitor",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_has_no_model_is_refused_by_name(name):
    row = next(r for r in all_opcodes() if r.mnemonic == name and gap(r, KERNEL_64))
    assert gap(row, KERNEL_64) == f"{name} in 64-bit mode, CPL 0" and gap(row, USER_64) is None
    with pytest.raises(ValueError, match=f"not modelled: {name} in"):
        execute(replace(instruction("90", mode=KERNEL_64), opcode=row), symbolic_state(const(ORIGIN, 64)))


def test_every_opcode_that_needs_cpl0_runs_there_or_is_named():
    """None is left with the fault that a program gets."""
    for row in (r for r in all_opcodes() if r.must_be_cpl0):
        assert gap(row, KERNEL_64) or row.mnemonic in {"cli", "sti", "clac", "stac", "rdmsr", "wbinvd", "wbnoinvd"}


# The theorem at CPL 0.


def step(code: Code, length: int) -> Program:
    run = Run(code, SLOT, Context(TrapFlag(), cpl=0), (Set("ip", AT), OWN_TF, AT_ORIGIN))
    return Program((run, ip_moved(), OWN_TF, *TRAPPED), length=length)


def stepped(_: bytes) -> Program:
    return step(ORIGINAL, 4)


STEPPING = Scheme(
    "steps at CPL 0", "a copy is stepped, ip is moved back", "none: a check", stepped, mode=KERNEL_64,
    holds=frozenset({"user-half"}),
)  # fmt: skip


ANY_LEVEL = ("90", "fa", "fb", "9d", "488b03", "50", "c3", "0f0103", "ec", "0f32", "0fa2", "0f01cb")


@pytest.mark.parametrize("text", ANY_LEVEL)
def test_identity_is_proved_at_cpl0(text):
    found = Judge(AT_CPL0).judgement(bytes.fromhex(text), Cpu.INTEL)
    assert found.verdict is Verdict.PROVED, found


@pytest.mark.parametrize("text, refuted", [("fa", set()), ("488b03", set()), ("9c", {"memory-values", "trap"})])
def test_a_step_is_judged_at_cpl0(text, refuted):
    found = Judge(STEPPING).judgement(bytes.fromhex(text), Cpu.INTEL)
    assert {name for name, verdict in found.observables if verdict is not Verdict.PROVED} == refuted
    assert {d.observable for d in found.deviations} == refuted  # each of them replays


def test_a_gap_is_an_unknown_of_the_encoding():
    found = Judge(AT_CPL0).judgement(bytes.fromhex("0f30"), Cpu.INTEL)
    assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "not modelled: wrmsr in 64-bit mode, CPL 0")


def test_a_gap_of_the_copy_is_one_too():
    wrmsr = Code(tuple(Byte(None, bits=b) for b in bytes.fromhex("0f30") + bytes(14)))
    scheme = replace(STEPPING, plan=lambda data: step(wrmsr, 1))
    found = Judge(scheme).judgement(b"\x90", Cpu.INTEL)
    assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "not modelled: wrmsr in 64-bit mode, CPL 0")


def test_a_scheme_at_cpl0_holds_its_half():
    with pytest.raises(ValueError, match="user-half"):
        replace(SCHEME, mode=KERNEL_64)
