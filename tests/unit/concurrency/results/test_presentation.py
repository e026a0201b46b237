"""Traces are shown with step, thread, action and change, and in the formats of other tools."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import command_line
import networkx as nx
import pytest

from verify.concurrency.explicit.shortest import contains
from verify.concurrency.explorer import distinct, explore
from verify.concurrency.instance.instance import instantiate
from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Refuted, Trace
from verify.concurrency.results.presentation import itf, mermaid, rows, svg, table, trace_row
from verify.concurrency.results.projection import projection, trace_graph, write

WRONG = protocol("xol-step").with_variant("uprobe-removed-first")
STARVED = protocol("xol-step").with_variant("weakly-fair-slots")


def shown(name: str = "no_sigtrap") -> Trace:
    chosen, threads = (STARVED, 3) if name.startswith("a_") else (WRONG, 2)
    verdict = explore(chosen, threads).verdict(name)
    assert isinstance(verdict, Refuted)
    assert verdict.trace is not None
    return verdict.trace


def test_table_has_one_row_a_step_with_what_changed() -> None:
    found = rows(shown())
    assert [row[0] for row in found] == ["1", "2", "3", "4", "5", "6"]
    assert found[-1] == ("6", "thread 0", "sigtrap", "pc recheck → killed")
    assert table(shown()).splitlines()[0].split() == ["step", "thread", "action", "what", "changed"]


def test_mermaid_names_every_participant_and_closes_its_loop() -> None:
    text = mermaid(shown("a_waiting_thread_gets_a_slot"))
    assert text.startswith("sequenceDiagram\n    participant p0 as prober")
    assert text.count("loop for ever") == 1
    assert text.rstrip().endswith("end")


def test_svg_is_well_formed_and_shows_every_action() -> None:
    trace = shown()
    root = ElementTree.fromstring(svg(trace))
    text = "".join(root.itertext())
    assert all(f"{i + 1}. {event.action}" in text for i, event in enumerate(trace.events))


def test_itf_holds_every_state_and_the_loop() -> None:
    trace = shown("a_waiting_thread_gets_a_slot")
    found = json.loads(json.dumps(itf(instantiate(STARVED, 3), trace)))
    assert len(found["states"]) == len(trace.events) + 1
    assert set(found["states"][0]) == {*found["vars"], "#meta"}
    start, end = (dict(found["states"][i]) for i in (found["loop"], -1))
    assert {k: v for k, v in start.items() if k != "#meta"} == {k: v for k, v in end.items() if k != "#meta"}


@pytest.mark.parametrize("threads", [2, 3])
def test_quotient_of_prober_and_thread_has_26_nodes_and_52_edges(threads: int, tmp_path: Path) -> None:
    graph = projection(instantiate(protocol("xol-step"), threads))
    assert (len(graph), graph.number_of_edges()) == (26, 52)
    write(graph, tmp_path / "g.graphml")
    assert len(nx.read_graphml(tmp_path / "g.graphml")) == 26
    write(graph, tmp_path / "g.dot")
    assert (tmp_path / "g.dot").read_text().count("->") == 52
    with pytest.raises(ValueError, match="graphml"):
        write(graph, tmp_path / "g.png")


def test_lasso_graph_has_a_cycle_and_a_path_has_none() -> None:
    assert not nx.is_directed_acyclic_graph(trace_graph(shown("a_waiting_thread_gets_a_slot")))
    assert nx.is_directed_acyclic_graph(trace_graph(shown()))


def run(*arguments: str) -> tuple[int, str]:
    return command_line.run("interleavings", *arguments)


def test_json_has_the_fields_that_others_rely_on() -> None:
    status, output = run("xol-step", "--threads", "2", "--variant", "no-read-lock", "--format", "json")
    found = json.loads(output)
    assert status == 0
    wanted = {"protocol", "variant", "threads", "states", "transitions", "depth", "complete", "properties", "traces"}
    assert wanted <= set(found)
    assert (found["states"], found["transitions"], found["complete"]) == (4857, 14428, True)
    assert found["properties"]["no_sigtrap"] == "refuted"
    assert [trace["length"] for trace in found["traces"]] == [9]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("xol-step", "--threads", "2"), 0),
        (("xol-step", "--threads", "2", "--check"), 0),
        (("xol-step", "--variant", "no-read-lock"), 0),
        (("xol-step", "--variant", "no-read-lock", "--check"), 1),
        (("xol-step", "--threads", "5", "--engine", "numpy", "--memory", "1"), 2),
        (("no-such-protocol",), 64),
        (("xol-step", "--variant", "none"), 64),
        (("xol-step", "--threads", "0"), 64),
        (("xol-step", "-p", "K=x"), 64),
        (("xol-step", "-p", "Z=1"), 64),
    ],
)
def test_exit_status(arguments: tuple[str, ...], status: int) -> None:
    assert run(*arguments)[0] == status


def test_text_names_the_violated_property_and_the_bound_that_was_hit() -> None:
    assert "no_sigtrap is violated in 6 steps" in run("xol-step", "--variant", "uprobe-removed-first")[1]
    assert "incomplete: more than" in run("xol-step", "--threads", "5", "--engine", "numpy", "--memory", "1")[1]


def test_distinct_counterexamples_are_printed(tmp_path: Path) -> None:
    status, output = run("xol-step", "--variant", "uprobe-removed-first", "-k", "3", "--traces", str(tmp_path))
    assert status == 0
    assert output.count("no_sigtrap is violated") == 3
    assert len(list(tmp_path.glob("*.svg"))) == len(list(tmp_path.glob("*.itf.json"))) == 6


def test_counterexamples_are_more_than_renamed_or_longer_ones() -> None:
    found = distinct(WRONG, explore(WRONG, 2), "no_sigtrap", 4)
    assert [len(trace.events) for trace in found] == [6, 6, 7, 7]  # two, and two that are one of them with a step added
    first, second, *longer = (trace.events for trace in found)
    assert not contains(first, second) and not contains(second, first)
    assert all(contains(more, first) or contains(more, second) for more in longer)


def test_a_renamed_counterexample_is_the_same() -> None:
    events = shown().events
    swapped = tuple(
        replace(e, actor={"thread 0": "thread 1", "thread 1": "thread 0"}.get(e.actor, e.actor)) for e in events
    )
    assert swapped != events
    assert contains(swapped, events) and contains(events, swapped)
    assert not contains(events[::-1], events)


def test_itf_has_the_fields_of_the_format() -> None:
    """Apalache ADR 015: `#meta` with format, description and source; `params`; `vars`; `states` with their index."""
    found = json.loads(json.dumps(itf(instantiate(WRONG, 2), shown())))
    assert set(found) == {"#meta", "params", "vars", "states"}
    assert found["#meta"]["format"] == "ITF"
    assert found["#meta"]["parameters"]["K"] == 2
    assert [state["#meta"]["index"] for state in found["states"]] == list(range(7))
    assert all(isinstance(v, bool | int | str) for s in found["states"] for k, v in s.items() if k != "#meta")


def test_svg_names_the_property_and_what_changed_and_fits() -> None:
    root = ElementTree.fromstring(svg(shown("a_waiting_thread_gets_a_slot")))
    text = "".join(root.itertext())
    assert "a_waiting_thread_gets_a_slot" in text
    assert "pc wait → slot" in text
    assert "from here again and again" in text
    assert all(0 <= float(node.get("x", "0")) < float(root.get("width", "0")) for node in root.iter())


def test_protocols_lists_variants_with_what_is_expected() -> None:
    output = command_line.run("protocols", "--format", "json")[1]
    found = {item["protocol"]: item for item in map(json.loads, output.splitlines())}
    assert found["xol-step"]["variants"]["no-read-lock"]["expected"] == {"no_sigtrap": "refuted"}


def test_a_trace_says_where_it_starts_where_that_is_one_of_several(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from verify.concurrency.language.protocol import *\n"
        "p = Description('mine', 'q', shared={'n': Bounded(0, 3, initial=ANY), 'm': Bool()}, local={'pc': Enum('a')})\n"
        "@p.step()\n"
        "def go(s: Shared, t: Thread) -> None:\n"
        "    if s.n == 2:\n"
        "        s.m = True\n"
        "@p.always\n"
        "def off(s: Shared) -> Claim:\n"
        "    return not s.m\n"
        "PROTOCOL = p.protocol()\n"
    )
    chosen = protocol(str(file))
    verdict = explore(chosen, 1).verdict("off")
    assert isinstance(verdict, Refuted) and verdict.trace is not None
    assert verdict.trace.start == (("n", "2"),)
    assert trace_row(verdict.trace).start == {"n": "2"}
    assert table(verdict.trace).splitlines()[1].split() == ["0", "start", "n", "2"]
    assert "start<br/>n 2" in mermaid(verdict.trace)
    assert "start: n 2" in svg(verdict.trace)
    usual = explore(protocol("xol-step").with_variant("no-read-lock")).verdict("no_sigtrap")
    assert isinstance(usual, Refuted) and usual.trace is not None and usual.trace.start == ()
