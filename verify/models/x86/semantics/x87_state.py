"""Semantics of x87 instructions, and of what saves and restores floating-point, vector and mask state.

Decides addresses, sizes, pending exceptions (#MF), and the pointers FIP, FDP and FOP.  Arithmetic and the layout of
saved images are uninterpreted functions of everything that they show: control, status, tag and stack registers, the
three pointers, MXCSR, vectors.  MMX arithmetic is routed.  Which instructions set the pointers: SDM vol. 1, 8.1.8 and
8.1.9; measured for every x87 opcode on Zen 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify import terms
from verify.models.x86.machine import GP, MF, STATUS
from verify.models.x86.semantics import operands
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import RAX, RDX, Run
from verify.terms import FALSE, Term, const

X87: Final = 688
CONTROL, STATUS_WORD = (15, 0), (31, 16)  # bits of State.x87
ERROR_SUMMARY: Final = 16 + 7
POINTERS: Final = ("fip", "fdp", "fop")
XSAVE_BYTES: Final = 2696  # components up to PKRU, without AMX tiles: SDM vol. 1, 13.4


def pending(run: Run) -> None:
    """#MF for an unmasked exception that waits (SDM vol. 1, 8.7); Linux reports the instruction's own address."""
    run.fault(terms.extract(run.get("x87"), ERROR_SUMMARY, ERROR_SUMMARY), MF, at_ip=True)


def opcode_field(run: Run) -> Term:
    """FOP: the low three bits of the opcode byte, then the ModRM byte as encoded (SDM vol. 1, 8.1.9), 11 bits."""
    opcode, modrm = run.insn.opcode, run.insn.modrm
    if modrm is None:
        raise ValueError(f"the ModRM byte of {opcode.name} must be known")
    return const((opcode.main_byte & 7) << 8 | modrm, 11)


def note_pointers(run: Run) -> None:
    """FIP, FOP and, with a memory operand, FDP of a non-control instruction.

    Without one FDP is undefined (SDM vol. 1, 8.1.8): a function of the old one.
    """
    run.set("fip", run.before.ip)
    run.set("fop", opcode_field(run))
    if has_memory(run):
        run.set("fdp", run.effective_address())
    else:
        run.set("fdp", terms.uf("fdp_without_operand", 64, run.before.fdp))


def has_memory(run: Run) -> bool:
    """Whether there is a memory operand."""
    return any(operands.is_memory(run, i) for i in range(len(run.insn.opcode.op_kinds)))


def datapath(run: Run, output: str, sort: terms.Sort, inputs: tuple[Term, ...]) -> Term:
    """An output of this opcode as a function of its inputs; ModRM tells register operands apart."""
    chosen = () if has_memory(run) or run.insn.modrm is None else (const(run.insn.modrm, 8),)
    return terms.uf(f"{run.insn.datapath}.{output}", sort, *chosen, *inputs)


def arithmetic(run: Run) -> None:
    """Any instruction that computes, loads, stores or moves the stack; flags where it reads or writes them.

    A store with an unmasked exception leaves memory as it was (SDM vol. 1, 8.5.1 to 8.5.4; measured on Zen 4).
    """
    pending(run)
    opcode = run.insn.opcode
    inputs = [run.get("x87"), *(run.get(f) for f in opcode.flags.read if f in STATUS)]
    if has_memory(run) and "READ" in opcode.op_access:
        inputs.append(operands.read(run, 0))
    seen = tuple(inputs)
    if has_memory(run) and "WRITE" in opcode.op_access:
        old = terms.load(run.get("memory"), run.operand_address(), opcode.memory_size)
        operands.write(run, 0, datapath(run, "stored", 8 * opcode.memory_size, (*seen, old)))
    for name in opcode.flags.written:
        if name in STATUS:
            run.set(name, datapath(run, name, 1, seen))
    for name in opcode.flags.cleared:
        if name in STATUS:
            run.set(name, FALSE)
    run.set("x87", datapath(run, "x87", X87, seen))
    note_pointers(run)


def control(name: str, waits: bool) -> Semantics:
    """A control instruction without memory operand: the pointers stay (FNCLEX, FNENI, ...)."""

    def semantics(run: Run) -> None:
        if waits:
            pending(run)
        run.set("x87", terms.uf(name, X87, run.get("x87")))

    return semantics


def renumbered(x87: Term) -> Term:
    """st7..st0 once TOP is 0: the registers stay, their numbers are counted from TOP (SDM vol. 1, 8.1.2), 640 bits."""
    stack = terms.extract(x87, X87 - 1, 48)
    moved = terms.mul(terms.zext(terms.extract(x87, 29, 27), 640), const(80, 640))
    rest = terms.sub(const(640, 640), moved)
    return terms.or_(terms.shl(stack, moved), terms.lshr(stack, rest))


def initialise(run: Run) -> None:
    """Everything as after FNINIT: control word 37F, empty tags, TOP and pointers 0 (SDM vol. 2, FINIT)."""
    run.set("x87", terms.concat(renumbered(run.get("x87")), const(0xFFFF, 16), const(0, 16), const(0x37F, 16)))
    for name in POINTERS:
        run.set(name, const(0, run.get(name).width))


def wait(run: Run) -> None:
    """WAIT: only looks for a pending exception."""
    pending(run)


def store_word(field: tuple[int, int]) -> Semantics:
    """FNSTCW, FNSTSW: a 16-bit word of the state to memory or ax."""
    return lambda run: operands.write(run, 0, terms.extract(run.get("x87"), *field))


def load_control(run: Run) -> None:
    """FLDCW: the control word; what the status word then shows of masked exceptions follows from both."""
    pending(run)
    word = operands.read(run, 0, 2)
    run.set("x87", terms.uf("fldcw", X87, run.get("x87"), word))


def environment(run: Run) -> tuple[Term, ...]:
    """What a saved environment shows."""
    return (run.get("x87"), *(run.get(p) for p in POINTERS))


def masked(x87: Term) -> Term:
    """The state with every exception masked: none waits then, ES and B are 0 (SDM vol. 1, 8.1.3.3), 688 bits."""
    control = terms.or_(terms.extract(x87, *CONTROL), const(0x3F, 16))
    status = terms.and_(terms.extract(x87, *STATUS_WORD), const(0x7F7F, 16))
    return terms.concat(terms.extract(x87, X87 - 1, 32), status, control)


def store_environment(run: Run) -> None:
    """FNSTENV: 14 or 28 bytes, then every exception is masked (SDM vol. 2, FSTENV)."""
    size = run.insn.opcode.memory_size
    operands.write(run, 0, terms.uf("x87_environment", 8 * size, *environment(run)))
    run.set("x87", masked(run.get("x87")))


def store_state(run: Run) -> None:
    """FNSAVE: 94 or 108 bytes, then as FNINIT (SDM vol. 2, FSAVE)."""
    size = run.insn.opcode.memory_size
    operands.write(run, 0, terms.uf("x87_image", 8 * size, *environment(run)))
    initialise(run)


def load_environment(run: Run) -> None:
    """FLDENV, FRSTOR: state and pointers from an image."""
    pending(run)
    image = operands.read(run, 0)
    run.set("x87", terms.uf("x87_from_image", X87, run.get("x87"), image))
    load_pointers(run, "x87", image)


def load_pointers(run: Run, kind: str, *inputs: Term) -> None:
    """The three pointers from an image."""
    for name in POINTERS:
        run.set(name, terms.uf(f"{kind}_{name}_from_image", run.get(name).width, run.get(name), *inputs))


EXTENDED: Final = ("x87", *POINTERS, "mxcsr", "vectors", "masks", "opaque")  # what FXSAVE or XSAVE can show


def components(masked: bool) -> tuple[str, ...]:
    """What an image has; `masked`: of XSAVE."""
    return EXTENDED if masked else tuple(c for c in EXTENDED if c not in {"masks", "opaque"})


def aligned(run: Run, size: int) -> Term:
    """The operand's linear address; #GP(0) where it is not a multiple of `size` (a power of two)."""
    address = run.operand_address()
    run.fault_unaligned(address, size)
    return address


def requested(run: Run) -> tuple[Term, ...]:
    """edx:eax, the components asked for."""
    return (run.gpr(RDX, 32), run.gpr(RAX, 32))


def save_extended(alignment: int, size: int, masked: bool) -> Semantics:
    """FXSAVE, XSAVE and variants: one image; bytes that are not written keep their old values."""

    def semantics(run: Run) -> None:
        address = aligned(run, alignment)
        shown = [run.get(c) for c in components(masked)]
        asked = requested(run) if masked else ()
        old = terms.load(run.get("memory"), address, size)
        image = terms.uf(f"{run.insn.datapath}.image", 8 * size, old, *asked, *shown)
        run.store(address, image, run.uses_stack_segment())

    return semantics


def restore_extended(alignment: int, size: int, masked: bool) -> Semantics:
    """FXRSTOR, XRSTOR: every component from the image; #GP(0) for reserved bits in it."""

    def semantics(run: Run) -> None:
        image = run.load(aligned(run, alignment), size, run.uses_stack_segment())
        asked = requested(run) if masked else ()
        name = run.insn.datapath
        run.fault(terms.uf(f"{name}_reserved_bits.refuses", 1, image, *asked), GP)
        for component in components(masked):
            old = run.get(component)
            run.set(component, terms.uf(f"{name}.{component}", old.sort, old, image, *asked))

    return semantics


def empty_tags(run: Run) -> None:
    """EMMS, FEMMS: all tags empty (SDM vol. 2, EMMS), TOP 0 (measured on Zen 4); the pointers stay (Zen 4)."""
    pending(run)
    old = run.get("x87")
    status = terms.and_(terms.extract(old, *STATUS_WORD), const(0xC7FF, 16))
    run.set("x87", terms.concat(renumbered(old), const(0xFFFF, 16), status, terms.extract(old, *CONTROL)))


COMPUTES: Final = (
    "fadd", "fmul", "fcom", "fcomp", "fsub", "fsubr", "fdiv", "fdivr", "fld", "fst", "fstp", "fxch", "fnop",
    "fstpnce", "fchs", "fabs", "ftst", "fxam", "fld1", "fldl2t", "fldl2e", "fldpi", "fldlg2", "fldln2", "fldz",
    "f2xm1", "fyl2x", "fptan", "fpatan", "fxtract", "fprem1", "fdecstp", "fincstp", "fprem", "fyl2xp1", "fsqrt",
    "fsincos", "frndint", "fscale", "fsin", "fcos", "fiadd", "fimul", "ficom", "ficomp", "fisub", "fisubr",
    "fidiv", "fidivr", "fcmovb", "fcmove", "fcmovbe", "fcmovu", "fcmovnb", "fcmovne", "fcmovnbe", "fcmovnu",
    "fucompp", "fild", "fisttp", "fist", "fistp", "fucomi", "fcomi", "fucomip", "fcomip", "ffree", "ffreep",
    "fucom", "fucomp", "faddp", "fmulp", "fcompp", "fsubrp", "fsubp", "fdivrp", "fdivp", "fbld", "fbstp",
)  # fmt: skip

SEMANTICS: Final[Mapping[str, Semantics]] = {
    **dict.fromkeys(COMPUTES, arithmetic),
    "wait": wait,
    "fninit": initialise,
    "fnclex": control("fnclex", waits=False),
    "fneni": control("fneni", waits=False), "fndisi": control("fndisi", waits=False),
    "fnsetpm": control("fnsetpm", waits=False),
    "fnstcw": store_word(CONTROL), "fnstsw": store_word(STATUS_WORD), "fldcw": load_control,
    "fnstenv": store_environment, "fnsave": store_state, "fldenv": load_environment, "frstor": load_environment,
    "fxsave": save_extended(16, 512, False), "fxsave64": save_extended(16, 512, False),
    "fxrstor": restore_extended(16, 512, False), "fxrstor64": restore_extended(16, 512, False),
    **{f"xsave{v}{w}": save_extended(64, XSAVE_BYTES, True) for v in ("", "opt", "c") for w in ("", "64")},
    **{f"xrstor{w}": restore_extended(64, XSAVE_BYTES, True) for w in ("", "64")},
    "emms": empty_tags, "femms": empty_tags,
}  # fmt: skip
