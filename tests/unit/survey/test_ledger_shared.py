"""Several processes on one ledger lose nothing and damage nothing; a writer that dies leaves what can be read."""

import os
from multiprocessing import get_context
from pathlib import Path

import pytest
from recorded import form_row

from verify.claim.verdicts import Decision, Verdict, Witness
from verify.ledger import files, folder
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.smt.canonical import Canonical, canonical
from verify.survey.ledger import Ledger
from verify.terms import const, ult, var

SCHEME, MARK = "some", "f" * 32
WRITERS, ROUNDS = 3, 12
FORK = get_context("fork")


def number(writer: int, i: int, digits: int) -> str:
    return f"{writer * 1000 + i + 1:0{digits}x}"


def asked(writer: int, i: int) -> Canonical:
    return canonical((ult(var("disp", 32), const(writer * 1000 + i + 1, 32)),))


def write(place: Path, writer: int) -> None:
    ledger = Ledger(place, SCHEME)
    classes = ledger.classes(ASSUMPTIONS)
    for i in range(ROUNDS):
        witness = Witness((("v0", (i,) * 200),))
        ledger.add([(number(writer, i, 24), Decision(Verdict.REFUTED, witness))])
        classes.add([(number(writer, i, 20), (("gprs", asked(writer, i)),))])
        ledger.keep_forms(MARK, [form_row(number(writer, i, 8), reason="x" * 2000)])
    ledger.settle(MARK, ASSUMPTIONS)
    os._exit(len(ledger.notices))


def read(place: Path, stop: Path) -> None:
    notices = 0
    while not stop.exists():
        ledger = Ledger(place, SCHEME)
        for outcome in dict(ledger.classes(ASSUMPTIONS).known()).values():
            notices += outcome[0][1].digest == ""
        ledger.forms(MARK)
        notices += len(ledger.notices)
    os._exit(notices)


def test_writers_and_readers_side_by_side(tmp_path):
    place, stop = tmp_path / "ledger", tmp_path / "stop"
    writers = [FORK.Process(target=write, args=(place, i)) for i in range(WRITERS)]
    readers = [FORK.Process(target=read, args=(place, stop)) for _ in range(2)]
    for process in (*readers, *writers):
        process.start()
    for process in writers:
        process.join()
    stop.touch()
    for process in readers:
        process.join()
    assert [p.exitcode for p in (*writers, *readers)] == [0] * (WRITERS + 2)
    ledger = Ledger(place, SCHEME)
    everyone = [(w, i) for w in range(WRITERS) for i in range(ROUNDS)]
    assert set(ledger.decisions) == {number(w, i, 24) for w, i in everyone}
    known = ledger.classes(ASSUMPTIONS).known()
    assert dict(known) == {number(w, i, 20): (("gprs", asked(w, i)),) for w, i in everyone}
    assert set(ledger.forms(MARK)) == {number(w, i, 8) for w, i in everyone}
    assert ledger.notices == [] and not list(place.glob("*damaged*")) + list(place.glob("*partial*"))


def die_half_way(place: Path, after: int) -> None:
    """The writer is killed when half of its `after`-th piece of text is in the file."""
    count = [0]

    def cut(path: Path, text: bytes) -> None:
        count[0] += 1
        with path.open("ab") as file:
            file.write(text[: len(text) // 2] if count[0] == after else text)
        if count[0] == after:
            os._exit(9)

    folder.append = cut
    write(place, 1)


@pytest.mark.parametrize("after", [1, 2, 3, 8, 13])
def test_a_writer_that_is_killed_half_way_loses_its_last_piece_alone(tmp_path, after):
    ledger = Ledger(tmp_path, SCHEME)
    ledger.add([(number(0, 0, 24), Decision(Verdict.PROVED))])
    ledger.classes(ASSUMPTIONS).add([(number(0, 0, 20), ())])
    process = FORK.Process(target=die_half_way, args=(tmp_path, after))
    process.start()
    process.join()
    assert process.exitcode == 9
    left = Ledger(tmp_path, SCHEME)
    assert number(0, 0, 24) in left.decisions and number(0, 0, 20) in left.classes(ASSUMPTIONS).known()
    process = FORK.Process(target=write, args=(tmp_path, 1))
    process.start()
    process.join()
    assert process.exitcode == 0
    again = Ledger(tmp_path, SCHEME)
    assert {number(1, i, 24) for i in range(ROUNDS)} < set(again.decisions)
    assert {number(1, i, 20) for i in range(ROUNDS)} < set(again.classes(ASSUMPTIONS).known())
    assert again.notices == []


def test_a_folder_that_cannot_be_written_is_read_and_damage_in_it_is_named(tmp_path, monkeypatch):
    Ledger(tmp_path, SCHEME).add([(number(0, 0, 24), Decision(Verdict.PROVED))])
    path = tmp_path / f"obligations-{SCHEME}.tsv"
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    assert len(Ledger(tmp_path, SCHEME).decisions) == 1
    path.write_text(path.read_text() + "noise\n")
    ledger = Ledger(tmp_path, SCHEME)
    assert "it is not used" in ledger.notices[0] and path.exists()
