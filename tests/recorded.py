"""What is recorded in `proofs/`, whatever code recorded it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

PROOFS: Final = Path(__file__).parents[1] / "proofs"


def recorded(kind: str) -> list[Path]:
    """The files of a kind, one a scheme."""
    return sorted(PROOFS.glob(f"{kind}-*.tsv"))


def form_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of forms in a file."""
    lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:])
    return [json.loads(fields[2]) for fields in lines if fields[0] != "#"]
