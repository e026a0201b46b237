"""A program's instruction run by its kernel at CPL 0, 1 or 2: what the level changes around it.

cs and ss are the kernel's while it runs and the program's again behind it (a return by iret loads both).  An exception
at CPL 0 changes no stack without an entry of the interrupt stack table: the frame is pushed below the program's rsp,
also that of the breakpoint which ends the run (SDM vol. 3, 6.14.2 to 6.14.4).  `frames-elsewhere` leaves that out.
What an instruction does at that level is `verify.models.x86.semantics`, what it may access `verify.models.x86.paging`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, Final

from verify import terms
from verify.models.schemes.behaviour import Setup, executed
from verify.models.x86.machine import AC, CP, GP, NP, PF, SS, Outcome, State
from verify.models.x86.mode import USER_64, Mode, on_behalf
from verify.models.x86.paging import OWN_PAGES, SUPERVISOR_PAGE
from verify.models.x86.semantics.run import Instruction
from verify.terms import Term, const, normal_form, postorder, substitute, uf

FRAMES: Final = "frames-elsewhere"
RSP: Final = const(4, 4)
FRAME, ERROR_CODE = 40, 8  # bytes: ss, rsp, rflags, cs, rip; SDM vol. 3, 6.14.2
WITH_ERROR: Final = (NP, SS, GP, PF, AC, CP)  # those that an instruction raises: SDM vol. 3, table 6-1
CODE, STACK = 16, 32  # lowest bits of cs and ss in State.selectors
SELECTOR: Final = 16


def executed_at(
    level: int, instruction: Instruction, state: State, setup: Setup, held: tuple[Term, ...]
) -> Outcome:
    """The outcome of a program's instruction that runs at this level from the state that the host made.

    `held`: what the host has checked before, one bit each; the outcome counts only where all of it holds.
    """
    mode = on_behalf(level, state.ac.value == 1)
    if not setup.mode.is_user:
        raise ValueError(f"{setup.mode.name} lends nothing to code at CPL {level}")
    start = replace(state, selectors=_with_own(state.selectors, _hosts(mode)))
    o = executed(replace(instruction, mode=mode), start, setup.assumptions)
    if OWN_PAGES in setup.assumptions:
        o = _among_user_pages(o, held)
    after, fault_state = (
        replace(s, selectors=_with_own(s.selectors, _own(state.selectors))) for s in (o.state, o.fault_state)
    )
    if FRAMES not in setup.assumptions and mode.is_privileged:
        after = _framed(after, terms.FALSE)
        told = terms.any_of(terms.eq(o.fault_vector, const(v, 8)) for v in WITH_ERROR)
        fault_state = _framed(fault_state, told)
    return replace(o, state=after, fault_state=fault_state)


def _among_user_pages(o: Outcome, held: tuple[Term, ...]) -> Outcome:
    """The same where what was checked leaves no supervisor page: of an access below a bound that lies in the user half.

    It saves deciding what follows from a comparison with the access's own address.
    """
    bounds = tuple(b for fact in held for b in _bounds(fact))
    faults = postorder((o.fault_vector, o.fault_error, o.fault_address, *o.attempted))
    pages = (t for t in faults if t.op == "uf" and t.params[0] == SUPERVISOR_PAGE)
    known = {t: terms.FALSE for t in pages if any(_is_below(t, bound) for bound in bounds)}
    return _substituted(o, known) if known else o


def _bounds(fact: Term) -> Iterator[tuple[Term, int]]:
    """What a fact says is below a constant."""
    if fact.op == "and":
        for part in fact.args:
            yield from _bounds(part)
    elif fact.op == "ult" and fact.args[1].value is not None:
        yield fact.args[0], fact.args[1].value


def _is_below(page: Term, bound: tuple[Term, int]) -> bool:
    """Whether an access begins at a constant distance above what is bounded, and ends in the user half."""
    (address, size, *_), (low, limit) = page.args, bound
    distance = normal_form(terms.sub(address, low)).value
    return distance is not None and limit - 1 + distance + (size.value or 1) <= USER_64.half


def _substituted(o: Outcome, known: dict[Term, Term]) -> Outcome:
    names = ("fault_vector", "fault_error", "fault_address", "fault_at_ip")
    plain: dict[str, Any] = dict(zip(names, substitute([getattr(o, n) for n in names], known), strict=True))
    made = dict(zip((f.name for f in fields(State)), substitute(list(_parts(o.fault_state)), known), strict=True))
    return replace(o, attempted=tuple(substitute(list(o.attempted), known)), fault_state=State(**made), **plain)


def _parts(state: State) -> tuple[Term, ...]:
    return tuple(getattr(state, f.name) for f in fields(State))


def _hosts(mode: Mode) -> tuple[Term, Term]:
    """cs and ss of the host: RPL is CPL."""
    index = (uf(f"host_{name}", SELECTOR - 2) for name in ("code_segment", "stack_segment"))
    code, stack = (terms.concat(i, const(mode.cpl, 2)) for i in index)
    return code, stack


def _own(selectors: Term) -> tuple[Term, Term]:
    code, stack = (terms.extract(selectors, low + SELECTOR - 1, low) for low in (CODE, STACK))
    return code, stack


def _with_own(selectors: Term, pair: tuple[Term, Term]) -> Term:
    """Selectors with these cs and ss."""
    code, stack = pair
    above, low = terms.extract(selectors, 95, STACK + SELECTOR), terms.extract(selectors, CODE - 1, 0)
    return terms.concat(above, stack, code, low)


def _framed(state: State, has_error: Term) -> State:
    """The state with an exception's frame below its rsp, which is aligned to 16 before."""
    top = terms.and_(terms.select(state.gprs, RSP), const(-16, 64))
    content = uf("exception_frame", 8 * FRAME, state.opaque)
    memory = terms.write(state.memory, terms.sub(top, const(FRAME, 64)), content)
    code = uf("exception_error", 8 * ERROR_CODE, state.opaque)
    more = terms.write(memory, terms.sub(top, const(FRAME + ERROR_CODE, 64)), code)
    return replace(state, memory=terms.ite(has_error, more, memory))
