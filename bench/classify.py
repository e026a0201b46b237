"""Encodings a second of `classify`, and seconds of `insn` from process start; median of five.

Two inputs: random encodings of random forms, in a seeded order (every form, all prefixes, all addressing), and the
instructions of a program as objdump lists them, where it is installed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from measured import RUNS, machine, median, run

from verify.models.x86.isa.encode import random_encoding
from verify.models.x86.isa.forms import all_forms

SECONDS = {"second": "wall_s", "cpu_second": "cpu_s"}


def encodings(count: int) -> list[str]:
    """Random encodings of random forms."""
    rng, forms = Random(1), all_forms()
    found: list[str] = []
    while len(found) < count:
        try:
            found.append(random_encoding(rng.choice(forms), rng).hex())
        except ValueError:
            continue
    return found


def instructions(program: str, count: int) -> list[str]:
    """The first instructions of a program; none without objdump."""
    if shutil.which("objdump") is None:
        return []
    listing = subprocess.run(["objdump", "-d", "-w", program], capture_output=True, text=True, check=True).stdout
    columns = (line.split("\t") for line in listing.splitlines())
    return ["".join(c[1].split()) for c in columns if len(c) == 3 and "(bad)" not in c[2]][:count]


def rate(lines: list[str], jobs: str, runs: int) -> dict[str, object]:
    """Medians of `classify` on the lines."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "encodings"
        source.write_text("\n".join(lines) + "\n", encoding="ascii")
        found = median([run(["classify", str(source), "--jobs", jobs]) for _ in range(runs)])
    per_second = {f"encodings_per_{n}": round(len(lines) / float(str(found[k]))) for n, k in SECONDS.items()}
    return {"encodings": len(lines), **per_second, **found}


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--program", default="/bin/bash")
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    inputs = {"random": encodings(options.count), options.program: instructions(options.program, options.count)}
    one = [run(["insn", "488b1d11223344"]) for _ in range(options.runs)]
    result = {
        "command": f"classify --jobs {options.jobs}",
        "classify": {name: rate(lines, options.jobs, options.runs) for name, lines in inputs.items() if lines},
        "insn": median(one), "machine": machine(),
    }  # fmt: skip
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
