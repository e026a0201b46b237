"""What is built for an installation brings the recorded ledger along, and an installed copy finds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from verify.ledger.folder import Folder
from verify.ledger.places import brought_directory
from verify.ledger.store import Table

ROOT = Path(__file__).parents[2]
TABLE = Table("forms", "linux-uprobes-6.18", "0" * 32)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A checkout with little in it."""
    for name in ("setup.py", "pyproject.toml", "README.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in ("verify", "proofs/protocols/invariants", "proofs/live"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "verify" / "__init__.py").write_text('__version__ = "0"\n')
    (tmp_path / "verify" / "py.typed").touch()
    Folder(tmp_path / "proofs").put(TABLE, {"NOP/none": '{"verdict":"proved"}'})
    for name in ("protocols/xol-step.json", "protocols/invariants/xol-step.json", "live/kernel-6.18.json"):
        (tmp_path / "proofs" / name).write_text("{}")
    return tmp_path


def test_the_package_that_is_built_holds_the_recorded_ledger(source: Path) -> None:
    pytest.importorskip("setuptools", reason="missing: setuptools")
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", "built"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    package = source / "built" / "verify"
    brought = brought_directory(package)
    assert brought == package / "recorded"
    assert Folder(brought, writable=False).get(TABLE) == {"NOP/none": '{"verdict":"proved"}'}
    names = {str(p.relative_to(package)) for p in package.rglob("*") if p.is_file()}
    assert names == {
        "__init__.py", "py.typed", "recorded/forms-linux-uprobes-6.18.tsv", "recorded/protocols/xol-step.json",
        "recorded/protocols/invariants/xol-step.json",
    }  # fmt: skip
