"""The ported models under `examples/protocols` have the published counts, and the verdicts that they declare."""

from __future__ import annotations

from pathlib import Path

import command_line
import pytest

from verify.concurrency.explorer import explore
from verify.concurrency.protocols import protocol
from verify.concurrency.unbounded import ProvedAny, prove_any

FOLDER = Path(__file__).parents[4] / "examples" / "protocols"
PUBLISHED = [  # states and transitions; the sources are in the files
    ("two_phase_commit", 3, 288, 1145),  # TLC: 1,146 states generated, the initial one among them
    ("two_phase_commit", 5, 8832, None),
    ("dining_philosophers", 5, 243, 945),
    ("barrier", 6, 29279, 104515 - 1),  # TLC counts initial states among those that it generates
    ("chang_roberts", 3, 137, 227 - 8),
    ("chandy_misra", 5, 67, 336 - 1),
    ("readers_writers", 3, 21527, 59674 - 1),
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


def test_every_step_that_is_never_taken_is_named() -> None:
    status, output = command_line.run("interleavings", str(FOLDER / "peterson.py"), "--threads", "1")
    assert status == 2
    assert "never    taken: give_turn (of 2 threads), enter (of 2 threads), leave\n" in output


def test_what_declarations_alone_keep_inside_is_proved_though_everything_else_is_refuted() -> None:
    found = prove_any(protocol(str(FOLDER / "dining_philosophers.py")))
    verdict = found.verdict("values_in_domain")
    assert isinstance(verdict, ProvedAny)
    assert [method.name for method in verdict.methods] == ["declarations and guards"]
