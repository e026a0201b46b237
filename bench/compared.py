"""CPU of one command line here and in another checkout, in turn: medians and their ratio.

Bytecode is written and both are run once before anything is measured, as with an installed wheel.  A command that keeps
a ledger gets an empty one each time where its arguments have `{ledger}`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from measured import ROOT, RUNS, machine, median, run


def measured(root: Path, command: list[str]) -> dict[str, float]:
    """One run with an empty ledger."""
    with tempfile.TemporaryDirectory() as folder:
        return run([word.format(ledger=folder) for word in command], root=root)


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("baseline", type=Path, help="the other checkout")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="of ubp-verify")
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PYTHONPYCACHEPREFIX"] = cache
        found: dict[Path, list[dict[str, float]]] = {options.baseline: [], ROOT: []}
        for turn in range(options.runs + 1):
            for root, runs in found.items():
                one = measured(root, options.command)
                if turn:
                    runs.append(one)
    here, there = (median(found[root]) for root in (ROOT, options.baseline))
    ratio = round(float(str(there["cpu_s"])) / float(str(here["cpu_s"])), 2)
    result = {"command": " ".join(options.command), "here": here, "baseline": there, "times_less_cpu": ratio}
    print(json.dumps({**result, "machine": machine()}, indent=2))


if __name__ == "__main__":
    main()
