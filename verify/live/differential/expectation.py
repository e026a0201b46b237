"""What one trial is expected to show, from a class's prediction; repeated instructions followed to their end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from verify.live.differential.prediction import ALWAYS, WORLDS, Prediction, Registers
from verify.models.x86.machine import NO_FAULT
from verify.terms.evaluation import Value, number

ITERATIONS: Final = 40  # of a repeated string instruction; longer ones are not predicted
FIRST: Final = len(ALWAYS)  # where the values of changed components begin


class Expected(NamedTuple):
    """The predictions of one trial: values of each environment, the environment of the last iteration."""

    model: Prediction
    environments: tuple[tuple[Value, ...], ...]
    env: Mapping[str, Value]
    predicted: bool
    masked: tuple[int, int, int] | None  # address, size in bytes, write: an access of which a mask chooses the bytes
    astray: int | None = None  # where an iteration that another follows leaves ip, if not at the instruction

    @property
    def states(self) -> list[dict[str, Value]]:
        """What completion leaves, by component, one a environment."""
        names = self.model.changed
        return [dict(zip(names, w[FIRST : FIRST + len(names)], strict=True)) for w in self.environments]

    @property
    def faulted(self) -> list[dict[str, Value]]:
        """What a fault leaves, by component, one a environment."""
        model = self.model
        stopped = {n: self.env[n] for n in model.changed} if model.repeats else {}
        return [{**stopped, **self.left(w)} for w in self.environments]

    def left(self, values: tuple[Value, ...]) -> dict[str, Value]:
        """Of the values of one environment those that a fault leaves, by component."""
        model = self.model
        begin = FIRST + len(model.changed)
        return dict(zip(model.partial, values[begin : begin + len(model.partial)], strict=True))

    @property
    def vectors(self) -> tuple[int, ...]:
        """Fault vectors, one a environment."""
        return tuple([number(w[0]) for w in self.environments])

    @property
    def errors(self) -> tuple[int, ...]:
        """Error codes, one a environment."""
        return tuple([number(w[1]) for w in self.environments])

    @property
    def addresses(self) -> tuple[int, ...]:
        """Fault addresses, one a environment."""
        return tuple([number(w[2]) for w in self.environments])

    @property
    def ip(self) -> int:
        """Where control goes."""
        return number(self.environments[0][4])

    @property
    def fault_ip(self) -> int:
        """The ip of a fault or trap."""
        return number(self.environments[0][5])

    def reported_at_ip(self, vector: int) -> set[int]:
        """Whether the fault is reported at the instruction's own address, in the environments that have this vector."""
        return {number(w[6]) for w in self.environments if w[0] == vector}

    @property
    def places(self) -> tuple[int, ...]:
        """Register numbers and addresses of the model's reads."""
        behind = FIRST + len(self.model.changed) + len(self.model.partial)
        return tuple([number(v) for v in self.environments[0][behind:]])


def expect(model: Prediction, env: dict[str, Value]) -> Expected:
    """The predictions from an environment; repeated string instructions are followed to their end."""
    WORLDS[0].masked = None
    values = model.values(env)
    astray: int | None = None
    for _ in range(ITERATIONS if model.repeats else 0):
        if not values[3] or values[0] != NO_FAULT:
            break
        astray = number(values[4]) if values[4] != env["origin"] else astray
        env = {**env, **dict(zip(model.changed, values[FIRST:], strict=False))}
        values = model.values(env)
    environments = (values, *[model.values(env, w) for w in range(1, model.environments)])
    return Expected(model, environments, env, values[0] != NO_FAULT or not values[3], WORLDS[0].masked, astray)


def unknown_bits(values: Sequence[int]) -> int:
    """The bits on which predictions differ."""
    found = 0
    for v in values[1:]:
        found |= v ^ values[0]
    return found


def words(environments: Sequence[Mapping[str, Value]], name: str) -> list[int]:
    """The values of a component that is one word."""
    return [number(w[name]) for w in environments]


def written(values: Sequence[Value], count: int) -> Iterable[int]:
    """The registers of a file that some environment has written: all where a environment knows nothing of it."""
    found: set[int] = set()
    for v in values:
        if not isinstance(v, Registers):
            return range(count)
        found |= v.own.keys()
    return found
