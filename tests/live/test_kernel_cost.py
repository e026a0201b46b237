"""Costs come in the order that every kernel shows: a jump below a trap, a trap below a debugger."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from verify.confirm.cost import CostResult
from verify.confirm.results import Standing, keep
from verify.live.kernel import cost
from verify.live.kernel.cost import costs
from verify.live.uprobe import missing

pytestmark = pytest.mark.live


@pytest.mark.needs("ptrace")
def test_costs_are_ordered() -> None:
    cycles = {row.name: row.cycles for row in costs(600)}
    debugger, handler = cycles["ptrace breakpoint and single-step"], cycles["int3 and a handler in the process"]
    jump = cycles["jump to a copy and back"]
    assert debugger is not None and handler is not None and jump is not None
    assert 0 < jump < 50 < handler < debugger
    stepped = cycles["uprobe, stepped out of line"]
    emulated = cycles["uprobe, emulated by the kernel"]
    assert (stepped is None) == bool(missing())
    if stepped is not None and emulated is not None:
        assert 100 < emulated < stepped


def test_stored_costs_name_the_machine(tmp_path: Path) -> None:
    result = CostResult((cost.Cost("jump", 2.5, 20), cost.Cost("uprobe", None, 1000, "no privilege")))
    assert result.standing is Standing.UNDECIDED
    (path,) = keep(result, tmp_path)
    written = json.loads(path.read_text())
    assert path.name.startswith("cost-")
    assert written["kernel"] == platform.release()
    assert written["rows"][1] == {"name": "uprobe", "cycles": None, "discussed": 1000, "reason": "no privilege"}


@pytest.mark.needs("ptrace")
def test_without_uprobes_their_rows_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "missing", lambda: ("capability CAP_PERFMON (or CAP_SYS_ADMIN)",))
    rows = costs(200)
    assert [row.cycles is None for row in rows] == [True, True, True, False, False, False]
    assert all("CAP_PERFMON" in row.reason for row in rows[:3])
