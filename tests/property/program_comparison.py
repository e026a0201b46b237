"""Both meanings of a plan, the plan's own and that of the program which it is translated into, goal by goal."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from unittest import mock

from verify.claim.conditions import verification_condition
from verify.claim.obligations import compared, obligation, sides
from verify.claim.probes import Probe, is_vendor_specific, probe_of
from verify.models.schemes import meaning as meanings
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.behaviour import Behaviour, Setup, refused
from verify.models.schemes.meaning import address_premises, behaviours
from verify.models.schemes.plan import Emulate, InPlace, Push, Refuse, Scheme, Step
from verify.models.schemes.program import Program
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.shown import OWN_SIGNAL
from verify.models.schemes.translation import program
from verify.models.x86.isa.encode import decoded_irregular, decoded_representatives
from verify.models.x86.isa.forms import Cpu, Form, all_forms
from verify.models.x86.machine import OBSERVABLES, State
from verify.smt.z3terms import RESOURCE_LIMIT, satisfiable, unsatisfiable
from verify.terms import FALSE, TRUE, Term, all_of, const, eq, not_, postorder, substitute, xor

Meaning = Callable[[Program, Setup, State], tuple[Behaviour, ...]]
SPLITS, SOON, LATE = 3, 1_000_000, RESOURCE_LIMIT  # choices taken apart; z3's units of work, before and after
CPUS = (Cpu.AMD, Cpu.INTEL)


@dataclass(frozen=True)
class Compared:
    """One goal of one plan by both meanings, and how they were found to be the same."""

    data: str  # hex
    plan: Emulate | Step | InPlace
    observable: str
    dropped: frozenset[str]  # assumptions
    grade: str
    verdict: bool  # both are refuted or neither is, where the grade is weaker than equality

    @property
    def kind(self) -> str:
        """The plan's kind without its fields."""
        return f"{type(self.plan).__name__} {getattr(self.plan, 'effect', getattr(self.plan, 'fixups', ''))}"


@cache
def plain_reader(form: Form) -> bool:
    """As `verify.judge.form` asks for both vendors."""
    opcode = form.opcode
    return opcode.encoding == "LEGACY" and opcode.flow_control == "NEXT" and opcode.table == "0F"


def probes(scheme: Scheme, forms: tuple[Form, ...], irregular: bool = False) -> Iterator[Probe]:
    """One probe a class that the scheme tells apart, refusals left out."""
    done: set[tuple[object, ...]] = set()
    for form in forms:
        for cpu in CPUS if is_vendor_specific(form.opcode) or plain_reader(form) else CPUS[:1]:
            for decoded in (decoded_irregular if irregular else decoded_representatives)(form, cpu):
                for behind in (b"", *scheme.continuations(decoded.data)):
                    p = probe_of(decoded, scheme, behind)
                    if not isinstance(p.plan, Refuse) and p.shared_key not in done:
                        done.add(p.shared_key)
                        yield p


# How two goals are the same, strongest first.
IDENTICAL, EQUAL = "the same term", "proved equal"
NO_SIGNAL = "proved equal where no fault has the number that stands for a signal of the host"
NOT_FOLLOWED = "proved equal but for the next hit of an emulated call that begins again"  # which the old one leaves out
LEFT_IN_SLOT = "proved equal where an emulated push is not left in the slot"  # there both refute next-ip
QUIET_PUSHES = "proved equal where the pushes of a trampoline do not fault"  # the old one takes them for the original's
UNDECIDED, DIFFERENT = "not decided by the solver", "different"


def compared_goals(
    p: Probe, assumptions: frozenset[str], meaning: Meaning = behaviours, names: Iterable[str] = OBSERVABLES
) -> Iterator[Compared]:
    """The goals of the probe's class, by today's meaning and by that of the program: of all its hits."""
    assert not isinstance(p.plan, Refuse)
    material = verification_condition(p, assumptions)
    state, (here, there) = sides(p, material)
    old = compared(material, (here, there))

    def goals() -> list[Term]:
        hits = meaning(program(p.plan), material.setup, state)  # type: ignore[arg-type]
        found = [compared(material, (here, hit)) for hit in hits]
        return [all_of(f[o] for f in found) for o in OBSERVABLES]

    new = goals()
    with mock.patch.object(meanings, "_faults_again", lambda hit, *_: hit):
        alone = goals() if isinstance(p.plan, Emulate) else new
    special: tuple[str, tuple[Term, ...]] | None = None
    if len(program(p.plan).hits) > 1:
        special = QUIET_PUSHES, tuple(not_(refused(a, material.setup.mode)) for a in there.accesses)
    elif isinstance(p.plan, Emulate) and isinstance(p.plan.effect, Push):
        special = LEFT_IN_SLOT, (there.contained,)
    for name, goal, unfollowed in zip(OBSERVABLES, new, alone, strict=True):
        if name not in names:
            continue
        grade = graded(old[name], goal, unfollowed, special)
        asked = (obligation(name, g, material, material.setup.assumptions) for g in (old[name], goal))
        same = grade in {IDENTICAL, EQUAL} or len({satisfiable(o.roots).status for o in asked}) == 1
        yield Compared(p.data.hex(), p.plan, name, ASSUMPTIONS - assumptions, grade, same)


def graded(old: Term, new: Term, unfollowed: Term, special: tuple[str, tuple[Term, ...]] | None) -> str:
    """How the goals are the same; `unfollowed` leaves the next hit out, `special` has what one kind of plan needs."""
    if old is new:
        return IDENTICAL
    if equal(old, new):
        return EQUAL
    if equal(old, new, no_signal(xor(old, new))):
        return NO_SIGNAL
    if equal(old, unfollowed):
        return NOT_FOLLOWED
    if special is not None and equal(old, new, special[1]):
        return special[0]
    return UNDECIDED if satisfiable((xor(old, new),)).status == "unknown" else DIFFERENT


def equal(old: Term, new: Term, premises: tuple[Term, ...] = (), splits: int = SPLITS) -> bool:
    """Whether both are proved the same where the premises hold, a choice that both make taken apart first."""
    if old is new or unsatisfiable((xor(old, new), *premises), SOON if splits else LATE):
        return True
    chosen = Counter(t.args[0] for t in postorder((old, new)) if t.op == "ite" and t.args[0].op != "const")
    for condition, _ in chosen.most_common(1) if splits else ():
        for value, fact in ((TRUE, condition), (FALSE, not_(condition))):
            a, b = substitute((old, new), {condition: value})
            if not equal(a, b, (*premises, fact), splits - 1):
                return False
        return True
    return False


def no_signal(goal: Term) -> tuple[Term, ...]:
    """No access raises what no processor raises."""
    found = (t for t in postorder((goal,)) if t.op == "uf" and t.params[0] == "access_fault")
    return tuple(not_(eq(t, const(OWN_SIGNAL, 8))) for t in found)


def premises_differ(p: Probe, assumptions: frozenset[str]) -> bool:
    """Whether the two meanings assume anything different of the addresses to which the host sends the program."""
    assert not isinstance(p.plan, Refuse)
    material = verification_condition(p, assumptions)
    new = tuple(address_premises(program(p.plan), material.setup))
    common = len(material.distinct) + 2  # register numbers, origin, slot
    return material.premises[common:] != new


def total(
    scheme: Scheme, forms: tuple[Form, ...], sets: Iterable[frozenset[str]], irregular: bool = False
) -> tuple[Counter[str], list[Compared]]:
    """How many plans and goals there are, by grade; and the goals that are different, or differ in their verdict."""
    counted, different = Counter[str](), list[Compared]()
    for p in probes(scheme, forms, irregular):
        counted["plans"] += 1
        for assumptions in sets:
            counted["premises different"] += premises_differ(p, assumptions)
            for one in compared_goals(p, assumptions):
                counted[one.grade] += 1
                different += [one] if one.grade == DIFFERENT or not one.verdict else []
    return counted, different


def main() -> int:
    """Prints a line a scheme, and every goal that is different; 1 where there is one."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("schemes", nargs="*", default=list(SCHEMES), help="default: all")
    parser.add_argument("--every", type=int, default=1, help="one form in so many")
    parser.add_argument("--start", type=int, default=0, help="the first form")
    parser.add_argument("--without", choices=("nothing", "all", "each"), default="nothing", help="assumptions dropped")
    parser.add_argument("--irregular", action="store_true", help="irregular encodings, not regular ones")
    given = parser.parse_args()
    each = [ASSUMPTIONS - {a} for a in sorted(ASSUMPTIONS)]
    sets = {"nothing": [ASSUMPTIONS], "all": [ASSUMPTIONS, frozenset[str]()], "each": each}[given.without]
    bad = 0
    for name in given.schemes:
        forms = tuple(all_forms()[given.start :: given.every])
        counted, different = total(SCHEMES[name], forms, sets, given.irregular)
        for one in different:
            sys.stdout.write(f"{one.data} {one.observable} {one.kind} {' '.join(sorted(one.dropped))}\n")
        sys.stdout.write(f"{name}: {', '.join(f'{n} {what}' for what, n in sorted(counted.items()))}\n")
        sys.stdout.flush()
        bad += len(different) + counted["premises different"]
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
