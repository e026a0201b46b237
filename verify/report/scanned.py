"""A scan as text: how many instructions may be probed, and what hinders the others, the worst first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from verify.report.surveys import EncodingVerdict, Scan, ScanFinding
from verify.report.wrapped import paragraph

WORDS: Final[dict[EncodingVerdict, str]] = {
    "proved": "proved", "refuted": "refuted", "unknown": "unknown", "refused": "refused", "vacuous": "vacuous",
    "invalid": "no instruction",
}  # fmt: skip


def lines(found: Scan, width: int, findings: bool = True) -> Iterator[str]:
    """The whole scan, or what there is of it without the findings."""
    yield f"{found.file}: {found.kind}"
    yield (
        f"{found.instructions:,} instructions of {found.distinct:,} encodings; scheme {found.scheme}, cpu {found.cpu}"
    )
    if found.relocatable:
        yield "Fields that the linker fills are judged as they stand."
    whole = max(sum(found.totals.values()), 1)
    for verdict, word in WORDS.items():
        if count := found.totals.get(verdict, 0):
            yield f"  {word:<16} {count:>11,}  {100 * count / whole:6.2f} %"
    if found.left_out:
        yield f"  left out, as was asked for: {found.left_out:,}"
    for finding in found.findings if findings else ():
        yield from _finding(finding, width)


def _finding(finding: ScanFinding, width: int) -> Iterator[str]:
    cause = finding.cause
    yield ""
    yield from paragraph("", _title(finding), width, 0, 0)
    if cause is not None:
        for label, words in (("what", cause.happens), ("loses", cause.loses), ("instead", cause.instead)):
            yield from paragraph(label, words, width, 2)
    yield f"  {finding.instructions:,} of {finding.distinct:,} encodings"
    for p in finding.places:
        yield f"    {p.offset:#8x}  {p.place}  {p.text}  ({p.bytes})"
    if (rest := finding.instructions - len(finding.places)) > 0:
        yield f"    and {rest:,} more (--all)"


def _title(finding: ScanFinding) -> str:
    """The verdict, the cause and what it costs; a refusal is named by its cause."""
    cause, word = finding.cause, WORDS[finding.verdict]
    if cause is None:
        return f"{word}: {finding.reason}"
    return cause.name if cause.harm == finding.verdict else f"{word}: {cause.name} ({cause.harm})"
