"""The files that a process has mapped as code, from a `maps` file as proc(5) has it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from verify.elf.processes import code_mappings

MAPS = """\
555555554000-555555558000 r--p 00000000 08:01 100 /usr/bin/a b
555555558000-555555560000 r-xp 00004000 08:01 100 /usr/bin/a b
7ffff7c00000-7ffff7d00000 r-xp 00000000 08:01 101 /lib/libc.so.6
7ffff7d00000-7ffff7e00000 r-xp 00000000 08:01 102 /tmp/gone (deleted)
7ffff7e00000-7ffff7e01000 rw-p 00000000 00:00 0
7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0 [vdso]
7ffff7fd0000-7ffff7fd1000 r-xp 00001000 08:01 101 /lib/libc.so.6
7ffff7fd1000-7ffff7fd2000 r-xs 00000000 08:01 103 /lib/shared.so
7ffff7fd2000-7ffff7fd3000 rwxp 00000000 08:01 104 /lib/patched.so
"""


def test_executable_mappings_and_which_of_them_linux_sets_no_breakpoint_in(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "maps").write_text(MAPS)
    found = code_mappings(7, tmp_path)
    assert [m.file for m in found] == [
        "/usr/bin/a b", "/lib/libc.so.6", "/lib/libc.so.6", "/lib/shared.so", "/lib/patched.so",
    ]  # fmt: skip
    assert found[0].start == 0x555555558000
    assert [m.file for m in found if m.is_shared_or_writable] == ["/lib/shared.so", "/lib/patched.so"]


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5) is of Linux")
def test_this_process() -> None:
    assert any("libc" in m.file or "python" in m.file for m in code_mappings(os.getpid()))


def test_a_process_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        code_mappings(7, tmp_path)
