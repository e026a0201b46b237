"""Whether a run that goes round for ever is fair, as declared: judged of the run alone, not of the graph it is from."""

from __future__ import annotations

from verify.concurrency.explicit.python_engine import program
from verify.concurrency.instance.instance import Model


def starved(model: Model, states: tuple[int, ...], taken: tuple[int, ...]) -> tuple[str, ...]:
    """The fair instances that a run starves which goes through `states` by the transitions `taken` again and again, or
    which stays in one state; sorted, none where it is fair."""
    code = program(model)
    able: list[set[object]] = []
    for state in states:
        out: list[tuple[int, int]] = []
        code.steps(state, out)
        able.append({model.transitions[number].fair_instance for number, _ in out})
    done = {model.transitions[number].fair_instance for number in taken}
    always, sometimes = set.intersection(*able), set.union(*able)
    kinds = {item.fair_instance: item.step.fair for item in model.transitions if item.step.fair is not None}
    owed = {one for one, kind in kinds.items() if one in (sometimes if kind == "strong" else always)}
    return tuple(sorted(f"{name} {who} {choices}" for name, who, choices in owed - done))
