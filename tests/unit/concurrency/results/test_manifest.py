"""Manifests: every figure that changes is named, and nothing that is only declared wrong is a failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import command_line
import pytest

from verify.concurrency.explorer import explore
from verify.concurrency.protocols import protocol
from verify.concurrency.results import manifest


def run(ledger: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and everything printed."""
    return command_line.run("interleavings", *arguments, "--ledger", str(ledger))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger in which `ref-count` and its variants are recorded."""
    assert run(tmp_path, "ref-count", "--variant", "all", "--record")[0] == 0
    return tmp_path


def damaged(ledger: Path, of: str, **changes: Any) -> None:
    """Changes what is recorded of one variant."""
    path = ledger / "protocols" / "ref-count.json"
    found = json.loads(path.read_text())
    next(run for run in found["runs"] if run["variant"] == of).update(changes)
    path.write_text(json.dumps(found))


def test_a_recorded_protocol_passes_with_its_known_wrong_variants(ledger: Path) -> None:
    assert run(ledger, "ref-count", "--variant", "all", "--check")[0] == 0


@pytest.mark.parametrize("figure", ["states", "transitions", "depth", "orbits"])
def test_a_changed_figure_is_named_with_protocol_variant_and_both_values(ledger: Path, figure: str) -> None:
    damaged(ledger, "no-lock", **{figure: 7})
    status, output = run(ledger, "ref-count", "--variant", "all", "--check")
    assert status == 1
    found = manifest.run_of(explore(protocol("ref-count").with_variant("no-lock")))
    assert f"ref-count (no-lock), 2 threads: {figure}: recorded 7, found {getattr(found, figure):,}" in output


def test_a_changed_verdict_is_named(ledger: Path) -> None:
    damaged(ledger, "", properties={**manifest.run_of(explore(protocol("ref-count"))).properties, "gone": "proved"})
    status, output = run(ledger, "ref-count", "--check")
    assert status == 1
    assert "verdict of gone: recorded proved, found nothing" in output


def test_what_was_never_recorded_fails(ledger: Path) -> None:
    status, output = run(ledger, "inline-step", "--check")
    assert status == 1
    assert "not recorded" in output


def test_other_sizes_are_judged_by_their_verdicts_and_it_is_said(ledger: Path) -> None:
    status, output = run(ledger, "ref-count", "--threads", "2", "--check")
    assert status == 0
    assert "not recorded; only its verdicts are checked" in output


def test_other_numbers_of_threads_are_recorded_beside_the_usual_one(ledger: Path) -> None:
    assert run(ledger, "ref-count", "--threads", "2", "--record")[0] == 0
    damaged(ledger, "", states=7)
    status, output = run(ledger, "ref-count", "--threads", "2", "--check")
    assert len(manifest.read(ledger / "protocols", "ref-count")) == 2 + len(protocol("ref-count").variants)
    assert (status, "states: recorded 7" in output) == (1, True)


def test_a_variant_that_is_gone_is_named(ledger: Path) -> None:
    damaged(ledger, "no-lock", variant="forgotten")
    status, output = run(ledger, "ref-count", "--check")
    assert status == 1
    assert "no variant 'forgotten', yet recorded" in output
    assert run(ledger, "ref-count", "--variant", "all", "--record")[0] == 0
    assert run(ledger, "ref-count", "--variant", "all", "--check")[0] == 0


def test_every_engine_agrees_with_the_manifest(ledger: Path) -> None:
    for engine in ("python", "numpy", "bdd"):
        assert run(ledger, "ref-count", "--variant", "all", "--check", "--engine", engine)[0] == 0


def test_a_variant_asked_for_by_name_fails_where_it_is_refuted(ledger: Path) -> None:
    assert run(ledger, "ref-count", "--variant", "no-lock", "--check")[0] == 1


def test_an_incomplete_run_is_neither_compared_nor_recorded(ledger: Path) -> None:
    limited = ("xol-step", "--threads", "5", "--engine", "numpy", "--memory", "1")
    assert run(ledger, *limited, "--check")[0] == 2
    assert run(ledger, *limited, "--record")[0] == 1
    assert not (ledger / "protocols" / "xol-step.json").exists()


def test_a_manifest_that_cannot_be_read_is_wrong_usage(ledger: Path) -> None:
    (ledger / "protocols" / "ref-count.json").write_text("{}")
    status, output = run(ledger, "ref-count", "--check")
    assert status == 64
    assert "is not a manifest of ref-count" in output


def test_text_is_sorted_and_one_figure_a_line(ledger: Path) -> None:
    text = (ledger / "protocols" / "ref-count.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"
