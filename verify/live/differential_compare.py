"""Runs trials and compares what the processor did with what the semantics predict.

Two checks.  Predicted: every bit that no datapath decides is as the semantics say, fault vectors and addresses
included.  Unread: a second run, with everything changed that the outcome does not read, agrees with the first one on
all other bits that the instruction writes.  Not compared: x87 pointers, page-fault error codes, a trap by TF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from verify.live.differential_model import (
    FLAGS,
    GP,
    PF,
    Bytes,
    Given,
    Prediction,
    environment,
    own_values,
    prediction,
)
from verify.live.differential_states import Trials
from verify.live.layout import CHUNK, REGIONS
from verify.live.outcomes import CRASHED, FAULT, HUNG, TRAPPED
from verify.live.state import State
from verify.models.machine import FLAG_BITS, NO_FAULT

ITERATIONS: Final = 40  # of a repeated string instruction; longer ones are not predicted
SUPPRESSIBLE: Final = frozenset({0, 6, 13, 16, 19})  # what a datapath or a refusal may raise: #DE #UD #GP #MF #XM
UD, XM = 6, 19
FLAG_MASK: Final = sum(1 << FLAG_BITS[n] for n in FLAGS)
X87_BITS: Final = 688
_number: Final = int.from_bytes
FILES: Final = ("gprs", "vectors", "masks")


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
    attacked: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """Records of a batch, their vectors as bytes, and their memory as chunks by trial."""

    records: NDArray[Any]
    vectors: NDArray[np.uint8]
    memory: Mapping[int, dict[int, bytes]]


def vectors_of(area: NDArray[Any]) -> NDArray[np.uint8]:
    """The 32 vector registers of XSAVE areas, 64 bytes each; absent parts are zero."""
    whole = np.zeros((len(area), 32, 8), dtype=np.uint64)
    whole[:, :16, 0:2] = area["xmm"]
    for name, place in (("ymm_high", slice(2, 4)), ("zmm_high", slice(4, 8))):
        if name in area.dtype.names:
            whole[:, :16, place] = area[name]
    if "zmm_upper" in area.dtype.names:
        whole[:, 16:] = area["zmm_upper"]
    return whole.view(np.uint8).reshape(len(area), 32, 64)


def put_vectors(area: NDArray[Any], vectors: NDArray[np.uint8]) -> None:
    """The reverse of `vectors_of`."""
    whole = np.ascontiguousarray(vectors).view(np.uint64).reshape(len(area), 32, 8)
    area["xmm"] = whole[:, :16, 0:2]
    for name, place in (("ymm_high", slice(2, 4)), ("zmm_high", slice(4, 8))):
        if name in area.dtype.names:
            area[name] = whole[:, :16, place]
    if "zmm_upper" in area.dtype.names:
        area["zmm_upper"] = whole[:, 16:]


def x87_word(area: Any) -> int:
    """st7..st0, tag, status and control of one XSAVE area; the tag is 0 or 3 for each register."""
    value = 0
    for low, high in reversed(area["st"].tolist()):
        value = value << 80 | (high & 0xFFFF) << 64 | low
    abridged, tag = int(area["ftw"]), 0
    for i in range(8):
        tag |= (0 if abridged >> i & 1 else 3) << 2 * i
    return value << 48 | tag << 32 | int(area["fsw"]) << 16 | int(area["fcw"])


def chunks_by_trial(entries: NDArray[Any]) -> dict[int, dict[int, bytes]]:
    """trial -> address -> 64 bytes."""
    found: dict[int, dict[int, bytes]] = {}
    data = entries["chunk"].tobytes()
    for i, (trial, address) in enumerate(zip(entries["trial"].tolist(), entries["address"].tolist(), strict=True)):
        found.setdefault(trial, {})[address] = data[CHUNK * i : CHUNK * i + CHUNK]
    return found


@dataclass(slots=True)
class _Input:
    """Trials as Python values, converted when asked for."""

    trials: Trials
    origin: int
    background: Mapping[int, bytes]
    vectors: NDArray[np.uint8]
    memory: dict[int, dict[int, bytes]]
    own: list[dict[str, int]]

    def given(self, i: int, wanted: frozenset[str]) -> Given:
        """The state of trial i; what is not wanted is left out."""
        row = self.trials.states[i]
        area = row["xsave"]
        vectors: tuple[int, ...] = ()
        if "vectors" in wanted:
            data = self.vectors[i].tobytes()
            vectors = tuple([_number(data[k : k + 64], "little") for k in range(0, 2048, 64)])
        masks = tuple(area["masks"].tolist()) if "masks" in wanted and "masks" in area.dtype.names else (0,) * 8
        return Given(
            self.origin, tuple(row["gprs"].tolist()), int(row["rflags"]), int(row["fs_base"]), int(row["gs_base"]),
            vectors, masks, int(area["mxcsr"]), x87_word(area) if "x87" in wanted else 0,
            Bytes(self.memory.get(i, {}), self.background),
        )  # fmt: skip


@lru_cache(4)
def background(executor: Any) -> dict[int, bytes]:
    """Chunk address -> 64 bytes of every region, the read-only ones included."""
    chunks = {}
    for region in REGIONS:
        data = executor.memory_of(State(), region.address, region.size)
        chunks.update({region.address + k: data[k : k + CHUNK] for k in range(0, region.size, CHUNK)})
    return chunks


def _input(executor: Any, trials: Trials) -> _Input:
    return _Input(
        trials, executor.origin, background(executor), vectors_of(trials.states["xsave"]),
        chunks_by_trial(trials.memory), [own_values(p) for p in trials.probes],
    )  # fmt: skip


def run(executor: Any, trials: Trials) -> Seen:
    """The processor's outcomes; every record holds its own instruction."""
    codes = [trials.probes[i].decoded.data for i in trials.which.tolist()]  # type: ignore[union-attr]
    batch = executor.run_batch(codes, trials.states, trials.memory)
    memory = chunks_by_trial(batch.memory)
    return Seen(batch.outcomes, vectors_of(batch.outcomes["xsave"]), memory)


@dataclass(frozen=True, slots=True)
class Expected:
    """The predictions of one trial, one a world: values by component, and where the reads lie."""

    states: tuple[Mapping[str, Any], ...]
    faulted: tuple[Mapping[str, Any], ...]  # what a fault leaves
    vectors: tuple[int, ...]  # fault vectors
    addresses: tuple[int, ...]
    ip: int
    fault_ip: int
    places: tuple[int, ...]
    predicted: bool


def expect(model: Prediction, env: dict[str, Any]) -> Expected:
    """The predictions from an environment; repeated string instructions are followed to their end."""
    values = model.values(env)
    for _ in range(ITERATIONS if model.repeats else 0):
        if not values[3] or values[0] != NO_FAULT:
            break
        env = {**env, **dict(zip(model.changed, values[6:], strict=False))}
        values = model.values(env)
    worlds = (values, *(model.values(env, w) for w in range(1, model.worlds)))
    middle, end = 6 + len(model.changed), 6 + len(model.changed) + len(model.partial)
    states = [dict(zip(model.changed, v[6:middle], strict=True)) for v in worlds]
    stopped = {n: env[n] for n in model.changed} if model.repeats else {}
    faulted = [{**stopped, **dict(zip(model.partial, v[middle:end], strict=True))} for v in worlds]
    done = values[0] != NO_FAULT or not values[3]
    return Expected(
        tuple(states), tuple(faulted), tuple(v[0] for v in worlds), tuple(v[2] for v in worlds), values[4], values[5],
        values[end:], done,
    )  # fmt: skip


class Comparison:
    """One batch of trials of a form: predictions, outcomes, findings."""

    def __init__(self, executor: Any, trials: Trials) -> None:
        self.executor, self.trials = executor, trials
        self.input = _input(executor, trials)
        self.models = [prediction(p) for p in trials.probes]
        self.seen = run(executor, trials)
        self.result = Result(states=len(trials.states))
        self.expected: dict[int, Expected] = {}
        self._unchanged = self._unchanged_files()

    def _unchanged_files(self) -> dict[str, NDArray[np.bool_]]:
        """Component -> trials in which it is as before, over the whole batch."""
        before, after = self.trials.states, self.seen.records
        area, saved = before["xsave"], after["xsave"]
        same = {
            "gprs": (before["gprs"] == after["gprs"]).all(axis=1),
            "vectors": (self.input.vectors == self.seen.vectors).all(axis=(1, 2)),
            "mxcsr": area["mxcsr"] == saved["mxcsr"],
            "fs_base": before["fs_base"] == after["fs_base"],
            "gs_base": before["gs_base"] == after["gs_base"],
            "selectors": (after["selectors"] == 0).all(axis=1),
            "x87": (area["st"][:, :, 0] == saved["st"][:, :, 0]).all(axis=1)
            & ((area["st"][:, :, 1] ^ saved["st"][:, :, 1]) & np.uint64(0xFFFF) == 0).all(axis=1)
            & (area["fcw"] == saved["fcw"]) & (area["fsw"] == saved["fsw"]) & (area["ftw"] == saved["ftw"]),
        }  # fmt: skip
        if "masks" in (area.dtype.names or ()):
            same["masks"] = (area["masks"] == saved["masks"]).all(axis=1)
        return same

    def all(self) -> Result:
        """Both checks, of every trial."""
        for i in range(len(self.trials.states)):
            self.predicted(i)
        return self.result

    def add(self, i: int, check: str, component: str, expected: object, seen: object) -> None:
        """Notes a finding."""
        text = [f"{v:#x}" if isinstance(v, int) else str(v) for v in (expected, seen)]
        self.result.findings.append(Finding(i, check, component, *text))

    def predicted(self, i: int) -> None:
        """The first check, of trial i."""
        which = int(self.trials.which[i])
        model, probe = self.models[which], self.trials.probes[which]
        given = self.input.given(i, model.variables | frozenset(model.changed))
        expected = expect(model, environment(probe, given, self.input.own[which]))
        if not expected.predicted:
            return
        record = self.seen.records[i]
        kind, number = int(record["kind"]), int(record["trapno"])
        if kind in {CRASHED, HUNG}:
            self.add(i, "predicted", "ending", "an outcome", "crashed" if kind == CRASHED else "hung")
            return
        if kind == FAULT:
            if not self._faulted(i, model, expected, number):
                return
            self._unchanged_but(i, expected.faulted, given, frozenset({"mxcsr", "x87"} if number == XM else ()))
            return
        if len(set(expected.vectors)) > 1:
            pass
        elif kind == TRAPPED:
            wanted = (expected.vectors[0], expected.fault_ip)
            if wanted != (number, int(record["ip"])):
                self.add(i, "predicted", "trap", wanted, (number, int(record["ip"])))
            return
        elif expected.vectors[0] != NO_FAULT and not model.unsized:
            self.add(i, "predicted", "fault", expected.vectors[0], f"none, ip {int(record['ip']):#x}")
            return
        self.result.completed += 1
        self.expected[i] = expected
        if int(record["ip"]) != expected.ip:
            self.add(i, "predicted", "ip", expected.ip, int(record["ip"]))
        self._unchanged_but(i, expected.states, given)

    def _faulted(self, i: int, model: Prediction, expected: Expected, number: int) -> bool:
        """Whether a fault came as predicted, or as a datapath may raise it."""
        record = self.seen.records[i]
        if number == UD:
            if UD in expected.vectors:
                self.result.predicted_undefined += 1
            else:
                self.result.undefined += 1
        if number in expected.vectors:
            pages = {a >> 12 for a, v in zip(expected.addresses, expected.vectors, strict=True) if v == PF}
            if model.roams:
                pages |= {(p + k) % (1 << 52) for p in pages for k in (-1, 1)}
            if number == PF and int(record["cr2"]) >> 12 not in pages and not model.unsized:
                self.add(i, "predicted", "fault address", expected.addresses[-1], int(record["cr2"]))
            return True
        if model.kernel and number in {GP, PF}:  # whatever of the two the kernel's own decoding comes to
            return True
        if model.unsized and number in {PF, 13, 12}:
            return True
        if model.excepts and expected.vectors[0] == NO_FAULT and number in SUPPRESSIBLE - {UD}:
            return True
        self.add(i, "predicted", "fault", expected.vectors[0], number)
        return False

    def _unchanged_but(
        self, i: int, worlds: Sequence[Mapping[str, Any]], given: Given,
        left_out: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        """Every component is as predicted: as before where nothing is said of it."""
        for name, same in self._unchanged.items():
            if name in left_out:
                continue
            if name not in worlds[0]:
                if not same[i]:
                    self.add(i, "predicted", name, "as before", f"trap {int(self.seen.records[i]['trapno'])}: {self._difference(i, name)}")
                continue
            for place, a, unknown, actual in self._parts(i, name, [w[name] for w in worlds]):
                if (actual ^ a) & ~unknown:
                    self.add(i, "predicted", f"{name}{place}", a, actual)
        self._flags(i, worlds)
        self._memory(i, [w["memory"] for w in worlds if "memory" in w])

    def _difference(self, i: int, name: str) -> str:
        if name == "gprs":
            pairs = zip(self.trials.states[i]["gprs"].tolist(), self.seen.records[i]["gprs"].tolist(), strict=True)
        elif name in {"vectors", "masks"}:
            before = self.actual_before(i, name)
            pairs = zip(before, self.actual(i, name), strict=True)
        elif name == "selectors":
            return str(self.seen.records[i]["selectors"].tolist())
        elif name == "x87":
            return f"{x87_word(self.trials.states[i]['xsave']):#x} -> {self.actual(i, name):#x}"
        else:
            return f"{self.actual(i, name):#x}"
        return " ".join(f"{n}: {a:#x} -> {b:#x}" for n, (a, b) in enumerate(pairs) if a != b)

    def actual_before(self, i: int, name: str) -> list[int]:
        """A register file before, as integers."""
        if name == "vectors":
            data = self.input.vectors[i].tobytes()
            return [int.from_bytes(data[k : k + 64], "little") for k in range(0, 2048, 64)]
        return list(map(int, self.trials.states[i]["xsave"]["masks"].tolist()))

    def actual(self, i: int, name: str) -> Any:
        """A component afterwards, as the semantics count it."""
        record = self.seen.records[i]
        if name == "gprs":
            return record["gprs"].tolist()
        if name == "vectors":
            data = self.seen.vectors[i].tobytes()
            return [_number(data[k : k + 64], "little") for k in range(0, 2048, 64)]
        if name == "masks":
            return record["xsave"]["masks"].tolist()
        if name == "x87":
            return x87_word(record["xsave"])
        if name == "selectors":
            es, ds, fs, gs = record["selectors"].tolist()
            return es | 0x33 << 16 | 0x2B << 32 | ds << 48 | fs << 64 | gs << 80
        return int(record["xsave"]["mxcsr"] if name == "mxcsr" else record[name])

    def _parts(self, i: int, name: str, values: Sequence[Any]) -> list[tuple[str, int, int, int]]:
        """(place, prediction, unknown bits, seen) of each register that the semantics may have changed."""
        actual = self.actual(i, name)
        if name == "x87":
            tags = [_tags(v) for v in values]
            return [("", tags[0], unknown_bits(tags), _tags(actual))]
        if name not in FILES:
            return [("", values[0], unknown_bits(values), actual)]
        wrong = [n for n, (a, b) in enumerate(zip(actual, values[0], strict=True)) if a != b]
        return [(str(n), values[0][n], unknown_bits([v[n] for v in values]), actual[n]) for n in wrong]

    def _flags(self, i: int, worlds: Sequence[Mapping[str, Any]]) -> None:
        record = int(self.seen.records[i]["rflags"])
        before = int(self.trials.states[i]["rflags"])
        expected, unknown = before, 0
        for name in FLAGS:
            if name in worlds[0]:
                bit = 1 << FLAG_BITS[name]
                expected = expected & ~bit | (bit if worlds[0][name] else 0)
                unknown |= bit if unknown_bits([w[name] for w in worlds]) else 0
        wrong = (expected ^ record) & FLAG_MASK & ~unknown
        for name in FLAGS:
            if wrong >> FLAG_BITS[name] & 1:
                self.add(i, "predicted", name, expected >> FLAG_BITS[name] & 1, record >> FLAG_BITS[name] & 1)

    def _memory(self, i: int, worlds: Sequence[Bytes]) -> None:
        background = self.input.background
        worlds = worlds or [Bytes(self.input.memory.get(i, {}), background)]
        if any(w.lost for w in worlds) or self.models[int(self.trials.which[i])].unsized:
            return
        after = self.seen.memory.get(i, {})
        for address in worlds[0].chunks.keys() | after.keys():
            if address not in background:
                continue
            actual = after.get(address, background[address])
            x = worlds[0].chunk(address)
            if actual == x:
                continue
            numbers = [int.from_bytes(w.chunk(address), "little") for w in worlds]
            wrong = (int.from_bytes(actual, "little") ^ numbers[0]) & ~unknown_bits(numbers)
            if wrong:
                k = ((wrong & -wrong).bit_length() - 1) // 8
                self.add(i, "predicted", "memory", f"{address + k:#x}: {x[k]:#x}", f"{actual[k]:#x}")


def unknown_bits(values: Sequence[int]) -> int:
    """The bits on which predictions differ."""
    found = 0
    for v in values[1:]:
        found |= v ^ values[0]
    return found


def _tags(x87: int) -> int:
    """x87 with each tag as 0 or 3: XSAVE tells no more."""
    for shift in range(32, 48, 2):
        if x87 >> shift & 3 != 3:
            x87 &= ~(3 << shift)
    return x87
