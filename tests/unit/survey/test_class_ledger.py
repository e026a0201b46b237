"""What is kept of classes comes back; damage is named and not believed; other code's results are forgotten."""

import json
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest

from verify.judge.encoding import Judge
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.linux.uprobes_6_18 import SCHEME
from verify.report.records import row_text
from verify.smt.canonical import canonical
from verify.smt.decisions import InMemory
from verify.survey.encodings import KnownResults
from verify.survey.explanation import CPUS, brief_row
from verify.survey.ledger import Ledger
from verify.terms import const, not_, ult, var

ASKED = canonical((not_(ult(var("disp", 32), const(77, 32))),))
OTHER = canonical((ult(var("imm0", 32), const(5, 32)),))
DECIDED = (
    ("1" * 20, ()),
    ("2" * 20, (("gprs", ASKED), ("fault", OTHER))),
    ("3" * 20, (("gprs", replace(ASKED, names=("imm0",))), ("trap", OTHER.digest))),
    ("6" * 20, (("fault", "a" * 24),)),
)
ENCODINGS = (
    "c4e2e1900c2504000000", "9c", "0f05", "d9e8", "4190", "c5fe7f07", "c5f877", "4889d8", "e2fe", "f3a4", "cc",
)  # fmt: skip


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    Ledger(tmp_path, "some").classes(ASSUMPTIONS).add(DECIDED)
    return tmp_path


def classes(folder: Path) -> Path:
    return folder / "classes-some.tsv"


def queries(folder: Path) -> Path:
    return folder / "queries-some.tsv"


def outcomes(folder: Path) -> Path:
    return folder / "outcomes-some.tsv"


def read(folder: Path) -> tuple[dict, list[str]]:
    ledger = Ledger(folder, "some")
    return dict(ledger.classes(ASSUMPTIONS).known()), ledger.notices


def test_what_is_stored_comes_back(filled):
    assert read(filled) == (dict(DECIDED), [])


def test_what_is_added_later_joins_it(filled):
    Ledger(filled, "some").classes(ASSUMPTIONS).add([*DECIDED, ("4" * 20, (("trap", OTHER),)), ("5" * 20, ())])
    found, notices = read(filled)
    assert found == {**dict(DECIDED), "4" * 20: (("trap", OTHER),), "5" * 20: ()}
    assert notices == []
    heads = 2
    assert len(queries(filled).read_text().splitlines()) == 2 + heads
    assert len(outcomes(filled).read_text().splitlines()) == 4 + heads
    assert len(classes(filled).read_text().splitlines()) == len({*found}) + heads


def test_a_class_that_is_half_written_is_left_out(filled):
    classes(filled).write_text(classes(filled).read_text()[:-4])
    assert read(filled) == ({k: v for k, v in DECIDED if k != "6" * 20}, [])
    Ledger(filled, "some").classes(ASSUMPTIONS).add(DECIDED)
    assert read(filled) == (dict(DECIDED), [])


def test_classes_of_other_assumptions_or_code_are_forgotten(filled):
    other = Ledger(filled, "some").classes(ASSUMPTIONS - {"red-zone"} - {sorted(ASSUMPTIONS)[0]})
    assert dict(other.known()) == {}
    other.add([("9" * 20, ())])
    assert read(filled) == ({}, [])
    assert "9" * 20 in classes(filled).read_text()


@pytest.mark.parametrize(
    "damaged",
    [
        lambda text: text[:-4] + "\n",
        lambda text: "",
        lambda text: "noise\n" + text,
        lambda text: text.replace("2" * 20, "2" * 19 + "x"),
    ],
)
def test_damaged_classes_are_named_and_not_believed(filled, damaged):
    classes(filled).write_text(damaged(classes(filled).read_text()))
    found, notices = read(filled)
    assert found == {}
    assert str(classes(filled)) in notices[0]
    assert not classes(filled).exists()


def test_a_damaged_question_is_named_and_its_classes_are_decided_again(filled):
    queries(filled).write_text(queries(filled).read_text().replace("0x4d", "0x4e"))
    found, notices = read(filled)
    assert found == {"1" * 20: (), "6" * 20: (("fault", "a" * 24),)}
    assert str(queries(filled)) in notices[0]
    Ledger(filled, "some").classes(ASSUMPTIONS).add(DECIDED)
    assert read(filled) == (dict(DECIDED), [])


def test_a_damaged_outcome_is_named_and_its_classes_are_decided_again(filled):
    outcomes(filled).write_text(outcomes(filled).read_text().replace('"disp"', '"reg"'))
    found, notices = read(filled)
    assert found == {"1" * 20: ()}
    assert str(outcomes(filled)) in notices[0]


@pytest.mark.parametrize("kind", ["queries", "outcomes"])
def test_text_that_is_not_what_its_digest_says_is_not_believed(filled, kind):
    """Though the line is as it was written: the checksum is that of the text."""
    path = filled / f"{kind}-some.tsv"
    lines = path.read_bytes().splitlines(keepends=True)
    row = lines[-1].partition(b"\t")[2].rstrip(b"\n").replace(b"0x5", b"0x6").replace(b'"fault"', b'"trap"')
    path.write_bytes(b"".join(lines[:-1]) + b"%08x\t%b\n" % (crc32(row), row))
    found, notices = read(filled)
    assert set(found) < set(dict(DECIDED)) and found == {d: o for d, o in DECIDED if d in found}
    assert str(path) in notices[0]


def test_encodings_have_the_same_verdicts_from_the_ledger(tmp_path):
    """Also when no class is built again: the judge from the ledger is given no scheme that could decide."""
    first = Judge(SCHEME)
    expected = [rows(e, first) for e in ENCODINGS]
    ledger = Ledger(tmp_path, "some")
    ledger.add(first.decisions.known.items())
    ledger.classes(ASSUMPTIONS).add(first.newly_decided)
    again = Ledger(tmp_path, "some")
    kept = again.classes(ASSUMPTIONS).known()
    second = KnownResults(again.decisions, kept).judge(SCHEME, ASSUMPTIONS)
    second._decide_class = None
    assert [rows(e, second) for e in ENCODINGS] == expected
    assert {json.loads(e)["verdict"] for e in expected} >= {"proved", "refuted", "refused"}


def test_a_refutation_that_is_not_known_any_more_is_decided_again():
    first = Judge(SCHEME)
    expected = rows("9c", first)
    second = Judge(SCHEME, ASSUMPTIONS, InMemory(), dict(first.newly_decided))
    assert rows("9c", second) == expected
    assert second.newly_decided


def rows(text: str, judge: Judge) -> str:
    return row_text(brief_row(bytes.fromhex(text), judge, CPUS["any"]).row)
