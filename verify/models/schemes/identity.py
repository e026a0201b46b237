"""The scheme that does nothing: every instruction runs where it stands.

It accepts every byte string, so each of its forms must be proved; a form that is not shows a fault of the prover or of
the semantics, never of a scheme.
"""

from __future__ import annotations

from typing import Final

from verify.models.schemes.program import UNPROBED
from verify.models.schemes.scheme import Plan, Scheme


def plan(data: bytes) -> Plan:
    """The same plan for all bytes; ValueError where there are fewer than 16, as for every scheme."""
    if len(data) < 16:
        raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
    return UNPROBED


SCHEME: Final = Scheme(
    name="identity",
    summary="the instruction runs in place; slot = origin, nothing changed",
    source="none: a check of the prover",
    plan=plan,
)
