"""Running the probed instruction in the kernel, on behalf of the program: four designs of one idea.

A copy runs in a slot in kernel memory with the program's registers, rsp and segment bases included, IF clear and AC set
(SMAP); a breakpoint behind it ends the run, and a fault is told as the program's own, with U/S set in its error code.
Before the run the host checks addresses, which is what the designs differ in; what fails the check runs where it stands
at CPL 3, up to a debug register at the next instruction.

* `kernel-exec-naive`, at CPL 0: effective address of the ModRM operand plus operand size against the end of user space,
  stack and string instructions by their register.
* `kernel-exec-checked`, at CPL 0: every byte of every access (`kernel_checks`), and what would do something else there
  is refused by the observable in which it shows.
* `kernel-exec-cpl2`, `kernel-exec-rpl3`: no check; trust in CPL 2, or in data selectors with RPL 3 at CPL 0.

None of them runs a control transfer: it would leave the slot at the kernel's level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Final

from verify.models.schemes.assumptions import Entry
from verify.models.schemes.code import ORIGINAL
from verify.models.schemes.host_entries import host_entries
from verify.models.schemes.processor_entries import PROCESSOR_ENTRIES
from verify.models.schemes.program import Action, Actions, Breakpoints, Check, Context, Program, Run, Set
from verify.models.schemes.scheme import Plan, Refuse, Scheme
from verify.models.schemes.seed.kernel_checks import RSP, Checks, every_byte, naive, popped
from verify.models.schemes.seed.xol_step import ENCLAVE, FALLBACK, SAMPLED, UNREAD, copied
from verify.models.schemes.seed.xol_table import LOCK, Read, read
from verify.models.schemes.vocabulary import ERROR_AS_USER, LENGTH, NOW, ORIGIN, first, register
from verify.terms import FALSE, TRUE, add, const, or_

EINVAL: Final = 22
LEAVES: Final = Refuse("containment: it would leave the slot at the kernel's level", EINVAL)
TRANSFERS: Final = frozenset({*range(0x70, 0x80), *range(0xE0, 0xE4), 0xE8, 0xE9, 0xEB, 0xC2, 0xC3, 0xCA, 0xCB, 0xCC,
                              0xCD, 0xCF, 0xF1})  # fmt: skip
TRANSFERS_0F: Final = frozenset({*range(0x80, 0x90), 0x05, 0x07, 0x34, 0x35, 0x37, 0xAA})
TRANSFERS_0F01: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xCF, 0xD4, 0xD7, 0xD8, 0xD9, 0xEC})  # by ModRM: VMCALL ...

AT_ORIGIN: Final[Actions] = (Run(ORIGINAL, ORIGIN, Context(Breakpoints((add(ORIGIN, LENGTH),), armed=True))),)
LENT: Final[Actions] = (Set("interrupts", FALSE), Set("iopl", const(0, 2)), Set("ac", TRUE))
OWN: Final[Actions] = tuple(Set(n, first(getattr(NOW, n))) for n in ("interrupts", "iopl", "ac"))
AS_USER: Final = Set("error", ERROR_AS_USER)
RPL_3: Final = sum(3 << low for low in (0, 48, 64, 80))  # in es, ds, fs and gs of State.selectors
TRUSTED: Final = (Set("selectors", or_(NOW.selectors, const(RPL_3, 96))),)
RELOADED: Final = (Set("selectors", first(NOW.selectors)),)


def leaves(r: Read) -> Refuse | None:
    """Why an instruction that does not go on behind itself is not run."""
    if r.map == "1":
        if r.opcode == 0xC7 and r.modrm == 0xF8:
            return FALLBACK
        goes = r.opcode in TRANSFERS or (r.opcode == 0xFF and r.digit in {2, 3, 4, 5})
    else:
        goes = r.map == "0f" and (r.opcode in TRANSFERS_0F or (r.opcode == 0x01 and r.modrm in TRANSFERS_0F01))
    if goes and LOCK not in r.prefixes:
        return ENCLAVE if r.map == "0f" and r.modrm == 0xD7 else LEAVES
    return SAMPLED if r.map == "xop10" and r.opcode == 0x12 else None


@cache
def lent(program: Program, level: int, checks: Actions, before: Actions = (), behind: Actions = ()) -> Program:
    """The copy's program with its run at a level, behind the checks; `before`, `behind`: what the host adds."""
    found: list[Action] = [*checks, *LENT, *before]
    for action in program.actions:
        if isinstance(action, Run):
            context = replace(action.context, cpl=level)
            faulted = (*action.on_fault, *OWN, *behind, AS_USER)
            found += [replace(action, context=context, on_fault=faulted), *OWN, *behind]
        else:
            found.append(action)
    return replace(program, actions=tuple(found))


def planned(
    level: int, checks: Callable[[bytes, Read], Checks | Refuse], before: Actions = (), behind: Actions = ()
) -> Callable[[bytes], Plan]:
    """How a design plans: the level of the run, its address check, and what the host adds."""

    def plan(data: bytes) -> Plan:
        if len(data) < 16:
            raise ValueError(f"16 bytes are read at a probe, got {len(data)}")
        found = read(data)
        if found is None:
            return UNREAD
        looked = leaves(found) or checks(data, found)
        if isinstance(looked, Refuse):
            return looked
        return lent(copied(data, found), level, _checked(looked, popped(found)), before, behind)

    return plan


def _checked(conditions: Checks, popped: int) -> Actions:
    """The host looks, with rsp moved as the instruction moves it before its address is computed."""
    if not popped:
        return tuple(Check(condition, AT_ORIGIN) for condition in conditions)
    own = Set(RSP, first(register(RSP)))
    looked = (Check(condition, (own, *AT_ORIGIN)) for condition in conditions)
    return (Set(RSP, add(register(RSP), const(popped, 64))), *looked, own)


def _none(data: bytes, r: Read) -> Checks:
    return ()


USER_PAGES: Final = Entry(
    "user-pages",
    "where a page of the user half is a supervisor page, an access that faults without the probe is made",
    "SDM vol. 3, 4.6.1: paging knows CPL 3 and the rest; a check of addresses knows no pages",
    "8b00 with such a page at rax: from the manual; Linux maps none",
    "nothing under Linux: it has no such page",
    "keep supervisor pages out of the user half",
)
FRAMES: Final = Entry(
    "frames-elsewhere",
    "40 or 48 bytes below rsp are overwritten by the frame of the breakpoint behind the copy, or of a fault",
    "SDM vol. 3, 6.14.2 to 6.14.5: at CPL 0 an exception changes no stack but by the interrupt stack table",
    "90 with data in the red zone: from the manual, no implementation was run; where the frame cannot be pushed, #DF",
    "every leaf function that keeps data below rsp: silent wrong data at every hit",
    "an interrupt stack for #BP and for each exception that the copy can raise",
)
ENTRIES: Final = (
    *host_entries(
        "not-restartable slot-available no-signal-awaited sigtrap-not-held",
        "the design: a copy runs in one of the kernel's slots, signals wait until it has left",
    ),
    *PROCESSOR_ENTRIES,
)
CHECKING: Final = ("kernel-exec-naive", "kernel-exec-checked")  # whose verdicts rest on what pages there are
HOLDS: Final = frozenset({"breakpoint-in-place", "code-as-in-file", "fault-frame"})  # memory is copied, faults go on
SOURCE: Final = "the discussion of 2010 on user-space probes; what it left open: the module's docstring"


def _scheme(name: str, summary: str, plan: Callable[[bytes], Plan], level: int) -> Scheme:
    frames, pages = (FRAMES,) * (level == 0), (USER_PAGES,) * (name in CHECKING)
    entries = (*frames, *pages, *ENTRIES)
    return Scheme(name=name, summary=summary, source=SOURCE, plan=plan, entries=entries, holds=HOLDS)


SCHEMES: Final = (
    _scheme("kernel-exec-naive", "a copy runs at CPL 0 after a check of effective address and operand size",
            planned(0, naive), 0),
    _scheme("kernel-exec-checked", "a copy runs at CPL 0 after a check of every byte that it can access",
            planned(0, every_byte), 0),
    _scheme("kernel-exec-cpl2", "a copy runs at CPL 2 without a check", planned(2, _none), 2),
    _scheme("kernel-exec-rpl3", "a copy runs at CPL 0 without a check, with data selectors of RPL 3",
            planned(0, _none, TRUSTED, RELOADED), 0),
)  # fmt: skip
