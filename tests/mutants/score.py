"""The mutation score of the protocols: how many seeded faults some check tells. No test: `make mutants`.

Prints one line a fault that survives or that only the manifest's counts tell, a table, and the scores; `--all` prints
every fault with its fate. Ends with status 1 where the score is below `--least` percent.

by verdicts: a verdict of the protocol changes, a value leaves its domain, or a clause of the stored invariant (the
proof for any number of threads) is refuted. with the manifest: or the recorded counts change, which `make explore`
tells.
Faults that are shown to be none (see `protocol_equivalence`) are counted apart.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from protocol_faults import faults
from protocol_judgement import FATES, KILLED, fate

from verify.concurrency.protocols import names, protocol


def main() -> int:
    """The exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("protocols", nargs="*", default=names())
    arguments.add_argument("--all", action="store_true", help="print every fault")
    arguments.add_argument("--least", type=float, default=99.0, help="percent by verdicts and invariants")
    options = arguments.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    for name in options.protocols:
        for fault in faults(protocol(name)):
            found = fate(fault)
            counts[fault.kind, found.fate] += 1
            if options.all or found.fate in ("counts", "survives"):
                print(f"{found.fate:10} {fault.name}: {found.reason}", flush=True)
    return _summary(counts, options.least)


def _summary(counts: Counter[tuple[str, str]], least: float) -> int:
    kinds = sorted({kind for kind, _ in counts})
    print(f"{'':10}" + "".join(f"{name:>12}" for name in FATES))
    for kind in kinds:
        print(f"{kind:10}" + "".join(f"{counts[kind, name]:12}" for name in FATES))
    total = {name: sum(counts[kind, name] for kind in kinds) for name in FATES}
    killed = sum(total[name] for name in KILLED)
    real = killed + total["counts"] + total["survives"]
    score = 100 * killed / max(real, 1)
    print(f"{real} faults ({total['equivalent']} more are equivalent)")
    print(f"killed by verdicts: {killed}, {score:.1f} %")
    print(
        f"killed with the manifest: {killed + total['counts']}, {100 * (real - total['survives']) / max(real, 1):.1f} %"
    )
    return 0 if score >= least else 1


if __name__ == "__main__":
    sys.exit(main())
