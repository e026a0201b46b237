"""Quantified invariants: found, small, and rejected by the independent check where they are wrong."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from random import Random

import command_line
import pytest
from sampling import sampled

from verify.concurrency.language.domains import Bounded, ProtocolError
from verify.concurrency.language.protocol import DEADLOCK, Protocol
from verify.concurrency.language.terms import Op
from verify.concurrency.protocols import names, protocol
from verify.concurrency.results.exploration import Limits
from verify.concurrency.unbounded import check, houdini, store
from verify.concurrency.unbounded.clauses import Clause, implication, read
from verify.report.explorations import ClauseRow

ROOT = Path(__file__).resolve().parents[4]
STORED = sorted((ROOT / "proofs" / "protocols" / "invariants").glob("*.json"))
LONG = {("xol-fork", 6)}  # half a minute
FORCED = [
    pytest.param(path, n, marks=[] if n <= 4 else [pytest.mark.whole])
    for path in STORED for n in range(1, 7) if (path.stem, n) not in LONG
]  # fmt: skip
BLOCKED = ("inline-step", "inline-step-hwbp", "ref-count", "xol-step")  # guards alone leave states without a step
BY_EACH = [(name, path) for name in ("z3", "cvc5") for path in STORED]
XOL = protocol("xol-step")
SAFETY = ("no_sigtrap", "no_missed_hit", "slot_is_owned", "no_slot_is_shared", "signal_handler_owns_no_slot")
PRECONDITIONS = tuple(prop.name for prop in XOL.properties if prop.step)  # each follows from its step's own guard


def solver(name: str) -> str:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def stored(name: str) -> tuple[Protocol, tuple[Clause, ...]]:
    path = next(path for path in STORED if path.stem == name)
    tried = protocol(name)
    return tried, check.load(tried, path).clauses


@pytest.mark.parametrize("looked_at", [5, pytest.param(None, marks=pytest.mark.whole)])
def test_xol_step_is_proved_for_any_number_and_any_size_by_clauses_that_are_needed(looked_at: int | None) -> None:
    found = houdini.invariant(XOL)
    assert found.proved == (*SAFETY, "no_deadlock", *PRECONDITIONS)
    assert len(found.clauses) <= 20 + len(PRECONDITIONS)
    added = [clause for clause in found.clauses if clause.name not in (*SAFETY, *PRECONDITIONS)]
    assert len(added) > 5
    for clause in Random(9).sample(added, looked_at or len(added)):
        rest = tuple(other for other in found.clauses if other is not clause)
        judged = check.check(XOL, rest, ("z3",), deadlock=True)
        assert not judged.holds, clause.text


WRONG = [
    ("no-read-lock", "no_sigtrap"), ("uprobe-removed-first", "no_missed_hit"), ("slot-freed-early", "slot_is_owned"),
]  # fmt: skip


@pytest.mark.parametrize(("variant", "refuted"), sampled(WRONG, 1))
def test_wrong_variants_are_not_proved(variant: str, refuted: str) -> None:
    assert refuted not in houdini.invariant(XOL.with_variant(variant)).proved


@pytest.mark.parametrize(
    ("name", "path"), sampled(BY_EACH, 5, always=[("z3", path) for path in STORED]), ids=lambda v: getattr(v, "stem", v)
)
def test_stored_invariants_are_checked_by_each_solver(path: Path, name: str) -> None:
    invariant = check.load(protocol(path.stem), path)
    judged = invariant.check((solver(name),))
    assert judged.failed == ()
    assert judged.holds
    assert set(judged.proved) == set(json.loads(path.read_text())["proves"])


def test_every_protocol_has_an_invariant_of_its_properties() -> None:
    assert {path.stem for path in STORED} == set(names())
    left = {path.stem: unproved(path) for path in STORED}
    assert {name: open_ for name, open_ in left.items() if open_} == {
        "ref-count": {"no_sigtrap", "no_int3_remains"},  # "some prober holds it": counters prove these
        "xol-fork": {"child_is_probed", "no_int3_remains"},  # views prove these
    }


def unproved(path: Path) -> set[str]:
    asked = {prop.name for prop in protocol(path.stem).properties if prop.kind in ("always", "deadlock")}
    return asked - set(json.loads(path.read_text())["proves"])


@pytest.mark.parametrize("path", [path for path in STORED if path.stem in BLOCKED], ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["z3", pytest.param("cvc5", marks=pytest.mark.whole)])
def test_without_its_clauses_a_protocol_may_deadlock(path: Path, name: str) -> None:
    judged = check.check(protocol(path.stem), (), (solver(name),), deadlock=True)
    assert DEADLOCK in {problem for _, problem, _ in judged.failed}


def test_a_deadlock_is_seen_by_the_check_alone() -> None:
    """The clauses that are true of a variant that deadlocks do not exclude it."""
    tried = XOL.with_variant("signal-in-slot")
    found = houdini.invariant(tried, Limits(), False, (), small=False)
    judged = check.check(tried, found.clauses, ("z3",), deadlock=True)
    assert DEADLOCK in {problem for _, problem, _ in judged.failed}


def test_sizes_that_an_invariant_is_for_are_written_into_the_protocol() -> None:
    path = next(path for path in STORED if path.stem == "return-probe")
    invariant = check.load(protocol("return-probe").with_parameters(D=3), path)
    assert [name for name, value in invariant.protocol.parameters if not isinstance(value, bool)] == []
    assert dict(invariant.protocol.local)["depth"] == Bounded(0, 2)
    assert json.loads(path.read_text())["covers"] == "any number of threads; D = 2"


@pytest.mark.parametrize(("path", "threads"), FORCED, ids=lambda value: getattr(value, "stem", str(value)))
def test_stored_invariants_hold_in_every_reachable_state(path: Path, threads: int) -> None:
    invariant = check.load(protocol(path.stem), path)
    verdicts = check.by_force(invariant.protocol, invariant.clauses, threads)
    assert set(verdicts.values()) <= {"proved", *(["vacuous"] if threads == 1 else [])}  # clauses about two threads
    assert "proved" in verdicts.values()


UNSOUND = {
    "false in a reachable state": ClauseRow(name="x", holds='s.byte == "original"'),
    "false for another thread": ClauseRow(name="x", threads=("t",), holds='implies(s.slot[0] == t, t.pc == "slot")'),
    "not inductive": ClauseRow(name="x", threads=("t",), holds="t.passes < M"),
    "false at the start": ClauseRow(name="x", holds="s.registered"),
    "false for other sizes": ClauseRow(name="x", holds="K == 2"),
    "one thread only": ClauseRow(name="x", threads=("t", "u"), holds='not (t.pc == "slot" and u.pc == "slot")'),
}


TOLD = [(name, lemma) for name in ("z3", "cvc5") for lemma in UNSOUND]


@pytest.mark.parametrize(
    ("name", "lemma"),
    sampled(TOLD, 0, [*TOLD[: len(UNSOUND)], ("cvc5", "false for other sizes"), ("cvc5", "false for another thread")]),
)
def test_a_seeded_unsound_lemma_is_rejected(lemma: str, name: str) -> None:
    tried, clauses = stored("xol-step")
    judged = check.check(tried, (*clauses, read(tried, UNSOUND[lemma])), (solver(name),))
    assert not judged.holds
    assert judged.failed


def test_a_lemma_that_only_force_can_tell_is_found_by_force() -> None:
    tried, clauses = stored("xol-step")
    verdicts = check.by_force(tried, (*clauses, read(tried, UNSOUND["one thread only"])), 3)
    assert [name for name, verdict in verdicts.items() if verdict == "refuted"] == [f"{len(clauses)}:x"]


def test_a_missing_lemma_is_rejected() -> None:
    tried, clauses = stored("xol-step")
    kept = tuple(clause for clause in clauses if clause.name in SAFETY)
    assert len(kept) < len(clauses)
    assert not check.check(tried, kept, ("z3",)).holds


@pytest.mark.parametrize("variant", ["no-read-lock", "uprobe-removed-first", "signal-in-slot", "slot-freed-early"])
def test_the_invariant_fails_for_each_wrong_variant(variant: str) -> None:
    tried, clauses = stored("xol-step")
    assert not check.check(tried.with_variant(variant), clauses, ("z3",)).holds


def test_a_clause_by_the_name_of_a_property_must_say_the_property() -> None:
    tried, clauses = stored("xol-step")
    weak = read(tried, ClauseRow(name="no_sigtrap", threads=("t",), holds="t.pc == t.pc"))
    renamed = tuple(weak if clause.name == "no_sigtrap" else clause for clause in clauses)
    assert "no_sigtrap" in check.implied(tried, clauses)
    assert "no_sigtrap" not in check.implied(tried, renamed)


def test_no_solver_is_no_check() -> None:
    tried, clauses = stored("xol-step")
    assert not check.check(tried, clauses, ()).holds


def test_stored_text_reads_back_to_the_same_clauses() -> None:
    tried, clauses = stored("xol-step")
    again = tuple(read(tried, clause.row()) for clause in clauses)
    assert [clause.canonical for clause in again] == [clause.canonical for clause in clauses]


def test_a_disjunction_that_begins_with_an_implication_keeps_its_place() -> None:
    a, b, c, d = (read(XOL, ClauseRow(name="x", holds=text)).body for text in (
        "s.registered", 's.byte == "int3"', 's.prober == "idle"', "s.rounds == R"))  # fmt: skip
    clause = Clause("x", (), (), Op("and", (Op("or", (implication(a, b), c)), d)))
    assert read(XOL, clause.row()).canonical == clause.canonical


def test_a_clause_with_an_undeclared_name_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="nothing"):
        read(XOL, ClauseRow(name="x", holds="s.nothing == 1"))


def test_an_invariant_of_another_protocol_is_an_error() -> None:
    path = next(path for path in STORED if path.stem == "xol-step")
    with pytest.raises(ValueError, match="expected"):
        check.load(replace(XOL, name="other"), path)


def test_a_recorded_invariant_is_checked_from_its_file(tmp_path: Path) -> None:
    tried = protocol("inline-step")
    assert store.judge(tmp_path, tried) is None
    written = store.record(tmp_path, tried, Limits())
    read_back = store.judge(tmp_path, tried)
    assert written.holds
    assert read_back == written


def test_a_stored_invariant_that_lost_a_clause_is_told_by_the_command(tmp_path: Path) -> None:
    path = next(path for path in STORED if path.stem == "inline-step")
    record = json.loads(path.read_text())
    record["clauses"] = [clause for clause in record["clauses"] if not clause["name"].startswith("c")]
    changed = tmp_path / "protocols" / "invariants" / path.name
    changed.parent.mkdir(parents=True)
    changed.write_text(json.dumps(record))
    asked = ["inline-step", "--threads", "any", "--check", "--ledger", str(tmp_path)]
    status, output = command_line.run("interleavings", *asked)
    assert (status, "invariant of inline-step" in output) == (1, True)


def test_a_stored_invariant_that_proves_more_is_left_alone(tmp_path: Path) -> None:
    """`xol-rseq`'s clauses that no template has are written by hand."""
    chosen, place = protocol("xol-rseq"), store.path_of(tmp_path, protocol("xol-rseq"))
    text = next(path for path in STORED if path.stem == "xol-rseq").read_text()
    place.parent.mkdir(parents=True)
    place.write_text(text)
    assert "no_lost_update" not in store.record(tmp_path, chosen, Limits()).proved
    assert place.read_text() == text
