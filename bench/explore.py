"""The engines against SPIN on xol-step: states a second in the full space, and seconds to the verdict.

Prints a table, the figures that are asked of the engines and whether they were seen, and writes one JSON object with
machine and versions beside it. CPU seconds (user and system), median of `--repeat` rounds; each round runs everything
once, so that a change of the machine's load meets all. Whole processes, except for Python and numpy: there the search
alone, without the start of the interpreter. Compilation is left out on both sides.

SPIN runs a text written by hand (`xol_step.pml`, with as many states as the generated one, and faster), with the
hash table that is best of `--tables`; its partial-order reduction finds more to reduce there, too. Run with the package
on the path: `python bench/explore.py --threads 4`, and `--threads 5` on a machine at rest (SPIN needs a minute a run).
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from measured import machine

from verify.concurrency.explicit import c_engine
from verify.concurrency.instance.instance import Model, instantiate
from verify.concurrency.protocols import protocol
from verify.concurrency.results.export import export

ENGINE = """
import sys, time
from verify.concurrency import explorer
from verify.concurrency.results.exploration import Limits
from verify.concurrency.instance.instance import instantiate
from verify.concurrency.protocols import protocol
model = instantiate(protocol("xol-step"), {threads})
began = time.process_time()
found = explorer.search(model, {engine!r}, {symmetric}, Limits())
print(found.states, found.stored, time.process_time() - began, found.bytes)
"""
HAND = Path(__file__).parent / "xol_step.pml"
FEW = 4  # threads up to which the slowest take part: plain Python, and SPIN with the generated text


@dataclass(frozen=True, slots=True)
class Run:
    """One run: CPU seconds, full states, and bytes a stored state (0: not told)."""

    seconds: float
    states: int
    bytes: float


@dataclass(frozen=True, slots=True)
class Row:
    """The median of one thing that is timed."""

    name: str
    seconds: float
    states: int
    bytes: float
    runs: tuple[float, ...]

    @property
    def rate(self) -> float:
        """States a second."""
        return self.states / self.seconds


@dataclass(frozen=True, slots=True)
class Figure:
    """What is asked of an engine (at least `asked`) and what was seen."""

    text: str
    asked: float
    seen: float


def cpu(command: list[str], place: Path | None = None) -> tuple[float, str]:
    """User and system seconds of a process and its children, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=place)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, run.stdout


def spin(place: Path, text: str, threads: int, reduced: bool) -> Path:
    """SPIN's compiled verifier of a text in a directory of its own."""
    place.mkdir()
    (place / "m.pml").write_text(text)
    subprocess.run(["spin", f"-DN={threads}", "-o3", "-a", "m.pml"], cwd=place, check=True, capture_output=True)
    options = ["-O3", "-march=native", "-DSAFETY", "-DMEMLIM=16000", *([] if reduced else ["-DNOREDUCE"]), "-w"]
    subprocess.run(["gcc", *options, "-o", "pan", "pan.c"], cwd=place, check=True)
    return place / "pan"


def spin_run(program: Path, table: int) -> Run:
    """One run of SPIN with a hash table of 2^table entries. Raises RuntimeError where it did not finish."""
    seconds, output = cpu([str(program), "-m1000000", f"-w{table}"], program.parent)
    stored = re.search(r"(\d+) states, stored", output)
    memory = re.search(r"([\d.]+)\s+total actual memory usage", output)
    if stored is None or memory is None or "errors: 0" not in output or "Search not completed" in output:
        raise RuntimeError(f"SPIN did not finish: {output[:400]}")
    return Run(seconds, int(stored[1]), float(memory[1]) * (1 << 20) / int(stored[1]))


def best_table(program: Path, tables: list[int]) -> int:
    """The size of hash table with which SPIN is fastest."""
    return min(tables, key=lambda table: spin_run(program, table).seconds) if len(tables) > 1 else tables[0]


def c_run(program: Path) -> Run:
    """One run of the generated C, as a whole process."""
    seconds, output = cpu([str(program), str(1 << 62), "0", "0"])
    fields = next(line for line in output.splitlines() if line.startswith("result")).split()
    return Run(seconds, int(fields[2]), int(fields[6]) / int(fields[1]))


def engine_run(threads: int, engine: str, symmetric: bool) -> Run:
    """One run of an engine inside a Python of its own."""
    _, output = cpu([sys.executable, "-c", ENGINE.format(threads=threads, engine=engine, symmetric=symmetric)])
    states, stored, seconds, used = output.split()
    return Run(float(seconds), int(states), int(used) / int(stored))


def timed(runs: dict[str, Callable[[], Run]], repeat: int) -> list[Row]:
    """The medians; everything once a round."""
    seen: dict[str, list[Run]] = {name: [] for name in runs}
    for number in range(repeat):
        for name, run in runs.items():
            seen[name].append(run())
            print(f"round {number + 1}: {name} {seen[name][-1].seconds:.3f} s", file=sys.stderr)
    rows = []
    for name, found in seen.items():
        seconds = tuple(round(one.seconds, 4) for one in found)
        rows.append(Row(name, statistics.median(seconds), found[0].states, found[0].bytes, seconds))
    return rows


def candidates(model: Model, scratch: Path, tables: list[int], engines: list[str]) -> dict[str, Callable[[], Run]]:
    """What is timed, by name."""
    threads, hand = model.threads, HAND.read_text()
    full, reduced = spin(scratch / "full", hand, threads, False), spin(scratch / "por", hand, threads, True)
    table = best_table(full, tables)
    less = best_table(reduced, tables)
    runs: dict[str, Callable[[], Run]] = {
        f"SPIN full, -w{table}": lambda: spin_run(full, table),
        f"SPIN reduced, -w{less}": lambda: spin_run(reduced, less),
    }
    if threads <= FEW:
        generated = spin(scratch / "generated", export(model, "promela"), threads, False)
        runs[f"SPIN full, generated text, -w{table}"] = lambda: spin_run(generated, table)
    for name in engines:
        for symmetric in (False, True):
            shown = name + (", symmetric" if symmetric else "")
            if name == "c":
                program = c_engine.program(model, symmetric)
                runs[shown] = lambda p=program: c_run(p)  # type: ignore[misc]
            elif name != "bdd" or not symmetric:
                runs[shown] = lambda n=name, s=symmetric: engine_run(threads, n, s)  # type: ignore[misc]
    return runs


def figures(rows: list[Row]) -> list[Figure]:
    """The figures of issue 4 that these rows show."""
    by_name = {row.name: row for row in rows}
    full, reduced = rows[0], rows[1]
    found = []
    if "numpy" in by_name:
        found.append(Figure("numpy: times SPIN's states a second", 3, by_name["numpy"].rate / full.rate))
    if "c" in by_name:
        found.append(Figure("generated C: times SPIN's states a second", 8, by_name["c"].rate / full.rate))
        ratio = reduced.seconds / by_name["c, symmetric"].seconds
        found.append(Figure("symmetry: times faster to the verdict than SPIN reduced", 30, ratio))
    if "python" in by_name:
        found.append(Figure("interpreter: states a second", 100_000, by_name["python"].rate))
    return found


def table_of(rows: list[Row]) -> str:
    """The rows for people."""
    full, reduced = rows[0], rows[1]
    lines = [f"{'':34}{'states':>12}{'CPU s':>9}{'states/s':>13}{'x SPIN':>8}{'verdict x':>11}{'bytes/state':>13}"]
    for row in rows:
        cells = f"{row.states:>12,}{row.seconds:>9.3f}{row.rate:>13,.0f}{row.rate / full.rate:>8.1f}"
        lines.append(f"{row.name:34}{cells}{reduced.seconds / row.seconds:>11.1f}{row.bytes:>13.1f}")
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--threads", type=int, default=4)
    arguments.add_argument("--repeat", type=int, default=5)
    arguments.add_argument("--tables", default=None, help="SPIN's -w, of which the best is taken (22,23,24; 5: 25..28)")
    arguments.add_argument("--engines", default="python,numpy,c,bdd")
    arguments.add_argument("--json", type=Path, help="where the JSON object goes (default: standard output)")
    options = arguments.parse_args()
    if not (shutil.which("spin") and shutil.which("gcc")):
        print("explore: spin or gcc is not installed: no ratios", file=sys.stderr)
        return
    model = instantiate(protocol("xol-step"), options.threads)
    engines = [name for name in options.engines.split(",") if name != "python" or options.threads <= FEW]
    tables = [int(x) for x in (options.tables or ("22,23,24" if options.threads <= FEW else "25,26,27,28")).split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        rows = timed(candidates(model, Path(scratch), tables, engines), options.repeat)
    counts = {row.name: row.states for row in rows if not row.name.startswith("SPIN reduced")}
    if len(set(counts.values())) != 1:
        sys.exit(f"states differ: {counts}")
    report(options, rows)


def report(options: argparse.Namespace, rows: list[Row]) -> None:
    """Prints the table and the figures; the JSON object goes to its file or behind them."""
    seen = figures(rows)
    print(f"xol-step, {options.threads} threads, median of {options.repeat}\n{table_of(rows)}\n")
    for one in seen:
        word = "reached" if one.seen >= one.asked else "MISSED"
        print(f"{one.text}: asked {one.asked:,.0f}, seen {one.seen:,.1f}: {word}")
    spun = subprocess.run(["spin", "-V"], capture_output=True, text=True, check=False).stdout.strip()
    built = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=False).stdout.splitlines()[0]
    found = {
        "protocol": "xol-step",
        "threads": options.threads,
        "repeat": options.repeat,
        "machine": {**machine(), "spin": spun, "gcc": built},
        "rows": [asdict(row) | {"states_per_second": round(row.rate)} for row in rows],
        "figures": [asdict(one) | {"reached": one.seen >= one.asked} for one in seen],
    }
    text = json.dumps(found, indent=1)
    if options.json is None:
        print(text)
    else:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
