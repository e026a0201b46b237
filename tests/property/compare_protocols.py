"""2,000 random protocols against the oracle, in every engine and for any number: no test, `make oracle` (an hour).

`python tests/property/compare_protocols.py FIRST COUNT`; ends with 1 where something differs.
"""

from __future__ import annotations

import sys

from test_protocol_oracle import any_differences, differences

from verify.concurrency.explicit import c_engine

WORK = 200_000  # units of each method for any number


def main(first: int, count: int) -> int:
    """Compares so many protocols from the first seed on; the exit status."""
    compared = wrong = 0
    for seed in range(first, first + count):
        engines = ["python", "numpy", "bdd"] + ["c"] * (seed % 4 == 0 and c_engine.compiler() is not None)
        found = differences(seed, tuple(engines))
        compared += found is not None
        lines = [*(found or []), *(any_differences(seed, WORK) if seed % 2 == 0 else [])]
        wrong += len(lines)
        for line in lines:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{count} protocols, {compared} compared, {wrong} differences\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
