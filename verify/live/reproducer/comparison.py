"""The part of a reproducer's C program that says in what two runs differ: the rules of `kernel_outcome`, in C."""

from __future__ import annotations

from typing import Final

COMPARISON: Final = r"""static int is_hlt(word ip)
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
        if (a->registers[i] != b->registers[i] && i != ORIG_RAX && i != RIP && i != EFLAGS
            && (i < DS || null_selectors || a->registers[i] > 3 || b->registers[i] > 3))
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
    if (!strcmp(ends[0], "arrives") && !strcmp(ends[1], "fault") && ips[1] == ORIGIN && b->code == SI_KERNEL)
        differ("containment", "the hlt behind the instruction runs in the slot");
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

"""
