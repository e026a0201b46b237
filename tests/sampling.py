"""What the suite takes of a long list of cases: a seeded sample; `make whole` takes all of them."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Any

import pytest

SEED = 9


def sampled(cases: Sequence[Any], count: int, always: Collection[Any] = ()) -> list[Any]:
    """The cases as parameters; all but `count` of them, and those that are always taken, are marked `whole`."""
    rest = [case for case in cases if case not in always]
    taken = [*always, *random.Random(SEED).sample(rest, min(count, len(rest)))]
    return [case if case in taken else _left(case) for case in cases]


def _left(case: Any) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.whole)
