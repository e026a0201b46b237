"""The C engine: generates, compiles and runs one search; states of up to 128 bits.

Needs a C compiler (cc, gcc, clang, or the one in PyPI's ziglang); `available` says whether there is one.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from verify.concurrency.explicit.c_text import source
from verify.concurrency.instance.dag import evaluate
from verify.concurrency.instance.instance import Model
from verify.concurrency.instance.program_text import step_numbers
from verify.concurrency.language.domains import DomainOverflow
from verify.concurrency.results.exploration import Discovery, Limits, Search

BITS = 127  # one value more than a state must fit the word
KEY_BITS = 63
OBSERVATIONS = 64
OPTIONS, NATIVE = ("-O3", "-w", "-x", "c"), ("-march=native",)
REASONS = {"memory": "the memory limit", "states": "the limit of states", "seconds": "the time limit"}


class CompilerFailed(ValueError):
    """The C compiler did not take the generated program."""


@functools.cache
def compiler() -> tuple[str, ...] | None:
    """The command of a C compiler, None where there is none."""
    for name in ("gcc", "cc", "clang"):
        found = shutil.which(name)
        if found:
            return (found,)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    return None


def unavailable(model: Model, symmetric: bool) -> str:
    """Why this engine cannot explore the model; empty where it can."""
    if compiler() is None:
        return "no C compiler"
    if model.bits > BITS:
        return f"a state has {model.bits} bits, more than {BITS}"
    if symmetric and model.record + len(model.identities) > KEY_BITS:
        return f"a thread's record has {model.record} bits, too many to sort"
    if len(model.observations) > OBSERVATIONS:
        return f"more than {OBSERVATIONS} observations"
    return ""


def program(model: Model, symmetric: bool) -> Path:
    """The compiled search of a model; compiled once and kept in the user's cache directory.

    Raises CompilerFailed.
    """
    text = source(model, symmetric)
    command = compiler()
    assert command is not None
    name = hashlib.sha256("\0".join((text, *command, *OPTIONS, *NATIVE)).encode()).hexdigest()[:32]
    place = _cache() / name
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            target = Path(scratch) / "search"
            (Path(scratch) / "search.c").write_text(text)
            files = (str(Path(scratch) / "search.c"), "-o", str(target))
            built = _ran((*command, *NATIVE, *OPTIONS, *files))
            if built.returncode != 0:  # there are compilers that know of no "native" for their processor
                built = _ran((*command, *OPTIONS, *files))
            if built.returncode != 0:
                said = (built.stderr.strip().splitlines() or ["nothing"])[-1]
                raise CompilerFailed(f"the C compiler failed with status {built.returncode}: {said}")
            target.replace(place)
    return place


def _ran(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _cache() -> Path:
    """A directory of the user's own for compiled searches."""
    base = os.environ.get("XDG_CACHE_HOME")
    place = (Path(base) if base else Path.home() / ".cache") / "ubp-verify" / "searches"
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(place, os.W_OK | os.X_OK):
            return place
    return Path(tempfile.mkdtemp(prefix="ubp-verify-"))


def search(model: Model, symmetric: bool = False, limits: Limits = Limits()) -> Search:  # noqa: B008 - frozen
    """Explores every state. Raises ValueError where `unavailable` says why not, and CompilerFailed."""
    reason = unavailable(model, symmetric)
    if reason:
        raise ValueError(f"the C engine cannot explore this model: {reason}")
    memory = limits.memory if limits.memory is not None else (1 << 63)
    bounds = [bound for bound in (limits.states, limits.work) if bound is not None]  # a unit of work a state
    arguments = [str(memory), str(max(1, min(bounds)) if bounds else 0), str(limits.seconds or 0)]
    try:
        place = program(model, symmetric)
    except KeyboardInterrupt:
        return Search("c", symmetric, reason="interrupted")
    with tempfile.TemporaryFile("w+") as written:  # what a pipe has delivered is lost by an interrupted read
        process = subprocess.Popen([str(place), *arguments], stdout=written)
        try:
            process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
        if process.returncode == -signal.SIGINT:  # before it could take notice of the signal
            return Search("c", symmetric, reason="interrupted")
        if process.returncode != 0:
            raise RuntimeError(f"the compiled search ended with status {process.returncode}")
        written.seek(0)
        return _read(model, symmetric, written.read())


def _read(model: Model, symmetric: bool, output: str) -> Search:
    found = Search("c", symmetric)
    for line in output.splitlines():
        kind, *fields = line.split()
        if kind == "overflow":
            _overflow(model, int(fields[0]), int(fields[1], 16))
        elif kind == "taken":
            found.taken.add(list(step_numbers(model))[int(fields[0])])
        elif kind == "seen":
            seen = Discovery(int(fields[1]), int(fields[2], 16))
            if fields[0] == "-1":
                found.deadlock = seen
            else:
                found.seen[int(fields[0])] = seen
        else:
            found.stored, found.states, found.transitions, found.depth = (int(field) for field in fields[:4])
            found.complete, found.bytes, found.seconds = fields[4] == "1", int(fields[5]), float(fields[6])
            found.reason = REASONS.get(fields[7], fields[7]) if len(fields) > 7 else ""
    return found


def _overflow(model: Model, number: int, state: int) -> None:
    transition, cells = model.transitions[number], model.cells(state)
    for check in transition.checks:
        if not evaluate(check.holds, cells):
            raise DomainOverflow(transition.step.name, check.target, evaluate(check.value, cells))
    raise AssertionError("a check failed in generated code and holds in the dag")
