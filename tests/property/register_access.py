"""Registers, masks, flags and immediates that an encoding's semantics read and write, held against iced's.

A second reading that needs no processor: `sets_of_semantics` walks the outcome's terms, `sets_of_iced` asks
InstructionInfoFactory about the same bytes.  Three differences count: what iced reads and the semantics do not, what
it writes and they do not, and what they write and it does not; a read too many costs a proof, never its truth.  One
that another encoding of the form does not show comes of its operands (or al, 0 writes nothing).  What always faults
reads nothing.  `open_differences` are those that no row of KNOWN explains.  As a script it judges every form
(`make accesses`).
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final, NamedTuple

import iced_x86

from verify import terms
from verify.claim.conditions import field_values, verification_condition
from verify.claim.probes import CONCRETE_IMMEDIATES, probe
from verify.live.differential.reads import read_set
from verify.models.schemes.identity import SCHEME
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.encode import random_encoding
from verify.models.x86.isa.forms import Cpu, Form, all_forms
from verify.models.x86.machine import NO_FAULT, Outcome, State, symbolic_state
from verify.models.x86.semantics.dispatch import execute
from verify.terms import Term, postorder, var

iced: Any = iced_x86
FILES: Final = {"gprs": "r", "vectors": "v", "masks": "k"}
PARTS: Final = tuple(State.__dataclass_fields__)
FLAGS: Final = tuple((getattr(iced.RflagsBits, n.upper()), n) for n in ("cf", "pf", "af", "zf", "sf", "df", "of"))
COMPARED_FLAGS: Final = frozenset(n for _, n in FLAGS)
READS: Final = {iced.OpAccess.READ, iced.OpAccess.COND_READ, iced.OpAccess.READ_WRITE, iced.OpAccess.READ_COND_WRITE}
WRITES: Final = {
    iced.OpAccess.WRITE, iced.OpAccess.COND_WRITE, iced.OpAccess.READ_WRITE, iced.OpAccess.READ_COND_WRITE,
}  # fmt: skip
IMMEDIATES: Final = frozenset(v for n, v in vars(iced.OpKind).items() if n.startswith("IMMEDIATE"))
CONSTANT: Final = CONCRETE_IMMEDIATES | {"enter"}  # part of their immediates is no variable
ENCODINGS: Final = 4  # of a form, that must all show a difference


class Known(NamedTuple):
    """Mnemonics (a regular expression), kind of difference, what differs (a regular expression), why."""

    mnemonics: str
    kind: str
    names: str
    why: str


KNOWN: Final = (
    Known(r"prefetch\w*|cldemote|v(gather|scatter)pf.*", "unread", r"[rvk]\d+", "a hint, without effect on the state"),
    Known("monitorx?|mwaitx?|umonitor|tpause|umwait", "unread", r"r\d+", "how long a processor waits is no state"),
    Known("ptwrite", "unread", r"r\d+", "goes to the trace alone, SDM vol. 3C, 33"),
    Known("fxrstor(64)?|xrstor(64)?", "written too", r"[vk]\*", "iced lists no registers of state images"),
    Known("syscall", "written too", "r0", "the kernel's answer; iced ends at the kernel's entry"),
    Known("syscall", "unwritten", "[a-z]f", "SYSRET gives them back from r11"),
    Known("sysenter|enclu", "written too", r"r\*", "what the kernel, or the enclave, leaves"),
    Known("vmfunc|vmmcall|vmgexit", "written too", "r0", "the hypervisor's answer"),
    Known("vmfunc", "unwritten", "[a-z]f", "a VM function leaves flags to VMX failures, SDM vol. 3C, VMFUNC"),
    Known("jmp", "written too", "r4", "a far jump to a 32-bit segment truncates rsp"),
)


@dataclass(frozen=True, slots=True)
class Sets:
    """Names of what is read and written: r0..r15, v0..v31, k0..k7, flags by name, imm0 and imm1."""

    read: frozenset[str]
    written: frozenset[str]


def sets_of_iced(data: bytes, cpu: Cpu) -> Sets:
    """What iced says of the bytes."""
    options = iced.DecoderOptions.AMD if cpu is Cpu.AMD else iced.DecoderOptions.NONE
    decoder = iced.Decoder(64, data, options)
    instruction = decoder.decode()
    constants = decoder.get_constant_offsets(instruction)
    info = iced.InstructionInfoFactory().info(instruction)
    read, written = set(), set()
    for used in info.used_registers():
        name = _named(used.register)
        if name is not None:
            read |= {name} if used.access in READS else set()
            written |= {name} if used.access in WRITES else set()
    read |= {n for bit, n in FLAGS if instruction.rflags_read & bit}
    if IMMEDIATES & {instruction.op_kind(i) for i in range(instruction.op_count)}:  # not a branch's displacement
        read |= {n for n, there in (("imm0", constants.has_immediate), ("imm1", constants.has_immediate2)) if there}
    written |= {n for bit, n in FLAGS if instruction.rflags_modified & bit}
    return Sets(frozenset(read), frozenset(written))


def _named(register: int) -> str | None:
    full = iced.RegisterExt.full_register(register)
    number = iced.RegisterExt.number(full)
    if iced.RegisterExt.is_gpr(full):
        return f"r{number}"
    if iced.RegisterExt.is_vector_register(full):
        return f"v{number}"
    return f"k{number}" if iced.RegisterExt.is_k(full) else None


def outcome_of(data: bytes, cpu: Cpu) -> tuple[Outcome, State, dict[Term, Term]]:
    """The outcome of an encoding's class, the state before, and the encoding's own fields."""
    p = probe(data, SCHEME, cpu)
    before = symbolic_state(var("origin", 64))
    result = execute(verification_condition(p).setup.original, before)
    own = field_values(p)
    named = {str(t.params[0]): t for t in postorder(_roots(result, before)) if t.op == "var"}
    return result, before, {t: terms.const(own[n], t.width) for n, t in named.items() if n in own}


def _roots(result: Outcome, before: State) -> list[Term]:
    states = (result.state, result.fault_state)
    changed = [t for n in PARTS for s in states if n != "ip" and (t := getattr(s, n)) is not getattr(before, n)]
    fault = [result.fault_vector, result.fault_error, result.fault_address, result.repeats, result.state.ip]
    accesses = [t for a in result.accesses for t in (a.address, a.condition, a.value)]
    return [*fault, *changed, *accesses, *result.tf_seen, *(e.value for e in result.shadow)]


def sets_of_semantics(data: bytes, cpu: Cpu) -> Sets | None:
    """What the semantics of the encoding say; None where it always faults."""
    result, before, own = outcome_of(data, cpu)
    if result.fault_vector.value not in {None, NO_FAULT}:
        return None
    roots = terms.substitute(_roots(result, before), own)
    reads, whole = read_set(roots)
    read = {f"{FILES[r.kind]}{_number(r.where)}" for r in reads if r.kind in FILES}
    read |= {str(t.params[0]) for t in own if str(t.params[0]).startswith("imm")}
    read |= whole & COMPARED_FLAGS | {f"{letter}*" for name, letter in FILES.items() if name in whole}
    after = {n: terms.substitute([getattr(result.state, n)], own)[0] for n in PARTS}
    written = {n for n in COMPARED_FLAGS if after[n] is not getattr(before, n)}
    for name, letter in FILES.items():
        for t in postorder([after[name]]):
            if t.op == "store":
                written.add(f"{letter}{_number(t.args[1])}")
            elif t.op == "uf" and t.sort == getattr(before, name).sort:
                written.add(f"{letter}*")
    return Sets(frozenset(read), frozenset(written))


def _number(where: Term) -> str:
    return "?" if where.value is None else str(where.value)


def differences(data: bytes, cpu: Cpu) -> frozenset[tuple[str, str]]:
    """(kind, name): what iced reads or writes and the semantics do not, what they write and iced does not."""
    ours, theirs = sets_of_semantics(data, cpu), sets_of_iced(data, cpu)
    if ours is None:
        return frozenset()
    constant = frozenset({"imm0", "imm1"}) if has_constant_immediates(data, cpu) else frozenset()
    found = {("unread", n) for n in _without(theirs.read, ours.read | constant)}
    found |= {("unwritten", n) for n in _without(theirs.written, ours.written)}
    return frozenset(found | {("written too", n) for n in _without(ours.written, theirs.written)})


def has_constant_immediates(data: bytes, cpu: Cpu) -> bool:
    """Whether the class's obligations have the encoding's own immediates, not variables."""
    p = probe(data, SCHEME, cpu)
    decoded = p.decoded
    return not field_values(p) or not isinstance(decoded, Decoded) or decoded.form.opcode.mnemonic in CONSTANT


def _without(names: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    return frozenset(n for n in names - others if f"{n[0]}*" not in others)


def encodings(form: Form, seed: int) -> Iterator[tuple[bytes, Cpu]]:
    """Random encodings of the form that are no #UD, for either vendor."""
    random = Random(f"{seed} {form.name}")
    for _ in range(ENCODINGS):
        cpu = random.choice((Cpu.INTEL, Cpu.AMD))
        try:
            data = random_encoding(form, random, cpu)
        except ValueError:
            continue
        p = probe(data, SCHEME, cpu)
        if isinstance(p.decoded, Decoded) and not p.decoded.faults_ud:
            yield data, cpu


def open_differences(form: Form, seed: int) -> list[tuple[str, str, str]]:
    """Bytes, kind and names of the form's differences that all its encodings show and no row explains."""
    rows: list[tuple[str, str, str]] = []
    for data, cpu in encodings(form, seed):
        found = differences(data, cpu)
        open_ones = sorted((kind, n) for kind, n in found if not explained(form, kind, n))
        kinds = {kind: " ".join(n for k, n in open_ones if k == kind) for kind, _ in open_ones}
        now = [(data.hex(), kind, names) for kind, names in sorted(kinds.items()) if names]
        rows = [row for row in rows if row[1] in {kind for _, kind, _ in now}] if rows else now
        if not rows:
            return []
    return rows


def explained(form: Form, kind: str, name: str) -> bool:
    """Whether a row of KNOWN explains a difference."""
    return any(
        kind == row.kind and re.fullmatch(row.mnemonics, form.opcode.mnemonic) and re.fullmatch(row.names, name)
        for row in KNOWN
    )


def main() -> int:
    """Prints the open differences of every form; 1 where there are some."""
    begun, wrong, forms = time.monotonic(), 0, all_forms()
    for form in forms:
        for data, kind, names in open_differences(form, 1):
            wrong += 1
            print(form.opcode.mnemonic, kind, names, data, form.name, sep="\t", flush=True)
    print(f"{len(forms)} forms, {wrong} open differences, {time.monotonic() - begun:.0f} s")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
