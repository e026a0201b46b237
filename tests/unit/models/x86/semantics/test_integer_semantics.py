"""Integer instructions in memory, in special registers and at faults.

Expected values were read from a Zen 4 processor under Linux 6.18, or follow the page of the SDM, vol. 2.
"""

import pytest
from executed import DATA, NO_FAULT, ORIGIN, executed, instruction

from verify.models.x86.isa.encode import representatives
from verify.models.x86.isa.forms import Cpu, all_forms, all_opcodes
from verify.models.x86.machine import STATUS, symbolic_state
from verify.models.x86.semantics import (
    arithmetic,
    bit_manipulation,
    compare_exchange,
    conditions,
    flags_instructions,
    logic,
    moves,
    shifts,  # fmt: skip
)
from verify.models.x86.semantics.dispatch import execute
from verify.models.x86.semantics.flags import UNDEFINED_FLAGS
from verify.terms import postorder, var

FAMILIES = (arithmetic, logic, shifts, bit_manipulation, moves, compare_exchange, flags_instructions, conditions)
PATTERN = 0x1122334455667788
ONES = (1 << 64) - 1
MAPPED = {"memory": {DATA: PATTERN, DATA + 8: PATTERN}}


def kinds(out):
    return [(kind, address, size) for kind, address, size, _ in out.accesses]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__.rpartition(".")[2])
@pytest.mark.parametrize("cpu", Cpu)
def test_every_form_has_an_outcome(family, cpu):
    executed_forms = set()
    for form in all_forms():
        if form.opcode.mnemonic not in family.SEMANTICS or form.opcode.must_be_cpl0:
            continue
        for data in list(representatives(form, cpu))[:2]:
            outcome = execute(instruction(data.hex(), cpu), symbolic_state(var("ip", 64)))
            assert outcome.state.ip.width == 64
            assert all(a.value.width == 8 * a.size for a in outcome.accesses), form.name
            executed_forms.add(form.opcode.mnemonic)
    assert executed_forms == family.SEMANTICS.keys()


def test_undefined_flags_are_those_of_the_decoder_library():
    listed = {}
    for row in all_opcodes():
        if any(row.mnemonic in f.SEMANTICS for f in FAMILIES) and not row.must_be_cpl0:
            listed.setdefault(row.mnemonic, set()).update(row.flags.undefined)
    # The manual also leaves cf (shl, shr) and every flag (shld, shrd) undefined, for counts above the operand size.
    wider = {"shl": {"cf"}, "sal": {"cf"}, "shr": {"cf"}, "shld": set(STATUS), "shrd": set(STATUS)}
    for mnemonic, flags in listed.items():
        assert set(UNDEFINED_FLAGS.get(mnemonic, ())) == flags | wider.get(mnemonic, set()), mnemonic


def test_undefined_flags_are_uninterpreted_and_no_others_are():
    for form in all_forms():
        if form.opcode.mnemonic not in UNDEFINED_FLAGS or form.addressing.value != "reg":
            continue
        size = form.opcode.operand_size
        data = next(iter(representatives(form, Cpu.AMD)))
        state = execute(instruction(data.hex()), symbolic_state(var("ip", 64))).state
        names = {t.params[0] for f in STATUS for t in postorder([getattr(state, f)]) if t.op == "uf"}
        found = {str(n).split("_")[1] for n in names}
        allowed = set(UNDEFINED_FLAGS[form.opcode.mnemonic])
        assert found <= allowed, form.name
        if form.opcode.mnemonic not in {"shl", "sal", "shr", "sar", "rol", "ror", "rcl", "rcr", "shld", "shrd"}:
            assert found == allowed, (form.name, size)


@pytest.mark.parametrize(
    ("text", "given", "accesses", "after"),
    [
        ("01 0f", {"rdi": DATA, "rcx": 1}, [("r", DATA, 4), ("w", DATA, 4)], 0x1122334455667789),
        ("39 0f", {"rdi": DATA}, [("r", DATA, 4)], PATTERN),
        ("c0 27 00", {"rdi": DATA}, [("r", DATA, 1), ("w", DATA, 1)], PATTERN),  # a count of 0 still writes
        ("0f a5 0f", {"rdi": DATA}, [("r", DATA, 4), ("w", DATA, 4)], PATTERN),
        ("0f b1 0f", {"rdi": DATA}, [("r", DATA, 4), ("w", DATA, 4)], PATTERN),  # unequal, and still written
        ("0f c7 0f", {"rdi": DATA}, [("r", DATA, 8), ("w", DATA, 8)], PATTERN),
        ("0f 94 07", {"rdi": DATA, "zf": 1}, [("w", DATA, 1)], 0x1122334455667701),
        ("0f 44 0f", {"rdi": DATA, "zf": 0}, [("r", DATA, 4)], PATTERN),  # cmov reads though it does not move
        ("0f 38 f1 0f", {"rdi": DATA, "rcx": 0x12345678}, [("w", DATA, 4)], 0x1122334478563412),
        ("48 0f c3 0f", {"rdi": DATA, "rcx": 5}, [("w", DATA, 8)], 5),
        ("8c 1f", {"rdi": DATA, "selectors": 0x2B << 48}, [("w", DATA, 2)], 0x112233445566002B),
        ("48 8c 1f", {"rdi": DATA, "selectors": 0x2B << 48}, [("w", DATA, 2)], 0x112233445566002B),
        ("f0 0f c0 0f", {"rdi": DATA, "rcx": 1}, [("r", DATA, 1), ("w", DATA, 1)], 0x1122334455667789),
        ("0f c0 09", {"rcx": DATA}, [("r", DATA, 1), ("w", DATA, 1)], PATTERN),  # the address before cl changes
        ("87 3f", {"rdi": DATA}, [("r", DATA, 4), ("w", DATA, 4)], 0x1122334400002000),
        ("64 8b 0c 25 08 00 00 00", {"fs_base": DATA - 8}, [("r", DATA, 4)], PATTERN),
        ("66 0f a4 0f 04", {"rdi": DATA, "rcx": 0xA000}, [("r", DATA, 2), ("w", DATA, 2)], 0x112233445566788A),
    ],
)
def test_accesses_in_order(text, given, accesses, after):
    out = executed(text, **MAPPED, **given)
    assert out.fault == NO_FAULT
    assert kinds(out) == accesses
    assert out.memory.load(DATA, 8) == after


@pytest.mark.parametrize(
    ("text", "offset", "address", "cf"),
    [
        ("0f a3 0f", 33, DATA + 4, 1),  # bit 33 of ...44_55667788 is bit 1 of the next doubleword
        ("0f a3 0f", -1, DATA - 4, 0),
        ("0f a3 0f", 1 << 31, DATA - (1 << 28), 0),  # the 32-bit offset is signed
        ("66 0f a3 0f", 0xFFFF, DATA - 2, 0),
        ("48 0f a3 0f", 64 * 1000 + 3, DATA + 8000, 0),
        ("48 0f a3 0f", -(1 << 63), (DATA - (1 << 60)) % (1 << 64), 0),
        ("0f ba 27 23", 0, DATA, 1),  # an immediate offset is taken modulo the size
    ],
)
def test_bit_strings_in_memory(text, offset, address, cf):
    memory = {DATA: 0x11223346_55667788, DATA + 8: 0}
    out = executed(text, memory=memory, rdi=DATA, rcx=offset % (1 << 64))
    size = 2 if text.startswith("66") else 8 if text.startswith("48") else 4
    assert (kinds(out), out.cf) == ([("r", address, size)], cf)


def test_bit_strings_wrap_at_the_address_size():
    """Read from the processor: edi = fffffff8 and bit 128 touch address 8."""
    assert kinds(executed("67 48 0f a3 07", rdi=0xFFFFFFF8, rax=128)) == [("r", 8, 8)]
    assert kinds(executed("67 0f a3 07", rdi=0, rax=0xFFFFFFFF)) == [("r", 0xFFFFFFFC, 4)]


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("0f b6 c5", {"rcx": 0x8070}, {"rax": 0x80}),  # movzx eax, ch
        ("40 0f b6 c5", {"rbp": 0x81}, {"rax": 0x81}),  # movzx eax, bpl
        ("0f be c1", {"rcx": 0x80, "rax": ONES}, {"rax": 0xFFFFFF80}),
        ("66 0f be c1", {"rcx": 0x80, "rax": PATTERN}, {"rax": 0x112233445566FF80}),
        ("48 63 c1", {"rcx": 0x80000000}, {"rax": 0xFFFFFFFF80000000}),
        ("66 63 c1", {"rcx": 0x12345678, "rax": ONES}, {"rax": 0xFFFFFFFFFFFF5678}),
        ("86 e0", {"rax": 0x1234}, {"rax": 0x3412}),  # xchg al, ah
        ("0f c1 c0", {"rax": 3}, {"rax": 6}),  # xadd eax, eax: the sum wins
        ("0f c0 c4", {"rax": 0x0203}, {"rax": 0x0502}),  # xadd ah, al
        ("87 c0", {"rax": ONES}, {"rax": 0xFFFFFFFF}),
        ("90", {"rax": ONES}, {"rax": ONES}),
        ("48 90", {"rax": ONES}, {"rax": ONES}),
        ("41 90", {"rax": ONES, "r8": 5}, {"rax": 5, "r8": 0xFFFFFFFF}),
        ("0f 44 c1", {"rax": ONES, "rcx": 1, "zf": 0}, {"rax": 0xFFFFFFFF}),  # a cmov that does not move
        ("d3 e0", {"rax": ONES}, {"rax": 0xFFFFFFFF}),  # shl eax, cl by 0
        ("0f c8", {"rax": PATTERN}, {"rax": 0x88776655}),
        ("48 0f c8", {"rax": PATTERN}, {"rax": 0x8877665544332211}),
        ("48 98", {"rax": 0x80000000}, {"rax": 0xFFFFFFFF80000000}),
        ("98", {"rax": 0xFFFFFFFF00008000}, {"rax": 0xFFFF8000}),
        ("66 98", {"rax": 0x1111111111111180}, {"rax": 0x111111111111FF80}),
        ("99", {"rax": 0x80000000, "rdx": 1 << 40}, {"rdx": 0xFFFFFFFF}),
        ("48 99", {"rax": 0x80000000, "rdx": 1}, {"rdx": 0}),
        ("66 99", {"rax": 0x8000, "rdx": PATTERN}, {"rdx": 0x112233445566FFFF}),
        ("67 8d 07", {"rdi": ONES}, {"rax": 0xFFFFFFFF}),
        ("67 48 8d 47 01", {"rdi": ONES}, {"rax": 0}),
        ("66 8d 47 01", {"rax": 1 << 40, "rdi": ONES}, {"rax": 1 << 40}),
        ("48 8d 05 10 00 00 00", {}, {"rax": ORIGIN + 7 + 0x10}),
        ("64 48 8d 47 01", {"fs_base": 0x1000, "rdi": 1}, {"rax": 2}),  # lea adds no segment base
        ("8c d8", {"selectors": 0x2B << 48, "rax": ONES}, {"rax": 0x2B}),
        ("66 8c d8", {"selectors": 0x2B << 48, "rax": ONES}, {"rax": 0xFFFFFFFFFFFF002B}),
        ("8e d8", {"rax": 0xFFFF002B, "selectors": 0}, {"selectors": 0x2B << 48}),
        ("9f", {"sf": 1, "cf": 1, "rax": ONES}, {"rax": 0xFFFFFFFFFFFF83FF}),
        ("9e", {"rax": 0xD500, "of": 1}, {"sf": 1, "zf": 1, "af": 1, "pf": 1, "cf": 1, "of": 1}),
        ("9e", {"rax": 0x2A00, "cf": 1, "zf": 1}, {"sf": 0, "zf": 0, "af": 0, "pf": 0, "cf": 0}),
        ("f5", {"cf": 1}, {"cf": 0}),
        ("fd", {}, {"df": 1}),
        ("fc", {"df": 1}, {"df": 0}),
        ("f9", {}, {"cf": 1}),
        ("f8", {"cf": 1}, {"cf": 0}),
        ("d7", {"rbx": DATA, "rax": 0xFF04}, {"rax": 0xFF44}),
        ("6b c1 fe", {"rcx": 3}, {"rax": 0xFFFFFFFA, "cf": 0, "of": 0}),
        ("66 0f af c1", {"rax": 0x4000, "rcx": 2}, {"rax": 0x8000, "cf": 1, "of": 1}),
        ("c4 e2 fb f6 c1", {"rdx": ONES, "rcx": ONES}, {"rax": ONES - 1}),  # mulx rax, rax, rcx: the high half wins
        ("66 0f 38 f6 c1", {"rax": 0xFFFFFFFF, "rcx": 0, "cf": 1, "of": 1}, {"rax": 0, "cf": 1, "of": 1}),
        ("f3 0f 38 f6 c1", {"rax": 0xFFFFFFFF, "rcx": 0, "cf": 1, "of": 0}, {"rax": 0xFFFFFFFF, "cf": 1, "of": 0}),
        ("0f c7 f0", {"rax": ONES, "of": 1, "zf": 1}, {"rax": 0, "cf": 0, "of": 0, "zf": 0}),  # rdrand, no number
        ("c4 e2 70 f2 c2", {"rcx": 0xF0, "rdx": 0xFF}, {"rax": 0x0F, "zf": 0, "cf": 0}),  # andn
    ],
)
def test_registers_as_on_the_processor(text, given, expected):
    out = executed(text, **MAPPED, **given)
    assert out.fault == NO_FAULT
    assert {name: getattr(out, name) for name in expected} == expected


@pytest.mark.parametrize("code", range(16))
@pytest.mark.parametrize("flags", range(32))
def test_conditions_by_the_comparison_that_names_them(code, flags):
    """SDM vol. 1, table B-1, in words: below, equal, less and their like."""
    cf, zf, sf, of, pf = (flags >> i & 1 for i in range(5))
    meaning = (of, cf, zf, cf or zf, sf, pf, sf != of, zf or sf != of)[code >> 1]
    expected = int(bool(meaning)) ^ (code & 1)
    given = {"cf": cf, "zf": zf, "sf": sf, "of": of, "pf": pf}
    assert executed(f"0f {0x90 | code:x} c0", **given).rax == expected
    assert executed(f"0f {0x40 | code:x} c1", rcx=1, **given).rax == expected
    assert executed(f"c4 e2 69 {0xE0 | code:x} 0f", **MAPPED, rdi=DATA).fault == NO_FAULT


@pytest.mark.parametrize(
    ("text", "given", "vector"),
    [
        ("f7 f1", {"rax": 1, "rcx": 0}, 0),
        ("f7 f1", {"rdx": 1, "rcx": 1}, 0),
        ("f7 f9", {"rax": 0x80000000, "rdx": 0xFFFFFFFF, "rcx": 0xFFFFFFFF}, 0),
        ("48 0f c7 0f", {"rdi": DATA + 8}, 13),
        ("c4 e2 e9 e4 0f", {"rdi": DATA + 4}, 13),
        ("0f 38 fc 0f", {"rdi": DATA + 2}, 13),
        ("66 0f 38 f8 07", {"rdi": DATA, "rax": DATA + 32}, 13),
    ],
)
def test_faults_of_operands(text, given, vector):
    out = executed(text, **given)
    assert out.fault == vector
    assert out.at_ip == (vector == 0)
    assert out.fault_ip == ORIGIN


def test_a_divisor_that_cannot_be_read_faults_before_the_division():
    assert executed("f7 37", rdi=DATA, rdx=ONES, faults={(DATA, 4, 0): 14}).fault == 14
    assert executed("f7 37", rdi=DATA, rdx=ONES).fault == 0


def test_comparison_and_addition_in_memory():
    memory = {DATA: 5}
    out = executed("c4 e2 e9 ec 0f", memory=memory, rdi=DATA, rcx=7, rdx=100)  # cmplxadd [rdi], rcx, rdx
    assert (out.memory.load(DATA, 8), out.rcx, out.sf, out.cf, out.zf) == (105, 5, 1, 1, 0)
    out = executed("c4 e2 e9 ec 0f", memory=memory, rdi=DATA, rcx=5, rdx=100)
    assert (out.memory.load(DATA, 8), out.rcx, out.zf, kinds(out)[1][0]) == (5, 5, 1, "w")


def test_exchange_of_sixteen_bytes():
    memory = {DATA: 1, DATA + 8: 2}
    equal = executed("48 0f c7 0f", memory=memory, rdi=DATA, rax=1, rdx=2, rbx=3, rcx=4)
    assert (equal.memory.load(DATA, 16), equal.zf, equal.rax, equal.rdx) == (4 << 64 | 3, 1, 1, 2)
    other = executed("48 0f c7 0f", memory=memory, rdi=DATA, rax=1, rdx=3, rbx=3, rcx=4)
    assert (other.memory.load(DATA, 16), other.zf, other.rax, other.rdx) == (2 << 64 | 1, 0, 1, 2)
    assert kinds(other) == [("r", DATA, 16), ("w", DATA, 16)]


def test_a_loaded_segment_register():
    taken = executed("8e e8", rax=0x2B, answers={"segment_base": 0x7777, "selector_fault": 0})
    assert (taken.gs_base, taken.fs_base, taken.selectors >> 80) == (0x7777, 0, 0x2B)
    refused = executed("8e c0", rax=0x1234, answers={"selector_fault": 1})
    assert (refused.fault, refused.error) == (13, 0x1234)
    assert executed("8e d0", rax=0x2B, answers={"selector_not_present": 1}).fault == 12
    assert executed("8e d8", rax=0x2B, answers={"selector_not_present": 1}).fault == 11


@pytest.mark.parametrize(("text", "shadow"), [("8e d0", True), ("8e d8", False), ("0f b2 17", False)])
def test_only_mov_to_ss_delays_the_trap(text, shadow):
    """Read from the processor: with TF set, mov ss traps one instruction later, lss at once."""
    assert execute(instruction(text), symbolic_state(var("ip", 64))).inhibits_trap is shadow


def test_far_pointers_are_an_offset_and_a_selector():
    memory = {DATA: 0x002B_8234_5678}
    out = executed("0f b2 17", memory=memory, rdi=DATA, rdx=ONES)
    assert (out.rdx, out.selectors >> 32 & 0xFFFF) == (0x82345678, 0x2B)
    assert kinds(out) == [("r", DATA, 4), ("r", DATA + 4, 2)]
    wide = executed("48 0f b4 17", Cpu.INTEL, memory=memory, rdi=DATA, answers={"segment_base": 1})
    assert (kinds(wide), wide.rdx, wide.fs_base) == ([("r", DATA, 8), ("r", DATA + 8, 2)], 0x002B_8234_5678, 1)


@pytest.mark.parametrize(("cpu", "size"), [(Cpu.AMD, 4), (Cpu.INTEL, 2)])
def test_movsxd_of_a_word_reads_four_bytes_on_amd(cpu, size):
    out = executed("66 63 07", cpu, **MAPPED, rdi=DATA, rax=ONES)
    assert (kinds(out), out.rax) == ([("r", DATA, size)], 0xFFFFFFFFFFFF7788)


def test_crc32_of_the_check_string():
    """CRC-32C of "123456789" is e3069283 (RFC 3720's polynomial; the catalogue's check value)."""
    crc = 0xFFFFFFFF
    for byte in b"123456789":
        crc = executed("f2 0f 38 f0 c1", rax=crc, rcx=byte).rax
    assert crc ^ 0xFFFFFFFF == 0xE3069283


def test_copies_of_64_bytes():
    memory = {DATA + 8 * i: PATTERN + i for i in range(8)}
    out = executed("66 0f 38 f8 07", memory=memory, rdi=DATA, rax=DATA + 0x40, gs_base=0)
    assert kinds(out) == [("r", DATA, 64), ("w", DATA + 0x40, 64)]
    assert [out.memory.load(DATA + 0x40 + 8 * i, 8) - PATTERN for i in range(8)] == list(range(8))
