"""Code of several instructions: the processor runs it from its first byte on until it leaves, or stands where the
original does.

What the host sees of a run is the caller's matter: it hands over what follows, with and without a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from verify import terms
from verify.models.schemes.behaviour import Setup, executed, reads_up_to_the_fault
from verify.models.schemes.code import Code
from verify.models.schemes.ways import Fault, Moment, Way, chosen, end_of, run_of
from verify.models.x86.machine import Outcome, State
from verify.terms import FALSE, Term, const

NO_TRAPS: frozenset[str] = frozenset({"no-own-trap-flag", "no-tf-in-slot"})  # TF is clear, or loaded and not looked at


@dataclass(frozen=True, slots=True)
class Sequence:
    """A run of closed code; `after` goes on where it left or stands like the original, `failed` at a fault."""

    code: Code
    at: Term  # 64: address of its first byte
    setup: Setup
    after: Callable[[Moment], Way]
    failed: Callable[[Moment], Way]
    stepped: bool = False  # under TF: the host has control behind one instruction

    def ran(self, m: Moment, offset: int, most: int) -> Way:
        """The way from the instruction at this offset on; that more than `most` run is told by `contained`."""
        if most == 0 or offset >= self.code.length:
            return end_of(replace(m, contained=FALSE))
        part = self.setup.part(self.code, offset)
        place = self._place(offset)
        start = replace(m.now, ip=place)
        o = executed(part.instruction, start, self.setup.assumptions)
        ended = self._onward(o.state.ip, part.onward, self._finished(m, o, start), most - 1)
        return run_of(o.fault_vector, ended, self.failed(self._faulted(m, o, place)))

    def _place(self, offset: int) -> Term:
        return terms.add(self.at, const(offset, 64))

    def _finished(self, m: Moment, o: Outcome, start: State) -> Moment:
        """A trap of the program's own TF would come in the middle of the code."""
        if self.stepped:
            return self._stepped(m, o)
        quiet = o.inhibits_trap or o.kernel_completes or NO_TRAPS & self.setup.assumptions
        trapped = FALSE if quiet else start.tf
        return replace(
            m, now=o.state, accesses=(*m.accesses, *o.accesses), shadow=(*m.shadow, *o.shadow),
            tf_seen=(*m.tf_seen, *o.tf_seen), is_back=False, fault=Fault(), is_faulted=False,
            trap=terms.or_(m.trap, trapped), contained=terms.and_(m.contained, terms.not_(trapped)),
        )  # fmt: skip

    def _stepped(self, m: Moment, o: Outcome) -> Moment:
        late = o.inhibits_trap or o.kernel_completes
        return replace(
            m, now=o.state, accesses=(*m.accesses, *o.accesses), shadow=(*m.shadow, *o.shadow),
            tf_seen=(*m.tf_seen, *o.tf_seen), is_back=False, fault=Fault(), is_faulted=False, late=m.late or late,
            repeats=terms.or_(m.repeats, o.repeats), contained=terms.and_(m.contained, terms.bit(not late)),
        )  # fmt: skip

    def _faulted(self, m: Moment, o: Outcome, place: Term) -> Moment:
        told = Fault(o.fault_vector, o.fault_error, terms.ite(o.fault_at_ip, place, o.fault_address), o.fault_address,
                     o.fault_at_ip)  # fmt: skip
        made = (*m.made, *reads_up_to_the_fault(o))
        return replace(m, now=o.fault_state, fault=told, is_faulted=True, made=made, is_back=False)

    def _onward(self, ip: Term, known: tuple[int, ...], m: Moment, most: int) -> Way:
        """What follows an instruction that leaves ip with this value."""
        if ip.op == "ite":
            taken, other = (self._onward(t, known, m, most) for t in ip.args[1:])
            return chosen(ip.args[0], taken, other)
        distance = terms.normal_form(terms.sub(ip, self.at)).value
        if distance is not None and distance <= self.code.length:
            return self._reached(distance, m, most)
        if distance is not None or not known:
            return self.after(replace(m, now=replace(m.now, ip=ip)))
        here = terms.eq(ip, self._place(known[0]))
        if here.value == 0:
            return self._onward(ip, known[1:], m, most)
        return chosen(here, self._reached(known[0], m, most), self._onward(ip, known[1:], m, most))

    def _reached(self, offset: int, m: Moment, most: int) -> Way:
        there = dict(self.code.locations).get(offset)
        if there is None:
            left = replace(m, now=replace(m.now, ip=self._place(offset)))
            return self.after(left) if self.stepped else self.ran(m, offset, most)
        ip = terms.add(self.setup.origin, const(there, 64))
        return self.after(replace(m, now=replace(m.now, ip=ip)))
