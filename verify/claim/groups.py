"""Which encodings of a form are of one class, found once for all forms whose encodings are alike.

A class key (`probes`) reads of an encoding its layout, its bytes, what its opcode is to the key (`read_of_opcode`),
the vendor, why it is undefined, the plan, and what the library makes of a copy that is not the original.  Where all of
that is the same for two forms, encoding by encoding, but for the byte that names the opcode, keys are equal at the same
places in both.  Whatever is kept here saves time alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from verify.claim.copies import code_bytes, is_plain_code
from verify.claim.probes import padded, probe_of, read_of_opcode
from verify.models.schemes.code import Code
from verify.models.schemes.program import Program
from verify.models.schemes.program_text import shape
from verify.models.schemes.scheme import Plan, Scheme
from verify.models.x86.isa.decode import library_reads
from verify.models.x86.isa.encode import Placed

MOST: Final = 1024  # groups that are kept
MOST_PLANS: Final = 1 << 14
Copy = tuple[bool, int, int]  # the original's opcode, length in bytes, which bits differ from the original's


@dataclass(frozen=True, slots=True)
class Grouped:
    """By encoding its plan and the number of its class; None where the plan depends on what stands behind it."""

    plans: list[Plan]
    classes: tuple[int | None, ...]


class Groups:
    """The classes of a scheme's encodings, form by form; one process's alone."""

    def __init__(self, scheme: Scheme) -> None:
        self.scheme = scheme
        self._known: dict[tuple[object, ...], tuple[int | None, ...]] = {}
        self._numbers: dict[int, tuple[Plan, int, tuple[Code, ...]]] = {}  # by identity of the plan, which is kept
        self._by_value: dict[Plan, int] = {}

    def of(self, placed: Placed) -> Grouped:
        """The classes of the form's encodings with nothing known behind them: equal numbers, equal keys."""
        if len(self._by_value) >= MOST_PLANS:  # all at once: what is kept speaks of plans by number
            self._known, self._numbers, self._by_value = {}, {}, {}
        plans = [self.scheme.plan(padded(data)) for data in placed.data]
        looks = tuple(bool(self.scheme.continuations(data)) for data in placed.data)
        found = [self._numbered(plan) for plan in plans]
        copies = [
            _copy(code, data, placed) for data, (_, _, codes) in zip(placed.data, found, strict=True) for code in codes
        ]
        group = (
            placed.patterns, placed.cpu, placed.numbers, placed.faults, read_of_opcode(placed.form.opcode),
            tuple(n for _, n, _ in found), looks, tuple(copies),
        )  # fmt: skip
        classes = self._known.get(group)
        if classes is None:
            if len(self._known) >= MOST:
                self._known.clear()
            classes = self._known[group] = self._classes(placed, plans, looks)
        return Grouped(plans, classes)

    def _classes(self, placed: Placed, plans: list[Plan], looks: tuple[bool, ...]) -> tuple[int | None, ...]:
        numbers: dict[tuple[object, ...], int] = {}
        found: list[int | None] = []
        for decoded, plan, behind in zip(placed, plans, looks, strict=True):
            key = None if behind else probe_of(decoded, self.scheme, plan=plan).key
            found.append(None if key is None else numbers.setdefault(key, len(numbers)))
        return tuple(found)

    def _numbered(self, plan: Plan) -> tuple[Plan, int, tuple[Code, ...]]:
        """The plan, its number, and the code of it that is not the original's."""
        found = self._numbers.get(id(plan))
        if found is None or found[0] is not plan:
            number = self._by_value.setdefault(plan, len(self._by_value))
            codes = shape(plan).codes if isinstance(plan, Program) else ()
            found = self._numbers[id(plan)] = plan, number, tuple(c for c in codes if not is_plain_code(c))
        return found


def _copy(code: Code, data: bytes, placed: Placed) -> Copy:
    whole = padded(data)
    copy = code_bytes(code, whole)
    read, length = library_reads(copy, placed.cpu)
    differ = int.from_bytes(copy, "little") ^ int.from_bytes(whole[:16], "little")
    return read == placed.form.opcode.code, length, differ
