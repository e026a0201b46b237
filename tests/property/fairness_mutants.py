"""Fairness changed step by step: is anything proved for any number that exploration refutes? No test, `make fairness`.

`python tests/property/fairness_mutants.py [PROTOCOL[/VARIANT|/all]...]`: each step strong, weak or unfair, judged on
the views of one thread and by exploring two and three threads; ends with 1 where something proved is refuted. What is
open and not refuted is listed.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from verify.concurrency.explorer import explore
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.protocols import names, protocol
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded.budget import Budget
from verify.concurrency.unbounded.encoding import NotCovered
from verify.concurrency.unbounded.fair_views import known_views, leads_to
from verify.concurrency.unbounded.views import closed

NUMBERS = (2, 3)
STATES = 40_000  # orbits of an exploration


def mutants(chosen: Protocol) -> Iterator[tuple[str, Protocol]]:
    """The protocol, and with one step fair in another way."""
    yield "as it is", chosen
    for index, step in enumerate(chosen.steps):
        for fair in ("strong", "weak", None):
            if fair != step.fair:
                steps = (*chosen.steps[:index], replace(step, fair=fair), *chosen.steps[index + 1 :])
                yield f"{step.name} {fair or 'unfair'}", replace(chosen, steps=steps)


def explored(chosen: Protocol, least: int, wanted: list[str]) -> dict[str, str]:
    """What two and three threads say of each property: refuted, proved, or unknown."""
    found = dict.fromkeys(wanted, "unknown")
    for threads in NUMBERS:
        if threads >= least:
            verdicts = explore(chosen, threads, limits=Limits(states=STATES))
            for name in wanted:
                verdict = verdicts.verdict(name).name
                if verdict == "refuted" or (verdict != "unknown" and found[name] == "unknown"):
                    found[name] = "refuted" if verdict == "refuted" else "proved"
    return found


def compared(chosen: Protocol) -> Counter[str]:
    """How many verdicts agree, are open, or are wrong; the latter two are printed."""
    counts: Counter[str] = Counter()
    wanted = [prop.name for prop in chosen.properties if prop.kind == "eventually"]
    known = [p.name for p in chosen.properties if p.kind == "always" and chosen.expectation(p.name) == "proved"]
    try:
        seen = closed(chosen)
        single = known_views(chosen, seen, known)
        for label, one in mutants(chosen):
            proofs = leads_to(one, seen.least, single, wanted, Budget(Limits(), 10**9)).proofs
            proved, said = {proof.name for proof in proofs}, explored(one, seen.least, wanted)
            for name in wanted:
                kind = {"refuted": "WRONG", "proved": "proved", "unknown": "proved, not explored"}[said[name]]
                if name not in proved:
                    kind = {"refuted": "refuted", "proved": "open", "unknown": "open, not explored"}[said[name]]
                counts[kind] += 1
                if kind in ("WRONG", "open"):
                    sys.stdout.write(f"{kind}: {one.name} {one.variant}: {label}: {name}\n")
    except NotCovered as reason:
        sys.stdout.write(f"not covered: {chosen.name} {chosen.variant}: {reason}\n")
    return counts


def chosen(text: str) -> list[Protocol]:
    """The protocols of an argument."""
    name, _, variant = text.partition("/")
    base = protocol(name)
    if variant == "all":
        return [base, *(base.with_variant(one.name) for one in base.variants)]
    return [base.with_variant(variant) if variant else base]


def main(arguments: list[str]) -> int:
    """Compares them all; the exit status."""
    counts: Counter[str] = Counter()
    for text in arguments or [f"{name}/all" for name in names()]:
        for one in chosen(text):
            counts += compared(one)
        sys.stdout.write(f"{text}: {dict(counts)}\n")
        sys.stdout.flush()
    return int(counts["WRONG"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
