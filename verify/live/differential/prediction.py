"""What the semantics predict of one run: outcomes as compiled functions of a concrete state.

A prediction is made in two environments, in which every datapath answers all zeros and all ones: bits on which both
agree are claims about the processor, the others are functions of what the instruction reads.  The read set is taken
from the outcome's own terms.  Shadow stack, `other` and what tf would trap are not predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, overload

from verify import terms as bits
from verify.claim.conditions import verification_condition
from verify.claim.probes import Probe, probe_of
from verify.live import descriptors
from verify.live.alignment import MISALIGNED, refuses_alignment
from verify.live.differential.reads import Apart, Read, apart, read_set
from verify.live.executor.layout import CHUNK, REGIONS
from verify.models.schemes.identity import SCHEME
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.machine import DE, FLAG_BITS, GP, MF, NO_FAULT, PF, SS, UD, XM, Outcome, State, symbolic_state
from verify.models.x86.mode import USER_64
from verify.models.x86.semantics.dispatch import execute
from verify.models.x86.semantics.run import Instruction
from verify.terms import Array, Sort, Term, postorder
from verify.terms.evaluation import Evaluator, Value, compiled, number, program

FS: Final = 4  # number of fs among the segment registers; gs is judged alike
FLAGS: Final = tuple(n for n in FLAG_BITS if n != "tf")
POINTERS: Final = ("fip", "fdp", "fop")  # read by FNSTENV: 32, 32 and 11 bits
COMPARED: Final = (
    "gprs", *FLAGS, "fs_base", "gs_base", "selectors", "vectors", "masks", "mxcsr", "x87", *POINTERS, "opaque",
    "memory",
)  # fmt: skip
ALWAYS: Final = ("fault_vector", "fault_error", "fault_address", "repeats", "ip", "fault_ip", "fault_at_ip")
KERNEL: Final = ".refuses"  # what the kernel's configuration answers; not the rows of DESCRIPTORS
DESCRIPTORS: Final[Mapping[str, Callable[..., int]]] = {
    "code_selector.refuses": descriptors.refuses_code,
    "code_selector.is_beyond": descriptors.is_beyond,
    "code_selector.is_32_bit": descriptors.is_32_bit,
    "stack_selector.refuses": descriptors.refuses_stack,
    "selector_fault": descriptors.refuses_data,
    "selector_not_present": lambda register, selector: False,
    "data_selector.refuses": lambda selector: descriptors.refuses_data(FS, selector),
    "has_ldt": descriptors.has_local_table,
}


class Bytes:
    """A trial's memory: chunks of 64 bytes that it has of its own, over the executor's background."""

    __slots__ = ("background", "chunks", "lost")

    def __init__(self, chunks: Mapping[int, bytes], background: Mapping[int, bytes], lost: bool = False) -> None:
        self.chunks, self.background, self.lost = chunks, background, lost

    def chunk(self, address: int) -> bytes:
        """The 64 bytes at an aligned address; zeros where nothing is mapped."""
        return self.chunks.get(address) or self.background.get(address) or bytes(CHUNK)

    def load(self, address: int, size: int) -> int:
        """`size` bytes, little-endian."""
        first = address & -CHUNK
        data = b"".join(self.chunk(a & (1 << 64) - 1) for a in range(first, address + size, CHUNK))
        return int.from_bytes(data[address - first : address - first + size], "little")

    def write(self, address: int, value: int, size: int) -> Bytes:
        """The memory with `size` bytes replaced."""
        first = address & -CHUNK
        places = range(first, address + size, CHUNK)
        data = bytearray(b"".join(self.chunk(a & (1 << 64) - 1) for a in places))
        data[address - first : address - first + size] = value.to_bytes(size, "little")
        new = {a & (1 << 64) - 1: bytes(data[a - first : a - first + CHUNK]) for a in places}
        return Bytes({**self.chunks, **new}, self.background, self.lost)


def chunks_of(value: Value) -> Bytes:
    """The value of a trial's memory.  Raises TypeError for another."""
    if not isinstance(value, Bytes):
        raise TypeError(f"expected the bytes of a trial, got {type(value).__name__}")
    return value


class Registers(Sequence[int]):
    """A register file: the registers that were written, over those of a trial."""

    __slots__ = ("before", "own")

    def __init__(self, before: Sequence[int], own: dict[int, int]) -> None:
        self.before, self.own = before, own

    def __len__(self) -> int:
        return len(self.before)

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[int]: ...

    def __getitem__(self, place: int | slice) -> int | Sequence[int]:
        if isinstance(place, slice):
            return tuple(self)[place]
        found = self.own.get(place)
        return self.before[place] if found is None else found

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def replaced(self, number: int, value: int) -> Registers:
        """The file with one register replaced."""
        return Registers(self.before, {**self.own, number: value})


class VectorRow(Sequence[int]):
    """The 32 vector registers of a trial, made integers when asked for."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = data  # 32 × 64 bytes

    def __len__(self) -> int:
        return len(self.data) // CHUNK

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[int]: ...

    def __getitem__(self, place: int | slice) -> int | Sequence[int]:
        if isinstance(place, slice):
            return tuple(self)[place]
        if not 0 <= place < len(self):
            raise IndexError(f"no vector register {place}")
        return int.from_bytes(self.data[CHUNK * place : CHUNK * place + CHUNK], "little")


def mapped(address: int, write: int) -> bool:
    """Whether a byte may be read, or written, in the executor's memory."""
    return any(low <= address < end and (writable or not write) for low, end, writable in _RANGES)


_RANGES: Final = tuple((r.address, r.end, r.writable) for r in REGIONS)


class Machine:
    """A environment: faults from the executor's layout; every datapath answers zeros or ones, decisions of one bit
    apart."""

    def __init__(self, ones: bool, decision: int, raised: int = NO_FAULT) -> None:
        self.ones, self.decision, self.raised = ones, decision, raised
        self._answers: dict[tuple[str, Sort], Value] = {}
        self.masked: tuple[int, int, int] | None = None  # the last access of a mask's choice: address, size, write

    def function(self, name: str, sort: Sort, args: tuple[Value, ...]) -> Value:
        """The value of an uninterpreted function."""
        answer = self._answers.get((name, sort))
        if answer is not None:
            return answer
        if name.startswith("access_"):
            return self._access(name, *map(number, args))
        if name == "vsib_address":
            return args[0]
        if name in DESCRIPTORS:
            return int(DESCRIPTORS[name](*args))
        if name.endswith(MISALIGNED):
            return int(refuses_alignment(name, number(args[0])))
        found = self._answers[name, sort] = self._answer(name, sort)
        return found

    def _answer(self, name: str, sort: Sort) -> Value:
        """The value of a function that is the same for all arguments."""
        if name.endswith(".datapath_fault") or name == "fetch_fault":
            return self.raised if name != "fetch_fault" else NO_FAULT
        if name.endswith(KERNEL):
            return 0
        if isinstance(sort, Array):
            return ((1 << sort.value_bits) - 1 if self.ones else 0,) * (1 << sort.index_bits)
        if name.endswith(MADE):
            return 1
        if isinstance(sort, int):
            return self.decision if sort == 1 else (1 << sort) - 1 if self.ones else 0
        return Bytes({}, {}, lost=True)

    def _access(
        self, name: str, address: int, size: int, write: int, stack: int, lanes: int | None = None,
        masked: int | None = None,
    ) -> int:  # fmt: skip
        if name == "access_error":
            return 0
        if masked is not None:
            self.masked = address, size, write
        bad = faulting(address, size, write, None if masked is not None else lanes)
        if name == "access_address":
            return address if bad is None else bad
        if bad is None or (masked is not None and not self.ones):  # which bytes a mask selects is not said
            return NO_FAULT
        if not canonical(bad):
            return SS if stack else GP
        return PF


@lru_cache(1 << 14)
def faulting(address: int, size: int, write: int, lanes: int | None) -> int | None:
    """The first byte of an access that may not be made, or None; `lanes` has ones over the bytes that are made."""
    last = address + size
    if lanes is None:
        near = [r for r in _RANGES if address < r[1] and r[0] < last]
        if any(low <= address and last <= end and (writable or not write) for low, end, writable in near):
            return None
        if not near and last <= USER_64.half:
            return address
    made = [i for i in range(size) if lanes is None or lanes >> 8 * i & 0xFF]
    found = [byte for i in made if not mapped(byte := (address + i) & (1 << 64) - 1, write)]
    return next((byte for byte in found if not canonical(byte)), found[0] if found else None)


def canonical(address: int) -> bool:
    """Whether a program's address is canonical."""
    return USER_64.has_canonical(address)


# Two environments tell every bit of a datapath; where a decision chooses between values, all combinations do.
WORLDS: Final = (Machine(False, 0), Machine(True, 1), Machine(False, 1), Machine(True, 0))
RAISING: Final = {v: Machine(False, 0, v) for v in (DE, UD, GP, MF, XM)}  # in which every datapath raises the vector
RAISED: Final = {v: (m, Machine(True, 1, v)) for v, m in RAISING.items()}  # with zeros, and with ones
MADE: Final = (".mader", ".madew")  # whether a masked access is made: it is, unless no byte of it is selected


@dataclass(frozen=True, slots=True)
class Prediction:
    """A class of encodings: its outcome, compiled."""

    evaluate: Evaluator
    changed: tuple[str, ...]  # components that differ from before, in the order of the first values
    partial: tuple[str, ...]  # components that a fault may leave changed; their values follow
    reads: tuple[Read, ...]
    whole: frozenset[str]  # components that are read as a whole
    apart: tuple[Apart, ...]  # of components that only their own new value reads
    variables: frozenset[str]
    environments: int  # 1 where nothing depends on a datapath
    excepts: bool  # a datapath may fault, or the kernel may refuse
    repeats: bool
    roams: bool  # an access that is made piece by piece: any page of it may be reported
    unsized: bool  # a vector of addresses: which bytes are accessed is not predicted
    shown: str | None = None  # the flag that shows the one decision of a datapath that there is

    def values(self, env: Mapping[str, Value], environment: int = 0) -> tuple[Value, ...]:
        """Values of `ALWAYS`, of `changed`, of `partial`, and of the places of `reads`."""
        return self.evaluate(env, WORLDS[environment])


def prediction(p: Probe) -> Prediction:
    """The compiled outcome of an encoding's class; cached by the class."""
    key = p.key
    found = _CACHE.get(key)
    if found is None:
        found = _CACHE[key] = _predicted(verification_condition(p).setup.original)
    return found


_CACHE: dict[object, Prediction] = {}


def forget_predictions() -> None:
    """Drops what was compiled: for semantics that were changed since."""
    _CACHE.clear()


def probe_here(decoded: Decoded) -> Probe:
    """The probe of an encoding that runs where it stands."""
    return probe_of(decoded, SCHEME)


def _predicted(instruction: Instruction) -> Prediction:
    before = symbolic_state(bits.var("origin", 64))
    result = execute(instruction, before)
    always = _always(result)
    changed = tuple(n for n in COMPARED if getattr(result.state, n) is not getattr(before, n))
    partial = tuple(n for n in COMPARED if getattr(result.fault_state, n) is not getattr(before, n))
    roots = [*always, *(getattr(result.state, n) for n in changed), *(getattr(result.fault_state, n) for n in partial)]
    reads, whole = read_set(roots)
    everything = [*roots, *(r.where for r in reads)]
    terms = list(postorder(everything))
    functions = [str(t.params[0]) for t in terms if t.op == "uf"]
    environments = _worlds([t for t in terms if t.op == "uf"])
    return Prediction(
        evaluate=compiled(program(everything)),
        changed=changed,
        partial=partial,
        reads=reads,
        whole=whole,
        apart=tuple(a for a in apart(_outputs(result, before), always, reads, whole) if a.component not in POINTERS)
        if environments > 1 else (),
        variables=frozenset(str(t.params[0]) for t in terms if t.op == "var"),
        environments=environments,
        excepts=any(n.endswith((".datapath_fault", KERNEL)) and n not in DESCRIPTORS for n in functions),
        repeats=result.repeats is not bits.FALSE,
        roams=any(t.op == "uf" and t.params[0] == USER_64.access_fault and _is_in_parts(t) for t in terms),
        unsized="vsib_address" in functions,
        shown=_shown([t for t in terms if t.op == "uf"], result.state),
    )


def _outputs(result: Outcome, before: State) -> dict[str, list[Term]]:
    """What the outcome changes, by component, where it completes and where it faults."""
    found: dict[str, list[Term]] = {}
    for name in COMPARED:
        terms = [t for s in (result.state, result.fault_state) if (t := getattr(s, name)) is not getattr(before, name)]
        if terms:
            found[name] = terms
    return found


WIDEST: Final = 64  # bytes of an access that is made as one


def _is_in_parts(access: Term) -> bool:
    """Whether the access of an `access_fault` is made by a mask, or is a state image (28 bytes of FNSTENV and more)."""
    size = access.args[1].value
    return len(access.args) > 4 or size is None or size > WIDEST or (size > 16 and size & (size - 1) != 0)


def _worlds(functions: Sequence[Term]) -> int:
    """How many environments tell what depends on datapaths."""
    named = [(str(t.params[0]), t) for t in functions]
    known = {"access_error", "fetch_fault", *DESCRIPTORS}
    free = [(n, t) for n, t in named if n not in known and not n.endswith((*MADE, MISALIGNED))]
    if not free:
        return 1
    decisions = [n for n, t in free if t.sort == 1 and not n.startswith("undefined_")]
    return 4 if any(n.rpartition(".")[2] not in FLAG_BITS for n in decisions) else 2


def _shown(functions: Sequence[Term], after: State) -> str | None:
    """The flag that is the one decision that a datapath makes; None where there are several, or none is seen."""
    decisions = [t for t in functions if t.sort == 1 and str(t.params[0]) not in DESCRIPTORS]
    return next((n for n in FLAGS if [getattr(after, n)] == decisions), None)


def _always(result: Outcome) -> tuple[Term, ...]:
    return (
        result.fault_vector, result.fault_error, result.fault_address, result.repeats, result.state.ip,
        result.fault_state.ip, result.fault_at_ip,
    )  # fmt: skip


class Given(NamedTuple):
    """A concrete state in the semantics' terms: registers as integers, memory as `Bytes`."""

    ip: int
    gprs: Sequence[int]
    rflags: int
    fs_base: int
    gs_base: int
    vectors: Sequence[int]
    masks: Sequence[int]
    mxcsr: int
    x87: int
    other: int  # PKRU, 32 bits
    memory: Bytes
    pointers: tuple[int, int, int] = (0, 0, 0)  # fip, fdp, fop


def environment(p: Probe, given: Given, own: Mapping[str, int]) -> dict[str, Value]:
    """Values of all variables of a class's terms: the encoding's own fields and the state."""
    env: dict[str, Value] = dict(own)
    layout = p.decoded.layout  # type: ignore[union-attr]
    if layout.segment is not None:
        env["segment_base"] = given.fs_base if layout.segment == "fs" else given.gs_base
    env.update(
        origin=given.ip, gprs=Registers(given.gprs, {}), fs_base=given.fs_base, gs_base=given.gs_base,
        selectors=SELECTORS, vectors=Registers(given.vectors, {}), masks=Registers(given.masks, {}),
        mxcsr=given.mxcsr, x87=given.x87, **dict(zip(POINTERS, given.pointers, strict=True)),
        opaque=given.other, ssp=0, cet=0, memory=given.memory,
    )  # fmt: skip
    rflags = given.rflags
    for name, position in _FLAG_PLACES:
        env[name] = rflags >> position & 1
    return env


_FLAG_PLACES: Final = tuple(FLAG_BITS.items())
# es, cs, ss, ds, fs, gs of a 64-bit program under Linux
SELECTORS: Final = descriptors.CODE_SELECTOR << 16 | descriptors.STACK_SELECTOR << 32
