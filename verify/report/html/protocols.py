"""Pages of protocols: state counts and verdicts as recorded, and traces as sequence diagrams to step through.

A trace is a table, a column an actor, a row a step, that can be read without a script; with one it is stepped back and
forth, and the values of all variables that it changes stand beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from verify.report.explorations import DescribedProtocol, EventRow, Explored, Manifest, RecordedRun, TraceRow
from verify.report.html.elements import Html, element, link, page, pairs, table, text
from verify.report.html.frame import PROTOCOLS, Frame
from verify.report.html.style import STEPPING

NONE: Final[frozenset[int]] = frozenset()
COUNTS: Final = frozenset({1, 2, 3, 4})
HOW: Final = "`interleavings --variant all --format json > runs.jsonl`, then `report DIR --with runs.jsonl`"


@dataclass(frozen=True, slots=True)
class Protocols:
    """What is known of protocols: what they are, what is recorded, what was explored with its traces."""

    described: Sequence[DescribedProtocol] = ()
    manifests: Sequence[Manifest] = ()
    explored: Sequence[Explored] = ()


def protocol_pages(known: Protocols, frame: Frame) -> Iterator[tuple[str, str]]:
    """File names and contents; nothing where no protocol is known."""
    if known.described:
        yield PROTOCOLS, _overview(known, frame)
    recorded = {m.protocol: m.runs for m in known.manifests}
    for item in known.described:
        runs = [e for e in known.explored if e.protocol == item.protocol]
        yield file_of(item.protocol), _page(item, recorded.get(item.protocol, ()), runs, frame)


def file_of(protocol: str) -> str:
    """The page of a protocol."""
    return f"protocol-{protocol}.html"


def _overview(known: Protocols, frame: Frame) -> str:
    largest = {m.protocol: max((r.states for r in m.runs if not r.variant), default=0) for m in known.manifests}
    rows = (
        (link(file_of(d.protocol), d.protocol), text(f"{largest.get(d.protocol, 0):,}"), text(len(d.properties)),
         text(len(d.variants)), text(sum(len(e.traces) for e in known.explored if e.protocol == d.protocol)),
         text(d.question))
        for d in known.described
    )  # fmt: skip
    head = ("protocol", "states, at most", "properties", "variants", "traces", "question")
    return page("ubp-verify: protocols", frame.navigation(PROTOCOLS), table("Protocols", head, rows, COUNTS))


def _page(item: DescribedProtocol, runs: Sequence[RecordedRun], explored: Sequence[Explored], frame: Frame) -> str:
    name = file_of(item.protocol)
    traces = [(e, t) for e in explored for t in e.traces]
    missing = [] if traces else [element("p", text(f"No traces are in this report: {HOW}."), class_="dim")]
    shown = (_trace(e, t, item, i) for i, (e, t) in enumerate(traces))
    return page(
        f"ubp-verify: protocol {item.protocol}", frame.navigation(name), element("p", text(item.question)),
        _counts(runs), table("Properties", ("property", "verdict"), map(_verdict, item.properties.items()), NONE),
        element("h2", text("Assumptions")), pairs((n, text(says)) for n, says in item.assumptions.items()),
        element("h2", text("What goes wrong in its variants, step by step")), *missing, *shown,
        Html(f"<script>{STEPPING}</script>"),
    )  # fmt: skip


def _counts(runs: Sequence[RecordedRun]) -> Html:
    rows = (
        (text(r.variant or "as it is"), text(r.threads), text(f"{r.states:,}"), text(f"{r.transitions:,}"),
         text("" if r.depth is None else r.depth),
         text(", ".join(n for n, v in r.properties.items() if v == "refuted")))
        for r in runs
    )  # fmt: skip
    head = ("variant", "threads", "states", "transitions", "depth", "refuted")
    return table("States, as recorded", head, rows, COUNTS) if runs else Html("")


def _verdict(row: tuple[str, str]) -> tuple[Html, Html]:
    return text(row[0]), element("span", text(row[1]), class_=f"verdict {row[1]}")


def _trace(run: Explored, trace: TraceRow, item: DescribedProtocol, number: int) -> Html:
    title = f"{run.variant or run.protocol}: {trace.property} is violated in {trace.length} steps"
    known = item.variants.get(run.variant or "")
    actors = list(dict.fromkeys(e.actor for e in trace.events))
    rows = (_step(i, event, actors) for i, event in enumerate(trace.events, 1))
    end = [] if trace.loop is None else [element("p", text(f"Then it goes on from step {trace.loop} for ever."))]
    given = [[e.actor, e.action, [[c.variable, c.before, c.after] for c in e.changes]] for e in trace.events]
    content = (
        element("summary", text(title)),
        *([element("p", text(known.question))] if known else []),
        element("div", table(title, ("step", *actors, "what changes"), rows, NONE), class_="sequence"), *end,
    )  # fmt: skip
    return element("details", *content, class_="trace", id=f"trace-{number}", data_steps=json.dumps(given))


def _step(number: int, event: EventRow, actors: Sequence[str]) -> tuple[Html, ...]:
    changes = ", ".join(f"{c.variable} {c.before} → {c.after}" for c in event.changes)
    there = (element("b", text(event.action)) if a == event.actor else Html("") for a in actors)
    return text(number), *there, text(changes)
