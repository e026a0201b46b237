"""Axioms of instruction fetch while another processor writes the code, shared by the protocols that patch text.

The text at a site is cut into regions: the first byte, which is written by itself, and the rest. For each thread and
each value of a region there is one bit: may this thread's processor still fetch that value? A write sets the bit of the
new value for every thread; a serialising event leaves only the bits of what memory holds. A fetch takes any permitted
value of each region. A permitted mix of old and new is a torn instruction. Nothing here says how likely a mix is, and
processors may be stronger than this; a protocol that is safe under these axioms needs no more from the processor.
"""

from __future__ import annotations

from verify.concurrency.language import Assumption

FETCH_AXIOMS = (
    Assumption(
        "single-byte-write",
        "a write of one byte of code is atomic: a fetch sees the byte before or after it",
        "Intel SDM vol. 3, 9.1.1 and 9.1.3 (cross-modifying code); AMD APM vol. 2, 7.6.1",
    ),
    Assumption(
        "torn-fetch",
        "a fetch by another processor may see any mix of the old and new bytes of a write of several bytes",
        "Intel SDM vol. 3, 9.1.3",
    ),
    Assumption(
        "stale-until-serialised",
        "a processor may execute bytes as they were at any time since its last serialising event",
        "Intel SDM vol. 3, 9.1.3 and 9.3; AMD APM vol. 2, 7.6.1",
    ),
    Assumption(
        "interrupt-serialises",
        "an inter-processor interrupt with a serialising instruction leaves its processor with memory's bytes only",
        "Linux 6.18 arch/x86/kernel/alternative.c, smp_text_poke_sync_each_cpu",
    ),
    Assumption(
        "interrupt-at-any-boundary",
        "a thread may be interrupted and preempted before every instruction, for any time",
        "Intel SDM vol. 3, 7.6 (instruction boundaries)",
    ),
)
