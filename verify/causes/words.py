"""A plan in words: what the implementation takes the instruction for, what runs, what is mended behind it.

The subject is the implementation; registers have their names, errors theirs, and a displacement its value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from verify.causes.effects import Effect, Kind, Step, effect, step
from verify.claim.probes import Probe
from verify.models.schemes.program import Breakpoints, Entry, Program, TrapFlag
from verify.models.schemes.scheme import Refuse
from verify.models.schemes.vocabulary import field_of, variables
from verify.models.x86.isa.assembly import Syntax, assembly
from verify.models.x86.isa.decode import Decoded

REGISTERS: Final = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip
CONDITIONS: Final = (  # of jumps by condition code;  SDM vol. 2, Jcc
    "jo", "jno", "jb", "jae", "je", "jne", "jbe", "ja", "js", "jns", "jp", "jnp", "jl", "jge", "jle", "jg",
)  # fmt: skip
ERRNO: Final = {8: "ENOEXEC", 14: "EFAULT", 22: "EINVAL", 524: "ENOTSUPP"}  # errno(3); linux/errno.h


def error_name(number: int) -> str:
    """The name of an error, or its number."""
    return ERRNO.get(number, f"error {number}")


def words(p: Probe, syntax: Syntax = Syntax.INTEL) -> tuple[str, ...]:
    """The plan of a probe, a sentence each."""
    if isinstance(p.plan, Refuse):
        return (f"The probe is refused with {error_name(p.plan.errno)}: {p.plan.reason}.",)
    first = tuple(_of_hit(p, p.plan, syntax))
    if p.plan.later is None:
        return first
    later = _of_hit(p, p.plan.later, syntax)
    return (*(_on("First hit", s) for s in first), *(_on("Later hits", s) for s in later))


def _on(which: str, sentence: str) -> str:
    return f"{which}: {sentence[:1].lower()}{sentence[1:]}"


def _of_hit(p: Probe, hit: Program, syntax: Syntax) -> Iterator[str]:
    if hit.entry is Entry.NONE:
        yield "Nothing: the instruction runs where it stands, without a probe."
        return
    ran = step(hit)
    if ran is not None:
        yield from _of_step(p, ran, syntax)
        return
    done = effect(hit)
    if done.kind is Kind.CALLED:
        names = ["the return address" if n < 0 else REGISTERS[n] for n in done.stored]
        yield f"The site is a call of a trampoline: it stores {', '.join(names)}, from rsp - {done.below} down."
    elif done.kind is Kind.OTHER:
        yield "The effect is applied by the implementation's own code."
    else:
        yield f"It is taken for `{_taken_for(p, done)}`, whose effect is applied without running it{_or_skipped(done)}."
        if done.steps_otherwise:
            yield "Where its store fails, a copy is run in the slot for the fault."


def _or_skipped(done: Effect) -> str:
    skips = done.kind is Kind.NOP or (done.kind in {Kind.CONDITIONAL, Kind.JUMP} and done.field is None)
    return ": it is skipped" if skips else ""


def _taken_for(p: Probe, done: Effect) -> str:
    value = _value(p, done.field)
    offset = f"{value:+d}" if abs(value) < 10 else f"{value:+#x}"
    match done.kind:
        case Kind.CONDITIONAL:
            return f"{CONDITIONS[done.condition] if done.condition >= 0 else 'jcc'} {offset}"
        case Kind.JUMP:
            return f"jmp {offset}"
        case Kind.CALL:
            return f"call {offset}"
        case Kind.PUSH:
            return f"push {REGISTERS[done.register]}"
    return "nop"


def _value(p: Probe, field: tuple[int, int] | None) -> int:
    if field is None:
        return 0
    return int.from_bytes(p.data[field[0] : sum(field)], "little", signed=True)


def _of_step(p: Probe, ran: Step, syntax: Syntax) -> Iterator[str]:
    yield f"{_what_runs(p, ran, syntax)} {'where the original stands' if ran.in_place else 'in the slot'}, {_end(ran)}."
    if ran.scratch >= 0 and ran.held is not None:
        name = REGISTERS[ran.scratch]
        whole = any(field_of(v) is not None for v in variables(ran.held))
        base = "the operand's address" if whole else "the address behind the original"
        yield f"Meanwhile {name} holds {base}; afterwards it is {name} again."
    if ran.in_place:
        return
    yield (
        "Then ip is moved from the slot to the original." if ran.moves_ip
        else "Then ip stays as the instruction left it."
    )  # fmt: skip
    if ran.returns:
        yield "The return address is written again: that of the original."
    if ran.keeps_tf:
        yield "TF stays as the instruction left it."


def _what_runs(p: Probe, ran: Step, syntax: Syntax) -> str:
    if ran.run.code.closed:
        return f"Code of {ran.run.code.length} bytes, {ran.run.code.text}, runs"
    copy = p.read(ran.run.code)
    if copy is p.decoded:
        return "An unchanged copy runs" if not ran.in_place else "The instruction runs"
    if isinstance(copy, Decoded):
        return f"A changed copy, `{assembly(copy, syntax)}` ({copy.data.hex()}), runs"
    return f"A changed copy, {p.code_bytes(ran.run.code)[: max(length_of(p), 1)].hex()}, which is no instruction, runs"


def length_of(p: Probe) -> int:
    """Bytes of the instruction that the processor sees; 0 where it sees none."""
    return p.decoded.layout.length if isinstance(p.decoded, Decoded) else 0


def _end(ran: Step) -> str:
    match ran.run.context.end:
        case TrapFlag():
            return "under the trap flag"
        case Breakpoints(armed=True):
            return "up to a debug register's breakpoint"
        case Breakpoints():
            return "up to a breakpoint behind it"
    return "and leaves by itself"
