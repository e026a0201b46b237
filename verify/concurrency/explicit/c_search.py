"""Text of the C engine that is the same for every model: memory, the table of visited states, and the search.

Complete: a visited state is stored as its image under a bijection, so none is taken for another. The text needs what
`compiled_text` defines before it: `state`, FACTOR, BITS (24..127), MASK, MOVES, SYMMETRIC, `initial`, `expand`,
`broken`, `observe`, `terminal`, `representative`, `orbit_size`.
"""

from __future__ import annotations

from typing import Final

HEAD: Final = r"""
#define _GNU_SOURCE
#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef __SSE2__
#include <immintrin.h>
#endif
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
typedef int64_t number;
typedef unsigned __int128 count_t;
#define LINE 64 /* bytes that are fetched at once */
#define WIDE (LINE / sizeof(state))
#define NARROW (LINE / sizeof(uint32_t))
#define BATCH 512 /* states */
#define AHEAD 64 /* look-ups between asking for a line and using it */
static uint16_t moves[BATCH]; /* of each state of a batch */
"""

MEMORY: Final = r"""
/* --- memory, in bytes ---------------------------------------------------------------------------------------------*/
static uint64_t limit, used;
#ifdef __linux__
static void *mapped(void *place, uint64_t bytes, uint64_t more) { /* what is added is zero */
  void *moved = place ? mremap(place, bytes, more, MREMAP_MAYMOVE)
                      : mmap(0, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (moved == MAP_FAILED) return 0;
  madvise(moved, more, MADV_HUGEPAGE); /* random accesses miss the translation buffer far less */
  return moved;
}
static void unmapped(void *place, uint64_t bytes) { munmap(place, bytes); }
#else
static void *mapped(void *place, uint64_t bytes, uint64_t more) {
  char *moved = aligned_alloc(LINE, more);
  if (!moved) return 0;
  if (place) memcpy(moved, place, bytes);
  memset(moved + bytes, 0, more - bytes);
  free(place);
  return moved;
}
static void unmapped(void *place, uint64_t bytes) { (void)bytes; free(place); }
#endif
static int resize(void **place, uint64_t bytes, uint64_t more) {
  if (used - bytes + more > limit) return 0;
  void *moved = mapped(*place, bytes, more);
  if (!moved) return 0;
  *place = moved; used += more - bytes;
  return 1;
}
"""

TABLE: Final = r"""
/* --- visited states -------------------------------------------------------------------------------------------------
   A state is stored as its image under a bijection of words of BITS bits. The upper `order` bits of the image are the
   number of a line of the table; an entry of the line holds the lower bits plus 1, or 0 where nothing is. Entries are
   narrow (32 bits) as soon as the lower bits fit, and else as wide as a state. An image whose line is full is spilt:
   stored whole, in a small table of its own. */
static void *table;
static int order, narrow;
static state *spill; /* image + 1, or 0 */
static uint64_t stored, spilt, spill_room;

static state image_of(state s) { /* odd factors and the shift by half a word: each can be undone */
  s = s * FACTOR & MASK; s ^= s >> (BITS / 2);
  return s * FACTOR & MASK;
}
static uint64_t line_of(state image) { return (uint64_t)(image >> (BITS - order)); }

/* A bit for each entry of a line that is `wanted` or empty: the lowest is where it is, or belongs. */
#if defined __AVX512F__
static unsigned narrow_places(const uint32_t *line, uint32_t wanted) {
  const __m512i all = _mm512_load_si512(line);
  return _mm512_cmpeq_epi32_mask(all, _mm512_set1_epi32((int)wanted)) | _mm512_testn_epi32_mask(all, all);
}
#elif defined __SSE2__
static __m128i fitting(const uint32_t *entries, __m128i wanted) {
  const __m128i four = _mm_load_si128((const __m128i *)entries);
  return _mm_or_si128(_mm_cmpeq_epi32(four, wanted), _mm_cmpeq_epi32(four, _mm_setzero_si128()));
}
static unsigned narrow_places(const uint32_t *line, uint32_t wanted) {
  const __m128i w = _mm_set1_epi32((int)wanted);
  const __m128i low = _mm_packs_epi32(fitting(line, w), fitting(line + 4, w));
  const __m128i high = _mm_packs_epi32(fitting(line + 8, w), fitting(line + 12, w));
  return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(low, high));
}
#else
static unsigned narrow_places(const uint32_t *line, uint32_t wanted) {
  for (unsigned i = 0; i < NARROW; i++) if (line[i] == wanted || !line[i]) return 1u << i;
  return 0;
}
#endif
#if defined __AVX512F__ && BITS < 64
static unsigned wide_places(const state *line, state wanted) {
  const __m512i all = _mm512_load_si512(line);
  return _mm512_cmpeq_epi64_mask(all, _mm512_set1_epi64((long long)wanted)) | _mm512_testn_epi64_mask(all, all);
}
#else
static unsigned wide_places(const state *line, state wanted) {
  for (unsigned i = 0; i < WIDE; i++) if (line[i] == wanted || !line[i]) return 1u << i;
  return 0;
}
#endif

static int spill_fresh(state image) {
  uint64_t at = (uint64_t)image & (spill_room - 1);
  for (; spill[at]; at = (at + 1) & (spill_room - 1)) if (spill[at] == image + 1) return 0;
  spill[at] = image + 1; spilt++;
  return 1;
}
static inline int fresh(state image) { /* whether it was not there; now it is */
  const uint64_t line = line_of(image);
  if (narrow) {
    const uint32_t entry = (uint32_t)(image & (((state)1 << (BITS - order)) - 1)) + 1;
    uint32_t *at = (uint32_t *)table + line * NARROW;
    const unsigned places = narrow_places(at, entry);
    if (!places) return spill_fresh(image);
    at += __builtin_ctz(places);
    const int empty = !*at;
    *at = entry;
    return empty;
  }
  state *at = (state *)table + line * WIDE;
  const unsigned places = wide_places(at, image + 1);
  if (!places) return spill_fresh(image);
  at += __builtin_ctz(places);
  const int empty = !*at;
  *at = image + 1;
  return empty;
}
static int respill(uint64_t room) { /* a spill of another size; an image goes to its line where that has room now */
  state *old = spill;
  const uint64_t count = spill_room;
  spill = 0;
  if (!resize((void **)&spill, 0, room * sizeof(state))) { spill = old; return 0; }
  spilt = 0; spill_room = room;
  for (uint64_t i = 0; i < count; i++) if (old[i]) fresh(old[i] - 1);
  if (old) { unmapped(old, count * sizeof(state)); used -= count * sizeof(state); }
  return 1;
}
static void split_narrow(uint64_t line) { /* line -> lines 2 line and 2 line + 1 */
  const uint32_t *from = (uint32_t *)table + line * NARROW, top = (uint32_t)1 << (BITS - order);
  uint32_t two[2][NARROW + 1] = {{0}}, count[2] = {0, 0};
  for (unsigned i = 0; i < NARROW; i++) { /* without branches: one place behind the last takes what is empty */
    const uint32_t low = from[i] - 1, half = (low & top) != 0, there = from[i] != 0;
    two[half][count[half]] = there ? (low & (top - 1)) + 1 : 0;
    count[half] += there;
  }
  for (unsigned half = 0; half < 2; half++) memcpy((uint32_t *)table + (2 * line + half) * NARROW, two[half], LINE);
}
static void split_wide(uint64_t line) {
  state kept[WIDE];
  memcpy(kept, (char *)table + line * LINE, LINE);
  memset((char *)table + 2 * line * LINE, 0, 2 * LINE);
  for (unsigned i = 0; i < WIDE; i++) if (kept[i]) fresh(kept[i] - 1);
}
static int grow(void) { /* twice the lines, in place: from the last, each is split behind all that are still whole */
  const uint64_t bytes = (uint64_t)LINE << order;
  const int was_narrow = narrow;
  if (!resize(&table, bytes, 2 * bytes)) return 0;
  order++; narrow = BITS - order <= 31;
  for (uint64_t line = bytes / LINE; line--;) if (was_narrow) split_narrow(line); else split_wide(line);
  return respill(spill_room);
}
static int room_for(uint64_t more) { /* whether so many more states have room now */
  while (stored + more > ((uint64_t)(narrow ? NARROW : WIDE) << order) / 8 * 5) if (!grow()) return 0;
  while (2 * (spilt + more) > spill_room) if (!respill(2 * spill_room)) return 0;
  return 1;
}
"""

LOOP: Final = r"""
/* --- the search: level by level, each in batches ------------------------------------------------------------------*/
typedef struct { state *states; uint64_t count, room; } level_t;
static level_t level, following;
static count_t states, transitions; /* of the full space */
static uint64_t depth, seen;
static int dead;
static volatile sig_atomic_t interrupted;
static void on_signal(int number) { (void)number; interrupted = 1; }
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void put_state(state s) {
  printf("%llx%016llx\n", (unsigned long long)((unsigned __int128)s >> 64), (unsigned long long)s);
}
static void put_count(count_t c) {
  char text[48]; int i = 47; text[i] = 0;
  do { text[--i] = (char)('0' + (int)(c % 10)); c /= 10; } while (c);
  fputs(text + i, stdout);
}
static int level_room(level_t *one, uint64_t more) {
  uint64_t room = one->room ? one->room : 1 << 12;
  while (one->count + more > room) room *= 2;
  if (room == one->room) return 1;
  if (!resize((void **)&one->states, one->room * sizeof(state), room * sizeof(state))) return 0;
  one->room = room;
  return 1;
}
static int take_in(state *made, uint64_t count, state *images) { /* what is new goes to the following level */
  if (!room_for(count) || !level_room(&following, count)) return 0;
  for (uint64_t i = 0; i < count; i++) {
    if (SYMMETRIC) made[i] = representative(made[i]);
    images[i] = image_of(made[i]);
  }
  for (uint64_t i = 0; i < count; i++) {
    if (i + AHEAD < count) __builtin_prefetch((char *)table + line_of(images[i + AHEAD]) * LINE, 1);
    const int is_new = fresh(images[i]);
    following.states[following.count] = made[i];
    following.count += is_new; stored += is_new;
  }
  return 1;
}
static void observe_batch(const state *from, unsigned many) {
  uint64_t any = 0;
  for (unsigned i = 0; i < many; i++) any |= observe(from[i]); /* on vectors; mostly there is nothing new */
  for (unsigned i = 0; i < many && any & ~seen; i++) {
    uint64_t first = observe(from[i]) & ~seen;
    seen |= first;
    for (int bit = 0; first; bit++, first >>= 1) if (first & 1) {
      printf("seen %d %llu ", bit, (unsigned long long)depth); put_state(from[i]);
    }
  }
  for (unsigned i = 0; i < many && !dead; i++) if (!moves[i] && !terminal(from[i])) {
    dead = 1;
    printf("seen -1 %llu ", (unsigned long long)depth); put_state(from[i]);
  }
}
static void count_batch(const state *from, unsigned many, uint64_t made) {
  if (!SYMMETRIC) { states += many; transitions += made; return; }
  for (unsigned i = 0; i < many; i++) {
    const uint64_t weight = orbit_size(from[i]);
    states += weight; transitions += (count_t)weight * moves[i];
  }
}
int main(int argc, char **argv) { /* bytes, states (0: no bound), seconds (0: no bound) */
  if (argc < 4) return 64;
  limit = strtoull(argv[1], 0, 10);
  const uint64_t most = strtoull(argv[2], 0, 10);
  const double seconds = atof(argv[3]), began = now();
  const char *reason = "";
  signal(SIGINT, on_signal); signal(SIGTERM, on_signal);
  order = 12; narrow = BITS - order <= 31;
  state *made = malloc(sizeof(state) * BATCH * (MOVES + 1)), *images = malloc(sizeof(state) * BATCH * (MOVES + 1));
  if (!made || !images || !resize(&table, 0, (uint64_t)LINE << order) || !respill(1 << 10)) {
    reason = "memory"; goto out;
  }
  for (unsigned i = 0; i < sizeof initial / sizeof *initial; i++) {
    state first = initial[i];
    if (!take_in(&first, 1, images)) { reason = "memory"; goto out; }
  }
  for (; following.count; depth++) {
    const level_t done = level;
    level = following; following = done; following.count = 0;
    for (uint64_t next = 0; next < level.count; next += BATCH) {
      const unsigned many = level.count - next < BATCH ? (unsigned)(level.count - next) : BATCH;
      const state *from = level.states + next;
      memset(moves, 0, sizeof moves);
      const int64_t count = expand(from, many, made);
      if (count < 0) { printf("overflow %d ", (int)(-1 - count)); put_state(broken); return 0; }
      observe_batch(from, many);
      count_batch(from, many, (uint64_t)count);
      if (!take_in(made, (uint64_t)count, images)) reason = "memory";
      else if (most && stored > most) reason = "states";
      else if (interrupted) reason = "interrupted";
      else if (seconds > 0 && now() - began > seconds) reason = "seconds";
      if (*reason) { depth++; goto out; }
    }
  }
out:
  for (int i = 0; i < STEPS; i++) if (taken[i]) printf("taken %d\n", i);
  printf("result %llu ", (unsigned long long)stored); put_count(states); putchar(' '); put_count(transitions);
  printf(" %llu %d %llu %.6f %s\n", (unsigned long long)(depth ? depth - 1 : 0), !*reason, (unsigned long long)used,
    now() - began, reason);
  return 0;
}
"""
