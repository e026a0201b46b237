"""Both meanings of a plan, the plan's own and that of the program which it is translated into, goal by goal."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from verify.claim.conditions import VerificationCondition, verification_condition
from verify.claim.obligations import compared, sides
from verify.claim.probes import Probe, is_vendor_specific, probe_of
from verify.models.schemes.assumptions import ASSUMPTIONS
from verify.models.schemes.behaviour import Behaviour, Setup
from verify.models.schemes.meaning import address_premises, behaviours
from verify.models.schemes.plan import Refuse, Scheme
from verify.models.schemes.program import Program
from verify.models.schemes.registry import SCHEMES
from verify.models.schemes.translation import program
from verify.models.x86.isa.encode import decoded_irregular, decoded_representatives
from verify.models.x86.isa.forms import Cpu, Form, all_forms
from verify.models.x86.machine import OBSERVABLES, State
from verify.smt.z3terms import unsatisfiable
from verify.terms import Term, all_of, const, eq, not_, xor

Meaning = Callable[[Program, Setup, State], tuple[Behaviour, ...]]
CPUS = (Cpu.AMD, Cpu.INTEL)


@dataclass(frozen=True)
class Difference:
    """A goal that the two meanings do not have in common."""

    scheme: str
    data: str
    observable: str
    dropped: tuple[str, ...]
    old: Term
    new: Term


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


def goals_of(p: Probe, assumptions: frozenset[str], meaning: Meaning) -> tuple[Mapping[str, Term], Mapping[str, Term]]:
    """The goals by today's meaning, and by the program's: of all its hits."""
    material = verification_condition(p, assumptions)
    state, (here, there) = sides(p, material)
    assert not isinstance(p.plan, Refuse)
    hits = meaning(program(p.plan), material.setup, state)
    found = [compared(material, (here, hit)) for hit in hits]
    check_premises(p, material)
    return compared(material, (here, there)), {o: all_of(f[o] for f in found) for o in OBSERVABLES}


def check_premises(p: Probe, material: VerificationCondition) -> None:
    """The addresses of which something is assumed are the same."""
    assert not isinstance(p.plan, Refuse)
    new = tuple(address_premises(program(p.plan), material.setup))
    old = material.premises[len(material.premises) - len(new) :]
    common = len(material.distinct) + 2  # register numbers, origin, slot
    assert new == old and len(material.premises) == common + len(new), (p.data.hex(), new, material.premises)


def differences(
    p: Probe, assumptions: frozenset[str], counted: Counter[str], meaning: Meaning = behaviours
) -> Iterator[Difference]:
    """The goals that are neither the same term nor proved equal."""
    old, new = goals_of(p, assumptions, meaning)
    for name in OBSERVABLES:
        counted["goals"] += 1
        if old[name] is new[name]:
            counted["identical"] += 1
        elif equal(old[name], new[name]):
            counted["proved equal"] += 1
            counted[f"proved equal: {name}"] += 1
        else:
            counted["different"] += 1
            yield Difference(p.scheme.name, p.data.hex(), name, tuple(ASSUMPTIONS - assumptions), old[name], new[name])


def equal(old: Term, new: Term) -> bool:
    """Whether the two goals hold in the same states."""
    return unsatisfiable((xor(old, new),))


def main(arguments: list[str]) -> int:
    """All class plans of the schemes named (default: all), under the default assumptions and under none."""
    names = [a for a in arguments if a in SCHEMES] or list(SCHEMES)
    step = next((int(a) for a in arguments if a.isdigit()), 1)
    single = "single" in arguments
    bad = 0
    for name in names:
        for irregular in (False, True):
            counted: Counter[str] = Counter()
            shown: Counter[str] = Counter()
            start = time.process_time()
            for p in probes(SCHEMES[name], tuple(all_forms()[::step]), irregular):
                counted["plans"] += 1
                sets = [ASSUMPTIONS, frozenset[str]()] + ([ASSUMPTIONS - {a} for a in sorted(ASSUMPTIONS)] if single else [])
                for assumptions in sets:
                    for d in differences(p, assumptions, counted):
                        bad += 1
                        kind = f"{d.observable} {'default' if not d.dropped else d.dropped if len(d.dropped) == 1 else 'none'} {type(p.plan).__name__} {getattr(p.plan, 'effect', getattr(p.plan, 'fixups', ''))}"
                        shown[kind] += 1
                        if shown[kind] <= 3:
                            print("DIFFERENT", d.data, p.relation, kind, flush=True)
            print(name, "irregular" if irregular else "regular", dict(counted), dict(shown), f"{time.process_time() - start:.0f} s", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
