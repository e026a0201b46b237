"""Several schemes: their totals, causes side by side, and the opcode maps of any two, cells that differ marked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from verify.report.html.elements import Html, element, link, page, table, text
from verify.report.html.frame import COMPARE, INDEX, Frame
from verify.report.html.site import legend, map_file
from verify.report.html.style import COMPARING
from verify.report.opcode_map import CELLS, maps
from verify.report.records import VERDICTS
from verify.report.surveys import Survey

BYTES: Final = 256


def compared(surveys: Sequence[Survey], frame: Frame) -> Iterator[tuple[str, str]]:
    """File names and contents of the pages above the schemes' folders."""
    yield INDEX, overview(surveys, frame)
    yield COMPARE, comparison(surveys, frame)


def overview(surveys: Sequence[Survey], frame: Frame) -> str:
    """The first page where several schemes are reported: each with its totals, and causes side by side."""
    rows = [
        (link(f"{s.scheme}/{INDEX}", s.scheme), *(text(f"{s.totals.get(v, 0):,}") for v in VERDICTS)) for s in surveys
    ]
    counts = {s.scheme: {f.cause.name: f.forms for f in s.causes} for s in surveys}
    names = dict.fromkeys(f.cause.name for s in surveys for f in s.causes)
    side = [(text(n), *(text(counts[s.scheme].get(n, 0) or "") for s in surveys)) for n in names]
    numbers = frozenset(range(1, max(len(VERDICTS), len(surveys)) + 1))
    return page(
        "ubp-verify: schemes", frame.navigation(INDEX), table("Forms by verdict", ("scheme", *VERDICTS), rows, numbers),
        element("h2", text("Causes, side by side")),
        table("Forms by cause", ("cause", *(s.scheme for s in surveys)), side, numbers),
    )  # fmt: skip


def comparison(surveys: Sequence[Survey], frame: Frame) -> str:
    """The maps of two schemes that are chosen, drawn by a script from a letter a cell."""
    data = {s.scheme: {name: _letters(cells) for name, cells in maps(s.forms).items()} for s in surveys}
    files = {name: map_file(name) for s in surveys for name in maps(s.forms)}
    words = {letter: name for name, (letter, _) in CELLS.items()}
    given = json.dumps({"schemes": data, "files": files, "words": words}, separators=(",", ":")).replace("<", "\\u003c")
    choices = [_choice(n, label, [s.scheme for s in surveys], i) for i, (n, label) in enumerate(_SIDES)]
    return page(
        "ubp-verify: two schemes side by side", frame.navigation(COMPARE),
        element("p", *choices), legend(), element("p", text("A cell in a thick frame differs."), class_="dim"),
        Html('<p id="differs" aria-live="polite">This page needs scripts.</p><div id="maps"></div>'),
        Html(f"<script>window.MAPS={given};{COMPARING}</script>"),
    )  # fmt: skip


_SIDES: Final = (("left", "On the left: "), ("right", " On the right: "))


def _choice(name: str, label: str, schemes: Sequence[str], chosen: int) -> Html:
    options = (
        element("option", text(s), value=s, selected="selected" * (i == min(chosen, len(schemes) - 1)))
        for i, s in enumerate(schemes)
    )
    return element("label", text(label), element("select", *options, id=name))


def _letters(cells: dict[int, str]) -> str:
    return "".join(CELLS[cells[byte]][0] if byte in cells else " " for byte in range(BYTES))
