"""Every representative of every form against tails that a scheme might look at, for a make target (some minutes).

Prints how many were looked at and what is wrong; status 1 where something is.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "property"), str(Path(__file__).parent.parent)]

from test_continuations import SCHEMES, swept  # noqa: E402 - found through the path above

from verify.models.isa.forms import all_forms  # noqa: E402


def main() -> int:
    """Exit status 0 where each scheme says what its plans depend on."""
    wrong: list[str] = []
    for scheme in SCHEMES:
        count, found = swept(scheme, all_forms(), 1)
        sys.stdout.write(f"{scheme.name}: {count:,} representatives, {len(found)} wrong\n")
        wrong += found
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
