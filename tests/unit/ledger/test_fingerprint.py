"""The fingerprint changes with every module that decides, wherever it stands, and with nothing else."""

import ast
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from verify.ledger import fingerprint as module
from verify.ledger.fingerprint import JUDGE, PACKAGE, PROVER, SURVEY, fingerprint, reached

ROOT = PACKAGE.parent
ROOTS = {"decisions": PROVER, "classes": JUDGE, "rows": SURVEY}
DECIDING = {
    "decisions": ("verify.smt.decisions", "verify.smt.z3terms", "verify.terms.evaluation"),
    "classes": ("verify.claim.theorem", "verify.claim.probes", "verify.models.x86.isa.capstone_check",
                "verify.models.schemes.linux.uprobes_6_18", "verify.models.x86.semantics.string"),
    "rows": ("verify.survey.rows", "verify.judge.form", "verify.judge.counterexample", "verify.models.x86.isa.encode"),
}  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PACKAGE, tmp_path / "verify", ignore=shutil.ignore_patterns("__pycache__")))


def mark(roots: tuple[str, ...], package: Path) -> str:
    module._code.cache_clear()
    module.imported.cache_clear()
    return fingerprint(roots, package=package)


def file_of(name: str, package: Path) -> Path:
    return reached((name,), package)[name]


@pytest.mark.parametrize("what", ROOTS)
def test_a_change_in_any_module_that_decides_changes_it(copy, what):
    before = mark(ROOTS[what], copy)
    assert before == mark(ROOTS[what], PACKAGE)
    for name in DECIDING[what]:
        path = file_of(name, copy)
        text = path.read_text()
        path.write_text(text + "\n# seeded\n")
        assert mark(ROOTS[what], copy) != before, name
        path.write_text(text)
    assert mark(ROOTS[what], copy) == before


def test_every_module_that_is_reached_is_in_it(copy, monkeypatch):
    """Each one alone, without reading all files again: what is hashed is what is reached."""
    read: list[Path] = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or real(path))
    mark(SURVEY, copy)
    assert sorted(read) == sorted(reached(SURVEY, copy).values())


def test_a_module_that_moves_stays_in_it(copy):
    old, new = "verify.claim.probes", "verify.claim.places"
    for path in copy.rglob("*.py"):
        path.write_text(path.read_text().replace(old, new))
    (copy / "claim" / "probes.py").rename(copy / "claim" / "places.py")
    before = mark(SURVEY, copy)
    path = copy / "claim" / "places.py"
    path.write_text(path.read_text() + "\n# seeded\n")
    assert mark(SURVEY, copy) != before


@pytest.mark.parametrize(
    "name", ["cli/__init__.py", "cli/status.py", "report/text.py", "live/ptrace.py", "concurrency/explorer.py"]
)
def test_what_decides_nothing_is_not_in_it(copy, name):
    before = mark(SURVEY, copy)
    (copy / name).write_text((copy / name).read_text() + "\n# seeded\n")
    assert mark(SURVEY, copy) == before


def test_options_and_their_order_are_in_it():
    assert len({fingerprint(PROVER, *o) for o in (("a", "b"), ("ab",), ("b", "a"), ())}) == 4


def test_decoders_are_in_it_and_pinned_and_the_solver_is_not(monkeypatch):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for library in module.DECODERS:
        assert f"{library}=={version(library)}" in project["dependencies"]
    before = mark(PROVER, PACKAGE)
    for library in (*module.DECODERS, "z3-solver"):
        monkeypatch.setattr(module, "version", lambda name, other=library: "0" if name == other else version(name))
        assert (mark(PROVER, PACKAGE) != before) == (library in module.DECODERS), library
    assert "z3-solver 0" in module.versions()


def test_the_imports_are_those_of_the_syntax_tree():
    for name, path in reached(SURVEY).items():
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        assert {f for f in found if f.startswith("verify.")} <= module.imported(name, path), name


def test_what_a_survey_loads_is_in_it():
    program = (
        "import sys; from verify.survey.forms import Setting, Worker; from verify.models.x86.isa.forms import Cpu\n"
        "from verify.models.schemes.registry import SCHEMES, DEFAULT\n"
        "from verify.models.schemes.assumptions import ASSUMPTIONS\n"
        "Worker(Setting(SCHEMES[DEFAULT], tuple(Cpu), ASSUMPTIONS), {}, {}).shard_result(['PUSHFQ/none'])\n"
        "print(*[m for m in sys.modules if m.partition('.')[0] == 'verify'])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "verify.models.x86.semantics.string" in found.stdout.split()
    assert set(found.stdout.split()) <= set(reached(SURVEY))


def test_a_root_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"verify\.nowhere is no module"):
        reached(("verify.nowhere",))
