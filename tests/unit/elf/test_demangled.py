"""Names as their source has them: the examples of the Itanium C++ ABI and of Rust RFC 2603."""

from __future__ import annotations

import shutil

import pytest

from verify.elf.demangled import demangled, replaced_in


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="binutils' c++filt is not installed")
def test_names_of_cpp() -> None:
    known = demangled(["_ZN3foo3barEv+0x10", "main+0x3", "_Znot_a_name"])
    assert replaced_in("0x1000  _ZN3foo3barEv+0x10  ret", known) == "0x1000  foo::bar()+0x10  ret"
    assert replaced_in("main+0x3", known) == "main+0x3"


def test_without_mangled_names_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: pytest.fail("asked for the tool"))
    with pytest.raises(pytest.fail.Exception):
        demangled(["_Z1fv"])
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert demangled(["_Z1fv"]) == {} and demangled(["main"]) == {}
