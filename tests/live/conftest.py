"""Fixtures of the live tests: one executor for a module, or a skip that says what the machine lacks."""

from collections.abc import Iterator

import pytest

from verify.live.capabilities import ExecutorUnavailable
from verify.live.executor import Executor


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    try:
        with Executor(patience=0.5) as made:
            yield made
    except ExecutorUnavailable as error:
        pytest.skip(str(error))
