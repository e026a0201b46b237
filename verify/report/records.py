"""What results are made of: records that are valid when built, written as JSON and read back without loss.

A document is a record that is printed or kept by itself: it says in `schema` which one it is, `ubp-verify/NAME/NUMBER`.
The number changes when a field goes or changes its meaning; a new field that may be absent leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeVar

import msgspec

Verdict = Literal["proved", "refuted", "refused", "vacuous", "unknown"]
VERDICTS: Final[tuple[Verdict, ...]] = ("proved", "refuted", "refused", "vacuous", "unknown")  # as reports list them
VENDOR: Final = "ubp-verify/"
D = TypeVar("D", bound="Document")
R = TypeVar("R", bound="Record")


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a document.  A field with a default is left out where it has that value."""


class Document(Record, frozen=True, kw_only=True, tag_field="schema"):
    """What is printed or kept by itself, under the name and the number of its schema."""


def picked(record: Record, kind: type[R]) -> R:
    """The record of another kind whose fields are among this one's."""
    return msgspec.convert(record, kind, from_attributes=True)


def replaced(record: R, **changes: object) -> R:
    """The record with other values of some fields."""
    return msgspec.structs.replace(record, **changes)


def schema_name(kind: type[Document]) -> str:
    """The `schema` of such documents, such as ubp-verify/opcode-range/1."""
    return str(kind.__struct_config__.tag)


def encoded(document: Document) -> str:
    """The document as JSON on one line, without the line's end."""
    return row_text(document)


def row_text(row: object) -> str:
    """A row of a table, a record or plain values, as JSON on one line without spaces."""
    return msgspec.json.encode(row).decode()


def rows_of(texts: Iterable[str], kind: type[R]) -> list[R]:
    """The records that rows of a table are; ValueError as `decoded`."""
    try:
        return msgspec.json.decode(f"[{','.join(texts)}]", type=list[kind])  # type: ignore[valid-type]  # at once
    except msgspec.MsgspecError as error:
        raise ValueError(f"no {kind.__name__}: {error}") from error


def indented(document: Document) -> str:
    """The document as JSON over several lines, without the last one's end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def plain(document: Document) -> dict[str, object]:
    """The document as dictionaries, lists, strings, numbers and None, `schema` first."""
    found: dict[str, object] = msgspec.to_builtins(document)
    return found


def row_by_row(document: Document, rows: str) -> str:
    """The document as JSON with each item of the field `rows`, which comes last, on a line: what is kept in git."""
    fields = msgspec.to_builtins(document)
    items = fields.pop(rows)
    head = msgspec.json.format(msgspec.json.encode(fields), indent=1).decode().removesuffix("\n}")
    lines = ",\n  ".join(msgspec.json.encode(item).decode() for item in items)
    return f'{head},\n "{rows}": [\n  {lines}\n ]\n}}\n'


def decoded(text: str | bytes, kind: type[D]) -> D:
    """The document that a text is; ValueError where a field is missing, unknown or of another type."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise ValueError(f"no {schema_name(kind)}: {error}") from error


def record_from(text: str | bytes, kind: type[R]) -> R:
    """The record that a text is, which has no `schema`; ValueError as `decoded`."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise ValueError(f"no {kind.__name__}: {error}") from error


def from_fields(fields: Mapping[str, Any], kind: type[D]) -> D:
    """The document with these fields; ValueError as `decoded`."""
    return record_of({"schema": schema_name(kind), **fields}, kind)


def record_of(fields: Mapping[str, Any], kind: type[R]) -> R:
    """The record with these fields; ValueError as `decoded`."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.MsgspecError as error:
        raise ValueError(f"no {kind.__name__}: {error}") from error
