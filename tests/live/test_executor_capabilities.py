"""Capabilities read by the stub against what the kernel prints in /proc/cpuinfo."""

from pathlib import Path

import pytest

from verify.live.capabilities import FEATURES, ExecutorUnavailable, capabilities
from verify.live.hiding import hidden

pytestmark = [pytest.mark.live, pytest.mark.needs("executor")]

OTHER_NAMES = {"pni": "sse3", "sha_ni": "sha", "abm": "lzcnt"}


@pytest.fixture
def cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
    except OSError as error:
        pytest.skip(str(error))
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_vendor_family_model_are_the_kernels(cpuinfo: dict[str, str]) -> None:
    caps = capabilities()
    seen = (caps.vendor, caps.family, caps.model, caps.stepping)
    assert seen == (cpuinfo["vendor_id"], *(int(cpuinfo[key]) for key in ("cpu family", "model", "stepping")))


def test_features_of_the_kernel_are_found(cpuinfo: dict[str, str]) -> None:
    flags = set(cpuinfo["flags"].split())
    names = {OTHER_NAMES.get(flag, flag.replace("avx512_", "avx512")) for flag in flags}
    expected = names & FEATURES.keys()
    assert len(expected) > 10
    assert expected - hidden() <= capabilities().features
    assert not hidden() & capabilities().features


def test_other_machines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ExecutorUnavailable, match="aarch64"):
        capabilities()
