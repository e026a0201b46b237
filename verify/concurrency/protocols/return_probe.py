"""return-probe: return addresses on the stack are replaced by a trampoline; the kernel remembers where they led.

Question: does every return reach its caller, with longjmp, unregistering, fork and a shadow stack in between?

Model: each thread has a stack of up to `D` frames. A call of the probed function while the probe is registered replaces
the frame's return address (`hijacked`), puts the trampoline on the shadow stack too (`shadow`), and pushes a return
instance with the frame's position. Any frame may be left by longjmp, which tells the kernel nothing. A hijacked return
goes to the trampoline, which takes instances off until the next one is of a frame that is still alive (older than the
one that returned), and goes where the last one says; the same rule drops dead instances at a call. Alive is decided by
comparing stack addresses. Unregistering leaves the instances alone. `fork` follows the child: it has a copy of the
stack, needs a copy of the instances, and the trampoline's page at the same address.

Left out: tail calls between probed functions (a chain of instances for one frame), the limit of 64 nested instances,
who keeps the probe's object alive for an instance (`ref-count`), handlers that ask for no return instance.

Sources: Linux 6.18 kernel/events/uprobes.c (prepare_uretprobe, cleanup_return_instances, uprobe_handle_trampoline,
dup_utask, dup_xol_work), arch/x86/kernel/uprobes.c (arch_uretprobe_hijack_return_addr, arch_uretprobe_is_alive,
shadow-stack update).
"""

from verify.concurrency.language.protocol import (
    Array,
    Assumption,
    Bool,
    Bounded,
    Claim,
    Description,
    Enum,
    Parameter,
    Shared,
    Thread,
    implies,
    leads_to,
    threads,
)

D = Parameter("D", 2)  # frames on a stack
CLEAN_CALL = Parameter("CLEAN_CALL", True)  # a call drops the instances of frames that longjmp has left
CLEAN_RETURN = Parameter("CLEAN_RETURN", True)  # so does a return
SHADOW = Parameter("SHADOW", True)  # the shadow stack is updated with the stack
KEEP = Parameter("KEEP", True)  # unregistering leaves the instances of outstanding frames
DUP = Parameter("DUP", True)  # fork copies the instances
PAGE = Parameter("PAGE", True)  # the child gets the trampoline's page at the same address

ret = Description(
    "return-probe",
    "Does every return reach its caller when return addresses are replaced?",
    shared={"registered": Bool()},
    local={
        "pc": Enum("run", "trampoline", "lost", "astray", "control-fault"),
        "depth": Bounded(0, D),  # frames on the stack
        "hijacked": Array(D, Bool()),  # the frame's return address is the trampoline
        "shadow": Array(D, Bool()),  # the frame's entry on the shadow stack is the trampoline
        "count": Bounded(0, D + 1),  # return instances
        "frame": Array(D + 1, Bounded(0, D - 1)),  # the frame of each instance
        "page": Bool(initial=True),  # the trampoline is mapped
    },
    assumptions=(
        Assumption("one-stack", "all frames of a thread are on one stack, so that addresses order them"),
        Assumption("longjmp-unwinds-shadow", "longjmp takes as many entries off the shadow stack as off the stack"),
        Assumption("trampoline-call-known", "the trampoline's system call or trap is taken only by a return to it"),
    ),
    source="Linux 6.18 kernel/events/uprobes.c, arch/x86/kernel/uprobes.c",
    threads=2,
)


def alive_at_call(t: Thread) -> Claim:
    """How many instances, oldest first, are of frames below the one that is being made."""
    return sum(1 for i in range(D + 1) if i < t.count and t.frame[i] < t.depth)


# --- the threads ------------------------------------------------------------------------------------------------------
@ret.step(fair=None)
def call_probed(s: Shared, t: Thread) -> None:
    """The probed function is called while registered: the return address is replaced, an instance is pushed."""
    kept = alive_at_call(t) if CLEAN_CALL else t.count
    if t.pc == "run" and t.depth < D and s.registered and kept < D + 1:
        t.hijacked[t.depth] = True
        t.shadow[t.depth] = SHADOW
        for i in range(D + 1):
            if i >= kept:
                t.frame[i] = 0
        t.frame[kept] = t.depth
        t.count = kept + 1
        t.depth += 1


@ret.step(fair=None)
def call_plain(s: Shared, t: Thread) -> None:
    """A function without a probe, or whose probe is gone, is called: the kernel does not see it."""
    if t.pc == "run" and t.depth < D:
        t.depth += 1


@ret.step()
def return_plain(s: Shared, t: Thread) -> None:
    """A frame whose return address is its own returns."""
    top = t.depth - 1
    if t.pc == "run" and t.depth > 0 and not t.hijacked[top]:
        t.depth -= 1


@ret.step()
def return_hijacked(s: Shared, t: Thread) -> None:
    """A frame returns to the trampoline; stack and shadow stack must agree, and the page must be there."""
    top = t.depth - 1
    if t.pc == "run" and t.depth > 0 and t.hijacked[top]:
        t.pc = "control-fault" if not t.shadow[top] else "trampoline" if t.page else "lost"
        t.hijacked[top] = False
        t.shadow[top] = False
        t.depth -= 1


@ret.step()
def handle_trampoline(s: Shared, t: Thread) -> None:
    """Instances are taken off down to the returned frame's; the thread goes where that one says."""
    below = alive_at_call(t) if CLEAN_RETURN else t.count - 1
    if t.pc == "trampoline":
        if t.count in (0, below):
            t.pc = "lost"
        else:
            t.pc = "run" if t.frame[below] == t.depth else "astray"
            t.count = below
            for i in range(D + 1):
                if i >= below:
                    t.frame[i] = 0


@ret.step(fair=None, choose={"k": D})
def longjmp(s: Shared, t: Thread, k: int) -> None:
    """All frames from the k-th on are left at once; their instances stay."""
    if t.pc == "run" and k < t.depth:
        for i in range(D):
            if i >= k:
                t.hijacked[i] = False
                t.shadow[i] = False
        t.depth = k


@ret.step(fair=None)
def fork(s: Shared, t: Thread) -> None:
    """From here on this is the child."""
    if t.pc == "run" and (not DUP or not PAGE):
        t.page = PAGE
        if not DUP:
            t.count = 0
            for i in range(D + 1):
                t.frame[i] = 0


# --- the prober -------------------------------------------------------------------------------------------------------
@ret.step(actor="prober")
def register(s: Shared) -> None:
    """Calls are intercepted from now on."""
    if not s.registered:
        s.registered = True


@ret.step(actor="prober")
def unregister(s: Shared) -> None:
    """Calls are no longer intercepted; frames that are outstanding return through the trampoline still."""
    if s.registered:
        s.registered = False
        for t in threads:
            if not KEEP:
                t.count = 0
                for i in range(D + 1):
                    t.frame[i] = 0


# --- properties -------------------------------------------------------------------------------------------------------
@ret.always
def no_return_is_lost(s: Shared, t: Thread) -> Claim:
    """A return through the trampoline finds the page and its instance."""
    return t.pc != "lost"


@ret.always
def no_return_goes_astray(s: Shared, t: Thread) -> Claim:
    """A return through the trampoline goes to its own caller."""
    return t.pc != "astray"


@ret.always
def shadow_stack_agrees(s: Shared, t: Thread) -> Claim:
    """No return finds another address on the shadow stack."""
    return t.pc != "control-fault"


@ret.always
def hijacked_frame_has_instance(s: Shared, t: Thread) -> Claim:
    """The kernel knows where each hijacked frame returns to."""
    return implies(
        t.depth > 0 and t.hijacked[0],
        any(i < t.count and t.frame[i] == 0 for i in range(D + 1)),
    )


@ret.sometimes
def outstanding_frame_after_unregister(s: Shared, t: Thread) -> Claim:
    """A hijacked frame is outstanding when the probe is gone."""
    return not s.registered and t.depth > 0 and t.hijacked[0]


@ret.sometimes
def dead_instance_remains(s: Shared, t: Thread) -> Claim:
    """longjmp has left an instance behind."""
    return t.pc == "run" and t.count > t.depth


@ret.eventually
def trampoline_is_left(s: Shared, t: Thread) -> Claim:
    """A return through the trampoline reaches the caller."""
    return leads_to(t.pc == "trampoline", t.pc == "run")


# --- what must hold whenever a step is taken --------------------------------------------------------------------------
@ret.precondition(call_probed)
def only_calls_while_registered_are_hijacked(s: Shared, t: Thread) -> Claim:
    """A return address is replaced while the probe is registered."""
    return t.pc == "run" and s.registered


@ret.precondition(call_plain)
def a_call_is_by_a_running_thread(s: Shared, t: Thread) -> Claim:
    """A thread calls while it runs, and while its stack has room."""
    return t.pc == "run" and t.depth < D


@ret.precondition(return_hijacked)
def a_return_is_by_a_running_thread(s: Shared, t: Thread) -> Claim:
    """A thread returns to the trampoline from a frame that says so."""
    return t.pc == "run" and t.depth > 0


# --- variants ---------------------------------------------------------------------------------------------------------
GONE = "no_return_is_lost no_return_goes_astray hijacked_frame_has_instance trampoline_is_left"
ret.known_wrong(
    ("instances-dropped", "Unregistering drops the instances: an outstanding frame returns to a trampoline that knows "
     "nothing.", [KEEP], GONE),
    ("no-cleanup", "Instances that longjmp left behind are taken for those of the frame that returns.",
     [CLEAN_CALL, CLEAN_RETURN], "no_return_goes_astray trampoline_is_left"),
    ("no-cleanup-at-return", "Only calls drop dead instances: a return takes the newest one, of a frame that longjmp "
     "left.", [CLEAN_RETURN], "no_return_goes_astray trampoline_is_left"),
    ("fork-without-instances", "The child has the changed return addresses and no instances.", [DUP], GONE,
     "Linux before 3.14 (kernel/events/uprobes.c before commit 248d3a7b2f10)"),
    ("fork-without-page", "The child has instances, but no page at the trampoline's address.",
     [PAGE], "no_return_is_lost",
     "Linux before 3.14 (kernel/events/uprobes.c, uprobe_copy_process without dup_xol_work)"),
    threads=1,
)  # fmt: skip
ret.variant(
    "shadow-stack-not-updated",
    "Only the stack is changed: the return faults where shadow stacks are on, before the trampoline is entered.",
    constants={"SHADOW": False},
    refutes=["shadow_stack_agrees"],
    skipped=["trampoline_is_left"],
    threads=1,
    source="Linux before 6.9 (arch/x86/kernel/uprobes.c without a shadow-stack update)",
)
alternate = ret.variant(
    "alternate-stack",
    "A signal handler on an alternate stack above the stack calls the probed function: all frames seem left.",
    refutes=GONE.split(),
    lifts=["one-stack"],
    threads=1,
    source="Linux 6.18 kernel/events/uprobes.c, uprobe_handle_trampoline (its note on sigaltstack)",
)


@alternate.step(fair=None)
def call_probed_on_alternate_stack(s: Shared, t: Thread) -> None:
    """The stack pointer is above every recorded frame, so that no instance counts as alive."""
    if t.pc == "run" and t.depth > 0 and t.depth < D and s.registered:
        t.hijacked[t.depth] = True
        t.shadow[t.depth] = SHADOW
        for i in range(D + 1):
            t.frame[i] = 0
        t.frame[0] = t.depth
        t.count = 1
        t.depth += 1


PROTOCOL = ret.protocol()
