"""Results as text for a terminal or a pipe: tables grouped by opcode range and lists of findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.table import Table

from verify.report.records import VERDICTS
from verify.report.surveys import CounterexampleRow, FormRow, SharedDeviation, Survey

COLOURS: Final = {"proved": "green", "refuted": "red", "refused": "yellow", "vacuous": "magenta", "unknown": "magenta"}
_LONG: Final = re.compile(r"0x[0-9a-f]{16,}([0-9a-f]{16})\b")
SCOPE: Final = "Out of scope: timing, LBR, PMU, SGX, other threads' view of a stack slot while a call is fixed up."


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


def range_table(rows: Sequence[FormRow]) -> Table:
    """Forms by opcode range and verdict, with the observables that are refuted there."""
    table = Table(title="Forms by opcode range", title_justify="left")
    table.add_column("opcodes", no_wrap=True)
    table.add_column("forms", justify="right")
    for verdict in VERDICTS:
        table.add_column(verdict, justify="right", style=COLOURS[verdict])
    table.add_column("refuted observables", overflow="fold")
    for name, group in groupby(sorted(rows, key=_order), key=group_name):
        members = list(group)
        counts = [sum(r.verdict == v for r in members) for v in VERDICTS]
        table.add_row(name, str(len(members)), *(str(c) if c else "·" for c in counts), _observables(members))
    return table


def _order(row: FormRow) -> tuple[int, str]:
    name = group_name(row)
    return ("." in name) * 2 + name.startswith("0f"), name


def _observables(rows: Iterable[FormRow]) -> str:
    names: dict[str, int] = {}
    for row in rows:
        for observable, verdict in row.observables.items():
            if verdict == "refuted":
                names[observable] = names.get(observable, 0) + 1
    return ", ".join(f"{n} {c}" for n, c in sorted(names.items(), key=lambda item: -item[1]))


def finding_lines(rows: Sequence[FormRow]) -> Iterable[str]:
    """One line an unsound form: name, refuted observables, an encoding, the first difference."""
    for row in rows:
        if row.verdict != "refuted":
            continue
        refuted = ",".join(o for o, v in row.observables.items() if v == "refuted")
        yield f"{row.opcode:<16} {row.form:<44} {refuted:<40} {_example(row.counterexample)}"


def _example(example: CounterexampleRow | None) -> str:
    """The encoding, what stands behind it where that matters, and the difference, its long values cut to 16 digits."""
    if example is None:
        return ""
    behind = f" followed by {example.followed_by}" if example.followed_by else ""
    return f"{example.bytes}{behind}  " + _LONG.sub(r"0x…\1", example.first_difference)


def cautious_lines(rows: Sequence[FormRow]) -> Iterable[str]:
    """One line a form that is refused without need."""
    for row in rows:
        if row.over_cautious:
            yield f"{row.opcode:<16} {row.form:<44} {row.reason}"


def print_survey(console: Console, document: Survey, every: bool) -> None:
    """The whole survey: table, unsound forms, over-cautious forms, deviations of the scheme, totals."""
    rows = document.forms
    console.print(f"Scheme {document.scheme}, processor {document.cpu}", highlight=False)
    resting = ", ".join(f"{n} {document.rests_on[n]:,}" for n in document.assumptions)
    console.print(f"Assumptions, and forms that rest on them: {resting or 'none'}", highlight=False)
    console.print(SCOPE, highlight=False)
    console.print(range_table(rows))
    _section(console, "Unsound: accepted and refuted", list(finding_lines(rows)), every)
    _section(console, "Over-cautious: refused, though a stepped copy is proved", list(cautious_lines(rows)), every)
    _scheme_wide(console, document)
    print_totals(console, document)


def _section(console: Console, title: str, lines: Sequence[str], every: bool) -> None:
    console.print(f"\n{title} ({len(lines)} forms)", style="bold", highlight=False)
    limit = len(lines) if every else 40
    for line in lines[:limit]:
        console.print("  " + line.rstrip(), highlight=False, markup=False, soft_wrap=True)
    if len(lines) > limit:
        console.print(f"  ... {len(lines) - limit} more; --all-findings or --format json shows them", highlight=False)


def _scheme_wide(console: Console, document: Survey) -> None:
    """Deviations that forms share, reported once."""
    irregular = [r for r in document.forms if r.irregular == "refuted" and r.verdict != "refuted"]
    if not irregular and not document.deviations:
        return
    console.print("\nDeviations of the scheme, which forms share (`schemes NAME` says more)", style="bold")
    for entry in document.deviations:
        console.print(f"  {entry_line(entry)}", highlight=False, markup=False, soft_wrap=True)
    if irregular:
        console.print(
            f"  irregular-prefixes: repeated or misplaced REX, or more than four different legacy prefixes: "
            f"{len(irregular)} forms that are otherwise sound are refuted in such encodings (field `irregular`)",
            highlight=False, soft_wrap=True,
        )  # fmt: skip


def entry_line(entry: SharedDeviation) -> str:
    """Name and sentence, and whether an assumption keeps the deviation out of the verdicts."""
    return f"{entry.name}: {entry.sees}" + (" (left out of the forms' verdicts)" if entry.left_out else "")


def print_totals(console: Console, document: Survey) -> None:
    """Totals by verdict and how much was shared."""
    totals, obligations = document.totals, document.obligations
    parts = ", ".join(f"{totals[v]:,} {v}" for v in VERDICTS)
    console.print(f"\nTotals: {len(document.forms):,} forms: {parts}", style="bold", highlight=False)
    console.print(
        f"Obligations: {obligations.total:,}, distinct after sharing and identity: {obligations.distinct:,}; "
        f"{document.seconds:.1f} s",
        highlight=False,
    )
