"""--jobs, --ledger, -q, -v and examples: alike on every command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from verify.cli import cli, status
from verify.cli.common import NAME, given, with_common
from verify.cli.interleavings import _Run
from verify.concurrency.explorer import explore
from verify.concurrency.protocols import protocol
from verify.concurrency.results.exploration import Limits


def commands(group: click.Group = cli) -> Iterator[click.Command]:
    """Every command, those of groups included."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command)
        else:
            yield command


@pytest.mark.parametrize("command", list(commands()), ids=lambda c: str(c.name))
def test_every_command_takes_the_common_options_once_and_has_examples(command: click.Command) -> None:
    options = [name for p in command.params for name in p.opts]
    assert all(options.count(name) == 1 for name in ("--jobs", "--ledger", "-q", "--quiet", "-v", "--verbose"))
    assert re.search(r"^Examples:\n  .*\bubp-verify ", command.epilog or "", re.M)


@pytest.mark.parametrize("name", ["--jobs", "--ledger", "--quiet", "--verbose"])
def test_an_option_of_the_commands_own_is_left_alone(name: str) -> None:
    command = with_common(click.Command("c", params=[click.Option([name])]))
    assert [name in p.opts for p in command.params].count(True) == 1 and len(command.params) == 4


def test_what_was_given_for_an_option_that_the_command_did_not_declare(tmp_path: Path) -> None:
    seen = []

    @click.command()
    def command() -> None:
        seen.extend((given("ledger"), given("jobs"), given("verbose")))

    with_common(command).main(["--ledger", str(tmp_path), "-v"], standalone_mode=False)
    assert seen == [str(tmp_path), None, True]


def test_verbose_says_a_step_a_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["interleavings", "ref-count", "inline-step", "--threads", "2"]
    assert status([*asked, "-v"]) == 0
    assert capsys.readouterr().err == "ubp-verify: ref-count, 2 threads\nubp-verify: inline-step, 2 threads\n"
    assert status(asked) == 0
    assert capsys.readouterr().err == ""


def test_quiet_says_nothing_before_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = protocol("ref-count").with_variant("no-lock")
    (trace,) = explore(chosen, 2, "python").traces
    run = _Run("python", "text", Limits(), 1, (), None)
    run.early(chosen, trace)
    assert "is violated" in capsys.readouterr().err
    with click.Context(click.Command("c")) as context:
        context.meta[NAME] = {"quiet": True}
        run.early(chosen, trace)
    assert capsys.readouterr().err == ""


def test_an_interrupt_says_what_was_not_begun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("verify.cli.interleavings.explore", stopped)
    assert status(["interleavings", "ref-count", "xol-step", "jump-xol", "--threads", "2"]) == 130
    said = "ubp-verify: interrupted at ref-count; 0 of 3 done before it; not begun: xol-step, jump-xol\n"
    assert capsys.readouterr().err == said
