"""Tests of models and reports in a process that takes its machine for another one: `make elsewhere`.

What it runs may not run machine code; by default the folders that hold the models against what shares no code.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "unit"))

from test_other_machines import ELSEWHERE  # noqa: E402  in a folder of tests

FOLDERS = (HERE / "property", HERE / "golden")

if __name__ == "__main__":
    exec(ELSEWHERE)
    sys.exit(pytest.main(["-p", "no:xdist", *(sys.argv[1:] or map(str, FOLDERS))]))
