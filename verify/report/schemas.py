"""The published schemas: a JSON Schema (2020-12) for every document, generated from its type.

`make schema` writes them into `verify/report/schema/`; a test says that they are current.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from verify.report import causes, confirmations, explorations, gates, ledgers, relocations, surveys
from verify.report.records import VENDOR, Document, schema_name

FOLDER: Final = Path(__file__).with_name("schema")
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: Final[Mapping[str, type[Document]]] = {  # by `schema`
    schema_name(kind): kind
    for kind in (
        surveys.Survey, surveys.ExplainedEncoding, surveys.ClassifiedEncoding, surveys.DescribedForm,
        surveys.DecoderDisagreement, surveys.DescribedScheme, surveys.Scan, surveys.ExplainedPlace,
        causes.DescribedCause,
        explorations.Explored, explorations.ExploredForAny, explorations.DescribedProtocol, explorations.Manifest,
        explorations.StoredInvariant, explorations.StoredLiveness,
        confirmations.SemanticsConfirmation, confirmations.KernelConfirmation,
        confirmations.KernelSurvey, confirmations.LitmusConfirmation, confirmations.RacesConfirmation,
        confirmations.CostConfirmation, ledgers.LedgerSizes, gates.Gate,
        relocations.RelocatedPair, relocations.RelocatedEncoding,
    )
}  # fmt: skip


def json_schema(kind: type[Document]) -> dict[str, Any]:
    """The JSON Schema of such documents; its `$id` is their `schema`."""
    return {"$schema": DIALECT, "$id": schema_name(kind), **msgspec.json.schema(kind)}


def file_name(schema: str) -> str:
    """The file of a schema: opcode-range-1.json for ubp-verify/opcode-range/1."""
    return schema.removeprefix(VENDOR).replace("/", "-") + ".json"


def text(kind: type[Document]) -> str:
    """The content of a schema's file."""
    return msgspec.json.format(msgspec.json.encode(json_schema(kind)), indent=1).decode() + "\n"


def write(folder: Path = FOLDER) -> None:
    """Writes all schemas, and removes what is none of them.  Raises OSError."""
    folder.mkdir(exist_ok=True)
    wanted = {file_name(name): text(kind) for name, kind in DOCUMENTS.items()}
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (folder / name).write_text(content, encoding="utf-8")
