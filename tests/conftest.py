"""How pytest spreads and repeats tests here: groups stay together (`groups`), random examples are few, Ctrl-C ends."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from groups import group
from hypothesis import settings

EXAMPLES = {"suite": 40, "whole": 400}  # of a property that does not say how many itself
for name, count in EXAMPLES.items():
    settings.register_profile(name, max_examples=count, deadline=None)
settings.load_profile("suite")


def pytest_configure() -> None:
    """A shell has what it starts behind `&` ignore SIGINT, and programs that are started from there as well."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The scheduler that keeps groups together; None, for the one that was asked for, elsewhere."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return ByGroup(config, log)
