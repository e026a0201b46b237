"""`tests/unit` mirrors `verify/`: every folder is a package of it, every file has a module's name or a reason.

A file's name is `test_` and the end of its module's path, as much of it as it takes to be the only one of that name:
`verify/terms/rules.py` has `tests/unit/terms/test_terms_rules.py`.  A file of a whole package is named by the package.
What is tested of the module may follow: `test_store_killed.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REASONS = {  # file -> what it is about, which is no module's alone
    "claim/test_class_keys.py": "what semantics look at, against what probes put into a key",
    "concurrency/instance/test_representatives.py": "two modules that must agree",
    "concurrency/protocols/test_protocol_races.py": "historic races of several protocols",
    "concurrency/protocols/test_protocol_verdicts.py": "all protocols",
    "concurrency/protocols/test_waiting.py": "fairness, in variants of xol-step",
    "concurrency/test_bad_input.py": "what the engines make of wrong protocols and of bounds",
    "concurrency/test_counts.py": "all engines count alike",
    "concurrency/test_direct.py": "all engines against running the protocol's own functions",
    "concurrency/test_interrupt.py": "Ctrl-C in every engine and method",
    "concurrency/test_portfolio.py": "the engine `auto`, which is all of them",
    "concurrency/unbounded/test_every_variant.py": "every method, every wrong variant",
    "concurrency/unbounded/test_invariant.py": "invariants are found by one module and checked by another",
    "elf/made.py": "what tests of ELF files share",
    "judge/test_verdicts_of_known_instructions.py": "what is known of instructions, through everything that decides",
    "ledger/killed_writers.py": "what a test and `make store` share",
    "survey/test_lost_workers.py": "workers of every survey are killed",
    "models/x86/semantics/executed.py": "what tests of semantics share",
    "models/x86/semantics/test_families_total.py": "every form of every family",
    "models/x86/semantics/test_integer_semantics.py": "several families in memory, special registers and at faults",
    "test_bench.py": "the benchmarks, which no test runs",
    "test_ci.py": "the gate, .ci/run",
    "test_other_machines.py": "every module, on a machine that is none of x86-64",
    "test_wheel.py": "the installed package: what it brings besides code",
}


def mirror_faults(unit: Path, package: Path, reasons: Iterable[str] = ()) -> Iterator[str]:
    """What in a folder of tests mirrors nothing in a package."""
    for path in sorted(unit.rglob("*.py")):
        name, folder = path.relative_to(unit).as_posix(), path.parent.relative_to(unit)
        if name in reasons:
            continue
        if not (package / folder).is_dir():
            yield f"{name}: verify has no folder {folder}"
        elif not any(_is_named(path.stem, module) for module in _names(package / folder, package)):
            yield f"{name}: verify/{folder} has no module of that name"


def _is_named(stem: str, module: str) -> bool:
    """Whether a test is called by a module, alone or with what is tested of it."""
    return f"{stem}_".startswith(f"test_{module}_")


def _names(folder: Path, package: Path) -> Iterator[str]:
    """What tests of a package and of its modules may be called, without `test_`."""
    for path in (folder, *folder.glob("*.py")):
        parts = path.relative_to(package).parts if path == folder else path.with_suffix("").relative_to(package).parts
        yield from ("_".join(parts[i:]) for i in range(len(parts)))


def test_unit_tests_mirror_the_package() -> None:
    assert list(mirror_faults(ROOT / "tests" / "unit", ROOT / "verify", REASONS)) == []


def test_every_folder_of_unit_tests_is_one_of_the_package() -> None:
    unit = ROOT / "tests" / "unit"
    folders = {path.parent.relative_to(unit) for path in unit.rglob("*.py")}
    assert [f for f in sorted(folders) if not (ROOT / "verify" / f).is_dir()] == []


def test_reasons_are_still_needed() -> None:
    unit = ROOT / "tests" / "unit"
    without = {fault.partition(":")[0] for fault in mirror_faults(unit, ROOT / "verify")}
    assert set(REASONS) <= without
    assert all((unit / name).exists() and reason for name, reason in REASONS.items())


def test_names_of_test_files_are_unique() -> None:
    """Else pytest takes one for the other."""
    count = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, number in count.items() if number > 1] == []


@pytest.mark.parametrize(("test", "faults"), [
    ("terms/test_rules.py", 0), ("terms/test_terms_rules.py", 0), ("terms/test_terms.py", 0),
    ("terms/test_bits.py", 1), ("bits/test_rules.py", 1), ("test_terms.py", 1), ("test_rules.py", 1),
    ("terms/shared.py", 1), ("terms/test_rules_of_sums.py", 0), ("terms/test_rulesets.py", 1),
])  # fmt: skip
def test_a_file_that_mirrors_nothing_is_found(test: str, faults: int, tmp_path: Path) -> None:
    for name in ("verify/terms/rules.py", "verify/terms/__init__.py", f"unit/{test}"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert len(list(mirror_faults(tmp_path / "unit", tmp_path / "verify"))) == faults
