"""Terms evaluated on Python integers: compiled once, run on many states.

A bit-vector is an unsigned int, a register file a tuple of ints, a memory a `Memory`.  What a proof leaves
uninterpreted is given by a `Interpretation`: page faults from a map, and datapaths as a fixed pseudo-random function
of their arguments, so that a replay shows a deviation for some datapath rather than for a convenient one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol, cast

from verify.terms import Sort, Term, postorder

OFTEN: Final = 12  # runs after which a program is compiled


class Loadable(Protocol):
    """The value of a memory."""

    def load(self, address: int, size: int) -> int:
        """`size` bytes at a 64-bit address, little-endian."""

    def write(self, address: int, value: int, size: int) -> Loadable:
        """The memory with `size` bytes replaced."""


Value = int | Sequence[int] | Loadable  # of a bit-vector, a register file, a memory


def number(value: Value) -> int:
    """The value of a bit-vector.  Raises TypeError for that of another sort."""
    if not isinstance(value, int):
        raise TypeError(f"expected the value of a bit-vector, got {type(value).__name__}")
    return value


def register_file(value: Value) -> Sequence[int]:
    """The value of a register file.  Raises TypeError for that of another sort."""
    if not isinstance(value, Sequence):
        raise TypeError(f"expected the value of a register file, got {type(value).__name__}")
    return value


def bytes_of(value: Value, address: int, size: int) -> bytes:
    """`size` bytes at an address of a memory.  Raises TypeError for the value of another sort."""
    if isinstance(value, int | Sequence):
        raise TypeError(f"expected the value of a memory, got {type(value).__name__}")
    return value.load(address, size).to_bytes(size, "little")


class Interpretation(Protocol):
    """The values of what terms leave uninterpreted."""

    def function(self, name: str, sort: Sort, args: tuple[Value, ...]) -> Value:
        """The value of an uninterpreted function of a sort at some arguments."""


class Closed:
    """The interpretation of terms that leave nothing uninterpreted."""

    def function(self, name: str, sort: Sort, args: tuple[Value, ...]) -> Value:
        """Raises ValueError: there is no such function."""
        raise ValueError(f"{name} has no interpretation")


Evaluator = Callable[[Mapping[str, Value], "Interpretation"], tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by address; what is not written is 0 or, with a seed, a pseudo-random byte of the address."""

    seed: int = 0
    written: Mapping[int, int] = field(default_factory=dict)

    def byte(self, address: int) -> int:
        """The byte at a 64-bit address."""
        address &= (1 << 64) - 1
        found = self.written.get(address)
        if found is not None:
            return found
        return _block(self.seed, address >> 6)[address & 63] if self.seed else 0

    def load(self, address: int, size: int) -> int:
        """`size` bytes, little-endian."""
        if self.written:
            return int.from_bytes(bytes(self.byte(address + i) for i in range(size)), "little")
        return int.from_bytes(self._unwritten(address & ((1 << 64) - 1), size), "little") if self.seed else 0

    def _unwritten(self, address: int, size: int) -> bytes:
        """What is there where nothing is written, block by block; addresses wrap round."""
        first, last = address >> 6, (address + size - 1) >> 6
        blocks = b"".join(_block(self.seed, number & ((1 << 58) - 1)) for number in range(first, last + 1))
        return blocks[address & 63 : (address & 63) + size]

    def write(self, address: int, value: int, size: int) -> Memory:
        """The memory with `size` bytes replaced."""
        written = dict(self.written)
        for i in range(size):
            written[(address + i) & ((1 << 64) - 1)] = value >> (8 * i) & 0xFF
        return Memory(self.seed, written)

    def same(self, other: Memory) -> bool:
        """Whether every byte is the same."""
        touched = self.written.keys() | other.written.keys()
        return self.seed == other.seed and all(self.byte(a) == other.byte(a) for a in touched)


def pseudo_random(width: int, name: str, args: tuple[Value, ...]) -> int:
    """An unsigned integer of `width` bits, the same for the same name and arguments."""
    text = f"{name} {width} {' '.join(_text(a) for a in args)}"
    repeats = -(-width // 512)  # a datapath wider than a hash repeats it
    digest = blake2b(text.encode(), digest_size=64).digest() * repeats
    return int.from_bytes(digest, "little") & ((1 << width) - 1)


def _text(value: Value) -> str:
    return f"{value:x}" if isinstance(value, int) else repr(value)


@lru_cache(maxsize=4096)
def _block(seed: int, number: int) -> bytes:
    """64 pseudo-random bytes."""
    return blake2b(f"{seed} {number}".encode(), digest_size=64).digest()


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


def _divide(op: str, x: int, y: int, width: int) -> int:
    mask = (1 << width) - 1
    if op in {"udiv", "urem"}:
        return (x // y if y else mask) if op == "udiv" else (x % y if y else x)
    a, b = _signed(x, width), _signed(y, width)
    if b == 0:
        return (mask if a >= 0 else 1) if op == "sdiv" else x
    q = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return (q if op == "sdiv" else a - q * b) & mask


def _shift(op: str, value: int, count: int, width: int) -> int:
    if op == "shl":
        return value << count & ((1 << width) - 1) if count < width else 0
    if op == "lshr":
        return value >> count if count < width else 0
    return _signed(value, width) >> min(count, width - 1) & ((1 << width) - 1)


class Replaceable(Protocol):
    """A register file that is no tuple."""

    def replaced(self, number: int, value: int) -> Sequence[int]:
        """The file with one register replaced."""


def _replaced(array: tuple[int, ...] | Replaceable, index: int, value: int) -> Sequence[int]:
    """A register file with one register replaced."""
    if isinstance(array, tuple):
        return (*array[:index], value, *array[index + 1 :])
    return array.replaced(index, value)


def _equal(a: Value, b: Value) -> int:
    return int(a.same(b)) if isinstance(a, Memory) and isinstance(b, Memory) else int(a == b)


_NAMES: Final[dict[str, Callable[..., int | Sequence[int]]]] = {
    "signed": _signed, "divide": _divide, "shift": _shift, "replaced": _replaced, "equal": _equal,
}  # fmt: skip
_BITWISE = {"and": "&", "or": "|", "xor": "^"}


class Node(NamedTuple):
    """One operation of a program; `args` are the positions of earlier nodes."""

    op: str
    sort: Sort
    params: tuple[int | str, ...]
    args: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TermProgram:
    """Terms written one after the other, arguments first."""

    nodes: tuple[Node, ...]
    roots: tuple[int, ...]

    def sorts(self, node: Node) -> tuple[Sort, ...]:
        """The sorts of a node's arguments."""
        return tuple(self.nodes[i].sort for i in node.args)


def program(roots: Sequence[Term]) -> TermProgram:
    """The terms as a program."""
    number: dict[Term, int] = {}
    nodes: list[Node] = []
    for t in postorder(roots):
        number[t] = len(nodes)
        nodes.append(Node(t.op, t.sort, t.params, tuple(number[a] for a in t.args)))
    return TermProgram(tuple(nodes), tuple(number[r] for r in roots))


def _expression(op: str, p: tuple[int | str, ...], sort: Sort, a: Sequence[str], sorts: tuple[Sort, ...]) -> str:
    """Python source of one operation; `a` names the arguments, `sorts` are theirs."""
    mask = f"0x{(1 << sort) - 1:x}" if isinstance(sort, int) else ""
    match op:
        case "sum":
            parts = [str(p[0]), *(f"{c}*{x}" if c != 1 else x for c, x in zip(p[1:], a, strict=True))]
            return f"({' + '.join(parts)}) & {mask}"
        case "mul":
            return f"{a[0]} * {a[1]} & {mask}"
        case "and" | "or" | "xor":
            return f"{a[0]} {_BITWISE[op]} {a[1]}"
        case "not":
            return f"{a[0]} ^ {mask}"
        case "shl" | "lshr" | "ashr":
            return f"shift({op!r}, {a[0]}, {a[1]}, {sort})"
        case "udiv" | "urem" | "sdiv" | "srem":
            return f"divide({op!r}, {a[0]}, {a[1]}, {sort})"
        case "extract":
            return f"{a[0]} >> {p[1]} & {mask}"
        case "concat":
            return f"{a[0]} << {sorts[1]} | {a[1]}"
        case "zext":
            return a[0]
        case "sext":
            return f"signed({a[0]}, {sorts[0]}) & {mask}"
        case "eq":
            return f"int({a[0]} == {a[1]})" if isinstance(sorts[0], int) else f"equal({a[0]}, {a[1]})"
        case "ult":
            return f"int({a[0]} < {a[1]})"
        case "slt":
            return f"int(signed({a[0]}, {sorts[0]}) < signed({a[1]}, {sorts[0]}))"
        case "ite":
            return f"{a[1]} if {a[0]} else {a[2]}"
        case "select":
            return f"{a[0]}[{a[1]}]"
        case "store":
            return f"replaced({a[0]}, {a[1]}, {a[2]})"
        case "load":
            return f"{a[0]}.load({a[1]}, {p[0]})"
        case "write":
            assert isinstance(sorts[2], int)
            return f"{a[0]}.write({a[1]}, {a[2]}, {sorts[2] // 8})"
        case _:
            raise ValueError(f"no evaluation of operation {op}")


def compiled(source: TermProgram) -> Evaluator:
    """A function from an environment (variable name -> value) and a environment to the values of the roots."""
    names: list[str] = []
    sorts: dict[str, Sort] = {}
    lines = ["def evaluate(env, environment):"]
    for n in source.nodes:
        if n.op == "const":
            names.append(hex(int(n.params[0])))
            continue
        lines.append(f"    t{len(names)} = {_line(source, n, [names[i] for i in n.args], sorts)}")
        names.append(f"t{len(names)}")
    lines.append(f"    return ({''.join(names[r] + ', ' for r in source.roots)})")
    scope = {**_NAMES, **sorts}
    exec("\n".join(lines), scope)
    return cast(Evaluator, scope["evaluate"])


def _line(source: TermProgram, n: Node, args: list[str], sorts: dict[str, Sort]) -> str:
    if n.op == "var":
        return f"env[{n.params[0]!r}]"
    if n.op == "uf":
        sorts[f"s{len(sorts)}"] = n.sort
        return f"environment.function({n.params[0]!r}, s{len(sorts) - 1}, ({''.join(x + ', ' for x in args)}))"
    return _expression(n.op, n.params, n.sort, args, source.sorts(n))


@cache
def operation(op: str, params: tuple[int | str, ...], sort: Sort, sorts: tuple[Sort, ...]) -> Callable[..., Value]:
    """One operation as a function of its arguments; programs share them."""
    args = [f"a{i}" for i in range(len(sorts))]
    source = f"lambda {', '.join(args)}: {_expression(op, params, sort, args, sorts)}"
    return cast(Callable[..., Value], eval(source, {**_NAMES}))


def stepwise(source: TermProgram) -> Evaluator:
    """The same function as `compiled`, node by node: cheaper to make, about three times slower to run."""
    plain = [
        operation(n.op, n.params, n.sort, source.sorts(n)) if n.op not in {"const", "var", "uf"} else None
        for n in source.nodes
    ]

    def evaluate(env: Mapping[str, Value], environment: Interpretation) -> tuple[Value, ...]:
        values: list[Value] = []
        for made, (op, sort, params, positions) in zip(plain, source.nodes, strict=True):
            if made is not None:
                values.append(made(*[values[i] for i in positions]))
            elif op == "uf":
                values.append(environment.function(str(params[0]), sort, tuple(values[i] for i in positions)))
            else:
                values.append(int(params[0]) if op == "const" else env[str(params[0])])
        return tuple(values[r] for r in source.roots)

    return evaluate


class Adaptive:
    """Stepwise at first, compiled once it has run often enough to be worth it."""

    __slots__ = ("calls", "evaluator", "source")

    def __init__(self, source: TermProgram) -> None:
        self.source, self.calls, self.evaluator = source, 0, stepwise(source)

    def __call__(self, env: Mapping[str, Value], environment: Interpretation) -> tuple[Value, ...]:
        self.calls += 1
        if self.calls == OFTEN:
            self.evaluator = compiled(self.source)
        return self.evaluator(env, environment)


def evaluate(
    roots: Sequence[Term], env: Mapping[str, Value], environment: Interpretation | None = None
) -> tuple[Value, ...]:
    """The values of the roots, once; use `compiled` for many states."""
    return stepwise(program(roots))(env, environment or Closed())
