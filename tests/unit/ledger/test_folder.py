"""The verbs of a store in a folder and of layers, and what they do when others have been there."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import pytest

from verify.ledger.folder import Folder
from verify.ledger.store import Layers, Store, Table

ONE = Table("forms", "some", "1" * 32)
OTHER = Table("forms", "some", "2" * 32)  # what other code made
CPU = Table("forms", "some", "1" * 32, "cpu-amd")
ROWS = {"a": "1", "b": '["ü",null]', "c/x": "{}"}
FORK = get_context("fork")


@pytest.fixture(params=["folder", "layers"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    top = Folder(tmp_path / "top")
    return top if request.param == "folder" else Layers(top, [Folder(tmp_path / "below", writable=False)])


def again(store: Store) -> Store:
    """As another process finds it."""
    if isinstance(store, Layers):
        return Layers(again(store.top), [again(s) for s in store.below])
    assert isinstance(store, Folder)
    return Folder(store.root, store.writable)


def test_what_is_put_comes_back_and_later_rows_replace_earlier_ones(store: Store) -> None:
    assert store.get(ONE) == {}
    store.put(ONE, ROWS)
    store.put(ONE, {"a": "7", "d": "4"})
    assert store.get(ONE) == again(store).get(ONE) == {**ROWS, "a": "7", "d": "4"}
    assert store.get(CPU) == store.get(OTHER) == {} and not store.notices


def test_each_kind_scheme_and_setting_is_its_own(store: Store) -> None:
    tables = [ONE, CPU, Table("forms", "other", ONE.mark), Table("classes", "some", ONE.mark)]
    for n, table in enumerate(tables):
        store.put(table, {"a": str(n)})
    assert [again(store).get(table) for table in tables] == [{"a": str(n)} for n in range(4)]
    store.forget(CPU)
    assert [bool(again(store).get(table)) for table in tables] == [True, False, True, True]


def test_rows_of_other_code_are_not_given_and_are_replaced(store: Store) -> None:
    store.put(ONE, ROWS)
    assert again(store).get(OTHER) == {}
    assert again(store).is_stale(OTHER) and not store.is_stale(ONE) and not store.is_stale(CPU)
    again(store).put(OTHER, {"x": "1"})
    assert (again(store).get(ONE), again(store).get(OTHER)) == ({}, {"x": "1"})


def test_what_a_process_knows_is_written_again_when_others_have_replaced_it(store: Store) -> None:
    store.put(ONE, ROWS)
    again(store).put(OTHER, {"x": "1"})
    store.put(ONE, {"d": "4"})
    assert again(store).get(ONE) == {**ROWS, "d": "4"}


def test_two_that_know_nothing_of_each_other_lose_nothing(store: Store) -> None:
    one, two = again(store), again(store)
    assert one.get(ONE) == two.get(ONE) == {}
    one.put(ONE, {"a": "1"})
    two.put(ONE, {"b": "2", "a": "0"})
    one.settle(ONE)
    two.put(ONE, {"c": "3"})
    assert again(store).get(ONE) == {"a": "0", "b": "2", "c": "3"}


def test_rows_that_are_known_are_not_written_again(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    store.put(ONE, ROWS)
    before = store.path(ONE).read_bytes()
    store.put(ONE, ROWS)
    Folder(tmp_path).put(ONE, {"a": "1"})
    assert store.path(ONE).read_bytes() == before


def test_settled_rows_are_the_same_bytes_however_they_came(tmp_path: Path) -> None:
    ways = [[ROWS], [{"c/x": "0"}, {"b": ROWS["b"]}, {"a": "1"}, {"c/x": "{}"}]]
    found = set()
    for n, way in enumerate(ways):
        for rows in way:
            Folder(tmp_path / str(n)).put(ONE, rows)
        Folder(tmp_path / str(n)).settle(ONE)
        Folder(tmp_path / str(n)).settle(OTHER)  # rows of other code stay as they are
        found.add(Folder(tmp_path / str(n)).path(ONE).read_bytes())
    assert len(found) == 1
    assert list(Folder(tmp_path / "0").get(ONE)) == sorted(ROWS)


@pytest.mark.parametrize("row", [("", "1"), ("a\tb", "1"), ("a\nb", "1"), ("a", "1\n")])
def test_a_row_that_no_line_can_hold_is_refused(row: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no key and value"):
        Folder(tmp_path).put(ONE, dict([row]))
    assert Folder(tmp_path).get(ONE) == {}


@pytest.mark.parametrize("at", range(0, 150, 7))
def test_any_changed_byte_is_found(at: int, tmp_path: Path) -> None:
    """Rows and first line; only the line of versions may say what it likes."""
    Folder(tmp_path).put(ONE, {f"{n}": f'"{n * 1000}"' for n in range(9)})
    path = Folder(tmp_path).path(ONE)
    text = bytearray(path.read_bytes())
    head, stamp = (text.index(b"\n", i) + 1 for i in (0, text.index(b"\n") + 1))
    at = at if at < head - 33 else stamp + (at - head) % (len(text) - 1 - stamp)  # another mark is no damage
    text[at] ^= 1
    path.write_bytes(text)
    store = Folder(tmp_path)
    assert store.get(ONE) == {}
    assert str(path) in store.notices[0] and path.with_name(f"{path.name}.damaged-1").read_bytes() == text


def test_a_table_of_another_format_is_of_other_code(tmp_path: Path) -> None:
    Folder(tmp_path).put(ONE, ROWS)
    path = Folder(tmp_path).path(ONE)
    path.write_bytes(path.read_bytes().replace(b"ledger/1", b"ledger/2"))
    store = Folder(tmp_path)
    assert (store.get(ONE), store.notices, store.is_stale(ONE)) == ({}, [], True)


def test_a_rejected_table_is_set_aside_and_named(store: Store, tmp_path: Path) -> None:
    store.put(ONE, ROWS)
    store.reject(ONE, "seeded")
    assert again(store).get(ONE) == {} and "seeded" in store.notices[0]
    assert len(list((tmp_path / "top").glob("*.damaged-1"))) == 1
    store.reject(ONE, "nothing there")
    assert len(store.notices) == 1


def test_a_store_that_is_only_read_refuses_and_sets_nothing_aside(tmp_path: Path) -> None:
    Folder(tmp_path).put(ONE, ROWS)
    path = Folder(tmp_path).path(ONE)
    store = Folder(tmp_path, writable=False)
    with pytest.raises(OSError, match="Read-only"):
        store.put(ONE, {"d": "4"})
    path.write_bytes(path.read_bytes() + b"noise\n")
    assert store.get(ONE) == {} and "it is not used" in store.notices[0]
    assert [p.name for p in tmp_path.glob("forms*")] == [path.name]


def test_an_upper_layer_hides_a_lower_one_and_takes_what_is_written(tmp_path: Path) -> None:
    Folder(tmp_path / "c").put(ONE, {"a": "c", "c": "c"})
    Folder(tmp_path / "b").put(ONE, {"a": "b", "b": "b"})
    Folder(tmp_path / "d").put(OTHER, {"x": "d"})
    below = {p: p.read_bytes() for name in "bcd" for p in (tmp_path / name).glob("*.tsv")}
    store = Layers(Folder(tmp_path / "a"), [Folder(tmp_path / name, writable=False) for name in "bcd"])
    assert store.get(ONE) == {"a": "b", "b": "b", "c": "c"}
    store.put(ONE, {"a": "b", "c": "c"})
    assert not (tmp_path / "a").exists()  # nothing that is not there already
    store.put(ONE, {"a": "a", "c": "c", "n": "n"})
    assert Folder(tmp_path / "a").get(ONE) == {"a": "a", "n": "n"}
    assert again(store).get(ONE) == store.get(ONE) == {"a": "a", "b": "b", "c": "c", "n": "n"}
    store.forget(ONE)
    assert store.get(ONE) == {"a": "b", "b": "b", "c": "c"}
    assert {p: p.read_bytes() for p in below} == below
    assert {s.path.parent.name for s in store.sizes()} == set("bcd")
    assert [s.path.parent.name for s in again(store).prune(lambda size: False)] == []


def test_a_folder_that_cannot_be_there_is_empty(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Folder(tmp_path / "file" / "folder")
    assert store.get(ONE) == {} and store.sizes() == [] and not store.is_stale(ONE)
    with pytest.raises(OSError, match="file"):
        store.put(ONE, ROWS)
