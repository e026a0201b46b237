"""Race scenarios on the running kernel: what a scenario is, and the stage on which one is run.

Decides whether what was seen is what a scenario predicts. Which property of which protocol predicts it is named here by
its name only; `verify.confirm.races` holds the names against the protocols. The scenarios are in `steps` and
`sites`. Probes and children are gone when a stage ends, whatever happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NoReturn, Self

from verify.live.races.code import BASE, SITE_AT, image
from verify.live.races.program import Board, RaceProgram
from verify.live.uprobe import Probes, UprobesUnavailable, missing
from verify.workers.parent import die_with_parent, forked

COUNTERS: Final = 8
STEADY: Final = 0  # the counter of the prober that stays registered
GRACE: Final = 120.0  # seconds that a child has to end after the stop flag is set; only one that hangs gets there
TICK: Final = 0.002
MOST_ROUNDS: Final = 20_000  # of registrations in which something that must happen is waited for
LONGEST_PAUSE: Final = 0.004  # seconds that a coming and going prober stays registered, or away
DESCRIPTORS: Final = 4096


@dataclass(frozen=True, slots=True)
class Claim:
    """A property of a protocol, or of one of its variants, and the verdict on it: proved or refuted."""

    protocol: str
    property: str
    verdict: str = "proved"
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: the property behind it, what is compared, what it predicts, what was seen.

    `variant` is that of the claim, if it is about a variant.
    """

    property: str
    what: str
    predicted: str
    seen: str
    agrees: bool
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row: the claims that predict its outcome, what is run, and the function that runs it.

    The function returns its checks, each under the name of a property among the claims. It raises `DoesNotApply` or
    `Lacking`.
    """

    name: str
    claims: tuple[Claim, ...]
    what: str
    run: Callable[[Stage], Sequence[Check]]


@dataclass(frozen=True, slots=True)
class ScenarioOutcome:
    """What became of one scenario; `reason` where it was not run, `lacking` where this is for want of something."""

    scenario: Scenario
    checks: tuple[Check, ...]
    seconds: float
    calls: int = 0
    reason: str = ""
    lacking: bool = False

    @property
    def verdict(self) -> str:
        """agrees, disagrees, does not apply, or not run."""
        if self.reason:
            return "not run" if self.lacking else "does not apply"
        return "agrees" if self.checks and all(check.agrees for check in self.checks) else "disagrees"


class DoesNotApply(RuntimeError):
    """The running kernel does not do what a scenario is about; the message says why."""


class Lacking(RuntimeError):
    """This machine or the caller's privileges lack what a scenario needs; the message names it."""


@dataclass(slots=True)
class Rounds:
    """Registrations of a coming and going prober: hits seen, and the bounds of each round, summed.

    `short` and `over` count rounds with fewer hits than calls that lay wholly in the registration, or more than calls
    that can have touched it.
    """

    rounds: int = 0
    hits: int = 0
    least: int = 0
    most: int = 0
    short: int = 0
    over: int = 0

    def take(self, hits: int, least: int, most: int) -> None:
        """Adds one round."""
        self.rounds += 1
        self.hits, self.least, self.most = self.hits + hits, self.least + least, self.most + most
        self.short += hits < least
        self.over += hits > most


class Stage:
    """The file, the board, the counters and the children of one scenario; a context manager that ends them all."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.seconds, self.random = seconds, random.Random(seed)
        self.board = Board()
        self.original = image(self.board.word_address("handled"), self.board.word_address("datum"), rseq_offset() or 0)
        self._children: set[int] = set()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.path = _file(self.original)
            stack.callback(os.unlink, self.path)
            self.probes = stack.enter_context(Probes(COUNTERS))
            stack.callback(self._end_children)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _end_children(self) -> None:
        for pid in tuple(self._children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._children.clear()

    def probe(
        self, function: str, counter: int = STEADY, returning: bool = False
    ) -> contextlib.AbstractContextManager[None]:
        """A probe on the site of a function, with a counter, while the context lasts."""
        return self.probes.attached(self.path, (SITE_AT[function],), counter, returning)

    def site(self, function: str) -> int:
        """File offset of the probed instruction of a function."""
        return SITE_AT[function]

    def start(self, body: Callable[[RaceProgram], None]) -> int:
        """The pid of a child that runs `body`; it ends with status 0, or 99 and a message on the board."""
        pid = forked()
        if pid == 0:
            self._child(body)
        self._children.add(pid)
        return pid

    def _child(self, body: Callable[[RaceProgram], None]) -> NoReturn:
        status = 99
        try:
            die_with_parent()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.closerange(3, DESCRIPTORS)  # links among them: a copy would keep a probe set
            body(RaceProgram(self.path, self.board))
            status = 0
        except BaseException:  # the child must never run the parent's code
            self.board.leave_message(traceback.format_exc())
        finally:
            os._exit(status)

    def stop(self) -> None:
        """Ends all loops."""
        self.board.set("stop", 1)

    def ended(self, pid: int, seconds: float = GRACE) -> str:
        """How a child ended: "exit 0", the name of a signal, or "did not end" (then it is killed)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._children.discard(pid)
                message = self.board.message() if status == 99 << 8 else ""
                return f"{wait_status(status)} {message}".strip()
            time.sleep(TICK)
        return "did not end"

    def wait_for(self, name: str, least: int = 1, seconds: float = GRACE) -> None:
        """Waits until a word of the board is at least so high; RuntimeError when it is not in time."""
        deadline = time.monotonic() + seconds
        while self.board.get(name) < least:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the child did not get to {name} {least}: {self.board.message()}")
            time.sleep(TICK)

    def text(self, pid: int, function: str, length: int = 16) -> bytes:
        """Bytes at the site of a function as a process has them; waits a little where nothing is mapped just now."""
        deadline = time.monotonic() + GRACE
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            while True:
                try:
                    return os.pread(memory.fileno(), length, BASE + SITE_AT[function])
                except OSError:
                    if time.monotonic() > deadline:
                        raise

    def original_text(self, function: str, length: int = 16) -> bytes:
        """Bytes at the site of a function in the file."""
        return self.original[SITE_AT[function] :][:length]

    def pause(self) -> None:
        """A short random time."""
        time.sleep(self.random.random() * LONGEST_PAUSE)

    def comes_and_goes(
        self, function: str, counter: int = 1, until: float | None = None,
        enough: Callable[[Rounds], bool] = lambda found: True,
    ) -> Rounds:  # fmt: skip
        """Registers and unregisters until `until` (monotonic time; default: the scenario's seconds), at least once.

        On a busy machine longer, until it is `enough`: at most `MOST_ROUNDS`.
        """
        found, deadline = Rounds(), until or time.monotonic() + self.seconds
        while (
            not found.rounds
            or time.monotonic() < deadline
            or (not enough(found) and found.rounds < MOST_ROUNDS)
        ):
            before, hits = self.board.calls(), self.probes.hits(counter)
            with self.probe(function, counter):
                first = self.board.calls()
                self.pause()
                last = self.board.calls()
            hits, after = self.probes.hits(counter) - hits, self.board.calls()
            running = [i for i, calls in enumerate(after) if calls]
            least = sum(max(0, last[i] - first[i] - 1) for i in running)
            found.take(hits, least, sum(after[i] - before[i] + 1 for i in running))
            self.pause()
        return found


def rseq_offset() -> int | None:
    """Where the C library has registered each thread's `struct rseq`, from fs's base; None: it has not."""
    library = ctypes.CDLL(None)
    try:
        size = ctypes.c_uint.in_dll(library, "__rseq_size").value
        return ctypes.c_ssize_t.in_dll(library, "__rseq_offset").value if size else None
    except ValueError:  # glibc before 2.35, or another library
        return None


def _file(content: bytes) -> str:
    """The path of a new executable file with this content, closed for writing."""
    descriptor, path = tempfile.mkstemp(prefix="ubp-verify-")
    with open(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, 0o700)
    return path


def wait_status(status: int) -> str:
    """A wait status in words: "exit N" or the name of a signal."""
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit {os.WEXITSTATUS(status)}"


# --- comparisons ------------------------------------------------------------------------------------------------------
def equal(name: str, what: str, predicted: object, seen: object) -> Check:
    """Seen is what is predicted."""
    return Check(name, what, _text(predicted), _text(seen), predicted == seen)


def between(name: str, what: str, least: int, most: int, seen: int) -> Check:
    """Seen lies in the bounds, both included."""
    return Check(name, what, f"{least:,} to {most:,}", f"{seen:,}", least <= seen <= most)


def at_least(name: str, what: str, least: int, seen: int) -> Check:
    """Seen is as much or more."""
    return Check(name, what, f"at least {least:,}", f"{seen:,}", seen >= least)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else value.hex(" ") if isinstance(value, bytes) else str(value)


def checked_rounds(name: str, found: Rounds) -> list[Check]:
    """No round of a coming and going prober has a missed hit or one too many."""
    return [
        equal(name, f"rounds of {found.rounds} with a missed hit", 0, found.short),
        equal(name, "rounds with more hits than calls", 0, found.over),
        between(name, "hits while registered, and the calls then", found.least, found.most, found.hits),
    ]


# --- running ----------------------------------------------------------------------------------------------------------
def outcomes(scenarios: Sequence[Scenario], seconds: float, seed: int) -> Iterator[ScenarioOutcome]:
    """Every scenario, one after another, in about `seconds` for all of them.

    Raises UprobesUnavailable where this machine lets nobody probe.
    """
    if absent := missing():
        raise UprobesUnavailable("; ".join(absent))
    for number, scenario in enumerate(scenarios):
        yield played(scenario, seconds / len(scenarios), seed + number)


def played(scenario: Scenario, seconds: float, seed: int) -> ScenarioOutcome:
    """One scenario on a stage of its own; one that breaks off disagrees with what was predicted."""
    began = time.monotonic()
    with Stage(seconds, seed) as stage:
        try:
            checks = tuple(scenario.run(stage))
        except (DoesNotApply, Lacking, PermissionError) as error:
            lacking = not isinstance(error, DoesNotApply)
            return ScenarioOutcome(scenario, (), time.monotonic() - began, reason=str(error), lacking=lacking)
        except (RuntimeError, OSError) as error:
            end = Check(scenario.claims[0].property, "the scenario's end", "as planned", str(error), False)
            return ScenarioOutcome(scenario, (end,), time.monotonic() - began, stage.board.total("calls"))
        finally:
            stage.stop()
        return ScenarioOutcome(scenario, checks, time.monotonic() - began, stage.board.total("calls"))
