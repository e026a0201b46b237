"""The gate runs every step in a clone, ends with a failure of any, and leaves the checkout's own environment alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = ("pytest", "ruff", "mypy", "opcode-range", "gate", "smaller")
#: a README whose test command makes an environment of stand-ins, each of which writes its name into a file
README = "python3 -m venv --help >/dev/null && sh tools.sh && .venv/bin/python -m pytest -n 2 tests\n"
TOOLS = """mkdir -p .venv/bin
for tool in ruff mypy; do
    printf '#!/bin/sh\\necho %s >> "$SEEN"\\ntest "$BROKEN" != %s\\n' $tool $tool > .venv/bin/$tool
done
printf '#!/bin/sh\\necho $1 >> "$SEEN"\\ntest "$BROKEN" != $1\\n' > .venv/bin/ubp-verify
cat > .venv/bin/python <<'PYTHON'
#!/bin/sh
name=pytest
test -z "$UBP_VERIFY_HIDE" || name=smaller
echo $name >> "$SEEN"
echo "closing line of $name, hidden: $UBP_VERIFY_HIDE"
test "$BROKEN" != $name
PYTHON
chmod +x .venv/bin/*
"""

pytestmark = pytest.mark.skipif(not shutil.which("git") or not shutil.which("timeout"), reason="missing: git, timeout")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    place = tmp_path / "checkout"
    (place / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", place / ".ci/run")
    (place / "README.md").write_text(README)
    (place / "tools.sh").write_text(TOOLS)
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for command in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "x")):
        subprocess.run(["git", *command], cwd=place, check=True)
    (place / ".venv").mkdir()
    (place / ".venv/own").write_text("a developer's")
    return place


def ran(checkout: Path, broken: str = "") -> tuple[int, list[str], str]:
    seen = checkout.parent / "seen"
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "SEEN": str(seen), "BROKEN": broken}
    done = subprocess.run([checkout / ".ci/run"], env=environment, capture_output=True, text=True, check=False)
    assert [path.name for path in (checkout / ".venv").iterdir()] == ["own"]
    return done.returncode, seen.read_text().split(), done.stdout


def test_all_steps_run_and_their_lines_are_shown(checkout: Path) -> None:
    status, seen, said = ran(checkout)
    assert (status, tuple(seen)) == (0, STEPS)
    assert "closing line of pytest, hidden: \n" in said
    assert "closing line of smaller, hidden: avx512,avx2,root,uprobes\n" in said


@pytest.mark.parametrize("broken", STEPS)
def test_a_failure_of_any_step_is_the_gates(checkout: Path, broken: str) -> None:
    status, seen, _ = ran(checkout, broken)
    assert status != 0 and seen[-1] == broken


def test_a_step_is_bounded_in_time() -> None:
    text = (ROOT / ".ci/run").read_text()
    assert "timeout --kill-after" in text and "|| true" not in text and "rm -rf .venv" not in text
