"""People's own protocols: from a file, or from an installed package (entry-point group `ubp_verify.protocols`).

A file is run in a process of its own, with bounded time, and may print nothing; what comes back is a protocol or one
line that says what is wrong, with file and line. An entry point names a `Protocol`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Final

from verify.concurrency.language.protocol import Protocol, ProtocolError
from verify.workers.pool import Policy, TaskFailed, imap_unordered

GROUP: Final = "ubp_verify.protocols"
SECONDS: Final = 10.0  # that a file may run, as `Patience` counts them
SUFFIX: Final = ".py"
MODULE: Final = "protocol_file"  # under which name a file is run


def is_file(name: str) -> bool:
    """Whether a name is meant as a file, not as a protocol's name."""
    return name.endswith(SUFFIX) or os.sep in name


def of_file(name: str) -> Protocol:
    """The `PROTOCOL` of a file. Raises ProtocolError, in one line with file and line."""
    if not Path(name).is_file():
        raise ProtocolError(f"{name}: no such file")
    name = name.removeprefix(os.getcwd() + os.sep)
    with closing(imap_unordered([name], _reading, 1, policy=Policy(SECONDS, grace=0.0))) as answers:
        for _, answer in answers:
            if isinstance(answer, Protocol):
                return answer
            reason = answer.reason if isinstance(answer, TaskFailed) else answer
            raise ProtocolError(reason if isinstance(answer, str) else f"{name}: not read: {reason}")
    raise AssertionError("a task is answered")


def installed() -> dict[str, importlib.metadata.EntryPoint]:
    """The entry points of the group by name."""
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}


def of_entry_point(entry: importlib.metadata.EntryPoint) -> Protocol:
    """The protocol that an entry point names. Raises ProtocolError."""
    try:
        found = entry.load()
    except Exception as error:
        raise ProtocolError(f"entry point {entry.name} of {GROUP} ({entry.value}): {_said(error)}") from error
    if not isinstance(found, Protocol):
        raise ProtocolError(f"entry point {entry.name} of {GROUP} ({entry.value}): expected a Protocol, got {found!r}")
    return found


@contextlib.contextmanager
def _reading() -> Iterator[Callable[[str], Protocol | str]]:
    yield _read


def _read(name: str) -> Protocol | str:
    """The protocol of a file, or what is wrong with it."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            return _run(name)
        except ProtocolError as error:
            return _placed(name, str(error), error)
        except SyntaxError as error:
            return f"{error.filename or name}:{error.lineno or 1}: {error.msg}"
        except BaseException as error:
            return _placed(name, _said(error), error)


def _run(name: str) -> Protocol:
    sys.path.insert(0, str(Path(name).resolve().parent))
    module = sys.modules[MODULE] = ModuleType(MODULE)
    module.__file__ = name
    exec(compile(Path(name).read_text(encoding="utf-8"), name, "exec"), module.__dict__)
    found = getattr(module, "PROTOCOL", None)
    if not isinstance(found, Protocol):
        said = "there is none" if found is None else f"got {type(found).__name__}"
        raise ProtocolError(f"{name}:1: expected PROTOCOL = description.protocol(), {said}")
    return found


def _said(error: BaseException) -> str:
    """Kind and message of an exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _placed(name: str, message: str, error: BaseException) -> str:
    """The message behind the line of the file from which the error came, unless it says a place itself."""
    if message.startswith(f"{name}:"):
        return message
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    return f"{name}:{lines[-1] if lines else 1}: {message}"
