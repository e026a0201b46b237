"""The executor that tests of this folder share; they are skipped where there is none."""

from collections.abc import Iterator

import pytest

from verify.live.capabilities import ExecutorUnavailable
from verify.live.executor import Executor


@pytest.fixture(scope="module")
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """One a module; `PATIENCE` of the module: seconds without progress after which a run is hung."""
    try:
        made = Executor(patience=getattr(request.module, "PATIENCE", 5.0))
    except ExecutorUnavailable as error:
        pytest.skip(f"no executor here: {error}")
    with made:
        yield made
