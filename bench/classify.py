"""Encodings a second of `classify`, and seconds of `insn` from process start; median of five.

The encodings are random ones of random forms, in a seeded order: every form, all prefixes, all addressing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from measured import RUNS, machine, median, run

from verify.models.isa.encode import random_encoding
from verify.models.isa.forms import all_forms


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


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "encodings"
        source.write_text("\n".join(encodings(options.count)) + "\n", encoding="ascii")
        many = [run(["classify", str(source), "--jobs", options.jobs]) for _ in range(options.runs)]
    one = [run(["insn", "488b1d11223344"]) for _ in range(options.runs)]
    classified = median(many)
    result = {
        "command": f"classify --jobs {options.jobs}", "encodings": options.count, "classify": classified,
        "encodings_per_second": round(options.count / float(str(classified["wall_s"]))),
        "encodings_per_cpu_second": round(options.count / float(str(classified["cpu_s"]))),
        "insn": median(one), "machine": machine(),
    }  # fmt: skip
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
