"""The named schemes."""

import pytest

from verify.models.schemes.program_text import text
from verify.models.schemes.registry import DEFAULT, SCHEMES


def test_names():
    assert set(SCHEMES) == {"linux-uprobes-6.18", "linux-uprobes-3.15", "identity"}
    assert DEFAULT == "linux-uprobes-6.18"
    assert all(name == scheme.name for name, scheme in SCHEMES.items())


def test_identity_runs_every_byte_string_in_place():
    for first in range(256):
        found = text(SCHEMES["identity"].plan(bytes([first]) * 16))
        assert found == "entered by none\nrun [0..15] at ORIGIN, until it leaves, cpl 3"


@pytest.mark.parametrize("name", ["linux-uprobes-6.18", "linux-uprobes-3.15", "identity"])
def test_every_scheme_wants_16_bytes(name):
    with pytest.raises(ValueError, match="got 0"):
        SCHEMES[name].plan(b"")
