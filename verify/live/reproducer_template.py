"""The text of the C program and of the shell script that `reproducer` fills in; decides nothing."""

from __future__ import annotations

from string import Template
from typing import Final

PROGRAM: Final = Template(r"""/* $summary
 * Shows every effect that the program sees of $hits runs of the instruction $encoding at $origin.
 * Build and use: sh run.sh (as root; compares a run without a probe with a run under a tracefs uprobe). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ORIGIN ${origin}ull
#define CODE ${code}ull
#define LANDING ${landing}ull
enum { CODE_SIZE = $code_size, LANDING_SIZE = $landing_size, PAGES = $count, PAGE = 4096, HITS = $hits };
static const uint64_t pages[PAGES] = { $pages };
static const struct { int number; const char *name; uint64_t value; } registers[] = {
$registers};
static int run;

static const struct { uint64_t at, value; } words[] = {               /* of memory, by address */
$words}, image_words[] = {                                            /* of the xsave image, by offset */
$image};
static const uint64_t filled[] = { $filled_from, $filled_to };
static unsigned char expected[PAGES][PAGE];

static void fill(void)
{
    for (uint64_t i = 0, at = filled[0]; at < filled[1]; i++, at += 8) {
        uint64_t word = (LANDING + ($first + 0x67 * i) % 0x1e00) | ${segment}ull << 32;
        for (int page = 0; page < PAGES; page++)
            if (at - pages[page] < PAGE)
                *(uint64_t *)(expected[page] + at % PAGE) = word;
    }
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        for (int page = 0; page < PAGES; page++)
            if (words[i].at - pages[page] < PAGE)
                *(uint64_t *)(expected[page] + words[i].at % PAGE) = words[i].value;
}

static uint32_t xsave_size(unsigned char *image)                      /* FP_XSTATE_MAGIC1 */
{
    return *(uint32_t *)(image + 464) == 0x46505853 ? *(uint32_t *)(image + 480) : 512;
}

static void enter(ucontext_t *context)
{
    unsigned char *image = (unsigned char *)context->uc_mcontext.fpregs;
    uint32_t size = xsave_size(image);
    for (unsigned i = 0; i < sizeof registers / sizeof *registers; i++)
        context->uc_mcontext.gregs[registers[i].number] = registers[i].value;
    context->uc_mcontext.gregs[REG_RIP] = ORIGIN;
    for (unsigned i = 0; i < sizeof image_words / sizeof *image_words; i++)
        if (image_words[i].at + 8 <= size && (image_words[i].at < 416 || image_words[i].at >= 512))
            memcpy(image + image_words[i].at, &image_words[i].value, 8);
    for (int page = 0; page < PAGES; page++)
        memcpy((void *)pages[page], expected[page], PAGE);
}

static void show(int signal, siginfo_t *information, ucontext_t *context)
{
    unsigned char *image = (unsigned char *)context->uc_mcontext.fpregs;
    uint32_t size = xsave_size(image);
    printf("run %d: signal %d ip %#llx\n", run - 1, signal, context->uc_mcontext.gregs[REG_RIP]);
    if (signal != SIGTRAP)
        printf("code %d address %p\n", information->si_code, information->si_addr);
    for (unsigned i = 0; i < sizeof registers / sizeof *registers; i++)
        printf("%s %#llx\n", registers[i].name, context->uc_mcontext.gregs[registers[i].number]);
    for (unsigned i = 0; i < size; i += 8)    /* neither x87 pointers nor software and header bytes */
        if (i != 8 && i != 16 && (i < 416 || i >= 576))
            printf("xsave %#x %016llx\n", i, *(unsigned long long *)(image + i) & (i ? ~0ull : 0xffffffffffff));
    for (int page = 0; page < PAGES; page++)
        for (unsigned i = 0; i < PAGE; i++)
            if (((unsigned char *)pages[page])[i] != expected[page][i])
                printf("memory %#llx: %02x\n", (long long)pages[page] + i, ((unsigned char *)pages[page])[i]);
}

static void handler(int signal, siginfo_t *information, void *context)
{
    if (run++)
        show(signal, information, context);
    if (run > HITS) {
        fflush(stdout);
        _exit(0);
    }
    enter(context);
}

static int write_code(const char *path)
{
    static const unsigned char text[] = { $text };
    FILE *file = fopen(path, "wb");
    const uint64_t first = ORIGIN - CODE, last = first + sizeof text;

    for (uint64_t i = 0; file && i < CODE_SIZE; i++)
        fputc(i >= first && i < last ? text[i - first] : 0xf4, file);
    return !file || fclose(file) ? perror(path), 1 : 0;
}

int main(int count, char **arguments)
{
    static unsigned char stack[1 << 18];
    stack_t alternative = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    int signals[] = { SIGUSR1, SIGSEGV, SIGTRAP, SIGILL, SIGBUS, SIGFPE }, code = open("code.bin", O_RDONLY);

    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(5);                                                           /* a run that never stops ends here */
    if (count > 1)
        return write_code(arguments[1]);
    if (code < 0)
        return perror("code.bin"), 1;
    mmap((void *)CODE, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, code, 0);
    for (int page = 0; page < PAGES; page++)
        mmap((void *)pages[page], PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    mmap((void *)LANDING, LANDING_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memset((void *)LANDING, 0xf4, LANDING_SIZE);
    mprotect((void *)LANDING, LANDING_SIZE, PROT_READ | PROT_EXEC);
    syscall(SYS_arch_prctl, 0x1001, ${gs_base}ull);                     /* ARCH_SET_GS; fs stays with the C library */
    fill();
    sigaltstack(&alternative, NULL);
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
    raise(SIGUSR1);
    return 1;
}
""")

SCRIPT: Final = Template(r"""#!/bin/sh
# $summary
# As root: what the program sees without and with a uprobe; then the differences, and the hits that the kernel counted.
set -e
cd "$$(dirname "$$0")"
T=/sys/kernel/tracing
cc -O1 -w -o reproducer reproducer.c
./reproducer code.bin
./reproducer > without.txt || echo "ended with status $$?" >> without.txt
trap 'echo 0 > $$T/events/ubp_verify/enable; echo "-:ubp_verify/site" >> $$T/uprobe_events' EXIT
trap 'exit 1' HUP INT TERM
echo "p:ubp_verify/site $$PWD/code.bin:$offset" >> $$T/uprobe_events
echo 1 > $$T/events/ubp_verify/enable
./reproducer > with.txt || echo "ended with status $$?" >> with.txt
diff without.txt with.txt || true
echo "runs: $hits, hits:"; grep " site " $$T/uprobe_profile
""")
