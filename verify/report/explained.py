"""One encoding explained, as text: what it is, what a probe does with it, why the program can notice, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from verify.report.causes import CauseRow
from verify.report.judged import CounterexampleRow
from verify.report.surveys import ExplainedEncoding, ExplainedPlace
from verify.report.wrapped import differing, items, paragraph, plain

LABEL: Final = 15  # columns
VECTORS: Final = {  # SDM vol. 3, table 6-1; 0xfe, 0xff: how a state says that there is no such exception
    0: "#DE", 1: "#DB", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 7: "#NM", 8: "#DF", 10: "#TS", 11: "#NP", 12: "#SS",
    13: "#GP", 14: "#PF", 16: "#MF", 17: "#AC", 19: "#XM", 21: "#CP", 0xFE: "another signal", 0xFF: "none",
}  # fmt: skip


def lines(row: ExplainedEncoding, width: int, every: bool) -> Iterator[str]:
    """The whole explanation; `every`: also the plan as it is kept, the assumptions, further counterexamples."""
    yield from _pairs(_what_it_is(row), width)
    for i, cause in enumerate(row.causes):
        yield from _cause(cause, width, i)
    yield from _pairs(_verdicts(row, every), width)
    yield from _pairs((("assumptions", _assumptions(row, every)), ("rests on", ", ".join(row.rests_on))), width)
    if every:
        yield from _plan(row)
    for example in ([row.counterexample] if row.counterexample is not None else []) + list(row.further):
        yield from _example(example, width)


def _assumptions(row: ExplainedEncoding, every: bool) -> str:
    names = ", ".join(row.assumptions) or "none"
    return names if every or not row.assumptions else f"{len(row.assumptions)} in force (--all lists them)"


def place_lines(row: ExplainedPlace, width: int) -> Iterator[str]:
    """Where a place lies, and what the implementation says to a probe there."""
    yield from _pairs(
        (
            ("file", row.file), ("place", row.place), ("address", f"{row.address:#x}"),
            ("file offset", f"{row.offset:#x}"), ("a probe here", row.answer),
            ("boundary", f"no: {row.inside}" if row.inside else ""), *(("remark", r) for r in row.remarks),
        ), width
    )  # fmt: skip
    if not isinstance(row.encoding, ExplainedEncoding):
        yield from _pairs((("bytes", row.encoding.bytes), ("verdict", row.encoding.verdict),
                           ("reason", row.encoding.reason)), width)  # fmt: skip


def _what_it_is(row: ExplainedEncoding) -> Iterator[tuple[str, str]]:
    yield "bytes", row.bytes
    yield "instruction", row.text
    yield "form", row.form
    yield "memory style", ", ".join(row.memory_styles or ())
    yield "undefined", row.undefined or ""
    yield "scheme", row.scheme
    yield "followed by", row.followed_by
    for i, sentence in enumerate(row.words):
        yield "when probed" * (i == 0), sentence
    yield "verdict", row.verdict
    yield "reason", row.reason if row.verdict not in {"refuted", "refused"} else _remark(row)
    yield "kernel", row.kernel
    yield "reproducer", ", ".join(row.reproducer or ())
    yield "its state", row.reproducer_state


def _remark(row: ExplainedEncoding) -> str:
    """What the reason of a refutation says besides which observables differ."""
    if not row.undefined_without:
        return ""
    return f"undefined on processors without {', '.join(row.undefined_without)}, runs on when probed"


def _pairs(pairs: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    for label, value in pairs:
        yield from paragraph(label, value, width, 0, LABEL)


def _cause(cause: CauseRow, width: int, number: int) -> Iterator[str]:
    yield from _pairs(
        (
            ("cause" if number == 0 else "also", f"{cause.name} ({cause.harm})"), ("  what", cause.happens),
            ("  rule", cause.rule), ("  loses", cause.loses), ("  instead", cause.instead),
        ), width
    )  # fmt: skip


def _verdicts(row: ExplainedEncoding, every: bool) -> Iterator[tuple[str, str]]:
    """The observables by verdict, what is not proved first."""
    for verdict in ("refuted", "unknown", "vacuous", "refused", "proved"):
        names = [o for o, v in row.verdicts.items() if v == verdict]
        if names and verdict != "refused":
            yield verdict, ", ".join(names)


def _plan(row: ExplainedEncoding) -> Iterator[str]:
    for i, line in enumerate(row.plan.splitlines()):
        yield f"{'plan' if i == 0 else '':<{LABEL}}{line}"


def _example(row: CounterexampleRow, width: int) -> Iterator[str]:
    behind = f", followed by {row.followed_by}" if row.followed_by else ""
    yield f"counterexample of {row.observable}, on {row.vendor.upper()} processors{behind}"
    initial = [f"{name} = {plain(value)}" for name, value in row.initial.items()]
    yield from _part("before", [*initial, "all else 0" if initial else "all registers 0"], width)
    yield from _part("", [f"the instruction at {plain(row.origin)}", f"the slot at {plain(row.slot)}"], width)
    sides: tuple[list[str], list[str]] = [], []
    for name, here in row.in_place.items():
        shown, *values = differing(name, here, row.displaced[name])
        for side, value in zip(sides, values, strict=True):
            side.append(f"{shown} = {_named(name, value)}{' (a stand-in)' * (name in row.stand_ins)}")
    for label, side in zip(("in place", "probed"), sides, strict=True):
        yield from _part(label, side or ["nothing that is listed"], width)


def _named(name: str, value: str) -> str:
    """The value, the vector of an exception by its name."""
    vector = name in {"fault vector", "trapno"} and value.startswith("0x")
    return VECTORS.get(int(value, 16), value) if vector else value


def _part(label: str, values: list[str], width: int) -> Iterator[str]:
    for i, line in enumerate(items(values, width - LABEL)):
        yield f"  {label if i == 0 else '':<{LABEL - 2}}{line}"
