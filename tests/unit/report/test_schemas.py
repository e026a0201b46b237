"""Every output for programs is a document of a published schema, held against it by a library that shares no code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from unit.elf.made import elf

from verify.cli import status
from verify.cli.confirm import MODES
from verify.concurrency.results import manifest
from verify.ledger.folder import Folder
from verify.ledger.store import Table
from verify.models.x86.isa import capstone_check
from verify.models.x86.isa.forms import form
from verify.report.explorations import Manifest, StoredInvariant, StoredLiveness
from verify.report.records import Document, decoded, from_fields, indented, schema_name
from verify.report.schemas import DOCUMENTS, FOLDER, file_name, text, write
from verify.report.surveys import ClassifiedEncoding

RECORDED = Path(__file__).parents[3] / "proofs" / "protocols"
#: command line -> the schema of its output; {ledger}, {file}, {elf} and {folder} are made
OUTPUTS = {
    ("opcode-range", "9c", "cc", "--jobs", "1", "--ledger", "{ledger}"): "opcode-range",
    ("insn", "9c"): "insn", ("insn", "54"): "insn", ("insn", "cc"): "insn", ("insn", "c5f877"): "insn",
    ("insn", "d54001c8"): "insn", ("insn", "0f0b", "--followed-by", "78656e90"): "insn", ("insn", "0f0b"): "insn",
    ("insn", "90", "--scheme", "linux-uprobes-3.15", "--confirm"): "insn",
    ("classify", "{file}"): "classify",
    ("relocated", "--original", "90", "--at", "4096", "--copy", "06", "--slot", "8192"): "relocated",
    ("relocator", "--command", "echo", "c3"): "relocator",
    ("scan", "{elf}", "--jobs", "1"): "scan", ("scan", "{elf}", "--explain", "first"): "scan-place",
    ("causes",): "causes", ("causes", "tf-in-pushed-flags"): "causes",
    ("forms", "90-9f"): "forms", ("forms", "a0", "--disagreements"): "disagreements",
    ("ledger", "--ledger", "{folder}"): "ledger-sizes",
    ("gate", "--evidence", "{evidence}"): "gate",
    ("schemes",): "schemes", ("schemes", "linux-uprobes-6.18", "identity"): "schemes", ("protocols",): "protocols",
    ("interleavings", "xol-step", "--threads", "2"): "interleavings",
    ("interleavings", "xol-step", "--threads", "2", "--variant", "no-read-lock"): "interleavings",
    ("interleavings", "inline-step", "--threads", "any", "--variant", "others-run"): "interleavings-any",
}  # fmt: skip
NUMBERS = {"interleavings-any": 2}  # of schemas that have changed
LINES = b"9c\n4889d8\nf4\n0f04\nzz\n0f0b\nc5f877\nd54001c8\n9c90\n"


def _schema(name: str) -> str:
    return f"ubp-verify/{name}/{NUMBERS.get(name, 1)}"


def published(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / file_name(name)).read_text())
    return found


def validated(line: str, name: str) -> None:
    """One document: by the published schema, and by the type it was made from."""
    found = json.loads(line)
    assert found["schema"] == _schema(name)
    jsonschema.Draft202012Validator(published(found["schema"])).validate(found)
    decoded(line, DOCUMENTS[found["schema"]])


@pytest.mark.parametrize("arguments", OUTPUTS, ids=" ".join)
def test_an_output_is_of_its_schema(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capstone_check, "all_forms", lambda: [form("MOV_AL_MOFFS8/none")])
    file = tmp_path / "encodings"
    file.write_bytes(LINES)
    code = elf(tmp_path / "program", bytes.fromhex("9c9006c5fe7f03"), [("first", 0, 7)])
    Folder(tmp_path).put(Table("forms", "identity", "0"), {"a": "1"})
    damaged = tmp_path / "evidence" / "identity" / "ledger.tsv"
    damaged.parent.mkdir(parents=True)
    damaged.touch()
    places = {"ledger": tmp_path / "ledger", "file": file, "elf": code, "folder": tmp_path}
    places["evidence"] = damaged.parents[1]
    ended = status([*(a.format(**places) for a in arguments), "--format", "json"])
    assert ended in {0, 2, {"classify": 64, "gate": 1}.get(arguments[0], 0)}
    out = capsys.readouterr().out
    lines = [out] if arguments[0] in {"insn", "scan"} else out.splitlines()
    assert lines
    for line in lines:
        validated(line, OUTPUTS[arguments])


def test_every_schema_is_held_by_some_output() -> None:
    """Those of `confirm` are made and read back in tests/unit/confirm/test_results.py."""
    confirmed = {f"confirm-{mode}" for mode in MODES} | {"kernel-survey"}
    kept = {"manifest", "invariant", "liveness"}  # below
    assert {_schema(name) for name in {*OUTPUTS.values(), *confirmed, *kept}} == set(DOCUMENTS)


def kept_as(path: Path) -> str:
    """The text that a recorded file of a protocol would have, written now."""
    if path.parent == RECORDED:
        return manifest.text(decoded(path.read_bytes(), Manifest))
    kind = StoredLiveness if path.parent.name == "liveness" else StoredInvariant
    return indented(decoded(path.read_bytes(), kind)) + "\n"


@pytest.mark.parametrize("path", sorted(RECORDED.rglob("*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recorded_protocols_are_written_as_they_were_read(path: Path) -> None:
    assert kept_as(path) == path.read_text()
    kept = "liveness" if path.parent.name == "liveness" else "invariant"
    validated(path.read_text(), "manifest" if path.parent == RECORDED else kept)


def test_a_field_of_a_kept_file_that_nobody_knows_is_refused() -> None:
    text = kept_as(RECORDED / "ref-count.json").encode()
    assert decoded(text, Manifest).protocol == "ref-count"
    for wrong in (text.replace(b'"depth"', b'"deep"'), text.replace(b"manifest/1", b"manifest/2")):
        with pytest.raises(ValueError, match="ubp-verify/manifest/1"):
            decoded(wrong, Manifest)


def test_published_schemas_are_current() -> None:
    """`make schema` writes them."""
    assert {path.name for path in FOLDER.iterdir()} == {file_name(name) for name in DOCUMENTS}
    for name, kind in DOCUMENTS.items():
        assert published(name) == json.loads(text(kind)), f"{name}: run make schema"


def test_a_schema_that_is_gone_or_changed_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "gone-1.json").write_text("{}")
    write(tmp_path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {p.name: p.read_text() for p in FOLDER.iterdir()}


@pytest.mark.parametrize("kind", DOCUMENTS.values(), ids=schema_name)
def test_every_document_says_which_it_is_in_one_style(kind: type[Document]) -> None:
    assert re.fullmatch(r"ubp-verify/[a-z-]+/[1-9][0-9]*", schema_name(kind))
    schema = published(schema_name(kind))
    jsonschema.Draft202012Validator.check_schema(schema)
    main = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    assert "schema" in main["required"] and main["properties"]["schema"]["enum"] == [schema_name(kind)]


GOOD = {"bytes": "90", "verdict": "proved", "observables": [], "reason": ""}


@pytest.mark.parametrize(("change", "named"), [
    ({"verdict": "maybe"}, "maybe"), ({"bytes": 90}, "str"), ({"extra": 1}, "extra"),
    ({"observables": "trap"}, "array"),
])  # fmt: skip
def test_what_is_not_of_the_schema_is_refused_by_both(change: dict[str, object], named: str) -> None:
    assert from_fields(GOOD, ClassifiedEncoding).verdict == "proved"
    with pytest.raises(ValueError, match=named):
        from_fields(GOOD | change, ClassifiedEncoding)
    schema = schema_name(ClassifiedEncoding)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(published(schema)).validate({"schema": schema, **GOOD, **change})


@pytest.mark.parametrize("name", GOOD)
def test_a_field_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        from_fields({key: value for key, value in GOOD.items() if key != name}, ClassifiedEncoding)
