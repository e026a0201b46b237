"""A counterexample as people read and replay it: bytes, initial state, origin, slot, both outcomes, first difference.

It is made by evaluating both sides concretely from the witness, without the solver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from verify.claim.conditions import VerificationCondition, field_values, verification_condition
from verify.claim.obligations import Sides, compared_at, sides
from verify.judge.encoding import Deviation, Judgement
from verify.models.schemes.behaviour import Behaviour
from verify.models.schemes.scheme import Refuse
from verify.models.x86.machine import FLAG_BITS, State
from verify.smt.canonical import TYPICAL
from verify.smt.decisions import default_value, environment_of
from verify.terms import Array, Opaque, Term, postorder
from verify.terms.evaluation import Memory, Value, number, program, register_file, stepwise

GPR_NAMES: Final = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counterexample:
    """Self-contained: everything in hex with widths."""

    data: str  # the encoding
    observable: str
    origin: str
    slot: str
    initial: tuple[tuple[str, str], ...]  # what matters, non-zero
    in_place: tuple[tuple[str, str], ...]  # what differs from the initial state or from the other side
    displaced: tuple[tuple[str, str], ...]
    first_difference: str
    others: tuple[str, ...]  # further observables that are refuted
    vendor: str
    followed_by: str = ""  # what stands behind the encoding; empty: it does not matter


def counterexample(judgement: Judgement, assumptions: frozenset[str]) -> Counterexample:
    """The counterexample of the judgement's first deviation.  Raises ValueError where it has none."""
    if not judgement.deviations:
        raise ValueError(f"{judgement.probe.data.hex()} has no deviation")
    deviation = judgement.deviations[0]
    shown, env = _sides(judgement, deviation, assumptions)
    here, there = shown
    changed = [(n, a, b) for (n, a), (_, b) in zip(here, there, strict=True) if a != b]
    length = getattr(getattr(judgement.probe.decoded, "layout", None), "length", 16)
    cpu = getattr(judgement.probe.decoded, "cpu", None)
    return Counterexample(
        data=judgement.probe.data[:length].hex(),
        observable=deviation.observable,
        origin=_hex(number(env["origin"]), 64),
        slot=_hex(number(env["kernel_slot" if judgement.probe.is_lent else "slot"]), 64),
        initial=_initial(env),
        in_place=tuple((n, a) for n, a, _ in changed),
        displaced=tuple((n, b) for n, _, b in changed),
        first_difference=_difference(deviation.observable, changed),
        others=tuple(d.observable for d in judgement.deviations[1:]),
        vendor=cpu.value if cpu is not None else "any",
        followed_by=judgement.probe.followed_by.hex(),
    )


def _difference(observable: str, changed: list[tuple[str, str, str]]) -> str:
    if not changed:
        return observable
    name, a, b = changed[0]
    return f"{name}: in place {a}, displaced {b}"


def _hex(value: int, width: int) -> str:
    return f"0x{value:0{(width + 3) // 4}x}"


def _sides(
    judgement: Judgement, deviation: Deviation, assumptions: frozenset[str]
) -> tuple[tuple[list[tuple[str, str]], list[tuple[str, str]]], dict[str, Value]]:
    p = judgement.probe
    if isinstance(p.plan, Refuse):
        raise ValueError(f"{p.data.hex()} is refused")
    material = verification_condition(p, assumptions)
    pair = sides(p, material)[1]
    both = pair.here, shown_hit(material, pair, deviation, field_values(p))
    rows = [shown_rows(b, deviation.observable) for b in both]
    roots = [t for side in rows for _, t in side]
    witness = deviation.witness
    env = _environment(roots, deviation, field_values(p))
    numbers = stepwise(program(roots))(env, environment_of(witness))
    cut = len(rows[0])
    shown = [[*_shown(n, t, v)] for (n, t), v in zip(rows[0] + rows[1], numbers, strict=True)]
    here = [x for group in shown[:cut] for x in group]
    there = [x for group in shown[cut:] for x in group]
    for (name, _), a, b in zip(rows[0], numbers[:cut], numbers[cut:], strict=False):
        if isinstance(a, Memory) and isinstance(b, Memory) and not a.same(b):
            at = _differing(a, b)
            here.append((f"byte at {at:#x}{_suffix(name)}", _hex(a.byte(at), 8)))
            there.append((f"byte at {at:#x}{_suffix(name)}", _hex(b.byte(at), 8)))
    return _aligned(here, there), env


def shown_hit(
    material: VerificationCondition, pair: Sides, deviation: Deviation, own: Mapping[str, int]
) -> Behaviour:
    """The kind of hit at which the deviation shows: the first one whose goal does not hold in the witness's state."""
    if len(pair.there) == 1:
        return pair.there[0]
    goals = [compared_at(material, pair.here, hit)[deviation.observable] for hit in pair.there]
    env = _environment(goals, deviation, own)
    holds = stepwise(program(goals))(env, environment_of(deviation.witness))
    return next((hit for hit, value in zip(pair.there, holds, strict=True) if not value), pair.there[-1])


def _differing(a: Memory, b: Memory) -> int:
    """An address at which two memories that are not the same differ."""
    places: list[int] = sorted({*a.written, *b.written, *range(0x1000, 0x1100)})
    return next((at for at in places if a.byte(at) != b.byte(at)), places[0])


def _environment(roots: Sequence[Term], deviation: Deviation, own: Mapping[str, int]) -> dict[str, Value]:
    """Values by the terms' own names: the witness's, the encoding's, otherwise the defaults."""
    names, known = deviation.query.text.names, deviation.query.assignment(deviation.witness, own)
    given = {name: known[f"v{i}"] for i, name in enumerate(names)}
    env: dict[str, Value] = {n: given.get(n, TYPICAL[n]) for n in ("origin", "slot", "kernel_slot")}
    for t in postorder(roots):
        if t.op == "var":
            name = str(t.params[0])
            fallback = Memory(deviation.witness.seed) if isinstance(t.sort, Opaque) else default_value(name, t.sort)
            env[name] = given.get(name, own.get(name, fallback))
    return env


def _aligned(
    here: list[tuple[str, str]], there: list[tuple[str, str]]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Both sides with the same names in the same order; what one side lacks is `none`."""
    names = list(dict.fromkeys([n for n, _ in here] + [n for n, _ in there]))
    a, b = dict(here), dict(there)
    return [(n, a.get(n, "none")) for n in names], [(n, b.get(n, "none")) for n in names]


def _shown(name: str, term: Term, value: Value) -> list[tuple[str, str]]:
    if isinstance(value, Memory):
        return []
    if isinstance(term.sort, Array):
        width = term.sort.value_bits
        registers = register_file(value)
        rows = zip(_labels(len(registers)), registers, strict=True)
        return [(f"{label}{_suffix(name)}", _hex(v, width)) for label, v in rows]
    return [(name, _hex(number(value), term.width))]


def _labels(count: int) -> Sequence[str]:
    """Names of the registers of a file with that many."""
    return GPR_NAMES if count == 16 else [f"{'zmm' if count == 32 else 'k'}{i}" for i in range(count)]


def _suffix(name: str) -> str:
    return " at the fault" if name.endswith("at the fault") else ""


def shown_rows(b: Behaviour, observable: str) -> list[tuple[str, Term]]:
    """What is shown of one side, the refuted observable's own components first."""
    groups: dict[str, list[tuple[str, Term]]] = {
        "next-ip": [("rip", b.state.ip)],
        "gprs": [("gprs", b.state.gprs)],
        "flags": [(n, getattr(b.state, n)) for n in FLAG_BITS if n != "tf"],
        "segment-bases": _components(b.state, "fs_base", "gs_base", "selectors"),
        "vector": _components(b.state, "vectors", "masks", "mxcsr"),
        "x87": _components(b.state, "x87"),
        "x87-pointers": _components(b.state, "fip", "fdp", "fop"),
        "memory-addresses": [(f"{_kind(a.kind)} {i}: address", a.address) for i, a in enumerate(b.accesses)],
        "memory-values": [
            *((f"{_kind(a.kind)} {i}: {a.size} bytes", a.value) for i, a in enumerate(b.accesses)),
            ("memory", b.state.memory),
        ],
        "shadow-stack": [(f"shadow stack {e.kind} {i}", e.value) for i, e in enumerate(b.shadow)],
        "fault": _delivery(b),
        "trap": [("trap", b.trap), ("tf", b.state.tf), *((f"tf seen {i}", t) for i, t in enumerate(b.tf_seen))],
        "hits": [("hits", b.hits)],
        "containment": [("contained", b.contained)],
    }  # fmt: skip
    return groups[observable]


def _delivery(b: Behaviour) -> list[tuple[str, Term]]:
    """The frame of a fault, the state at delivery, and what was accessed up to it."""
    frame = [("fault vector", b.vector), ("fault address", b.reported), ("error code", b.error), ("trapno", b.trapno)]
    names = ("gprs", *(n for n in FLAG_BITS), "fs_base", "gs_base", "selectors", "mxcsr", "fip", "fdp", "fop", "memory")
    state = [("rip at the fault", b.fault_state.ip)]
    state += [(f"{n} at the fault", getattr(b.fault_state, n)) for n in names]
    places = [(f"{_kind(a.kind)} {i} up to the fault: address", a.address) for i, a in enumerate(b.attempted)]
    return [*frame, *state, ("hits at the fault", b.fault_hits), *places]


def _components(state: State, *names: str) -> list[tuple[str, Term]]:
    return [(n, getattr(state, n)) for n in names]


def _kind(kind: str) -> str:
    return {"r": "read", "w": "write"}[kind]


_FIELDS: Final = frozenset({
    "reg", "rm_reg", "opcode_reg", "base", "index", "scale", "vvvv", "disp", "aaa", "z", "length", "origin", "slot",
    "small_address", "overridden",
})  # fmt: skip


def _initial(env: Mapping[str, Value]) -> tuple[tuple[str, str], ...]:
    rows: list[tuple[str, str]] = []
    for name, value in sorted(env.items()):
        if name in _FIELDS or name.startswith("imm") or isinstance(value, Memory):
            continue
        if isinstance(value, tuple):
            width = 64 if len(value) in {16, 8} else 512
            labels = _labels(len(value))
            rows += [(label, _hex(v, width)) for label, v in zip(labels, value, strict=True) if v]
        elif isinstance(value, int) and value:
            rows.append((name, _hex(value, 64 if value > 1 else 1)))
    return tuple(rows)

