"""Speed of the in-process executor: trials a second, median of five, as JSON with the machine and versions beside it.

Usage: python bench/executor.py [TRIALS].  Parent and child work in turn, never at once; `core` counts the processor
time of both, so it is the speed on one core that nobody else uses, and `wall` is the speed seen on this machine now.
"""

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from verify.live.capabilities import capabilities
from verify.live.executor.executor import Executor
from verify.live.executor.layout import DATA
from verify.live.executor.state import CpuState

ADD = bytes.fromhex("4801d8")
STORE = bytes.fromhex("48010f")  # add [rdi], rcx
UD2 = bytes.fromhex("0f0b")
DIFFERENT = (
    bytes.fromhex("4801d8"),
    bytes.fromhex("4829d8"),
    bytes.fromhex("480fafc3"),
    bytes.fromhex("48d3e0"),
    bytes.fromhex("4811d8"),
    bytes.fromhex("660fefc1"),
    bytes.fromhex("f30f58c1"),
    bytes.fromhex("0fb6c3"),
)
REGISTERS = frozenset({"gprs", "flags"})


def processor_seconds(pid: int) -> float:
    """Processor time of this process and of process `pid` (Linux, clock_getcpuclockid(3))."""
    return time.process_time() + time.clock_gettime(~pid << 3 | 2)


def rates(trials: int, work: Callable[[], Any], pid: int) -> dict[str, int]:
    """Trials a second, medians of five runs after one that is not counted."""
    work()
    wall, core = [], []
    for _ in range(5):
        start, used = time.perf_counter(), processor_seconds(pid)
        work()
        wall.append(time.perf_counter() - start)
        core.append(processor_seconds(pid) - used)
    return {"core": round(trials / statistics.median(core)), "wall": round(trials / statistics.median(wall))}


def measure(executor: Executor, trials: int) -> dict[str, dict[str, int]]:
    """Case -> trials a second."""
    plain = executor.blank_states(trials, REGISTERS)
    plain["gprs"][:, 0] = np.arange(trials)
    plain["gprs"][:, 7] = DATA.address
    few = trials // 10
    full = executor.blank_states(few)
    codes, items = [DIFFERENT[i % 8] for i in range(trials)], [(DIFFERENT[i % 8], CpuState()) for i in range(few // 10)]
    memory = REGISTERS | {"memory"}
    single = range(few // 50)
    cases: dict[str, tuple[int, Callable[[], Any]]] = {
        "batch": (trials, lambda: executor.run_batch(ADD, plain, observe=REGISTERS)),
        "batch, memory observed": (trials, lambda: executor.run_batch(STORE, plain, observe=memory)),
        "batch, all observed": (few, lambda: executor.run_batch(ADD, full)),
        "batch, every trial faults": (few, lambda: executor.run_batch(UD2, plain[:few], observe=REGISTERS)),
        "another instruction each": (trials, lambda: executor.run_batch(codes, plain, observe=REGISTERS)),
        "another instruction each, memory observed": (
            trials,
            lambda: executor.run_batch(codes, plain, observe=memory),
        ),
        "another instruction each, all observed": (few, lambda: executor.run_batch(codes[:few], full)),
        "run_many, State objects, registers": (len(items), lambda: executor.run_many(items, observe=REGISTERS)),
        "run_many, State objects, all observed": (len(items), lambda: executor.run_many(items)),
        "run, registers": (len(single), lambda: [executor.run(ADD, CpuState(), observe=REGISTERS) for _ in single]),
        "run, all observed": (len(single), lambda: [executor.run(ADD, CpuState()) for _ in single]),
    }
    return {name: rates(count, work, executor.pid) for name, (count, work) in cases.items()}


def main() -> None:
    """Prints the measurements as one JSON object."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    caps = capabilities()
    with Executor() as executor:
        figures = measure(executor, trials)
    about = {
        "processor": f"{caps.vendor} family {caps.family:#x} model {caps.model:#x} stepping {caps.stepping}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    print(json.dumps({"unit": "trials/s, median of 5", "trials": trials, "figures": figures, **about}, indent=2))


if __name__ == "__main__":
    main()
