"""Whether this machine has what a test or a command needs: the one place where that is decided.

A need is the name of a processor feature (see `features.FEATURES`), or one of the others below.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Final

from verify.live import uprobe
from verify.live.capabilities import ExecutorUnavailable, capabilities, visible
from verify.live.executor.executor import Executor
from verify.live.features import FEATURES
from verify.live.hiding import HIDDEN, hidden
from verify.live.litmus import litmus
from verify.live.needs import cpu_of
from verify.live.ptrace import untraceable
from verify.live.uprobe_syscalls import UPROBE_PMU
from verify.models.schemes.registry import DEFAULT, SCHEMES
from verify.models.x86.isa.rows import Cpu

GDB: Final = "13.1"  # the version that the scheme `gdb-displaced-13` models
TRACEFS: Final = Path("/sys/kernel/tracing")


def _x86_64() -> str:
    here = platform.system(), platform.machine()
    return "" if here == ("Linux", "x86_64") else f"Linux on x86-64, this is {here[0]} on {here[1]}"


def _executor() -> str:
    return _executor_without(hidden())


@cache
def _executor_without(names: frozenset[str]) -> str:
    try:
        with Executor():
            return ""
    except ExecutorUnavailable as error:
        return f"the executor: {error}"


def _root() -> str:
    return "" if os.geteuid() == 0 and uprobe.effective_capabilities() else "root"


def _perf() -> str:
    return _uprobes() or ("" if (UPROBE_PMU / "type").exists() else f"perf events ({UPROBE_PMU})")


def _tracefs() -> str:
    return "" if os.access(TRACEFS / "uprobe_events", os.W_OK) else f"tracefs with uprobe events at {TRACEFS}"


def _uprobes() -> str:
    return "; ".join(uprobe.missing())


def _kernel() -> str:
    return "; ".join(filter(None, (_uprobes(), untraceable())))


def _vendor(cpu: Cpu) -> str:
    if absent := _x86_64():
        return absent
    return "" if cpu_of(visible()) is cpu else f"a processor by {cpu.value}, this is {visible().vendor}"


def _compiler() -> str:
    return "" if shutil.which("cc") else "a C compiler (cc)"


def _gdb() -> str:
    if not shutil.which("gdb"):
        return f"GDB {GDB}"
    said = subprocess.run(("gdb", "--version"), capture_output=True, text=True, check=False).stdout.partition("\n")[0]
    return "" if said.split()[-1:] == [GDB] else f"GDB {GDB}, this is {said or 'none that tells its version'}"


def _modelled_kernel() -> str:
    judge = SCHEMES[DEFAULT].live
    assert judge is not None, "the default scheme models a kernel"
    same = judge.is_modelled(platform.release())
    return "" if same else f"{judge.judge} {judge.version}, this is {platform.release()}"


NEEDS: Final[Mapping[str, Callable[[], str]]] = {  # name -> what is missing of it, empty where it is there
    "x86-64": _x86_64,
    "executor": _executor,
    "root": _root,
    "ptrace": untraceable,
    "uprobes": _uprobes,
    "perf": _perf,
    "kernel": _kernel,
    "tracefs": _tracefs,
    "cc": _compiler,
    "amd": partial(_vendor, Cpu.AMD),
    "intel": partial(_vendor, Cpu.INTEL),
    "litmus": litmus.unavailable,
    "modelled-kernel": _modelled_kernel,
    "gdb": _gdb,
    "setpriv": lambda: "" if shutil.which("setpriv") else "setpriv",
}


def missing(needs: Iterable[str]) -> tuple[str, ...]:
    """What is missing of these needs here, each as a phrase for people; ValueError for an unknown name."""
    return tuple(dict.fromkeys(text for name in needs if (text := _missing(name))))


def _missing(name: str) -> str:
    if name not in NEEDS and name not in FEATURES:
        raise ValueError(f"no need is called {name!r}; there are processor features and {', '.join(NEEDS)}")
    if name in NEEDS:
        return HIDDEN.format(name) if name in hidden() else NEEDS[name]()
    if absent := _executor():
        return absent
    if name in capabilities().features:
        return ""
    return HIDDEN.format(name) if name in hidden() else f"{name}: this processor has none"
