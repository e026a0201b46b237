"""Every representative of every form against tails that a scheme might look at, for a make target (some minutes).

`--part 2/8` takes the second eighth of the forms, spread over all of them, so that a sweep may be run in bounded parts.
Prints how many were looked at and what is wrong; status 1 where something is.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "property"), str(Path(__file__).parent.parent)]

from test_continuations import SCHEMES, TAILS, swept  # noqa: E402 - found through the path above

from verify.models.x86.isa.forms import Form, all_forms  # noqa: E402


def share(part: str) -> tuple[Form, ...]:
    """The forms of one part of several, as `2/8`.  Raises ValueError for another text."""
    number, of = (int(word) for word in part.split("/"))
    if not 1 <= number <= of:
        raise ValueError(f"a part is 1/N to N/N, got {part}")
    return all_forms()[number - 1 :: of]


def main() -> int:
    """Exit status 0 where each scheme says what its plans depend on."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--part", type=share, default="1/1", help="K/N: one part of N")
    options.add_argument("--scheme", choices=[s.name for s in SCHEMES], action="append", help="all, if not given")
    given = options.parse_args()
    wrong: list[str] = []
    for scheme in SCHEMES:
        if given.scheme and scheme.name not in given.scheme:
            continue
        begun = time.process_time()
        count, found = swept(scheme, given.part, 1)
        spent = time.process_time() - begun
        text = f"{scheme.name}: {len(given.part):,} forms, {count:,} representatives with {len(TAILS)} tails and a"
        sys.stdout.write(f"{text} random one, {len(found)} wrong, {spent:.0f} s\n")
        sys.stdout.flush()
        wrong += found
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
