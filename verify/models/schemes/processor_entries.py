"""What the processor shows to every program at a breakpoint, whatever the implementation: one entry a deviation."""

from __future__ import annotations

from typing import Final

from verify.models.schemes.assumptions import Entry

NO_TRANSACTION: Final = Entry(
    "no-transaction",
    "a probed instruction in a transaction aborts it: the program goes on at the fallback address with the status "
    "of a breakpoint in eax, and the hit is lost",
    "SDM vol. 1, 16.3.8: int3 aborts an RTM region; the handler never runs, whatever Linux does",
    "c6f800, 90 between xbegin and xend: from the manual, no machine with RTM has shown it",
    "a program with lock elision: each try at the probed path falls back, and no hit is counted",
    "probe outside the transaction",
)
NULL_SELECTORS: Final = Entry(
    "null-selectors",
    "the selectors 1 to 3 in ds, es, fs and gs become 0; the bases stay",
    "SDM vol. 2, IRET; every hit of a breakpoint, and every debug trap of a step, returns by iret",
    "8ed8, 8ec0, 8ee0, 8ee8, 0fa9, 0fb43b, 0fb53b with selector 1: read back 1 bare, 0 probed (6.18.44); sysret "
    "keeps them, page faults, int 80 and timer interrupts do not",
    "a program that keeps a value in a null selector, as some do to see that they were interrupted",
    "none: any interrupt does the same",
)
IN_USE_NOT_READ: Final = Entry(
    "in-use-not-read",
    "xgetbv with ecx 1 and XSTATE_BV may call components in use that were in their initial configuration",
    "SDM vol. 1, 13.6: which components are tracked as in use is the processor's choice and may change at a trap",
    "0fae2b 0f01d0 with ecx 1 and bit 1 of XSTATE_BV clear: eax 0 bare, 2 probed was reported of 6.18.44; on AMD "
    "family 19h, where it follows the registers' contents, four million hits have not shown it",
    "a program that sizes or skips its own context switch by what is in use",
    "none: a context switch may do the same",
)
PROCESSOR_ENTRIES: Final = NO_TRANSACTION, NULL_SELECTORS, IN_USE_NOT_READ
