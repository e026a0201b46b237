"""Children that die with the process that forked them (prctl(2), PR_SET_PDEATHSIG)."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

PR_SET_PDEATHSIG: Final = 1
HELD_BACK: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_libc: Final = ctypes.CDLL(None, use_errno=True)
_forking = 0  # the process that forked last, as its child sees it; 0: none has


def _about_to_fork() -> None:
    global _forking  # noqa: PLW0603  what a child can learn of its parent in no other way
    _forking = os.getpid()


os.register_at_fork(before=_about_to_fork)


def forked() -> int:
    """As os.fork; a signal that ends the process is held back meanwhile.

    What a handler raises in a fork's own hooks (logging has some) is printed and forgotten, and the signal lost.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        return os.fork()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent() -> None:
    """Has the kernel kill the calling process when the thread that forked it ends; at once where it has ended.

    The kernel looks from the call on: a parent that died before it is told by another process in its place.
    """
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if _forking and os.getppid() != _forking:
        os.kill(os.getpid(), signal.SIGKILL)
