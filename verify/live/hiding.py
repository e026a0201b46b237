"""What the user hides from the tests against the machine: `UBP_VERIFY_HIDE=avx512,root,...`.

Decides which names there are and which others go with a name; what hiding one means is decided where it is asked for.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from functools import cache
from typing import Final

from verify.live.features import FEATURES, IMPLIED, RIGHTS

VARIABLE: Final = "UBP_VERIFY_HIDE"
GROUPS: Final[Mapping[str, frozenset[str]]] = {"avx512": frozenset(n for n in FEATURES if n.startswith("avx512"))}

HIDDEN: Final = "{} (hidden by " + VARIABLE + ")"


class HidingError(ValueError):
    """The environment variable names something that cannot be hidden; the text names it."""


def hidden() -> frozenset[str]:
    """The features, rights and interfaces that are hidden, with all that need them; HidingError for an unknown name."""
    return named(os.environ.get(VARIABLE, ""))


@cache
def named(text: str) -> frozenset[str]:
    """`hidden` of a comma-separated list."""
    found: set[str] = set()
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in FEATURES and name not in RIGHTS and name not in GROUPS:
            others = ", ".join([*RIGHTS, *GROUPS])
            raise HidingError(f"{VARIABLE}: nothing called {name!r} can be hidden; there are {others} and the "
                              f"{len(FEATURES)} processor features, such as avx2 and fsgsbase")
        found |= GROUPS.get(name, {name})
    return _closed(frozenset(found))


def _closed(names: frozenset[str]) -> frozenset[str]:
    """The names and all that do not exist without them."""
    more = names | {name for name, needed in IMPLIED.items() if names & needed}
    return names if more == names else _closed(more)


def refuse(name: str) -> None:
    """PermissionError where `name` is hidden: what the kernel would say."""
    if name in hidden():
        raise PermissionError(errno.EPERM, HIDDEN.format(name))
