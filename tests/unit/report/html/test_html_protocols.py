"""Pages of protocols and costs: what is recorded, and traces that can be read without a script."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from test_site import EVIL, Page

from verify.report.confirmations import CostConfirmation, CostRow
from verify.report.explorations import (
    ChangeRow,
    DescribedProtocol,
    EventRow,
    Explored,
    Manifest,
    RecordedRun,
    TraceRow,
    VariantRow,
)
from verify.report.html.costs import costs_page
from verify.report.html.frame import Frame
from verify.report.html.protocols import Protocols, protocol_pages

CHANGE = ChangeRow(variable="byte", before="original", after="int3")
EVENTS = (
    EventRow(actor="prober", action="write_int3", changes=(CHANGE,)),
    EventRow(actor="thread 0", action="hit", changes=()),
)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    described = DescribedProtocol(
        protocol="p", question=EVIL, threads=2, parameters={}, steps=("write_int3", "hit"),
        properties={"no_sigtrap": "proved"}, assumptions={"single-byte-write": "one byte"},
        variants={"v": VariantRow(question="what is wrong", expected={"no_sigtrap": "refuted"})},
    )  # fmt: skip
    run = RecordedRun(variant="", threads=2, parameters={}, states=1234, transitions=5678, orbits=None, depth=None,
                      properties={"no_sigtrap": "proved"}, shortest={})  # fmt: skip
    trace = TraceRow(property="no_sigtrap", length=2, loop=1, events=EVENTS)
    explored = Explored(
        protocol="p", variant="v", threads=2, parameters={}, engine="e", symmetric=False, states=1, transitions=1,
        stored=1, depth=1, complete=True, reason="", properties={"no_sigtrap": "refuted"}, never_taken=(), reasons={},
        traces=(trace,), seconds=0.0, bytes=0,
    )  # fmt: skip
    known = Protocols((described,), (Manifest(protocol="p", runs=(run,)),), (explored,))
    return dict(protocol_pages(known, Frame("s", protocols=True)))


def test_pages_are_whole_and_lead_to_each_other(pages: dict[str, str]) -> None:
    assert set(pages) == {"protocols.html", "protocol-p.html"}
    for content in pages.values():
        found = Page(content)
        assert not found.faults and not found.open and EVIL not in content
    assert "protocol-p.html" in Page(pages["protocols.html"]).links
    assert "protocols.html" in Page(pages["protocol-p.html"]).links


def test_what_is_recorded(pages: dict[str, str]) -> None:
    assert "1,234" in pages["protocols.html"]
    assert all(word in pages["protocol-p.html"] for word in ("1,234", "5,678", "single-byte-write", "what is wrong"))


def test_a_trace_is_a_table_a_column_an_actor(pages: dict[str, str]) -> None:
    page = pages["protocol-p.html"]
    table = page[page.index('class="sequence"') :]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)]
    assert rows == [
        ["step", "prober", "thread 0", "what changes"],
        ["1", "<b>write_int3</b>", "", "byte original → int3"], ["2", "", "<b>hit</b>", ""],
    ]  # fmt: skip
    assert "goes on from step 1 for ever" in table
    steps = re.search(r'data-steps="([^"]*)"', page)
    assert steps and json.loads(unescape(steps[1]))[0] == ["prober", "write_int3", [["byte", "original", "int3"]]]


def test_costs_are_bars_and_numbers() -> None:
    rows = (
        CostRow(name="stepped", cycles=10_000.0, discussed=1000, reason=""),
        CostRow(name="a jump", cycles=10.0, discussed=20, reason=""),
        CostRow(name="traced", cycles=None, discussed=1000, reason="no ptrace"),
    )
    costs = CostConfirmation(kernel="6.18", processor="c", seconds=0.0, complete=True, unit="cycles", rows=rows)
    page = costs_page(costs, Frame("s", costs=True))
    assert not Page(page).faults and "no ptrace" in page and "10,000" in page and "10.0" in page
    wide, narrow = (int(w) for w in re.findall(r'width="(\d+)" height="20" class="bar"', page))
    assert wide == 4 * narrow  # 4 decades and 1
