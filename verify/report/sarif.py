"""A scan as SARIF 2.1.0 (OASIS standard of 27 March 2020): what code hosts and editors show as findings of an analysis.

A rule is a cause, a result a place.  Bytes of a binary are named by `byteOffset`, functions by a logical location.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from verify.report.surveys import Scan, ScanFinding, ScannedPlace

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
LEVELS: Final[dict[str, Literal["error", "warning", "note"]]] = {  # by harm
    "silent wrong data": "error", "lost control": "error", "missing fault": "error",
    "visible only to debuggers": "warning", "refused": "note",
}  # fmt: skip
UNDECIDED: Final = "undecided"  # the rule of what has no cause


class _Sarif(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of the document."""


class Message(_Sarif, frozen=True, kw_only=True):
    """Text for people."""

    text: str


class Rule(_Sarif, frozen=True, kw_only=True):
    """reportingDescriptor, 3.49."""

    id: str
    short_description: Message
    full_description: Message
    help: Message


class Driver(_Sarif, frozen=True, kw_only=True):
    """toolComponent, 3.19."""

    name: str
    version: str
    rules: tuple[Rule, ...]


class Tool(_Sarif, frozen=True, kw_only=True):
    """tool, 3.18."""

    driver: Driver


class ArtifactLocation(_Sarif, frozen=True, kw_only=True):
    """artifactLocation, 3.4."""

    uri: str


class Region(_Sarif, frozen=True, kw_only=True):
    """region, 3.30: bytes of a binary artifact."""

    byte_offset: int
    byte_length: int


class PhysicalLocation(_Sarif, frozen=True, kw_only=True):
    """physicalLocation, 3.29."""

    artifact_location: ArtifactLocation
    region: Region


class LogicalLocation(_Sarif, frozen=True, kw_only=True):
    """logicalLocation, 3.33."""

    fully_qualified_name: str


class Location(_Sarif, frozen=True, kw_only=True):
    """location, 3.28."""

    physical_location: PhysicalLocation
    logical_locations: tuple[LogicalLocation, ...]


class Result(_Sarif, frozen=True, kw_only=True):
    """result, 3.27."""

    rule_id: str
    rule_index: int
    level: Literal["error", "warning", "note", "none"]
    message: Message
    locations: tuple[Location, ...]


class Run(_Sarif, frozen=True, kw_only=True):
    """run, 3.14."""

    tool: Tool
    results: tuple[Result, ...]


class Log(_Sarif, frozen=True, kw_only=True):
    """sarifLog, 3.13."""

    schema: str = msgspec.field(name="$schema")
    version: Literal["2.1.0"]
    runs: tuple[Run, ...]


def sarif(found: Scan) -> str:
    """The scan as a SARIF log on one line; what is no instruction is left out."""
    findings = [f for f in found.findings if f.verdict != "invalid"]
    rules = {_rule_id(f): _rule(f) for f in findings}
    results = tuple(r for f in findings for r in _results(found, f, list(rules).index(_rule_id(f))))
    driver = Driver(name="ubp-verify", version=found.version, rules=tuple(rules.values()))
    log = Log(schema=SCHEMA, version="2.1.0", runs=(Run(tool=Tool(driver=driver), results=results),))
    return msgspec.json.encode(log).decode()


def _rule_id(finding: ScanFinding) -> str:
    return finding.cause.name if finding.cause is not None else UNDECIDED


def _rule(finding: ScanFinding) -> Rule:
    cause = finding.cause
    if cause is None:
        said = Message(text="the verdict is not decided")
        return Rule(id=UNDECIDED, short_description=said, full_description=said, help=said)
    return Rule(
        id=cause.name, short_description=Message(text=cause.harm),
        full_description=Message(text=f"{cause.happens}. Lost: {cause.loses}."),
        help=Message(text=f"{cause.instead}. Rule: {cause.rule}."),
    )  # fmt: skip


def _results(found: Scan, finding: ScanFinding, rule: int) -> Iterator[Result]:
    harm = finding.cause.harm if finding.cause is not None else ""
    for place in finding.places:
        yield Result(
            rule_id=_rule_id(finding), rule_index=rule, level=LEVELS.get(harm, "warning"),
            message=Message(text=f"{place.text} at {place.place}: {finding.reason}"),
            locations=(_location(found, place),),
        )  # fmt: skip


def _location(found: Scan, place: ScannedPlace) -> Location:
    region = Region(byte_offset=place.offset, byte_length=len(place.bytes) // 2)
    return Location(
        physical_location=PhysicalLocation(artifact_location=ArtifactLocation(uri=found.file), region=region),
        logical_locations=(LogicalLocation(fully_qualified_name=place.place),),
    )
