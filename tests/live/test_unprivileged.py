"""Without privileges the processor still judges, and what the kernel's judge lacks is said with status 2."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.live,
    pytest.mark.needs("root", "setpriv"),
]
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
HIDDEN = ("unshare", "-m", "--propagation", "private", "sh", "-c",
          'mount -t tmpfs none /sys/bus/event_source/devices && exec "$@"', "sh")  # fmt: skip


def ran(around: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*around, sys.executable, "-m", "verify.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_processor_judges_without_privileges() -> None:
    done = ran(UNPRIVILEGED, "confirm", "semantics", "00-03", "--states", "16", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "0 unexplained" in done.stdout


@pytest.mark.parametrize(
    ("around", "reason"), [(UNPRIVILEGED, "capability CAP_PERFMON"), (HIDDEN, "kernel option CONFIG_UPROBE_EVENTS")]
)
@pytest.mark.parametrize(
    "arguments", [("confirm", "kernel", "90"), ("confirm", "cost"), ("insn", "9c", "--confirm")]
)
def test_what_is_missing_is_named(around: tuple[str, ...], reason: str, arguments: tuple[str, ...]) -> None:
    done = ran(around, *arguments)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"missing: a mount namespace: {done.stderr.strip()}")
    assert done.returncode == 2, done.stderr
    assert reason in " ".join((done.stdout + done.stderr).split())  # whatever was wrapped
    assert "Traceback" not in done.stderr
