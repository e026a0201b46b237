"""Which running implementation can judge a scheme: a record of data, since models know nothing of live judges.

How it is asked is resolved by the judge's name in `verify.confirm.judges`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LINUX: Final = "Linux"  # the running kernel's uprobes


@dataclass(frozen=True, slots=True)
class LiveJudge:
    """An implementation that may be running here, and the version of it that the scheme models."""

    judge: str
    version: str  # numbers with dots; whatever follows them, such as .44 or -rc1, is the same version

    def __post_init__(self) -> None:
        if not all(part.isascii() and part.isdecimal() for part in self.version.split(".")):
            raise ValueError(f"a version is numbers with dots, got {self.version!r}")

    def is_modelled(self, release: str) -> bool:
        """Whether a release, such as 6.18.44-generic, is of the version that is modelled."""
        return release.startswith(self.version) and not release[len(self.version) :][:1].isdecimal()
