"""Traces for people and tools: table, sequence diagram (Mermaid and SVG), ITF JSON, and plain JSON objects.

ITF is the Informal Trace Format of Apalache (ADR 015): states as objects, `loop` where a lasso returns.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from verify.concurrency.instance.instance import Model
from verify.concurrency.language.domains import Bool, Bounded
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.results.exploration import Event, Exploration, Trace, Unknown, Vacuous
from verify.report.explorations import ChangeRow, EventRow, Explored, TraceRow

Json = dict[str, object]
LANE, ROW, TOP, LETTER = 190, 34, 60, 7  # of the SVG, in pixels
ITF = "https://apalache-mc.org/docs/adr/015adr-trace.html"


def changes(event: Event) -> str:
    """What an event changed, on one line; the actor's own variables without its name."""
    own = event.actor + ": "
    return ", ".join(f"{name.removeprefix(own)} {before} → {after}" for name, before, after in event.changes)


def started(trace: Trace) -> str:
    """Where a run that may start otherwise starts, on one line; empty where there is one initial state."""
    return ", ".join(f"{name} {value}" for name, value in trace.start)


def rows(trace: Trace) -> list[tuple[str, str, str, str]]:
    """(step, thread, action, what changed) of each event, and of the start where there are several; a lasso's loop is
    marked at the step where it begins."""
    found = [("0", "", "start", started(trace))] if trace.start else []
    for number, event in enumerate(trace.events):
        mark = "↻ " if trace.loop == number else ""
        found.append((f"{mark}{number + 1}", event.actor, event.action, changes(event)))
    if trace.loop == len(trace.events):
        found.append(("↻", "all", "stay", "nothing fair is enabled any more"))
    return found


def table(trace: Trace) -> str:
    """The interleaving as an aligned table."""
    lines = [("step", "thread", "action", "what changed"), *rows(trace)]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    text = ["  ".join([*(line[i].ljust(widths[i]) for i in range(3)), line[3]]).rstrip() for line in lines]
    if trace.loop is not None and trace.loop < len(trace.events):
        text.append(f"and again from step {trace.loop + 1}, for ever")
    return "\n".join(text)


def lanes(trace: Trace) -> tuple[str, ...]:
    """Who takes part, in order of appearance."""
    return tuple(dict.fromkeys(event.actor for event in trace.events))


def mermaid(trace: Trace) -> str:
    """The interleaving as a Mermaid sequence diagram."""
    names = {actor: f"p{number}" for number, actor in enumerate(lanes(trace))}
    lines = ["sequenceDiagram", *(f"    participant {short} as {actor}" for actor, short in names.items())]
    indent = "    "
    if trace.start and names:
        lines.append(f"{indent}Note over {next(iter(names.values()))}: start<br/>{started(trace)}")
    for number, event in enumerate(trace.events):
        if trace.loop == number:
            lines.append(f"{indent}loop for ever")
        text = f"{event.action}<br/>{changes(event)}".replace(";", ",").replace("#", "")
        lines.append(f"{indent}Note over {names[event.actor]}: {text}")
    if trace.loop is not None and trace.loop < len(trace.events):
        lines.append(f"{indent}end")
    return "\n".join(lines) + "\n"


def svg(trace: Trace) -> str:
    """The interleaving as an SVG sequence diagram: a lane for each actor, and what changed beside them."""
    actors = lanes(trace)
    beside, bottom = 20 + max(1, len(actors)) * LANE, TOP + ROW * (len(trace.events) + 1)
    texts = [trace.property, "start: " + started(trace), *map(changes, trace.events)]
    width = beside + 20 + LETTER * max(map(len, texts))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom}" font-family="sans-serif">',
        f"<title>{html.escape(trace.property)}</title>",
        f'<rect width="{width}" height="{bottom}" fill="white"/>',
        f'<text x="{beside}" y="24" font-weight="bold" fill="#a00">{html.escape(trace.property)}</text>',
    ]
    if trace.start:
        said = html.escape(f"start: {started(trace)}")
        parts.append(f'<text x="{beside}" y="40" font-size="11" fill="#333">{said}</text>')
    for lane, actor in enumerate(actors):
        x = 20 + LANE * lane + LANE // 2
        parts.append(f'<text x="{x}" y="24" text-anchor="middle" font-weight="bold">{html.escape(actor)}</text>')
        parts.append(f'<line x1="{x}" y1="34" x2="{x}" y2="{bottom - 10}" stroke="#999" stroke-dasharray="4 3"/>')
    for number, event in enumerate(trace.events):
        last = number == len(trace.events) - 1 and trace.loop is None
        y = TOP + ROW * number
        parts += _row(number, event, 20 + LANE * actors.index(event.actor), y, "#fdd" if last else "#eef")
        parts.append(f'<text x="{beside}" y="{y + 3}" font-size="11" fill="#333">{html.escape(changes(event))}</text>')
    return "\n".join([*parts, *_mark(trace, beside), "</svg>"]) + "\n"


def _row(number: int, event: Event, x: int, y: int, fill: str) -> list[str]:
    """The box of one event."""
    return [
        f'<rect x="{x + 8}" y="{y - 14}" width="{LANE - 16}" height="24" rx="4" fill="{fill}" stroke="#446"/>',
        f'<text x="{x + LANE // 2}" y="{y + 3}" text-anchor="middle" font-size="12">{number + 1}. '
        f"{html.escape(event.action)}</text>",
    ]


def _mark(trace: Trace, width: int) -> list[str]:
    """The line from which a lasso goes round for ever."""
    if trace.loop is None:
        return []
    y = TOP + ROW * trace.loop - 17
    return [
        f'<line x1="4" y1="{y}" x2="{width}" y2="{y}" stroke="#a00"/>',
        f'<text x="{width}" y="{y + 3}" font-size="10" fill="#a00">from here again and again</text>',
    ]


def itf(model: Model, trace: Trace) -> Json:
    """The interleaving in the Informal Trace Format."""
    states: list[Json] = []
    for number, state in enumerate(trace.states):
        values: Json = {"#meta": {"index": number}}
        if number:
            values["#meta"] = {"index": number, "action": _action(trace.events[number - 1])}
        cells = model.cells(state)
        for slot in model.slots:
            values[slot.label] = _itf_value(slot.domain, cells[slot.number], slot.text(cells[slot.number]))
        states.append(values)
    found: Json = {
        "#meta": {
            "format": "ITF",
            "format-description": ITF,
            "source": model.protocol.name,
            "variant": model.protocol.variant,
            "status": f"violates {trace.property}",
            "description": f"{model.protocol.name}: {trace.property}",
            "parameters": {name: value for name, value in model.protocol.parameters},
        },
        "params": [],
        "vars": [slot.label for slot in model.slots],
        "states": states,
    }
    if trace.loop is not None:
        found["loop"] = trace.loop
    return found


def _action(event: Event) -> str:
    return f"{event.actor}: {event.action}"


def _itf_value(domain: object, value: int, text: str) -> object:
    if isinstance(domain, Bool):
        return bool(value)
    return value if isinstance(domain, Bounded) else text


def trace_row(trace: Trace, threads: int | None = None) -> TraceRow:
    """A trace for programs; `threads`: how many it takes, where the result is for any number."""
    events = tuple(
        EventRow(actor=event.actor, action=event.action,
                 changes=tuple(ChangeRow(variable=name, before=old, after=new) for name, old, new in event.changes))
        for event in trace.events
    )  # fmt: skip
    return TraceRow(
        threads=threads, property=trace.property, length=len(events), loop=trace.loop, start=dict(trace.start),
        events=events,
    )  # fmt: skip


def explored_document(found: Exploration, traces: Sequence[Trace]) -> Explored:
    """The result of one exploration for programs; `depth` is null where the engine does not measure it."""
    return Explored(
        protocol=found.protocol, variant=found.variant or None, threads=found.threads,
        parameters=dict(found.parameters), engine=found.engine, symmetric=found.symmetric, states=found.states,
        transitions=found.transitions, stored=found.stored, depth=found.depth if found.depth >= 0 else None,
        complete=found.complete, reason=found.reason,
        properties={name: verdict.name for name, verdict in found.properties},
        never_taken=found.never,
        reasons={name: v.reason for name, v in found.properties if isinstance(v, Vacuous | Unknown) and v.reason},
        traces=tuple(map(trace_row, traces)), seconds=round(found.seconds, 3), bytes=found.bytes,
    )  # fmt: skip


def _never(chosen: Protocol, found: Exploration) -> str:
    """The steps that were never taken; of those of more threads than there were, how many it takes."""
    many = {step.name: len(step.threads) for step in chosen.steps}
    short = (f" (of {many[name]} threads)" if many[name] > found.threads else "" for name in found.never)
    return ", ".join(name + note for name, note in zip(found.never, short, strict=True))


def explored_text(chosen: Protocol, found: Exploration, shown: Sequence[Trace]) -> str:
    """Verdicts, counts and traces of one exploration for people."""
    name = found.protocol + (f" ({found.variant})" if found.variant else "")
    sizes = ", ".join(f"{key}={value}" for key, value in found.parameters)
    depth = f", depth {found.depth}" if found.depth >= 0 else ""
    stored = f", {found.stored:,} orbits" if found.symmetric else ""
    lines = [
        f"{name}: {chosen.question}",
        f"  {found.threads} threads" + (f"; {sizes}" if sizes else ""),
        f"  {found.states:,} states, {found.transitions:,} transitions{depth}{stored}; "
        f"engine {found.engine}, {found.seconds:.2f} s" + ("" if found.complete else f"; incomplete: {found.reason}"),
    ]
    for prop, verdict in found.properties:
        reason = f" ({verdict.reason})" if isinstance(verdict, Unknown | Vacuous) else ""
        lines.append(f"  {verdict.name:8} {prop}{reason}")
    if found.never:
        lines.append(f"  never    taken: {_never(chosen, found)}")
    for trace in shown:
        lines += ["", f"  {trace.property} is violated in {len(trace.events)} steps:"]
        lines += ["    " + line for line in table(trace).splitlines()]
    assumed = ", ".join(item.name for item in chosen.in_force)
    return "\n".join([*lines, f"  assumptions: {assumed or 'none'}", ""])
