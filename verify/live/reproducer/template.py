"""The text of the C program and of the shell script that `reproducer` fills in; decides nothing.

The program is a judge of its own: a traced child with the same mappings and the same full state runs the instruction
without and with a probe, and everything that a program can see is compared (the rules are those of `kernel_outcome`).
"""

from __future__ import annotations

from string import Template
from typing import Final

from verify.live.reproducer.child import CHILD
from verify.live.reproducer.comparison import COMPARISON

PROGRAM: Final = Template(r"""/* $summary
 *
 * instruction    $bytes   at $origin
 * disassembly    $text
 * scheme         $scheme
 * kernel's plan  $plan
 * verdict        $reason
 * state          $state
 *
 * A program must not see whether the instruction has a uprobe: registers, flags, segment bases and selectors, vector
 * and x87 state, memory, where it goes on and how it faults should be equal, and the probe should be hit once a run.
 * The program below runs the instruction in a traced child, from the full state given here, without and with a uprobe
 * on it, and compares all of these.  It depends on nothing but a C library.
 *
 * Use: sh run.sh (as root, x86-64 Linux).  The last line says: "deviation shown: ..." (exit status 0), "not shown: ..."
 * (1), or "cannot be shown here: ..." (2).  An argument "perf" or "tracefs" chooses how the probe is set. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long word;
enum { PAGE = 4096, CODE_SIZE = $code_size, LANDING_SIZE = $landing_size, PAGES = $count, HITS = $hits, HLT = 0xf4 };
enum { R10 = 7, R9 = 8, R8 = 9, RAX = 10, RDX = 12, RSI = 13, RDI = 14, ORIG_RAX = 15, RIP = 16, CS = 17, EFLAGS = 18,
       RSP = 19, SS = 20, DS = 23, REGISTERS = 27, ROOM = 1 << 16, MANY = 64 };
#define CODE ${code}ull
#define ORIGIN ${origin}ull
#define LANDING ${landing}ull                                   /* hlt everywhere: where jumps and returns lead */
#define X87_AREA ${area}ull                                     /* what fnstenv behind an x87 instruction writes to */
#define END_OF_USER_SPACE ${end}ull
static const char observable[] = "$observable";                 /* what is refuted; the others are looked at too */
static const int any_hits = $any_hits, null_selectors = $null_selectors, undefined_everywhere = $undefined;
static const char *const names[REGISTERS] = {
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
    "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs" };
static const unsigned char text[] = { $code_bytes };

/* The state from which the instruction runs. */
static const word initial[REGISTERS] = {                        /* in the order of names */
$registers};
static const struct { word at; int protection; } pages[PAGES] = {  /* data pages; 1: read, 2: write */
$pages};
static const struct { word at, count, value; } words[] = {      /* of their memory, by address: count equal words */
$words};
static const unsigned mxcsr = $mxcsr;
static const unsigned char components[] = { $components };      /* of the xsave image, SDM vol. 1, 13.4 */
static const struct { int component, offset; word value; } image_words[] = {   /* component 0: x87 and XMM */
$image};

struct run {
    int signal, code, hits;
    word address, registers[REGISTERS];
    unsigned char image[ROOM], data[PAGES * PAGE];
};
static struct run plain, again, probed;
static struct { const char *observable; char text[200]; } found[MANY];
static int differing;
static pid_t child;
static word template[REGISTERS];
static unsigned char memory[PAGES * PAGE], image[ROOM], code[CODE_SIZE], *shared;
static size_t image_size;
static int code_file, data_file, landing_file, counter = -1, traced;
static char path[4096], tracefs[256], site[64];

""" + CHILD + COMPARISON + r"""static void prepare(void)
{
    static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGPIPE };
    static const unsigned char stub[] = { 0x0f, 0x05, HLT };    /* syscall */
    sigset_t set;

    atexit(clean);
    for (unsigned i = 0; i < sizeof ends / sizeof *ends; i++)
        signal(ends[i], stopped);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    alarm(30);
    memset(code, HLT, sizeof code);
    memcpy(code + (ORIGIN - CODE), text, sizeof text);
    if (!getcwd(path, sizeof path - 32))
        CANNOT("the working directory: %s", strerror(errno));
    strcat(path, "/code-XXXXXX");
    code_file = mkstemp(path);
    data_file = memfd_create("data", 0);
    landing_file = memfd_create("landing", 0);
    if (code_file < 0 || data_file < 0 || landing_file < 0 || ftruncate(data_file, sizeof memory)
        || write(code_file, code, sizeof code) != sizeof code)
        CANNOT("files: %s", strerror(errno));
    for (int i = 0; i < LANDING_SIZE; i++)
        if (pwrite(landing_file, "\xf4", 1, i) != 1)
            CANNOT("files: %s", strerror(errno));
    if (pwrite(landing_file, stub, sizeof stub, ${stub}) != sizeof stub)
        CANNOT("files: %s", strerror(errno));
    shared = mmap(NULL, sizeof memory, PROT_READ | PROT_WRITE, MAP_SHARED, data_file, 0);
    if (shared == MAP_FAILED)
        CANNOT("memory: %s", strerror(errno));
    fill_memory();
    start();
    fill_image();
}

/* One run with the probe: prints what differs, leaves the most telling difference in shown. */
static void judge(int number, const char *varying, int *pointers, char *shown, size_t size)
{
    static int direct;                                          /* shown in the observable itself */
    char seen[1024] = ",";

    run(&probed);
    compare(&plain, &probed, 1);
    for (int i = 0; i < differing; i++) {
        const char *name = found[i].observable;
        int is_wanted = !strcmp(name, observable);
        if (listed(varying, name))
            continue;
        if (!strcmp(name, "x87-pointers") && ++*pointers < 2)   /* once: a context switch may have lost them */
            continue;
        if (!listed(seen, name))
            printf("run %d differs in %s: %s\n", number, name, found[i].text);
        strcat(strcat(seen, name), ",");
        if (!*shown || (is_wanted && !direct))
            snprintf(shown, size, "%s%s%s (run %d): %s", is_wanted || !*observable ? "" : observable,
                     is_wanted || !*observable ? "" : ", seen as ", name, number, found[i].text);
        direct |= is_wanted;
    }
}

int main(int count, char **arguments)
{
    char varying[1024] = ",", shown[400] = "";
    int pointers = 0, total = 0, lost = 0;

    prepare();
    run(&plain);                                                /* the first one has the page faults */
    if (plain.signal >= 0)
        run(&plain);
    lost = plain.signal < 0;
    if (!lost)
        run(&again);
    else
        start();
    compare(&plain, lost ? &plain : &again, 0);
    for (int i = 0; i < differing; i++)
        strcat(strcat(varying, found[i].observable), ",");
    set_probe(count > 1 ? arguments[1] : "");
    for (int number = 1; number <= HITS && !lost; number++) {
        judge(number, varying, &pointers, shown, sizeof shown);
        total += probed.hits;
        lost = probed.signal < 0;
    }
    int undefined = plain.signal == SIGILL && plain.registers[RIP] == ORIGIN && !undefined_everywhere;
    if (*shown)
        finish(0, "deviation shown: %s%s", shown, undefined ? "; this processor does not know the instruction" : "");
    if (undefined)
        CANNOT("this processor does not know the instruction (#UD)");
    finish(1, "not shown: identical in %d runs with %d hits", HITS, total);
}
""")

SCRIPT: Final = r"""#!/bin/sh
# Builds reproducer.c and runs it as root; its last line and exit status say what it showed.
cd "$(dirname "$0")" || exit 2
CC=${CC:-cc}
[ -w . ] || { echo "cannot be shown here: $PWD cannot be written"; exit 2; }
command -v "$CC" > /dev/null || { echo "cannot be shown here: no C compiler ($CC)"; exit 2; }
"$CC" -O1 -o reproducer reproducer.c || { echo "cannot be shown here: reproducer.c does not compile"; exit 2; }
exec ./reproducer "$@"
"""
