"""Wall time, processor time and peak memory of a command line; median of five, with machine and versions beside it."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUNS = 5
PACKAGES = ("z3-solver", "iced-x86", "capstone")


def run(arguments: Sequence[str], output: Path = Path(os.devnull), root: Path = ROOT) -> dict[str, float]:
    """One run of a checkout: seconds of wall and processor (children included), and MiB of its largest process.

    Raises RuntimeError for an exit status other than 0 and 2.
    """
    command = [sys.executable, "-P", "-m", "verify.cli", *arguments]  # of the checkout, not of the working directory
    environment = {**os.environ, "PYTHONPATH": str(root)}
    opened = (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    begun = time.perf_counter()
    pid = os.posix_spawn(sys.executable, command, environment, file_actions=[opened])
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begun
    if os.waitstatus_to_exitcode(status) not in {0, 2}:
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mib": usage.ru_maxrss / 1024}


def median(runs: Sequence[dict[str, float]]) -> dict[str, object]:
    """The median of each figure, and every wall time."""
    figures: dict[str, object] = {k: round(statistics.median(r[k] for r in runs), 3) for k in runs[0]}
    return {**figures, "walls_s": [round(r["wall_s"], 3) for r in runs]}


def machine() -> dict[str, object]:
    """What was measured on, and with which versions."""
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "processors": os.cpu_count(),
        "load_1_min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
