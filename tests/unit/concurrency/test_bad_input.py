"""Wrong usage of `interleavings` ends with status 64 and says why; bounds with 2, Ctrl-C with 130, and the results."""

from __future__ import annotations

from pathlib import Path

import command_line
import pytest

from verify.concurrency import explorer
from verify.concurrency.protocols import protocol


def run(*arguments: str) -> tuple[int, str]:
    return command_line.run("interleavings", *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("xol-step", "--threads", "0"), "number from 1"),
        (("xol-step", "--threads", "-1"), "number from 1"),
        (("xol-step", "--threads", "99999999999999999999"), "number from 1"),
        (("xol-step", "--threads", "many"), "got 'many'"),
        (("xol-step", "--threads", "٣"), "got '٣'"),
        (("no-such",), "there are inline-step"),
        (("xol-step", "--variant", "none"), "there are cyclic"),
        (("xol-step", "-p", "Z=1"), "there are CYCLIC, K, M"),
        (("xol-step", "-p", "K"), "NAME=VALUE"),
        (("xol-step", "-p", "K=two"), "got 'K=two'"),
        (("xol-step", "-p", "K=true"), "K of xol-step is a number"),
        (("xol-step", "-p", "CYCLIC=2"), "CYCLIC of xol-step is a flag"),
        (("xol-step", "-p", "K=0"), "no values"),
        (("xol-step", "ref-count", "--export", "promela"), "2 were chosen"),
        (("ref-count", "--variant", "all", "--export", "murphi"), "7 were chosen"),
        (("ref-count", "--graph", "/no/such/folder/g.dot"), "cannot be written"),
        (("ref-count", "--graph", "g.png"), ".graphml"),
        (("ref-count", "--check", "--record"), "one of the two"),
        (("ref-count", "--threads", "any", "--graph", "g.dot"), "--graph"),
        (("ref-count", "--threads", "any", "--export", "promela"), "--export"),
        (("xol-step", "--threads", "any", "--record", "-p", "K=3"), "as they are"),
        (("xol-step", "--threads", "any", "--record", "--check"), "one of the two"),
        (("xol-step", "--threads", "any", "-p", "R=-1"), "no values"),
        (("xol-step", "-p", "K=1000"), "at most 128"),
        (("xol-step", "--threads", "20", "--engine", "numpy"), "63 bits"),
    ],
)
def test_wrong_usage_says_what_is_wrong(arguments: tuple[str, ...], said: str) -> None:
    status, output = run(*arguments)
    assert status == 64
    assert said in output


def test_a_graph_that_cannot_be_written_is_told_before_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verify.cli.interleavings.explore", lambda *_: pytest.fail("searched"))
    assert run("ref-count", "--graph", "/no/such/folder/g.dot")[0] == 64


def test_a_folder_for_traces_that_is_a_file_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, output = run("ref-count", "--traces", str(tmp_path / "file"))
    assert (status, "--traces" in output) == (64, True)


def test_graphs_and_traces_of_several_protocols_do_not_overwrite_each_other(tmp_path: Path) -> None:
    arguments = ("inline-step", "ref-count", "--variant", "all")
    assert run(*arguments, "--graph", str(tmp_path / "g.dot"), "--traces", str(tmp_path / "t"))[0] == 0
    cases = sum(1 + len(protocol(name).variants) for name in arguments[:2])
    assert len(list(tmp_path.glob("g-*.dot"))) == cases
    assert not (tmp_path / "g.dot").exists()
    shown = run(*arguments)[1].count(" is violated in ")
    assert shown == len(list((tmp_path / "t").glob("*.svg"))) == len(list((tmp_path / "t").glob("*.mmd")))


def test_one_protocol_has_its_graph_under_the_given_name(tmp_path: Path) -> None:
    assert run("ref-count", "--graph", str(tmp_path / "g.graphml"))[0] == 0
    assert (tmp_path / "g.graphml").exists()


def test_more_counterexamples_of_what_holds_are_none() -> None:
    status, output = run("ref-count", "-k", "3")
    assert (status, "violated" in output) == (0, False)


def test_a_memory_limit_ends_as_incomplete_with_what_was_found() -> None:
    status, output = run("xol-step", "--threads", "5", "--engine", "numpy", "--memory", "1")
    assert status == 2
    assert "incomplete: more than" in output
    assert "proved   signal_is_deferred" in output  # reached already: stands


@pytest.mark.parametrize("during", ["_liveness", "_refuted"])
def test_an_interrupt_after_the_search_keeps_its_verdicts(during: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(explorer, during, interrupted)
    found = explorer.explore(protocol("xol-step").with_variant("no-read-lock"))
    assert (found.complete, found.reason) == (False, "interrupted")
    assert found.verdict("no_sigtrap").name == "refuted"
    assert found.verdict("slot_is_owned").name == "proved"
    assert found.verdict("registering_ends").name == "unknown"
    assert not found.decided


def test_an_interrupt_elsewhere_ends_the_run_and_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("verify.cli.interleavings.explore", interrupted)
    status, output = run("ref-count", "inline-step")
    said = "ubp-verify: interrupted at ref-count; 0 of 2 done before it; not begun: inline-step\n"
    assert (status, output) == (130, said)
