"""A relocator outside of this project asked over pipes: one JSON object a line, one answer a line.

Whatever it does (ends, is silent, answers nonsense) is an answer too, and it is started again for the next question.
"""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

PATIENCE: Final = 5.0  # seconds without an answer
LONGEST: Final = 1 << 16  # bytes of an answer's line


@dataclass(frozen=True, slots=True)
class Code:
    """The bytes that are to run in the slot."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Declined:
    """The relocator refuses the instruction."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It gave no answer, and why."""

    reason: str


Answer = Code | Declined | Failed


def answer_of(line: bytes) -> Answer:
    """What a line of it says."""
    try:
        said = json.loads(line)
    except ValueError:
        return Failed(f"wrong answer: no JSON: {line[:40]!r}")
    if not isinstance(said, dict):
        return Failed(f"wrong answer: no object: {line[:40]!r}")
    if "refused" in said:
        return Declined(str(said["refused"]))
    try:
        data = bytes.fromhex(said["code"])
    except (KeyError, TypeError, ValueError):
        return Failed(f"wrong answer: no code in hex: {line[:40]!r}")
    return Code(data) if data else Failed("wrong answer: no bytes")


class Relocator:
    """A running relocator; a context manager that leaves no process behind.  OSError where it cannot be started."""

    def __init__(self, command: Sequence[str], patience: float = PATIENCE) -> None:
        self.command, self.patience = tuple(command), patience
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _end(self) -> int:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        return self._process.wait()

    def ask(self, data: bytes, origin: int, slot: int) -> Answer:
        """The answer for an instruction at two addresses."""
        assert self._process.stdin is not None
        question = {"bytes": data.hex(), "origin": origin, "slot": slot}
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            line = self._line()
        except OSError:
            line = b""
        if line.endswith(b"\n"):
            return answer_of(line)
        ended = self._process.poll()
        status = self._end()
        self._process = self._started()
        if len(line) > LONGEST:
            return Failed("wrong answer: a line that does not end")
        if ended is None and line != b"":
            return Failed("hang: half a line")
        return Failed(_ending(status) if ended is not None else "hang: no answer")

    def _line(self) -> bytes:
        """A line, or what there is of one where nothing comes any more."""
        stream = self._process.stdout
        assert stream is not None
        found = b""
        while not found.endswith(b"\n") and len(found) <= LONGEST:
            if not select.select([stream], [], [], self.patience)[0]:
                return found
            more = stream.read(4096)
            if not more:
                self._process.wait()
                return found
            found += more
        return found


def _ending(status: int) -> str:
    return f"crash: signal {-status}" if status < 0 else f"silence: it ended with status {status}"
