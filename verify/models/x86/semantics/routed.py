"""Semantics of what no family models exactly: operands, addresses, sizes, masks, flags and faults are exact, the
datapath is an uninterpreted function of everything the instruction reads.

A proof that uses it holds for every datapath.  It rests on the read and write sets, which the processor judges
(`verify.live`).  A function's name is OPCODE.output, so two opcodes never share a datapath.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from verify import terms
from verify.models.x86.isa.corrections import corrections
from verify.models.x86.isa.fields import operand_register
from verify.models.x86.isa.forms import Cpu, ImplicitMemory
from verify.models.x86.isa.memory_style import VECTOR_MASKED
from verify.models.x86.machine import GP, NO_FAULT, STATUS, component_sort
from verify.models.x86.semantics import masking, operands
from verify.models.x86.semantics.operands import GPR_WIDTH, VECTOR_WIDTH
from verify.models.x86.semantics.run import Run
from verify.models.x86.semantics.x87_state import pending
from verify.terms import FALSE, TRUE, Sort, Term, const

READS: Final = frozenset({"READ", "COND_READ", "READ_WRITE", "READ_COND_WRITE"})
WRITES: Final = frozenset({"WRITE", "COND_WRITE", "READ_WRITE", "READ_COND_WRITE"})
FLAGS: Final = (*STATUS, "df", "ac")
NAMED_GPRS: Final = {  # register name -> number, width; the low-byte, word, doubleword and quadword names
    name: (number, width)
    for number, row in enumerate((
        "al ax eax rax", "cl cx ecx rcx", "dl dx edx rdx", "bl bx ebx rbx",
        "spl sp esp rsp", "bpl bp ebp rbp", "sil si esi rsi", "dil di edi rdi",
    ))
    for name, width in zip(row.split(), (8, 16, 32, 64), strict=True)
}  # fmt: skip
FAULTING: Final = frozenset({"mxcsr", "x87_control", "x87_status", "tiles"})  # what reads these may raise on values
COMPONENTS: Final = {  # name in the corrections -> state component
    "mxcsr": "mxcsr", "fip": "fip", "fdp": "fdp", "fop": "fop", "fs_base": "fs_base", "gs_base": "gs_base",
    "x87_status": "x87", "x87_control": "x87", "x87_tag": "x87", "x87_stack": "x87", "ssp": "ssp",
}  # fmt: skip


MXCSR_FLAGS: Final = 6  # IE DE ZE OE UE PE, SDM vol. 1, figure 10-3
X87_CONTROL: Final = 16  # bits of the control word, the lowest of the component
BLOCK: Final = 4  # registers of a block
MERGING: Final = frozenset({"insertq"})  # bits of the destination outside the field stay: APM vol. 4, INSERTQ
BYTE_MASKED: Final = frozenset({"maskmovq", "maskmovdqu", "vmaskmovdqu"})  # SDM vol. 2B, MASKMOVQ
NAMED: Final = MERGING | VECTOR_MASKED | BYTE_MASKED  # every mnemonic that something here asks for


def routed(run: Run) -> None:
    """Reads every input, asks the datapath for every output, writes them in the manual's order.

    MMX and 3DNow look for a pending x87 exception before anything else (SDM vol. 1, 9.6.2; measured on Zen 4).
    """
    if _looks_at_x87(run):
        pending(run)
    inputs = _inputs(run)
    _exceptions(run, inputs)
    _write_operands(run, inputs)
    _write_implicit(run, inputs)
    _write_element_mask(run, inputs)
    _write_flags(run, inputs)
    _write_components(run, inputs)


def _looks_at_x87(run: Run) -> bool:
    """Whether an MMX register takes part; CVTPI2PS from memory looks too on Intel's (SDM vol. 2A), not on a Zen 4."""
    kinds = run.insn.opcode.op_kinds
    if run.insn.opcode.mnemonic == "cvtpi2ps" and run.insn.cpu is Cpu.INTEL:
        return True
    return any(k.startswith("mm_") and not operands.is_memory(run, i) for i, k in enumerate(kinds))


def _datapath(run: Run, output: str, sort: Sort, inputs: tuple[Term, ...]) -> Term:
    return terms.uf(f"{run.insn.datapath}.{output}", sort, *inputs)


def _inputs(run: Run) -> tuple[Term, ...]:
    values: list[Term] = []
    opcode = run.insn.opcode
    mask = _mask_inputs(run)
    values += mask
    for i, access in enumerate(opcode.op_access):
        values += _operand_inputs(run, i, access, mask)
    for name, access in opcode.implicit_registers:
        if access in READS and (register := NAMED_GPRS.get(name)):
            values.append(run.gpr(const(register[0], 4), register[1]))
        elif access in READS:
            values.append(_named_vector(run, name))
    for memory in opcode.implicit_memory:
        if memory.access in READS:
            values.append(run.load(_implicit_address(run, memory), memory.size or 64))
    values += [run.get(f) for f in opcode.flags.read if f in FLAGS]
    values += [run.get(c) for c in _components(run, corrections(opcode).reads)]
    return tuple(values)


def _components(run: Run, names: frozenset[str]) -> list[str]:
    if "rip" in names:
        raise ValueError(f"{run.insn.opcode.name} shows or moves ip: that is never routed")
    found = {COMPONENTS.get(n, "opaque") for n in names}
    kinds = run.insn.opcode.op_kinds
    if any(k.startswith(("mm_", "st")) for k in kinds):
        found.add("x87")
    if any(k.startswith(("tmm", "bnd")) for k in kinds):
        found.add("opaque")
    return sorted(found)


def _mask_inputs(run: Run) -> list[Term]:
    """The opmask register in use (k0 means all elements), zeroing, rounding, where the encoding has them."""
    if run.insn.opcode.encoding != "EVEX":
        return []
    f = run.insn.fields
    return [masking.mask_bits(run), f.z, f.broadcast, f.ll]


def _operand_inputs(run: Run, index: int, access: str, mask: list[Term]) -> list[Term]:
    """What operand `index` contributes: its value where it is read, an old register where a write may merge."""
    kind = operands.kind(run, index)
    if operands.is_memory(run, index):
        return _memory_inputs(run, index, access, mask)
    if kind in operands.FIXED_GPR or kind in operands.IMMEDIATE or kind == "imm8_const_1":
        return [operands.read(run, index)] if access in READS or "imm" in kind else []
    if kind == "imm4_m2z":
        return [run.insn.fields.immediates[-1]]
    if kind.startswith(("st", "mm_", "tmm", "bnd", "cr", "dr", "seg_r", "es_r")) or kind == "mm_or_mem":
        return []  # part of a component that is an input as a whole, or an implicit operand
    register_class, number = operand_register(run.insn.opcode, index, run.insn.fields)
    if register_class in VECTOR_WIDTH:
        whole = terms.select(run.get("vectors"), terms.zext(number, 5))
        if _is_block(kind):  # of four registers: SDM vol. 2, V4FMADDPS
            others = (terms.add(terms.zext(number, 5), const(i, 5)) for i in range(1, BLOCK))
            return [whole, *(terms.select(run.get("vectors"), n) for n in others)]
        merges = mask or run.insn.opcode.mnemonic in MERGING
        return [whole] if access != "WRITE" or merges else []
    if register_class in GPR_WIDTH or register_class == "k":
        return [operands.read_register(run, index)] if access != "WRITE" else []
    return [] if access == "WRITE" else [run.get("selectors")] if register_class == "seg" else []


def _is_block(kind: str) -> bool:
    return kind in {"zmmp3_vvvv", "xmmp3_vvvv"}


def _memory_size(run: Run) -> int:
    """Bytes of the ModRM operand: one element where it is broadcast."""
    opcode = run.insn.opcode
    if opcode.can_broadcast and run.insn.fields.broadcast.value == 1:
        return opcode.broadcast_size
    return opcode.memory_size


def _address(run: Run) -> Term:
    if not run.insn.opcode.is_vsib:
        return run.operand_address()
    f = run.insn.fields
    base = terms.select(run.get("gprs"), f.base) if f.has_base else const(0, 64)
    index = terms.select(run.get("vectors"), terms.zext(f.index, 5))
    inside = run.truncated(terms.add(f.disp, base))
    if "NO_MEM_ACCESS" not in run.insn.opcode.op_access:
        # A page fault at a later element, even one that the kernel resolves, gives way to the pending debug trap with
        # ip still at the instruction.  SDM vol. 2, VPGATHERDD, description; seen on a Zen 4.
        run.repeats = terms.and_(run.get("tf"), terms.uf("later_element_faults", 1, inside, index))
    return run.linear(terms.uf("vsib_address", 64, inside, index, terms.zext(f.scale, 8)), run.insn.segment)


def _selector(run: Run) -> Term | None:
    """What selects the elements of the memory operand that are accessed: an opmask or a vector; None: nothing does."""
    if run.insn.opcode.mnemonic in VECTOR_MASKED:
        return operands.read(run, 1)
    if run.insn.opcode.mnemonic in BYTE_MASKED:
        return run.get("x87") if operands.kind(run, 2) == "mm_rm" else operands.read(run, 2)
    mask = _mask_inputs(run)
    return mask[0] if mask and mask[0].value is None else None


def _masked(run: Run, kind: str, address: Term, value: Term, mask: Term) -> Term:
    """Records a masked access of the whole operand; one bit: it is made.

    Which bytes a mask selects, and whether a fault in one that it does not select is suppressed, differs between
    exception classes (SDM vol. 2, 2.8, types E4 and E4NF; measured on Zen 4): functions of address and mask.
    """
    made = terms.uf(f"{run.insn.datapath}.made{kind}", 1, mask)
    masking.record(run, kind, address, value, made, mask, FALSE)
    return made


def _masked_store(run: Run, output: str, address: Term, size: int, inputs: tuple[Term, ...], mask: Term) -> None:
    """Writes a masked operand; bytes that are not selected keep their old values."""
    old = terms.load(run.get("memory"), address, size)
    value = _datapath(run, output, 8 * size, (*inputs, old))
    made = _masked(run, "w", address, value, mask)
    run.set("memory", terms.ite(made, terms.write(run.get("memory"), address, value), run.get("memory")))


def _memory_inputs(run: Run, index: int, access: str, mask: list[Term]) -> list[Term]:
    if access == "NO_MEM_ACCESS":
        return [run.effective_address()]
    size = _memory_size(run)
    if access not in READS:
        return []
    _alignment(run, index, size)
    selector = _selector(run)
    if selector is None:
        return [run.load(_address(run), size or 64, run.uses_stack_segment())]
    value = terms.load(run.get("memory"), _address(run), size or 64)
    _masked(run, "r", _address(run), value, selector)
    return [value]


def _alignment(run: Run, index: int, size: int) -> None:
    """Legacy SSE operands of 16 bytes are aligned or #GP, but for the unaligned moves (SDM vol. 2, table 2-22)."""
    if run.insn.opcode.encoding == "LEGACY" and size == 16 and operands.kind(run, index) == "xmm_or_mem":
        low = terms.extract(run.operand_address(), 3, 0)
        misaligned = terms.uf(f"{run.insn.datapath}.misaligned", 1, low)
        run.fault(masking.unless_misaligned_mode(run, misaligned), GP)


def _exceptions(run: Run, inputs: tuple[Term, ...]) -> None:
    """Any further fault is some function of the inputs; its reported address is the instruction's own."""
    opcode = run.insn.opcode
    if not (corrections(opcode).reads & FAULTING or opcode.may_require_cpl0 or opcode.is_save_restore):
        return
    vector = _datapath(run, "datapath_fault", 8, inputs)
    run.faults.append((vector, const(0, 32), const(0, 64), TRUE))
    if "mxcsr" in corrections(opcode).writes:  # an unmasked exception sets its flag as well (SDM vol. 1, 11.5.3)
        raised = terms.not_(terms.eq(vector, const(NO_FAULT, 8)))
        flags = terms.or_(run.before.mxcsr, terms.zext(_datapath(run, "fault_mxcsr", MXCSR_FLAGS, inputs), 32))
        left = replace(run.before, mxcsr=terms.ite(raised, flags, run.before.mxcsr))
        # CVTPI2PS and its like are in MMX state by then (measured on Zen 4)
        if "x87_tag" in corrections(opcode).writes:
            x87 = _datapath(run, "fault_x87", component_sort("x87"), (*inputs, run.before.x87))
            left = replace(left, x87=terms.ite(raised, x87, run.before.x87))
        run.fault_state = left
    elif opcode.mnemonic == "maskmovq":  # likewise where the store faults
        x87 = _datapath(run, "fault_x87", component_sort("x87"), (*inputs, run.before.x87))
        run.fault_state = replace(run.before, x87=x87)


def _write_operands(run: Run, inputs: tuple[Term, ...]) -> None:
    opcode = run.insn.opcode
    for i, access in enumerate(opcode.op_access):
        if access in WRITES:
            _write_operand(run, i, inputs)


def _write_operand(run: Run, index: int, inputs: tuple[Term, ...]) -> None:
    kind, name = operands.kind(run, index), f"out{index}"
    if operands.is_memory(run, index):
        size, selector = _memory_size(run) or 64, _selector(run)
        _alignment(run, index, size)
        if selector is None:
            run.store(_address(run), _datapath(run, name, 8 * size, inputs), run.uses_stack_segment())
        else:
            _masked_store(run, name, _address(run), size, inputs, selector)
    elif kind in operands.FIXED_GPR:
        number, width = operands.FIXED_GPR[kind]
        run.set_gpr(number, _datapath(run, name, width, inputs))
    elif kind.startswith(("st", "mm_", "tmm", "bnd", "cr", "dr", "seg_r", "es_r")):
        return  # part of a component that is written as a whole
    else:
        register_class, number = operand_register(run.insn.opcode, index, run.insn.fields)
        _write_register(run, index, register_class, number, name, inputs)


def _write_register(
    run: Run, index: int, register_class: str, number: Term, name: str, inputs: tuple[Term, ...]
) -> None:
    if register_class in VECTOR_WIDTH:
        operands.write_vector(run, number, _datapath(run, name, VECTOR_WIDTH[register_class], inputs))
    elif register_class in GPR_WIDTH:
        operands.write_register(run, index, _datapath(run, name, GPR_WIDTH[register_class], inputs))
    elif register_class == "k":
        operands.write_register(run, index, _datapath(run, name, 64, inputs))
        if operands.kind(run, index) == "kp1_reg":
            partner = terms.add(number, const(1, 3))
            run.set("masks", terms.store(run.get("masks"), partner, _datapath(run, f"{name}pair", 64, inputs)))


def _write_element_mask(run: Run, inputs: tuple[Term, ...]) -> None:
    """Gathers and scatters clear their mask; a fault keeps the elements done so far (SDM vol. 2, VPGATHERDD)."""
    opcode = run.insn.opcode
    if not opcode.is_vsib or "NO_MEM_ACCESS" in opcode.op_access:
        return
    parts = {"vectors": run.before.vectors, "memory": run.before.memory}
    if opcode.encoding == "EVEX":
        run.set("masks", terms.store(run.get("masks"), run.insn.fields.aaa, const(0, 64)))
        parts["masks"] = run.before.masks
    left = {n: _datapath(run, f"partial_{n}", t.sort, (*inputs, t)) for n, t in parts.items()}
    run.fault_state = replace(run.fault_state or run.before, **left)


def _write_implicit(run: Run, inputs: tuple[Term, ...]) -> None:
    for memory in run.insn.opcode.implicit_memory:
        selector = _selector(run)
        if memory.access in WRITES and selector is not None:
            _masked_store(run, "memory", _implicit_address(run, memory), memory.size, inputs, selector)
        elif memory.access in WRITES:
            value = _datapath(run, "memory", 8 * (memory.size or 64), inputs)
            run.store(_implicit_address(run, memory), value)
    for name, access in run.insn.opcode.implicit_registers:
        if access not in WRITES:
            continue
        if register := NAMED_GPRS.get(name):
            run.set_gpr(const(register[0], 4), _datapath(run, name, register[1], inputs))
        elif name.startswith(("xmm", "ymm", "zmm")):
            number = const(int(name[3:]), 5)
            old = terms.select(run.get("vectors"), number)
            width = VECTOR_WIDTH[name[:3]]
            operands.write_vector(run, number, _datapath(run, name, width, (*inputs, old)))


def _named_vector(run: Run, name: str) -> Term:
    if name[:3] in VECTOR_WIDTH:
        return terms.select(run.get("vectors"), const(int(name[3:]), 5))
    return run.get("x87" if name.startswith(("st", "mm")) else "opaque")


def _implicit_address(run: Run, memory: ImplicitMemory) -> Term:
    total = const(memory.displacement, 64)
    for name in (memory.base, memory.index):
        if register := NAMED_GPRS.get(name):
            total = terms.add(total, terms.zext(run.gpr(const(register[0], 4), register[1]), 64))
    segment = run.insn.segment if memory.segment == "ds" else None
    return run.linear(run.truncated(total), segment)


def _write_flags(run: Run, inputs: tuple[Term, ...]) -> None:
    flags = run.insn.opcode.flags
    for name in FLAGS:
        if name in flags.cleared:
            run.set(name, FALSE)
        elif name in flags.set:
            run.set(name, TRUE)
        elif name in flags.written or name in flags.undefined:
            run.set(name, _datapath(run, name, 1, inputs))


def _write_components(run: Run, inputs: tuple[Term, ...]) -> None:
    for name in _components(run, corrections(run.insn.opcode).writes):
        old = run.get(name)
        if name in {"fip", "fdp", "fop"}:
            continue
        run.set(name, _component(run, name, old, (*inputs, old)))


def _component(run: Run, name: str, old: Term, inputs: tuple[Term, ...]) -> Term:
    """What the datapath makes of a component: flags of MXCSR are only set, the x87 control word stays."""
    written = corrections(run.insn.opcode).writes
    if name == "mxcsr":  # SDM vol. 1, 11.5.2: sticky
        return terms.or_(old, terms.zext(_datapath(run, name, MXCSR_FLAGS, inputs), 32))
    if name == "x87" and "x87_control" not in written:
        width = old.width - X87_CONTROL
        return terms.concat(_datapath(run, name, width, inputs), terms.extract(old, X87_CONTROL - 1, 0))
    return _datapath(run, name, component_sort(name), inputs)
