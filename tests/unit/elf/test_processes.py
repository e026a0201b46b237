"""The files that a process has mapped as code, from a `maps` file as proc(5) has it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from verify.elf.processes import mapped_code

MAPS = """\
555555554000-555555558000 r--p 00000000 08:01 100 /usr/bin/a b
555555558000-555555560000 r-xp 00004000 08:01 100 /usr/bin/a b
7ffff7c00000-7ffff7d00000 r-xp 00000000 08:01 101 /lib/libc.so.6
7ffff7d00000-7ffff7e00000 r-xp 00000000 08:01 102 /tmp/gone (deleted)
7ffff7e00000-7ffff7e01000 rw-p 00000000 00:00 0
7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0 [vdso]
7ffff7fd0000-7ffff7fd1000 r-xp 00001000 08:01 101 /lib/libc.so.6
"""


def test_executable_files_each_once(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "maps").write_text(MAPS)
    assert mapped_code(7, tmp_path) == ["/usr/bin/a b", "/lib/libc.so.6"]


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5) is of Linux")
def test_this_process() -> None:
    assert any("libc" in file or "python" in file for file in mapped_code(os.getpid()))


def test_a_process_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mapped_code(7, tmp_path)
