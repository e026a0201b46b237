"""Terms of bit-vectors evaluated in many states at once, by the definitions of SMT-LIB on single bits.

A bit is an integer whose i-th bit is its value in state i, a term a tuple of them, the lowest first.  Variables of few
bits together take all their values; others take corners and random values.  Shares no code with `verify.terms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from verify.terms import Term, postorder

Bits = tuple[int, ...]


class Tables:
    """States of some variables; `whole` says whether they are all there are."""

    def __init__(self, roots: Sequence[Term], most: int, sampled: int, rng: Random) -> None:
        self.terms = tuple(postorder(roots))
        variables = [t for t in self.terms if t.op == "var"]
        bits = sum(t.width for t in variables)
        self.whole = bits <= most
        self.states = 1 << bits if self.whole else sampled
        self.true = (1 << self.states) - 1
        self.found: dict[Term, Bits] = {}
        at = 0
        for t in variables:
            place = range(at, at + t.width)
            self.found[t] = tuple(map(self._column, place)) if self.whole else self._sample(t.width, rng)
            at += t.width
        for t in self.terms:
            if t.op != "var":
                self.found[t] = self._value(t, [self.found[a] for a in t.args])

    def _column(self, number: int) -> int:
        """The bit of that number of the state's own number."""
        return self.true ^ self.true // ((1 << (1 << number)) + 1)

    def _sample(self, width: int, rng: Random) -> Bits:
        """Every second value a corner, so that two variables meet in all pairs of corners."""
        top = 1 << width
        corners = [0, 1, 2, width - 1, width, width + 1, top >> 1, (top >> 1) - 1, top - 1, top - 2, top - 3]
        values = [rng.choice(corners) % top if rng.random() < 0.5 else rng.getrandbits(width)
                  for _ in range(self.states)]  # fmt: skip
        rows = [f"{v:0{width}b}" for v in reversed(values)]
        return tuple(int("".join(column), 2) for column in zip(*rows, strict=True))[::-1]

    def _number(self, value: int, width: int) -> Bits:
        return tuple(self.true if value >> i & 1 else 0 for i in range(width))

    def _value(self, t: Term, a: list[Bits]) -> Bits:
        found = self._defined(t, a)
        assert len(found) == t.width, f"{t.op} of {len(found)} bits is said to have {t.width}"
        return found

    def _defined(self, t: Term, a: list[Bits]) -> Bits:
        match t.op:
            case "const":
                return self._number(t.params[0], t.width)
            case "and":
                return tuple(x & y for x, y in zip(*a, strict=True))
            case "or":
                return tuple(x | y for x, y in zip(*a, strict=True))
            case "xor":
                return tuple(x ^ y for x, y in zip(*a, strict=True))
            case "not":
                return tuple(x ^ self.true for x in a[0])
            case "extract":
                high, low = t.params
                assert 0 <= low <= high < len(a[0]), f"bits {high}..{low} of {len(a[0])}"
                return a[0][low : high + 1]
            case "concat":
                return a[1] + a[0]
            case "zext" | "sext":
                assert t.width >= len(a[0]), f"{t.op} of {len(a[0])} bits to {t.width}"
                return a[0] + (0 if t.op == "zext" else a[0][-1],) * (t.width - len(a[0]))
            case "eq":
                return (self.true ^ self._differ(a[0], a[1]),)
            case "ult":
                return (self._below(a[0], a[1]),)
            case "slt":
                return (self._below(self._biased(a[0]), self._biased(a[1])),)
            case "ite":
                assert len(a[0]) == 1
                return self._chosen(a[0][0], a[1], a[2])
            case _:
                return self._calculated(t, a)

    def _calculated(self, t: Term, a: list[Bits]) -> Bits:
        match t.op:
            case "sum":
                total = self._number(t.params[0], t.width)
                for x, c in zip(a, t.params[1:], strict=True):
                    if c == (1 << t.width) - 1:
                        total = self._minus(total, x)
                    else:
                        total = self._total(total, self._product(self._number(c, t.width), x))
                return total
            case "mul":
                return self._product(*a)
            case "shl" | "lshr" | "ashr":
                return self._shifted(t.op, *a)
            case "udiv" | "urem":
                return self._divided(*a)[t.op == "urem"]
            case "sdiv" | "srem":
                signs = a[0][-1], a[1][-1]
                quotient, rest = self._divided(*(self._signed(s, x) for s, x in zip(signs, a, strict=True)))
                return self._signed(signs[0] ^ signs[1], quotient) if t.op == "sdiv" else self._signed(signs[0], rest)
        raise AssertionError(t.op)

    def _differ(self, x: Bits, y: Bits) -> int:
        found = 0
        for i, j in zip(x, y, strict=True):
            found |= i ^ j
        return found

    def _below(self, x: Bits, y: Bits) -> int:
        less = 0
        for i, j in zip(x, y, strict=True):  # the highest bit that differs decides, so it comes last
            less = (~i & j | ~(i ^ j) & less) & self.true
        return less

    def _biased(self, x: Bits) -> Bits:
        return (*x[:-1], x[-1] ^ self.true)

    def _chosen(self, condition: int, x: Bits, y: Bits) -> Bits:
        return tuple(condition & i | ~condition & j for i, j in zip(x, y, strict=True))

    def _total(self, x: Bits, y: Bits, carry: int = 0) -> Bits:
        found = []
        for i, j in zip(x, y, strict=True):
            found.append(i ^ j ^ carry)
            carry = i & j | carry & (i ^ j)
        return tuple(found)

    def _minus(self, x: Bits, y: Bits) -> Bits:
        return self._total(x, tuple(i ^ self.true for i in y), self.true)

    def _product(self, x: Bits, y: Bits) -> Bits:
        width = len(x)
        total = (0,) * width
        for n, i in enumerate(x):
            if i:
                total = self._total(total, (0,) * n + tuple(i & j for j in y[: width - n]))
        return total

    def _shifted(self, op: str, x: Bits, count: Bits) -> Bits:
        width = len(x)
        new = x[-1] if op == "ashr" else 0
        digits = (width - 1).bit_length()
        for n, i in enumerate(count[:digits]):
            by = min(1 << n, width)
            moved = (0,) * by + x[: width - by] if op == "shl" else x[by:] + (new,) * by
            x = self._chosen(i, moved, x)
        return self._chosen(self._differ(count[digits:], (0,) * len(count[digits:])), (new,) * width, x)

    def _divided(self, x: Bits, y: Bits) -> tuple[Bits, Bits]:
        """Quotient and rest, digit by digit; a divisor of 0 is never too large, which gives SMT-LIB's all ones."""
        divisor, rest = (*y, 0), (0,) * (len(x) + 1)
        quotient: list[int] = []
        for i in reversed(x):
            rest = (i, *rest[:-1])
            goes = self.true ^ self._below(rest, divisor)
            rest = self._chosen(goes, self._minus(rest, divisor), rest)
            quotient.insert(0, goes)
        return tuple(quotient), rest[:-1]

    def _signed(self, sign: int, x: Bits) -> Bits:
        return self._chosen(sign, self._minus((0,) * len(x), x), x)

    def holds(self, condition: Term) -> bool:
        """Whether a one-bit term is 1 in some state."""
        return self.found[condition] != (0,)
