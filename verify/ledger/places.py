"""Where ledgers lie: a checkout's `proofs/`, the user's cache directory, and what an installed copy brings along."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parents[1]
BROUGHT: Final = "recorded"  # folder of the installed package: a copy of `proofs/` (setup.py)


def checkout_directory() -> Path | None:
    """`proofs/` of the checkout that the working directory lies in; None where it lies in none."""
    here = Path.cwd()
    return next((found for folder in (here, *here.parents) if (found := _proofs(folder))), None)


def _proofs(folder: Path) -> Path | None:
    return folder / "proofs" if (folder / "proofs").is_dir() and (folder / "verify" / "smt").is_dir() else None


def cache_directory() -> Path:
    """The user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ubp-verify"


def brought_directory(package: Path = PACKAGE) -> Path | None:
    """What was recorded when the package was built, or `proofs/` beside it where it is used from a checkout."""
    return package / BROUGHT if (package / BROUGHT).is_dir() else _proofs(package.parent)


def default_directory() -> Path:
    """`proofs/` of the checkout that the working directory lies in, else the user's cache directory."""
    return checkout_directory() or cache_directory()
