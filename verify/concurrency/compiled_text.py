"""Text of the C engine: the search, the same for every model, and the functions that are generated for one model."""

from __future__ import annotations

from math import factorial

from verify.concurrency.circuit import Node
from verify.concurrency.ground import Model, Transition
from verify.concurrency.text import C_WITHOUT_BRANCHES, C, Writer, grouped, outcomes, shared
from verify.concurrency.vectors import sorting_network

SEARCH = r"""
typedef unsigned __int128 count_t;
static uint64_t hash_of(state s) {
  uint64_t h = (uint64_t)s;
  if (sizeof(state) > 8) h ^= (uint64_t)((unsigned __int128)s >> 64) * 0x9e3779b97f4a7c15ull;
  h *= 0x9e3779b97f4a7c15ull; return h ^ (h >> 32);
}
static state *table, *queue;
static uint64_t stored, room, slots;
static volatile sig_atomic_t interrupted;
static void on_signal(int number) { (void)number; interrupted = 1; }
static void put_state(state s) {
  printf("%llx%016llx", (unsigned long long)((unsigned __int128)s >> 64), (unsigned long long)s);
}
static void put_count(count_t c) {
  char text[48]; int i = 47; text[i] = 0;
  do { text[--i] = (char)('0' + (int)(c % 10)); c /= 10; } while (c);
  fputs(text + i, stdout);
}
#ifdef __linux__ /* large pages: a table of random accesses misses the translation buffer far less */
static state *zeroed(uint64_t count) {
  void *place = mmap(0, count * sizeof(state), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) return 0;
  madvise(place, count * sizeof(state), MADV_HUGEPAGE);
  return place;
}
static void give_back(state *place, uint64_t count) { munmap(place, count * sizeof(state)); }
static state *resized(state *place, uint64_t count, uint64_t more) {
  void *moved = mremap(place, count * sizeof(state), more * sizeof(state), MREMAP_MAYMOVE);
  if (moved == MAP_FAILED) return 0;
  madvise(moved, more * sizeof(state), MADV_HUGEPAGE);
  return moved;
}
#else
static state *zeroed(uint64_t count) { return calloc(count, sizeof(state)); }
static void give_back(state *place, uint64_t count) { (void)count; free(place); }
static state *resized(state *place, uint64_t count, uint64_t more) {
  (void)count; return realloc(place, more * sizeof(state));
}
#endif
static int grow(uint64_t limit) {
  uint64_t wider = slots * 4;
  if ((wider + room) * sizeof(state) > limit) wider = slots * 2;
  if ((wider + room) * sizeof(state) > limit) return 0;
  give_back(table, slots);
  table = zeroed(wider);
  if (!table) return 0;
  slots = wider;
  for (uint64_t i = 0; i < stored; i++) {
    uint64_t at = hash_of(queue[i]) & (slots - 1);
    while (table[at]) at = (at + 1) & (slots - 1);
    table[at] = queue[i] + 1;
  }
  return 1;
}
static int insert(state s, uint64_t at, uint64_t limit) {
  for (at &= slots - 1; table[at]; at = (at + 1) & (slots - 1)) if (table[at] == s + 1) return 1;
  if (stored == room) {
    uint64_t more = room * 2;
    if ((more + slots) * sizeof(state) > limit) more = room + room / 4;
    if ((more + slots) * sizeof(state) > limit) return 0;
    state *moved = resized(queue, room, more);
    if (!moved) return 0;
    queue = moved; room = more;
  }
  table[at] = s + 1; queue[stored++] = s;
  return stored * 2 <= slots || grow(limit);
}
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
int main(int argc, char **argv) {
  uint64_t limit = strtoull(argv[1], 0, 10), most = strtoull(argv[2], 0, 10);
  double seconds = atof(argv[3]), began = now();
  int symmetric = argc > 4 && argv[4][0] == 's';
  count_t states = 0, transitions = 0;
  uint64_t depth = 0, next = 0;
  const char *reason = "";
  uint64_t seen = 0; int dead = 0;
  signal(SIGINT, on_signal); signal(SIGTERM, on_signal);
  slots = 1 << 18; room = 1 << 12;
  table = zeroed(slots); queue = zeroed(room);
  state *buffer = malloc(sizeof(state) * BATCH * (MOVES + 1)); uint64_t *hashes = malloc(8 * BATCH * (MOVES + 1));
  if (!table || !queue || !buffer || !hashes) return 71;
  for (unsigned i = 0; i < sizeof initial / sizeof *initial; i++) {
    state s = symmetric ? representative(initial[i]) : initial[i];
    insert(s, hash_of(s), limit);
  }
  uint64_t level_end = stored;
  while (next < stored) {
    if (next == level_end) { depth++; level_end = stored; }
    uint64_t last = level_end - next > BATCH ? next + BATCH : level_end, made = 0;
    for (; next < last; next++) {
      state n = queue[next];
      int count = expand(n, buffer + made);
      if (count < 0) {
        printf("overflow %d ", -1 - count); put_state(n); putchar('\n'); return 0;
      }
      uint64_t weight = symmetric ? orbit_size(n) : 1, fresh = observe(n) & ~seen;
      states += weight; transitions += (count_t)weight * (unsigned)count;
      for (int bit = 0; fresh; bit++, fresh >>= 1) if (fresh & 1) {
        seen |= 1ull << bit;
        printf("seen %d %llu ", bit, (unsigned long long)depth); put_state(n); putchar('\n');
      }
      if (!count && !dead && !terminal(n)) {
        dead = 1; printf("seen -1 %llu ", (unsigned long long)depth); put_state(n); putchar('\n');
      }
      made += (unsigned)count;
    }
    for (uint64_t i = 0; i < made; i++) {
      if (symmetric) buffer[i] = representative(buffer[i]);
      hashes[i] = hash_of(buffer[i]);
    }
    for (uint64_t i = 0; i < made; i++) {
      if (i + 32 < made) __builtin_prefetch(&table[hashes[i + 32] & (slots - 1)]);
      if (!insert(buffer[i], hashes[i], limit)) { reason = "memory"; goto out; }
    }
    if (most && stored > most) { reason = "states"; goto out; }
    if (interrupted) { reason = "interrupted"; goto out; }
    if (seconds > 0 && now() - began > seconds) { reason = "seconds"; goto out; }
  }
out:
  printf("result %llu ", (unsigned long long)stored); put_count(states); putchar(' '); put_count(transitions);
  printf(" %llu %d %llu %.6f %s\n", (unsigned long long)depth, !*reason,
    (unsigned long long)((slots + room) * sizeof(state)), now() - began, reason);
  return 0;
}
"""


def source(model: Model, symmetric: bool) -> str:
    """The C program of one model."""
    word = "uint64_t" if model.bits < 64 else "unsigned __int128"
    batch = max(16, 4096 * 8 // max(8, len(model.transitions)))
    head = [
        "#define _GNU_SOURCE\n#ifdef __linux__\n#include <sys/mman.h>\n#endif",
        "#include <signal.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>",
        "#include <time.h>",
        f"typedef {word} state;\n#define BATCH {batch}\n#define MOVES {len(model.transitions)}",
    ]
    writer = Writer(model, C)
    starts = ", ".join(writer.wide(state) for state in model.initial)
    orbits = _orbits(model, writer) if symmetric else [
        "static state representative(state n) { return n; }",
        "static uint64_t orbit_size(state n) { (void)n; return 1; }",
    ]  # fmt: skip
    return "\n".join(
        [
            *head,
            f"static const state initial[] = {{{starts}}};",
            _expand(model, writer),
            _observe(model, Writer(model, C_WITHOUT_BRANCHES)),
            *orbits,
            SEARCH,
        ]
    )


def _expand(model: Model, writer: Writer) -> str:
    lines = ["static int expand(state n, state *out) {", "  state *first = out;"]
    groups, rest = grouped(model)
    guards = [part for group in groups for _, items in group.cases for _, left in items for part in left]
    guards += [transition.guard for transition in rest]
    used: dict[int, str] = {}
    for node in shared(guards):
        lines.append(f"  const int v{node.number} = {writer.expression(node, used)};")
        used[node.number] = f"v{node.number}"
    for group in groups:
        lines.append(f"  switch ({writer.read(group.slot)}) {{")
        for value, items in group.cases:
            lines.append(f"  case {value}:")
            for transition, left in items:
                lines += _transition(writer, transition, left, used)
            lines.append("    break;")
        lines.append("  default: break; }")
    for transition in rest:
        lines += _transition(writer, transition, (transition.guard,), used)
    return "\n".join([*lines, "  return (int)(out - first);", "}"])


def _transition(writer: Writer, transition: Transition, left: tuple[Node, ...], used: dict[int, str]) -> list[str]:
    inner = dict(used)
    condition = " && ".join(writer.expression(part, inner) for part in left) or "1"
    lines = [f"    if ({condition}) {{"]
    for node in shared(outcomes(transition)):
        if node.number not in inner:
            lines.append(f"      const int v{node.number} = {writer.expression(node, inner)};")
            inner[node.number] = f"v{node.number}"
    for check in transition.checks:
        lines.append(f"      if (!{writer.expression(check.holds, inner)}) return {-1 - transition.number};")
    return [*lines, f"      *out++ = {writer.successor(transition, inner)}; }}"]


def _observe(model: Model, writer: Writer) -> str:
    nodes = [item.node for item in model.observations]
    used: dict[int, str] = {}
    lines = ["static uint64_t observe(state n) {"]
    for node in shared(nodes):
        lines.append(f"  const int v{node.number} = {writer.expression(node, used)};")
        used[node.number] = f"v{node.number}"
    bits = [f"((uint64_t)({writer.expression(node, used)} != 0) << {i})" for i, node in enumerate(nodes)]
    lines += ["  (void)n;", f"  return {' | '.join(bits) or '0'};", "}"]
    lines.append(f"static int terminal(state n) {{ (void)n; return {writer.expression(model.terminal, {})}; }}")
    return "\n".join(lines)


def _orbits(model: Model, writer: Writer) -> list[str]:
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
    return [
        "static state representative(state n) {", *keys, *swaps, f"  return {' | '.join(parts)};", "}",
        "static uint64_t orbit_size(state n) {", *keys, f"  uint64_t w = {factorial(count)}ull, r = 1;", *runs,
        "  (void)r; (void)k; return w;", "}",
    ]  # fmt: skip
