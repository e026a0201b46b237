"""Bitwise logic of integers (SDM vol. 2, the page of each mnemonic)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from verify import terms
from verify.models.x86.semantics import flags, operands
from verify.models.x86.semantics.registry import Semantics
from verify.models.x86.semantics.run import Run
from verify.terms import Term


def _set_logic_flags(run: Run, a: Term, b: Term, result: Term) -> None:
    """of = cf = 0; zf, sf, pf by the result; af undefined."""
    flags.undefine(run, a, b)
    flags.clear(run, "of", "cf")
    flags.set_result_flags(run, result)


def _logic(result_of: Callable[[Term, Term], Term]) -> Semantics:
    def logic(run: Run) -> None:
        a, b = operands.read(run, 0), operands.read(run, 1)
        result = result_of(a, b)
        _set_logic_flags(run, a, b, result)
        operands.write(run, 0, result)

    return logic


def test(run: Run) -> None:
    """The flags of AND, whose result is thrown away (SDM vol. 2, TEST)."""
    a, b = operands.read(run, 0), operands.read(run, 1)
    _set_logic_flags(run, a, b, terms.and_(a, b))


def complement(run: Run) -> None:
    """No flag is touched."""
    operands.write(run, 0, terms.not_(operands.read(run, 0)))


SEMANTICS: Final[Mapping[str, Semantics]] = {
    "and": _logic(terms.and_),
    "or": _logic(terms.or_),
    "xor": _logic(terms.xor),
    "test": test,
    "not": complement,
}
