/* What a program's handler is given: runs an instruction from given registers, prints the first signal's frame.
 * Use: frame PROBED CODE FILE [NAME=VALUE | at:ADDRESS=BYTES | see:ADDRESS | fault:ADDRESS]...   (all hexadecimal)
 * CODE stands at 10000100, FILE is where it is kept; 20000000..20010000 is memory.  PROBED: 1 sets a uprobe on CODE.
 * fault: before that the program stores to ADDRESS, and goes on from its handler. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/perf_event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { BASE = 0x10000000, AT = 0x100, MEMORY = 0x20000000, SIZE = 0x10000, PAGE = 4096 };
static const struct { const char *name; int number; } names[] = {
    {"rax", REG_RAX}, {"rcx", REG_RCX}, {"rdx", REG_RDX}, {"rbx", REG_RBX}, {"rsp", REG_RSP}, {"rbp", REG_RBP},
    {"rsi", REG_RSI}, {"rdi", REG_RDI}, {"rip", REG_RIP}, {"flags", REG_EFL}, {"trapno", REG_TRAPNO},
    {"err", REG_ERR}, {"cr2", REG_CR2}, {"segments", REG_CSGSFS},
};
enum { NAMES = sizeof names / sizeof *names };
static unsigned long given[NAMES], watched[8];
static sigjmp_buf behind;
static int is_given[NAMES], watching, counter = -1;

static void start(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    for (int i = 0; i < NAMES; i++)
        if (is_given[i] || names[i].number < REG_RIP)
            registers[names[i].number] = (greg_t)given[i];
    registers[REG_RIP] = BASE + AT;
}

static void skip(int number)
{
    siglongjmp(behind, number);
}

static void fault(unsigned long address)
{
    signal(SIGSEGV, skip);
    if (!sigsetjmp(behind, 1))
        *(volatile unsigned long *)address = 0;
}

static void show(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    unsigned long hits = 0;
    if (counter >= 0 && read(counter, &hits, sizeof hits) < 0)
        hits = ~0ul;
    printf("signal=%x code=%x address=%lx hits=%lx", number, info->si_code, (unsigned long)info->si_addr, hits);
    for (int i = 0; i < NAMES; i++)
        printf(" %s=%llx", names[i].name, registers[names[i].number]);
    for (int i = 0; i < watching; i++)
        printf(" %lx=%lx", watched[i], *(unsigned long *)watched[i]);
    putchar('\n');
    fflush(stdout);
    _exit(0);
}

static void put(unsigned char *place, const char *hex)
{
    for (unsigned byte; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        *place++ = (unsigned char)byte;
}

static void take(char *word)
{
    char *value = strchr(word, '=');
    if (!strncmp(word, "see:", 4))
        watched[watching++] = strtoul(word + 4, 0, 16);
    else if (!strncmp(word, "fault:", 6))
        fault(strtoul(word + 6, 0, 16));
    else if (!strncmp(word, "at:", 3))
        put((unsigned char *)strtoul(word + 3, 0, 16), value + 1);
    for (int i = 0; i < NAMES && value; i++)
        if (!strncmp(word, names[i].name, (size_t)(value - word)) && !names[i].name[value - word])
            given[i] = strtoul(value + 1, 0, 16), is_given[i] = 1;
}

static int probe(const char *path)
{
    char type[16] = "";
    int file = open("/sys/bus/event_source/devices/uprobe/type", O_RDONLY);
    if (file < 0 || read(file, type, sizeof type - 1) < 0)
        return -1;
    struct perf_event_attr wanted = {.size = sizeof wanted, .type = (unsigned)atoi(type), .probe_offset = AT};
    wanted.uprobe_path = (unsigned long)path;
    return (int)syscall(SYS_perf_event_open, &wanted, 0, -1, -1, 0);
}

int main(int count, char **words)
{
    static unsigned char page[PAGE], stack[1 << 16];
    memset(page, 0xf4, sizeof page);
    put(page + AT, words[2]);
    int file = open(words[3], O_RDWR | O_CREAT | O_TRUNC, 0700);
    if (file < 0 || write(file, page, sizeof page) != sizeof page || fsync(file))
        return 2;
    mmap((void *)BASE, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file, 0);
    mmap((void *)MEMORY, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
    for (int i = 4; i < count; i++)
        take(words[i]);
    if (*words[1] == '1' && (counter = probe(words[3])) < 0)
        return 3;
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = show, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaltstack(&other, 0);
    const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, 0);
    action.sa_sigaction = start;
    sigaction(SIGUSR1, &action, 0);
    syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
    return 4;
}
