"""A survey as a static site: totals, findings by cause, opcode maps; behind each cell its forms, explained.

Every cell, form and cause has an address.  The first page is small; the forms of a map are on a page of their own, and
the words that are searched in a file that is loaded with the first letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from verify.report.causes import CauseFinding
from verify.report.html.elements import Html, element, joined, link, page, pairs, table, text
from verify.report.html.frame import INDEX, Frame
from verify.report.judged import CounterexampleRow
from verify.report.opcode_map import CELLS, REGISTERS, maps, place
from verify.report.records import VERDICTS
from verify.report.surveys import FormRow, Survey
from verify.report.wrapped import differing, plain, short

HEX: Final = "0123456789abcdef"
WORDS: Final = {"odd": "refuted or refused with prefixes alone that compilers do not emit"}
NONE: Final[frozenset[int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Told:
    """What a form's cell says besides its row: by form its recorded evidence, by cause where it was seen."""

    evidence: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[str, str] = field(default_factory=dict)


def site(survey: Survey, frame: Frame, evidence: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """File names and contents; `evidence`: by form, what is said of it."""
    told = Told(evidence or {}, {f.cause.name: f.confirmed for f in survey.causes if f.confirmed})
    yield INDEX, _index(survey, frame)
    for name, rows in _by_map(survey.forms).items():
        yield map_file(name), _map_page(survey, name, rows, frame, told)
    yield "search.js", f"window.ROWS={json.dumps([_searched(r) for r in survey.forms], separators=(',', ':'))};\n"


def map_file(name: str) -> str:
    """The page of a map."""
    return f"map-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.html"


def address(row: FormRow) -> str:
    """The address of a form."""
    return f"{map_file(place(row)[0])}#{row.form}"


def _searched(row: FormRow) -> tuple[str, str, str, str, str]:
    example = row.counterexample.bytes if row.counterexample is not None else ""
    return row.form, row.mnemonic.lower(), example, address(row), row.verdict


def _by_map(rows: Sequence[FormRow]) -> dict[str, list[FormRow]]:
    found: dict[str, list[FormRow]] = {name: [] for name in maps(rows)}
    for row in rows:
        found[place(row)[0]].append(row)
    return found


def _index(survey: Survey, frame: Frame) -> str:
    totals = ", ".join(f"{survey.totals.get(v, 0):,} {v}" for v in VERDICTS)
    search = element("label", text("Search a mnemonic, a form or bytes: "), Html('<input id="search" type="search">'))
    return page(
        f"ubp-verify: {survey.scheme}", frame.navigation(INDEX),
        element("p", text(f"{len(survey.forms):,} forms: {totals}. Processor {survey.cpu}.")),
        search, Html('<ul id="found" aria-live="polite"></ul>'),
        element("h2", text("Findings by cause, the most harmful first")), joined(map(_cause, survey.causes)),
        element("h2", text("Opcode maps")), legend(), element("div", *_maps(survey), class_="maps"),
        element("h2", text("Deviations that forms share")),
        pairs((d.name, text(f"{d.sees}. Instead: {d.instead}.")) for d in survey.deviations),
        element("h2", text("Assumptions, and forms that rest on them")),
        element("p", text(", ".join(f"{n} {survey.rests_on.get(n, 0):,}" for n in survey.assumptions) or "none")),
        element("p", text("Out of scope: timing, LBR, PMU, SGX."), class_="dim"),
    )  # fmt: skip


def _cause(finding: CauseFinding) -> Html:
    cause = finding.cause
    forms = f"{finding.forms:,} form{'s' * (finding.forms != 1)}"
    said = f"{cause.name}: {cause.harm}, {forms}, {finding.emitted:,} as compilers emit them"
    example = f"{finding.example} {finding.text}; {short(finding.difference)}" if finding.example else ""
    rows = (
        ("what happens", cause.happens), ("rule", cause.rule), ("the program loses", cause.loses),
        ("instead", cause.instead), ("example", example), ("seen on a machine", finding.confirmed),
    )  # fmt: skip
    return element("details", element("summary", text(said)), pairs((t, text(w)) for t, w in rows), id=cause.name)


def legend() -> Html:
    """What the letters and colours of a map mean."""
    parts = (
        element("span", text(f"{letter} {WORDS.get(name, name)}"), class_=f"verdict {name}")
        for name, (letter, _) in CELLS.items()
    )
    return element("p", Html(" ".join(parts)), text(" An empty cell is no opcode."))


def _maps(survey: Survey) -> Iterator[Html]:
    for name, cells in maps(survey.forms).items():
        title = element("h3", link(map_file(name), f"{name}: forms"))
        yield element("section", title, element("div", _grid(name, cells), class_="scroll"))


def _grid(name: str, cells: Mapping[int, str]) -> Html:
    head = element("tr", Html("<td></td>"), *(element("th", text(f"_{low}"), scope="col") for low in HEX))
    lines = (
        element("tr", element("th", text(f"{HEX[high]}_"), scope="row"),
                *(_cell(name, high << 4 | low, cells.get(high << 4 | low)) for low in range(16)))
        for high in range(16)
    )  # fmt: skip
    return element("table", element("caption", text(f"Opcode map {name}")), head, *lines, class_="map")


def _cell(name: str, byte: int, shown: str | None) -> Html:
    if shown is None:
        return element("td")
    said = f"{name} {byte:02x}: {WORDS.get(shown, shown)}"
    first = byte & ~7 if (name, byte & ~7) in REGISTERS else byte
    to = f"{map_file(name)}#b{first:02x}"
    return element("td", link(to, CELLS[shown][0], aria_label=said, title=said), class_=shown)


def _map_page(survey: Survey, name: str, rows: Sequence[FormRow], frame: Frame, told: Told) -> str:
    by_byte: dict[int, list[FormRow]] = {}
    for row in rows:
        by_byte.setdefault(place(row)[1], []).append(row)
    sections = (
        element("section", element("h2", text(f"{byte:02x}")), *(_form(r, told) for r in of), id=f"b{byte:02x}")
        for byte, of in sorted(by_byte.items())
    )
    grid = element("div", _grid(name, maps(rows)[name]), class_="scroll")
    navigation = frame.navigation(map_file(name))
    return page(f"{survey.scheme}: opcode map {name}", navigation, legend(), grid, *sections)


def _form(row: FormRow, told: Told) -> Html:
    verdict = element("span", text(row.verdict), class_=f"verdict {row.verdict}")
    cause = text(f" {row.cause}{'' if row.emitted is not False else ', odd prefixes alone'}" if row.cause else "")
    summary = element("summary", verdict, text(f" {row.form}"), cause)
    return element("details", summary, _inside(row, told), id=row.form)


def _inside(row: FormRow, told: Told) -> Html:
    by_verdict = ((v, [o for o, of in row.observables.items() if of == v]) for v in VERDICTS)
    found: list[tuple[str, Html]] = [(v, text(", ".join(names))) for v, names in by_verdict if v != "refused"]
    cause = link(f"{INDEX}#{row.cause}", row.cause) if row.cause else Html("")
    seen = told.seen.get(row.cause, "") if row.verdict == "refuted" else ""
    found += [
        ("cause", cause), ("the cause was seen", text(seen)), ("reason", text(row.reason)),
        ("rests on", text(", ".join(row.rests_on))), ("refused with", text("; ".join(row.refused_with))),
        ("recorded evidence", text(told.evidence.get(row.form, ""))),
    ]  # fmt: skip
    return joined((pairs(found), _example(row.counterexample) if row.counterexample is not None else Html("")))


def _example(row: CounterexampleRow) -> Html:
    """The counterexample as a difference of registers and memory."""
    initial = ", ".join(f"{n} = {plain(v)}" for n, v in row.initial.items()) or "all registers 0"
    behind = f" followed by {row.followed_by}" if row.followed_by else ""
    before = f"{row.bytes}{behind} at {plain(row.origin)}, slot at {plain(row.slot)}; before: {initial}"
    return joined((element("p", text(before)), table(f"Counterexample of {row.observable}", _HEAD, _sides(row), NONE)))


_HEAD: Final = ("", "in place", "probed")


def _sides(row: CounterexampleRow) -> Iterable[tuple[Html, Html, Html]]:
    for name, here in row.in_place.items():
        shown, one, other = differing(name, here, row.displaced[name])
        yield text(shown), text(one), text(other)
