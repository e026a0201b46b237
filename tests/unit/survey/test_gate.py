"""The proof gate: what was changed in recorded evidence is found, whatever the change."""

from __future__ import annotations

import json
import lzma
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from verify.certificates.writing import digest_of
from verify.survey import evidence
from verify.survey.certify import (
    PROVED,
    REFUTED,
    REGULAR,
    Certified,
    ClassLine,
    Evidence,
    OwnLine,
    outcome_digest,
)
from verify.survey.evidence import ASSIGNMENTS, LEDGER, STATEMENTS, recorded
from verify.survey.gate import differences, faults_of_form, objections, sample, structure_faults

MADE = """
import sys
from pathlib import Path
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.forms import Cpu
from verify.survey import gate
from verify.survey.certify import Evidence
from verify.survey.evidence import recorded, write
made, setting = Evidence(), gate.Setting(SCHEMES["linux-uprobes-6.18"], ASSUMPTIONS, (Cpu.AMD, Cpu.INTEL))
gate.CHUNK = 1
for _, found in gate.certified(sys.argv[3:], setting, int(sys.argv[2])):
    made.add(found)
write(Path(sys.argv[1]), recorded(made, "mark"))
"""
FORMS = ("POPFQ/none", "MOV_RM32_R32/reg", "VEX_VZEROUPPER/none", "JA_REL8_64/none")  # proved, refuted, proved by cases


def make(folder: Path, jobs: int, *names: str) -> None:
    """Evidence of these forms, made in a process whose terms are as they are written."""
    subprocess.run(
        [sys.executable, "-c", MADE, str(folder), str(jobs), *names], check=True,
        env={**os.environ, "UBP_VERIFY_TERMS": "plain"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evidence of a few forms."""
    folder = tmp_path_factory.mktemp("evidence")
    make(folder, 1, *FORMS)
    return folder


def test_evidence_is_the_same_bytes_in_any_order_by_any_number_of_processes(made: Path, tmp_path: Path) -> None:
    make(tmp_path, 2, *reversed(FORMS))
    for name in (LEDGER, STATEMENTS, ASSIGNMENTS):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_of_two_states_for_one_statement_the_least_is_kept_whichever_comes_first() -> None:
    states = [Certified("s", REFUTED, f"refuted by {x}") for x in ("{}", '{"v0":"1"}', '{"v0":"0"}')]
    for order in permutations((*states, Certified("s", "unknown", ""))):
        found = Evidence()
        for c in order:
            found.certify(c)
        assert found.certified == {"s": states[0]}


def rejected(folder: Path) -> bool:
    """Whether anything is wrong with what is recorded there, without stating it again."""
    try:
        read = evidence.read(folder)
        found = [*structure_faults(read), *(reason for *_, reason in objections(read, {}, 1) if reason)]
    except ValueError:
        return True
    return bool(found)


def test_what_was_made_is_accepted(made: Path) -> None:
    read = evidence.read(made)
    assert not rejected(made)
    assert {v for v, _ in read.claims.values()} == {"proved", "refuted"}
    verdicts = read.forms()
    assert set(verdicts["MOV_RM32_R32/reg", "regular"].values()) == {"proved"}
    assert "refuted" in verdicts["VEX_VZEROUPPER/none", "regular"].values()


def changed_lines(change: Callable[[list[str]], list[str]], forge: bool) -> Callable[[Path], None]:
    """A change of the ledger's lines; with `forge` its last line is made to fit."""

    def change_file(folder: Path) -> None:
        *lines, end = (folder / LEDGER).read_text().splitlines()
        text = "".join(f"{x}\n" for x in change(lines))
        last = f"end\t{digest_of(text)}\n" if forge else f"{end}\n"
        (folder / LEDGER).write_text(text + last)

    return change_file


def line_of(lines: list[str], kind: str, *words: str) -> int:
    return next(i for i, x in enumerate(lines) if x.startswith(f"{kind}\t") and all(w in x for w in words))


def replaced(kind: str, words: tuple[str, ...], old: str, new: str) -> Callable[[list[str]], list[str]]:
    def change(lines: list[str]) -> list[str]:
        i = line_of(lines, kind, *words)
        return [*lines[:i], lines[i].replace(old, new), *lines[i + 1 :]]

    return change


def swapped(kind: str, at: int, *words: str) -> Callable[[list[str]], list[str]]:
    """The fields at one place of two lines exchanged: of the first two with the word, or of one with each word."""

    def change(lines: list[str]) -> list[str]:
        found = [i for w in words for i, x in enumerate(lines) if x.startswith(f"{kind}\t") and w in x.split("\t")]
        i = found[0]
        a = lines[i].split("\t")
        j = next(j for j in reversed(found) if lines[j].split("\t")[at] != a[at])
        b = lines[j].split("\t")
        a[at], b[at] = b[at], a[at]
        return [{i: "\t".join(a), j: "\t".join(b)}.get(k, x) for k, x in enumerate(lines)]

    return change


def without(kind: str, *words: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [x for i, x in enumerate(lines) if i != line_of(lines, kind, *words)]


def texts(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def change_file(folder: Path) -> None:
        text = lzma.decompress((folder / name).read_bytes()).decode()
        (folder / name).write_bytes(lzma.compress(change(text).encode()))

    return change_file


CHANGES: dict[str, Callable[[Path], None]] = {
    "any line": changed_lines(without("class"), forge=False),
    "a verdict": changed_lines(replaced("statement", ("refuted",), "refuted", "proved"), forge=True),
    "a verdict with its evidence": changed_lines(
        lambda lines: [re.sub("\trefuted\t.*", "\tproved\trewriting", x) for x in lines], forge=True),
    "a proof called refutation": changed_lines(replaced("statement", ("proved",), "proved", "refuted"), forge=True),
    "a proof called unknown": changed_lines(replaced("statement", ("proved",), "proved", "unknown"), forge=True),
    "a verdict of no kind": changed_lines(replaced("statement", ("proved",), "proved", "true"), forge=True),
    "evidence of another": changed_lines(swapped("statement", 3, "refuted"), forge=True),
    "statements of two observables": changed_lines(swapped("outcome", 3, "vector", "hits"), forge=True),
    "another statement": changed_lines(without("statement", "proved"), forge=True),
    "an own encoding of another class": changed_lines(replaced("own", (), "regular", "irregular"), forge=True),
    "a line twice": changed_lines(lambda lines: [lines[0], *sorted([*lines[1:], lines[1]])], forge=True),
    "out of order": changed_lines(lambda lines: [lines[0], *reversed(lines[1:])], forge=True),
    "an outcome of no class": changed_lines(
        lambda lines: [x for x in lines if not x.startswith("class\tVEX_VZEROUPPER")], forge=True),
    "a class of no outcome": changed_lines(
        lambda lines: [x for x in lines if not x.startswith("outcome")], forge=True),
    "a word too many": changed_lines(replaced("class", (), "class\t", "class\tx\t"), forge=True),
    "another version": changed_lines(lambda lines: [lines[0].replace("/2", "/3"), *lines[1:]], forge=True),
    "a statement": texts(STATEMENTS, lambda t: t.replace("bvadd", "bvsub", 1)),
    "a statement gone": texts(STATEMENTS, lambda t: t.partition("(check-sat)\n")[2]),
    "a statement cut": lambda folder: (folder / STATEMENTS).write_bytes((folder / STATEMENTS).read_bytes()[:-40])
    and None,
    "an assignment": texts(ASSIGNMENTS, lambda t: t.replace('"0"', '"1"', 1)),
    "an assignment gone": texts(ASSIGNMENTS, lambda t: t.partition("\n")[2]),
    "no archive": lambda folder: (folder / ASSIGNMENTS).write_bytes(b"x") and None,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(made: Path, tmp_path: Path, name: str) -> None:
    for path in made.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert not rejected(tmp_path)
    CHANGES[name](tmp_path)
    assert rejected(tmp_path)


def test_a_row_that_does_not_follow_is_found(made: Path) -> None:
    from verify.report.judged import JudgedForm
    from verify.report.records import replaced as with_changes
    from verify.report.records import rows_of

    table = Path(__file__).parents[3] / "proofs" / "forms-linux-uprobes-6.18.tsv"
    fields = [x.split("\t", 2) for x in table.read_text().splitlines()]
    lines = [f[2] for f in fields if f[1] in FORMS]
    rows = {row.form: row for row in rows_of(lines, JudgedForm)}
    assert rows.keys() == set(FORMS)
    read = evidence.read(made)
    assert list(faults_of_form(read, rows)) == []
    for name, row in rows.items():
        for observable, said in row.observables.items():
            other = {**row.observables, observable: "refuted" if said == "proved" else "proved"}
            wrong = {**rows, name: with_changes(row, observables=other)}
            assert [(r.form, r.observable) for r in faults_of_form(read, wrong)] == [(name, observable)]


def test_the_sample_is_a_function_of_its_seed() -> None:
    names = [str(i) for i in range(1000)]
    assert sample(names) == sample(reversed(names))
    assert len(sample(names)) == 100
    assert sample(names, 1) == sorted(names)


def test_the_command_says_what_it_found(made: Path, tmp_path: Path) -> None:
    """Of another mark: every form would be stated again, so only what is listed is asked for here."""
    (tmp_path / "linux-uprobes-6.18").symlink_to(made)
    command = [sys.executable, "-m", "verify.cli", "gate", "--evidence", str(tmp_path)]
    listed = subprocess.run([*command, "--list"], capture_output=True, text=True, check=False)
    assert listed.returncode == 0, listed.stderr
    assert {x.split()[1] for x in listed.stdout.splitlines()} == {"proved", "refuted"}
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / LEDGER).write_text("nothing\n")
    damaged = subprocess.run([*command, "--scheme", "identity", "--format", "json"], capture_output=True, text=True,
                             check=False)  # fmt: skip
    assert damaged.returncode == 1
    assert json.loads(damaged.stdout)["regressions"]
    for wrong in (["--scheme", "none"], ["--scheme", "linux-uprobes-6.1"]):
        assert subprocess.run([*command, *wrong], capture_output=True, check=False).returncode == 64


def test_a_form_that_is_stated_otherwise_is_found() -> None:
    def of(statement: str, verdict: str, digest: str = "c", own_statement: str = "own") -> Evidence:
        outcome = (("gprs", statement),)
        name = outcome_digest(outcome)
        own = [OwnLine("F", REGULAR, digest, "90", "gprs", own_statement)] if verdict == REFUTED else []
        certified = {s: Certified(s, verdict, f"refuted by {verdict}") for s in (statement, own_statement)}
        return Evidence([ClassLine("F", REGULAR, digest, name)], own, {name: outcome}, {}, certified)

    known = recorded(of("s", REFUTED), "mark")
    assert list(differences(known, "F", of("s", REFUTED))) == []
    for other in (of("s", PROVED), of("t", REFUTED), of("s", REFUTED, "d"), of("s", REFUTED, "c", "x"), Evidence()):
        assert [r.form for r in differences(known, "F", other)]
