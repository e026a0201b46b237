"""Plans of linux-uprobes-6.18 against the facts of arch/x86/kernel/uprobes.c and a running kernel's refusals."""

from itertools import product
from pathlib import Path

import pytest

from verify.claim.conditions import verification_condition
from verify.claim.probes import probe
from verify.models.schemes.linux.uprobes_6_18 import plan
from verify.models.schemes.meaning import behaviours
from verify.models.schemes.program import Program
from verify.models.schemes.program_text import text as canonical
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.scheme import Refuse
from verify.models.x86.environment import Environment
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import symbolic_state
from verify.terms.evaluation import evaluate

REFUSALS = Path(__file__).parent / "data" / "linux_6_18_44_refusals.tsv"
RSI, RDI, RBX = 6, 7, 3
HOLDS = {  # SDM vol. 1, table B-1, by the even codes; an odd code is the negation of the one before
    0x0: lambda cf, pf, zf, sf, of: of,
    0x2: lambda cf, pf, zf, sf, of: cf,
    0x4: lambda cf, pf, zf, sf, of: zf,
    0x6: lambda cf, pf, zf, sf, of: cf or zf,
    0x8: lambda cf, pf, zf, sf, of: sf,
    0xA: lambda cf, pf, zf, sf, of: pf,
    0xC: lambda cf, pf, zf, sf, of: sf != of,
    0xE: lambda cf, pf, zf, sf, of: zf or sf != of,
}
NAMES = {RSI: "rsi", RDI: "rdi", RBX: "rbx"}
# What the source does, in the lines of a plan: send_sig where the program's TF was set, regs->ip, regs->flags.
TRAPPED = ("check old(tf)", "  otherwise done", "signal 5, si_code 0, si_addr ip")
NEXT = "(LENGTH + ORIGIN)"
NOP = (f"ip := {NEXT}", *TRAPPED)
ABORTED = ("ip := ORIGIN", "tf := old(tf)", "reported := (ite fault.at_ip ORIGIN fault.address)")
TF, IP = ("tf := old(tf)",), ("ip := (ORIGIN + ip - SLOT)",)
CALL = (
    "check (eq (extract 31 16 old(selectors)) (extract 31 16 selectors))", "  otherwise",
    "    4 bytes at rsp := ((extract 31 0 LENGTH) + (extract 31 0 ORIGIN)), on the stack", "      otherwise",
    "        rsp := (rsp + 0x4)", "        ip := ORIGIN", *(f"    {line}" for line in TRAPPED),
    f"8 bytes at rsp := {NEXT}, on the stack", "  otherwise", "    rsp := (rsp + 0x8)", "    ip := ORIGIN",
)  # fmt: skip
FLAGS = {0: "of", 7: "(not (or cf zf))", 5: "(not zf)", 0xF: "(not (or (xor of sf) zf))"}  # SDM vol. 1, table B-1
LATER = (
    "later hits, entered by kernel", f"8 bytes at (rsp - 0x8) := {NEXT}, on the stack, by the program",
    "  otherwise done", "8 bytes at (rsp - 0x10) := rcx, on the stack, by the program", "  otherwise done",
    "8 bytes at (rsp - 0x18) := r11, on the stack, by the program", "  otherwise done",
    "8 bytes at (rsp - 0x20) := rax, on the stack, by the program", "  otherwise done", f"ip := {NEXT}",
)  # facts, section 7: push rcx; push r11; push rax, behind the call's own return address


def planned(text: str):
    return plan(bytes.fromhex(text).ljust(16, b"\x90"))


def lines(text: str) -> tuple[int, tuple[str, ...]]:
    """The length that the kernel's decoder sees, and the plan's actions."""
    found = planned(text)
    head, *rest = canonical(found).splitlines()
    assert head == f"entered by kernel, length {found.length}"
    return found.length, tuple(rest)


def jump(field: str) -> tuple[str, ...]:
    return (f"ip := (LENGTH + ORIGIN + {field})" if field else f"ip := {NEXT}", *TRAPPED)


def jump_if(condition: int, field: str) -> tuple[str, ...]:
    return (f"check {FLAGS[condition]}", "  otherwise", *(f"    {line}" for line in NOP), *jump(field))


def stored(value: str, code: str, behind: tuple[str, ...]) -> tuple[str, ...]:
    """The store below rsp, and the step in its place where it fails."""
    run = (f"    run {code} at SLOT, under TF, cpl 3", "      on a fault", *(f"        {line}" for line in ABORTED))
    more = (*run, *(f"    {line}" for line in ("tf := old(tf)", *behind)), "rsp := (rsp - 0x8)")
    return f"8 bytes at (rsp - 0x8) := {value}, on the stack", "  otherwise", *more


def call(field: str, code: str) -> tuple[str, ...]:
    return (*stored(NEXT, code, ("rsp := (rsp + 0x8)", "ip := ORIGIN")), *jump(field))


def push(name: str) -> tuple[str, ...]:
    return (*stored(name, "[0..15]", TRAPPED), *NOP)


def step(fixups: tuple[str, ...], code: str = "[0..15]", scratch: str = "") -> tuple[str, ...]:
    restored = (f"{scratch} := old({scratch})",) if scratch else ()
    return (
        *((f"{scratch} := {NEXT}",) if scratch else ()), f"run {code} at SLOT, under TF, cpl 3", "  on a fault",
        *(f"    {line}" for line in (*restored, *ABORTED)), *restored, *fixups, *TRAPPED,
    )  # fmt: skip


def kernel_rows():
    for line in REFUSALS.read_text().splitlines():
        if not line.startswith("#"):
            shown, errno = line.split("\t")
            yield bytes.fromhex(shown), int(errno)


def test_every_stored_refusal_of_the_running_kernel_is_planned():
    rows = list(kernel_rows())
    found = [(data.hex(), errno, p.errno if isinstance(p := plan(data), Refuse) else 0) for data, errno in rows]
    assert len(rows) > 500
    assert {errno for _, errno in rows} == {0, 8, 524}
    assert [row for row in found if row[1] != row[2]] == []


@pytest.mark.parametrize(
    ("text", "errno"),
    [
        ("cc", 524),
        ("f04801", 524),
        ("2e90", 524),
        ("3eff10", 524),
        ("1f", 524),
        ("8ed0", 524),  # mov ss
        ("c4e2798ed1", 524),  # vpmaskmovd with modrm.reg 2 is taken for mov ss
        ("cd80", 524),
        ("f4", 524),
        ("66e811223344", 524),
        ("6670", 524),
        ("660f8011223344", 524),
        ("66eb00", 524),
        ("9a", 524),
        ("62f36730620f11", 8),
        ("66" * 15, 8),
    ],
)
def test_refused(text, errno):
    found = planned(text)
    assert isinstance(found, Refuse)
    assert found.errno == errno


@pytest.mark.parametrize(
    ("text", "effect", "length"),
    [
        ("90", NOP, 1),
        ("f390", NOP, 2),
        ("4190", NOP, 2),  # xchg r8d,eax; seen on 6.18.44: the exchange is lost
        ("0f1f00", NOP, 3),
        ("0f1f840000000000", NOP, 8),
        ("eb10", jump("field.1.1"), 2),
        ("e911223344", jump("field.1.4"), 5),
        ("e811223344", call("field.1.4", "[0..0] 00 00 00 00 [5..15]"), 5),
        ("48e811223344", call("field.2.4", "[0..1] 00 00 00 00 [6..15]"), 6),
        ("7510", jump_if(5, "field.1.1"), 2),
        ("f37510", jump_if(5, "field.2.1"), 3),
        ("0f8f11223344", jump_if(15, "field.2.4"), 6),
        ("50", push("rax"), 1),
        ("54", push("rsp"), 1),
        ("4157", push("r15"), 2),
        ("c5f877", jump_if(7, ""), 3),  # vzeroupper; seen on 6.18.44: nothing is zeroed
        ("c5f970c1e4", jump_if(0, "field.4.1"), 5),  # vpshufd
        ("c5f9e8c0", call("", "[0..15]"), 4),
        ("c5f9e9c0", jump(""), 4),
        ("8fe97890c0", (*NOP, *LATER), 5),  # vprotb of XOP
    ],
)
def test_emulated(text, effect, length):
    assert lines(text) == (length, effect)


@pytest.mark.parametrize(
    ("text", "is_optimised"),
    [
        ("0f1f440000", True),
        ("0f1f440001", True),  # not the kernel's own nop
        ("66660f1f00", True),
        ("6666666690", True),
        ("f3f3f3f390", True),
        ("c4e17890ca", True),  # kmovw k1,k2: opcode byte 90, five bytes
        ("0f1f00", False),
        ("90", False),
        ("0f1f400090", False),  # four bytes and a nop
    ],
)
def test_five_byte_nops_are_optimised(text, is_optimised):
    is_own = text not in {"0f1f440001", "66660f1f00"}  # among x86_nops; what is not is stepped at the first hit
    first = NOP if is_own else step((*TF, *IP))
    assert lines(text)[1] == (*first, *(LATER if is_optimised else ()))


@pytest.mark.parametrize(
    ("text", "fixups"),
    [
        ("4889d8", (*TF, *IP)),
        ("660f1f840000000000", (*TF, *IP)),  # the kernel's own nop of nine bytes begins with 2e; seen on 6.18.44
        ("9d", IP),
        ("c3", TF),
        ("c20800", TF),
        ("ca0800", TF),
        ("cb", TF),
        ("ffd0", (*TF, *CALL)),
        ("ff18", (*TF, *CALL)),
        ("ffe0", TF),
        ("ff28", TF),
        ("ff30", (*TF, *IP)),
        ("0f05", (*TF, *IP)),
        ("e200", (*TF, *IP)),
        ("4050", (*TF, *IP)),  # push with a REX that is not 41
        ("4951", (*TF, *IP)),
        ("c5f850c0", (*TF, *IP)),  # vmovmskps: too long for a push
        ("c5f8c2c000", TF),  # vcmpps is taken for ret
        ("c4e2719dc2", IP),  # vfnmadd132ss is taken for popf
    ],
)
def test_fixups_of_a_step(text, fixups):
    assert lines(text)[1] == step(fixups)


@pytest.mark.parametrize(
    ("text", "register", "changed"),
    [
        ("8b0511223344", RSI, {1: (0x38, 0x80 | RSI)}),
        ("488b3511223344", RDI, {0: (0xFE, 0), 2: (0x38, 0x80 | RDI)}),
        ("4f8b3d11223344", RSI, {0: (0xFE, 0), 2: (0x38, 0x80 | RSI)}),
        ("f73511223344", RDI, {1: (0x38, 0x80 | RDI)}),  # /6: the digit counts as a register
        ("480fc70d11223344", RSI, {0: (0xFE, 0), 3: (0x38, 0x80 | RSI)}),
        ("c5c8580511223344", RDI, {3: (0x38, 0x80 | RDI)}),  # vvvv = 6
        ("c588580511223344", RDI, {3: (0x38, 0x80 | RDI)}),  # vvvv = 14: three bits are looked at
        ("c5c8583d11223344", RBX, {3: (0x38, 0x80 | RBX)}),  # reg 7, vvvv 6
        ("c5c0583511223344", RBX, {3: (0x38, 0x80 | RBX)}),  # reg 6, vvvv 7
        ("c4e248f20511223344", RDI, {1: (0xFF, 0x60), 4: (0x38, 0x80 | RDI)}),
        ("62f17c48580511223344", RSI, {1: (0xFF, 0x60), 5: (0x38, 0x80 | RSI)}),
        ("8fe97880051122334455", RSI, {1: (0xFF, 0x60), 4: (0x38, 0x80 | RSI)}),
        ("ff1511223344", RSI, {1: (0x38, 0x80 | RSI)}),
    ],
)
def test_rip_relative_rewrite(text, register, changed):
    found = planned(text)
    code = next(a.code for a in found.actions if hasattr(a, "code") and hasattr(a, "at"))
    assert {i: (b.keep, b.bits) for i, b in enumerate(code.pieces) if (b.keep, b.bits) != (0xFF, 0)} == changed
    assert all(b.source == i for i, b in enumerate(code.pieces))
    assert lines(text)[1] == step((*TF, *(CALL if text.startswith("ff15") else IP)), code.text, NAMES[register])


@pytest.mark.parametrize("text", ["f30f410511223344", "40488b0511223344", "c5f8c20511223344ff", "0f190511223344"])
def test_a_rip_relative_operand_that_the_decoder_does_not_see_or_look_at_stays(text):
    assert any(line.startswith("run [0..15] at SLOT") for line in lines(text)[1])


def test_behind_an_emulate_prefix_the_wrong_bytes_change():
    constant = 0x80 | 6 << 3 | RDI
    code = f"[0..0] {constant:02x} [2..15]"
    assert lines("0f0b78656e8b3511223344")[1] == step((*TF, *IP), code, "rdi")


@pytest.mark.parametrize("code", range(16))
def test_the_emulator_takes_a_jump_where_the_manual_does(code):
    """In each of the flags' states: the ways of the plan that end at the target."""
    condition = planned(f"{0x70 + code:02x}10").actions[0].condition
    for values in product((0, 1), repeat=5):
        env = {f"now.{n}": v for n, v in zip(("cf", "pf", "zf", "sf", "of"), values, strict=True)}
        expected = bool(HOLDS[code & ~1](*values)) != bool(code & 1)
        assert bool(evaluate((condition,), env, Environment())[0]) == expected, env


def test_fewer_than_16_bytes_are_an_error():
    with pytest.raises(ValueError, match="got 15"):
        plan(bytes(15))


def test_the_trampoline_pushes_return_address_rcx_r11_rax() -> None:
    """Facts, section 7: push rcx; push r11; push rax, behind the call's own return address."""
    p = probe(bytes.fromhex("0f1f440000"), SCHEMES["linux-uprobes-6.18"], Cpu.AMD)
    setup = verification_condition(p).setup
    assert isinstance(p.plan, Program)
    _, later = behaviours(p.plan, setup, symbolic_state(setup.origin))
    registers = (0xA0, 0xC1, 0, 0, 0x8000, 0, 0, 0, 0, 0, 0, 0xB2, 0, 0, 0, 0)  # rax, rcx, rsp, r11
    env = {"gprs": registers, "origin": 0x401000, "length": 5}
    found = evaluate([t for a in later.accesses for t in (a.address, a.value)], env, Environment())
    pairs = list(zip(found[::2], found[1::2], strict=True))
    assert pairs == [(0x7FF8, 0x401005), (0x7FF0, 0xC1), (0x7FE8, 0xB2), (0x7FE0, 0xA0)]
    assert all((a.kind, a.size) == ("w", 8) for a in later.accesses)
