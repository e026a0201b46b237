"""A kernel judges the scheme that models it, and no other unless it is asked for all the same."""

from __future__ import annotations

import json
import re

import pytest

from verify.cli import status
from verify.confirm import judges
from verify.confirm.judges import another_version, has_judge, running
from verify.models.schemes.live import LINUX, LiveJudge
from verify.models.schemes.registry import SCHEMES

NEW, OLD = SCHEMES["linux-uprobes-6.18"], SCHEMES["linux-uprobes-3.15"]


@pytest.mark.parametrize(("release", "same"), [
    ("6.18.44-fc-v782", True), ("6.18", True), ("6.18-rc7", True), ("6.18.0+", True),
    ("6.1.18", False), ("6.180.1", False), ("6.1", False), ("16.18", False), ("3.15.10", False), ("", False),
])  # fmt: skip
def test_a_version_is_its_numbers(release: str, same: bool) -> None:
    assert LiveJudge(LINUX, "6.18").is_modelled(release) is same


@pytest.mark.parametrize("version", ["", "6.18-rc1", "6.", "six"])
def test_a_version_that_is_no_number_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="numbers with dots"):
        LiveJudge(LINUX, version)


@pytest.mark.parametrize(("release", "new", "old"), [("6.18.3", True, False), ("3.15.8", False, True)])
def test_every_kernel_judges_its_own_scheme(
    release: str, new: bool, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judges, "RELEASES", {LINUX: lambda: release})
    assert (another_version(NEW) == "", another_version(OLD) == "") == (new, old)


def test_a_scheme_that_models_nothing_that_runs_has_no_judge() -> None:
    assert [name for name, scheme in SCHEMES.items() if not has_judge(scheme)] == [
        "linux-uprobes-next", "jump-xol", "minhook", "xol-step", "inline-step", "inline-step-hwbp", "emulate",
        "kernel-exec-naive", "kernel-exec-checked", "kernel-exec-cpl2", "kernel-exec-rpl3", "gdb-displaced-13",
        "gdb-displaced-17", "identity",
    ]  # fmt: skip


def test_on_another_system_nothing_is_a_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "FreeBSD")
    assert "which is not what runs here" in another_version(NEW)


@pytest.mark.parametrize(("release", "machine", "name"), [
    ("6.18.44", "x86_64", "linux-uprobes-6.18"), ("6.1.170-generic", "x86_64", "linux-uprobes-6.1"),
    ("6.12.9", "x86_64", "linux-uprobes-6.12"), ("5.15.0-91", "x86_64", "linux-uprobes-5.15"),
    ("6.17.1", "x86_64", None), ("6.18.44", "aarch64", None), ("", "x86_64", None),
])  # fmt: skip
def test_running_is_the_scheme_of_the_running_kernel_or_a_usage_error(
    release: str, machine: str, name: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judges, "RELEASES", {LINUX: lambda: release})
    monkeypatch.setattr("platform.machine", lambda: machine)
    found = running(SCHEMES.values())
    assert (found.name if found else None) == name
    assert status(["insn", "f4", "--scheme", "running"]) == (0 if name else 64)
    captured = capsys.readouterr()
    assert name in captured.out if name else captured.err.startswith("ubp-verify: no scheme models what runs here")


@pytest.mark.parametrize(("command", "where"), [
    (("confirm", "kernel", "90"), "err"), (("insn", "90", "--confirm"), "out"),
])  # fmt: skip
@pytest.mark.parametrize(("scheme", "release"), [(NEW.name, "6.1.77"), (OLD.name, "6.18.44")])
def test_a_kernel_of_another_version_is_refused_in_a_line_that_names_both(
    command: tuple[str, ...], where: str, scheme: str, release: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(judges, "RELEASES", {LINUX: lambda: release})
    assert status([*command, "--scheme", scheme]) == 2
    captured = capsys.readouterr()
    lines = re.sub(r"\n {2,}(?=\S)", " ", getattr(captured, where)).splitlines()  # unwrapped
    said = [line for line in lines if "available here" in line]
    assert len(said) == 1 and captured.err.count("\n") == (where == "err")
    assert scheme in said[0] and f"Linux {release}" in said[0] and "--although" in said[0]


@pytest.mark.parametrize("arguments", [
    ("--scheme", "identity"), ("--scheme", "nope"), ("--scheme", "identity", "--although"),
])  # fmt: skip
def test_a_scheme_without_a_judge_is_wrong_usage(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(["confirm", "kernel", *arguments]) == 64
    err = capsys.readouterr().err
    assert arguments[1] in err and err.count("\n") == 1


def test_what_another_kernel_says_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judges, "RELEASES", {LINUX: lambda: "6.18.44"})
    monkeypatch.setattr("verify.cli.confirm_kernel.missing", lambda: ())
    assert status(["confirm", "kernel", "--scheme", OLD.name, "--although", "--store"]) == 64
    assert "of its own scheme" in capsys.readouterr().err


def test_it_compares_where_it_is_asked_for_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The agreement is of the scheme that was named, and says why the kernel is no judge of it."""
    asked = []

    def compared(agreement, ranges, step, jobs, judge, seconds, lost):
        asked.append((agreement.scheme, judge.scheme.name))
        agreement.complete = True
        yield ()

    monkeypatch.setattr(judges, "RELEASES", {LINUX: lambda: "6.18.44"})
    monkeypatch.setattr("verify.cli.confirm_kernel.missing", lambda: ())
    monkeypatch.setattr("verify.cli.confirm_kernel.compared", compared)
    command = ["confirm", "kernel", "90", "--scheme", OLD.name, "--although", "--format", "json"]
    assert status(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert asked == [(OLD.name, OLD.name)]
    assert found["scheme"] == OLD.name and "Linux 6.18.44 runs here" in found["although"]
