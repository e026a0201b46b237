"""Seconds and memory of `opcode-range`: cold with an empty ledger, and warm with an unchanged one; median of five."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from measured import RUNS, machine, median, run


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ranges", nargs="*", default=["all"])
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    cold, warm = [], []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            command = ["opcode-range", *options.ranges, "--jobs", options.jobs, "--ledger", folder, "--format", "json"]
            report = Path(folder) / "report.json"
            cold.append(run(command, report))
            warm.append(run(command))
            document = json.loads(report.read_text(encoding="utf-8"))
    result = {
        "command": f"opcode-range {' '.join(options.ranges)} --jobs {options.jobs}",
        "cold": median(cold), "warm": median(warm), "forms": len(document["forms"]),
        "totals": document["totals"], "obligations": document["obligations"], "machine": machine(),
    }  # fmt: skip
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
