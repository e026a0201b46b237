"""The fetch model of litmus tests: all outcomes of a writer's stores to code that a reader executes meanwhile.

Axioms, by name as in the protocols: single-byte-write, torn-fetch, stale-until-serialised, interrupt-serialises. Here:
a store changes memory at once, and in program order for every data load of the reader. A fetch takes, for each byte by
itself, any value that the byte has had since the reader's last serialising event. Each instruction of a call is a step
of its own (interrupt-at-any-boundary): the writer may do anything in between. Nothing is said of how likely it is.
What is not one of the few instructions known here gives `OTHER`, which stands for any behaviour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

INT3: Final = -1
"""Result of a call that ended in a breakpoint trap."""
OTHER: Final = -2
"""Result of a call that executed bytes which are no instruction of the test: a fault, or anything at all."""

Store = tuple[str, int, bytes]
Action = Store | tuple[str]
"""("store", offset, bytes): one store to the site. ("flag",): the writer sets, the reader reads the flag word.
("sync",): the writer serialises the reader's processor, by an interrupt. ("later",): the writer lets time pass, which
orders nothing. ("preempt",): the writer stops the reader for a while, wherever it is, which orders nothing either.
("serialise",): the reader serialises itself.
("call",): the reader calls the site. ("load",): the reader loads the first four bytes of the site as data."""

Results = tuple[int, ...]
MOST = 24  # instructions in one call


@dataclass(frozen=True, slots=True)
class Litmus:
    """One test: `initial` is the code at the site, `at` its place in a page, `outcome` the results of interest.

    `reason` says in a sentence why the outcome has its verdict.

    A result is what a call leaves in eax (32 bits), `INT3` or `OTHER`; the flag (0 or 1); or the four bytes loaded.
    """

    name: str
    reason: str
    initial: bytes
    writer: tuple[Action, ...]
    reader: tuple[Action, ...]
    outcome: Results
    verdict: str
    at: int = 0

    def __post_init__(self) -> None:
        if self.verdict not in ("allowed", "forbidden"):
            raise ValueError(f"verdict must be allowed or forbidden, got {self.verdict!r}")
        if not 0 <= self.at < 4096:
            raise ValueError(f"place in a page must be 0..4095, got {self.at}")
        for action in self.writer:
            if len(action) == 3 and not 0 <= action[1] <= len(self.initial) - len(action[2]):
                raise ValueError(f"{self.name}: a store outside the site: {action}")
            if len(action) == 3 and len(action[2]) not in (1, 2, 4, 8):
                raise ValueError(f"{self.name}: a store has 1, 2, 4 or 8 bytes, got {len(action[2])}")


@dataclass(frozen=True, slots=True)
class FetchState:
    """Where both are, memory, the values that each byte may be fetched as, the flag, and the results so far."""

    written: int
    read: int
    memory: bytes
    fetched: tuple[frozenset[int], ...]
    flag: int
    results: Results
    core: Core | None = None  # of the call in progress
    executed: int = 0  # instructions of that call


def outcomes(test: Litmus) -> frozenset[Results]:
    """Every tuple of results that the model permits."""
    start = FetchState(0, 0, test.initial, _only(test.initial), 0, ())
    seen, open_, found = {start}, [start], set()
    while open_:
        state = open_.pop()
        if state.read == len(test.reader):
            found.add(state.results)
            continue
        for after in _successors(test, state):
            if after not in seen:
                seen.add(after)
                open_.append(after)
    return frozenset(found)


def verdict(test: Litmus) -> str:
    """Whether the model permits the outcome of interest: "allowed" or "forbidden"."""
    return "allowed" if test.outcome in outcomes(test) else "forbidden"


def permits(allowed: frozenset[Results], seen: Results) -> bool:
    """Whether results seen on a processor are among the permitted ones; a permitted `OTHER` stands for any result."""
    return any(all(may in (got, OTHER) for may, got in zip(one, seen, strict=True)) for one in allowed)


def _only(memory: bytes) -> tuple[frozenset[int], ...]:
    return tuple(frozenset((byte,)) for byte in memory)


def _successors(test: Litmus, state: FetchState) -> Iterator[FetchState]:
    if state.written < len(test.writer):
        yield _write(test.writer[state.written], replace(state, written=state.written + 1))
    moved = replace(state, read=state.read + 1)
    match test.reader[state.read][0]:
        case "call":
            for after in _executed(state.core or Core(0), state.fetched) if state.executed < MOST else (OTHER,):
                if isinstance(after, int):
                    yield replace(moved, results=(*state.results, after), core=None, executed=0)
                else:
                    yield replace(state, core=after, executed=state.executed + 1)
        case "flag":
            yield replace(moved, results=(*state.results, state.flag))
        case "load":
            yield replace(moved, results=(*state.results, int.from_bytes(state.memory[:4], "little")))
        case "serialise":
            yield replace(moved, fetched=_only(state.memory))
        case other:
            raise ValueError(f"{test.name}: a reader does not {other}")


def _write(action: Action, state: FetchState) -> FetchState:
    match action:
        case ("store", int(offset), bytes(data)):
            memory = state.memory[:offset] + data + state.memory[offset + len(data) :]
            both = zip(state.fetched, memory, strict=True)
            return replace(state, memory=memory, fetched=tuple(old | {new} for old, new in both))
        case ("flag",):
            return replace(state, flag=1)
        case ("later",) | ("preempt",):
            return state
        case ("sync",):
            return replace(state, fetched=_only(state.memory))
    raise ValueError(f"a writer does not {action}")


# --- execution of fetched bytes ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Core:
    """A call in progress: offset of the next instruction, eax, and offsets to which inner calls return."""

    ip: int
    eax: int = 0
    stack: tuple[int, ...] = ()


def _executed(core: Core, fetched: tuple[frozenset[int], ...]) -> Iterator[Core | int]:
    """What one instruction at `core.ip` may do: go on, or end the call with a result."""
    if not 0 <= core.ip < len(fetched):
        yield OTHER
        return
    matched = False
    for pattern, size, effect in INSTRUCTIONS:
        window = fetched[core.ip : core.ip + size]
        if len(window) == size and all(want is None or want in got for want, got in zip(pattern, window, strict=False)):
            for operand in _choices(window[len(pattern) :]):
                matched = True
                yield _effect(effect, core, size, operand)
    if not matched or _unknown(core.ip, fetched):
        yield OTHER


def _choices(window: tuple[frozenset[int], ...]) -> Iterator[bytes]:
    if not window:
        yield b""
        return
    for byte in sorted(window[0]):
        for rest in _choices(window[1:]):
            yield bytes((byte,)) + rest


def _unknown(ip: int, fetched: tuple[frozenset[int], ...]) -> bool:
    """Whether some choice of bytes at `ip` begins no known instruction."""
    window = fetched[ip : ip + max(len(pattern) for pattern, _, _ in INSTRUCTIONS)]
    for choice in _choices(window):
        fits = (
            all(want is None or want == got for want, got in zip(pattern, choice, strict=False))
            for pattern, size, _ in INSTRUCTIONS
            if ip + size <= len(fetched)
        )
        if not any(fits):
            return True
    return False


INSTRUCTIONS: Final[tuple[tuple[tuple[int | None, ...], int, str], ...]] = (
    # opcode bytes (None: any), length, effect; the bytes behind the opcode are the operand     Intel SDM vol. 2
    ((0xCC,), 1, "int3"),
    ((0x90,), 1, "nop"),
    ((0x66, 0x90), 2, "nop"),
    ((0x0F, 0x1F, 0x00), 3, "nop"),  # 0f 1f /0 with [rax], which is not accessed
    ((0x0F, 0x1F, 0x44, 0x00), 5, "nop"),  # 0f 1f /0 with SIB and disp8
    ((0x66, 0x2E, 0x0F, 0x1F, 0x84), 10, "nop"),  # with SIB and disp32
    ((0xB8,), 5, "mov"),  # mov eax, imm32
    ((0xB9,), 5, "nop"),  # mov ecx, imm32: leaves eax
    ((0x05,), 5, "add"),  # add eax, imm32
    ((0xEB,), 2, "jmp"),
    ((0xE9,), 5, "jmp"),
    ((0xE8,), 5, "call"),
    ((0xC3,), 1, "ret"),
    ((0xC2, 0x80, 0x00), 3, "ret"),  # ret 0x80, behind lea -0x80(%rsp),%rsp
    ((0x48, 0x8D, 0x64, 0x24, 0x80), 5, "nop"),  # lea -0x80(%rsp),%rsp
)


def _effect(effect: str, core: Core, size: int, operand: bytes) -> Core | int:
    following = core.ip + size
    value = int.from_bytes(operand, "little", signed=effect in ("jmp", "call"))
    match effect:
        case "int3":
            return INT3
        case "mov":
            return replace(core, ip=following, eax=value)
        case "add":
            return replace(core, ip=following, eax=(core.eax + value) & 0xFFFF_FFFF)
        case "jmp":
            return replace(core, ip=following + value)
        case "call":
            return replace(core, ip=following + value, stack=(*core.stack, following))
        case "ret":
            return core.eax if not core.stack else replace(core, ip=core.stack[-1], stack=core.stack[:-1])
    return replace(core, ip=following)
