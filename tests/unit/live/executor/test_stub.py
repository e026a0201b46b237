"""The assembler's displacements and constants, and the stub's own table."""

import pytest

from verify.live.executor.layout import CONTROL_BASE, PAGE, STUB_BASE
from verify.live.executor.records import CONTROL
from verify.live.executor.stub import assemble
from verify.live.executor.stub_rows import CONSTANTS, table

SYMBOLS = {name: CONTROL_BASE + 8 * i for i, name in enumerate(CONTROL)} | {"stack_top": 0, "unmap": 0, "regions": 0}
SYMBOLS |= {name: CONTROL_BASE + 0x800 for name in ("stack_top", "unmap", "regions")}


def test_displacement_counts_from_the_end_of_the_row() -> None:
    code, labels = assemble("start:\nc6 05 {field} 01 ; mov byte [field], 1\ne9 {start}", 0x1000, {"field": 0x1100}, {})
    assert labels == {"start": 0x1000}
    assert code.hex() == "c605f900000001" + "e9f4ffffff"  # 0x1100 - 0x1007; 0x1000 - 0x100c


def test_constant_is_little_endian() -> None:
    assert assemble("49 8b 86 <offset>", 0, {}, {"offset": 0x88})[0].hex() == "498b8688000000"


@pytest.mark.parametrize("row", ["4", "zz", "{a", "488"])
def test_bad_row_is_named(row: str) -> None:
    with pytest.raises(ValueError, match="stub row"):
        assemble(row, 0, {}, {})


def test_unknown_name_is_refused() -> None:
    with pytest.raises(KeyError):
        assemble("e9 {nowhere}", 0, {}, {})


@pytest.mark.parametrize("avx2", [False, True])
def test_stub_fits_its_page_and_has_its_labels(avx2: bool) -> None:
    code, labels = assemble(table(avx2), STUB_BASE, SYMBOLS, CONSTANTS)
    assert 400 < len(code) < PAGE
    assert {"entry", "exit", "handler", "sigreturn"} <= labels.keys()
    assert code[labels["exit"] - STUB_BASE :][:3].hex() == "488925"  # rsp is saved before anything else
