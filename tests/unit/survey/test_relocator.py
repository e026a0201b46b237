"""Relocators outside of this project: the examples' faults found and mended, and whatever else a program may do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import run
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.external.relocation import Ends
from verify.report.relocations import RelocatedEncoding
from verify.survey.asked import Relocator
from verify.survey.explanation import CPUS
from verify.survey.relocator import relocator_row

EXAMPLES = Path(__file__).parents[3] / "examples" / "relocators"
PYTHON = [sys.executable, str(EXAMPLES / "small.py")]
LOOP = """import json, sys
for line in sys.stdin:
    q = json.loads(line)
    b, o, s = q['bytes'], q['origin'], q['slot']
"""


def rows(command: list[str], *texts: str, ends: Ends = Ends.JUMP, patience: float = 5.0) -> list[RelocatedEncoding]:
    with Relocator(command, patience) as asked:
        return [relocator_row(bytes.fromhex(t), asked, ends, CPUS["any"], ASSUMPTIONS) for t in texts]


def answering(body: str) -> list[str]:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return [sys.executable, "-c", f"{LOOP}{lines}    sys.stdout.flush()\n"]


def test_the_example_in_python_is_proved_for_all_addresses() -> None:
    found = rows(PYTHON, "90", "55", "c3", "eb10", "ebfe", "7510", "4889d8")
    assert [r.verdict for r in found] == ["proved"] * 6 + ["refused"]
    assert not any(r.addresses for r in found)


def test_its_fault_is_found() -> None:
    for row in rows([*PYTHON, "--faulty"], "eb10", "7510"):
        assert (row.verdict, row.observables) == ("refuted", ("next-ip",))
        assert row.counterexample is not None and "rip" in row.reason


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_example_in_c_its_fault_found_and_mended(tmp_path: Path) -> None:
    for name, flags, verdict in (("right.so", (), "proved"), ("wrong.so", ("-DFAULTY",), "refuted")):
        library = tmp_path / name
        command = ["cc", "-shared", "-fPIC", *flags, "-o", str(library), str(EXAMPLES / "small.c")]
        subprocess.run(command, check=True)
        child = [sys.executable, "-m", "verify.survey.library_child", str(library)]
        relative, plain = rows(child, "488b0511223344", "488b06")
        assert (relative.verdict, plain.verdict) == (verdict, "proved")


def test_what_moves_otherwise_is_judged_for_these_addresses_only() -> None:
    body = "back = ((o + 1 - s - 6) % 2**32).to_bytes(4, 'little').hex()\n"
    body += "print(json.dumps({'code': b + 'e9' + back + '90' * (s & 1)}))"
    row = rows(answering(body), "90")[0]
    assert (row.verdict, row.addresses) == ("proved", "for these addresses only")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit(3)", "silence: it ended with status 3"), ("import os; os.abort()", "crash: signal 6"),
        ("print('what')", "wrong answer: no JSON"), ("print('[]')", "wrong answer: no object"),
        ("print('{}')", "wrong answer: no code"), ("print(json.dumps({'code': ''}))", "wrong answer: no bytes"),
        ("print(json.dumps({'code': '90' * 300}))", "wrong answer: more than 256 bytes"),
        ("print(json.dumps({'code': 'zz'}))", "wrong answer: no code in hex"),
    ],
)
def test_what_is_no_answer_is_named_and_the_next_question_is_asked(body: str, said: str) -> None:
    command = answering(f"if b == '90':\n    {body}\nelse:\n    print(json.dumps({{'refused': 'not mine'}}))")
    found = rows(command, "90", "91", "90")
    assert [r.verdict for r in found] == ["unknown", "refused", "unknown"]
    assert found[0].reason.startswith(said) and found[2].reason.startswith(said)


def test_one_that_hangs_is_told() -> None:
    found = rows([sys.executable, "-c", "import sys\nfor line in sys.stdin: pass"], "90", patience=0.1)
    assert (found[0].verdict, found[0].reason) == ("unknown", "hang: no answer")


def test_the_command(tmp_path: Path) -> None:
    command = " ".join(PYTHON)
    status, said = run("relocator", "--command", command, "c3", "--format", "json")
    answers = [json.loads(line) for line in said.splitlines()]
    assert status == 0 and {a["verdict"] for a in answers} == {"proved", "refused"}
    copying = tmp_path / "copying.py"
    copying.write_text(answering("print(json.dumps({'code': b}))")[2], encoding="utf-8")
    assert run("relocator", "--command", f"{sys.executable} {copying}", "f8", "--check")[0] == 1
    for arguments, why in (
        ((), "--command or --library"), (("--command", ""), "--command is empty"),
        (("--command", "no-such-program-here"), "cannot be started"),
        (("--command", "x", "--library", "y"), "--command or --library"), (("--command", "'x"), "No closing quotation"),
    ):
        status, said = run("relocator", *arguments, "90")
        assert status == 64 and why in said
