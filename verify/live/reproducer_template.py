"""The text of the C program and of the shell script that `reproducer` fills in; decides nothing.

The program is a judge of its own: a traced child with the same mappings and the same full state runs the instruction
without and with a probe, and everything that a program can see is compared (the rules are those of `kernel_outcome`).
"""

from __future__ import annotations

from string import Template
from typing import Final

HEAD: Final = r"""/* $summary
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
"""

PROGRAM: Final = Template(HEAD + r"""#define _GNU_SOURCE
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
       RSP = 19, SS = 20, REGISTERS = 27, ROOM = 1 << 16, MANY = 64 };
#define CODE ${code}ull
#define ORIGIN ${origin}ull
#define LANDING ${landing}ull                                   /* hlt everywhere: where jumps and returns lead */
#define X87_AREA ${area}ull                                     /* what fnstenv behind an x87 instruction writes to */
#define END_OF_USER_SPACE ${end}ull
static const char observable[] = "$observable";                 /* what is refuted; the others are looked at too */
static const int any_hits = $any_hits, undefined_everywhere = $undefined;
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

static int put(const char *file, const char *line)
{
    char name[512];
    snprintf(name, sizeof name, "%s/%s", tracefs, file);
    int descriptor = open(name, O_WRONLY | O_APPEND);
    int failed = descriptor < 0 || write(descriptor, line, strlen(line)) < 0 ? errno : 0;
    if (descriptor >= 0)
        close(descriptor);
    return failed;
}

/* Removes the probe, the file and the child; only calls that a signal handler may make. */
static void clean(void)
{
    char line[96];
    if (counter >= 0)
        close(counter);
    if (traced) {
        snprintf(line, sizeof line, "events/%s/site/enable", site);
        put(line, "0");
        snprintf(line, sizeof line, "-:%s/site\n", site);
        put("uprobe_events", line);
    }
    if (*path)
        unlink(path);
    if (child > 0)
        kill(child, SIGKILL);
}

static void finish(int status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
    exit(status);
}
#define CANNOT(...) finish(2, "cannot be shown here: " __VA_ARGS__)

static void stopped(int number)
{
    static const char late[] = "cannot be shown here: not ended within 30 s\n";
    static const char cut[] = "cannot be shown here: interrupted\n";
    const char *said = number == SIGALRM ? late : cut;
    clean();
    if (write(1, said, strlen(said)) < 0 || number)
        _exit(2);
}

static long trace(long request, const void *address, const void *data)
{
    long result = syscall(SYS_ptrace, request, (long)child, address, data);
    if (result < 0 && request != 0x420f)
        CANNOT("ptrace request 0x%lx: %s", request, strerror(errno));
    return result;
}

static double spent(void)                                       /* seconds of CPU time that the child has used */
{
    struct timespec time = { 0, 0 };
    clock_gettime((clockid_t)(~(unsigned)child << 3 | 2), &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Lets the child go on until it stops; one that runs on is stopped.  1: it stopped, 0: it ended. */
static int resume(siginfo_t *information)
{
    double begin = spent();
    int status, sent = 0, ticks = 0;
    sigset_t set;
    struct timespec tick = { 0, 20000000 };

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    trace(7, 0, 0);                                             /* PTRACE_CONT */
    for (;;) {
        pid_t answer = waitpid(child, &status, WNOHANG);
        if (answer < 0)
            CANNOT("waitpid: %s", strerror(errno));
        if (answer == 0) {
            sigtimedwait(&set, NULL, &tick);
            if (!sent && (spent() - begin > 0.25 || ++ticks > 250))
                sent = !kill(child, SIGSTOP);
            continue;
        }
        if (!WIFSTOPPED(status))
            return 0;
        if (WSTOPSIG(status) == SIGSTOP && !sent) {             /* meant for the run before */
            trace(7, 0, 0);
            continue;
        }
        trace(0x4202, 0, information);                          /* PTRACE_GETSIGINFO */
        return 1;
    }
}

static void registers_are(const word *registers) { trace(13, 0, registers); }

static long long call(word number, word a, word b, word c, word d, word e, word f)
{
    word registers[REGISTERS];
    siginfo_t information;

    memcpy(registers, template, sizeof registers);
    registers[RAX] = number, registers[RDI] = a, registers[RSI] = b, registers[RDX] = c;
    registers[R10] = d, registers[R8] = e, registers[R9] = f;
    registers[ORIG_RAX] = ~0ull, registers[RIP] = LANDING + ${stub};
    registers_are(registers);
    if (!resume(&information))
        CANNOT("the child ended in system call %llu", number);
    trace(12, 0, registers);                                    /* PTRACE_GETREGS */
    return (long long)registers[RAX];
}

static void map(word at, size_t size, int protection, int flags, int file, word offset)
{
    long long got = call(SYS_mmap, at, size, (word)protection, (word)flags | 0x100000, (word)file, offset);
    if (got < 0 && got > -4096)
        CANNOT("mapping 0x%llx: %s", at, strerror((int)-got));
}

static void read_image(unsigned char *to, size_t *size)
{
    struct iovec vector = { to, ROOM };
    trace(0x4204, (void *)0x202, &vector);                      /* PTRACE_GETREGSET, NT_X86_XSTATE */
    *size = vector.iov_len;
}

static void leave_rseq(void)                                    /* the kernel would write to it whenever it schedules */
{
    struct { word pointer; unsigned size, signature, flags, rest; } area = { 0, 0, 0, 0, 0 };
    if (trace(0x420f, (void *)sizeof area, &area) >= 0 && area.pointer)
        call(334, area.pointer, area.size, 1, area.signature, 0, 0);
}

/* A child with the code, the data pages and the landing region, and nothing else. */
static void start(void)
{
    siginfo_t information;
    int status;

    fflush(stdout);
    child = fork();
    if (child < 0)
        CANNOT("fork: %s", strerror(errno));
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        void *at = mmap((void *)LANDING, LANDING_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | 0x100000, landing_file, 0);
        if (at != (void *)LANDING || syscall(SYS_ptrace, 0, 0, 0, 0))
            _exit(4);
        raise(SIGSTOP);
        _exit(4);
    }
    if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status))
        child = 0, CANNOT("ptrace, or mapping 0x%llx in a child, is not allowed", LANDING);
    trace(0x4200, 0, (void *)0x100000);                         /* PTRACE_SETOPTIONS, PTRACE_O_EXITKILL */
    trace(12, 0, template);
    memset(&information, 0, sizeof information);
    leave_rseq();
    call(SYS_munmap, 0, LANDING, 0, 0, 0, 0);
    call(SYS_munmap, LANDING + LANDING_SIZE, END_OF_USER_SPACE - LANDING - LANDING_SIZE, 0, 0, 0, 0);
    map(CODE, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, code_file, 0);
    for (int page = 0; page < PAGES; page++)
        map(pages[page].at, PAGE, pages[page].protection, MAP_SHARED, data_file, (word)page * PAGE);
    read_image(image, &image_size);
}

/* The child's xsave image with the state's values; components lie where CPUID leaf 0Dh says. */
static void fill_image(void)
{
    unsigned offset[64] = { 0 }, size[64] = { 0 }, a, c, d;
    word used = 3;

    memset(image, 0, 24);
    memcpy(image + 24, &mxcsr, 4);
    memset(image + 32, 0, 384);
    for (unsigned i = 0; i < sizeof components; i++) {
        unsigned n = components[i];
        if (!__get_cpuid_count(13, n, &a, &offset[n], &c, &d) || !a || offset[n] + a > image_size) {
            printf("note: this processor has no state component %u, it is left out\n", n);
            continue;
        }
        size[n] = a, used |= 1ull << n;
        memset(image + offset[n], 0, a);
    }
    size[0] = 416;
    for (unsigned i = 0; i < sizeof image_words / sizeof *image_words; i++)
        if (image_words[i].offset + 8u <= size[image_words[i].component])
            memcpy(image + offset[image_words[i].component] + image_words[i].offset, &image_words[i].value, 8);
    *(word *)(image + 512) |= used;
}

static void fill_memory(void)
{
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        for (word at = words[i].at; at < words[i].at + 8 * words[i].count; at += 8)
            for (int page = 0; page < PAGES; page++)
                if (at - pages[page].at < PAGE)
                    memcpy(memory + page * PAGE + at % PAGE, &words[i].value, 8);
}

static long long hits(void)
{
    long long count = 0;
    char line[8192], name[512];

    if (counter >= 0 && read(counter, &count, sizeof count) != sizeof count)
        CANNOT("reading the counter: %s", strerror(errno));
    if (!traced)
        return count;
    snprintf(name, sizeof name, "%s/uprobe_profile", tracefs);
    FILE *file = fopen(name, "r");
    while (file && fgets(line, sizeof line, file))
        if (strstr(line, path))
            count = atoll(strrchr(line, ' ') + 1);
    if (!file || fclose(file))
        CANNOT("%s: %s", name, strerror(errno));
    return count;
}

static void run(struct run *to)
{
    struct iovec vector = { image, image_size };
    siginfo_t information;
    size_t size;
    long long before = hits();

    memset(&information, 0, sizeof information);
    memset(to, 0, sizeof *to);
    memcpy(shared, memory, sizeof memory);
    registers_are(initial);
    trace(0x4205, (void *)0x202, &vector);                      /* PTRACE_SETREGSET */
    if (resume(&information)) {
        to->signal = information.si_signo, to->code = information.si_code;
        to->address = (word)information.si_addr;
        trace(12, 0, to->registers);
        read_image(to->image, &size);
        memcpy(to->data, shared, sizeof memory);
        to->hits = (int)(hits() - before);
    } else {
        to->signal = -1;
        memcpy(to->data, memory, sizeof memory);
    }
}

static int is_hlt(word ip)
{
    return (ip - CODE < CODE_SIZE && code[ip - CODE] == HLT) || ip - LANDING < LANDING_SIZE;
}

static const char *ending(const struct run *of)
{
    word ip = of->registers[RIP];
    if (of->signal < 0)
        return "the program dies";
    if (of->signal == SIGSTOP)
        return "does not end";
    if (of->signal == SIGTRAP)
        return "trap";
    return of->signal == SIGSEGV && of->code == SI_KERNEL && ip != ORIGIN && is_hlt(ip) ? "arrives" : "fault";
}

static void differ(const char *name, const char *format, ...)
{
    va_list list;
    if (differing == MANY)
        return;
    found[differing].observable = name;
    va_start(list, format);
    vsnprintf(found[differing++].text, sizeof found->text, format, list);
    va_end(list);
}

static void differ_in(const char *name, int first, int last, const struct run *a, const struct run *b)
{
    for (int i = first; i <= last; i++)
        if (a->registers[i] != b->registers[i] && i != ORIG_RAX && i != RIP && i != EFLAGS)
            differ(name, "%s (64 bits) 0x%llx without, 0x%llx with the probe", names[i], a->registers[i],
                   b->registers[i]);
}

static void differ_in_image(const char *name, size_t first, size_t last, const struct run *a, const struct run *b)
{
    for (size_t i = first; i < last && i < image_size; i++)
        if (a->image[i] != b->image[i]) {
            differ(name, "byte 0x%zx of the xsave image (8 bits) 0x%x without, 0x%x with the probe", i, a->image[i],
                   b->image[i]);
            return;
        }
}

static void differ_in_memory(const char *name, int of_pointers, const struct run *a, const struct run *b)
{
    word first = 0;
    int count = 0, at_first = 0;
    for (int i = 0; i < PAGES * PAGE; i++) {
        word at = pages[i / PAGE].at + i % PAGE;
        if (a->data[i] == b->data[i] || (at - X87_AREA - 12 < 16) != of_pointers)
            continue;
        if (!count++)
            first = at, at_first = i;
    }
    if (count)
        differ(name, "[0x%llx] (8 bits) 0x%x without, 0x%x with the probe; %d bytes differ", first, a->data[at_first],
               b->data[at_first], count);
}

/* All that the two runs differ in, into found. */
static void compare(const struct run *a, const struct run *b, int counted)
{
    const char *ends[2] = { ending(a), ending(b) };
    word ips[2] = { a->registers[RIP], b->registers[RIP] }, flags[2] = { a->registers[EFLAGS], b->registers[EFLAGS] };
    word changed = flags[0] ^ flags[1], trap_flag = 0x100;
    word resume_flag = a->signal == SIGTRAP ? 0x10000 : 0;      /* RF: a page fault came before a trap */

    differing = 0;
    if (strcmp(ends[0], ends[1]))
        differ(a->signal == SIGTRAP || b->signal == SIGTRAP ? "trap" : "fault",
               "%s (signal %d code %d) without, %s (signal %d code %d) with the probe", ends[0], a->signal, a->code,
               ends[1], b->signal, b->code);
    else if (!strcmp(ends[0], "fault") && (a->signal != b->signal || a->code != b->code || a->address != b->address))
        differ("fault", "signal %d code %d address 0x%llx without, signal %d code %d address 0x%llx with the probe",
               a->signal, a->code, a->address, b->signal, b->code, b->address);
    if (ips[0] != ips[1])
        differ("next-ip", "rip (64 bits) 0x%llx without, 0x%llx with the probe", ips[0], ips[1]);
    if (ips[0] != ips[1] && ips[1] >= 0x7fff00000000ull && ips[0] < 0x7fff00000000ull)
        differ("containment", "stops in the slot at 0x%llx", ips[1]);
    differ_in("gprs", 0, RDI, a, b);
    differ_in("gprs", RSP, RSP, a, b);
    if (changed & ~trap_flag & ~resume_flag)
        differ("flags", "eflags (32 bits) 0x%llx without, 0x%llx with the probe", flags[0], flags[1]);
    if (changed & trap_flag)
        differ("trap", "TF (1 bit) of eflags 0x%llx without, 0x%llx with the probe", flags[0], flags[1]);
    differ_in("segment-bases", CS, CS, a, b);
    differ_in("segment-bases", SS, REGISTERS - 1, a, b);
    differ_in_image("x87", 0, 6, a, b);
    differ_in_image("x87", 32, 160, a, b);
    if (a->image[2] & b->image[2] & 0x80)                       /* AMD's xsave loses the pointers without ES */
        differ_in_image("x87-pointers", 6, 24, a, b);
    differ_in_image("vector", 24, 28, a, b);
    differ_in_image("vector", 160, 416, a, b);
    differ_in_image("vector", 576, image_size, a, b);
    differ_in_memory("x87-pointers", 1, a, b);
    differ_in_memory("memory-values", 0, a, b);
    if (counted && b->hits != 1 && a->signal != SIGSTOP && !any_hits)
        differ("hits", "%d hits of the probe in one run", b->hits);
}

static int listed(const char *list, const char *name)
{
    char item[64];
    snprintf(item, sizeof item, ",%s,", name);
    return strstr(list, item) != NULL;
}

static int open_counter(void)
{
    struct perf_event_attr attributes;
    FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
    unsigned type;

    if (!file)
        return ENOENT;
    int read = fscanf(file, "%u", &type);
    fclose(file);
    if (read != 1)
        return ENOENT;
    memset(&attributes, 0, sizeof attributes);
    attributes.type = type, attributes.size = sizeof attributes;
    attributes.config1 = (word)path, attributes.config2 = ORIGIN - CODE;
    counter = (int)syscall(SYS_perf_event_open, &attributes, child, -1, -1, 8);
    return counter < 0 ? errno : 0;
}

static int open_trace(void)
{
    static const char *const places[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
    char line[5000], name[320];

    for (unsigned i = 0; i < 2 && !*tracefs; i++) {
        snprintf(name, sizeof name, "%s/uprobe_events", places[i]);
        if (!access(name, F_OK))
            strcpy(tracefs, places[i]);
    }
    if (!*tracefs)
        return ENOENT;
    snprintf(site, sizeof site, "reproducer_%d", (int)getpid());
    snprintf(line, sizeof line, "p:%s/site %s:0x%llx\n", site, path, ORIGIN - CODE);
    int failed = put("uprobe_events", line);
    if (failed)
        return failed;
    traced = 1;
    snprintf(line, sizeof line, "events/%s/site/enable", site);
    return put(line, "1");
}

/* Sets the probe; ends the program where the kernel refuses it, or probes are not available. */
static void set_probe(const char *how)
{
    int perf = strcmp(how, "tracefs") ? open_counter() : ENOENT;
    int missing = perf == ENOENT || perf == EACCES || perf == EPERM || perf == ENOSYS || perf == EOPNOTSUPP;
    int other = missing && strcmp(how, "perf") ? open_trace() : perf;

    if (!other)
        return;
    if (other == ENOENT || other == EACCES || other == EPERM)
        CANNOT("perf_event_open of a uprobe: %s; tracefs: %s (needs root or CAP_PERFMON, CONFIG_UPROBE_EVENTS; or "
               "mount -t tracefs nodev /sys/kernel/tracing)", strerror(perf), strerror(other));
    finish(1, "not shown: the kernel refuses the probe (errno %d)", other);
}

static void prepare(void)
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
        if (!*shown || (is_wanted && strncmp(shown, name, strlen(name))))
            snprintf(shown, size, "%s%s%s (run %d): %s", is_wanted || !*observable ? "" : observable,
                     is_wanted || !*observable ? "" : ", seen as ", name, number, found[i].text);
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
command -v "$CC" > /dev/null || { echo "cannot be shown here: no C compiler ($CC)"; exit 2; }
"$CC" -O1 -o reproducer reproducer.c || { echo "cannot be shown here: reproducer.c does not compile"; exit 2; }
exec ./reproducer "$@"
"""
