"""Children that die with the process that forked them (prctl(2), PR_SET_PDEATHSIG)."""

from __future__ import annotations

import ctypes
import signal
from typing import Final

PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Has the kernel kill the calling process when the thread that forked it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
