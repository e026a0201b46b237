"""Mutant of linux-uprobes-6.18: less and less-or-equal are taken for each other."""

from edited import edited, mutant

from verify.models.schemes.linux.actions import condition_holds
from verify.models.schemes.program import Check, Program
from verify.models.schemes.vocabulary import NOW

OBLIGATION = "next-ip"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = (
    "7c05",
    "0f8e11223344",
)


LESS, LESS_OR_EQUAL = condition_holds(0xC, NOW), condition_holds(0xE, NOW)
SWAPPED = {LESS: LESS_OR_EQUAL, LESS_OR_EQUAL: LESS}


def changed(program: Program) -> Program:
    return edited(
        program,
        lambda a: (Check(SWAPPED.get(a.condition, a.condition), a.otherwise),) if isinstance(a, Check) else (a,),
    )


SCHEME = mutant("condition-swapped", changed, steps_only=False)
