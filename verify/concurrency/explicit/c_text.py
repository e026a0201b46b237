"""Text of the C engine: what is generated for one model, and with it the whole program."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import factorial
from typing import Final

from verify.concurrency.explicit.c_search import HEAD, LOOP, MEMORY, TABLE
from verify.concurrency.instance.dag import Node
from verify.concurrency.instance.instance import Model, Transition
from verify.concurrency.instance.program_text import (
    C_WITHOUT_BRANCHES,
    Group,
    Writer,
    c_dialect,
    grouped,
    outcomes,
    shared,
    step_numbers,
)
from verify.concurrency.instance.vectors import sorting_network

LEAST = 24  # bits of a word: the table has 2^12 lines at least
FACTOR: Final = 0xD1342543DE82EF95_9E3779B97F4A7C15  # odd; multiplication by it mixes the bits of a state
OBSERVED = replace(C_WITHOUT_BRANCHES, word="((number)({0}))")  # as wide as a state, for vectors of states

WHOLE: Final = """\
static state representative(state n) { return n; }
static uint64_t orbit_size(state n) { (void)n; return 1; }"""


def source(model: Model, symmetric: bool) -> str:
    """The C program of one model."""
    word, writer = ("uint64_t" if model.bits < 64 else "unsigned __int128"), Writer(model, c_dialect(model))
    bits = max(LEAST, model.bits)
    starts = ", ".join(writer.wide(state) for state in model.initial)
    definitions = [
        f"typedef {word} state;",
        f"#define BITS {bits}",
        f"#define MASK {writer.wide((1 << bits) - 1)}",
        f"#define FACTOR {writer.wide(FACTOR % (1 << bits))}",
        f"#define MOVES {len(model.transitions)}",
        f"#define STEPS {max(1, len(step_numbers(model)))}",
        "static char taken[STEPS];",
        f"#define SYMMETRIC {int(symmetric)}",
        f"static const state initial[] = {{{starts}}};",
    ]
    observe = _observe(model, Writer(model, OBSERVED))
    orbits = _orbits(model, writer) if symmetric else WHOLE
    return "\n".join([HEAD, *definitions, _expand(model, writer), observe, orbits, MEMORY, TABLE, LOOP])


def _expand(model: Model, writer: Writer) -> str:
    """The successors of a batch. The states are sorted by the cell that a group of transitions tests, so that the
    processor need not guess where a state goes next."""
    groups, rest = grouped(model)
    values = max([1, *(1 << group.slot.width for group in groups)])
    lines = [
        "static state broken; /* the state in which a check failed */",
        "static int64_t expand(const state *from, unsigned many, state *out) { /* their number, or -1 - transition */",
        "  state *const first = out;",
        f"  static uint16_t sorted[{values}][BATCH];",
        f"  unsigned count[{values}];",
    ]
    for group in groups:
        lines += _group(writer, group)
    if rest:
        lines += ["  for (unsigned i = 0; i < many; i++) {", "    const state n = from[i];"]
        lines += _transitions(writer, tuple((transition, (transition.guard,)) for transition in rest))
        lines.append("  }")
    return "\n".join([*lines, "  return out - first;", "}"])


def _group(writer: Writer, group: Group) -> list[str]:
    lo = group.slot.lo
    lines = [
        "  memset(count, 0, sizeof count);",
        "  for (unsigned i = 0; i < many; i++) {",
        "    const state n = from[i];",
        f"    const unsigned value = (unsigned)({writer.read(group.slot)} - {lo});",
        "    sorted[value][count[value]++] = (uint16_t)i;",
        "  }",
    ]
    for value, items in group.cases:
        lines += [
            f"  for (unsigned j = 0; j < count[{value - lo}]; j++) {{",
            f"    const unsigned i = sorted[{value - lo}][j];",
            "    const state n = from[i];",
            *_transitions(writer, items),
            "  }",
        ]
    return lines


def _transitions(writer: Writer, items: tuple[tuple[Transition, tuple[Node, ...]], ...]) -> list[str]:
    """The transitions of state `n`, number `i` of its batch, each with the conjuncts that its guard has left."""
    lines: list[str] = []
    used = _named(writer, [part for _, left in items for part in left], {}, lines, "    ")
    for transition, left in items:
        condition = " && ".join(writer.expression(part, used) for part in left) or "1"
        lines.append(f"    if ({condition}) {{")
        inner = _named(writer, outcomes(transition), used, lines, "      ")
        for check in transition.checks:
            failed = f"broken = n; return {-1 - transition.number};"
            lines.append(f"      if (!{writer.expression(check.holds, inner)}) {{ {failed} }}")
        lines += [f"      *out++ = {writer.successor(transition, inner)};", "      moves[i]++;"]
        lines += [f"      taken[{step_numbers(writer.model)[transition.step.name]}] = 1;", "    }"]
    return lines


def _named(
    writer: Writer, nodes: Iterable[Node], used: dict[int, str], lines: list[str], indent: str
) -> dict[int, str]:
    """`used` with a variable for each node that several of `nodes` need; `lines` gets the variables."""
    names = dict(used)
    for node in shared(nodes):
        if node.number not in names:
            lines.append(f"{indent}const number v{node.number} = {writer.expression(node, names)};")
            names[node.number] = f"v{node.number}"
    return names


def _observe(model: Model, writer: Writer) -> str:
    nodes = [item.node for item in model.observations]
    lines = ["static inline __attribute__((always_inline)) uint64_t observe(state n) {"]
    used = _named(writer, nodes, {}, lines, "  ")
    bits = [f"((uint64_t)({writer.expression(node, used)} != 0) << {i})" for i, node in enumerate(nodes)]
    lines += ["  (void)n;", f"  return {' | '.join(bits) or '0'};", "}"]
    lines.append(f"static int terminal(state n) {{ (void)n; return {writer.expression(model.terminal, {})}; }}")
    return "\n".join(lines)


def _orbits(model: Model, writer: Writer) -> str:
    """Representative and size of an orbit; see `vectors.Orbits`."""
    ids, width, count = model.identities, model.record, model.threads
    keys = [f"  uint64_t k[{count}];"]
    for thread in range(count):
        key = f"(uint64_t)((n >> {thread * width}) & {writer.wide((1 << width) - 1)})"
        for slot in ids:
            key = f"({key} << 1 | ({writer.read(slot)} == {thread + 1}))"
        keys.append(f"  k[{thread}] = {key};")
    swaps = [
        f"  {{ uint64_t a = k[{low}], b = k[{high}], c = a < b; k[{low}] = c ? a : b; k[{high}] = c ? b : a; }}"
        for low, high in sorting_network(count)
    ]
    moved = (1 << (width * count)) - 1
    for slot in ids:
        moved |= ((1 << slot.width) - 1) << slot.offset
    parts = [f"(n & {writer.wide(((1 << model.bits) - 1) & ~moved)})"]
    for position in range(count):
        parts.append(f"((state)(k[{position}] >> {len(ids)}) << {position * width})")
        for bit, slot in enumerate(reversed(ids)):
            parts.append(f"((state)(((k[{position}] >> {bit}) & 1) * {position + 1}) << {slot.offset})")
    runs = [f"  r = k[{i}] == k[{i - 1}] ? r + 1 : 1; w /= r;" for i in range(1, count)]
    lines = [
        "static state representative(state n) {", *keys, *swaps, f"  return {' | '.join(parts)};", "}",
        "static uint64_t orbit_size(state n) {", *keys, f"  uint64_t w = {factorial(count)}ull, r = 1;", *runs,
        "  (void)r; (void)k; return w;", "}",
    ]  # fmt: skip
    return "\n".join(lines)
