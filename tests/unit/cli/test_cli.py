"""The command line: formats that others rely on, exit statuses, and one line for every wrong input."""

import io
import json
import sys

import pytest

from verify import __version__
from verify.cli import status
from verify.cli.options import forms_of
from verify.models.x86.isa.forms import form as form_named
from verify.models.x86.machine import OBSERVABLES

VERDICTS = {"proved", "refuted", "refused", "unknown", "invalid"}
APX = "d54001c8"  # REX2: in scope of no model
SURVEY = ("opcode-range", "--jobs", "1")


@pytest.fixture
def run(capsys):
    """Runs a command line; its exit status, output and error output."""

    def runner(*arguments: object) -> tuple[int, str, str]:
        code = status([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return runner


@pytest.fixture
def listed(tmp_path):
    """A file with the given contents."""

    def written(contents: bytes) -> str:
        path = tmp_path / "encodings"
        path.write_bytes(contents)
        return str(path)

    return written


def complaint(err: str) -> str:
    """The one line of an error."""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("ubp-verify: ")
    return lines[0]


WRONG = {  # command line -> what the line names
    ("insn", "zz"): ("'zz'", "position 1"),
    ("insn", "90", "9g"): ("'90 9g'", "position 5"),
    ("insn", "9cf"): ("'9cf'", "3 hex digits"),
    ("insn", ""): ("0 hex digits",),
    ("insn", "90" * 17): ("17 bytes",),
    ("insn", "9c90"): ("9c90", "after 1 of 2 bytes"),
    ("insn", "0f04"): ("0f04", "not an instruction"),
    ("insn", "0f0b", "--followed-by", "9"): ("--followed-by", "1 hex digits"),
    ("insn", "9090", "--followed-by", "90"): ("9090", "after 1 of 2 bytes"),
    ("insn", "0f0b78656e90", "--scheme", "identity"): ("0f0b78656e90", "after 2 of 6 bytes"),
    ("insn", "9c", "--scheme", "nope"): ("'nope'", "linux-uprobes-6.18"),
    ("insn", "9c", "--cpu", "via"): ("'via'", "--cpu"),
    ("insn", "9c", "--without-assumption", "gravity"): ("'gravity'", "code-not-read"),
    ("insn", "9c", "--format", "yaml"): ("'yaml'",),
    ("insn",): ("ENCODING",),
    ("opcode-range", "90", "--observables", "gravity"): ("'gravity'", "next-ip"),
    ("opcode-range", "90", "--ignore", "gravity"): ("'gravity'", "red-zone-overwritten"),
    ("opcode-range", "90", "--baseline", "/nonexistent"): ("/nonexistent",),
    ("opcode-range", "90", "--baseline", "/etc/hostname"): ("/etc/hostname", "ubp-verify/opcode-range/1"),
    ("classify",): ("FILE",),
    ("classify", "/nonexistent/file"): ("/nonexistent/file", "No such file"),
    ("classify", "/"): ("'/'", "directory"),
    ("opcode-range", "zz"): ("'zz'", "position 1"),
    ("opcode-range", "90", "0f00-0f04ff"): ("'0f00-0f04ff'", "position"),
    ("opcode-range", "9f-90"): ("'9f-90'",),
    ("opcode-range", "90-"): ("'90-'",),
    ("opcode-range", "vex.0f9"): ("'vex.0f9'",),
    ("opcode-range", "90", "--scheme", "nope"): ("'nope'",),
    ("opcode-range", "90", "--jobs", "0"): ("--jobs", "0"),
    ("opcode-range", "90", "--jobs", "many"): ("'many'",),
    ("opcode-range", "90", "--ledger", "/dev/null"): ("/dev/null", "not a directory"),
    ("opcode-range", "90", "--ledger", "/proc/none/such"): ("/proc/none/such",),
    ("forms", "zz"): ("'zz'",),
    ("prove",): ("'prove'",),
    ("insn", "9c", "--such"): ("--such",),
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_is_one_line_that_names_the_value(run, arguments):
    code, out, err = run(*arguments)
    assert code == 64
    assert out == ""
    line = complaint(err)
    for named in WRONG[arguments]:
        assert named in line


def test_classify_prints_tab_separated_lines_in_order(run, listed):
    code, out, err = run("classify", listed(b"9c\n48 89 d8\nf4\n0f04\n0f05\n"))
    rows = [line.split("\t") for line in out.splitlines()]
    assert all(len(row) == 4 for row in rows)
    assert [row[:3] for row in rows] == [
        ["9c", "refuted", "memory-values,trap"], ["4889d8", "proved", ""], ["f4", "refused", ""],
        ["0f04", "invalid", ""], ["0f05", "refuted", "next-ip,gprs,trap,containment"],
    ]  # fmt: skip
    assert rows[0][3] and rows[2][3] and rows[3][3]
    assert (code, err) == (0, "")


def test_classify_as_json_has_the_same_rows(run, listed):
    path = listed(b"9c\n4889d8\nf4\n0f04\nzz\n")
    _, text, _ = run("classify", path)
    code, out, _ = run("classify", path, "--format", "json")
    objects = [json.loads(line) for line in out.splitlines()]
    assert code == 64
    assert all(row.keys() >= {"bytes", "verdict", "observables", "reason"} for row in objects)
    assert {row["verdict"] for row in objects} <= VERDICTS
    reasons = [": ".join(filter(None, (r.get("cause"), r["reason"]))) for r in objects]
    joined = ["\t".join((r["bytes"], r["verdict"], ",".join(r["observables"]), why))
              for r, why in zip(objects, reasons, strict=True)]  # fmt: skip
    assert joined == text.splitlines()


def test_wrong_lines_are_named_and_the_others_keep_their_results(run, listed):
    code, out, err = run("classify", listed(b"9c\n\n# comment\nzz\n4889d8\n123\n54"))
    assert code == 64
    assert [line.split("\t")[:2] for line in out.splitlines()] == [
        ["9c", "refuted"], ["zz", "invalid"], ["4889d8", "proved"], ["123", "invalid"], ["54", "proved"],
    ]  # fmt: skip
    first, second = err.splitlines()
    assert "line 4" in first and "'zz'" in first and "position 1" in first
    assert "line 6" in second and "'123'" in second


def test_empty_file(run, listed):
    code, out, err = run("classify", listed(b""))
    assert (code, out) == (64, "")
    assert "empty" in complaint(err)


@pytest.mark.parametrize("length", [4097, 5000, 100_000])
def test_line_that_is_too_long(run, listed, length):
    code, out, err = run("classify", listed(b"9c\n" + b"9" * length + b"\n54\n"))
    assert code == 64
    assert [line.split("\t")[1] for line in out.splitlines()] == ["refuted", "invalid", "proved"]
    assert "line 2" in complaint(err) and "4096" in err
    assert len(err) < 200


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes(run, listed, seed):
    from random import Random

    noise = Random(seed).randbytes(4000).replace(b"\n#", b"\n!")
    code, out, err = run("classify", listed(b"9c\n" + noise + b"\n54\n"))
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 64
    assert rows[0][:2] == ["9c", "refuted"] and rows[-1][:2] == ["54", "proved"]
    assert all(len(row) == 4 for row in rows)
    assert sum(row[1] == "invalid" for row in rows) == len(err.splitlines())
    assert all(line.startswith("ubp-verify: line ") for line in err.splitlines())


def test_carriage_returns_and_capitals_are_read(run, listed):
    code, out, _ = run("classify", listed(b"9C\r\n48 89 D8\r\n"))
    assert code == 0
    assert [line.split("\t")[:2] for line in out.splitlines()] == [["9c", "refuted"], ["4889d8", "proved"]]


def test_standard_input(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"54\n")))
    code, out, _ = run("classify", "-")
    assert (code, out.split("\t")[:2]) == (0, ["54", "proved"])


def test_many_lines_by_two_processes_give_the_same_as_by_one(run, listed):
    path = listed(b"9c\n4889d8\nzz\n" * 400)
    one, two = run("classify", path, "--jobs", 1), run("classify", path, "--jobs", 2)
    assert one == two
    assert len(one[1].splitlines()) == 1200


def test_bytes_behind_the_instruction_make_a_line_invalid(run, listed):
    code, out, _ = run("classify", listed(b"9c90\n"))
    assert code == 0
    assert out.split("\t")[1] == "invalid"


def test_check_ends_with_1_where_something_is_refuted(run, listed, tmp_path):
    assert run("classify", listed(b"54\n"), "--check")[0] == 0
    assert run("classify", listed(b"54\n9c\n"), "--check")[0] == 1
    assert run("insn", "9c", "--check")[0] == 1
    assert run("insn", "54", "--check")[0] == 0
    assert run(*SURVEY, "9c", "--check", "--ledger", tmp_path)[0] == 1
    assert run(*SURVEY, "c3", "--check", "--ledger", tmp_path)[0] == 0


def test_what_does_not_count_is_neither_listed_nor_a_failure(run, tmp_path):
    survey = (*SURVEY, "9c", "--ledger", tmp_path, "--check")
    code, out, _ = run(*survey)
    assert code == 1 and "tf-in-pushed-flags" in out
    for option in (("--ignore", "tf-in-pushed-flags"), ("--observables", "gprs,flags")):
        code, out, _ = run(*survey, *option)
        assert code == 0 and "X86_EFLAGS_TF" not in out
    before = tmp_path / "before.json"
    before.write_text(run(*survey, "--format", "json")[1])
    code, out, _ = run(*survey, "--baseline", before)
    assert code == 0 and "Left out, as was asked for: 2 forms" in out
    assert run(*survey, "--only-compilers")[0] == 1


def test_a_survey_fits_80_columns_in_a_pipe(run, tmp_path):
    out = run(*SURVEY, "9c-9d", "e8", "--ledger", tmp_path)[1] + run("insn", "9c", "--all")[1]
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out and not set(out) & set("│┃━─")


def test_without_an_assembler_it_is_said_what_to_install(run, monkeypatch):
    import verify.cli.insn

    monkeypatch.setattr(verify.cli.insn, "find_spec", lambda _: None)
    code, out, err = run("insn", "pushf")
    assert (code, out) == (64, "")
    assert "'pushf'" in complaint(err) and "'ubp-verify[assembly]'" in err


def test_causes_are_listed_the_most_harmful_first(run):
    code, out, _ = run("causes")
    lines = out.splitlines()
    assert code == 0 and lines[0].endswith("silent wrong data") and lines[-1].endswith("refused")
    code, out, _ = run("causes", "scratch-register-in-use")
    assert code == 0 and "RCX or RAX by modrm.reg alone" in out and "riprel_analyze" in out
    assert run("causes", "gravity")[0] == 64


def test_a_bare_command_shows_the_help(run):
    code, out, err = run()
    assert (code, err) == (0, "") and "Exit status:" in out and "141" in out


def test_what_is_undecided_ends_with_2(run, listed):
    code, out, _ = run("classify", listed(f"54\n{APX}\n".encode()), "--scheme", "identity")
    assert code == 2
    assert [line.split("\t")[1] for line in out.splitlines()] == ["proved", "unknown"]
    code, out, _ = run("insn", APX, "--scheme", "identity")
    assert code == 2
    assert "REX2" in out


def test_survey_with_an_undecided_form_ends_with_2(run, tmp_path, monkeypatch):
    from verify.survey import forms

    def fails(*_: object) -> None:
        raise RuntimeError("seeded")

    monkeypatch.setattr(forms, "form_result", fails)
    code, out, _ = run(*SURVEY, "9c", "--ledger", tmp_path, "--format", "json")
    assert code == 2
    document = json.loads(out)
    assert document["totals"]["unknown"] == len(document["forms"]) > 0
    assert all("seeded" in form["reason"] for form in document["forms"])


def test_survey_document(run, tmp_path):
    code, out, err = run(*SURVEY, "9c-9d", "c3", "--ledger", tmp_path, "--format", "json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document.keys() >= {
        "schema", "version", "scheme", "cpu", "assumptions", "totals", "obligations", "seconds", "forms",
    }  # fmt: skip
    assert document["schema"] == "ubp-verify/opcode-range/1"
    assert document["version"] == __version__
    assert (document["scheme"], document["cpu"]) == ("linux-uprobes-6.18", "any")
    assert {"code-not-read", "code-mapped", "no-alignment-check", "trap-siginfo"} <= set(document["assumptions"])
    assert document["obligations"].keys() >= {"total", "distinct"}
    assert sum(document["totals"].values()) == len(document["forms"])
    for form in document["forms"]:
        assert form.keys() >= {"form", "opcode", "mnemonic", "addressing", "verdict", "observables"}
        assert tuple(form["observables"]) == OBSERVABLES
        assert ("counterexample" in form) == (form["verdict"] == "refuted")
    verdicts = {form["form"]: form["verdict"] for form in document["forms"]}
    assert verdicts["PUSHFQ/none"] == "refuted"
    assert verdicts["POPFQ/none"] == "proved"


def test_counterexample_is_self_contained(run, tmp_path):
    _, out, _ = run(*SURVEY, "9c", "--ledger", tmp_path, "--format", "json")
    example = json.loads(out)["forms"][-1]["counterexample"]
    assert example.keys() >= {"bytes", "initial", "origin", "slot", "in_place", "displaced", "first_difference"}
    assert int(example["origin"], 16) != int(example["slot"], 16)
    assert example["in_place"].keys() == example["displaced"].keys()
    bytes.fromhex(example["bytes"])


def test_dropping_an_assumption_shows_what_falls_with_it(run):
    assert "proved" in run("insn", "54")[1]
    code, out, _ = run("insn", "54", "--without-assumption", "no-alignment-check", "--format", "json")
    assert code == 0
    row = json.loads(out)
    assert (row["verdict"], row["observables"]) == ("refuted", ["fault"])
    assert "no-alignment-check" not in row["assumptions"]


@pytest.mark.parametrize("behind", ["78656e90", "6b766d90", "78656eeb10"])
def test_what_stands_behind_an_instruction_is_judged_where_it_decides(run, behind):
    """Seen on 6.18.44: SIGILL without the probe, the program runs on with it."""
    expected = ("refuted", ["fault"], "0f0b", behind)
    for arguments in (("0f0b" + behind,), ("0f0b", "--followed-by", behind)):
        code, out, _ = run("insn", *arguments, "--format", "json")
        row = json.loads(out)
        assert code == 0
        assert (row["verdict"], row["observables"], row["instruction"], row["followed_by"]) == expected
        assert row["counterexample"]["followed_by"] == behind
    assert json.loads(run("insn", "0f0b", "--followed-by", "9090", "--format", "json")[1])["verdict"] == "proved"


def test_an_encoding_alone_is_judged_with_every_continuation_by_insn_and_by_classify(run, listed):
    row = json.loads(run("insn", "0f0b", "--format", "json")[1])
    assert (row["verdict"], row["observables"], row["looks_behind"]) == ("refuted", ["fault"], True)
    assert row["followed_by"] == "78656e90" == row["counterexample"]["followed_by"]
    _, out, _ = run("classify", listed(b"0f0b\n0f0b78656e90\n0f0b90\n"))
    alone, refuted, proved = (line.split("\t") for line in out.splitlines())
    assert (alone[1:3], alone[3]) == (
        ["refuted", "fault"], "undefined-taken-for-prefix: followed by 78656e90: emulate: differs in fault",
    )  # fmt: skip
    assert (refuted[1], refuted[2], proved[1]) == ("refuted", "fault", "proved")


def test_a_form_is_judged_with_every_continuation(run, tmp_path):
    _, out, _ = run(*SURVEY, "0f0b", "--ledger", tmp_path, "--format", "json")
    (form,) = (f for f in json.loads(out)["forms"] if f["form"] == "UD2/none")
    assert (form["verdict"], form["looks_behind"]) == ("refuted", True)
    assert [o for o, v in form["observables"].items() if v == "refuted"] == ["fault"]
    assert (form["counterexample"]["bytes"], form["counterexample"]["followed_by"]) == ("0f0b", "78656e90")
    _, out, _ = run(*SURVEY, "0f0b", "--ledger", tmp_path)
    assert "0f0b followed by 78656e90" in out


def test_schemes_and_forms(run):
    code, out, _ = run("schemes", "--format", "json")
    names = [json.loads(line)["scheme"] for line in out.splitlines()]
    assert code == 0
    assert {"linux-uprobes-6.18", "linux-uprobes-3.15", "identity"} <= set(names)
    code, out, _ = run("forms", "9c-9d", "--format", "json")
    assert code == 0
    assert {json.loads(line)["form"] for line in out.splitlines()} >= {"PUSHFQ/none", "POPFQ/none"}


def test_help_is_no_error(run):
    for arguments in (("--help",), ("classify", "--help"), ("--version",)):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "") and out


def test_an_internal_fault_is_named_and_ends_with_70(run, monkeypatch):
    import verify.survey.explanation

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("seeded")

    monkeypatch.setattr(verify.survey.explanation, "encoding_row", fails)
    code, _, err = run("insn", "9c")
    assert code == 70
    assert err.splitlines()[-1] == "ubp-verify: internal fault: RuntimeError: seeded"


def test_an_interrupt_is_one_line_and_on_a_terminal_begins_a_new_one(run, monkeypatch):
    import verify.survey.explanation

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verify.survey.explanation, "encoding_row", interrupted)
    said = "ubp-verify: interrupted\n"  # what `insn` decides is kept nowhere
    assert run("insn", "9c") == (130, "", said)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run("insn", "9c") == (130, "", "\n" + said)


def test_a_form_that_the_processor_lacks_is_not_asked_for(run, tmp_path):
    code, out, _ = run(*SURVEY, "70", "--cpu", "intel", "--ledger", tmp_path, "--format", "json")
    assert code == 0 and "JO_REL8_16/none" not in {f["form"] for f in json.loads(out)["forms"]}


@pytest.mark.parametrize(("name", "processors"), [
    ("JO_REL8_16/none", ["amd", "any"]), ("JMP_M1664/mem", ["any", "intel"]), ("NOPD/none", ["amd", "any", "intel"]),
])  # fmt: skip
def test_the_processors_that_have_a_form(name, processors):
    assert [cpu for cpu in ("amd", "any", "intel") if form_named(name) in forms_of(cpu)] == processors
