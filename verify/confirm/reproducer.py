"""A reproducer for one refuted observable of an encoding: which state it starts from, whether it can be shown here.

Decides, before anything is written, whether this machine shows the deviation: where probes can be set the state is one
in which the kernel was seen to deviate.  Where none is, nothing is written, and the reason is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from verify.confirm.counterexample import confirmed_state, is_undefined_everywhere, staged
from verify.confirm.judges import another_version
from verify.confirm.kernel import UNSEEN
from verify.judge.counterexample import counterexample
from verify.judge.encoding import Judgement
from verify.live.capabilities import processor
from verify.live.kernel.child import Tracee
from verify.live.kernel.judge import KernelComparison, KernelJudge, idle_child
from verify.live.kernel.kinds import FLAG_BITS_SET, HANDLER, kinds
from verify.live.kernel.one_state import FRAMES, Situation
from verify.live.kernel.state import KernelState, standard_states
from verify.live.needs import absent, lacks
from verify.live.reproducer.program import Account, emit, standard_situation
from verify.live.uprobe import missing
from verify.models.schemes.manner import Manner, manners
from verify.models.x86.isa.decode import Decoded

NOT_SHOWN: Final = "cannot be shown here: "
RULES: Final = {  # how a hit is handled -> what the kernel does, by which of its functions (Linux 6.18)
    Manner.APPLIED: "the kernel emulates: branch_setup_xol_ops and push_setup_xol_ops, arch/x86/kernel/uprobes.c, go "
                    "by the opcode byte and the prefixes",
    Manner.STEPPED: "a copy runs in a slot with TF set: arch_uprobe_pre_xol and arch_uprobe_post_xol, "
                    "arch/x86/kernel/uprobes.c, mend ip, stack and scratch register afterwards",
    Manner.REFUSED: "the kernel refuses the probe",
    Manner.IN_PLACE: "runs in place",
}  # fmt: skip
IN_A_FRAME: Final = "it shows in what a handler of the program's own is given, which a reproducer does not look at"
NEVER_SEEN: Final = frozenset(UNSEEN) - {"containment"}  # in a slot hlt is a fault at an ip behind the instruction
NEVER_STARTED: Final = frozenset({HANDLER, FLAG_BITS_SET})  # a frame for a handler; flags that ptrace does not set


@dataclass(frozen=True, slots=True)
class Emitted:
    """The files and the state that they start from; no files where `state` says why it cannot be shown here."""

    paths: tuple[Path, ...]
    state: str

    @property
    def is_written(self) -> bool:
        """Whether there is a program."""
        return bool(self.paths)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A situation, the observable that it is to show, and where it comes from in words."""

    situation: Situation
    observable: str
    text: str


def write_reproducer(
    directory: Path, judgement: Judgement, assumptions: frozenset[str], account: Account,
    observable: str | None = None, although: bool = False,
) -> Emitted:  # fmt: skip
    """Writes a C program and a shell script that show a refuted observable; the first that shows here by default.

    Where nothing is refuted, or nothing for this machine's kind of processor, nothing is written.  Where another
    version runs than the scheme models, it is written untried, and says so; `although`: tried all the same.  OSError
    where it cannot write.
    """
    wanted = [d for d in judgement.deviations if observable in {None, d.observable}]
    if not wanted:
        what = f"{observable} is not" if observable else "nothing is"
        return Emitted((), f"{NOT_SHOWN}{what} refuted for this machine's kind of processor")
    reasons: list[str] = []
    why = _not_tried(judgement, although)
    tried = (_shown(replace(judgement, deviations=(d,)), assumptions, reasons, why) for d in wanted)
    chosen = next((c for c in tried if c is not None), None)
    if chosen is None and not why:
        chosen = _shown_in_standard_states(judgement, observable)
    if chosen is None:
        return Emitted((), NOT_SHOWN + "; ".join(dict.fromkeys(reasons)))
    told = _told(judgement, assumptions, account, chosen)
    return Emitted(emit(directory, chosen.situation, told), f"{chosen.observable}: {chosen.text}")


def _shown(judgement: Judgement, assumptions: frozenset[str], reasons: list[str], why: str) -> _Chosen | None:
    """The state of a judgement's only deviation in which it shows here; adds to the reasons why it does not.

    `why`: it is not tried here.
    """
    states, not_staged = staged(judgement, assumptions, NEVER_SEEN)
    reasons += not_staged
    name = judgement.deviations[0].observable
    if why:
        return _Chosen(states[0].situation, name, f"{states[0].text}; not tried here: {why}") if states else None
    identical: list[str] = []
    tried = (confirmed_state([state], identical, assumptions | FRAMES) for state in states)
    found = [pair for pair in tried if pair is not None]
    if not found:
        given = FRAMES - assumptions and confirmed_state(states, [], assumptions)
        reasons += [f"{name}: {IN_A_FRAME}"] if given else identical
        return None
    state, comparison = next((pair for pair in found if name in pair[1].observables), found[0])
    other = another_version(judgement.probe.scheme)
    seen = f"seen here in {', '.join(comparison.observables)}{f' ({other})' * bool(other)}"
    return _Chosen(state.situation, name, f"{state.text}; {seen}")


def _encoding(judgement: Judgement) -> bytes:
    decoded = judgement.probe.decoded
    length = decoded.layout.length if isinstance(decoded, Decoded) else len(judgement.probe.data)
    return judgement.probe.data[: length + len(judgement.probe.followed_by)]


def _not_tried(judgement: Judgement, although: bool) -> str:
    """Why the encoding is not run here, in words; empty where it is."""
    if not although and (other := another_version(judgement.probe.scheme)):
        return other
    lacking = missing()
    if lacking:
        return f"missing {'; '.join(lacking)}"
    names = absent(_encoding(judgement))
    return lacks(names) if names and processor().absent(names) != names else ""


def _shown_in_standard_states(judgement: Judgement, observable: str | None) -> _Chosen | None:
    """The judge's own state in which the encoding deviates on the observable (on any, where none is asked for)."""
    found = _compared(_encoding(judgement))
    moved = ", its displacement moved to the judge's data" * (found.encoding != _encoding(judgement))
    for deviation in found.deviations:
        name = deviation.difference.observable
        if observable in {None, name}:
            situation = _standard(found.encoding, found.origin, deviation.state)
            return _Chosen(situation, name, f"the judge's state {deviation.state!r}{moved}; seen here")
    return None


def _compared(data: bytes) -> KernelComparison:
    with KernelJudge() as kernel, idle_child() as child:
        wanted = frozenset(state.kind for state in _states(child))
        return next(iter(kernel.compare(iter([data]), wanted=wanted)))


def _states(child: Tracee) -> Iterator[KernelState]:
    """The judge's states that a program is in by its registers and memory alone, without a handler of its own."""
    yield from standard_states(child)
    yield from (state for family in kinds(child) for state in family if state.kind not in NEVER_STARTED)


def _standard(data: bytes, origin: int, name: str) -> Situation:
    with idle_child() as child:
        state = next(s for s in _states(child) if s.name == name)
    return standard_situation(data, origin, state)


def _told(judgement: Judgement, assumptions: frozenset[str], account: Account, chosen: _Chosen) -> Account:
    """The account with what is known of the observable: its first difference in the model, the kernel's rule."""
    own = tuple(d for d in judgement.deviations if d.observable == chosen.observable)
    reason = account.reason
    if own:
        shown = counterexample(replace(judgement, deviations=own), assumptions)
        reason = f"refuted: {chosen.observable}: {shown.first_difference}"
    judge = judgement.probe.scheme.live
    scheme = f"{account.scheme}, of {judge.judge} {judge.version}" if judge else account.scheme
    rule = RULES.get(manners(judgement.probe.plan)[0], "")
    return replace(
        account, scheme=scheme, reason=reason, state=chosen.text, observable=chosen.observable,
        undefined=is_undefined_everywhere(judgement.probe.data),
        null_selectors="null-selectors" not in assumptions,
        plan="\n".join(p for p in (account.plan, rule) if p),
    )  # fmt: skip
