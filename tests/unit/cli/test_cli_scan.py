"""`ubp-verify scan`: what it prints, what it ends with."""

from __future__ import annotations

import csv
import io
import json
import mmap
import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from unit.elf.made import TEXT_AT, elf

from verify.cli import status
from verify.elf import processes
from verify.report.schemas import json_schema
from verify.report.surveys import ExplainedPlace, Scan

CODE = bytes.fromhex("4889d8c5fe7f03c3f490")  # mov; a store that is lost; ret; hlt; nop
FUNCTIONS = (("first", 0, 8), ("second", 8, 2))


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(elf(tmp_path / "program", CODE, FUNCTIONS))


def test_text(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["scan", file, "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "executable\n5 instructions of 5 encodings; scheme linux-uprobes-6.18, cpu any\n" in out
    assert "refuted                    1   20.00 %" in out
    assert "0x1003  first+0x3  vmovdqu [rbx],ymm0  (c5fe7f03)" in out


def test_check_ends_with_1_where_an_instruction_is_refuted(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["scan", file, "--jobs", "1", "--check"]) == 1
    assert status(["scan", file, "--jobs", "1", "--check", "--symbol", "second"]) == 0
    assert status(["scan", file, "--explain", "first+3", "--check"]) == 1
    assert "a probe here   accepted, and the program can notice it" in capsys.readouterr().out


def test_json_is_as_its_schema_says(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["scan", file, "--jobs", "1", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, json_schema(Scan))
    assert found["totals"] == {"proved": 3, "refuted": 1, "refused": 1}
    assert status(["scan", file, "--explain", hex(TEXT_AT + 1), "--format", "json"]) == 0
    place = json.loads(capsys.readouterr().out)
    jsonschema.validate(place, json_schema(ExplainedPlace))
    assert place["inside"] == "byte 1 of 3 of mov rax,rbx at first"


def test_csv_has_a_line_a_place(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["scan", file, "--jobs", "1", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(r["place"], r["offset"], r["verdict"]) for r in rows] == [
        ("first+0x3", "0x1003", "refuted"), ("second", "0x1008", "refused"),
    ]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), [
    (("--symbol", "third"), "no function 'third'"), (("--range", "5"), "--range is LOW-HIGH"),
    (("--range", "9-5"), "--range is LOW-HIGH"), (("--range", "0-16"), "no code there"),
    (("--explain", "0"), "no executable section"),
    (("--function-entries", "--symbol", "first"), "give one of them alone"),
    (("--scheme", "none"), "unknown scheme"),
])  # fmt: skip
def test_wrong_usage_is_a_line_and_64(
    arguments: tuple[str, ...], said: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(["scan", file, *arguments]) == 64
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


@pytest.mark.parametrize("name", [".", "missing", "text"])
def test_what_is_no_elf_file_is_wrong_usage(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("text\n")
    assert status(["scan", str(tmp_path / name)]) == 64
    assert capsys.readouterr().err.count("\n") == 1


def test_a_baseline_leaves_out_what_was_known(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status(["scan", file, "--jobs", "1", "--format", "json"])
    (tmp_path / "before.json").write_text(capsys.readouterr().out)
    known = ["scan", file, "--jobs", "1", "--baseline", str(tmp_path / "before.json"), "--check"]
    assert status(known) == 0
    assert "left out, as was asked for: 2" in capsys.readouterr().out
    worse = elf(Path(file), CODE.replace(bytes.fromhex("4889d8"), bytes.fromhex("9c9090")), FUNCTIONS)
    assert status([*known[:1], str(worse), *known[2:]]) == 1
    out = capsys.readouterr().out
    assert "tf-in-pushed-flags" in out and "vmovdqu" not in out


@pytest.mark.parametrize("option", [["--ignore", "vex-opcode-taken-for-legacy"], ["--observables", "flags"]])
def test_what_is_ignored_is_no_failure(option: list[str], file: str) -> None:
    assert status(["scan", file, "--jobs", "1", "--check"]) == 1
    assert status(["scan", file, "--jobs", "1", "--check", *option]) == 0


def test_sarif_names_rule_place_and_bytes(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """SARIF 2.1.0, 3.27: a result has the rule that its index names, and where it is."""
    assert status(["scan", file, "--jobs", "1", "--format", "sarif"]) == 0
    log = json.loads(capsys.readouterr().out)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert log["version"] == "2.1.0" and len(run["results"]) == 2
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] and result["message"]["text"]
    lost = next(r for r in run["results"] if r["ruleId"] == "vex-opcode-taken-for-legacy")
    (location,) = lost["locations"]
    assert lost["level"] == "error"
    assert location["physicalLocation"]["region"] == {"byteOffset": TEXT_AT + 3, "byteLength": 4}
    assert location["logicalLocations"] == [{"fullyQualifiedName": "first+0x3"}]


@pytest.mark.skipif("UBP_VERIFY_SARIF_SCHEMA" not in os.environ, reason="no file has the schema of SARIF 2.1.0")
def test_sarif_is_as_the_standards_schema_says(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The schema is not in this repository, OASIS's licence says nothing of that: UBP_VERIFY_SARIF_SCHEMA names it."""
    schema = json.loads(Path(os.environ["UBP_VERIFY_SARIF_SCHEMA"]).read_text())
    assert status(["scan", file, "--jobs", "1", "--format", "sarif"]) == 0
    log = json.loads(capsys.readouterr().out)
    jsonschema.Draft7Validator(schema).validate(log)
    log["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(log)


def test_junit_counts_what_it_lists(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["scan", file, "--jobs", "1", "--format", "junit"]) == 0
    whole = ElementTree.fromstring(capsys.readouterr().out)
    cases = whole.findall("./testsuite/testcase")
    assert whole.attrib["tests"] == str(len(cases)) == "2"
    assert whole.attrib["failures"] == str(len(whole.findall(".//failure"))) == "1"
    assert whole.attrib["skipped"] == str(len(whole.findall(".//skipped"))) == "1"


def test_one_place_alone(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["scan", file, "--offset", "first+3", "--check"]) == 1
    assert "1 instructions of 1 encodings" in capsys.readouterr().out
    assert status(["scan", file, "--offset", hex(TEXT_AT), "--check"]) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5) is of Linux")
@pytest.mark.parametrize(("flags", "warned"), [(mmap.MAP_SHARED, True), (mmap.MAP_PRIVATE, False)])
def test_a_mapping_without_breakpoints_is_named(
    flags: int, warned: bool, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "code_mappings", lambda pid, all_of=processes.code_mappings: [
        m for m in all_of(pid) if m.file == file
    ])  # fmt: skip
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, flags, mmap.PROT_READ | mmap.PROT_EXEC):
        assert status(["scan", "--pid", str(os.getpid())]) == 0
    assert ("a probe is not hit there (breakpoint-in-place)" in capsys.readouterr().err) is warned


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "say which ELF file"), (["{file}", "--pid", "1"], "say which ELF file"),
    (["--pid", "4194305"], "no process 4194305"), (["{file}", "--usdt"], "no statically defined probes"),
    (["{file}", "--usdt", "--function-entries"], "give one of them alone"),
    (["{file}", "--offset", "nowhere"], "no function 'nowhere'"),
    (["{file}", "--ignore", "gravity"], "no cause 'gravity'"),
    (["{file}", "--baseline", "{file}"], "no ubp-verify/scan/1"),
])  # fmt: skip
def test_wrong_usage_is_one_line(
    arguments: list[str], said: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(["scan", *(a.format(file=file) for a in arguments)]) == 64
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_place_too_near_to_its_functions_end_for_a_jump(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    status(["scan", file, "--explain", "second"])
    said = " ".join(capsys.readouterr().out.split())
    assert "2 bytes up to the end of second: a jump of 5 bytes does not fit" in said
    status(["scan", file, "--explain", "first"])
    assert "does not fit" not in capsys.readouterr().out
