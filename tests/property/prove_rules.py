"""Every rewrite rule at every listed width, by three solvers, and at the edges of its condition; then many random terms
and wrong rules.  `make rules`.

Nothing is stored: what this prints is the whole result.  Ends with status 1 where a rule is not proved, a wrong rule is
not told, or a random term has another value after rewriting.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from random import Random
from typing import Any

from rule_edges import WHOLE, first_fault
from rule_proofs import failures
from rule_use import RULE, listed, widths_of
from smtlib_terms import bitwuzla_answer, script, z3_answer
from term_plans import Answers, environment, plain, plans, rewritten, states, value
from wrong_rules import UNTOLD, WRONG

from verify.terms import RULES, Rule, as_written
from verify.terms.evaluation import evaluate


def proved(task: tuple[str, tuple[Any, ...]]) -> list[str]:
    """What is wrong with one rule at one row of widths."""
    name, row = task
    rule = RULE[name]
    return failures(rule, widths_of(rule, row), Random(str(task)))


def compared(seed: int) -> list[str]:
    """What is wrong with rewriting in some random terms: values in eight states, and a solver's answer."""
    found: list[str] = []
    rng = Random(seed)
    for number, plan in enumerate(plans(("many", seed), 250)):
        term, nodes = rewritten(plan), plain(plan)
        for env in (environment(rng, plan) for _ in range(8)):
            if evaluate((term, nodes), states(env), Answers()) != (value(plan, env),) * 2:
                found.append(f"plan {number} of seed {seed}: another value: {plan}")
        different = as_written("not", (as_written("eq", (term, nodes), (), 1),), (), 1)
        solver = (z3_answer, bitwuzla_answer)[number % 2]
        if term is not nodes and solver(script((different,)), 40_000) == "sat":
            found.append(f"plan {number} of seed {seed}: {solver.__name__} shows a difference: {plan}")
    return found


def at_edges(rule: Rule) -> str | None:
    """The first fault at small widths, at the edges of the condition or at some wide ones."""
    return first_fault(rule, WHOLE)


def untold() -> Iterator[str]:
    """Wrong rules that their proof does not tell, or their instances."""
    for wrong, widths in WRONG.items():
        for solver in ("z3", "cvc5", "bitwuzla"):
            if not any(t.endswith("sat") for t in failures(wrong, widths, Random(1), [solver])):
                yield f"{wrong.name}: {solver} does not tell that it is wrong"
        if (at_edges(wrong) is None) != (UNTOLD.get(wrong.name) == "neither"):
            yield f"{wrong.name}: {'' if wrong.name in UNTOLD else 'not '}told by instances"


def main() -> int:
    """The exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--jobs", type=int, default=2)
    arguments.add_argument("--terms", type=int, default=10_000, help="random terms")
    options = arguments.parse_args()
    tasks = [(name, row) for name, rows in listed().items() for row in sorted(rows, key=str)]
    with ProcessPoolExecutor(options.jobs) as pool:
        wrong = [w for found in pool.map(proved, tasks, chunksize=8) for w in found]
        print(f"{len(tasks)} rows of widths of {len(listed())} rules: {len(wrong)} not proved")
        edges = [f for f in pool.map(at_edges, RULES) if f is not None]
        print(f"{len(RULES)} rules at small widths, edges and some wide ones: {len(edges)} are wrong somewhere")
        unlike = [w for found in pool.map(compared, range(options.terms // 250)) for w in found]
        print(f"{options.terms // 250 * 250} random terms: {len(unlike)} differences")
    missed = list(untold())
    print(f"{len(WRONG)} wrong rules: {len(missed)} not told")
    for line in (*wrong, *edges, *unlike, *missed):
        print(line)
    return int(bool(wrong or edges or unlike or missed))


if __name__ == "__main__":
    sys.exit(main())
