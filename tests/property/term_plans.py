"""Random plans: operations as a graph before any rewriting, over every constructor and widths of 1 to 512 bits.

A plan is built by the constructors (rewritten), as nodes that nothing rewrites, and as Python integers by the
definitions of SMT-LIB, which share no code with the evaluation of terms.  Few different addresses, register numbers and
shared parts make reads meet writes, overlaps and the end of the address space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from verify import terms
from verify.terms import GPRS, MASKS, MEMORY, VECTORS, Array, Sort, Term, as_written, const, uf, var
from verify.terms.evaluation import Memory

WIDTHS = (1, 1, 1, 2, 3, 4, 5, 7, 8, 8, 9, 12, 16, 17, 31, 32, 33, 48, 64, 64, 64, 65, 80, 96, 128, 256, 511, 512, 512)
NARROW = 16  # bits up to which both factors or the divisor are unknown
LAST = (1 << 64) - 1
PLACES = (0x1000, 0x1001, 0x1007, LAST, LAST - 3, 0)
BINARY = ("add", "sub", "mul", "and_", "or_", "xor", "shl", "lshr", "ashr", "udiv", "urem", "sdiv", "srem")
FILES = {GPRS: ("g", "h"), VECTORS: ("v",), MASKS: ("k",)}


class Plan(NamedTuple):
    op: str
    args: tuple[Any, ...]  # plans
    params: tuple[Any, ...]
    sort: Sort


def constant(value: int, width: int) -> Plan:
    return Plan("const", (), (value % (1 << width),), width)


def variable(name: str, sort: Sort) -> Plan:
    return Plan("var", (), (name,), sort)


class Grower:
    """Makes plans of one seed; parts made before are used again."""

    def __init__(self, seed: object, widest: int = 512) -> None:
        self.rng, self.apart = Random(str(seed)), Random(f"apart {seed}")
        self.widths = [w for w in WIDTHS if w <= widest]
        self.widest = widest
        self.made: dict[Sort, list[Plan]] = {}

    def width(self) -> int:
        return self.rng.choice(self.widths) if self.rng.random() < 0.8 else self.rng.randrange(1, self.widest + 1)

    def plan(self, sort: Sort, depth: int) -> Plan:
        before = self.made.setdefault(sort, [])
        if before and self.rng.random() < 0.3:
            return self.rng.choice(before)
        if depth <= 0 or self.rng.random() < 0.1:
            found = self.leaf(sort)
        elif isinstance(sort, int):
            kinds = [(weight, made) for weight, fits, made in KINDS if fits(sort)]
            chosen = self.rng.choices([made for _, made in kinds], [weight for weight, _ in kinds])[0]
            found = chosen(self, sort, depth - 1)
        elif isinstance(sort, Array):
            found = self.file(sort, depth - 1)
        else:
            found = self.memory(depth - 1)
        assert found.sort == sort, (found.op, found.sort, sort)
        before.append(found)
        return found

    def leaf(self, sort: Sort) -> Plan:
        if isinstance(sort, int):
            if self.rng.random() < 0.4:
                return self.number(sort)
            return variable(f"{self.rng.choice('abc')}{sort}", sort)
        return variable(self.rng.choice(FILES[sort]) if isinstance(sort, Array) else self.rng.choice("mo"), sort)

    def number(self, width: int) -> Plan:
        ones = (1 << width) - 1
        high = 1 << (width - 1)
        corners = (0, 1, ones, ones >> 1, high, width, width - 1, 2, self.rng.getrandbits(width), ones - 1)
        return constant(self.rng.choice(corners), width)

    def index(self, sort: Array) -> Plan:
        width = sort.index_bits
        chosen = (constant(self.rng.choice((3, 4)), width), variable("n" + str(width), width), self.plan(width, 1))
        return self.rng.choice(chosen)

    def file(self, sort: Array, depth: int) -> Plan:
        if self.rng.random() < 0.25:
            return Plan("ite", (self.plan(1, depth), self.plan(sort, depth), self.plan(sort, depth)), (), sort)
        array, index = self.plan(sort, depth), self.index(sort)
        if self.rng.random() < 0.15:
            return Plan("store", (array, index, Plan("select", (array, index), (), sort.value_bits)), (), sort)
        if array.op == "store" and self.rng.random() < 0.25:
            index = array.args[1]
        return Plan("store", (array, index, self.plan(sort.value_bits, depth - 1)), (), sort)

    def memory(self, depth: int) -> Plan:
        if self.rng.random() < 0.15:
            return Plan("ite", (self.plan(1, depth), self.plan(MEMORY, depth), self.plan(MEMORY, depth)), (), MEMORY)
        old = self.plan(MEMORY, depth)
        address, width = self.address(), 8 * self.size()
        if old.op == "write" and self.rng.random() < 0.5:
            address = old.args[1]
            width = old.args[2].sort if self.rng.random() < 0.5 else width
        value = self.plan(width, depth - 1)
        if self.apart.random() < 0.2:  # what is there is written
            value = Plan("load", (old, address), (width // 8,), width)
        return Plan("write", (old, address, value), (), MEMORY)

    def size(self) -> int:
        return self.rng.choice((1, 1, 2, 2, 3, 4, 8, 16, self.rng.randrange(1, 1 + self.widest // 8)))

    def address(self) -> Plan:
        base = self.rng.choice((constant(self.rng.choice(PLACES), 64), variable("a64", 64), variable("a64", 64)))
        if self.rng.random() < 0.5:
            return base
        return Plan("add", (base, constant(self.rng.choice((1, 2, 7, 8, LAST, LAST - 1)), 64)), (), 64)

    # bit-vectors

    def binary(self, width: int, depth: int) -> Plan:
        op = self.rng.choice(BINARY)
        first = self.plan(width, depth)
        second = first if self.rng.random() < 0.1 else self.plan(width, depth)
        heavy = op == "mul" or op.endswith(("div", "rem"))
        if heavy and width > NARROW:
            second = self.number(width)
            first = self.number(width) if self.rng.random() < 0.4 else first
        if op == "mul" and self.rng.random() < 0.3:
            first, second = second, first
        return Plan(op, (first, second), (), width)

    def unary(self, width: int, depth: int) -> Plan:
        op = self.rng.choice(("not_", "neg", "not_"))
        inner = self.plan(width, depth)
        return Plan(op, (Plan(op, (inner,), (), width) if self.rng.random() < 0.2 else inner,), (), width)

    def complements(self, width: int, depth: int) -> Plan:
        """What cancels: x with ~x, with 0 or with all ones."""
        x, op = self.plan(width, depth), self.rng.choice(("and_", "or_", "xor", "add", "sub"))
        other = self.rng.choice((Plan("not_", (x,), (), width), constant(0, width), constant(-1, width), x))
        return Plan(op, (other, x) if self.rng.random() < 0.5 else (x, other), (), width)

    def masks(self, width: int, depth: int) -> Plan:
        """(x & m) | (x & ~m), and others that look like it."""
        x, m = self.plan(width, depth), self.plan(width, 0)
        other = constant(~m.params[0], width) if m.op == "const" else Plan("not_", (m,), (), width)
        parts = [x, m, x, other]
        if self.rng.random() < 0.6:
            place = self.rng.randrange(4)
            parts[place] = self.rng.choice((x, m, other, Plan("not_", (x,), (), width), self.plan(width, 0)))
        pairs = [tuple(parts[:2]), tuple(parts[2:])]
        pairs = [p[:: self.rng.choice((1, -1))] for p in pairs]
        return Plan("or_", tuple(Plan("and_", p, (), width) for p in pairs[:: self.rng.choice((1, -1))]), (), width)

    def shift(self, width: int, depth: int) -> Plan:
        """By a constant around the width; or by a count that is not one."""
        counts = (0, 1, width - 1, width, width + 1, -1, self.rng.getrandbits(8))
        count = constant(self.rng.choice(counts), width) if self.rng.random() < 0.8 else self.plan(width, 1)
        value = self.number(width) if self.rng.random() < 0.2 else self.plan(width, depth)
        return Plan(self.rng.choice(("shl", "lshr", "ashr")), (value, count), (), width)

    def sum(self, width: int, depth: int) -> Plan:
        """Several terms with coefficients."""
        total = self.number(width)
        for _ in range(self.rng.randrange(2, 5)):
            part = Plan("mul", (self.plan(width, depth - 1), self.number(width)), (), width)
            total = Plan(self.rng.choice(("add", "sub")), (total, part), (), width)
        return total

    def choice(self, width: int, depth: int) -> Plan:
        then, otherwise, condition = self.plan(width, depth), self.plan(width, depth), self.plan(1, depth)
        if self.rng.random() < 0.1:
            otherwise = then
        if self.rng.random() < 0.3:
            pair = (then, otherwise) if self.rng.random() < 0.7 else (otherwise, self.plan(width, 0))
            condition = Plan("eq", pair[:: self.rng.choice((1, -1))], (), 1)
        if self.rng.random() < 0.2:
            condition = Plan("not_", (condition,), (), 1)
        if width == 1 and self.rng.random() < 0.3:
            then, otherwise = constant(self.rng.getrandbits(1), 1), constant(self.rng.getrandbits(1), 1)
        found = Plan("ite", (condition, then, otherwise), (), width)
        return Plan("add", (found, self.plan(width, 0)), (), width) if self.rng.random() < 0.2 else found

    def slice(self, width: int, depth: int) -> Plan:
        wide = min(width + self.rng.choice((0, 1, 3, 8, width)), max(width, self.widest))
        low = self.rng.choice((0, 0, wide - width, self.rng.randrange(wide - width + 1)))
        return Plan("extract", (self.joined(wide, depth),), (low + width - 1, low), width)

    def joined(self, width: int, depth: int) -> Plan:
        """What slices look into: joined, extended, sliced, a sum, or anything."""
        kinds = [self.plan, self.sum, self.constants, self.slice if depth > 0 else self.plan]
        kinds += [self.join, self.extension] if width > 1 else []
        return self.rng.choice(kinds)(width, depth - 1)

    def constants(self, width: int, depth: int) -> Plan:
        return self.number(width)

    def join(self, width: int, depth: int) -> Plan:
        cut = self.rng.randrange(1, width)
        top, bottom = self.plan(width - cut, depth), self.plan(cut, depth)
        if self.rng.random() < 0.2:
            top = self.number(width - cut)
        if self.rng.random() < 0.2:
            bottom = self.number(cut)
        return Plan("concat", (top, bottom), (), width)

    def neighbours(self, width: int, depth: int) -> Plan:
        """Two pieces of one term, mostly adjacent; the lower one perhaps the first of two."""
        cut, gap = self.rng.randrange(1, width), self.rng.choice((0, 0, 0, 1))
        whole = self.plan(width + 3, depth)
        low = self.rng.choice((0, 1, 2))
        low = min(low, 3 - gap)
        top = Plan("extract", (whole,), (low + width - 1 + gap, low + cut + gap), width - cut)
        if self.rng.random() < 0.2:
            whole = self.plan(width + 3, depth)
        bottom = Plan("extract", (whole,), (low + cut - 1, low), cut)
        if cut > 1 and self.rng.random() < 0.4:
            half = self.rng.randrange(1, cut)
            first = Plan("extract", (whole,), (low + cut - 1, low + half), cut - half)
            bottom = Plan("concat", (first, self.plan(half, depth)), (), cut)
        return Plan("concat", (top, bottom), (), width)

    def extension(self, width: int, depth: int) -> Plan:
        op, inner = self.rng.choice(("zext", "sext")), self.rng.randrange(1, width + 1)
        part = self.number(inner) if self.rng.random() < 0.15 else self.plan(inner, depth)
        if inner > 1 and self.rng.random() < 0.4:
            small = self.plan(self.rng.randrange(1, inner + 1), depth)
            part = Plan(self.rng.choice(("zext", "sext")), (small,), (), inner)
        return Plan(op, (part,), (), width)

    def comparison(self, width: int, depth: int) -> Plan:
        op, w = self.rng.choice(("eq", "eq", "ult", "slt")), self.width()
        first = self.plan(w, depth)
        second = self.rng.choice((first, self.number(w), self.plan(w, depth), self.plan(w, depth)))
        if self.rng.random() < 0.3:  # sums that differ by a constant
            second = Plan(self.rng.choice(("add", "sub")), (first, self.number(w)), (), w)
        if self.rng.random() < 0.2:
            first = self.number(w)
        return Plan(op, (first, second), (), 1)

    def files(self, width: int, depth: int) -> Plan:
        """Two register files or memories."""
        sort = self.rng.choice((GPRS, VECTORS, MASKS, MEMORY))
        first = self.plan(sort, depth)
        return Plan("eq", (first, first if self.rng.random() < 0.1 else self.plan(sort, depth)), (), 1)

    def register(self, width: int, depth: int) -> Plan:
        sort = self.rng.choice([f for f in FILES if f.value_bits == width])
        array, index = self.plan(sort, depth + 1), self.index(sort)
        if array.op == "store" and self.rng.random() < 0.4:
            index = array.args[1]
        return Plan("select", (array, index), (), width)

    def load(self, width: int, depth: int) -> Plan:
        memory, address = self.plan(MEMORY, depth + 1), self.address()
        if memory.op == "write" and self.rng.random() < 0.5:
            address = memory.args[1]
        return Plan("load", (memory, address), (width // 8,), width)

    def datapath(self, width: int, depth: int) -> Plan:
        name = self.rng.choice(("f", "ADD.value", "SUB.value"))
        return Plan("uf", (self.plan(8, depth), self.plan(self.width(), depth)), (name,), width)


Kind = tuple[int, Callable[[int], bool], Callable[[Grower, int, int], Plan]]
KINDS: tuple[Kind, ...] = (  # weight, widths, what makes it
    (3, lambda w: True, Grower.binary),
    (1, lambda w: True, Grower.unary),
    (1, lambda w: True, Grower.complements),
    (1, lambda w: True, Grower.masks),
    (1, lambda w: True, Grower.shift),
    (1, lambda w: True, Grower.sum),
    (2, lambda w: True, Grower.choice),
    (2, lambda w: True, Grower.slice),
    (1, lambda w: True, Grower.datapath),
    (1, lambda w: w > 1, Grower.join),
    (1, lambda w: w > 1, Grower.neighbours),
    (1, lambda w: w > 1, Grower.extension),
    (6, lambda w: w == 1, Grower.comparison),
    (3, lambda w: w == 1, Grower.files),
    (8, lambda w: w in {64, 512}, Grower.register),
    (2, lambda w: w % 8 == 0, Grower.load),
)


def plans(seed: object, count: int, widest: int = 512) -> Iterator[Plan]:
    """So many plans of bit-vector sort, each from its own grower."""
    for number in range(count):
        grower = Grower((seed, number), widest)
        yield grower.plan(grower.width(), grower.rng.randrange(1, 4))


def written_back() -> Plan:
    """Whether a memory is what it is when what is there has been written."""
    memory, address = variable("m", MEMORY), variable("a64", 64)
    there = Plan("load", (memory, address), (2,), 16)
    return Plan("eq", (Plan("write", (memory, address, there), (), MEMORY), memory), (), 1)


def folded(plan: Plan, of: Callable[[Plan, list[Any]], Any]) -> Any:
    """`of` every plan and what it was of its arguments, each part once."""
    done: dict[int, Any] = {}

    def visited(p: Plan) -> Any:
        if id(p) not in done:
            done[id(p)] = of(p, [visited(a) for a in p.args])
        return done[id(p)]

    return visited(plan)


def rewritten(plan: Plan, made: Any = terms) -> Term:
    """Through constructors."""

    def of(p: Plan, args: list[Term]) -> Term:
        match p.op:
            case "const":
                return const(p.params[0], p.sort)
            case "var":
                return var(p.params[0], p.sort)
            case "uf":
                return uf(p.params[0], p.sort, *args)
            case "zext" | "sext":
                return getattr(made, p.op)(args[0], p.sort)
            case _:
                return getattr(made, p.op)(*args, *p.params)

    return folded(plan, of)


def plain(plan: Plan) -> Term:
    """As nodes that nothing folds or rewrites."""

    def of(p: Plan, args: list[Term]) -> Term:
        if p.op in {"add", "sub", "neg"}:
            minus = (1 << p.sort) - 1
            params = {"add": (0, 1, 1), "sub": (0, 1, minus), "neg": (0, minus)}[p.op]
            return as_written("sum", tuple(args), params, p.sort)
        return as_written(p.op.rstrip("_"), tuple(args), p.params, p.sort)

    return folded(plan, of)


def signed(x: int, width: int) -> int:
    return x - (1 << width) if x >> (width - 1) else x


def divided(op: str, x: int, y: int, width: int) -> int:
    """SMT-LIB, FixedSizeBitVectors: bvudiv and bvurem by zero give all ones and the dividend; signed by magnitudes."""
    if op in {"udiv", "urem"}:
        return ((1 << width) - 1 if op == "udiv" else x) if y == 0 else (x // y if op == "udiv" else x % y)
    mask = (1 << width) - 1
    sx, sy = x >> (width - 1), y >> (width - 1)
    big = divided("udiv" if op == "sdiv" else "urem", -x & mask if sx else x, -y & mask if sy else y, width)
    negative = sx ^ sy if op == "sdiv" else sx
    return -big & mask if negative else big


class Answers:
    """What uninterpreted functions are: some sum of their arguments, of the name's last part and of the width."""

    def function(self, name: str, sort: Any, args: tuple[int, ...]) -> int:
        total = sum((2 * i + 3) * a for i, a in enumerate(args))
        last = sum(map(ord, name.rpartition(".")[2]))
        return (total * 0x9E3779B97F4A7C15 + last) % (1 << sort)


def value(plan: Plan, env: dict[str, Any]) -> Any:
    """On integers, by definition; memories are dictionaries of bytes."""
    return folded(plan, lambda p, a: _value(p, a, env))


def _value(plan: Plan, a: list[Any], env: dict[str, Any]) -> Any:
    width = plan.sort if isinstance(plan.sort, int) else 0
    whole = 2**width
    match plan.op:
        case "const":
            return plan.params[0]
        case "var":
            return env[plan.params[0]]
        case "add":
            return (a[0] + a[1]) % whole
        case "sub":
            return (a[0] - a[1]) % whole
        case "mul":
            return a[0] * a[1] % whole
        case "neg":
            return -a[0] % whole
        case "and_":
            return a[0] & a[1]
        case "or_":
            return a[0] | a[1]
        case "xor":
            return a[0] ^ a[1]
        case "not_":
            return whole - 1 - a[0]
        case "shl":
            return a[0] * 2 ** min(a[1], width) % whole
        case "lshr":
            return a[0] // 2 ** min(a[1], width)
        case "ashr":
            return signed(a[0], width) // 2 ** min(a[1], width) % whole
        case "udiv" | "urem" | "sdiv" | "srem":
            return divided(plan.op, a[0], a[1], width)
        case "extract":
            high, low = plan.params
            return a[0] // 2**low % 2 ** (high - low + 1)
        case "concat":
            return a[0] * 2 ** plan.args[1].sort + a[1]
        case "zext":
            return a[0]
        case "sext":
            return signed(a[0], plan.args[0].sort) % whole
        case "eq":
            return int(a[0] == a[1]) if plan.args[0].sort != MEMORY else int(same_bytes(a[0], a[1]))
        case "ult":
            return int(a[0] < a[1])
        case "slt":
            w = plan.args[0].sort
            return int(signed(a[0], w) < signed(a[1], w))
        case "ite":
            return a[1] if a[0] else a[2]
        case "select":
            return a[0][a[1]]
        case "store":
            return tuple(a[2] if i == a[1] else x for i, x in enumerate(a[0]))
        case "write":
            size = plan.args[2].sort // 8
            return a[0] | {(a[1] + i) % 2**64: a[2] // 256**i % 256 for i in range(size)}
        case "load":
            return sum(a[0].get((a[1] + i) % 2**64, 0) * 256**i for i in range(plan.params[0]))
        case "uf":
            return Answers().function(plan.params[0], plan.sort, tuple(a))
    raise AssertionError(plan.op)


def same_bytes(a: dict[int, int], b: dict[int, int]) -> bool:
    return all(a.get(n, 0) == b.get(n, 0) for n in a.keys() | b.keys())


def environment(rng: Random, plan: Plan) -> dict[str, Any]:
    """Values of the plan's variables, as `value` takes them."""
    env: dict[str, Any] = {}

    def of(p: Plan, _: list[Any]) -> None:
        if p.op == "var" and p.params[0] not in env:
            env[p.params[0]] = some(rng, p.sort)

    folded(plan, of)
    return env


def states(env: dict[str, Any]) -> dict[str, Any]:
    """An environment as the evaluator of terms takes it."""
    return {n: Memory(0, v) if isinstance(v, dict) else v for n, v in env.items()}


def some(rng: Random, sort: Sort) -> Any:
    if sort == MEMORY:
        near = [(p + i) % 2**64 for p in PLACES for i in range(-2, 10)]
        return {a: rng.randrange(256) for a in near}
    if isinstance(sort, Array):
        return tuple(rng.getrandbits(sort.value_bits) for _ in range(1 << sort.index_bits))
    full = rng.getrandbits(sort)
    corners = (0, 1, full, full, full & 3, (1 << sort) - 1, 1 << (sort - 1), 0x1001 % (1 << sort))
    return rng.choice(corners)
