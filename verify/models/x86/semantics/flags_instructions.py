"""Instructions whose only subject is the flags (SDM vol. 2, the page of each mnemonic)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verify import terms
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import Run
from verify.terms import FALSE, TRUE, Term

AH: Final = terms.const(4, 4)
_IMAGE: Final = {"cf": 0, "pf": 2, "af": 4, "zf": 6, "sf": 7}  # positions in ah (SDM vol. 1, 3.4.3.1)


def _setting(flag: str, value: Term) -> Semantics:
    def setting(run: Run) -> None:
        run.set(flag, value)

    return setting


def cmc(run: Run) -> None:
    """CF := not CF (SDM vol. 2, CMC)."""
    run.set("cf", terms.not_(run.get("cf")))


def lahf(run: Run) -> None:
    """Bit 1 of ah is 1, bits 3 and 5 are 0."""
    low = terms.concat(FALSE, run.get("pf"), TRUE, run.get("cf"))
    high = terms.concat(run.get("sf"), run.get("zf"), FALSE, run.get("af"))
    run.set_high_byte(AH, terms.concat(high, low))


def sahf(run: Run) -> None:
    """of is kept."""
    image = run.high_byte(AH)
    for flag, position in _IMAGE.items():
        run.set(flag, terms.extract(image, position, position))


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "clc": _setting("cf", FALSE),
    "stc": _setting("cf", TRUE),
    "cld": _setting("df", FALSE),
    "std": _setting("df", TRUE),
    "cmc": cmc,
    "lahf": lahf,
    "sahf": sahf,
}
