"""Axioms of instruction fetch while another processor writes the code, shared by the protocols that patch text.

The text at a site is cut into regions: the first byte, which is written by itself, and the rest. For each thread and
each value of a region there is one bit: may this thread's processor still fetch that value? A write sets the bit of the
new value for every thread; a serialising event leaves only the bits of what memory holds. A fetch takes any permitted
value of each region. A permitted mix of old and new is a torn instruction. Nothing here says how likely a mix is, and
processors may be stronger than this; a protocol that is safe under these axioms needs no more from the processor.
`CodeSite` declares regions and bits of one protocol, and writes out for it what a write and a serialising event do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from verify.concurrency.language.domains import Domain
from verify.concurrency.language.frontend import helper
from verify.concurrency.language.protocol import Assumption, Bool, Claim, Enum, Shared, Thread, threads

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


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes of a site that are written at once, and the values that they may hold, the first one at the start.

    `name` is the variable of memory. Each thread has one bit a value, `BITS_VALUE` (`NAME_VALUE` where `bits` is not
    given; for example `first_int3`): its processor may fetch that value.
    """

    name: str
    values: tuple[str, ...]
    bits: str = ""

    def bit(self, value: str) -> str:
        """The name of the bit of one value."""
        return f"{self.bits or self.name}_{value}"


class CodeSite:
    """The regions of one patched site: their variables, and what a write and a serialising event do to them.

    A protocol names the helpers that it uses at its top, and calls them in its steps and properties:
    `serialise(s, t)`: the processor of t may fetch what memory holds, and nothing else;
    `may_fetch(s, t)`: after a write, it may fetch what memory holds now, too;
    `fetch_nothing(t)`: it runs elsewhere;
    `fetches_memory(s, t)`: whether what memory holds is among what it may fetch;
    `fetches_only_memory(s, t)`: whether there is nothing else.
    """

    def __init__(self, *regions: Region) -> None:
        pairs = [(region, value) for region in regions for value in region.values]
        bits = [(f"t.{region.bit(value)}", f's.{region.name} == "{value}"') for region, value in pairs]
        self.memory: dict[str, Domain] = {region.name: Enum(*region.values) for region in regions}
        self.fetched: dict[str, Domain] = {
            region.bit(value): Bool(initial=value == region.values[0]) for region, value in pairs
        }
        self.serialise = _procedure("serialise(s, t)", [f"{bit} = {held}" for bit, held in bits])
        self.may_fetch = _procedure("may_fetch(s, t)", [f"{bit} = {bit} or {held}" for bit, held in bits])
        self.fetch_nothing = _procedure("fetch_nothing(t)", [f"{bit} = False" for bit, _ in bits])
        self.fetches_memory = _claim("fetches_memory(s, t)", [_held(region) for region in regions])
        self.fetches_only_memory = _claim("fetches_only_memory(s, t)", [f"(not {bit} or {held})" for bit, held in bits])


def _held(region: Region) -> str:
    """The bit of what memory holds in the region."""
    *first, last = region.values
    tests = "".join(f't.{region.bit(value)} if s.{region.name} == "{value}" else ' for value in first)
    return f"({tests}t.{region.bit(last)})"


def _procedure(head: str, lines: list[str]) -> Callable[..., None]:
    return helper(f"def {head}:\n" + "".join(f"    {line}\n" for line in lines))


def _claim(head: str, parts: list[str]) -> Callable[..., Claim]:
    return helper(f"def {head}:\n    return {' and '.join(parts)}\n")


def answered() -> Claim:
    """Whether every processor has answered the last sync."""
    return all(not t.pending for t in threads)


# --- steps and properties whose words are the same in several protocols -----------------------------------------------
def fetch_int3(s: Shared, t: Thread) -> None:
    """Step: the breakpoint is executed, whatever follows it."""
    if t.pc == "at" and t.first_int3:
        t.pc = "trap"


def a_trap_is_at_the_site(s: Shared, t: Thread) -> Claim:
    """Precondition of `fetch_int3`: a thread traps at the site where it may fetch int3."""
    return t.pc == "at" and t.first_int3


def no_torn_instruction(s: Shared, t: Thread) -> Claim:
    """Invariant: no thread executes bytes that do not belong together, nor the middle of an instruction."""
    return t.pc != "torn"


def no_call_into_nothing(s: Shared, t: Thread) -> Claim:
    """Invariant: where the call is executed the trampoline is mapped, and stays while a thread is in it."""
    return t.pc != "segv"


def going_back_waits_for_syncs(s: Shared) -> Claim:
    """Precondition of going back: an optimised site goes back when every processor has seen it."""
    return s.kernel == "optimised" and answered()
