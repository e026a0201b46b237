"""Ratios of the engines against SPIN on xol-step: states a second in the full space, and time to the verdict.

SPIN reduces nothing in the generated text: its reduction needs variables that are local to a process, and there every
variable is global. CPU seconds of whole processes (median of `--repeat` runs), compilation left out on both sides. Run
with the package on the path: `python bench/explore.py --threads 4`. Prints one JSON object with machine and versions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from verify.concurrency import compiled
from verify.concurrency.export import export
from verify.concurrency.ground import Model, ground
from verify.concurrency.protocols import protocol

ENGINE = """
import sys, time
from verify.concurrency import explorer
from verify.concurrency.explored import Limits
from verify.concurrency.ground import ground
from verify.concurrency.protocols import protocol
model = ground(protocol({name!r}), {threads})
began = time.process_time()
found = explorer.search(model, {engine!r}, {symmetric}, Limits())
print(found.states, found.stored, time.process_time() - began, found.bytes)
"""


def cpu(command: list[str], place: Path | None = None) -> tuple[float, str]:
    """User and system seconds of a process and its children, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=place)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.stdout


def median(measure: Callable[[], tuple[float, int]], repeat: int) -> tuple[float, int]:
    """Median seconds, and the count of the last run."""
    runs = [measure() for _ in range(repeat)]
    return statistics.median(seconds for seconds, _ in runs), runs[-1][1]


def spin(model: Model, place: Path, reduced: bool, table: int, repeat: int) -> tuple[float, int]:
    """CPU seconds and states of SPIN, with a hash table of 2^table entries."""
    (place / "m.pml").write_text(export(model, "promela"))
    subprocess.run(["spin", "-a", "m.pml"], cwd=place, check=True, capture_output=True)
    options = ["-O3", "-DSAFETY", *([] if reduced else ["-DNOREDUCE"]), "-w", "-march=native"]
    subprocess.run(["gcc", *options, "-o", "pan", "pan.c"], cwd=place, check=True)

    def one() -> tuple[float, int]:
        seconds, output = cpu(["./pan", "-m100000", f"-w{table}"], place)
        found = re.search(r"(\d+) states, stored", output)
        assert found, output
        return seconds, int(found[1])

    return median(one, repeat)


def engine(name: str, threads: int, kind: str, symmetric: bool, repeat: int) -> tuple[float, int, int]:
    """CPU seconds of the search alone, full states, and bytes a stored state."""
    if kind == "c":
        place = compiled.program(ground(protocol(name), threads), symmetric)
        arguments = [str(place), str(1 << 62), "0", "0", "s" if symmetric else "f"]

        def run() -> tuple[float, int]:
            seconds, output = cpu(arguments)
            fields = next(line for line in output.splitlines() if line.startswith("result")).split()
            size.append(int(fields[6]) // int(fields[1]))
            return seconds, int(fields[2])

    else:
        text = ENGINE.format(name=name, threads=threads, engine=kind, symmetric=symmetric)

        def run() -> tuple[float, int]:
            _, output = cpu([sys.executable, "-c", text])
            states, stored, seconds, used = output.split()
            size.append(int(used) // int(stored))
            return float(seconds), int(states)

    size: list[int] = []
    seconds, states = median(run, repeat)
    return seconds, states, size[-1]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--protocol", default="xol-step")
    arguments.add_argument("--threads", type=int, default=4)
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--table", type=int, default=22, help="SPIN's -w (27 for 5 threads)")
    arguments.add_argument("--engines", default="python,numpy,c,bdd")
    arguments.add_argument("--full-only", action="store_true", help="leaves out SPIN with partial-order reduction")
    options = arguments.parse_args()
    if not shutil.which("spin"):
        sys.exit("spin is not installed: no ratios")
    model = ground(protocol(options.protocol), options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        full, states = spin(model, place, False, options.table, options.repeat)
        reduced, fewer = (full, states)
        if not options.full_only:
            reduced, fewer = spin(model, place, True, options.table, options.repeat)
    found: dict[str, object] = {
        "protocol": options.protocol,
        "threads": options.threads,
        "states": states,
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "spin": subprocess.run(["spin", "-V"], capture_output=True, text=True, check=False).stdout.strip(),
        "spin_full": {"seconds": round(full, 3), "states_per_second": round(states / full)},
        "spin_reduced": {"seconds": round(reduced, 3), "states": fewer},
    }
    for kind in options.engines.split(","):
        for symmetric in (False, True) if kind in ("python", "numpy", "c") else (False,):
            seconds, counted, size = engine(options.protocol, options.threads, kind, symmetric, options.repeat)
            assert counted == states, f"{kind} counts {counted} states, SPIN {states}"
            found[kind + ("_symmetric" if symmetric else "")] = {
                "seconds": round(seconds, 3),
                "states_per_second": round(states / seconds),
                "bytes_per_state": size,
                "times_spin_full": round(full / seconds, 1),
                "times_spin_reduced": round(reduced / seconds, 1),
            }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
