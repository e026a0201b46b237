"""Classes that have the same obligations but for the names of datapaths, told by what their instructions do.

An obligation is made of what the original and each code of the plan do to a state (`execute`), of the plan, and of
the premises.  Semantics asks a state for its components alone, so what an instruction does to any state follows from
what it does to one of which nothing is known: where that is the same term for term, for the original and for every
code, and the plan and the premises are the same too, so are the obligations.  Terms are interned: the same is the same
object.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Final

from verify.claim.conditions import VerificationCondition, verification_condition
from verify.claim.probes import Probe
from verify.models.schemes.program import Program
from verify.models.schemes.program_text import shape
from verify.models.x86.isa.features import needed
from verify.models.x86.machine import symbolic_state
from verify.models.x86.semantics.dispatch import execute
from verify.models.x86.semantics.run import Instruction
from verify.terms import Term, var

ANY: Final = symbolic_state(var("ip", 64))


class Kinds:
    """The kinds of classes under some assumptions, as numbers; one process's alone."""

    def __init__(self, assumptions: frozenset[str]) -> None:
        self.assumptions = assumptions
        self._of_class: dict[tuple[object, ...], int] = {}
        self._numbers: dict[tuple[object, ...], int] = {}

    def of(self, p: Probe) -> int:
        """Equal for two probes: equal obligations but for the names of datapaths.  The plan must be no refusal."""
        found = self._of_class.get(p.shared_key)
        if found is None:
            kind = p.key if p.is_concrete else kind_of(p, self.assumptions)
            found = self._of_class[p.shared_key] = self._numbers.setdefault(kind, len(self._numbers))
        return found


def kind_of(p: Probe, assumptions: frozenset[str]) -> tuple[object, ...]:
    """What the obligations of a class that is not concrete are made of."""
    assert isinstance(p.plan, Program)
    material = verification_condition(p, assumptions)
    setup = material.setup
    here = done(setup.original)
    copies = [setup.instruction(c) for c in p.codes if not c.closed]
    parts = [setup.part(c, q.offset).instruction for c in p.codes if c.closed for q in p.pieces(c) or ()]
    return (
        here, tuple(here if copy is setup.original else done(copy) for copy in (*copies, *parts)), p.key[1:],
        _lent(p, material), tuple(setup.operand(spot, ANY) for spot in shape(p.plan).operands), setup.length,
        setup.original.length, material.premises, material.distinct,
        tuple(setup.displacement(*spot) for spot in shape(p.plan).fields),
    )  # fmt: skip


def _lent(p: Probe, material: VerificationCondition) -> tuple[object, ...]:
    """What the copies do at the other levels at which the plan has code run."""
    if not p.is_lent:
        return ()
    copies = [replace(material.setup.instruction(c), mode=m)
              for c in p.codes if not c.closed for m in p.modes if not m.is_user]  # fmt: skip
    return tuple(map(done, copies))


def done(instruction: Instruction) -> tuple[object, ...]:
    """What the instruction does to a state of which nothing is known, whether it needs a feature."""
    return bool(needed(instruction.opcode)), *_parts(execute(replace(instruction, anonymous=True), ANY))


def _parts(value: object) -> tuple[object, ...]:
    """The terms and plain values of a record, in order."""
    if isinstance(value, tuple):
        return len(value), *(x for part in value for x in _parts(part))
    if is_dataclass(value) and not isinstance(value, Term):
        return tuple(x for f in fields(value) for x in _parts(getattr(value, f.name)))
    return (value,)
