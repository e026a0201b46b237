"""How many faults of the semantics, the corrections and the scheme are told, by what: `make mutants`.

A panel of encodings of every form's class says which lines each runs through.  A fault is put to the encodings that run
through its lines: it is told by a verdict that changes, by an exception, by the processor (the differential run), by
the decoder library's registers, by an access outside the log, or by the kernel's own plan.  It is proved harmless where
every class has the same term, where the theorem decides for all states that no program sees a difference, or where the
fault says less than the right semantics (`semantics_equivalence`).  What only gives a value to what is undefined, the
one that the processor here has, is counted apart.  What nothing tells is printed, with seconds, counts and the seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import islice
from multiprocessing import get_context
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "property"))

from access_log import outside_the_log
from register_access import open_differences
from semantics_equivalence import (
    behaviour,
    is_equivalent,
    is_more_defined,
    is_more_general,
    states_of_the_executor,
)
from semantics_faults import SCHEME, SEMANTICS, Fault, correction_faults, faults, seeded
from semantics_panel import Line, Row, executed, here, instruction, outcome, plan, stored_panel

from verify.claim.verdicts import Verdict
from verify.confirm.handling import rows as kernel_rows
from verify.judge.encoding import Judge
from verify.live.capabilities import ExecutorUnavailable
from verify.live.differential.run import Settings, judged
from verify.live.executor.executor import Executor
from verify.live.uprobe import missing
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.x86.machine import Outcome
from verify.models.x86.semantics.run import Instruction
from verify.smt.decisions import InMemory
from verify.terms import Term

SETTINGS: Final = Settings(states=192, encodings=24)
JUDGED: Final = 4  # forms of a fault that are put to the processor, encodings that are put to the prover
LONGER: Final = 10  # times as many forms, where the first ones tell nothing
ENOUGH: Final = 12  # rows that a fault changes, where it need not be known of all
VERDICT, RAISES, PROCESSOR, LIBRARY, KERNEL = "verdict", "exception", "processor", "decoder library", "kernel"
LOG = "log of accesses"
NOT_HERE = "the processor here does not run it"  # the instruction, or a state in which the fault makes a difference
OPEN = "what is undefined, as the processor here does it"
SAME, PROVED, GENERAL = "proved: the same terms", "proved: no difference", "says less, no verdict changes"
ABSENT, UNTOLD = "not run by the panel", "UNTOLD"
APART: Final = (NOT_HERE, OPEN, ABSENT)  # neither told nor untold
CLASSES: Final = (VERDICT, RAISES, PROCESSOR, LIBRARY, LOG, KERNEL, SAME, PROVED, GENERAL, UNTOLD, *APART)
Case = tuple[Fault, list[Row]]  # with the encodings of the panel that it concerns
_BEFORE: dict[bytes, tuple[object, Outcome, Instruction]] = {}  # plan and outcome without a fault, and of what
_DECIDED: Final = InMemory()  # without a fault; what is decided of a text is so with one
_CASES: list[Case] = []  # what is asked; forked processes know them by number


def verdicts(rows: list[Row], judge: Judge) -> list[tuple[object, tuple[str, ...]]]:
    """Verdict and refuted observables of encodings under the scheme."""
    found = (judge.judgement(r.data, here()) for r in rows)
    return [(f.verdict, tuple(d.observable for d in f.deviations)) for f in found]


def verdicts_and_with(fault: Fault, rows: list[Row]) -> tuple[list[Any], list[Any]]:
    """The verdicts without the fault and with it; what obligations of equal text come to is decided once."""
    before = verdicts(rows, _right())
    known = InMemory(dict(_DECIDED.known))
    with seeded(fault):
        return before, verdicts(rows, Judge(SCHEMES[DEFAULT], ASSUMPTIONS, known, verdicts_only=True))


@cache
def _right() -> Judge:
    """The judge of what has no fault; it is never asked while one is in place."""
    return Judge(SCHEMES[DEFAULT], ASSUMPTIONS, _DECIDED, verdicts_only=True)


def killed_by(fault: Fault, rows: list[Row], executor: Any) -> str:
    """By what a fault is told, of the encodings that run through its lines."""
    if not rows:
        return ABSENT
    try:
        plans, outcomes = _changed(fault, rows, ENOUGH)
        if not plans and not outcomes:
            return SAME
        answer = _killed_by(fault, plans, outcomes, executor)
        return answer if answer not in {UNTOLD, NOT_HERE} else _longer(fault, rows, executor, answer)
    except (OSError, ExecutorUnavailable):  # of the judges, not of the models
        raise
    except Exception:  # whatever a fault makes of the models, it shows
        return RAISES


def _killed_by(fault: Fault, plans: list[Row], outcomes: list[Row], executor: Any) -> str:
    chosen = (plans or outcomes)[:JUDGED]
    before, after = verdicts_and_with(fault, chosen)
    if after != before:
        return VERDICT
    with seeded(fault):
        if not plans:
            return _killed_by_outcomes(fault, outcomes, executor, 2 * JUDGED)
        return KERNEL if _kernel_differs(plans) else UNTOLD


def _longer(fault: Fault, rows: list[Row], executor: Any, answer: str) -> str:
    """What all rows say that a fault changes, where the first ones say nothing."""
    plans, outcomes = _changed(fault, rows, len(rows))
    if plans:
        before, after = verdicts_and_with(fault, plans)
        return VERDICT if after != before else PROVED if all(v is Verdict.PROVED for v, _ in after) else UNTOLD
    generality = _generality(fault, outcomes)
    if generality == "same":
        return PROVED
    if generality == "more":
        before, after = verdicts_and_with(fault, outcomes)
        return GENERAL if after == before else VERDICT
    if _is_equivalent(fault, outcomes):
        return PROVED
    with seeded(fault):
        found = _killed_by_outcomes(fault, outcomes, executor, LONGER * JUDGED)
    if found not in {UNTOLD, NOT_HERE}:
        return found
    if answer == UNTOLD and generality == "less":
        return OPEN
    return NOT_HERE if _is_equivalent(fault, outcomes, states_of_the_executor()) else answer


def _changed(fault: Fault, rows: list[Row], enough: int) -> tuple[list[Row], list[Row]]:
    """The rows of which the plan changes, and of which the outcome does: the first ones, until there are enough."""
    for row in rows:
        if row.data not in _BEFORE:
            seen = instruction(row.data)
            _BEFORE[row.data] = plan(row.data), executed(seen), seen
    plans, outcomes = list[Row](), list[Row]()
    with seeded(fault):
        for row in rows:
            planned, before, seen = _BEFORE[row.data]
            if not fault.of_semantics and plan(row.data) != planned:
                plans.append(row)
            if not fault.of_scheme and (executed(seen) if fault.of_semantics else outcome(row.data)) != before:
                outcomes.append(row)
            if max(len(plans), len(outcomes)) >= enough:
                break
    return plans, outcomes


def _kernel_differs(changed: list[Row]) -> bool:
    """Whether the running kernel makes another plan of one of the first rows."""
    if missing():
        return False
    data = [r.data for r in changed[: 4 * JUDGED]]
    return not all(r.agrees for r in kernel_rows(data, SCHEMES[DEFAULT], here()))


def _generality(fault: Fault, changed: list[Row]) -> str:
    """Whether the changed outcomes say less than the right ones ("more" general), or the same in other words.

    "less": they alone say something of values that the right ones leave undefined.
    """
    with seeded(fault):
        after = [outcome(r.data) for r in changed]
    pairs = [(_BEFORE[r.data][1], b) for r, b in zip(changed, after, strict=True)]
    if not all(is_more_general(a, b) for a, b in pairs):
        return "less" if all(is_more_defined(a, b) for a, b in pairs) else ""
    return "same" if all(is_more_general(b, a) for a, b in pairs) else "more"


def _is_equivalent(fault: Fault, changed: list[Row], premises: tuple[Term, ...] = ()) -> bool:
    before = [behaviour(r.data, here()) for r in changed]
    with seeded(fault):
        after = [behaviour(r.data, here()) for r in changed]
    known = InMemory()
    pairs = zip(changed, before, after, strict=True)
    return all(is_equivalent(r.data, here(), a, b, known, premises) for r, a, b in pairs)


def _killed_by_outcomes(fault: Fault, changed: list[Row], executor: Any, most: int) -> str:
    runs = [r for r in changed if not executor.capabilities.absent(r.form.opcode.cpuid) and not on_shadow_stack(r)]
    if any(outside_the_log(outcome(row.data)) for row in _apart(changed, most)):
        return LOG
    for row in _apart(runs, most):
        if any(m.explained is None for m in judged(executor, row.form, SETTINGS).mismatches):
            return PROCESSOR
    if any(open_differences(row.form, 1) for row in _apart(changed, most)):
        return LIBRARY
    return UNTOLD if runs and not fault.text.split()[1].startswith("shadow_") else NOT_HERE


def _apart(rows: list[Row], most: int) -> list[Row]:
    """A few of the rows, of as many mnemonics as there are."""
    by_name = {r.form.opcode.mnemonic: r for r in rows}
    first = list(by_name.values())
    rest = [r for r in rows if r not in first]
    return [*first, *rest][:most]


def on_shadow_stack(row: Row) -> bool:
    """Whether the encoding is one of those that only shadow stacks make something of."""
    return row.form.opcode.mnemonic.startswith(("rdssp", "incssp", "saveprev", "rstorssp", "wrss"))


def seeds(number: int, seed: int, rows: list[Row]) -> Iterator[tuple[Fault, list[Row]]]:
    """Faults with the rows of the panel that they concern: of functions, and a tenth of the corrections."""
    several = faults(SEMANTICS, 4 * number, seed), faults(SCHEME, number, seed)
    shares = (7 * number // 10, 2 * number // 10)
    through: dict[Line, list[int]] = {}
    for i, row in enumerate(rows):
        for line in row.lines:
            through.setdefault(line, []).append(i)
    for kind, share in zip(several, shares, strict=True):
        concerned = ((f, [rows[i] for i in sorted({i for n in f.lines for i in through.get(n, ())})]) for f in kind)
        yield from islice(((f, found) for f, found in concerned if found), share)
    concerned = ((f, [r for r in rows if r.form.opcode.mnemonic in names]) for f, names in correction_faults(seed))
    yield from islice(((f, found) for f, found in concerned if found), number - sum(shares))


def summary(counts: Counter[str]) -> tuple[str, bool]:
    """The score by class, and whether at least 99 % of what can be told here is."""
    total = sum(n for answer, n in counts.items() if answer not in APART)
    text = "\n".join(f"{counts[answer]:5}  {answer}" for answer in CLASSES if counts[answer])
    score = 100 * (total - counts[UNTOLD]) / max(total, 1)
    less = f", {counts[GENERAL]} of them only say less" if counts[GENERAL] else ""
    return f"{text}\n{total} faults that can be told here, {score:.1f} % told{less}", counts[UNTOLD] <= total // 100


def main() -> int:
    """Prints how each fault was told; 1 where fewer than 99 % are."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--faults", type=int, default=330)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--panel", type=int, default=None, help="so many forms")
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--part", default="1/1", help="K/N: every N-th fault, from the K-th on")
    options.add_argument("--only", default="", help="faults whose text contains this")
    given = options.parse_args()
    begun, counts = time.monotonic(), Counter[str]()
    rows = stored_panel(given.seed, given.panel)
    _CASES[:] = chosen(seeds(given.faults, given.seed, rows), given.part, given.only)
    print(f"panel: {len(rows)} encodings, {len(_CASES)} faults, {time.monotonic() - begun:.0f} s", flush=True)
    begun, busy = time.monotonic(), 0.0
    for (fault, found), (answer, spent) in zip(_CASES, answers(given.jobs), strict=True):
        counts[answer] += 1
        busy += spent
        print(answer, fault.text, f"{len(found)} encodings", f"{spent:.1f} s", sep="\t", flush=True)
    text, enough = summary(counts)
    each, passed = busy / max(counts.total(), 1), time.monotonic() - begun
    print(f"{text}\nseed {given.seed}, part {given.part}, {passed:.0f} s with {given.jobs} jobs, {each:.2f} s a fault")
    return int(not enough)


def chosen(cases: Iterable[Case], part: str, only: str) -> list[Case]:
    """Every N-th of the faults from the K-th on, of those whose text contains `only`."""
    number, of = (int(word) for word in part.split("/"))
    return [c for i, c in enumerate(cases) if i % of == number - 1 and only in c[0].text]


def answers(jobs: int) -> Iterator[tuple[str, float]]:
    """How each of the cases is told, in their order, and the seconds that it took; by forked processes."""
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        yield from pool.map(_answer, range(len(_CASES)))


def _answer(number: int) -> tuple[str, float]:
    begun = time.monotonic()
    return killed_by(*_CASES[number], _executor()), time.monotonic() - begun


@cache
def _executor() -> Executor:
    """The process's own executor, closed when it ends."""
    executor = Executor()
    Finalize(executor, executor.close, exitpriority=1)
    return executor


if __name__ == "__main__":
    sys.exit(main())
