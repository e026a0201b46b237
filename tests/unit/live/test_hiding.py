"""Names that can be hidden, what goes with them, and that hiding is more than a word: nothing hidden is run."""

from __future__ import annotations

import ast
import platform
from pathlib import Path

import pytest

from verify.cli import status
from verify.live import available, needs
from verify.live.capabilities import Capabilities, XsaveComponent, without
from verify.live.features import ENABLED_BY, FEATURES, IMPLIED, NOT_TOLD, RIGHTS, sufficient
from verify.live.hiding import VARIABLE, HidingError, hidden, named, refuse
from verify.live.uprobe import Probes, effective_capabilities, missing
from verify.live.uprobe_counters import PerfCounter
from verify.models.x86.isa.forms import all_forms
from verify.models.x86.isa.rows import Cpu

AVX512 = {name for name in FEATURES if name.startswith("avx512")}
# Offsets and sizes of an AVX-512 processor, SDM vol. 1, 13.5, and its example without compaction
COMPONENTS = (
    XsaveComponent(2, 576, 256),
    XsaveComponent(5, 1088, 64),
    XsaveComponent(6, 1152, 512),
    XsaveComponent(7, 1664, 1024),
)
EVERYTHING = Capabilities("GenuineIntel", 6, 85, 4, frozenset(FEATURES), 0x6_02E7, 2688, COMPONENTS, True)
X86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="missing: an x86-64 processor")


@pytest.fixture(autouse=True)
def nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", set()), ("xop", {"xop"}), (" xop , rdpid,", {"xop", "rdpid"}), ("avx512", AVX512), ("avx512f", AVX512),
     ("avx512vbmi2", {"avx512vbmi2"}), ("tracefs", {"tracefs"}), ("root", {"root", "uprobes", "perf", "tracefs"})],
)  # fmt: skip
def test_names_and_what_goes_with_them(text: str, expected: set[str]) -> None:
    assert named(text) == expected


def test_without_avx_there_is_nothing_with_a_vex_prefix_of_vectors() -> None:
    """SDM vol. 1, 14.3 and 15.2: each of them is there only where AVX is."""
    assert {*AVX512, "avx2", "fma", "f16c", "vaes", "vpclmulqdq", "xop", "fma4", "avx_vnni"} <= named("avx")
    assert not named("avx") & {"aes", "pclmulqdq", "gfni", "sha", "bmi1", "sse4_2", "xsave"}


@pytest.mark.parametrize("name", [*FEATURES, *RIGHTS, "avx512"])
def test_every_name_can_be_hidden(name: str) -> None:
    left = without(EVERYTHING, named(name))
    assert not left.features & named(name)
    assert name in {*named(name), "avx512"}


@pytest.mark.parametrize("text", ["avx1024", "AVX", "avx,zmm", "avx 2", "sse2"])
def test_an_unknown_name_is_one_line_that_names_it(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    wrong = repr(text.rsplit(",", maxsplit=1)[-1])
    with pytest.raises(HidingError, match=wrong):
        hidden()
    for command in (["confirm", "semantics", "90"], ["confirm", "litmus"], ["confirm", "races"]):
        assert status(command) == 64
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and wrong in said and VARIABLE in said


@pytest.mark.parametrize(
    ("text", "xcr0", "bits", "size", "kept"),
    [("", 0x6_02E7, 512, 2688, 4), ("avx512", 0x6_0207, 256, 832, 1), ("avx", 0x6_0203, 128, 576, 0),
     ("avx2", 0x6_0207, 256, 832, 1), ("pku", 0x6_00E7, 512, 2688, 4), ("amx_tile", 0x2E7, 512, 2688, 4)],
)  # fmt: skip
def test_state_components_go_with_their_feature(text: str, xcr0: int, bits: int, size: int, kept: int) -> None:
    left = without(EVERYTHING, named(text))
    assert (left.xcr0, left.vector_bits, left.xsave_size, len(left.components)) == (xcr0, bits, size, kept)


def test_fsgsbase_goes_with_its_feature() -> None:
    assert without(EVERYTHING, frozenset()).fsgsbase and not without(EVERYTHING, named("fsgsbase")).fsgsbase


# --- the opcode table ----------------------------------------------------------------------------------------------
def test_every_feature_of_the_opcode_table_is_told_by_cpuid_or_listed() -> None:
    names = {name for form in all_forms() for name in form.opcode.cpuid}
    assert len(names) > 140
    for name in names:
        assert bool(sufficient(name)) != (name in NOT_TOLD)
    with pytest.raises(ValueError, match="AVX1024"):
        sufficient("AVX1024")


def test_rows_of_features_name_features() -> None:
    assert len(set(FEATURES.values())) == len(FEATURES), "one bit, one name"
    assert ENABLED_BY.keys() <= FEATURES.keys() and not FEATURES.keys() & RIGHTS.keys()
    assert {*IMPLIED, *(n for needed in IMPLIED.values() for n in needed)} <= FEATURES.keys() | RIGHTS.keys()


@pytest.mark.parametrize(
    ("encoding", "hide", "expected"),
    [("8fe878c2c000", "xop", ("XOP",)), ("62f17c48c2c111", "avx512", ("AVX512F",)), ("c5f877", "avx", ("AVX",)),
     ("c5fd70c111", "avx", ("AVX2",)), ("c4e279dcc1", "aes", ("AES",)), ("c4e279dcc1", "avx", ("AVX",)),
     ("f30f01ee", "uintr", ("UINTR",)), ("0f01d6", "rtm", ()), ("0f01d6", "rtm,hle", ("HLE_OR_RTM",)),
     ("f30fbdc1", "lzcnt", ("LZCNT",)), ("f30f1efa", "ibt", ()), ("90", "avx", ()), ("06", "avx", ())],
)  # fmt: skip
def test_what_an_encoding_needs(encoding: str, hide: str, expected: tuple[str, ...]) -> None:
    """Without LZCNT the bytes are BSR, so it counts; ENDBR64 is a no-operation without CET, so it does not."""
    assert without(EVERYTHING, named(hide)).absent(needs.needs_of(bytes.fromhex(encoding), Cpu.AMD)) == expected


# --- hidden is not run ---------------------------------------------------------------------------------------------
@X86_64
@pytest.mark.parametrize("encoding", ["c5f877", "c5fc28c1"])
def test_a_hidden_encoding_is_refused(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "processor", lambda: EVERYTHING)
    monkeypatch.setattr(needs, "visible", lambda: without(EVERYTHING, hidden()))
    code = bytes.fromhex(encoding)
    needs.refuse_hidden([b"\x90", code])
    monkeypatch.setenv(VARIABLE, "avx")
    with pytest.raises(needs.NotHere, match=rf"{encoding} needs AVX \(hidden by {VARIABLE}\)"):
        needs.refuse_hidden([b"\x90", code])


@pytest.mark.parametrize("name", ["root", "uprobes"])
def test_hidden_rights_are_refused_as_the_kernel_would(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, name)
    assert missing() and (name != "root" or effective_capabilities() == 0)
    with pytest.raises(PermissionError, match="uprobes"), Probes(1):
        pass
    with pytest.raises(PermissionError), PerfCounter("/nonexistent", 0):
        pass


@pytest.mark.parametrize("name", [*RIGHTS, "avx2"])
def test_a_hidden_need_is_missing_and_says_why(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, name)
    (reason,) = available.missing([name])
    assert VARIABLE in reason or platform.machine() != "x86_64"
    with pytest.raises(PermissionError, match=name):
        refuse(name)


def test_an_unknown_need_is_an_error() -> None:
    with pytest.raises(ValueError, match="avx1024"):
        available.missing(["avx1024"])


# --- one place -------------------------------------------------------------------------------------------------------
def test_live_tests_skip_by_their_needs_alone() -> None:
    """No `skipif` of their own; `pytest.skip` is for what only shows in the middle of a test."""
    folder = Path(__file__).parents[2] / "live"
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr == "skipif"), path.name
