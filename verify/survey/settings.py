"""Where what is decided under which settings is kept, and which fingerprints are current."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from verify.ledger.fingerprint import CHECKER, JUDGE, PROVER, STATED, SURVEY, fingerprint
from verify.ledger.folder import Folder
from verify.ledger.places import brought_directory, cache_directory, checkout_directory
from verify.ledger.store import Layers, Size, Store, Table
from verify.models.schemes.assumptions import ASSUMPTIONS, BY_NAME

ANY_CPU: Final = "any"
CPU_NAMES: Final = ("intel", "amd", ANY_CPU)
RECORDED: Final = ("linux-uprobes-6.18",)  # schemes in a checkout's proofs/, which its README lists
LONGEST: Final = 100  # characters of a folder's name
SHORTENED: Final = "settings-"
OBLIGATIONS, FORMS, CLASSES, OUTCOMES, QUERIES = "obligations", "forms", "classes", "outcomes", "queries"
ACCEPTED: Final = "accepted"  # evidence that the checker has accepted
AS_STATED: Final = "stated"  # forms that were stated again and are as recorded


def settings_name(cpu: str, assumptions: Iterable[str]) -> str:
    """The folder of runs under other settings than the default ones; "" for those."""
    given = frozenset(assumptions)
    without, added = sorted(ASSUMPTIONS - given), sorted(given - ASSUMPTIONS)
    parts = [f"cpu-{cpu}"] if cpu != ANY_CPU else []
    parts += [*(f"without-{name}" for name in without), *(f"with-{name}" for name in added)]
    name = "+".join(parts)
    return name if len(name) <= LONGEST else f"{SHORTENED}{fingerprint((), name)}"


def settings_named(name: str) -> tuple[str, frozenset[str]] | None:
    """Processor and assumptions of a folder; None for a name that `settings_name` gives to none, or shortens."""
    parts = name.split("+") if name else []
    cpus = [p.removeprefix("cpu-") for p in parts if p.startswith("cpu-")]
    without = {p.removeprefix("without-") for p in parts if p.startswith("without-")}
    added = {p.removeprefix("with-") for p in parts if p.startswith("with-")}
    cpu, assumptions = (cpus or [ANY_CPU])[0], (ASSUMPTIONS - without) | added
    known = cpu in CPU_NAMES and not (without | added) - BY_NAME.keys()
    return (cpu, assumptions) if known and settings_name(cpu, assumptions) == name else None


def obligations_mark() -> str:
    """The fingerprint of what decides obligations."""
    return fingerprint(PROVER)


def classes_mark(scheme: str, assumptions: Iterable[str]) -> str:
    """The fingerprint of what decides classes of encodings; the vendor is in a class's digest."""
    return fingerprint(JUDGE, "classes", scheme, *sorted(assumptions))


def forms_mark(scheme: str, cpu: str, assumptions: Iterable[str]) -> str:
    """The fingerprint of what makes forms' rows."""
    return fingerprint(SURVEY, scheme, cpu, *sorted(assumptions))


def evidence_mark(scheme: str, cpu: str, assumptions: Iterable[str]) -> str:
    """The fingerprint of what states the classes of a scheme and makes their evidence."""
    return fingerprint(STATED, scheme, cpu, *sorted(assumptions))


def accepted_mark() -> str:
    """The fingerprint of the checker."""
    return fingerprint(CHECKER)


def is_current(size: Size, schemes: Iterable[str]) -> bool:
    """Whether the present code would use a table; also where that cannot be told from a shortened name."""
    table = size.table
    if not table.mark or table.scheme not in schemes:
        return False
    if table.setting.startswith(SHORTENED):
        return True
    setting = settings_named(table.setting)
    if setting is None:
        return False
    cpu, assumptions = setting
    marks = {
        OBLIGATIONS: obligations_mark(), ACCEPTED: accepted_mark(),
        AS_STATED: evidence_mark(table.scheme, cpu, assumptions), FORMS: forms_mark(table.scheme, cpu, assumptions),
        **dict.fromkeys((CLASSES, OUTCOMES, QUERIES), classes_mark(table.scheme, assumptions)),
    }  # fmt: skip
    return marks.get(table.kind) == table.mark


def store_for(given: str | None, scheme: str, setting: str, mark: str = "") -> Store:
    """The store of a scheme's results under a setting: the folder that was given; `proofs/` of a checkout that can be
    written, for what is recorded there; else the user's cache directory, above what is recorded.

    A `mark` is that of a run over some of the forms: it does not replace what other code recorded of all of them.
    """
    if given is not None:
        return Folder(Path(given))
    proofs = checkout_directory()
    if proofs is not None and not setting and scheme in RECORDED and os.access(proofs, os.W_OK):
        recorded = Folder(proofs)
        if not mark or not recorded.is_stale(Table(FORMS, scheme, mark)):
            return recorded
    below = dict.fromkeys(place for place in (proofs, brought_directory()) if place is not None)
    return Layers(Folder(cache_directory()), [Folder(place, writable=False) for place in below])
