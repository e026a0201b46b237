"""What of an ELF file is code, what its places are called, and what is no such file."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from unit.elf.made import AARCH64, ADDRESS, ET_DYN, ET_REL, TEXT_AT, elf

from verify.elf import NotAnImage, Place, read

CODE = bytes.fromhex("90" * 8 + "c3" + "90" * 7)
FUNCTIONS = (("first", 0, 9), ("second", 10, 0))


def test_code_and_functions_are_found(tmp_path: Path) -> None:
    image = read(elf(tmp_path / "a", CODE, FUNCTIONS))
    (section,) = image.sections
    assert (image.kind, image.is_relocatable) == ("executable", False)
    assert (section.name, section.address, section.offset, section.code) == (".text", ADDRESS, TEXT_AT, CODE)
    assert [(s.name, s.at, s.size) for s in section.symbols] == [("first", 0, 9), ("second", 10, 0)]
    assert section.starts() == [0, 10]


@pytest.mark.parametrize(("text", "at"), [
    ("first", 0), ("first+3", 3), ("first+0x8", 8), ("second", 10), ("second+1", 11), (".text", 0),
    (".text+0x9", 9), (str(TEXT_AT), 0), (hex(TEXT_AT + 15), 15),
])  # fmt: skip
def test_a_place_is_named_by_symbol_or_file_offset(text: str, at: int, tmp_path: Path) -> None:
    found = read(elf(tmp_path / "a", CODE, FUNCTIONS)).place(text)
    assert (found.at, found.offset, found.address) == (at, TEXT_AT + at, ADDRESS + at)


@pytest.mark.parametrize("text", ["third", "first+99", "0x10", hex(TEXT_AT + 16), "", "first+x", "+1", "-1"])
def test_what_names_no_place_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no function|beyond the section|no executable section"):
        read(elf(tmp_path / "a", CODE, FUNCTIONS)).place(text)


def test_a_place_is_called_after_the_function_it_lies_in(tmp_path: Path) -> None:
    (section,) = read(elf(tmp_path / "a", CODE, FUNCTIONS)).sections
    shown = [str(Place(section, at)) for at in (0, 8, 9, 10, 15)]
    assert shown == ["first", "first+0x8", ".text+0x9", "second", "second+0x5"]


def test_relocatable_and_shared_objects(tmp_path: Path) -> None:
    relocatable = read(elf(tmp_path / "a.o", CODE, FUNCTIONS, ET_REL))
    assert relocatable.is_relocatable and str(relocatable.place("second+1")) == "second+0x1"
    assert read(elf(tmp_path / "a.so", CODE, FUNCTIONS, ET_DYN)).kind == "shared object"


def test_what_stands_behind_a_section_is_what_the_file_has_there(tmp_path: Path) -> None:
    (section,) = read(elf(tmp_path / "a", CODE, FUNCTIONS)).sections
    behind = (tmp_path / "a").read_bytes()[TEXT_AT + len(CODE) :][:16]
    assert section.window(10, 16) == CODE[10:] + behind[:10]
    assert (section.window(0, 4), len(section.window(15, 16))) == (CODE[:4], 16)
    (last,) = read(elf(tmp_path / "b", CODE, headers=False)).sections
    assert last.window(8, 16) == CODE[8:] + bytes(8)  # the file ends there


@pytest.mark.skipif(shutil.which("cc") is None, reason="missing: a C compiler")
def test_what_the_loader_writes_into_code_is_known(tmp_path: Path) -> None:
    text = ".data\nval: .long 42\n.text\n.globl get\n.type get, @function\nget: nop\nmovabs $val, %rax\nret\n"
    (tmp_path / "a.S").write_text(text)
    command = ["cc", "-shared", "-nostdlib", "-Wl,-z,notext", "-o", tmp_path / "a.so", tmp_path / "a.S"]
    subprocess.run(command, check=True, capture_output=True)
    place = read(tmp_path / "a.so").place("get")
    shown = [place.section.is_relocated(place.at + at, size) for at, size in ((0, 1), (1, 10), (1, 2), (3, 8), (11, 1))]
    assert shown == [False, True, False, True, False]


def test_without_section_headers_the_executable_segment_is_the_code(tmp_path: Path) -> None:
    (section,) = read(elf(tmp_path / "a", CODE, headers=False)).sections
    assert (section.name, section.offset, section.code, section.symbols) == ("segment 0", TEXT_AT, CODE, ())


def test_a_symbol_behind_its_section_names_nothing(tmp_path: Path) -> None:
    (section,) = read(elf(tmp_path / "a", CODE, [("outside", 16, 4), ("inside", 3, 1)])).sections
    assert [s.name for s in section.symbols] == ["inside"]


def test_what_is_no_image_is_said_in_a_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("no ELF file\n")
    (tmp_path / "empty").touch()
    elf(tmp_path / "arm", CODE, machine=AARCH64)
    whole = elf(tmp_path / "whole", CODE, FUNCTIONS).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: TEXT_AT + 4])
    said = {}
    for name in ("pipe", "text", "empty", "arm", "cut", "."):
        with pytest.raises(NotAnImage) as caught:
            read(tmp_path / name)
        said[name] = str(caught.value)
        assert "\n" not in said[name] and said[name].startswith(str(tmp_path / name))
    assert "not a regular file" in said["pipe"] and "not for 64-bit x86" in said["arm"]


def test_a_section_beyond_the_file_is_no_code(tmp_path: Path) -> None:
    path = elf(tmp_path / "a", CODE, FUNCTIONS)
    data = bytearray(path.read_bytes())
    (table,) = struct.unpack_from("<Q", data, 40)
    struct.pack_into("<Q", data, table + 64 + 32, 1 << 40)  # sh_size of .text
    path.write_bytes(data)
    with pytest.raises(NotAnImage, match="bytes of code at 0x1000, and the file has"):
        read(path)


@pytest.mark.parametrize("seed", range(4))
def test_wrong_bytes_anywhere_are_an_image_or_none(seed: int, tmp_path: Path) -> None:
    """A hundred files of which some bytes are others; 10,000 of a real program were tried likewise."""
    rng, whole = random.Random(seed), elf(tmp_path / "a", CODE, FUNCTIONS).read_bytes()
    table = struct.unpack_from("<Q", whole, 40)[0]
    found = 0
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            at = rng.choice([rng.randrange(120), table + rng.randrange(len(whole) - table)])
            wrong = rng.choice([rng.randbytes(1), b"\xff" * 8, bytes(8), rng.randbytes(4)])
            data[at : at + len(wrong)] = wrong
        (tmp_path / "b").write_bytes(data[: rng.randrange(len(data)) if rng.random() < 0.1 else len(data)])
        try:
            found += bool(read(tmp_path / "b").sections)
        except NotAnImage as error:
            assert "\n" not in str(error)
    assert 5 < found < 95


@pytest.mark.parametrize(("error", "is_fault"), [
    (NotAnImage("one line"), False), (NotAnImage("two\nlines"), True), (IndexError("seeded"), True),
])  # fmt: skip
def test_what_make_fuzz_elf_takes_for_a_fault(
    error: Exception, is_fault: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fuzzed_elf

    def fails(_: Path) -> None:
        raise error

    monkeypatch.setattr(fuzzed_elf, "read", fails)
    assert (fuzzed_elf.outcome(tmp_path) not in {"read", "refused"}) is is_fault


@pytest.mark.skipif(not (shutil.which("objdump") and Path("/usr/bin/true").is_file()), reason="missing: objdump, true")
def test_instructions_are_counted_as_objdump_counts_them(tmp_path: Path) -> None:
    """Of one program here; `make objdump` takes every file."""
    from objdump_counts import ours, theirs

    true = Path("/usr/bin/true")
    assert abs(ours(true) - theirs(true)) <= ours(true) // 1000
    assert ours(elf(tmp_path / "two", bytes.fromhex("4889d890"), [("f", 0, 4)])) == 2
