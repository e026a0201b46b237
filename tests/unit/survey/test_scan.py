"""Every instruction of a file judged where it stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from unit.elf.made import TEXT_AT, elf

from verify.elf import Image, read
from verify.elf.notes import Sequence, StaticProbe
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.report.surveys import Scan
from verify.survey.scan import Setting, entries, everything, explained, in_range, of_function, scan, static_probes

# mov, vmovdqu to memory (its store is lost), ret; hlt (refused), 06 (no instruction), nop; ud2, js, outsb, nop
FIRST, SECOND, UD2 = "4889d8c5fe7f03c3", "f40690", "0f0b78656e90"
CODE = bytes.fromhex(FIRST + SECOND + UD2 + "0f0bc3")
FUNCTIONS = (("first", 0, 8), ("second", 8, 3), ("ends", 11, 9))
SETTING = Setting(SCHEMES[DEFAULT], "any", ASSUMPTIONS, jobs=1)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return read(elf(tmp_path_factory.mktemp("elf") / "a", CODE, FUNCTIONS))


def scanned(image: Image, spans: Any) -> Scan:
    return scan(image, spans, SETTING, 9, lambda lines, reason: pytest.fail(reason))


def by_verdict(found: Scan) -> dict[str, list[str]]:
    shown: dict[str, list[str]] = {}
    for finding in found.findings:
        shown.setdefault(finding.verdict, []).extend(p.place for p in finding.places)
    return shown


@pytest.fixture(scope="module")
def whole(image: Image) -> Scan:
    return scanned(image, everything(image))


def test_every_instruction_has_a_verdict(whole: Scan) -> None:
    assert dict(whole.totals) == {"proved": 7, "refuted": 2, "refused": 2, "invalid": 1}
    assert whole.instructions == 11 and whole.distinct == 8


def test_findings_name_their_places_the_worst_first(whole: Scan) -> None:
    assert whole.findings[0].verdict == "refuted"
    assert by_verdict(whole)["refused"] == ["second", "ends+0x4"]
    assert "first+0x3" in by_verdict(whole)["refuted"]
    lost = next(p for f in whole.findings for p in f.places if p.place == "first+0x3")
    assert (lost.offset, lost.bytes, lost.text) == (TEXT_AT + 3, "c5fe7f03", "vmovdqu [rbx],ymm0")
    assert "memory-values" in lost.observables


def test_it_matters_what_stands_behind_an_instruction(whole: Scan) -> None:
    """UD2 is the beginning of an emulate prefix of the kernel's decoder at `ends`, and is none later."""
    assert "ends" in by_verdict(whole)["refuted"] and "ends+0x6" not in by_verdict(whole)["refuted"]


def test_bytes_at_which_no_instruction_begins_are_counted_apart(whole: Scan) -> None:
    assert by_verdict(whole)["invalid"] == ["second+0x1"]


def test_parts_of_a_file(image: Image) -> None:
    assert scanned(image, of_function(image, "second")).instructions == 2
    assert scanned(image, entries(image)).instructions == 3
    assert scanned(image, in_range(image, TEXT_AT + 3, TEXT_AT + 8)).instructions == 2
    assert in_range(image, 0, TEXT_AT) == []
    with pytest.raises(ValueError, match="no function 'third'"):
        of_function(image, "third")


@pytest.mark.parametrize(("place", "inside", "answer"), [
    ("first", "", "accepted"),
    ("first+3", "", "accepted, and the program can notice it"),
    ("first+1", "byte 1 of 3 of mov rax,rbx at first", "accepted, and wrong: no instruction begins here"),
    ("second", "", "refused with ENOTSUPP: the opcode is in neither table"),
])  # fmt: skip
def test_a_place_explained(place: str, inside: str, answer: str, image: Image) -> None:
    found = explained(image, image.place(place), SETTING)
    assert found.inside == inside
    assert found.answer.startswith(answer)


def test_an_instruction_at_a_sections_end_has_the_files_bytes_behind_it(tmp_path: Path) -> None:
    """The kernel copies 16 bytes of the file: UD2 is the beginning of an emulate prefix there."""
    path = elf(tmp_path / "a", bytes.fromhex("900f0b"), headers=False)
    path.write_bytes(path.read_bytes() + bytes.fromhex("78656e90"))
    image = read(path)
    assert by_verdict(scanned(image, everything(image)))["refuted"] == ["segment 0+0x1"]
    place = image.place(hex(TEXT_AT + 1))
    assert explained(image, place, SETTING).answer == "accepted, and the program can notice it"


@pytest.mark.parametrize(("scheme", "verdict"), [(DEFAULT, "refuted"), ("inline-step", "unknown")])
def test_what_the_loader_changes_is_another_instruction_when_probed(scheme: str, verdict: str, image: Image) -> None:
    section = replace(image.sections[0], relocated=(1,))
    changed = replace(image, sections=(section,))
    setting = replace(SETTING, scheme=SCHEMES[scheme])
    found = scan(changed, of_function(changed, "first"), setting, 9, lambda lines, reason: None)
    (finding,) = [f for f in found.findings if "text relocation" in f.reason]
    assert (finding.verdict, [p.place for p in finding.places]) == (verdict, ["first"])
    assert "the loader changes these bytes" in explained(changed, changed.place("first"), setting).answer


def test_equal_bytes_are_judged_once_and_places_are_cut(tmp_path: Path) -> None:
    image = read(elf(tmp_path / "a", bytes.fromhex("f4") * 50))
    found = scan(image, everything(image), SETTING, 3, lambda lines, reason: None)
    (finding,) = found.findings
    assert (finding.instructions, finding.distinct, len(finding.places)) == (50, 1, 3)


def test_a_place_within_a_restartable_sequence(image: Image) -> None:
    address = image.place("first+3").address
    inside = replace(image, sequences=(Sequence(address, address + 1),), probes=(StaticProbe("app:here", address),))
    found = explained(inside, inside.place("first+3"), SETTING).remarks
    assert ["restartable sequence" in r for r in found] == [True, False] and "app:here" in found[1]
    assert explained(inside, inside.place("first"), SETTING).remarks == ()
    assert scanned(inside, static_probes(inside)).instructions == 1
