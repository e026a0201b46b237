"""The part of a reproducer's C program that makes the child, sets its probe, and runs it; decides nothing."""

from __future__ import annotations

from typing import Final

CHILD: Final = r"""static int put(const char *file, const char *line)
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

/* The child's xsave image with the state's values; components lie where CPUID leaf 0Dh says, 0 at the start. */
static void fill_image(void)
{
    unsigned offset[64] = { 0 }, size[64] = { 0 }, a, c, d;
    word used = 3;

    memset(image, 0, 24);
    memcpy(image + 24, &mxcsr, 4);
    memset(image + 32, 0, 384);
    for (unsigned i = 1; i < sizeof components; i++) {
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

"""
