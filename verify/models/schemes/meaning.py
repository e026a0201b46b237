"""What a program means: the behaviours that a program sees, one for each kind of hit.

Each is a value of the type that `behaviour.in_place` gives; the theorem compares them observable by observable.
Nothing of one implementation is here: hits, late traps, restarts and what a fault shows follow from the actions, from
how a run ends, and from the assumptions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, assert_never

from verify import terms
from verify.models.schemes.behaviour import Behaviour, Setup, either, executed, in_place, reads_up_to_the_fault, refused
from verify.models.schemes.levels import executed_at
from verify.models.schemes.log import beyond, shadowed, stored
from verify.models.schemes.program import (
    UNPROBED,
    Action,
    Actions,
    Agent,
    Breakpoints,
    Check,
    End,
    Entry,
    Leaves,
    Load,
    Program,
    Run,
    Set,
    Shadow,
    Signal,
    Store,
    TrapFlag,
    actions_of,
    walk,
)
from verify.models.schemes.sequence import Sequence
from verify.models.schemes.shown import OWN_SIGNAL, SIGTRAP, shown
from verify.models.schemes.traps import after_the_hit, at_the_hit, returned_by_iret, taken_by_the_host
from verify.models.schemes.vocabulary import (
    FAULT_TARGETS,
    LENGTH,
    ORIGIN,
    SLOT,
    TF,
    field_of,
    first,
    spot_of,
    variables,
)
from verify.models.schemes.ways import NONE, Fault, Moment, Way, chosen, end_of, run_of
from verify.models.x86.machine import Access, Outcome, State
from verify.models.x86.mode import is_canonical
from verify.models.x86.paging import with_user_bit
from verify.models.x86.semantics.run import access_fault
from verify.terms import FALSE, TRUE, Term, const

MOVING: Final = ("now.", "first.", "loaded.", "offset.", "segment.", "number.")  # begin what moves
PROBED: Final = "probed_memory"  # memory with the breakpoint in it


def behaviours(program: Program, setup: Setup, state: State) -> tuple[Behaviour, ...]:
    """The instruction handled at the first hit and, where the plan is another then, at a later one.

    The claim is made of each.  ValueError where the program says what is not modelled yet.
    """
    later = program.hits[-1]
    return tuple(_behaviour(hit, later, setup, state) for hit in program.hits)


def address_premises(program: Program, setup: Setup) -> Iterator[Term]:
    """What the assumptions say of the addresses to which the host sends the program by a field of the instruction."""
    if "canonical-targets" not in setup.assumptions:
        return
    for action in actions_of(program):
        if isinstance(action, Set) and action.target == "ip":
            names = variables(action.value)
            if any(map(field_of, names)) and not any(str(v.params[0]).startswith(MOVING) for v in names):
                yield is_canonical(_closed(action.value, setup), setup.mode)


def _behaviour(program: Program, later: Program, setup: Setup, state: State) -> Behaviour:
    if program.entry is Entry.NONE:
        if program.actions != UNPROBED.actions:
            raise ValueError("without a probe nothing but the original code at the origin is modelled")
        return in_place(setup, state)
    before = state
    if "code-not-read" not in setup.assumptions:
        state = replace(state, memory=terms.uf(PROBED, terms.MEMORY, state.memory))
    hit = _entered(program, setup, state)
    there = _hit(program, later, setup, hit)
    if program.entry is Entry.JUMP:
        return _jumped(there, setup, before)
    found = there.state, there.fault_state
    after, at_fault = (after_the_hit(s, state, hit, setup.assumptions, setup.mode) for s in found)
    there = replace(there, state=after, fault_state=at_fault)
    return shown(there, program, before, setup.assumptions)


def _jumped(there: Behaviour, setup: Setup, state: State) -> Behaviour:
    """What is seen of code that the program itself jumped to; under `no-fault-in-slot` of a fault its vector alone."""
    if "null-selectors" not in setup.assumptions:  # a handler is entered by iret
        there = replace(there, fault_state=returned_by_iret(there.fault_state, setup.mode))
    if "no-fault-in-slot" not in setup.assumptions:
        return there
    here = in_place(setup, state)
    return replace(
        there, error=here.error, reported=here.reported, trapno=there.vector, fault_state=here.fault_state,
        attempted=here.attempted,
    )  # fmt: skip


def _entered(program: Program, setup: Setup, state: State) -> State:
    return at_the_hit(state, setup.assumptions, setup.mode) if program.entry is Entry.KERNEL else state


def _hit(program: Program, later: Program, setup: Setup, state: State) -> Behaviour:
    """One hit; where the instruction begins again, what the next one delivers."""
    way = _from(program.actions, Moment(state, state), setup)
    there = _shown(way, setup)
    restarted = terms.and_(way.again, terms.eq(there.vector, NONE))
    if restarted.value == 0:
        return there
    then = _entered(later, setup, there.state)
    return _faults_again(there, _shown(_from(later.actions, Moment(then, then), setup), setup), restarted)


def _shown(way: Way, setup: Setup) -> Behaviour:
    code = {} if "trap-siginfo" in setup.assumptions else {"trap_code": way.trap_code}
    again = terms.zext(terms.or_(way.repeats, way.again), 8)
    return Behaviour(
        state=way.state, accesses=way.accesses, shadow=way.shadow, vector=way.fault.vector, error=way.fault.error,
        reported=way.fault.reported, trapno=way.fault.vector, fault_state=way.fault_state, attempted=way.attempted,
        fault_hits=const(1, 8), trap=way.trap, trap_delayed=way.late, tf_seen=way.tf_seen,
        hits=terms.add(const(1, 8), again), contained=way.contained, **code,
    )  # fmt: skip


def _faults_again(first: Behaviour, second: Behaviour, restarted: Term) -> Behaviour:
    """The first hit; where it is restarted, with the fault of the second, and what a handler finds then."""
    names = ("vector", "error", "reported", "trapno")
    told: dict[str, Any] = {n: terms.ite(restarted, getattr(second, n), getattr(first, n)) for n in names}
    hits = terms.add(first.fault_hits, terms.ite(restarted, second.fault_hits, const(0, 8)))
    state = either(restarted, second.fault_state, first.fault_state)
    return replace(first, fault_state=state, fault_hits=hits, **told)


def _from(actions: Actions, m: Moment, setup: Setup) -> Way:
    """The program from this moment on."""
    if not actions:
        return end_of(m)
    return _acted(actions[0], actions[1:], m, setup)


def _acted(action: Action, rest: Actions, m: Moment, setup: Setup) -> Way:
    match action:
        case Set():
            return _from(rest, _set(action, m, setup), setup)
        case Check(condition, otherwise):
            holds = _value(condition, m, setup)
            return _forked(holds, rest, replace(m, looked=(*m.looked, (condition, holds))), otherwise, m, setup)
        case Signal():
            return _from(rest, _signalled(action, m, setup), setup)
        case Shadow():
            return _from(rest, shadowed(m, _value(action.value, m, setup), action.depth), setup)
        case Load():
            return _accessed(action, rest, m, setup, "r")
        case Store():
            return _accessed(action, rest, m, setup, "w")
        case Run():
            return _ran(action, rest, m, setup)
        case _:
            assert_never(action)


def _forked(condition: Term, then: Actions, a: Moment, otherwise: Actions, b: Moment, setup: Setup) -> Way:
    if condition.value is not None:
        return _from(then, a, setup) if condition.value else _from(otherwise, b, setup)
    return chosen(condition, _from(then, a, setup), _from(otherwise, b, setup))


def _set(action: Set, m: Moment, setup: Setup) -> Moment:
    value, target = _value(action.value, m, setup), action.target
    if isinstance(target, int):
        return replace(m, now=replace(m.now, gprs=terms.store(m.now.gprs, const(target, 4), value)))
    if target in FAULT_TARGETS:
        told: dict[str, Any] = {target: value}
        return replace(m, fault=replace(m.fault, **told), is_faulted=target != "vector" or value is not NONE)
    written: dict[str, Any] = {target: value}
    back = action.value is ORIGIN if target == "ip" else m.is_back
    return replace(m, now=replace(m.now, **written), is_back=back)


def _signalled(action: Signal, m: Moment, setup: Setup) -> Moment:
    if action.number == SIGTRAP and action.vector is None:
        return replace(m, trap=TRUE, trap_code=action.code)
    vector = const(OWN_SIGNAL, 8) if action.vector is None else _value(action.vector, m, setup)
    error = const(0, 32) if action.error is None else _value(action.error, m, setup)
    told = Fault(vector, error, _value(action.address, m, setup))
    return replace(m, fault=told, is_faulted=True)


def _accessed(action: Load | Store, rest: Actions, m: Moment, setup: Setup, kind: str) -> Way:
    """An access by the host or, as an ordinary one, by code that the program is made to run."""
    address, stack = _value(action.address, m, setup), _value(action.stack, m, setup)
    if isinstance(action, Store):
        wanted = Access(kind, address, action.size, _value(action.value, m, setup), stack, TRUE)
        log, is_sure, value = stored(m.accesses, wanted)
        now = replace(m.now, memory=terms.write(m.now.memory, address, value))
        done = replace(m, now=now, accesses=log, tf_seen=(*m.tf_seen, *_shown_tf(action.value, m, setup)))
    else:
        value = terms.load(m.now.memory, address, action.size)
        log, is_sure = (*m.accesses, Access(kind, address, action.size, value, stack, TRUE)), False
        done = replace(m, accesses=log, loaded=(*m.loaded, (action.name, value)))
    own = Access(kind, address, action.size, value, stack, TRUE)
    done = replace(done, made=(*m.made, own))
    if action.otherwise is None:
        return _from(rest, done, setup)
    failed = FALSE if is_sure else refused(own, setup.mode)
    if action.by is Agent.HOST:
        failed = terms.or_(failed, beyond(setup, address))
    vector, error, place = access_fault(kind, address, action.size, stack, setup.mode)
    is_program = action.by is Agent.PROGRAM
    told = Fault(vector if is_program else NONE, error, place, place)
    made = (*m.made, own) if is_program and kind == "r" else m.made  # as `reads_up_to_the_fault`
    faulted = replace(m, accesses=log, made=made, fault=told, is_faulted=is_program)
    return _forked(terms.not_(failed), rest, done, action.otherwise, faulted, setup)


def _shown_tf(value: Term, m: Moment, setup: Setup) -> tuple[Term, ...]:
    """TF as a value that the host writes shows it to the program, where it names it; one bit at most."""
    return tuple(_value(v, m, setup) for v in variables(value) if v in {TF, first(TF)})[:1]


def _ran(action: Run, rest: Actions, m: Moment, setup: Setup) -> Way:
    """The processor runs one instruction of the code, with the program's segment bases."""
    context, end = action.context, action.context.end
    if (context.fs_base, context.gs_base) != (Agent.PROGRAM, Agent.PROGRAM):
        raise ValueError(f"runs of that kind are not modelled: {context}")
    at = _value(action.at, m, setup)
    if action.code.closed and context.cpl == setup.mode.cpl:
        return _ran_through(action, rest, m, setup, at)
    if action.code.closed or context.instructions > 1:
        raise ValueError(f"runs of that kind are not modelled: {context}")
    start = replace(m.now, ip=at, tf=TRUE if isinstance(end, TrapFlag) else m.now.tf)
    if context.cpl == setup.mode.cpl:
        o = executed(setup.instruction(action.code), start, setup.assumptions)
    else:
        held = tuple(value for _, value in m.looked)
        o = executed_at(context.cpl, setup.instruction(action.code), start, setup, held)
    o, stays = taken_by_the_host(o) if isinstance(end, TrapFlag) else (o, FALSE)
    finished = replace(
        m, now=o.state, accesses=(*m.accesses, *o.accesses), shadow=(*m.shadow, *o.shadow),
        tf_seen=(*m.tf_seen, *o.tf_seen), is_back=False, fault=Fault(), is_faulted=False,
    )  # fmt: skip
    place = setup.origin if "fault-address" in setup.assumptions else at
    told = Fault(o.fault_vector, o.fault_error, terms.ite(o.fault_at_ip, place, o.fault_address), o.fault_address,
                 o.fault_at_ip, with_user_bit(o.fault_error))  # fmt: skip
    made = (*m.made, *reads_up_to_the_fault(o))
    faulted = replace(m, now=o.fault_state, fault=told, is_faulted=True, made=made, is_back=False)
    ended = _ended(action, rest, finished, o, start, setup)
    ended = chosen(stays, end_of(replace(finished, contained=FALSE)), ended)
    return run_of(o.fault_vector, ended, _from(action.on_fault, faulted, setup))


def _ran_through(action: Run, rest: Actions, m: Moment, setup: Setup, at: Term) -> Way:
    """Closed code up to where it leaves, or stands where the original does; a breakpoint there ends the run.

    A step under TF is a run of one instruction.
    """
    context, m = action.context, replace(m, now=replace(m.now, tf=_tf_of(action, m)))
    one = isinstance(context.end, TrapFlag)
    run = Sequence(action.code, at, setup, lambda n: _from(rest, n, setup),
                   lambda n: _from(action.on_fault, n, setup), one)  # fmt: skip
    return run.ran(m, 0, context.instructions)


def _tf_of(action: Run, m: Moment) -> Term:
    return TRUE if isinstance(action.context.end, TrapFlag) else m.now.tf


def _ended(action: Run, rest: Actions, m: Moment, o: Outcome, start: State, setup: Setup) -> Way:
    """What follows a run without a fault.

    Under TF the host has control at the first boundary at which a debug trap is taken: a repeated instruction may not
    be finished, and where traps are held back another one has run.  Otherwise the code runs on to a breakpoint, or
    leaves, and where it stands as the original does it is taken to stand there; a trap of the program's own TF comes in
    the middle of it, which debug registers do not mind.
    """
    late = o.inhibits_trap or o.kernel_completes
    end = action.context.end
    if isinstance(end, TrapFlag):
        m = replace(m, late=m.late or late, repeats=terms.or_(m.repeats, o.repeats))
        return _from(rest, replace(m, contained=terms.and_(m.contained, terms.bit(not late))), setup)
    trapped = FALSE if late else start.tf
    m = replace(m, trap=terms.or_(m.trap, trapped))
    if not _is_armed(end):
        m = replace(m, contained=terms.and_(m.contained, terms.not_(start.tf)))
    left = replace(m, now=replace(m.now, ip=_located(action, m.now.ip, setup)))
    if isinstance(end, Leaves):
        return _from(rest, left, setup)
    stops = terms.any_of(terms.eq(m.now.ip, _value(a, m, setup)) for a in end.at)
    if _is_armed(end):
        stops = terms.and_(stops, terms.bit(not o.inhibits_trap))
        left = replace(m, contained=terms.and_(m.contained, terms.eq(m.now.ip, start.ip)))
    if action.context.cpl != setup.mode.cpl:
        if stops.value == 1:
            return _from(rest, m, setup)
        going = replace(_from(rest, _iterated(m, rest, start, setup), setup), trap=m.trap)
        return chosen(stops, _from(rest, m, setup), going)
    return _forked(stops, rest, m, (), left, setup)


def _iterated(m: Moment, rest: Actions, start: State, setup: Setup) -> Moment:
    """A repeated instruction is not finished: the next iteration runs at the host's level without the host.

    It runs as a hit would that comes there, where all that the host looked at before, and which held then, still holds.
    The rest of the plan mends the state at last; signals are not sent before, and nothing else may be in it.
    """
    is_mended = all(isinstance(a, Set | Check | Signal) for a in walk(rest))
    held = terms.all_of(value for _, value in m.looked)
    still = terms.or_(terms.not_(held), terms.all_of(_value(c, m, setup) for c, _ in m.looked))
    alike = terms.all_of((terms.bit(is_mended), terms.eq(m.now.ip, start.ip), still))
    return replace(m, contained=terms.and_(m.contained, alike))


def _is_armed(end: End) -> bool:
    """Whether debug registers end the run: a trap of the program's own TF is the processor's, and no end of it.

    What does not reach one runs on without the host, but for a repeated instruction, which is not finished.  The
    processor holds them back where it does TF's trap (SDM vol. 3, 6.8.3).
    """
    return isinstance(end, Breakpoints) and end.armed


def _located(action: Run, ip: Term, setup: Setup) -> Term:
    """The place in the original at which the code stands alike; elsewhere the address itself."""
    found = ip
    for here, there in action.code.locations:
        stands = terms.eq(ip, terms.add(setup.slot, const(here, 64)))
        found = terms.ite(stands, terms.add(setup.origin, const(there, 64)), found)
    return found


def _value(expression: Term, m: Moment, setup: Setup) -> Term:
    """The expression's value at a moment."""
    bindings = {v: _variable(v, m, setup) for v in variables(expression)}
    return terms.substitute((expression,), bindings)[0]


def _closed(expression: Term, setup: Setup) -> Term:
    """The value of an expression of addresses and fields alone."""
    return terms.substitute((expression,), {v: _constant(v, setup) for v in variables(expression)})[0]


def closed(expression: Term, setup: Setup) -> Term:
    """The value of an expression of addresses and fields alone; KeyError where it names anything else."""
    return _closed(expression, setup)


def _variable(variable: Term, m: Moment, setup: Setup) -> Term:
    when, _, name = str(variable.params[0]).partition(".")
    match when:
        case "now":
            return getattr(m.now, name)  # type: ignore[no-any-return]
        case "first":
            return getattr(m.first, name)  # type: ignore[no-any-return]
        case "loaded":
            return dict(m.loaded)[name]
        case "offset" | "segment" | "number":
            spot = spot_of(variable)
            assert spot is not None
            return setup.operand(spot, m.now)
        case "fault":
            found: Term = getattr(m.fault, name)
            return found
        case _:
            return _constant(variable, setup)


def _constant(variable: Term, setup: Setup) -> Term:
    spot = field_of(variable)
    if spot is not None:
        return setup.displacement(*spot)
    return {ORIGIN: setup.origin, SLOT: setup.slot, LENGTH: setup.length}[variable]
