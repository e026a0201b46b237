"""How many faults of the semantics, the overlay and the scheme are told, by what: `make mutants`.

A panel of one form a mnemonic says which functions an encoding runs through.  A fault is put to the encodings that run
through its function: it is told by a verdict that changes, by an exception, by the processor (the differential run), or
by the decoder library's registers; it is equivalent where every outcome of the panel is the same term, or every plan it
changes is proved.  What nothing tells is printed.  Seconds, counts and the seed are printed too.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "property"))

from register_access import open_differences
from semantics_faults import SCHEME, SEMANTICS, Fault, Key, faults, key_of, overlay_faults, seeded

from verify.confirm_how import rows as kernel_rows
from verify.confirm_kernel import machine_cpu
from verify.live.differential import Settings, judged
from verify.live.executor import Executor
from verify.live.uprobe import missing
from verify.models.bits import var
from verify.models.isa.decode import Decoded
from verify.models.isa.encode import random_encoding
from verify.models.isa.forms import Form, all_forms
from verify.models.machine import symbolic_state
from verify.models.problems import problem
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.semantics.dispatch import execute
from verify.models.sites import probe
from verify.smt.judge import Judge
from verify.smt.verdicts import Verdict

SETTINGS: Final = Settings(states=192, encodings=24)
JUDGED: Final = 4  # forms of a fault that are put to the processor, encodings that are put to the prover
COMPARED: Final = 150  # encodings of which the outcome is compared
VERDICT, RAISES, PROCESSOR, LIBRARY, KERNEL = "verdict", "exception", "processor", "decoder library", "kernel"
NOT_HERE = "the processor here does not run it"
EQUIVALENT, PROVED, ABSENT, UNTOLD = "equivalent on the panel", "proved equivalent", "not run by the panel", "UNTOLD"


@dataclass(frozen=True, slots=True)
class Row:
    """One encoding of the panel and the functions of the models that it runs through."""

    form: Form
    data: bytes
    functions: frozenset[Key]


def panel(seed: int, few: int | None = None) -> list[Row]:
    """One encoding of each mnemonic, by encoding and addressing; `few`: so many of them."""
    random, kinds = Random(seed), dict[tuple[str, str, str], Form]()
    for form in random.sample(all_forms(), len(all_forms())):
        kinds.setdefault((form.opcode.mnemonic, form.opcode.encoding, form.addressing.value), form)
    chosen = [f for f in kinds.values() if f.opcode.encoding != "EVEX"]
    chosen += random.sample([f for f in kinds.values() if f.opcode.encoding == "EVEX"], 100)
    rows = []
    for form in random.sample(chosen, few) if few else chosen:
        try:
            data = random_encoding(form, random, machine_cpu())
        except ValueError:
            continue
        if isinstance(probe(data, SCHEMES[DEFAULT], machine_cpu()).decoded, Decoded):
            rows.append(Row(form, data, frozenset(_run_through(data))))
    return rows


def _run_through(data: bytes) -> set[Key]:
    seen: set[Key] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            seen.add(key_of(frame.f_code))

    sys.setprofile(note)
    try:
        outcome(data), plan(data)
    finally:
        sys.setprofile(None)
    return seen


def outcome(data: bytes) -> object:
    """The outcome of an encoding where it stands, as terms."""
    p = probe(data, SCHEMES["identity"], machine_cpu())
    return execute(problem(p).site.original, symbolic_state(var("origin", 64)))


def plan(data: bytes) -> object:
    """What the scheme makes of an encoding."""
    return SCHEMES[DEFAULT].plan(data.ljust(16, b"\x90"))


def verdict(data: bytes) -> tuple[object, tuple[str, ...]]:
    """Verdict and refuted observables of an encoding under the scheme."""
    found = Judge(SCHEMES[DEFAULT]).judgement(data, machine_cpu())
    return found.verdict, tuple(d.observable for d in found.deviations)


def told(fault: Fault, rows: list[Row], executor: Any) -> str:
    """By what a fault is told, of the encodings that run through its function."""
    if not rows:
        return ABSENT
    try:
        plans, outcomes = _changed(fault, rows[:COMPARED])
        if not plans and not outcomes:
            return EQUIVALENT
        chosen = (plans or outcomes)[:JUDGED]
        before = [verdict(r.data) for r in chosen]
        with seeded(fault):
            if [verdict(r.data) for r in chosen] != before:
                return VERDICT
            return _told_of_plans(plans, before) if plans else _told_of_outcomes(fault, outcomes, executor)
    except Exception:  # whatever a fault makes of the models, it shows
        return RAISES


def _changed(fault: Fault, rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """The rows of which the plan changes, and of which the outcome does."""
    before = [(plan(r.data), outcome(r.data)) for r in rows]
    with seeded(fault):
        after = [(plan(r.data), outcome(r.data)) for r in rows]
    found = list(zip(rows, before, after, strict=True))
    return [r for r, a, b in found if a[0] != b[0]], [r for r, a, b in found if a[1] != b[1]]


def _told_of_plans(changed: list[Row], verdicts: list[tuple[object, tuple[str, ...]]]) -> str:
    if not missing():
        data = [r.data for r in changed[: 4 * JUDGED]]
        if not all(r.agrees for r in kernel_rows(data, SCHEMES[DEFAULT], machine_cpu())):
            return KERNEL
    return PROVED if all(v is Verdict.PROVED for v, _ in verdicts) else UNTOLD


def _told_of_outcomes(fault: Fault, changed: list[Row], executor: Any) -> str:
    here = [r for r in changed if not executor.capabilities.absent(r.form.opcode.cpuid) and not on_shadow_stack(r)]
    for row in _apart(here):
        if any(m.explained is None for m in judged(executor, row.form, SETTINGS).mismatches):
            return PROCESSOR
    if any(open_differences(row.form, 1) for row in changed[:JUDGED]):
        return LIBRARY
    return UNTOLD if here and not fault.text.split()[1].startswith("shadow_") else NOT_HERE


def _apart(rows: list[Row]) -> list[Row]:
    """A few of the rows, of as many mnemonics as there are."""
    by_name = {r.form.opcode.mnemonic: r for r in rows}
    rest = [r for r in rows if r not in by_name.values()]
    return [*by_name.values(), *rest][: 2 * JUDGED]


def on_shadow_stack(row: Row) -> bool:
    """Whether the encoding is one of those that only shadow stacks make something of."""
    return row.form.opcode.mnemonic.startswith(("rdssp", "incssp", "saveprev", "rstorssp", "wrss"))


def seeds(number: int, seed: int, rows: list[Row]) -> Iterator[tuple[Fault, list[Row]]]:
    """Faults with the rows of the panel that they concern: of functions, and a tenth of the overlay."""
    several = faults(SEMANTICS, 4 * number, seed), faults(SCHEME, number, seed)
    shares = (7 * number // 10, 2 * number // 10)
    for kind, share in zip(several, shares, strict=True):
        concerned = ((f, [r for r in rows if f.key in r.functions]) for f in kind)
        yield from islice(((f, found) for f, found in concerned if found), share)
    concerned = ((f, [r for r in rows if r.form.opcode.mnemonic in names]) for f, names in overlay_faults(seed))
    yield from islice(((f, found) for f, found in concerned if found), number - sum(shares))


def main() -> int:
    """Prints how each fault was told; 1 where fewer than 99 % are."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--faults", type=int, default=300)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--panel", type=int, default=None, help="so many encodings")
    options.add_argument("--seconds", type=float, default=None, help="stop after these, and say so")
    given = options.parse_args()
    begun, counts = time.monotonic(), Counter[str]()
    rows = panel(given.seed, given.panel)
    print(f"panel: {len(rows)} encodings, {time.monotonic() - begun:.0f} s", flush=True)
    with Executor() as executor:
        for fault, found in seeds(given.faults, given.seed, rows):
            answer = told(fault, found, executor)
            counts[answer] += 1
            print(answer, fault.text, f"{len(found)} encodings", sep="\t", flush=True)
            if given.seconds is not None and time.monotonic() - begun > given.seconds:
                break
    total = sum(counts.values()) - counts[NOT_HERE]
    print(dict(counts), f"{total} faults that can be told here, seed {given.seed}, {time.monotonic() - begun:.0f} s")
    return int(counts[UNTOLD] > total // 100)


if __name__ == "__main__":
    sys.exit(main())
