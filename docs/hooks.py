"""Puts what the code says into the pages: `<!-- table: NAME -->`, a line of its own, becomes the table of that name."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import tables


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page with its tables; mkdocs asks for it."""
    return tables.filled(markdown)
