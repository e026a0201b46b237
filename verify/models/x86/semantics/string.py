"""Exact semantics of movs, cmps, stos, lods and scas, for a repeated one: one iteration.

Decides addresses (address size, DF, segment override of the source only), counters, flags and whether another iteration
follows.  A repeat prefix of either kind repeats movs, stos and lods (measured on Zen 4).  ins and outs need IOPL 3.
The mnemonics movsd and cmpsd are also SSE2 instructions: see `is_string`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from verify import terms
from verify.models.x86.isa.forms import Cpu, Opcode
from verify.models.x86.machine import STATUS
from verify.models.x86.semantics import flags
from verify.models.x86.semantics.kernel_entry import privileged
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.routed import routed
from verify.models.x86.semantics.run import RAX, RCX, RDI, RSI, Run
from verify.models.x86.semantics.vector_moves import move_scalar
from verify.terms import TRUE, Term, const

Element = Callable[[Run, int, Term], None]  # run, bytes of an element, one bit: it is done at all
SIZES: Final = {"b": 1, "w": 2, "d": 4, "q": 8}


def is_string(opcode: Opcode) -> bool:
    """Whether this opcode is the string instruction of its mnemonic."""
    return "es_rdi" in opcode.op_kinds or "seg_rsi" in opcode.op_kinds


def source(run: Run) -> Term:
    """The linear address of ds:[rsi], with the segment override."""
    return run.linear(terms.zext(run.gpr(RSI, run.address_width), 64), run.insn.segment)


def destination(run: Run) -> Term:
    """The linear address of es:[rdi]; no override applies (SDM vol. 1, 7.3.9.1)."""
    return terms.zext(run.gpr(RDI, run.address_width), 64)


def advance(run: Run, *registers: Term, size: int) -> None:
    """Moves address registers by one element, up or down by DF; a 32-bit one is zero-extended."""
    step = terms.ite(run.get("df"), const(-size, run.address_width), const(size, run.address_width))
    for register in registers:
        run.set_gpr(register, terms.add(run.gpr(register, run.address_width), step))


def movs(run: Run, size: int, done: Term) -> None:
    """MOVS: es:[rdi] := ds:[rsi]."""
    value = run.load(source(run), size, condition=done)
    run.store(destination(run), value, condition=done)
    advance(run, RSI, RDI, size=size)


def stos(run: Run, size: int, done: Term) -> None:
    """STOS: es:[rdi] := al, ax, eax or rax."""
    run.store(destination(run), run.gpr(RAX, 8 * size), condition=done)
    advance(run, RDI, size=size)


def lods(run: Run, size: int, done: Term) -> None:
    """LODS: al, ax, eax or rax := ds:[rsi]."""
    run.set_gpr(RAX, run.load(source(run), size, condition=done))
    advance(run, RSI, size=size)


def cmps(run: Run, size: int, done: Term) -> None:
    """CMPS: flags of ds:[rsi] - es:[rdi]; AMD reads the second operand first, but for REPE CMPSB (Zen 4 and 5)."""
    places = [source(run), destination(run)]
    swapped = run.insn.cpu is Cpu.AMD and not (run.insn.rep == "rep" and size == 1)
    values = [run.load(a, size, condition=done) for a in (reversed(places) if swapped else places)]
    flags.subtracted(run, *(reversed(values) if swapped else values))
    advance(run, RSI, RDI, size=size)


def scas(run: Run, size: int, done: Term) -> None:
    """SCAS: flags of the accumulator - es:[rdi]."""
    flags.subtracted(run, run.gpr(RAX, 8 * size), run.load(destination(run), size, condition=done))
    advance(run, RDI, size=size)


def unless_sse(semantics: Semantics, otherwise: Semantics) -> Semantics:
    """The string instruction, or what else has its mnemonic."""
    return lambda run: (semantics if is_string(run.insn.opcode) else otherwise)(run)


def string(element: Element, size: int, ends_on_zf: bool) -> Semantics:
    """A string instruction with or without a repeat prefix; `ends_on_zf`: ZF may end the repetition."""

    def semantics(run: Run) -> None:
        if run.insn.rep is None:
            element(run, size, TRUE)
        else:
            repeat(run, element, size, ends_on_zf)

    return semantics


def repeat(run: Run, element: Element, size: int, ends_on_zf: bool) -> None:
    """One iteration of REP, REPE, REPNE (SDM vol. 2, REP): nothing where the counter is 0, else one element."""
    counter = run.gpr(RCX, run.address_width)
    done = terms.not_(terms.eq(counter, const(0, counter.width)))
    element(run, size, done)
    left = terms.sub(counter, const(1, counter.width))
    run.set_gpr(RCX, left)
    keep_where_idle(run, done, element)
    more = terms.and_(done, terms.not_(terms.eq(left, const(0, left.width))))
    if ends_on_zf:
        zf = run.get("zf")
        more = terms.and_(more, zf if run.insn.rep == "rep" else terms.not_(zf))
    run.repeats = more
    run.set("ip", terms.ite(more, run.before.ip, run.next_ip))


def keep_where_idle(run: Run, done: Term, element: Element) -> None:
    """Takes registers and flags back where the counter was 0."""
    for name in ("gprs", *STATUS):
        idle = idle_gprs(run, element) if name == "gprs" else getattr(run.before, name)
        run.set(name, terms.ite(done, run.get(name), idle))


INTEL_ZERO_EXTENDED: Final[Mapping[Element, tuple[Term, ...]]] = {  # arch/x86/kvm/emulate.c, Linux 6.18
    movs: (RCX, RSI, RDI), stos: (RCX, RDI), lods: (RCX,), cmps: (RCX,), scas: (RCX,),
}  # fmt: skip


def idle_gprs(run: Run, element: Element) -> Term:
    """General registers where the counter was 0.

    AMD leaves them alone (measured on Zen 4); Intel with a 32-bit address size zero-extends some.
    """
    gprs = run.before.gprs
    if run.insn.cpu is Cpu.AMD or run.insn.address_size == 8:
        return gprs
    for register in INTEL_ZERO_EXTENDED[element]:
        low = terms.extract(terms.select(gprs, register), 31, 0)
        gprs = terms.store(gprs, register, terms.zext(low, 64))
    return gprs


FAMILIES: Final = (  # mnemonic, element, whether ZF ends a repetition
    ("movs", movs, False), ("stos", stos, False), ("lods", lods, False), ("cmps", cmps, True), ("scas", scas, True),
)  # fmt: skip
PORT_IO: Final = ("insb", "insw", "insd", "outsb", "outsw", "outsd")  # #GP(0) with IOPL 0 and no port bitmap

SEMANTICS: Final[Mapping[str, Semantics]] = {
    **{name + suffix: string(e, n, zf) for name, e, zf in FAMILIES for suffix, n in SIZES.items()},
    "movsd": unless_sse(string(movs, 4, False), move_scalar),
    "cmpsd": unless_sse(string(cmps, 4, True), routed),
    **dict.fromkeys(PORT_IO, privileged),
}
