"""Mutant of linux-uprobes-6.18: the scratch register keeps the base where the step faults."""

from edited import mutant, on_fault, scratch_of

from verify.models.schemes.program import Actions, Program, Set

OBLIGATION = "fault"  # expected to fail on each witness, where the real scheme keeps it
WITNESSES = ("488b1d11223344",)


def changed(program: Program) -> Program:
    def forgetful(actions: Actions) -> Actions:
        return tuple(a for a in actions if not (isinstance(a, Set) and a.target == scratch_of(program)))

    return on_fault(program, forgetful)


SCHEME = mutant("abort-forgets-scratch", changed)
