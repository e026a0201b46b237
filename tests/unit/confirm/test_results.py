"""Every mode of `confirm` answers alike: a document of its schema, lines, a file that is old or new, a standing."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import pytest

from verify.cli.request import Request
from verify.confirm.agreement import Agreement
from verify.confirm.cost import CostResult
from verify.confirm.litmus import LitmusResult
from verify.confirm.races import RacesResult
from verify.confirm.results import Result, Standing, keep
from verify.confirm.semantics import SemanticsResult
from verify.live.differential.run import FormTrials, Mismatch, Settings
from verify.live.kernel.cost import Cost
from verify.report.confirmations import Confirmation
from verify.report.records import decoded, encoded, schema_name

JUDGE: dict[str, object] = {"vendor": "AuthenticAMD", "family": 25, "model": 17}
MISMATCH = Mismatch("NOPD/none", "predicted", "rax", "90", "rax=1", "0x1", "0x2", 3, None)


def semantics(*found: FormTrials) -> SemanticsResult:
    result = SemanticsResult(Settings(), JUDGE, max(len(found), 1))
    for trials in found:
        result.take(0, trials)
    return result


RESULTS: dict[str, Callable[[], Result]] = {
    "semantics": lambda: semantics(FormTrials("NOPD/none", 5, 5, (MISMATCH,))),
    "predictions": lambda: Agreement("linux-uprobes-6.18"),
    "litmus": lambda: LitmusResult(1, 10, 1),
    "races": lambda: RacesResult(1, 1),
    "cost": lambda: CostResult((Cost("jump", 2.5, 20),), 1.0),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_document_is_of_its_schema_and_read_back_without_loss(name: str) -> None:
    found = RESULTS[name]().document()
    assert isinstance(found, Confirmation)
    mode = {"predictions": "kernel"}.get(name, name)
    assert json.loads(encoded(found))["schema"] == schema_name(type(found)) == f"ubp-verify/confirm-{mode}/1"
    assert decoded(encoded(found), type(found)) == found


@pytest.mark.parametrize("name", RESULTS)
def test_files_are_kept_with_a_row_on_a_line_and_read_back(name: str, tmp_path: Path) -> None:
    result = RESULTS[name]()
    paths = keep(result, tmp_path / "live")
    assert [p.name for p in paths] == [file.name for file in result.kept()]
    assert paths[0].name.startswith(f"{name}-")
    for path, file in zip(paths, result.kept(), strict=True):
        text = path.read_text()
        assert decoded(text, type(file.document)) == file.document
        rows = getattr(file.document, file.rows)
        assert sum(line.startswith("  {") for line in text.splitlines()[-len(rows) - 2 :]) == len(rows)


@pytest.mark.parametrize("name", RESULTS)
def test_a_file_that_cannot_be_written_whole_stays_as_it_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = RESULTS[name]()
    before = {path: path.read_text() for path in keep(result, tmp_path)}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        keep(result, tmp_path)
    assert {path: path.read_text() for path in sorted(tmp_path.glob("[!.]*"))} == dict(sorted(before.items()))


LOST = FormTrials("Y/none", 0, 0, (), lost="a worker died")
SKIPPED = FormTrials("Z/none", 0, 0, (), skipped="needs AVX-512")


@pytest.mark.parametrize(("trials", "standing", "files"), [
    ([FormTrials("NOPD/none", 5, 5, (MISMATCH,)), LOST], Standing.DISAGREES, 1),
    ([FormTrials("NOPD/none", 5, 5, ()), LOST], Standing.LOST, 1),
    ([FormTrials("NOPD/none", 5, 5, ())], Standing.AGREES, 1),
    ([LOST, SKIPPED], Standing.LOST, 1), ([SKIPPED], Standing.UNDECIDED, 0),
])  # fmt: skip
def test_the_standing_of_semantics(trials: list[FormTrials], standing: Standing, files: int) -> None:
    found = semantics(*trials)
    assert found.standing is standing
    assert len(list(found.kept())) == files, "nothing that was run, nothing that is kept"


def interrupted() -> Generator[Iterable[str], None, None]:
    yield ("first",)
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("style", ["text", "json"])
def test_an_interrupt_leaves_the_results_so_far_and_keeps_nothing(
    name: str, style: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verify.cli.request.keep", lambda *_: pytest.fail("was kept"))
    result = RESULTS[name]()
    assert Request(style, True).answered(result, interrupted()) == 130
    out, err = capsys.readouterr()
    assert err == "ubp-verify: interrupted; these are the results so far\n"
    if style == "text":
        assert out.splitlines() == ["first", *result.lines()]
    else:
        assert decoded(out, type(result.document())) == result.document()


@pytest.mark.parametrize(("standing", "status"), [
    (Standing.AGREES, 0), (Standing.DISAGREES, 1), (Standing.UNDECIDED, 2), (Standing.LOST, 70),
])  # fmt: skip
def test_a_standing_is_an_exit_status(
    standing: Standing, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(CostResult, "standing", property(lambda _: standing))
    assert Request("json", False).answered(CostResult(), (() for _ in range(1))) == status
    assert json.loads(capsys.readouterr().out)["rows"] == []
