"""Ctrl-C ends a run as incomplete, with what it found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from verify.concurrency import compiled

RUN = "from verify.cli_interleavings import interleavings; interleavings()"
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("engine", ["numpy", pytest.param("c", marks=pytest.mark.skipif(
    compiled.compiler() is None, reason="no C compiler on this machine"))])  # fmt: skip
def test_interrupted_search_reports_what_it_found(engine: str) -> None:
    arguments = [
        "xol-step",
        "--threads",
        "6" if engine == "c" else "5",
        "-p",
        "M=12",
        "-p",
        "R=6",
        "--engine",
        engine,
        "--format",
        "json",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments, "--memory", "2000"],
        stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    time.sleep(6)
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2, output
    found = json.loads(output)
    assert (found["complete"], found["reason"]) == (False, "interrupted")
    assert found["states"] > 0
