"""Where a probed program runs on though the instruction raises #UD in place."""

from __future__ import annotations

from verify.claim.probes import Probe
from verify.models.schemes.program import Entry, Program, Run
from verify.models.schemes.scheme import Refuse
from verify.models.x86.isa.decode import UNDEFINED, Decoded
from verify.models.x86.isa.features import needed


def undefined_without(p: Probe) -> tuple[str, ...]:
    """The features without which the processor raises #UD in place and the program runs on with the probe.

    An effect that the implementation applies by itself needs no feature; code that it runs has needs of its own.
    """
    if not isinstance(p.decoded, Decoded) or p.decoded.faults_ud is not None or isinstance(p.plan, Refuse):
        return ()
    needs = needed(p.decoded.form.opcode)
    return needs and tuple(f for f in needs if any(f not in _needed(p, hit, needs) for hit in p.plan.hits))


def undefined_runs_on(p: Probe) -> bool:
    """Whether the bytes are no instruction, which raises #UD in place, and the program runs on with the probe."""
    if p.decoded != UNDEFINED or not isinstance(p.plan, Program) or p.plan.entry is Entry.NONE:
        return False
    return any(all(isinstance(p.read(a.code), Decoded) for a in h.actions if isinstance(a, Run)) for h in p.plan.hits)


def _needed(p: Probe, hit: Program, needs: tuple[str, ...]) -> tuple[str, ...]:
    """The features that the code needs which the plan of a hit runs in any case; what is undefined has these needs."""
    copies = (p.read(a.code) for a in hit.actions if isinstance(a, Run))
    return tuple(f for c in copies for f in (needed(c.form.opcode) if isinstance(c, Decoded) else needs))
