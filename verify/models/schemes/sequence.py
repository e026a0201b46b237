"""Code of several instructions: the processor runs it from its first byte on until it leaves, or stands where the
original does.

What the host sees of a run is the caller's matter: it hands over what follows, with and without a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from verify import terms
from verify.models.schemes.behaviour import Part, Setup, executed, reads_up_to_the_fault
from verify.models.schemes.code import Code
from verify.models.schemes.ways import Fault, Moment, Way, chosen, end_of, run_of
from verify.models.x86.machine import Outcome, State
from verify.models.x86.mode import is_canonical
from verify.terms import FALSE, TRUE, Term, const

NO_TRAPS: frozenset[str] = frozenset({"no-own-trap-flag", "no-tf-in-slot"})  # TF is clear, or loaded and not looked at
NEAR: Final = 4096  # bytes


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
        place = part.place(offset)
        start = replace(m.now, ip=place)
        o = self._settled(executed(part.instruction, start, self.setup.assumptions))
        ended = self._onward(o.state.ip, part, part.onward, self._finished(m, o, start), most - 1)
        return run_of(o.fault_vector, ended, self.failed(self._faulted(m, o, place)))

    def _settled(self, o: Outcome) -> Outcome:
        """The outcome, where a jump to code at the origin is known to lead to a canonical address.

        So say the premises of every claim: the origin lies in its half of the addresses, `NEAR` bytes from the end.
        """
        ip = o.state.ip
        away = terms.sub(ip, self.setup.origin)
        distances = [terms.normal_form(d).value for d in (away, terms.sub(away, self.setup.length))]
        if o.fault_vector.value is not None or not any(d is not None and d < NEAR for d in distances):
            return o
        known = {is_canonical(ip, self.setup.mode): TRUE}
        vector, error, address, at_ip = terms.substitute(
            (o.fault_vector, o.fault_error, o.fault_address, o.fault_at_ip), known
        )
        return replace(o, fault_vector=vector, fault_error=error, fault_address=address, fault_at_ip=at_ip)

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

    def _onward(self, ip: Term, part: Part, known: tuple[int, ...], m: Moment, most: int) -> Way:
        """What follows an instruction that leaves ip with this value."""
        if ip.op == "ite":
            taken, other = (self._onward(t, part, known, m, most) for t in ip.args[1:])
            return chosen(ip.args[0], taken, other)
        distance = terms.normal_form(terms.sub(ip, self.at)).value
        if distance is not None and distance <= self.code.length:
            return self._reached(distance, part, m, most)
        if distance is not None or not known:
            return self.after(replace(m, now=replace(m.now, ip=ip)))
        here = terms.eq(ip, part.place(known[0]))
        if here.value is None and terms.normal_form(ip) is terms.normal_form(part.place(known[0])):
            here = TRUE
        if here.value == 0:
            return self._onward(ip, part, known[1:], m, most)
        reached = self._reached(known[0], part, m, most)
        return reached if here.value else chosen(here, reached, self._onward(ip, part, known[1:], m, most))

    def _reached(self, offset: int, part: Part, m: Moment, most: int) -> Way:
        there = dict(self.code.locations).get(offset)
        if there is None:
            left = replace(m, now=replace(m.now, ip=part.place(offset)))
            return self.after(left) if self.stepped else self.ran(m, offset, most)
        distance = terms.sub(part.place(offset), terms.add(self.at, const(offset, 64)))  # LENGTH and what it is
        ip = terms.add(terms.add(self.setup.origin, const(there, 64)), distance)
        return self.after(replace(m, now=replace(m.now, ip=ip)))
