"""What a machine answers where a proof leaves it open: page faults, canonicality, selectors, datapaths by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from verify.models.x86.machine import GP, NO_FAULT, PF, SS
from verify.models.x86.mode import ACCESS_FAULTS, USER_64, Mode
from verify.models.x86.paging import SUPERVISOR_PAGE, THERE
from verify.terms import Array, Sort
from verify.terms.evaluation import Memory, Value, number, pseudo_random, register_file

EVERYWHERE: Final = (-1, 0, 0)
NOWHERE: Final = (-4, 0, 0)
UNMAPPED_CODE: Final = (-3, 0, 0)  # part of the instruction is not mapped
WIDE_STORES: Final = (-5, 0, 0)  # where a mapping ends: writes of 8 bytes fault, shorter accesses do not
SUPERVISOR: Final = (-7, 0, 0)  # supervisor pages refuse a supervisor's access
SOMETIMES: Final = (-6, 0, 0)  # datapaths and selectors are refused for about half of the values that they are given
DATAPATH: Final = (-2, 0, 0)  # what the datapath raises, for example #XM
PROBED_MEMORY: Final = "probed_memory"  # with the breakpoint in it, which nothing reads where the seed is 0
DATAPATH_FAULT: Final = ".datapath_fault"  # what a datapath raises, by its arguments
REFUSALS: Final = ("selector_fault", "selector_not_present")  # of data selectors, by register and selector
REFUSED_AT_LEVEL: Final = ("selector_fault_at", "selector_not_present_at")  # of a program's selectors at CPL 0 to 2
PLAIN_ANSWER: Final = ".refuses"  # descriptor tables, features and the like refuse nothing
IS_32_BIT: Final = ".is_32_bit"  # of a code selector: Linux has one 32-bit code segment for programs, __USER32_CS
USER32_CS: Final = 0x23  # arch/x86/include/asm/segment.h, Linux 6.18


def answer_key(name: str, sort: Sort, args: tuple[Value, ...]) -> str:
    """By what an answer is known: 16 hex digits, a hash of the function's name, sort and arguments, memories apart."""
    return f"{pseudo_random(64, f'{name} {sort}', tuple(a for a in args if not isinstance(a, Memory))):016x}"


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment answers: page faults where `faults` says, canonicality, datapaths by seed.

    `answers`: values of functions, page faults apart, that are not those of the rules below, by `answer_key`; of a
    memory address and byte in turn.
    The fault key EVERYWHERE stands for a mapping in which about every second page is missing, NOWHERE for none at all.
    """

    faults: Mapping[tuple[int, int, int], int] = field(default_factory=dict)  # address, size, write -> vector
    seed: int = 0
    answers: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)

    def function(self, name: str, sort: Sort, args: tuple[Value, ...]) -> Value:
        """The value of an uninterpreted function."""
        if name in ACCESS_FAULTS:
            return self._access_fault(ACCESS_FAULTS[name], *map(number, args[:4]))
        if name == SUPERVISOR_PAGE and not self.answers:
            return int(self._is_supervisor_page(*map(number, args[:2])))
        if name == THERE:
            return self.faults.get(SUPERVISOR, NO_FAULT)
        if self.answers and (known := self.answers.get(answer_key(name, sort, args))) is not None:
            return known if isinstance(sort, int | Array) else self._memory(name, args, register_file(known))
        if SOMETIMES in self.faults and name.endswith((DATAPATH_FAULT, PLAIN_ANSWER, *REFUSALS)):
            refused = pseudo_random(1, name, (self.seed, *args))
            return (self.faults[SOMETIMES] if refused else NO_FAULT) if name.endswith(DATAPATH_FAULT) else refused
        if name.endswith(DATAPATH_FAULT):
            return self.faults.get(DATAPATH, NO_FAULT)
        if name == "fetch_fault":
            return self.faults.get(UNMAPPED_CODE, NO_FAULT)
        if name in REFUSALS or name.startswith(REFUSED_AT_LEVEL):
            return 0
        if name == "vsib_address":
            return pseudo_random(USER_64.canonical_bits - 2, name, (self.seed, *args))
        if name == "access_address":
            return args[0]
        if name.endswith(PLAIN_ANSWER):
            return 0
        if name.endswith(IS_32_BIT):
            return int(number(args[0]) >> 3 == USER32_CS >> 3)
        if name == SUPERVISOR_PAGE:
            return int(self._is_supervisor_page(*map(number, args[:2])))
        if name == PROBED_MEMORY and not self.seed:
            return args[0]
        if isinstance(sort, Array):
            return tuple(
                pseudo_random(sort.value_bits, name, (self.seed, i, *args)) for i in range(1 << sort.index_bits)
            )
        if isinstance(sort, int):
            return pseudo_random(sort, name, (self.seed, *args))
        return self._memory(name, args, ())

    def _is_supervisor_page(self, address: int, size: int) -> bool:
        ends = (address, address + size - 1 & (1 << 64) - 1)
        return all(map(USER_64.has_canonical, ends)) and not all(map(USER_64.owns, ends))

    def _memory(self, name: str, args: tuple[Value, ...], told: Sequence[int]) -> Memory:
        seed = 1 + pseudo_random(32, name, (self.seed, *(a for a in args if isinstance(a, int))))
        return Memory(seed, dict(zip(told[::2], told[1::2], strict=True)))

    def _access_fault(self, mode: Mode, address: int, size: int, write: int, stack: int) -> int:
        ends = (address, address + size - 1 & (1 << 64) - 1)
        if not all(map(mode.has_canonical, ends)):
            return SS if stack else GP
        if not all(map(mode.owns, ends)):  # a page of the other half: Linux 6.18, Documentation/arch/x86/x86_64/mm.rst
            return self.faults.get((address, size, write), PF)
        if NOWHERE in self.faults:
            return self.faults[NOWHERE]
        if WIDE_STORES in self.faults and write and size == 8:
            return self.faults[WIDE_STORES]
        if EVERYWHERE in self.faults:
            return PF if pseudo_random(1, "page", (self.seed, address >> 12)) else NO_FAULT
        return self.faults.get((address, size, write), NO_FAULT)
