"""The HTML report: whole pages, links that lead somewhere, nothing from a network, nothing that is not escaped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from typing import Any

import pytest

from verify.models.x86.machine import OBSERVABLES
from verify.report.causes import CauseFinding, CauseRow
from verify.report.html.compared import comparison, overview
from verify.report.html.frame import Frame
from verify.report.html.site import map_file, site
from verify.report.html.style import SEARCH
from verify.report.judged import CounterexampleRow
from verify.report.surveys import FormRow, Obligations, Survey

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "input", "link", "br"}


class Page(HTMLParser):
    """What a page has: ids, links, and what of its elements is not closed in order."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open, self.faults = list[str](), list[str]()
        self.ids, self.links, self.labels = list[str](), list[str](), list[str]()
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [given["id"]] if given.get("id") else []  # type: ignore[list-item]
        self.links += [given[k] or "" for k in ("href", "src") if k in given]
        self.labels += [given["aria-label"] or ""] if "aria-label" in given else []

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def form(name: str, opcode: str, verdict: str = "proved", **fields: Any) -> FormRow:
    given: dict[str, Any] = dict(
        mnemonic=name.partition("_")[0].lower(), addressing="none", irregular=None, reason="", refused_with=(),
        over_cautious=False, obligations=0, rests_on=(), observables=dict.fromkeys(OBSERVABLES, verdict),
    )  # fmt: skip
    return FormRow(form=name, opcode=opcode, verdict=verdict, **(given | fields))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def survey() -> Survey:
    example = CounterexampleRow(
        bytes="9c", observable="memory-values", vendor="amd", origin="0x401000", slot="0x7fffffffe080",
        initial={"rsp": "0x1000"}, in_place={"write 0": "0x0202"}, displaced={"write 0": "0x0302"},
        first_difference="write 0: in place 0x0202, displaced 0x0302", also_refuted=("trap",),
    )  # fmt: skip
    cause = CauseRow(name="tf-in-pushed-flags", harm="visible only to debuggers", happens=EVIL, rule="r", loses="l",
                     instead="i")  # fmt: skip
    finding = CauseFinding(cause=cause, forms=1, emitted=1, form="PUSHFQ/none", example="9c", text="pushfq",
                           confirmed="9c on Linux 6.18")
    forms = (
        form("PUSHFQ/none", "9c", "refuted", cause=cause.name, emitted=True, counterexample=example, reason=EVIL),
        form("VZEROUPPER/none", "vex.0f.77"), form("NOP/none", "90"), form("SYSCALL/none", "0f05"),
    )  # fmt: skip
    return Survey(
        version="1", scheme="s", cpu="any", assumptions=("a",), rests_on={"a": 1}, deviations=(), seconds=0.0,
        totals={"proved": 3, "refuted": 1}, obligations=Obligations(total=0, distinct=0), causes=(finding,),
        forms=forms,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pages(survey: Survey) -> dict[str, str]:
    return dict(site(survey, Frame("s"), {"NOP/none": "7 statements, abc"}))


def test_pages_are_whole(pages: dict[str, str]) -> None:
    for name, content in pages.items():
        if name.endswith(".html"):
            found = Page(content)
            assert not found.faults and not found.open, name
            assert len(found.ids) == len(set(found.ids)), name


def test_every_link_leads_to_a_page_and_a_place_on_it(pages: dict[str, str]) -> None:
    ids = {name: set(Page(content).ids) for name, content in pages.items() if name.endswith(".html")}
    searched = [row[3] for row in json.loads(pages["search.js"].removeprefix("window.ROWS=").rstrip(";\n"))]
    for name in ids:
        for to in [*Page(pages[name]).links, *searched]:
            file, _, place = to.partition("#")
            assert file in pages and (not place or place in ids[file]), f"{name}: {to}"


def test_nothing_comes_from_a_network_and_nothing_is_unescaped(pages: dict[str, str]) -> None:
    for content in pages.values():
        assert not re.search(r"https?://|@import|url\(", content)
        assert EVIL not in content


def test_a_cell_says_its_verdict_in_words_and_a_form_has_its_counterexample(pages: dict[str, str]) -> None:
    assert "one byte 9c: refuted" in Page(pages["index.html"]).labels
    page = pages[map_file("one byte")]
    assert "0x202" in page and "0x302" in page and 'href="index.html#tf-in-pushed-flags"' in page


def test_a_form_has_its_evidence_and_where_its_cause_was_seen(pages: dict[str, str]) -> None:
    page = pages[map_file("one byte")]
    assert page.count("7 statements, abc") == 1 and page.count("9c on Linux 6.18") == 1


def test_schemes_side_by_side(survey: Survey) -> None:
    found = Page(overview([survey, survey], Frame(schemes=["s", "t"])))
    assert not found.faults and found.links == ["compare.html", "s/index.html", "s/index.html"]


def test_two_schemes_are_compared_by_a_letter_a_cell(survey: Survey) -> None:
    page = comparison([survey], Frame(schemes=["s"]))
    given = json.loads(page.partition("window.MAPS=")[2].partition(";\n")[0])
    assert not Page(page).faults
    cells = given["schemes"]["s"]["one byte"]
    assert (len(cells), cells[0x9C], cells[0x90], cells[0x00]) == (256, "R", ".", " ")
    assert given["files"]["vex.0f"] == "map-vex-0f.html" and given["words"]["R"] == "refuted"


def test_where_one_can_go_from_a_page(survey: Survey) -> None:
    """Of several schemes each has a folder; the same page under another one is a link."""
    frame = Frame("s", ["s", "t"], protocols=True, costs=True)
    links = Page(str(frame.navigation("map-0f.html"))).links
    assert links == ["index.html", "../index.html", "../compare.html", "../protocols.html", "../costs.html",
                     "../s/map-0f.html", "../t/map-0f.html"]  # fmt: skip


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's search")
@pytest.mark.parametrize(("query", "first"), [
    ("vzeroupper", "VZEROUPPER/none"), ("9c", "PUSHFQ/none"), ("0x9C", "PUSHFQ/none"), ("syscall", "SYSCALL/none"),
    ("pushf", "PUSHFQ/none"), ("nothing", None), ("", None),
])  # fmt: skip
def test_the_search_finds_mnemonics_forms_and_bytes(query: str, first: str | None, pages: dict[str, str]) -> None:
    asks = f"console.log(JSON.stringify(found(globalThis.window.ROWS, {json.dumps(query)}, 5)))"
    script = f"globalThis.window = {{}}; {pages['search.js']}; {_without_page(SEARCH)}; {asks}"
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    assert (rows[0][0] if rows else None) == first


def _without_page(script: str) -> str:
    """The functions alone: what begins when a page is there needs one."""
    return script.partition("if (typeof window")[0]
