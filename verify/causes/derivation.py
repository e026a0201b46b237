"""Which cause a deviation has: derived from the plan, the form and the first difference, never from a list of opcodes.

Rules are tried in order; the first that holds names the cause.  A deviation for which none holds is `other`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from verify.causes import catalogue as c
from verify.causes.catalogue import Cause
from verify.causes.effects import Effect, Kind, Step, effect, step
from verify.claim.copies import general_operands, is_plain_code
from verify.claim.probes import Probe, padded
from verify.models.schemes.code import Byte, Code
from verify.models.schemes.program import Program
from verify.models.schemes.program_text import shape
from verify.models.schemes.scheme import Refuse
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.fields import fields, operand_register
from verify.models.x86.isa.rows import Addressing
from verify.models.x86.machine import OBSERVABLES
from verify.report.judged import CounterexampleRow

TF: Final = 1 << 8
RED_ZONE: Final = 128  # bytes below rsp;  AMD64 psABI, 3.2.2
GPRS: Final = {n: i for i, n in enumerate(
    ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"]
)}  # fmt: skip
_PAIR: Final = re.compile(r"(.*): in place (0x[0-9a-f]+|none), displaced (0x[0-9a-f]+|none)")


REX_BYTES: Final = range(0x40, 0x50)
SEGMENTS: Final = b"\x26\x2e\x36\x3e\x64\x65"
MOST_PREFIXES: Final = 4  # legacy ones that a regular encoding has
PAGE_FAULT: Final = "fault vector: in place 0x0e"
Example = Callable[[str], CounterexampleRow | None]  # of an observable


@dataclass(frozen=True)
class Site:
    """A deviation: the probe, the observable in which it shows, and all that are refuted.

    `example` makes the counterexample, where a rule asks for it; what it shows counts for its own observable.
    """

    probe: Probe
    observable: str
    refuted: frozenset[str]
    example: Example | None = None

    @cached_property
    def shown(self) -> CounterexampleRow | None:
        """The counterexample of this observable."""
        return self.example(self.observable) if self.example is not None else None

    @property
    def difference(self) -> str:
        """What it shows first."""
        return self.shown.first_difference if self.shown is not None else ""

    @cached_property
    def decoded(self) -> Decoded | None:
        """What the processor sees."""
        return self.probe.decoded if isinstance(self.probe.decoded, Decoded) else None

    @property
    def program(self) -> Program:
        """The plan."""
        assert isinstance(self.probe.plan, Program)
        return self.probe.plan

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """What each kind of hit does."""
        return tuple(map(effect, self.program.hits))

    @cached_property
    def step(self) -> Step | None:
        """The run of the first hit."""
        return step(self.program)

    @cached_property
    def values(self) -> tuple[str, int, int] | None:
        """What differs first, in place and displaced, where both are numbers."""
        found = _PAIR.fullmatch(self.difference)
        if found is None or "none" in (found[2], found[3]):
            return None
        return found[1], int(found[2], 16), int(found[3], 16)


def cause(site: Site) -> Cause:
    """The cause of a deviation."""
    decoded = site.decoded
    if decoded is None:
        return c.OTHER
    return next((row for row, holds in RULES if holds(site, decoded)), c.OTHER)


def reason_cause(reason: str) -> Cause:
    """The cause of the first refusal that a reason names."""
    if reason.partition(":")[0] in OBSERVABLES:  # which observable it would be refuted in
        return c.UNSAFE
    return next((row for text, row in REASONS if reason.startswith(text)), c.REFUSED)


REASONS: Final = (  # how the reasons of refusals begin
    ("the kernel's decoder fails", c.UNDECODABLE),
    ("the first byte is a breakpoint", c.BREAKPOINT),
    ("ES, CS, SS, DS or LOCK prefix", c.PREFIX),
    ("opcode 1f, or 8e", c.MASKING),
    ("the opcode is in neither table", c.OPCODE),
    ("branch with a 66 prefix", c.OPERAND_SIZE),
    ("the table has no such instruction", c.TABLE),
    ("the opcode map is not known", c.UNDECODABLE),
    ("its decoder takes it for no instruction", c.UNDECODABLE),
)


def _is_vector(d: Decoded) -> bool:
    return d.layout.vex is not None


def _applies(site: Site) -> bool:
    return site.effects[0].kind in {Kind.NOP, Kind.JUMP, Kind.CONDITIONAL, Kind.CALL, Kind.PUSH}


def _skipped(site: Site, d: Decoded) -> bool:
    first = site.effects[0]
    return _is_vector(d) and _applies(site) and first.field is None and first.kind is not Kind.CALL


def _jumped(site: Site, d: Decoded) -> bool:
    return _is_vector(d) and _applies(site)


def _left_in_slot(site: Site, d: Decoded) -> bool:
    return _is_vector(d) and site.step is not None and not site.step.moves_ip and not site.step.in_place


def _keeps_tf(site: Site, d: Decoded) -> bool:
    return _is_vector(d) and site.step is not None and site.step.keeps_tf and site.observable == "trap"


def _exchange(site: Site, d: Decoded) -> bool:
    return site.effects[0].kind is Kind.NOP and not d.form.opcode.is_nop and site.observable == "gprs"


def _red_zone(site: Site, d: Decoded) -> bool:
    return any(e.kind is Kind.CALLED and e.below <= RED_ZONE for e in site.effects)


def _below(site: Site, d: Decoded) -> bool:
    return any(e.kind is Kind.CALLED for e in site.effects)


def _emulate_prefix(site: Site, d: Decoded) -> bool:
    return bool(site.probe.followed_by) and d.form.opcode.flow_control == "EXCEPTION" and "fault" in site.refuted


def _length(site: Site, d: Decoded) -> bool:
    return site.program.length not in {0, d.layout.length} and shape(site.program).uses_length


def _rex(site: Site, d: Decoded) -> bool:
    """Whether the plan for the encoding without the prefixes that are one too many is another."""
    regular = _regular(d)
    if regular == d.data:
        return False
    other = site.probe.scheme.plan(padded(regular))
    return isinstance(other, Refuse) or shape(other).text != shape(site.program).text


def _regular(d: Decoded) -> bytes:
    """The encoding without REX bytes that have no effect, and where it has more than four prefixes without segments."""
    layout = d.layout
    count = len(layout.prefixes) + layout.ignored_rex + (layout.rex_offset is not None)
    last = layout.rex_offset if layout.rex_offset is not None else -1
    many = SEGMENTS if len(set(layout.prefixes)) > MOST_PREFIXES else b""
    kept = (v for i, v in enumerate(d.data[:count]) if i == last or not (v in REX_BYTES or v in many))
    return bytes(kept) + d.data[count:]


def _not_rewritten(site: Site, d: Decoded) -> bool:
    ran = site.step
    elsewhere = ran is not None and not ran.in_place and is_plain_code(ran.run.code)
    return elsewhere and d.form.addressing is Addressing.RIP and site.observable not in _OWN_CAUSES


_OWN_CAUSES: Final = frozenset({"hits", "x87-pointers", "trap", "containment", "shadow-stack"})


def _wrong_copy(site: Site, d: Decoded) -> bool:
    """Whether the copy is no longer the original with [rip + d] made [scratch + d]."""
    ran = site.step
    if ran is None or ran.run.code.closed or is_plain_code(ran.run.code) or site.observable in _OWN_CAUSES:
        return False
    copy = site.probe.read(ran.run.code)
    if not isinstance(copy, Decoded) or copy.form.opcode != d.form.opcode or d.form.addressing is not Addressing.RIP:
        return True
    based = copy.form.addressing is Addressing.MEM and fields(copy).base.value == ran.scratch
    return not based or [_source(ran.run.code, i) for i in _immediates(copy)] != _immediates(d)


def _immediates(d: Decoded) -> list[int]:
    """Offsets of the bytes of immediates."""
    return [i for at, size in d.layout.immediates for i in range(at, at + size)]


def _source(code: Code, at: int) -> int | None:
    """Which byte of the original stands there unchanged."""
    piece = code.pieces[at] if at < len(code.pieces) else None
    return piece.source if isinstance(piece, Byte) and piece == Byte(piece.source) else None


def _scratch(site: Site, d: Decoded) -> bool:
    ran = site.step
    return ran is not None and ran.scratch >= 0 and ran.scratch in _used(d) and site.observable not in _OWN_CAUSES


def _used(d: Decoded) -> set[int]:
    """Numbers of the general registers that the instruction uses."""
    opcode, parts = d.form.opcode, fields(d)
    named = {operand_register(opcode, i, parts)[1].value for i in general_operands(opcode, d.form.addressing)}
    implied = {number for n, _ in opcode.implicit_registers if (number := _number(n)) is not None}
    return {int(n) for n in named if isinstance(n, int)} | implied


def _number(name: str) -> int | None:
    """Of the general register of which a name is the whole or a part: rax, eax, ax, ah and al are 0."""
    whole = name if name in GPRS else f"r{name[-2:]}" if name[-1:] in "xip" else f"r{name[0]}x"
    return GPRS.get(whole)


def _moved_by(site: Site) -> bool:
    """Whether the displaced value is the one in place but for the distance of slot and original."""
    if site.values is None:
        return False
    _, here, there = site.values
    assert site.shown is not None
    return (there - here - (int(site.shown.slot, 16) - int(site.shown.origin, 16))) % (1 << 64) == 0


def _repeated(site: Site, d: Decoded) -> bool:
    opcode = d.form.opcode
    return site.observable == "hits" and (opcode.is_vsib or (opcode.is_string and d.layout.rep is not None))


def _x87(site: Site, d: Decoded) -> bool:
    return site.observable == "x87-pointers"


def _tf_pushed(site: Site, d: Decoded) -> bool:
    """Where no counterexample is at hand, a step whose push stores another value is one."""
    ran = site.step
    pushes = ran is not None and _pushes_flags(d) and "memory-values" in site.refuted
    if site.observable == "memory-values" and site.values is not None:
        return site.values[1] ^ site.values[2] == TF
    return pushes and site.observable in {"memory-values", "trap"}


def _pushes_flags(d: Decoded) -> bool:
    """Whether it pushes something that is no operand: the flags."""
    opcode = d.form.opcode
    return opcode.is_stack and opcode.flow_control == "NEXT" and not opcode.op_kinds


def _tf_saved(site: Site, d: Decoded) -> bool:
    return site.observable == "gprs" and site.values is not None and site.values[1] ^ site.values[2] == TF


def _is_system_call(d: Decoded) -> bool:
    return d.form.opcode.flow_control in {"CALL", "RETURN", "INTERRUPT"} and not d.form.opcode.is_stack


def _slot_in_rcx(site: Site, d: Decoded) -> bool:
    return site.observable == "gprs" and _is_system_call(d)


def _syscall(site: Site, d: Decoded) -> bool:
    return "containment" in site.refuted and _is_system_call(d)


def _completed(site: Site, d: Decoded) -> bool:
    return "containment" in site.refuted and d.form.opcode.flow_control == "NEXT"


def _transaction(site: Site, d: Decoded) -> bool:
    return d.form.opcode.flow_control == "XBEGIN_XABORT_XEND"


def _enclave(site: Site, d: Decoded) -> bool:
    return any(f.startswith("SGX") for f in d.form.opcode.cpuid)


def _call_size(site: Site, d: Decoded) -> bool:
    ran = site.step
    return ran is not None and ran.returns and not ran.moves_ip


def _truncated(site: Site, d: Decoded) -> bool:
    branches = d.form.opcode.flow_control != "NEXT"
    return site.observable == "next-ip" and branches and d.layout.operand_size_prefix and site.step is not None


def _absolute(site: Site, d: Decoded) -> bool:
    return site.observable == "next-ip" and site.step is not None and d.form.opcode.flow_control != "NEXT"


def _in_register(site: Site, d: Decoded) -> bool:
    return site.observable == "gprs" and _moved_by(site)


def _in_memory(site: Site, d: Decoded) -> bool:
    return site.observable == "memory-values" and _moved_by(site)


def _of(observable: str) -> Callable[[Site, Decoded], bool]:
    return lambda site, _: site.observable == observable


def _no_fault(site: Site, d: Decoded) -> bool:
    return site.observable == "fault" and site.difference.startswith("fault vector")


def _fault_address(site: Site, d: Decoded) -> bool:
    return site.observable == "fault" and _moved_by(site)


def _runs_privileged(site: Site, d: Decoded) -> bool:
    opcode = d.form.opcode
    return site.probe.is_lent and site.observable == "fault" and (opcode.must_be_cpl0 or opcode.may_require_cpl0)


def _unchecked(site: Site, d: Decoded) -> bool:
    is_reached = site.observable == "containment" or site.difference.startswith(PAGE_FAULT) or not site.difference
    return site.probe.is_lent and site.observable in {"fault", "containment"} and is_reached


RULES: Final[tuple[tuple[Cause, Callable[[Site, Decoded], bool]], ...]] = (
    (c.RUNS_PRIVILEGED, _runs_privileged),
    (c.UNCHECKED, _unchecked),
    (c.LEVEL_SHOWN, lambda site, _: site.probe.is_lent),
    (c.SKIPPED, _skipped),
    (c.JUMPED, _jumped),
    (c.LEFT_IN_SLOT, _left_in_slot),
    (c.KEEPS_TF, _keeps_tf),
    (c.EMULATE_PREFIX, _emulate_prefix),
    (c.RED_ZONE, _red_zone),
    (c.BELOW, _below),
    (c.XCHG, _exchange),
    (c.MISREAD_LENGTH, _length),
    (c.REPEATED, _repeated),
    (c.X87_POINTER, _x87),
    (c.REX, _rex),
    (c.NOT_REWRITTEN, _not_rewritten),
    (c.WRONG_COPY, _wrong_copy),
    (c.SCRATCH, _scratch),
    (c.TF_PUSHED, _tf_pushed),
    (c.TF_IN_REGISTER, _tf_saved),
    (c.SLOT_IN_RCX, _slot_in_rcx),
    (c.SYSCALL, _syscall),
    (c.COMPLETED, _completed),
    (c.TRANSACTION, _transaction),
    (c.ENCLAVE, _enclave),
    (c.CALL_SIZE, _call_size),
    (c.TRUNCATED, _truncated),
    (c.ABSOLUTE, _absolute),
    (c.SLOT_IN_REGISTER, _in_register),
    (c.SLOT_ON_STACK, _in_memory),
    (c.NO_FAULT, _no_fault),
    (c.FAULT_ADDRESS, _fault_address),
    (c.FAULT_SHOWN, _of("fault")),
    (c.TRAP, _of("trap")),
    (c.SHADOW, _of("shadow-stack")),
    (c.NOT_STOPPED, _of("containment")),
)
