"""Runs trials and compares what the processor did with what the semantics predict.

Three checks.  Predicted: every bit that no datapath decides is as the semantics say, fault vectors and addresses
included.  Unread: a second run, with everything changed that the outcome does not read, agrees with the first one on
all other bits that the instruction writes.  Masked: what an opmask leaves out stays, and is not accessed.
Not compared: page-fault error codes, a trap by TF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from verify.claim.conditions import field_values
from verify.live.differential.errata import OFFSET_FAULT
from verify.live.differential.expectation import Expected, expect, unknown_bits, words, written
from verify.live.differential.masks import broken, memory_verdicts, register_trials, store_verdicts
from verify.live.differential.observed import FILES, Input, Moved, Observed, x87_word
from verify.live.differential.prediction import (
    FLAGS,
    POINTERS,
    RAISED,
    RAISING,
    Bytes,
    Prediction,
    chunks_of,
    environment,
    prediction,
)
from verify.live.differential.states import Trials
from verify.live.executor.executor import Executor
from verify.live.executor.layout import CHUNK, is_the_executors
from verify.live.executor.outcomes import CRASHED, FAULT, HUNG, TRAPPED
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.machine import DE, FLAG_BITS, GP, MF, NO_FAULT, PF, SS, UD, XM
from verify.models.x86.mode import USER_64
from verify.terms.evaluation import Value, register_file
from verify.terms.evaluation import number as number_of

SUPPRESSIBLE: Final = frozenset({DE, UD, GP, MF, XM})  # what a datapath or a refusal may raise
MANY: Final = 6  # trials of which a preemption loses the x87 pointers of some, never of all
SEEN_OF_POINTERS: Final = (1 << 32) - 1
FLAG_MASK: Final = sum(1 << FLAG_BITS[n] for n in FLAGS)


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement: of which trial, in which component, what was expected and what was seen, as text."""

    trial: int
    check: str  # "predicted" or "unread"
    component: str
    expected: str
    seen: str


@dataclass(slots=True)
class Result:
    """Findings of some trials, and how they ended."""

    findings: list[Finding] = field(default_factory=list)
    states: int = 0
    completed: int = 0
    undefined: int = 0  # #UD that the semantics do not predict
    predicted_undefined: int = 0


class Comparison:
    """One batch of trials of a form: predictions, outcomes, findings; `like`: a batch of the same encodings."""

    def __init__(self, executor: Executor, trials: Trials, like: Comparison | None = None) -> None:
        self.trials = trials
        self.input = Input(executor, trials)
        self.own: list[dict[str, int]] = like.own if like is not None else [field_values(p) for p in trials.probes]
        self.models = [prediction(p) for p in trials.probes]
        self.wanted = [m.variables | frozenset(m.changed) for m in self.models]
        self.which = trials.which.tolist()
        self.seen = Observed(executor, trials)
        self.moved = Moved(self.input, self.seen)
        self.result = Result(states=len(trials.states))
        self.expected: dict[int, Expected] = {}
        self.ends: dict[int, tuple[Expected, bool]] = {}  # masked accesses: whether the trial faulted

    def all(self) -> Result:
        """Both checks, of every trial."""
        for i in range(len(self.trials.states)):
            self.predicted(i)
        self._lost_pointers()
        self._masked()
        return self.result

    def _lost_pointers(self) -> None:
        """x87 pointers that every trial leaves 0 although other values are claimed: so many preemptions do not come."""
        known: dict[str, list[tuple[int, int]]] = {}
        for i, expected in self.expected.items():
            for name in POINTERS if not self.seen.column("signal")[i] else ():
                before = self.input.pointers(i)[POINTERS.index(name)]
                values = [number_of(s.get(name, before)) for s in expected.states]
                claim = values[0] & ~unknown_bits(values) & SEEN_OF_POINTERS
                known.setdefault(name, []).extend([(i, claim)] if claim else [])
        for name, rows in known.items():
            enough = len(rows) >= MANY or len(rows) == len(self.trials.states)
            if rows and enough and not any(any(self.seen.pointers(i)) for i, _ in rows):
                self.add(rows[0][0], "predicted", name, rows[0][1], 0)

    def _masked(self) -> None:
        """The third check: elements that an opmask leaves out."""
        opcode = self.trials.probes[0].decoded.form.opcode  # type: ignore[union-attr]
        if opcode.encoding != "EVEX" or not opcode.can_mask or opcode.is_vsib:
            return
        rows = {i: row for i in self.expected for row in register_trials(self, i, self._decoded(i))}
        for i in broken("registers", opcode, {i: row[1] for i, row in rows.items()}):
            component, _, before, after = rows[i]
            self.add(i, "masked", component, f"elements left out of {before:#x} unchanged or 0", after)
        edges = {i: v for i, (e, faulted) in self.ends.items()
                 if (v := memory_verdicts(self, i, self._decoded(i), e, faulted)) is not None}  # fmt: skip
        for i in broken("memory", opcode, edges):
            self.add(i, "masked", "memory", "a fault exactly where a selected element is out of reach",
                     "fault" if self.ends[i][1] else "none")  # fmt: skip

        stores = {i: v for i, e in self.expected.items()
                  if (v := store_verdicts(self, i, self._decoded(i), e)) is not None}  # fmt: skip
        for i in broken("stores", opcode, stores):
            self.add(i, "masked", "stored", "elements left out as before", "others")

    def _decoded(self, i: int) -> Decoded:
        return self.trials.decoded(self.which[i])

    def add(self, i: int, check: str, component: str, expected: object, seen: object) -> None:
        """Notes a finding."""
        text = [f"{v:#x}" if isinstance(v, int) else str(v) for v in (expected, seen)]
        self.result.findings.append(Finding(i, check, component, *text))

    def predicted(self, i: int) -> None:
        """The first check, of trial i."""
        which = self.which[i]
        model, probe = self.models[which], self.trials.probes[which]
        given = self.input.given(i, self.wanted[which])
        expected = expect(model, environment(probe, given, self.own[which]))
        if not expected.predicted:
            return
        kind = self.seen.column("kind")[i]
        decoded = self._decoded(i)
        inside = 0 <= expected.ip - self.input.origin < decoded.layout.length and expected.vectors[0] == NO_FAULT
        if inside and decoded.form.opcode.flow_control != "NEXT":
            return  # a branch to itself, or into its own bytes: it hangs, or ends elsewhere than one step does
        if kind in {CRASHED, HUNG}:
            self.add(i, "predicted", "ending", "an outcome", "crashed" if kind == CRASHED else "hung")
        elif kind == FAULT:
            number = self.seen.column("trapno")[i]
            if expected.masked is not None and number in {PF, GP, SS}:
                self.ends[i] = expected, True
            if self._faulted(i, model, expected, number):
                raised = RAISED.get(number, ()) if expected.vectors[0] == NO_FAULT else ()
                environments = [expected.left(model.evaluate(expected.env, w)) for w in raised]
                self._unchanged_but(i, environments or expected.faulted)
        elif self._ended(i, expected, kind):
            self._completed(i, expected)

    def _ended(self, i: int, expected: Expected, kind: int) -> bool:
        """Whether the run was to complete; a trap is judged here."""
        vectors, ip = expected.vectors, self.seen.column("ip")[i]
        if vectors.count(vectors[0]) < len(vectors):
            return True
        if kind == TRAPPED:
            number = self.seen.column("trapno")[i]
            if vectors[0] != number:
                self.add(i, "predicted", "trap", vectors[0], number)
            elif ip != expected.fault_ip:
                self.add(i, "predicted", "trap ip", expected.fault_ip, ip)
            return False
        if vectors[0] == PF and any(is_the_executors(address) for address in expected.addresses):
            return False  # a stray access that met the executor's own memory says nothing
        if vectors[0] != NO_FAULT and not expected.model.unsized:
            self.add(i, "predicted", "fault", vectors[0], f"none, ip {ip:#x}")
            return False
        return True

    def _completed(self, i: int, expected: Expected) -> None:
        self.result.completed += 1
        self.expected[i] = expected
        if expected.masked is not None:
            self.ends[i] = expected, False
        ip = self.seen.column("ip")[i]
        if ip != expected.ip:
            self.add(i, "predicted", "ip", expected.ip, ip)
        if expected.astray is not None:
            self.add(i, "predicted", "ip of an iteration", self.input.origin, expected.astray)
        self._unchanged_but(i, self._decided(i, expected))

    def _decided(self, i: int, expected: Expected) -> list[dict[str, Value]]:
        """What completion leaves, by environment; of a decision that a flag shows those alone that decide so."""
        shown = expected.model.shown
        if shown is None:
            return expected.states
        seen = self.seen.column("rflags")[i] >> FLAG_BITS[shown] & 1
        return [s for s in expected.states if s[shown] == seen] or expected.states

    def _faulted(self, i: int, model: Prediction, expected: Expected, number: int) -> bool:
        """Whether a fault came as predicted, or as a datapath may raise it."""
        if number == UD:
            if UD in expected.vectors:
                self.result.predicted_undefined += 1
            else:
                self.result.undefined += 1
        if number in expected.vectors:
            pages = {a >> 12 for a, v in zip(expected.addresses, expected.vectors, strict=True) if v == PF}
            if model.roams:
                pages |= {(p + k) % (1 << 52) for p in pages for k in (-1, 1)}
                if self._decoded(i).layout.address_size == 4:  # each element's own address wraps (seen on a Zen 4)
                    pages |= {p % (1 << 20) for p in pages}
            cr2 = self.seen.column("cr2")[i]
            if number == PF and cr2 >> 12 not in pages and not model.unsized:
                self.add(i, "predicted", "fault address", expected.addresses[-1], cr2)
            error = self.seen.column("error_code")[i]
            errors = {e for e, v in zip(expected.errors, expected.vectors, strict=True) if v == number}
            if number != PF and error not in errors:
                self.add(i, "predicted", "error code", min(errors), error)
            self._reported(i, expected.fault_ip, expected.reported_at_ip(number))
            return True
        if model.roams and number in {PF, GP, SS} and {PF, GP, SS} & set(expected.vectors):
            return True  # of an access across the canonical boundary the first part decides
        if model.unsized and number in {PF, GP, SS}:
            return True
        if model.excepts and expected.vectors[0] == NO_FAULT and number in SUPPRESSIBLE - {UD}:
            raised = model.evaluate(expected.env, RAISING[number])
            if raised[0] == number and raised[1] != self.seen.column("error_code")[i]:
                self.add(i, "predicted", "error code", raised[1], self.seen.column("error_code")[i])
            if raised[0] == number != GP:  # of a #GP Linux reports no address
                self._reported(i, expected.fault_ip, {number_of(raised[6])})
            return True
        beyond = number in {GP, SS} and self._is_beyond(i, expected)
        self.add(i, "predicted", OFFSET_FAULT if beyond else "fault", expected.vectors[0], number)
        return False

    def _is_beyond(self, i: int, expected: Expected) -> bool:
        """Whether the address of an expected #PF is canonical and its offset from fs or gs is not."""
        segment = self._decoded(i).layout.segment
        if segment is None or expected.vectors[0] != PF:
            return False
        offset = expected.addresses[0] - self.input.column(f"{segment}_base")[i]
        ends = (offset % (1 << 64), (offset + CHUNK - 1) % (1 << 64))
        return any(USER_64.half <= end < (1 << 64) - USER_64.half for end in ends)

    def _reported(self, i: int, ip: int, wanted: set[int]) -> None:
        """The address that the signal reports: the instruction's own, or another."""
        if int(self.seen.column("si_addr")[i] == ip) not in wanted:
            self.add(i, "predicted", "reported address", f"at ip: {wanted}", self.seen.column("si_addr")[i])

    def _unchanged_but(self, i: int, environments: Sequence[Mapping[str, Value]]) -> None:
        """Every component is as predicted: as before where nothing is said of it."""
        claimed = environments[0]
        for name in self.moved.components.get(i, ()):
            if name not in claimed:
                trap = self.seen.column("trapno")[i]
                self.add(i, "predicted", name, "as before", f"trap {trap}: {self._difference(i, name)}")
        for name in claimed:
            if name in FILES:
                self._file(i, name, [register_file(w[name]) for w in environments])
            elif name in POINTERS:
                self._pointer(i, name, words(environments, name))
            elif name not in FLAG_BITS and name != "memory":
                self._component(i, name, words(environments, name))
        for name, before in zip(POINTERS, self.input.pointers(i), strict=True):
            if name not in claimed:
                self._pointer(i, name, [before])
        self._flags(i, environments)
        self._memory(i, [chunks_of(w["memory"]) for w in environments if "memory" in w])

    def _component(self, i: int, name: str, values: list[int]) -> None:
        """A component that is one word; PKRU is not seen where a signal ended the run."""
        if name == "opaque" and self.seen.column("signal")[i]:
            return
        actual = self.seen.word(i, name)
        if name == "x87":
            values, actual = [_tags(v) for v in values], _tags(actual)
        if (actual ^ values[0]) & ~unknown_bits(values):
            self.add(i, "predicted", name, values[0], actual)

    def _pointer(self, i: int, name: str, values: list[int]) -> None:
        """An x87 pointer, where it was not lost: the low 32 bits of an address, or the opcode."""
        if not any(self.seen.pointers(i)):
            return
        actual = self.seen.word(i, name)
        if (actual ^ values[0]) & ~unknown_bits(values) & SEEN_OF_POINTERS:
            self.add(i, "predicted", name, values[0] & SEEN_OF_POINTERS, actual)

    def _file(self, i: int, name: str, values: list[Sequence[int]]) -> None:
        """A register file: registers that were written, and those that moved although they were not."""
        after, moved = self.seen.file(i, name), self.moved.registers.get(name, {}).get(i, ())
        places = written(values, len(after))
        for n in places:
            a, actual = values[0][n], after[n]
            if a != actual and (actual ^ a) & ~unknown_bits([v[n] for v in values]):
                self.add(i, "predicted", f"{name}{n}", a, actual)
        for n in moved:
            if n not in places:
                self.add(i, "predicted", f"{name}{n}", self.input.file(i, name)[n], after[n])

    def _difference(self, i: int, name: str) -> str:
        """A component's change in words."""
        if name in FILES:
            before, after = self.input.file(i, name), self.seen.file(i, name)
            return " ".join(f"{n}: {before[n]:#x} -> {after[n]:#x}" for n in self.moved.registers[name][i])
        if name == "selectors":
            return str(self.seen.table("selectors")[i])
        if name == "x87":
            return f"{x87_word(self.input.area[i]):#x} -> {self.seen.word(i, name):#x}"
        return f"{self.seen.word(i, name):#x}"

    def _flags(self, i: int, environments: Sequence[Mapping[str, Value]]) -> None:
        record = self.seen.column("rflags")[i]
        expected, unknown = self.input.column("rflags")[i], 0
        for name in FLAGS:
            if name in environments[0]:
                bit = 1 << FLAG_BITS[name]
                expected = expected & ~bit | (bit if environments[0][name] else 0)
                unknown |= bit if unknown_bits(words(environments, name)) else 0
        wrong = (expected ^ record) & FLAG_MASK & ~unknown
        if not wrong:
            return
        for name in FLAGS:
            if wrong >> FLAG_BITS[name] & 1:
                self.add(i, "predicted", name, expected >> FLAG_BITS[name] & 1, record >> FLAG_BITS[name] & 1)

    def _memory(self, i: int, environments: Sequence[Bytes]) -> None:
        background = self.input.background
        environments = environments or [Bytes(self.input.memory.get(i, {}), background)]
        after = self.seen.memory.get(i, {})
        if after == environments[0].chunks or any(w.lost for w in environments) or self.models[self.which[i]].unsized:
            return
        for address in environments[0].chunks.keys() | after.keys():
            if address not in background:
                continue
            actual = after.get(address, background[address])
            x = environments[0].chunk(address)
            if actual == x:
                continue
            numbers = [int.from_bytes(w.chunk(address), "little") for w in environments]
            wrong = (int.from_bytes(actual, "little") ^ numbers[0]) & ~unknown_bits(numbers)
            if wrong:
                k = ((wrong & -wrong).bit_length() - 1) // 8
                self.add(i, "predicted", "memory", f"{address + k:#x}: {x[k]:#x}", f"{actual[k]:#x}")


def _tags(x87: int) -> int:
    """x87 with each tag as 0 or 3: XSAVE tells no more."""
    for shift in range(32, 48, 2):
        if x87 >> shift & 3 != 3:
            x87 &= ~(3 << shift)
    return x87
