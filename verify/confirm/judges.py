"""Whether what runs here is what a scheme models.

Decides of the version alone, by the scheme's own word (`Scheme.live`); whether probes can be set here is
`verify.live.uprobe.missing`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from verify.models.schemes.live import LINUX
from verify.models.schemes.scheme import Scheme

RELEASES: Final[Mapping[str, Callable[[], str]]] = {  # judge -> the release that runs here, empty where it does not run
    LINUX: lambda: platform.release() if platform.system() == "Linux" else "",
}


def has_judge(scheme: Scheme) -> bool:
    """Whether anything that may run can judge the scheme."""
    return scheme.live is not None


def running(schemes: Iterable[Scheme]) -> Scheme | None:
    """The first scheme that models what runs here, on an x86-64 machine; None where none does."""
    here = schemes if platform.machine() == "x86_64" else ()
    return next((s for s in here if not another_version(s)), None)


def another_version(scheme: Scheme) -> str:
    """Why what runs here is no judge of the scheme, in a line; empty where it is."""
    judge = scheme.live
    if judge is None:
        return f"{scheme.name} models nothing that runs by itself"
    release = RELEASES[judge.judge]()
    if not release:
        return f"{scheme.name} models {judge.judge} {judge.version}, which is not what runs here"
    if judge.is_modelled(release):
        return ""
    return f"{judge.judge} {release} runs here, and {scheme.name} models {judge.judge} {judge.version}"
