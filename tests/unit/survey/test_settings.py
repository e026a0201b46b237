"""Where results under which settings are kept; what a run replaces, what --fresh takes, what is counted."""

import json
import os
import re
from pathlib import Path

import pytest

from verify.claim.verdicts import Decision, Verdict
from verify.cli import status
from verify.ledger.folder import Folder
from verify.ledger.places import brought_directory, cache_directory
from verify.ledger.store import Layers, Table
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import DEFAULT
from verify.survey.ledger import Ledger
from verify.survey.settings import FORMS, RECORDED, forms_mark, settings_name, settings_named, store_for

SCHEME = "linux-uprobes-6.18"
ROOT = Path(__file__).parents[3]
FILES = ("obligations", "forms", "classes", "outcomes", "queries")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch) -> Path:
    (tmp_path / "proofs").mkdir()
    (tmp_path / "verify" / "smt").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("verify.survey.settings.brought_directory", lambda: None)  # what is recorded here is no matter
    return tmp_path


def place(given: str | None, scheme: str, cpu: str, assumptions: frozenset[str], mark: str = "") -> Path:
    """The folder that is written in."""
    setting = settings_name(cpu, assumptions)
    store = store_for(given, scheme, setting, mark)
    top = store.top if isinstance(store, Layers) else store
    assert isinstance(top, Folder) and top.writable
    return top.path(Table(FORMS, scheme, mark, setting)).parent


def surveyed(capsys, *arguments: str) -> dict:
    assert status(["opcode-range", *arguments, "--jobs", "1", "--format", "json"]) in {0, 2}
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("*-*")}


def test_the_ledger_of_a_checkout_is_its_proofs_folder(checkout, monkeypatch):
    (checkout / "sub").mkdir()
    monkeypatch.chdir(checkout / "sub")
    assert place(None, SCHEME, "any", ASSUMPTIONS) == checkout / "proofs"
    monkeypatch.chdir("/")
    assert place(None, SCHEME, "any", ASSUMPTIONS) == checkout / "cache" / "ubp-verify"


def test_other_settings_and_schemes_have_their_own_place(checkout):
    fewer = ASSUMPTIONS - {"trap-siginfo"}
    places = [
        place(given, scheme, cpu, assumptions)
        for given in (None, "somewhere")
        for scheme, cpu, assumptions in (
            (SCHEME, "any", ASSUMPTIONS), (SCHEME, "intel", ASSUMPTIONS), (SCHEME, "any", fewer),
            (SCHEME, "amd", fewer),
        )
    ]  # fmt: skip
    assert len(set(places)) == len(places)
    assert all(checkout / "proofs" not in (p, *p.parents) for p in places[1:])
    assert place(None, "another-scheme", "any", ASSUMPTIONS) == cache_directory()
    assert len(settings_name("intel", ())) <= 100


def test_a_folder_names_its_settings():
    fewer = ASSUMPTIONS - {"trap-siginfo", "user-half"}
    for cpu, assumptions in (("any", ASSUMPTIONS), ("intel", ASSUMPTIONS), ("amd", fewer), ("any", fewer)):
        assert settings_named(settings_name(cpu, assumptions)) == (cpu, assumptions)
    for name in ("cpu-arm", "cpu-any", "without-nothing", "live", settings_name("intel", ())):
        assert settings_named(name) is None, name


@pytest.mark.parametrize("where", ["checkout", "elsewhere"])
def test_what_is_recorded_serves_where_nothing_can_be_written(checkout, capsys, monkeypatch, where):
    """A checkout whose proofs are read-only, and an installed copy: nothing is judged, nothing written."""
    right = surveyed(capsys, "9c")["forms"]
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    monkeypatch.setattr("verify.survey.settings.os.access", lambda path, mode: mode != os.W_OK)
    if where == "elsewhere":
        monkeypatch.chdir("/")
        monkeypatch.setattr("verify.survey.settings.brought_directory", lambda: checkout / "proofs")
    recorded = contents(checkout / "proofs")
    monkeypatch.setattr("verify.survey.forms.judged_forms", lambda *_: pytest.fail("judged again"))
    assert surveyed(capsys, "9c")["forms"] == right
    assert contents(checkout / "proofs") == recorded


def test_what_is_added_to_what_is_recorded_lies_in_the_cache(checkout, capsys, monkeypatch):
    one = surveyed(capsys, "9c")
    recorded = contents(checkout / "proofs")
    monkeypatch.setattr("verify.survey.settings.os.access", lambda path, mode: mode != os.W_OK)
    both = surveyed(capsys, "9c-9d")
    assert contents(checkout / "proofs") == recorded
    added = {f["form"] for f in both["forms"]} - {f["form"] for f in one["forms"]}
    assert set(Ledger(cache_directory(), SCHEME).store.get(store_table(both))) == added
    monkeypatch.setattr("verify.survey.forms.judged_forms", lambda *_: pytest.fail("judged again"))
    assert surveyed(capsys, "9c-9d")["forms"] == both["forms"]


def store_table(document: dict) -> Table:
    return Table(FORMS, SCHEME, forms_mark(SCHEME, document["cpu"], document["assumptions"]))


def test_an_installed_copy_brings_a_ledger_along(tmp_path):
    assert brought_directory() == ROOT / "proofs"
    assert brought_directory(tmp_path / "verify") is None
    (tmp_path / "verify" / "recorded").mkdir(parents=True)
    assert brought_directory(tmp_path / "verify") == tmp_path / "verify" / "recorded"


def test_what_a_checkout_records_is_what_its_readme_lists_and_make_prove_surveys():
    readme, makefile = (ROOT / "proofs/README.md").read_text(), (ROOT / "Makefile").read_text()
    listed = re.findall(r"^Recorded here: the survey of `(\S+)`", readme, re.MULTILINE)
    assert listed == list(RECORDED) == [DEFAULT]
    assert re.search(r"^prove:.*\n\tubp-verify opcode-range -q$", makefile, re.MULTILINE)
    assert [p.stem.removeprefix("forms-") for p in (ROOT / "proofs").glob("forms-*.*")] == listed


def test_a_run_in_a_checkout_replaces_only_what_it_judged_under_the_same_settings(checkout, capsys):
    whole = surveyed(capsys, "9b-9c")
    recorded = contents(checkout / "proofs")
    assert {name.partition("-")[0] for name in recorded} == set(FILES)
    for other in (("--cpu", "intel"), ("--without-assumption", "trap-siginfo"), ("--scheme", SCHEME)):
        surveyed(capsys, "9c", *other)
        assert contents(checkout / "proofs") == recorded
    again = surveyed(capsys, "9c", "--fresh")
    assert contents(checkout / "proofs") == recorded
    assert len(again["forms"]) < len(whole["forms"])
    assert {p.name for p in cache_directory().iterdir()} == {"cpu-intel", "without-trap-siginfo"}


def test_part_of_a_survey_by_other_code_does_not_replace_what_is_recorded(checkout, capsys):
    surveyed(capsys, "9c")
    forms = checkout / "proofs" / f"forms-{SCHEME}.tsv"
    head, text = forms.read_text().split("\n", 1)
    forms.write_text(f"{head[:-32]}{'0' * 32}\n{text}")
    stale = contents(checkout / "proofs")
    surveyed(capsys, "9d")
    assert contents(checkout / "proofs") == stale
    assert (cache_directory() / forms.name).exists()


def test_fresh_takes_nothing_from_the_ledger_and_corrects_it(tmp_path, capsys):
    right = surveyed(capsys, "9c", "--ledger", str(tmp_path))
    ledger = Ledger(tmp_path, SCHEME)
    ledger.add([(d, Decision(Verdict.PROVED)) for d, x in ledger.decisions.items() if x.verdict is Verdict.REFUTED])
    for name in ("forms", "classes"):
        next(tmp_path.glob(f"{name}-*")).unlink()
    planted = surveyed(capsys, "9c", "--ledger", str(tmp_path))
    assert planted["totals"] != right["totals"], "the planted decisions are not used"
    fresh = surveyed(capsys, "9c", "--ledger", str(tmp_path), "--fresh")
    assert fresh["forms"] == right["forms"]
    for name in ("forms", "classes"):
        next(tmp_path.glob(f"{name}-*")).unlink()
    assert surveyed(capsys, "9c", "--ledger", str(tmp_path))["forms"] == right["forms"]


def test_distinct_obligations_are_those_of_the_run(tmp_path, capsys):
    alone = surveyed(capsys, "9c", "--ledger", str(tmp_path / "a"))["obligations"]
    more = surveyed(capsys, "9c", "e8", "--ledger", str(tmp_path / "b"))["obligations"]
    assert surveyed(capsys, "9c", "--ledger", str(tmp_path / "b"))["obligations"] == alone
    assert 0 < alone["distinct"] < more["distinct"]
    next((tmp_path / "b").glob("forms-*")).unlink()
    assert surveyed(capsys, "9c", "--ledger", str(tmp_path / "b"))["obligations"] == alone
