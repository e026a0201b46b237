"""One instruction executed by the semantics on integers: for tests that compare with manuals and processors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from verify.models.x86.environment import Environment
from verify.models.x86.isa.decode import Decoded, decode
from verify.models.x86.isa.fields import fields as parts
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import State, component_sort, symbolic_state
from verify.models.x86.mode import USER_64, Mode
from verify.models.x86.semantics.dispatch import execute
from verify.models.x86.semantics.run import Instruction
from verify.terms import Array, Term, const, var
from verify.terms.evaluation import Memory, evaluate

ORIGIN = 0x5_0000_0100
STACK = 0x5_0000_8000
DATA = 0x5_0000_2000
NAMES = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
SELECTORS = 0x33 << 16 | 0x2B << 32
NO_FAULT = 0xFF


class Environment(Environment):
    """Answers of the environment: named functions from a table, faults and datapaths as World has them."""

    answers: Mapping[str, int]

    def __init__(self, answers: Mapping[str, int], faults: Mapping[tuple[int, int, int], int]) -> None:
        super().__init__(faults=dict(faults))
        object.__setattr__(self, "answers", answers)

    def function(self, name: str, sort: Any, args: tuple[Any, ...]) -> Any:
        if name in self.answers:
            return self.answers[name]
        if sort == 1:  # conditions of the environment do not hold unless a test says so
            return 0
        return super().function(name, sort, args)


@dataclass(frozen=True)
class Executed:
    """The outcome on integers; registers by name."""

    values: Mapping[str, Any]
    accesses: tuple[tuple[str, int, int, int], ...]  # kind, address, size, value; only those that are made
    fault: int
    error: int
    fault_ip: int
    at_ip: int
    repeats: int
    tf_seen: tuple[int, ...]
    shadow: tuple[tuple[str, int], ...]
    kernel_completes: bool

    def __getattr__(self, name: str) -> Any:
        if name in NAMES:
            return self.values["gprs"][NAMES.index(name)]
        return self.values[name]


def instruction(text: str, cpu: Cpu = Cpu.AMD, mode: Mode = USER_64) -> Instruction:
    """The bytes as an instruction; ValueError where they are none."""
    d = decode(bytes.fromhex(text), cpu)
    if not isinstance(d, Decoded):
        raise ValueError(f"{text}: {d}")
    where = d.layout.modrm_offset
    return Instruction(
        d.form.opcode, d.form.addressing, d.cpu, const(d.layout.length, 64), d.layout.address_size, d.layout.segment,
        d.layout.rep, d.layout.lock, None if where is None else d.data[where], parts(d), d.faults_ud, mode,
    )  # fmt: skip


def initial(memory: Mapping[int, int], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of all state components; `memory` maps addresses to 8-byte values, registers and flags go by name."""
    bytes_at = {a + i: v >> 8 * i & 0xFF for a, v in memory.items() for i in range(8)}
    values: dict[str, Any] = {
        "memory": Memory(0, bytes_at), "selectors": SELECTORS, "x87": 0xFFFF_0000_037F, "mxcsr": 0x1F80,
    }  # fmt: skip
    gprs = [0] * 16
    gprs[4] = STACK
    for name, value in given.items():
        if name in NAMES:
            gprs[NAMES.index(name)] = value
        else:
            values[name] = value
    values["gprs"] = tuple(gprs)
    for f in fields(State):
        sort = component_sort(f.name)
        values.setdefault(f.name, (0,) * (1 << sort.index_bits) if isinstance(sort, Array) else 0)
    return values


def executed(
    text: str, cpu: Cpu = Cpu.AMD, *, memory: Mapping[int, int] | None = None, answers: Mapping[str, int] | None = None,
    faults: Mapping[tuple[int, int, int], int] | None = None, mode: Mode = USER_64, **given: Any,
) -> Executed:  # fmt: skip
    """The bytes executed at `ip` (default ORIGIN) in a state of zeros, but for what is given."""
    values = initial(memory or {}, {"ip": ORIGIN, **given})
    out = execute(instruction(text, cpu, mode), symbolic_state(var("ip", 64)))
    names = [f.name for f in fields(State)]
    extra: list[Term] = [out.fault_vector, out.fault_error, out.fault_state.ip, out.fault_at_ip, out.repeats]
    flat = [t for a in out.accesses for t in (a.condition, a.address, a.value)]
    roots = [getattr(out.state, n) for n in names] + extra + flat + list(out.tf_seen) + [s.value for s in out.shadow]
    found = evaluate(roots, values, Environment(answers or {}, faults or {}))
    rest = found[len(names) + 5 :]
    made = tuple(
        (a.kind, rest[3 * i + 1], a.size, rest[3 * i + 2]) for i, a in enumerate(out.accesses) if rest[3 * i]
    )
    rest = rest[3 * len(out.accesses) :]
    seen, entries = rest[: len(out.tf_seen)], rest[len(out.tf_seen) :]
    return Executed(
        dict(zip(names, found, strict=False)), made, *found[len(names) : len(names) + 5], tuple(seen),
        tuple((s.kind, v) for s, v in zip(out.shadow, entries, strict=True)), out.kernel_completes,
    )  # fmt: skip
