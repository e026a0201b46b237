"""The survey as text for a terminal or a pipe: forms by opcode range, findings by cause, totals.

Lines fit the console's width, 80 columns in a pipe; colour is the console's matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from rich.console import Console

from verify.report.causes import CauseFinding
from verify.report.records import VERDICTS
from verify.report.surveys import FormRow, SharedDeviation, Survey
from verify.report.wrapped import columns, hanging, items, paragraph, short

SCOPE: Final = "timing, LBR, PMU, SGX, other threads' view of a stack slot while a call is fixed up"
REFUSED: Final = "refused"  # the harm of a refusal
WORST: Final = 5  # findings that are explained; the others have a line
BRIEF: Final = 50  # columns before the example of a finding that has a line


def group_name(row: FormRow) -> str:
    """The opcode range that a row is counted under: the map and the high digit of the main opcode byte."""
    opcode: str = row.opcode.partition("/")[0]
    if "." in opcode:
        head, _, byte = opcode.rpartition(".")
        return f"{head}.{byte[:1]}x"
    for escape in ("0f38", "0f3a", "0f"):
        if opcode.startswith(escape) and len(opcode) > len(escape):
            return f"{escape}{opcode[len(escape)]}x"
    return f"{opcode[0]}x"


def in_order(rows: Iterable[FormRow]) -> list[FormRow]:
    """The rows by opcode range."""
    return sorted(rows, key=_order)


def _order(row: FormRow) -> tuple[int, str]:
    name = group_name(row)
    return ("." in name) * 2 + name.startswith("0f"), name


def range_lines(rows: Sequence[FormRow], width: int) -> Iterator[str]:
    """Forms by opcode range and verdict, without verdicts that nothing has, and the causes there."""
    shown = [v for v in VERDICTS if v in VERDICTS[:3] or any(r.verdict == v for r in rows)]
    table = [["opcodes", "forms", *shown, "causes"]]
    for name, group in groupby(in_order(rows), key=group_name):
        members = list(group)
        counts = [sum(r.verdict == v for r in members) for v in shown]
        table.append([name, f"{len(members):,}", *(f"{c:,}" if c else "." for c in counts), _causes(members)])
    return columns(table, width, "l" + "r" * (len(shown) + 1) + "l")


def _causes(rows: Iterable[FormRow]) -> str:
    names: dict[str, int] = {}
    for row in rows:
        if row.cause:
            names[row.cause] = names.get(row.cause, 0) + 1
    return ", ".join(f"{n} {c:,}" for n, c in sorted(names.items(), key=lambda item: (-item[1], item[0])))


def print_survey(console: Console, document: Survey, every: bool) -> None:
    """The whole survey: table, findings by cause, deviations of the scheme, totals; `every`: all findings explained."""
    for line in _head(document, console.width):
        _print(console, line)
    _print(console, "\nForms by opcode range", "bold")
    for line in range_lines(document.forms, console.width):
        _print(console, line)
    _findings(console, document, every)
    _scheme_wide(console, document, every)
    print_totals(console, document)


def _print(console: Console, line: str, style: str | None = None) -> None:
    console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


def _head(document: Survey, width: int) -> Iterator[str]:
    yield f"Scheme {document.scheme}, processor {document.cpu}"
    yield "Assumptions, and forms that rest on them:" + " none" * (not document.assumptions)
    for line in items((f"{n} {document.rests_on[n]:,}" for n in document.assumptions), width - 2):
        yield f"  {line}"
    if document.observables:
        yield from hanging(f"Observables: {', '.join(document.observables)} alone", width)
    yield from hanging(f"Out of scope: {SCOPE}", width)


def _findings(console: Console, document: Survey, every: bool) -> None:
    """Refutations, then refusals; the worst are explained, the others have a line each."""
    refutations = [f for f in document.causes if f.cause.harm != REFUSED]
    refusals = [f for f in document.causes if f.cause.harm == REFUSED]
    for title, found, explained in (
        ("Refuted: the program can notice the probe", refutations, len(refutations) if every else WORST),
        ("Refused: no probe", refusals, len(refusals) if every else 0),
    ):
        if found:
            _print(console, f"\n{title} ({sum(f.forms for f in found):,} forms)", "bold")
            _section(console, document, found, explained, every)
    if document.left_out:
        _print(console, f"\nLeft out, as was asked for: {document.left_out:,} forms")
    if not every and (len(refutations) > WORST or refusals):
        _print(console, "\n--all explains every finding and lists its forms")


def _section(
    console: Console, document: Survey, found: Sequence[CauseFinding], explained: int, every: bool
) -> None:
    for i, finding in enumerate(found):
        if i < explained:
            _print(console, f"\n{finding.cause.name}: {finding.cause.harm}", "bold")
            for line in finding_lines(finding, console.width):
                _print(console, line)
            for line in _forms(document, finding, console.width) if every else ():
                _print(console, line)
        elif i == explained:
            _print_briefly(console, found[explained:])


def _print_briefly(console: Console, found: Sequence[CauseFinding]) -> None:
    """A line a finding, under what it costs the program."""
    rows = [["", "forms", "emitted", "example"]]
    rows += [[f"    {f.cause.name}", f"{f.forms:,}", f"{f.emitted:,}", _brief(f, console.width - BRIEF)] for f in found]
    head, *lines = columns(rows, console.width, "lrrl")
    _print(console, f"\n{head}")
    harm = REFUSED
    for finding, line in zip(found, lines, strict=True):
        if finding.cause.harm != harm:
            harm = finding.cause.harm
            _print(console, f"  {harm}", "bold")
        _print(console, line)


def _brief(finding: CauseFinding, room: int) -> str:
    """The example, its assembly where there is room."""
    whole = f"{finding.example}  {finding.text}"
    return whole if len(whole) <= room else finding.text[:room]


def finding_lines(finding: CauseFinding, width: int) -> Iterator[str]:
    """A finding explained: what happens, by which rule, what is lost, what to do; how many forms, one example."""
    cause = finding.cause
    for label, words in (
        ("what", cause.happens), ("rule", cause.rule), ("loses", cause.loses), ("instead", cause.instead),
        ("forms", _counted(finding)), ("example", _example(finding)), ("shows", short(finding.difference)),
        ("seen", finding.confirmed or "on no machine yet" * (cause.harm != REFUSED)),
    ):  # fmt: skip
        yield from paragraph(label, words, width, 2)


def _counted(finding: CauseFinding) -> str:
    emitted = (
        "all as compilers emit them" if finding.emitted == finding.forms
        else "none as compilers emit them" if not finding.emitted
        else f"{finding.emitted:,} as compilers emit them, the others with odd prefixes"
    )  # fmt: skip
    needless = f"; {finding.over_cautious:,} without need: a stepped copy is proved" * bool(finding.over_cautious)
    return f"{finding.forms:,}, {emitted}{needless}"


def _example(finding: CauseFinding) -> str:
    behind = f" followed by {finding.followed_by}" if finding.followed_by else ""
    return f"{finding.example}{behind}  {finding.text}" if finding.example else ""


def _forms(document: Survey, finding: CauseFinding, width: int) -> Iterator[str]:
    names = [f"{r.form}{'' if r.emitted else ' (odd)'}" for r in document.forms if r.cause == finding.cause.name]
    for i, line in enumerate(items(names, width - 11)):
        yield f"  {'names' if i == 0 else '':<9}{line}"


def _scheme_wide(console: Console, document: Survey, every: bool) -> None:
    """Deviations that forms share, reported once; their names alone where not every finding is explained."""
    irregular = [r for r in document.forms if r.irregular == "refuted" and r.verdict != "refuted"]
    if not irregular and not document.deviations:
        return
    _print(console, "\nDeviations of the scheme, which forms share (`schemes NAME` says more)", "bold")
    names = items((entry.name for entry in document.deviations), console.width - 2)
    for line in [] if every else (f"  {line}" for line in names):
        _print(console, line)
    for entry in document.deviations if every else ():
        for line in hanging(entry_line(entry), console.width):
            _print(console, line)
    if irregular:
        said = (
            f"irregular-prefixes: repeated or misplaced REX, or more than four different legacy prefixes: "
            f"{len(irregular):,} forms that are otherwise sound are refuted in such encodings (field `irregular`)"
        )
        for line in hanging(said, console.width):
            _print(console, line)


def entry_line(entry: SharedDeviation) -> str:
    """Name and sentence, and whether an assumption keeps the deviation out of the verdicts."""
    return f"{entry.name}: {entry.sees}" + (" (left out of the forms' verdicts)" if entry.left_out else "")


def print_totals(console: Console, document: Survey) -> None:
    """Totals by verdict and how much was shared."""
    totals, obligations = document.totals, document.obligations
    parts = ", ".join(f"{totals[v]:,} {v}" for v in VERDICTS)
    _print(console, "")
    for line in items(f"Totals: {len(document.forms):,} forms: {parts}".split(", "), console.width):
        _print(console, line, "bold")
    _print(
        console,
        f"Obligations: {obligations.total:,}, distinct after sharing and identity: {obligations.distinct:,}; "
        f"{document.seconds:.1f} s",
    )
