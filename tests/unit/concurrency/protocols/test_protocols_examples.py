"""The ported models under `examples/protocols` have the published counts, and the verdicts that they declare."""

from __future__ import annotations

from pathlib import Path

import pytest

from verify.concurrency.explorer import explore
from verify.concurrency.protocols import protocol

FOLDER = Path(__file__).parents[4] / "examples" / "protocols"
PUBLISHED = [  # states and transitions; the sources are in the files
    ("two_phase_commit", 3, 288, 1145),  # TLC: 1,146 states generated, the initial one among them
    ("two_phase_commit", 5, 8832, None),
    ("dining_philosophers", 5, 243, 945),
]


@pytest.mark.parametrize(("name", "threads", "states", "transitions"), PUBLISHED)
def test_the_counts_are_the_published_ones(name: str, threads: int, states: int, transitions: int | None) -> None:
    found = explore(protocol(str(FOLDER / f"{name}.py")), threads)
    assert (found.complete, found.states) == (True, states)
    assert transitions in (None, found.transitions)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_the_verdicts_are_those_that_the_file_declares(name: str) -> None:
    base = protocol(str(FOLDER / f"{name}.py"))
    never: list[set[str]] = []
    for one in (base, *(base.with_variant(variant.name) for variant in base.variants)):
        found = explore(one, one.threads)
        assert {p: v.name for p, v in found.properties} == {p: one.expectation(p) for p, _ in found.properties}
        never.append(set(found.never))
    assert not set.intersection(*never)
