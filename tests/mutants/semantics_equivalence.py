"""Whether a changed semantics says the same as the right one, or less: proofs for every state, not samples.

`is_equivalent`: the theorem's own goals between the two outcomes, each decided for all states under the default
assumptions.  `is_more_general`: the changed outcome leaves to a datapath of its own what the right one says, so that
whatever is proved of it holds of the right one too; the datapath's arguments show everything that the right value is
made of.  `is_more_defined`: it gives a value to what the right one leaves undefined, and says nothing else otherwise.
None looks at processors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from verify import terms
from verify.claim.conditions import verification_condition
from verify.claim.obligations import obligation
from verify.claim.probes import probe
from verify.claim.theorem import goals
from verify.claim.verdicts import Verdict
from verify.models.schemes.behaviour import Behaviour, in_place, initial
from verify.models.schemes.registry import SCHEMES
from verify.models.x86.isa.forms import Cpu
from verify.models.x86.machine import Outcome, State, symbolic_state
from verify.models.x86.semantics.run import SMALL_ADDRESS
from verify.smt.decisions import InMemory, decided
from verify.smt.z3terms import unsatisfiable
from verify.terms import Term, const, postorder, substitute, var

UNDEFINED = "undefined_"  # NOTE(undefined-flags)
STRUCTURE = ("inhibits_trap", "kernel_completes", "interrupts")


def behaviour(data: bytes, cpu: Cpu) -> Behaviour:
    """What a program sees of an encoding where it stands, as terms."""
    setup = verification_condition(probe(data, SCHEMES["identity"], cpu)).setup
    return in_place(setup, initial(setup, symbolic_state(var("origin", 64))))


def states_of_the_executor() -> tuple[Term, ...]:
    """What holds of every state in which the executor runs anything: one-bit terms.

    MXCSR has bits 0 to 15 and 17, no selector has bit 15 set, and Linux keeps TSC_AUX below 2**31 (vdso/processor.h).
    """
    state, top = symbolic_state(var("origin", 64)), const(0, 1)
    selectors = [terms.extract(state.selectors, i, i) for i in range(15, 96, 16)]
    aux = terms.extract(terms.uf("tsc_aux", 32, state.opaque), 31, 31)
    high = terms.eq(terms.and_(state.mxcsr, const(0xFFFD0000, 32)), const(0, 32))
    return (high, *(terms.eq(b, top) for b in (*selectors, aux)))


def is_equivalent(
    data: bytes, cpu: Cpu, right: Behaviour, changed: Behaviour, known: InMemory, premises: tuple[Term, ...] = ()
) -> bool:
    """Whether no program can tell the two behaviours of an encoding, in either direction, for all states.

    `premises`: what is taken to hold of the states besides.

    Where the address size is known, the variable that stands for it is no choice.
    """
    material = verification_condition(probe(data, SCHEMES["identity"], cpu))
    material = replace(material, premises=(*material.premises, *premises))
    assumptions, size = material.setup.assumptions, material.setup.original.address_size
    known_size = {SMALL_ADDRESS: terms.bit(size == 4)} if size else {}
    for here, there in ((right, changed), (changed, right)):
        for name, found in goals(here, there).items():
            (goal,) = terms.substitute([found], known_size)
            if decided(obligation(name, goal, material, assumptions), known).decision.verdict is not Verdict.PROVED:
                return False
    return True


def is_more_general(right: Outcome, changed: Outcome) -> bool:
    """Whether the changed outcome is the right one for some meaning of the functions that only it has."""
    pairs = list(_pairs(right, changed))
    if any((a is None) != (b is None) for a, b in pairs):
        return False
    pairs = _with_same_arguments([(a, b) for a, b in pairs if a is not None and b is not None])
    ours = {_name(t) for t in postorder([a for a, _ in pairs]) if t.op == "uf"}
    meanings: dict[Term, Term] = {}
    return all(_covers(a, b, ours, meanings) for a, b in pairs) and _once(meanings) and _agree(pairs, ours, meanings)


def is_more_defined(right: Outcome, changed: Outcome) -> bool:
    """Whether the changed outcome is the right one with a value for what that leaves undefined."""
    values: dict[Term, Term] = {}
    pairs = list(_pairs(right, changed))
    return all(a is b or (a is not None and b is not None and _gives_values(a, b, values)) for a, b in pairs)


def _gives_values(right: Term, changed: Term, values: dict[Term, Term]) -> bool:
    if right is changed:
        return True
    if right.op == "uf" and str(right.params[0]).startswith(UNDEFINED) and right.sort == changed.sort:
        return values.setdefault(right, changed) is changed
    if right.op == "ite" and not (changed.op == "ite" and changed.args[0] is right.args[0]):
        return all(_gives_values(arm, changed, values) for arm in right.args[1:])
    alike = (right.op, right.params, right.sort, len(right.args)) == (
        changed.op, changed.params, changed.sort, len(changed.args))
    return alike and all(_gives_values(a, b, values) for a, b in zip(right.args, changed.args, strict=True))


def _with_same_arguments(pairs: list[tuple[Term, Term]]) -> list[tuple[Term, Term]]:
    """The pairs, a function that both ask once, of the same things in other widths, being asked alike.

    Which function it is is open on both sides; what accesses answer is not.
    """
    asked: list[dict[tuple[object, ...], list[Term]]] = [{}, {}]
    for side, found in enumerate(asked):
        for t in postorder([p[side] for p in pairs]):
            if t.op == "uf" and not str(t.params[0]).startswith("access_"):
                found.setdefault(_name(t), []).append(t)
    alike = {}
    for name, (one, *more) in asked[1].items():
        right = asked[0].get(name, ())
        if len(right) == 1 and not more and one is not right[0]:
            parts = (*one.args, *(t.args[0] for t in one.args if t.op in {"zext", "sext"}))
            if all(_is_made_of(t, parts) for t in right[0].args):
                alike[one] = right[0]
    if not alike:  # what substitution builds anew may be written otherwise
        return pairs
    changed = substitute([b for _, b in pairs], alike)
    return list(zip((a for a, _ in pairs), changed, strict=True))


def _pairs(right: Outcome, changed: Outcome) -> Iterator[tuple[Term | None, Term | None]]:
    """Terms of both that must agree; None against a term where one has no counterpart."""
    for name in ("fault_vector", "fault_error", "fault_address", "fault_at_ip", "repeats"):
        yield getattr(right, name), getattr(changed, name)
    for f in fields(State):
        yield getattr(right.state, f.name), getattr(changed.state, f.name)
        yield getattr(right.fault_state, f.name), getattr(changed.fault_state, f.name)
    alike = [getattr(right, n) == getattr(changed, n) for n in STRUCTURE]
    alike += [[(a.kind, a.size) for a in x.accesses] == [(a.kind, a.size) for a in changed.accesses] for x in (right,)]
    alike += [right.tf_seen == changed.tf_seen, right.shadow == changed.shadow]
    if not all(alike):
        yield right.fault_vector, None
        return
    yield from zip(right.attempted, changed.attempted, strict=True)
    for a, b in zip(right.accesses, changed.accesses, strict=True):
        yield from ((a.address, b.address), (a.value, b.value), (a.condition, b.condition), (a.stack, b.stack))


def _name(function: Term) -> tuple[object, ...]:
    return function.params, function.sort


def _covers(
    right: Term, changed: Term, ours: set[tuple[object, ...]], meanings: dict[Term, Term],
    false: tuple[Term, ...] = (),
) -> bool:  # fmt: skip
    """Whether the changed term is the right one for some meaning of functions that are the changed outcome's alone.

    Such are those that the right one has not, and undefined values, of which all places must then agree (`_agree`).
    `false`: conditions that do not hold where both stand.
    """
    while changed.op == "ite" and changed.args[0] in false:
        changed = changed.args[2]
    if right is changed:
        return True
    if right.sort != changed.sort:
        return False
    is_open = changed.op == "uf" and (_name(changed) not in ours or str(changed.params[0]).startswith(UNDEFINED))
    if is_open and _is_made_of(right, tuple(_parts(changed.args))):
        return meanings.setdefault(changed, right) is right
    if changed.op == right.op == "ite" and changed.args[0] is right.args[0]:
        condition, *arms = right.args
        facts = false, (*false, condition)
        pairs = zip(arms, changed.args[1:], facts, strict=True)
        return all(_covers(a, b, ours, meanings, f) for a, b, f in pairs)
    if changed.op == "ite":
        return all(_covers(right, arm, ours, meanings, false) for arm in changed.args[1:])
    if changed.op == "or" and right in changed.args:
        return all(t is right or _may_be_zero(t, ours) for t in changed.args)
    return False


def _parts(joined: tuple[Term, ...]) -> Iterator[Term]:
    """The terms, and what is joined in them."""
    for t in joined:
        yield t
        if t.op == "concat":
            yield from _parts(t.args)


def _is_made_of(term: Term, parts: tuple[Term, ...]) -> bool:
    """Whether the term is a function of the parts alone; so is what a function makes of such ones."""
    if term in parts or term.op == "const" or any(_is_cut_from(term, p) for p in parts):
        return True
    if term.op == "uf" and not term.args:
        return False
    return term.op != "var" and all(_is_made_of(t, parts) for t in term.args)


def _is_cut_from(term: Term, part: Term) -> bool:
    """Whether both are cut from one term, the first inside the second."""
    if not (term.op == part.op == "extract") or term.args[0] is not part.args[0]:
        return False
    (high, low), (highest, lowest) = term.params, part.params
    return bool(lowest <= low and high <= highest)


def _agree(pairs: list[tuple[Term, Term]], ours: set[tuple[object, ...]], meanings: dict[Term, Term]) -> bool:
    """Whether a meaning for functions that the right outcome has too makes both the same wherever they are asked."""
    if not {_name(t) for t in meanings} & ours:
        return True
    touched = [(a, b) for a, b in pairs if any(t in meanings for t in postorder([b]))]
    meant = substitute([b for _, b in touched], meanings)
    both = zip((a for a, _ in touched), meant, strict=True)
    return all(a is b or unsatisfiable((terms.not_(terms.eq(a, b)),)) for a, b in both)


def _may_be_zero(term: Term, ours: set[tuple[object, ...]]) -> bool:
    return term.op == "zext" and term.args[0].op == "uf" and _name(term.args[0]) not in ours


def _once(meanings: dict[Term, Term]) -> bool:
    """Whether each function is asked with one row of arguments only, so that a meaning for one is none for another."""
    return len({_name(t) for t in meanings}) == len(meanings)
