"""The named schemes."""

import pytest

from verify.models.schemes.program_text import text
from verify.models.schemes.registry import DEFAULT, SCHEMES


def test_names():
    kernels = ("6.18", "next", "6.12", "6.6", "6.1", "5.15", "3.15")
    assert list(SCHEMES) == [
        *(f"linux-uprobes-{k}" for k in kernels), "jump-xol", "minhook", "xol-step", "inline-step", "inline-step-hwbp",
        "emulate", *(f"kernel-exec-{w}" for w in ("naive", "checked", "cpl2", "rpl3")), "gdb-displaced-13",
        "gdb-displaced-17", "identity",
    ]  # fmt: skip
    assert DEFAULT == "linux-uprobes-6.18"
    assert all(name == scheme.name for name, scheme in SCHEMES.items())


def test_identity_runs_every_byte_string_in_place():
    for first in range(256):
        found = text(SCHEMES["identity"].plan(bytes([first]) * 16))
        assert found == "entered by none\nrun [0..15] at ORIGIN, until it leaves, cpl 3"


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_wants_16_bytes(name):
    with pytest.raises(ValueError, match="got 0"):
        SCHEMES[name].plan(b"")
