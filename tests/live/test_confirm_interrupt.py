"""Ctrl-C during a confirmation: the results so far, status 130, and neither a probe nor a process is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EVENTS = Path("/sys/kernel/tracing/uprobe_events")
pytestmark = pytest.mark.live


def members(group: int) -> list[str]:
    """The processes of a process group; zombies are gone already."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        state, _, pgrp = text.rpartition(")")[2].split()[:3]
        if int(pgrp) == group and state != "Z":
            found.append(text)
    return found


@pytest.mark.parametrize(("mode", "processes", "said"), [  # for the first two: two workers, and a child of one
    pytest.param(("semantics", "--jobs", "2"), 4, "forms executed", marks=pytest.mark.needs("executor")),
    pytest.param(("kernel", "--jobs", "2", "--although"), 4, "encodings compared", marks=pytest.mark.needs("kernel")),
    pytest.param(("litmus",), 2, "show what the model forbids", marks=pytest.mark.needs("litmus")),
    pytest.param(("races",), 2, "scenarios on", marks=pytest.mark.needs("uprobes")),
])  # fmt: skip
def test_an_interrupt_leaves_nothing_behind(mode: tuple[str, ...], processes: int, said: str) -> None:
    command = [sys.executable, "-m", "verify.cli", "confirm", *mode]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0)
    while len(members(child.pid)) < processes and child.poll() is None:
        time.sleep(0.1)
    time.sleep(1)
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate()
    assert child.returncode == 130, err
    assert "interrupted" in err and "Traceback" not in err
    assert said in out
    assert members(child.pid) == []
    assert not EVENTS.exists() or "ubp_verify" not in EVENTS.read_text()
