"""A store in a folder: a file a table, `KIND-SCHEME.tsv`, other settings than the default ones in folders inside.

The first line says what the file is and under which mark; then a row a line: checksum, key, value, with tabs between
(the value is JSON, so it holds none); lines of `#` record what else ran.  Rows are appended, the last one with a key
counts; `settle` leaves each once, by key.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Final
from zlib import crc32

from verify.ledger.files import append, first_line, identity, lines_of, locked, replace, undamaged
from verify.ledger.fingerprint import versions
from verify.ledger.store import Rows, Size, Table

FORMAT: Final = "ubp-verify/ledger/1"
HEAD: Final = re.compile(rb"(?P<format>ubp-verify/ledger/\d+)\t(?P<kind>[^\t]+)\t[0-9a-f]+")
SUFFIX: Final = ".tsv"
FILES: Final = re.compile(r"(?P<kind>[a-z]+)-(?P<scheme>[^/]+?)\.(?P<rest>tsv|tsv\..*|json|jsonl|txt)(\.damaged-\d+)?")
FORMER: Final = frozenset({"obligations", "forms", "classes", "queries", "questions"})  # kinds in .json, .jsonl, .txt


class Folder:
    """The store of a folder, which is made when something is put; `writable`: whether anything in it may be changed."""

    def __init__(self, root: Path, writable: bool = True) -> None:
        self.root, self.writable = root, writable
        self.notices: list[str] = []
        self._known: dict[Table, tuple[int | None, dict[str, str]]] = {}  # the file that was read, and its rows
        self._stamped: set[Table] = set()  # tables that name the versions of this process

    def path(self, table: Table) -> Path:
        """The file of a table."""
        return self.root / table.setting / f"{table.kind}-{table.scheme}{SUFFIX}"

    def get(self, table: Table) -> Rows:
        """All rows; none where what is kept is of other code, or damaged."""
        self._known[table] = identity(self.path(table)), self._undamaged(table)
        return dict(self._known[table][1])

    def _undamaged(self, table: Table) -> dict[str, str]:
        path, none = self.path(table), dict[str, str]()
        return undamaged(path, lambda: _rows(path, table), none, self.notices, self.writable)

    def put(self, table: Table, rows: Rows) -> None:
        """Keeps rows; nobody who is killed before or after takes one with him.

        What this process knows of the table is written again where somebody has replaced or removed the file.
        """
        if not self.writable:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self.root))
        path, (seen, known) = self.path(table), self._known.get(table, (None, {}))
        if seen is not None and seen == identity(path) and all(known.get(k) == v for k, v in rows.items()):
            return
        with locked(path.parent):
            if seen is None or seen != identity(path):
                there = self._undamaged(table)
                rows, known = {**{k: v for k, v in known.items() if k not in there}, **rows}, there
            new = {k: v for k, v in rows.items() if known.get(k) != v}
            self._write(path, table, new)
            known.update(new)
            self._known[table] = identity(path), known

    def _write(self, path: Path, table: Table, new: Rows) -> None:
        lines = b"".join(_line(k, v) for k, v in new.items())
        if first_line(path) != _header(table):
            replace(path, _header(table) + b"\n" + _stamp() + lines)
        elif new:
            append(path, lines if self._is_stamped(path, table) else _stamp() + lines)
        self._stamped.add(table)

    def _is_stamped(self, path: Path, table: Table) -> bool:
        return table in self._stamped or _stamp() in _stamps(lines_of(path))

    def forget(self, table: Table) -> None:
        """Removes the file."""
        path = self.path(table)
        with locked(path.parent):
            path.unlink(missing_ok=True)
        self._known.pop(table, None)

    def reject(self, table: Table, reason: str) -> None:
        """Sets the file aside."""

        def read() -> None:
            if path.exists():
                raise ValueError(reason)

        path = self.path(table)
        undamaged(path, read, None, self.notices, self.writable)
        self._known.pop(table, None)

    def settle(self, table: Table) -> None:
        """Each row once, by key, below the versions of all that ran; nothing where the rows are of other code."""
        path = self.path(table)
        if first_line(path) != _header(table):
            return
        with locked(path.parent):
            rows, lines = self._undamaged(table), lines_of(path)
            text = [_header(table) + b"\n", *sorted(_stamps(lines)), *(_line(k, rows[k]) for k in sorted(rows))]
            if lines and rows and b"".join(text) != path.read_bytes():
                replace(path, b"".join(text))
            self._known[table] = identity(path), rows

    def is_stale(self, table: Table) -> bool:
        """Whether there is a file with another first line."""
        return first_line(self.path(table)) not in {None, _header(table)}

    def sizes(self) -> list[Size]:
        """Tables, and what is left of others: damaged, half-written and former ones."""
        return [size for path in self._files() if (size := _size(self.root, path))]

    def _files(self) -> Iterable[Path]:
        return sorted(p for pattern in ("*-*.*", "*/*-*.*") for p in self.root.glob(pattern) if p.is_file())

    def prune(self, is_current: Callable[[Size], bool]) -> list[Size]:
        """Removes the files that are not current."""
        removed = []
        for size in self.sizes():
            if is_current(size):
                continue
            with locked(size.path.parent):
                again = _size(self.root, size.path) if size.path.exists() else None
                if again is not None and not is_current(again):  # nobody has replaced it meanwhile
                    size.path.unlink()
                    removed.append(again)
        return removed


def _header(table: Table) -> bytes:
    return f"{FORMAT}\t{table.kind}\t{table.mark}".encode()


def _stamp() -> bytes:
    return f"#\t{versions()}\n".encode()


def _stamps(lines: Iterable[bytes]) -> set[bytes]:
    return {line + b"\n" for line in lines if line.startswith(b"#")}


def _line(key: str, value: str) -> bytes:
    """Raises ValueError for a row that a line cannot hold."""
    row = f"{key}\t{value}".encode()
    if "\t" in key or b"\n" in row or not key:
        raise ValueError(f"no key and value of a ledger: {key[:40]!r}, {value[:40]!r}")
    return b"%08x\t%b\n" % (crc32(row), row)


def _rows(path: Path, table: Table) -> dict[str, str]:
    """The rows, none of other code's.  Raises ValueError where a line is not what was written."""
    lines = lines_of(path)
    if not lines and identity(path) is None:
        return {}
    head = HEAD.fullmatch(lines[0]) if lines else None
    if head is None or (head["format"] == FORMAT.encode() and head["kind"] != table.kind.encode()):
        raise ValueError("its first line is not that of a ledger")
    return dict(_checked(lines)) if lines[0] == _header(table) else {}


def _checked(lines: list[bytes]) -> Iterator[tuple[str, str]]:
    for number in range(1, len(lines)):
        checksum, _, row = lines[number].partition(b"\t")
        if checksum == b"#":
            continue
        if checksum != b"%08x" % crc32(row):
            raise ValueError(f"line {number + 1} is not what was written")
        key, _, value = row.partition(b"\t")
        yield key.decode(), value.decode()


def _size(root: Path, path: Path) -> Size | None:
    """What a file takes up; None where it is none of a store's."""
    match = FILES.fullmatch(path.name)
    if match is None or (not match["rest"].startswith("tsv") and match["kind"] not in FORMER):
        return None
    table = Table(match["kind"], match["scheme"], "", path.parent.relative_to(root).as_posix().removeprefix("."))
    bytes_, lines = path.stat().st_size, lines_of(path) if match["rest"] == "tsv" and not match[4] else []
    head = lines[0].decode("utf-8", "replace").split("\t") if lines else []
    if len(head) != 3 or head[:2] != [FORMAT, table.kind]:
        return Size(table, path, 0, bytes_)
    rows = sum(not line.startswith(b"#") for line in lines) - 1
    return Size(with_changes(table, mark=head[2]), path, rows, bytes_)
