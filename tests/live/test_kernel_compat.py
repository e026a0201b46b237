"""A 32-bit process that has the probed file mapped: the kernel takes the bytes for those of a 32-bit program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from verify.confirm.counterexample import confirmation
from verify.confirm.handling import cut, headers, rows, samples
from verify.confirm.kernel import machine_cpu
from verify.judge.encoding import Judge
from verify.live.kernel.compat_process import CompatUnavailable, mapped_in_32_bits
from verify.live.kernel.handling import manners
from verify.live.kernel.registration import Mapped, map_executable
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.linux.uprobes_6_18 import SCHEME, plan_in_32_bits

pytestmark = [pytest.mark.live, pytest.mark.needs("kernel", "modelled-kernel")]
IN_32_BITS = replace(SCHEME, plan=plan_in_32_bits)
WRONG = ("488b0511223344", "8b0511223344", "488d0511223344", "ff1511223344", "41ffd3")
RIGHT = ("4889d8", "4150", "50", "90", "488b03", "ffd0", "e811000000", "0f1f440000")


@pytest.fixture(scope="module", autouse=True)
def _compat(tmp_path_factory: pytest.TempPathFactory) -> None:
    path: Path = tmp_path_factory.mktemp("compat") / "page"
    path.write_bytes(bytes(4096))
    with open(path, "rb") as file:
        try:
            with mapped_in_32_bits(file.fileno()) as pid:
                maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
        except CompatUnavailable as error:
            pytest.skip(str(error))
    assert [line.split()[1] for line in maps if line.endswith("/page")] == ["r--p"]
    assert not Path(f"/proc/{pid}").exists()


def shown(texts: tuple[str, ...], mapped: Mapped) -> dict[str, tuple[str, ...]]:
    found = manners([bytes.fromhex(t) for t in texts], mapped)
    return {t: m.shown for t, m in zip(texts, found, strict=True)}


def test_a_64_bit_program_sees_the_probe_where_a_32_bit_process_has_the_file_mapped() -> None:
    found = shown(WRONG + RIGHT, mapped_in_32_bits)
    assert [t for t, names in found.items() if names] == list(WRONG)
    assert "rax" in found["488d0511223344"]
    assert "rip" in found["41ffd3"]


@contextlib.contextmanager
def nobody(_: int) -> Iterator[None]:
    """No other process maps the file."""
    yield None


@pytest.mark.parametrize("mapped", [map_executable, nobody], ids=["64-bit", "none"])
def test_with_a_64_bit_process_or_none_it_does_not(mapped: Mapped) -> None:
    assert not any(shown(WRONG + RIGHT, mapped).values())


def test_the_kernel_runs_every_kind_of_plan_of_a_32_bit_analysis_as_it_is_transcribed() -> None:
    cpu = machine_cpu()
    found = samples((cut(d, IN_32_BITS) for d in islice(headers(), 0, None, 29)), IN_32_BITS, cpu, 2)
    seen = list(rows(list(found), IN_32_BITS, cpu, mapped_in_32_bits))
    assert [r for r in seen if not r.agrees] == []
    assert len(seen) > 150
    assert len({r.kind for r in seen}) > 80


@pytest.mark.parametrize("text", [t for t in WRONG if t != "41ffd3"])
def test_the_64_bit_plan_is_not_what_the_kernel_does_then(text: str) -> None:
    (seen,) = rows([bytes.fromhex(text)], SCHEME, machine_cpu(), mapped_in_32_bits)
    assert not seen.agrees


@pytest.mark.parametrize(("text", "said"), [
    ("488b0511223344", "confirmed: deviates in "), ("41ffd3", "confirmed: deviates in "),
    ("4889d8", "confirmed: identical"),
])  # fmt: skip
def test_a_counterexample_is_confirmed_with_such_a_process(text: str, said: str) -> None:
    data, assumptions = bytes.fromhex(text), ASSUMPTIONS - {"analysed-as-64-bit"}
    judgement = Judge(SCHEME, assumptions).judgement(data, machine_cpu())
    answer = confirmation(data, judgement, assumptions, "refuted")
    assert answer.startswith(said) and "where a 32-bit process has the file mapped" in answer
