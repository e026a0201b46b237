"""Which assumptions a verdict rests on: those without which an observable that is proved is proved no more.

Decided for classes of encodings: the class's goals are built again with one assumption dropped, and those that became
other terms are decided.  What an assumption cannot reach is left out by a rule beside its name; a test compares the
rules with building everything again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import islice
from typing import Final, cast

from verify.claim.conditions import VerificationCondition, verification_condition
from verify.claim.kinds import Kinds
from verify.claim.obligations import Builder, Sides, compared, obligation, sides
from verify.claim.plan_keys import plan_key
from verify.claim.probes import Probe
from verify.claim.undefined import undefined_without
from verify.claim.verdicts import SEED, Witness
from verify.models.schemes.behaviour import TRAP_TRACE, Behaviour, changed_in_memory, fetched, restartable
from verify.models.schemes.code import ORIGINAL
from verify.models.schemes.program import Entry, Load, Program, Signal, Store, actions_of
from verify.models.schemes.program_text import shape
from verify.models.schemes.scheme import Plan, Refuse
from verify.models.schemes.shown import HANDLING, SIGTRAP, shown
from verify.models.x86.isa.decode import Decoded
from verify.models.x86.isa.forms import Addressing
from verify.models.x86.machine import NO_FAULT, OBSERVABLES, Access, State
from verify.models.x86.semantics.shadow_stack import SEMANTICS as SHADOW
from verify.models.x86.semantics.transactions import ACTIVE
from verify.smt.candidates import MEASURED, candidates
from verify.smt.canonical import canonical
from verify.smt.decisions import environment_of, is_proved, query
from verify.terms import Term, load, postorder

STATES: Final = 12  # in which it is looked whether the instruction completes or faults

JUMPS: Final = frozenset({"UNCONDITIONAL_BRANCH", "CONDITIONAL_BRANCH", "INDIRECT_BRANCH"})


def _stores(p: Probe) -> bool:
    """Whether the host itself accesses the program's memory, or runs other bytes than the program's, or elsewhere."""
    if _runs_others(p) or _lends(p):
        return True
    return isinstance(p.plan, Program) and any(isinstance(a, Load | Store) for a in actions_of(p.plan))


def _lends(p: Probe) -> bool:
    """Whether the plan has code run for the program at another privilege level."""
    return p.is_lent


def _runs_others(p: Probe) -> bool:
    """Whether anything runs that does not correspond to the original, but for jumps that closed code has."""
    pieces = [piece for c in p.codes if c.closed for piece in p.pieces(c) or ()]
    own = [q.read for q in pieces if q.relation is None]
    jumps = all(isinstance(r, Decoded) and r.form.opcode.flow_control in JUMPS for r in own)
    return p.relations is None or not jumps


def _branches(p: Probe) -> bool:
    branches = isinstance(p.plan, Program) and shape(p.plan).branches
    return branches or (_jumps(p) and isinstance(p.decoded, Decoded) and p.decoded.form.opcode.flow_control != "NEXT")


def _shadows(p: Probe) -> bool:
    """Whether instruction or host may touch the shadow stack."""
    if not isinstance(p.decoded, Decoded) or _runs_others(p):
        return True
    if isinstance(p.plan, Program) and shape(p.plan).shadows:
        return True
    opcode = p.decoded.form.opcode
    return opcode.flow_control != "NEXT" or opcode.mnemonic in SHADOW


def _accesses(p: Probe) -> bool:
    """Whether the instruction may access memory."""
    if not isinstance(p.decoded, Decoded) or p.relations is None:
        return True
    form = p.decoded.form
    implicit = form.opcode.is_string or form.opcode.is_stack or bool(form.opcode.implicit_memory)
    return form.addressing in {Addressing.MEM, Addressing.RIP} or implicit or form.opcode.flow_control != "NEXT"


def _shows_its_own_code(p: Probe) -> bool:
    """Whether the host's SIGTRAP for the program's own TF says another si_code than the processor's trap."""
    signals = (a for a in actions_of(p.plan) if isinstance(a, Signal)) if isinstance(p.plan, Program) else ()
    return any(a.number == SIGTRAP and a.code != TRAP_TRACE for a in signals)


def _is_handled(name: str, p: Probe) -> bool:
    """Whether what the assumption leaves out of a host's handling concerns the plan."""
    hits = p.plan.hits if isinstance(p.plan, Program) else ()
    return any(h.entry is Entry.KERNEL and HANDLING[name].matters(h) for h in hits)


def _jumps(p: Probe) -> bool:
    """Whether the program itself jumps to the slot."""
    return isinstance(p.plan, Program) and p.plan.entry is Entry.JUMP


def _returns(p: Probe) -> bool:
    """Whether the kernel returns to the program behind the hit, or a handler is entered by it."""
    return not _jumps(p)


def _lacks_features(p: Probe) -> bool:
    """Whether the probed program may run on where the processor has not what the instruction needs, or the reverse."""
    return bool(undefined_without(p)) or _runs_others(p)


def _accesses_for_it(p: Probe) -> bool:
    return _lends(p) and _accesses(p)


REACH: Final[Mapping[str, Callable[[Probe], bool]]] = {  # whether an assumption can matter; absent: it can
    "no-alignment-check": _stores, "user-half": _stores, "canonical-targets": _branches, "no-shadow-stack": _shadows,
    "trap-siginfo": _shows_its_own_code, "code-not-read": _accesses, "features-present": _lacks_features,
    "user-pages": _accesses_for_it, "frames-elsewhere": _lends,
    "no-fault-in-slot": _jumps, "no-tf-in-slot": _jumps, "null-selectors": _returns, "in-use-not-read": _returns,
    **{name: partial(_is_handled, name) for name in HANDLING},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Built:
    """A class's obligations under the assumptions, and what is proved of them."""

    material: VerificationCondition
    state: State
    pair: Sides
    goals: Mapping[str, Term]
    proved: frozenset[str]
    is_privileged: bool  # the plan has code run at CPL 0 for a program


class Dependence:
    """What verdicts rest on under the builder's assumptions; what is decided without one of them is kept."""

    def __init__(self, builder: Builder, kinds: Kinds | None = None) -> None:
        self.builder, self.assumptions = builder, builder.assumptions
        self.kinds = kinds or Kinds(builder.assumptions)
        self._decided: dict[str, bool] = {}
        self._known: dict[int, dict[str, bool]] = {}
        self._other_plans: dict[tuple[str, int, int], bool] = {}
        self._plain_copies: dict[tuple[object, ...], bool] = {}

    def of(self, p: Probe, names: frozenset[str], proved: Callable[[Probe], frozenset[str]]) -> frozenset[str]:
        """Those of the named assumptions without which a proved observable of the probe's class is not proved."""
        if not _is_probed(p.plan):
            return frozenset()
        replanned = self.replanned(p, names, proved)
        names = names - {n for n, _ in p.scheme.otherwise} - p.scheme.holds
        known = self._known.setdefault(self.kinds.of(p), {})
        asked = [n for n in sorted(names) if n not in known and REACH.get(n, _always)(p)]
        if asked:
            built = self._built(p, proved(p))
            may = _outcomes(built)
            for name in asked:
                evident = _evident(name, built, may)
                known[name] = self._falls(name, p, built) if evident is None else evident
        return frozenset(n for n in names if known.get(n)) | replanned

    def replanned(
        self, p: Probe, names: frozenset[str], proved: Callable[[Probe], frozenset[str]]
    ) -> frozenset[str]:
        """Those without which the scheme plans otherwise, and a proved observable is not proved any more.

        Encodings of one class may be planned differently then.
        """
        if not _is_probed(p.plan):
            return frozenset()
        return frozenset(n for n, plan in p.scheme.otherwise if n in names and self._replanned(n, plan, p, proved))

    def _replanned(
        self, name: str, plan: Callable[[bytes], Plan], p: Probe, proved: Callable[[Probe], frozenset[str]]
    ) -> bool:
        found = plan(p.data)
        if found is p.plan or isinstance(found, Refuse):
            return False
        plain = not p.is_concrete and shape(found).codes == (ORIGINAL,)
        other = plan_key(found, cast(Decoded, p.decoded)) if plain else None
        if other is None:
            return self._falls_replanned(name, found, p, proved)  # with a plain copy the rest of its key is the probe's
        known = self._plain_copies.get((name, p.key, other))
        if known is None:
            known = self._plain_copies[name, p.key, other] = self._falls_replanned(name, found, p, proved)
        return known

    def _falls_replanned(
        self, name: str, plan: Plan, p: Probe, proved: Callable[[Probe], frozenset[str]]
    ) -> bool:
        other = replace(p, plan=plan)
        if plan == p.plan or other.key == p.key:
            return False
        case = name, self.kinds.of(p), self.kinds.of(other)
        if case not in self._other_plans:
            self._other_plans[case] = self._falls(name, other, self._built(p, proved(p)))
        return self._other_plans[case]

    def _built(self, p: Probe, proved: frozenset[str]) -> _Built:
        built = self.builder.built(p)
        is_privileged = p.is_lent and p.modes[0].is_privileged
        return _Built(built.material, built.state, built.pair, built.goals, proved, is_privileged)

    def _falls(self, name: str, p: Probe, built: _Built) -> bool:
        """Whether a proved observable is not proved without the assumption: built again and decided."""
        rest = self.assumptions - {name}
        other = verification_condition(p, rest)
        found = compared(other, _without(name, p, other, built))
        same_premises = other.premises == built.material.premises
        for observable in OBSERVABLES:
            goal, before = found[observable], built.goals[observable]
            if observable not in built.proved or goal.value == 1:
                continue
            asked = obligation(observable, goal, other, rest)
            unchanged = goal is before and same_premises
            if unchanged and asked.premises == obligation(observable, goal, other, self.assumptions).premises:
                continue
            if not is_proved(asked, self._decided):
                return True
        return False


def _is_probed(plan: Plan) -> bool:
    return isinstance(plan, Program) and plan.entry is not Entry.NONE


@dataclass(frozen=True, slots=True)
class _May:
    """What some state was seen to do: the instruction completes, it faults."""

    complete: bool
    fault: bool


def _outcomes(built: _Built) -> _May:
    """By evaluation of the fault vector in a few states; nothing where the vector depends on what is asked about."""
    vector = built.pair.here.vector
    if vector.value is not None:
        return _May(vector.value == NO_FAULT, vector.value != NO_FAULT)
    if any(t is built.state.tf or (t.op == "uf" and t.params[0] == ACTIVE) for t in postorder((vector,))):
        return _May(False, False)
    text = canonical((vector, *built.material.premises))
    asked, seen = query(text), set[bool]()
    for witness in islice(candidates(text, Witness((), (), SEED), MEASURED), STATES):
        value, *premises = asked.evaluator(asked.assignment(witness), environment_of(witness))
        if all(premises):
            seen.add(value == NO_FAULT)
        if len(seen) == 2:
            break
    return _May(True in seen, False in seen)


def _evident(name: str, built: _Built, may: _May) -> bool | None:
    """What is plain without deciding anything; None where it is not.

    The trap flag, the remembered trap number, the fetch, and whether a transaction is active are independent of
    whether the instruction faults.
    """
    here, there = built.pair.here, built.pair.there
    proved = built.proved
    match name:
        case "trap-siginfo" | "sigtrap-not-held":  # what they change shows in the trap alone
            trapped = {here.trap, *(hit.trap for hit in there)}
            if "trap" not in proved or all(t.value == 0 for t in trapped):
                return False
            return True if may.complete and built.state.tf in trapped else None
        case "fault-frame":
            if here.vector.value == NO_FAULT or "fault" not in proved:
                return False
            return True if may.fault else None
        case "code-mapped":
            return True if "fault" in proved else None
        case "not-restartable" | "code-as-in-file" | "slot-available" | "no-signal-awaited":
            return True if "next-ip" in proved and may.complete else None
        case "no-transaction" | "kernel-may-store":
            return True if "hits" in proved and may.complete else None
        case "frames-elsewhere":  # the frame of the breakpoint behind the copy
            return True if "memory-values" in proved and may.complete and built.is_privileged else None
        case "user-pages":  # such a page where the check passes: a fault in place, none at another level
            plain = any(a.condition.value == 1 for a in here.accesses)
            return True if "fault" in proved and may.complete and plain else None
        case "breakpoint-in-place":
            return True if ("hits" in proved and may.complete) or ("fault" in proved and may.fault) else None
        case "null-selectors":
            return True if "segment-bases" in proved and may.complete else None
        case "in-use-not-read":
            return None if _reads_other(here, built.state) else False
        case "code-not-read":
            plain = any(_is_plain_read(a, built.state) for a in here.accesses)
            return True if "memory-values" in proved and may.complete and plain else None
    return None


def _reads_other(here: Behaviour, before: State) -> bool:
    """Whether the rest of what XSAVE manages shows in anything but itself."""
    written = [getattr(here.state, f.name) for f in fields(State)] + [here.vector, *(a.value for a in here.accesses)]
    return any(t is before.opaque for t in postorder([t for t in written if t is not before.opaque]))


def _is_plain_read(a: Access, state: State) -> bool:
    return a.kind == "r" and a.condition.value == 1 and a.value is load(state.memory, a.address, a.size)


def _always(_: Probe) -> bool:
    return True


def _without(name: str, p: Probe, material: VerificationCondition, built: _Built) -> Sides:
    """Both behaviours with the assumption dropped: what is shown otherwise alone, or everything built again."""
    pair = built.pair
    if name in HANDLING:
        hits = zip(pair.there, cast(Program, p.plan).hits, strict=True)
        rest = frozenset(HANDLING) - {name}
        return replace(pair, there=tuple(shown(there, hit, built.state, rest) for there, hit in hits))
    if name == "code-mapped":
        return replace(pair, here=fetched(pair.here, material.setup, built.state))
    if name == "code-as-in-file":
        return replace(pair, here=changed_in_memory(pair.here, built.state))
    if name == "not-restartable":
        return replace(pair, here=restartable(pair.here, built.state))
    return sides(p, material)[1]
