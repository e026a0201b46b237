"""Random encodings judged without one assumption: does every counterexample of the solver replay?  `make replays`.

Prints each pair of an encoding and a dropped assumption whose verdict rests on one that does not, and counts by reason
what stays unknown; status 1 where one does not replay.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from random import Random
from typing import Final

from verify.claim.verdicts import Verdict
from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.x86.isa.encode import random_encoding
from verify.models.x86.isa.forms import Cpu, all_forms
from verify.smt.decisions import NO_REPLAY

SHARE: Final = 100  # pairs that a process judges at a time
Found = tuple[str, str, str, str]  # encoding, vendor, dropped assumption, reason


def pairs(number: int, seed: int) -> list[tuple[bytes, Cpu, str]]:
    """Random encodings of random forms, each with an assumption to drop."""
    random, forms, names = Random(seed), all_forms(), sorted(ASSUMPTIONS)
    found: list[tuple[bytes, Cpu, str]] = []
    while len(found) < number:
        cpu = random.choice(list(Cpu))
        try:
            data = random_encoding(random.choice(forms), random, cpu)
        except ValueError:  # the vendor has no encoding of the form
            continue
        found.append((data, cpu, random.choice(names)))
    return sorted(found, key=lambda p: p[2])


def judged(share: list[tuple[bytes, Cpu, str]]) -> list[Found]:
    """What stays unknown of some pairs, with the reason."""
    judges: dict[str, Judge] = {}
    unknown = []
    for data, cpu, dropped in share:
        if dropped not in judges:
            judges = {dropped: Judge(SCHEMES[DEFAULT], ASSUMPTIONS - {dropped}, verdicts_only=True)}
        found = judges[dropped].judgement(data, cpu)
        if found.verdict is Verdict.UNKNOWN or NO_REPLAY in found.reason:
            unknown.append((data.hex(), cpu.value, dropped, found.reason))
    return unknown


def main() -> int:
    """The exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=3_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--jobs", type=int, default=2)
    given = options.parse_args()
    begun, chosen = time.monotonic(), pairs(given.pairs, given.seed)
    shares = [chosen[i : i + SHARE] for i in range(0, len(chosen), SHARE)]
    with ProcessPoolExecutor(given.jobs) as pool:
        unknown = [f for found in pool.map(judged, shares) for f in found]
    wrong = [f for f in unknown if NO_REPLAY in f[3]]
    for row in wrong:
        print(*row, sep="\t")
    for reason, count in Counter(f[3] for f in unknown if f not in wrong).most_common():
        print(f"{count:6}  unknown: {reason}")
    print(f"{len(chosen)} pairs, {len(wrong)} do not replay, {time.monotonic() - begun:.0f} s, seed {given.seed}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
