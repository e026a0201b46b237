"""What of the recorded evidence is about each form: how many statements, and a digest that names all of them."""

from __future__ import annotations

import lzma
from collections.abc import Mapping
from typing import Final

from verify.certificates.writing import digest_of
from verify.ledger.places import brought_directory, checkout_directory
from verify.survey.evidence import FOLDER, FORMAT, LEDGER

LATER: Final = 32  # characters of a digest that are shown


def evidence_digests(scheme: str) -> Mapping[str, str]:
    """By form; nothing where there is no evidence of the scheme, or none that can be read: a remark is lost."""
    place = checkout_directory() or brought_directory()
    try:
        text = lzma.decompress((place / FOLDER / scheme / LEDGER).read_bytes()).decode() if place else ""
    except (OSError, ValueError, lzma.LZMAError):
        return {}
    return _by_form([line.split("\t") for line in text.splitlines()]) if text.startswith(FORMAT) else {}


def _by_form(lines: list[list[str]]) -> dict[str, str]:
    outcomes: dict[str, set[str]] = {}
    for line in lines:
        if line[0] == "outcome":
            outcomes.setdefault(line[1], set()).add(line[3])
    found: dict[str, set[str]] = {}
    for line in lines:
        if line[0] == "class":
            found.setdefault(line[1], set()).update(outcomes.get(line[4], ()))
    return {form: _said(statements) for form, statements in found.items() if statements}


def _said(statements: set[str]) -> str:
    digest = digest_of("".join(f"{s}\n" for s in sorted(statements)))[:LATER]
    return f"{len(statements):,} statements, {digest} (`gate` checks them)"
