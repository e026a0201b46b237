"""Encodings by which faults of the semantics and of the scheme are told, and the lines that each runs through.

One encoding of every class of every form (forms whose obligations differ in names of datapaths alone share one), for
this machine's vendor, and further ones that the scheme or the fields treat otherwise.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final

from semantics_faults import SCHEME, SEMANTICS, caches_of

from verify.claim.conditions import verification_condition
from verify.claim.probes import probe
from verify.confirm.kernel import machine_cpu
from verify.ledger.files import replace
from verify.ledger.fingerprint import JUDGE, fingerprint
from verify.ledger.places import cache_directory
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.encode import decoded_representatives, random_encoding
from verify.models.x86.isa.forms import Cpu, Form, all_forms
from verify.models.x86.isa.forms import form as named
from verify.models.x86.machine import Outcome, symbolic_state
from verify.models.x86.semantics.dispatch import execute
from verify.models.x86.semantics.run import Instruction
from verify.terms import var

Line = tuple[str, int]  # file and number
FILES: Final = frozenset(str(m.__file__) for m in (*SEMANTICS, *SCHEME))
MORE: Final = 40  # every so many forms all representatives are looked at, for what one encoding does not show


@dataclass(frozen=True, slots=True)
class Row:
    """One encoding of the panel and the lines of the models that it runs through."""

    form: Form
    data: bytes
    lines: frozenset[Line]

    @property
    def is_undefined(self) -> bool:
        """Whether it raises #UD whatever the state."""
        decoded = probe(self.data, SCHEMES["identity"], here()).decoded
        return isinstance(decoded, Decoded) and decoded.faults_ud is not None


def outcome(data: bytes) -> Outcome:
    """The outcome of an encoding where it stands, as terms."""
    return executed(instruction(data))


def instruction(data: bytes) -> Instruction:
    """The encoding as semantics sees it."""
    return verification_condition(probe(data, SCHEMES["identity"], here())).setup.original


def executed(found: Instruction) -> Outcome:
    """The outcome of an instruction where it stands, as terms."""
    return execute(found, symbolic_state(var("origin", 64)))


def plan(data: bytes) -> object:
    """What the scheme makes of an encoding."""
    return SCHEMES[DEFAULT].plan(data.ljust(16, b"\x90"))


def panel(seed: int, few: int | None = None) -> list[Row]:
    """One encoding of every class, in a random order; `few`: so many forms alone."""
    random = Random(seed)
    forms = random.sample(all_forms(), few or len(all_forms()))
    classes: dict[object, Form] = {}
    rows, traced, seen = [], Traced(), set[Line]()
    for number, form in enumerate(forms):
        for data, is_more in _encodings(form, random, number % MORE == 0):
            p = probe(data, SCHEMES["identity"], here())
            if not isinstance(p.decoded, Decoded) or p.shared_key in classes:
                continue
            lines = traced(data)
            if is_more and lines <= seen:
                continue
            classes[p.shared_key] = form
            seen |= lines
            rows.append(Row(form, data, lines))
    return rows


def stored_panel(seed: int, few: int | None = None) -> list[Row]:
    """The panel, as it was made before by the same code where it was; kept in the user's cache directory."""
    mark = fingerprint(JUDGE, "panel", here().value, str(seed), str(few), Path(__file__).read_text("utf-8"))
    path, files = cache_directory() / f"mutants-panel-{mark}.json", sorted(FILES)
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        lines = [frozenset((files[i], n) for i, n in numbers) for *_, numbers in stored]
        return [Row(named(n), bytes.fromhex(d), found) for (n, d, _), found in zip(stored, lines, strict=True)]
    rows = panel(seed, few)
    stored = [(r.form.name, r.data.hex(), [(files.index(f), n) for f, n in sorted(r.lines)]) for r in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, json.dumps(stored).encode())
    return rows


def _encodings(form: Form, random: Random, more: bool) -> Iterator[tuple[bytes, bool]]:
    """A random encoding of the form, and with `more` its representatives; which of both."""
    try:
        yield random_encoding(form, random, here()), False
    except ValueError:
        return
    if more:
        yield from ((d.data, True) for d in decoded_representatives(form, here()))


class Traced:
    """Which lines of the models an encoding runs through, whatever is cached."""

    def __init__(self) -> None:
        self.clear: list[Callable[[], None]] = [c.cache_clear for c in caches_of(FILES)]

    def __call__(self, data: bytes) -> frozenset[Line]:
        """The lines run for the outcome and the plan of an encoding."""
        seen: set[Line] = set()

        def local(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                seen.add((frame.f_code.co_filename, frame.f_lineno))
            return local

        for clear in self.clear:
            clear()
        before = sys.gettrace()
        sys.settrace(lambda frame, *_: local if frame.f_code.co_filename in FILES else None)
        try:
            outcome(data), plan(data)
        finally:
            sys.settrace(before)
        return frozenset(seen)


@cache
def here() -> Cpu:
    """The vendor of the panel."""
    return machine_cpu()
