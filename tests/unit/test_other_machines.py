"""Models, solver layer, explorer and command line need no x86-64 processor; what does need it says so.

A process that takes its machine for another one, and may not run machine code, imports every module and runs commands.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ELSEWHERE = """
import mmap, os, platform, sys
platform.machine = lambda: "aarch64"
here = os.uname()
os.uname = lambda: os.uname_result((*here[:4], "aarch64"))

class NotExecutable(mmap.mmap):
    def __new__(cls, fileno, length, flags=mmap.MAP_SHARED, prot=mmap.PROT_WRITE | mmap.PROT_READ, **rest):
        if prot & mmap.PROT_EXEC:
            raise AssertionError("machine code was about to be run")
        return super().__new__(cls, fileno, length, flags, prot, **rest)

mmap.mmap = NotExecutable
"""
WORK = """
import contextlib, importlib, io, json, pkgutil, tempfile
import verify

def told(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = verify.cli.status(arguments)
        except SystemExit as end:
            status = end.code
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}

names = [module.name for module in pkgutil.walk_packages(verify.__path__, "verify.") if module.name[-8:] != "__main__"]
for name in names:
    importlib.import_module(name)
found = {"imported": names}
with tempfile.TemporaryDirectory() as place:
    found["insn"] = told("insn", "9c")
    found["range"] = told("opcode-range", "90", "--jobs", "1", "--format", "json", "--ledger", place)
    found["explored"] = told("interleavings", "xol-step", "--threads", "2")
    found["any"] = told("interleavings", "inline-step", "--threads", "any")
    for mode in ("semantics", "kernel", "cost", "litmus", "races"):
        found[mode] = told("confirm", mode)
print(json.dumps(found))
"""


@cache
def seen() -> dict[str, dict[str, object]]:
    command = [sys.executable, "-c", ELSEWHERE + WORK]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found: dict[str, dict[str, object]] = json.loads(run.stdout)
    return found


def test_every_module_is_imported() -> None:
    packages = {".".join(name.split(".")[:2]) for name in seen()["imported"]}
    needed = ("models", "smt", "concurrency", "report", "cli", "live")
    assert packages >= {"verify." + name for name in needed}


@pytest.mark.parametrize("command", ["insn", "range", "explored"])
def test_what_is_proved_or_explored_needs_no_processor(command: str) -> None:
    found = seen()[command]
    assert found["status"] == 0, found


def test_verdicts_are_those_of_any_machine() -> None:
    assert "refuted" in str(seen()["insn"]["out"])
    rows = json.loads(str(seen()["range"]["out"]))["forms"]
    assert {row["form"]: row["verdict"] for row in rows}["NOPD/none"] == "proved"
    assert "proved   no_sigtrap" in str(seen()["explored"]["out"])
    assert "proved   no_deadlock: any number of threads and any sizes" in str(seen()["any"]["out"])


@pytest.mark.parametrize("mode", ["semantics", "kernel", "cost", "litmus", "races"])
def test_a_judge_that_needs_the_processor_says_so_in_one_line(mode: str) -> None:
    found = seen()[mode]
    assert (found["status"], found["out"]) == (2, "")
    lines = str(found["err"]).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("ubp-verify: the judge is not available here: ")
    assert "x86-64" in lines[0] or "x86_64" in lines[0]


def test_the_guard_finds_machine_code() -> None:
    made = "import mmap\nmmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)"
    run = subprocess.run([sys.executable, "-c", ELSEWHERE + made], check=False, capture_output=True, text=True)
    assert "machine code was about to be run" in run.stderr
