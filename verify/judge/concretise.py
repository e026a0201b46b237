"""The state of a counterexample as a program of this machine can be in it: addresses that can be mapped.

A witness is small first of all: its pointers are 0 or anything.  Registers, origin and page faults are moved until
every access lies in user space and the deviation still shows; the obligation itself, evaluated, is the judge of that.
Decides nothing about processors: what cannot be moved is said in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from verify.claim.conditions import field_values, verification_condition
from verify.claim.obligations import sides
from verify.judge.counterexample import shown_hit, shown_rows
from verify.judge.encoding import Deviation, Judgement
from verify.models.schemes.scheme import Refuse
from verify.models.x86.environment import DATAPATH, SOMETIMES, UNMAPPED_CODE, Environment
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.machine import FLAG_BITS, PF, Access
from verify.models.x86.mode import USER_64
from verify.smt.canonical import TYPICAL
from verify.smt.decisions import default_value
from verify.terms import Opaque, Sort, Term, postorder
from verify.terms.evaluation import Evaluator, Memory, Value, bytes_of, number, program, register_file, stepwise

PAGE: Final = 4096
CODE: Final = PAGE + 1  # bytes from the instruction on that are code: its page and the next
LOWEST: Final = 0x1_0000  # what a program can map
END: Final = USER_64.half - 2 * PAGE
SELECTORS: Final = 0x33 << 16 | 0x2B << 32
ONE: Final = 0x3FFF_8000_0000_0000_0000
HALF_FULL_X87: Final = sum(ONE << 48 + 80 * i for i in range(4)) | 0x00FF << 32 | 4 << 27 | 0x37F  # st0..st3 are 1.0
PLAIN: Final[Mapping[str, int]] = {  # what a program has, or must have: no shadow stack here
    "selectors": SELECTORS, "ssp": 0, "cet": 0, "fip": 0, "fdp": 0, "fop": 0, "mxcsr": 0x1F80, "x87": HALF_FULL_X87,
}  # fmt: skip
FREE: Final = ("mxcsr", "x87")  # of these, those that a program can choose
STACK: Final = 0x7FFD_1234_5000
ORIGINS: Final = (TYPICAL["origin"], 0x5555_5555_4FF0, 0x3000_0040, 0x5555_5555_4100)
RSP: Final = 4
SYSTEM_CALLS: Final = frozenset({"syscall", "sysenter", "int"})
NO_SYSTEM_CALL: Final = 0xFFFF  # a number that the kernel answers with ENOSYS
VECTORS: Final = frozenset({16, 32, 64})  # bytes of operands that some instructions want aligned
SELECTORS_ANSWERED: Final = ("selector_fault", "stack_selector.")  # what the descriptor tables say of data selectors
TRIES: Final = 400
SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Concretised:
    """A state to be run: registers by the semantics' names, initial memory by address; the rest is not mapped."""

    observable: str
    values: Mapping[str, Value]  # gprs, flags, fs_base, gs_base, vectors, masks, mxcsr, x87, origin
    memory: tuple[tuple[int, bytes], ...]  # what the instruction accesses in place
    spare: tuple[tuple[int, bytes], ...]  # what only the displaced one accesses, where a program can map it
    moved: bool  # not the witness as it was shown
    rests_on: tuple[str, ...]  # functions of the environment and datapaths that no state forces


@dataclass(frozen=True, slots=True)
class _Case:
    """A deviation with the accesses of both sides, compiled."""

    deviation: Deviation
    accesses: tuple[Access, ...]
    in_place: int  # how many of the accesses, the first ones, are those in place
    evaluate: Evaluator
    env: dict[str, Value]  # by own names
    matters: frozenset[str]  # variables of the obligation
    segment: str | None  # fs or gs, where the operand is addressed by it
    system_call: bool
    rests_on: tuple[str, ...]


def concretised(judgement: Judgement, deviation: Deviation, assumptions: frozenset[str]) -> Concretised | str:
    """The state in which a program can show the deviation; in words why there is none."""
    keys = {f[:3] for f in deviation.witness.faults}
    if keys & {DATAPATH, SOMETIMES}:
        return "the datapath's own exception decides, which no state forces"
    if UNMAPPED_CODE in keys:
        return "part of the instruction would have to be unmapped"
    case = _case(judgement, deviation, assumptions)
    faulting = _faulting(case)
    reasons: Counter[str] = Counter()
    later: Concretised | None = None
    for tried, env in enumerate(_candidates(case)):
        found = _placed(case, env, faulting)
        if isinstance(found, str):
            reasons[found] += 1
        elif all(at % len(data) == 0 for at, data in found.memory if len(data) in VECTORS):
            return replace(found, moved=tried > 0)
        else:
            later = later or replace(found, moved=tried > 0)
    if later is None and case.env.get("cet"):
        return "it needs a shadow stack, which programs here do not have"
    return later or reasons.most_common(1)[0][0]


def _case(judgement: Judgement, deviation: Deviation, assumptions: frozenset[str]) -> _Case:
    p = judgement.probe
    if isinstance(p.plan, Refuse):
        raise ValueError(f"{p.data.hex()} is refused")
    material = verification_condition(p, assumptions)
    pair = sides(p, material)[1]
    both = pair.here, shown_hit(material, pair, deviation, field_values(p))
    accesses = tuple(a for b in both for a in b.accesses)
    roots: list[Term] = [t for a in accesses for t in (a.address, a.condition, a.stack)]
    own = field_values(p)
    names = deviation.query.text.names
    known = deviation.query.assignment(deviation.witness, own)
    given = {name: known[f"v{i}"] for i, name in enumerate(names)}
    env = {"origin": TYPICAL["origin"], **given}
    for t in postorder(roots):
        if t.op == "var" and (name := str(t.params[0])) not in env:
            plain = Memory(deviation.witness.seed) if isinstance(t.sort, Opaque) else default_value(name, t.sort)
            env[name] = own.get(name, PLAIN.get(name, plain))
    decoded = p.decoded
    assert isinstance(decoded, Decoded)
    shown = [t for b in both for _, t in shown_rows(b, deviation.observable)]
    tables = tuple(n for n in _functions([b.vector for b in both]) if n.startswith(SELECTORS_ANSWERED))
    return _Case(
        deviation, accesses, len(both[0].accesses), stepwise(program(roots)), env, frozenset(names),
        decoded.layout.segment,
        decoded.form.opcode.mnemonic in SYSTEM_CALLS, tuple(dict.fromkeys((*_functions(shown), *tables))),
    )  # fmt: skip


def _functions(roots: list[Term]) -> tuple[str, ...]:
    """The uninterpreted functions that decide, page faults apart."""
    names = {str(t.params[0]) for t in postorder(roots) if t.op == "uf"}
    return tuple(sorted(n for n in names if not n.startswith("access_")))


@dataclass(frozen=True, slots=True)
class _Real(Environment):
    """A environment in which pages are missing as a whole, and alignment checks are what they are: of the low bits."""

    missing: frozenset[int] = frozenset()  # numbers of pages

    def function(self, name: str, sort: Sort, args: tuple[Value, ...]) -> Value:
        """The value of an uninterpreted function."""
        if name == USER_64.access_fault and _pages([(number(args[0]), number(args[1]))]) & self.missing:
            return PF
        return int(args[0] != 0) if name.endswith(".misaligned") else Environment.function(self, name, sort, args)


def _world(case: _Case, faults: Mapping[tuple[int, int, int], int], missing: Set[int] = frozenset()) -> Environment:
    witness = case.deviation.witness
    return _Real(faults, witness.seed, dict(witness.answers), frozenset(missing))


def _addresses(case: _Case, env: Mapping[str, Value], environment: Environment) -> list[tuple[int, int, int]]:
    """Address, whether it is made, stack segment of each access."""
    values = [number(v) for v in case.evaluate(env, environment)]
    return [(values[i], values[i + 1], values[i + 2]) for i in range(0, len(values), 3)]


def _faulting(case: _Case) -> list[bool]:
    """Which accesses page-fault in the witness's own state."""
    environment = _world(case, {f[:3]: f[3] for f in case.deviation.witness.faults})
    found = []
    for a, (address, made, stack) in zip(case.accesses, _addresses(case, case.env, environment), strict=True):
        answer = environment.function(USER_64.access_fault, 8, (address, a.size, int(a.kind == "w"), stack))
        found.append(bool(made) and answer == PF)
    return found


def _candidates(case: _Case) -> Iterator[dict[str, Value]]:
    """The witness's state, then others with pointers of a program, in a fixed random order."""
    if not case.system_call:
        yield case.env
    random = Random(SEED)
    plain = {n: v for n, v in PLAIN.items() if n in case.env}
    bound = {n: v for n, v in plain.items() if n not in FREE}
    for attempt in range(TRIES):
        env = {**case.env, **(plain if attempt % 2 == 0 else bound)}
        env["origin"] = env["origin"] if attempt < 4 else random.choice(ORIGINS) - random.randrange(64)
        if "slot" in env:
            env["slot"] = TYPICAL["slot"]
        if "gprs" in env:
            gprs = _pointers(register_file(env["gprs"]), attempt, random)
            env["gprs"] = (NO_SYSTEM_CALL, *gprs[1:]) if case.system_call else gprs
        for name in ("fs_base", "gs_base", "segment_base"):
            if env.get(name) and not _is_user(number(env[name]), 1):
                env[name] = 0x1000
        yield env


def _pointers(gprs: Sequence[int], attempt: int, random: Random) -> tuple[int, ...]:
    """Registers of which rsp, then all, then some lead to memory of a program or are small."""
    found = list(gprs)
    for i, old in enumerate(gprs):
        high, low = 0x6000_0000_0800 + (i << 16), 0x3100_0800 + (i << 16)
        if attempt >= 2:
            found[i] = (high, low)[attempt - 2] if attempt < 4 else random.choice((old, high, low, 0x10, 1, 0))
    if attempt < 2 or random.random() < 0.8:
        found[RSP] = STACK
    return tuple(found)


def _is_user(address: int, size: int) -> bool:
    return address >= LOWEST and address + size <= END


def _placed(case: _Case, env: dict[str, Value], faulting: list[bool]) -> Concretised | str:
    """The state that an environment is, where the accesses in place can be mapped and the deviation shows."""
    rows = list(zip(case.accesses, _addresses(case, env, _world(case, {})), faulting, strict=True))
    refused = [(at, a.size) for a, (at, _, _), bad in rows if bad]
    good = [(at, a.size, n < case.in_place) for n, (a, (at, made, _), bad) in enumerate(rows) if made and not bad]
    mapped = [(at, size) for at, size, own in good if own]
    reason = _obstacle(case, env, mapped, refused)
    if reason is not None:
        return reason
    asked = case.deviation.query
    known = asked.assignment(case.deviation.witness, {n: v for n, v in env.items() if n in case.matters})
    if not all(asked.evaluator(known, _world(case, {}, _pages(refused) - _pages(mapped)))):
        return "with addresses that a program can map the deviation does not show"
    memory = env.get("memory", Memory())
    code = _pages([(number(env["origin"]), CODE)])
    pieces = [(at, bytes_of(memory, at, size), own) for at, size, own in good]
    others = [(at, data) for at, data, own in pieces if not own]
    spare = [p for p in others if _is_user(p[0], len(p[1])) and not _pages([(p[0], len(p[1]))]) & code]
    open_ones = tuple(f"memory at {at:#x}" for at, data in others if (at, data) not in spare)
    return Concretised(
        case.deviation.observable, _registers(case, env), tuple((at, data) for at, data, own in pieces if own),
        tuple(spare), False, case.rests_on + tuple(dict.fromkeys(open_ones)),
    )  # fmt: skip


def _pages(pieces: list[tuple[int, int]]) -> set[int]:
    return {(at + k) // PAGE for at, size in pieces for k in (0, size - 1)}


def _obstacle(
    case: _Case, env: Mapping[str, Value], good: list[tuple[int, int]], missing: list[tuple[int, int]]
) -> str | None:
    """Why a program cannot be in the state, or None."""
    for at, size in good:
        if not _is_user(at, size):
            return f"a program cannot map {at:#x}"
    mapped, origin = _pages(good), number(env["origin"])
    if any(_pages([piece]) <= mapped for piece in missing):
        return "a page would have to be mapped and missing at once"
    if _pages([(origin, CODE)]) & (mapped | _pages(missing)) or not _is_user(origin, CODE):
        return f"the instruction at {origin:#x} and its data would share a page"
    if wrong := [n for n, v in PLAIN.items() if n not in FREE and n in case.matters and env.get(n, v) != v]:
        return f"a program here cannot choose {', '.join(wrong)}"
    return None


def _registers(case: _Case, env: Mapping[str, Value]) -> dict[str, Value]:
    kept = {*FLAG_BITS, "gprs", "fs_base", "gs_base", "vectors", "masks", "mxcsr", "x87", "origin"}
    values = {n: v for n, v in env.items() if n in kept}
    if case.segment is not None and "segment_base" in env:
        values[f"{case.segment}_base"] = env["segment_base"]
    return values
