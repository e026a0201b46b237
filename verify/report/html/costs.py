"""What a probe hit costs, as it was measured: bars on a logarithmic scale, and the numbers."""

from __future__ import annotations

from math import floor, log10
from typing import Final

from verify.report.confirmations import CostConfirmation, CostRow
from verify.report.html.elements import Html, element, joined, page, table, text
from verify.report.html.frame import COSTS, Frame

WIDTH, ROW, LEFT, RIGHT = 840, 28, 240, 100  # pixels
SMALL: Final = 100  # cycles below which tenths are told
NUMBERS: Final = frozenset({1, 2})


def costs_page(costs: CostConfirmation, frame: Frame) -> str:
    """The page of costs."""
    rows = [
        (text(r.name), text(_cycles(r)), text(f"{r.discussed:,}"), text(r.reason))
        for r in costs.rows
    ]
    return page(
        "ubp-verify: what a probe hit costs", frame.navigation(COSTS),
        element("p", text(f"{costs.unit}, on Linux {costs.kernel}, {costs.processor}. The scale is logarithmic.")),
        element("div", _chart([r for r in costs.rows if r.cycles]), class_="scroll", tabindex="0"),
        table("Cycles of a hit", ("way to probe", "measured", "as discussed", "not measured since"), rows, NUMBERS),
    )  # fmt: skip


def _cycles(row: CostRow) -> str:
    if row.cycles is None:
        return ""
    return f"{row.cycles:,.{1 if row.cycles < SMALL else 0}f}"


def _chart(rows: list[CostRow]) -> Html:
    most = max((floor(log10(max(r.cycles or 1, 1))) + 1 for r in rows), default=1)
    scale = (WIDTH - LEFT - RIGHT) / most
    height = ROW * (len(rows) + 1)
    ticks = joined(_tick(10**i, LEFT + i * scale, height) for i in range(most + 1))
    bars = joined(_bar(r, i, max(log10(max(r.cycles or 1, 1)) * scale, 1)) for i, r in enumerate(rows))
    said = "; ".join(f"{r.name} {_cycles(r)} cycles" for r in rows)
    return element("svg", ticks, bars, viewBox=f"0 0 {WIDTH} {height}", width=f"{WIDTH}", role="img", aria_label=said)


def _tick(value: int, x: float, height: int) -> Html:
    line = element("line", x1=f"{x:.0f}", x2=f"{x:.0f}", y1="0", y2=f"{height - ROW}", class_="tick")
    return joined((line, element("text", text(f"{value:,}"), x=f"{x:.0f}", y=f"{height - 8}", text_anchor="middle")))


def _bar(row: CostRow, i: int, length: float) -> Html:
    y = i * ROW
    return joined((
        element("text", text(row.name), x=f"{LEFT - 8}", y=f"{y + 18}", text_anchor="end"),
        element("rect", x=f"{LEFT}", y=f"{y + 4}", width=f"{length:.0f}", height=f"{ROW - 8}", class_="bar"),
        element("text", text(_cycles(row)), x=f"{LEFT + length + 6:.0f}", y=f"{y + 18}"),
    ))  # fmt: skip
