"""Interleavings of probe protocols: one readable description, several engines, proofs for any number of threads.

A protocol is one module under `protocols`; reading that file is enough to understand it:

    K = Parameter("K", 2)                               # a size; callers and variants change it
    SYNC = Parameter("SYNC", True)                      # a flag; a variant turns it off

    p = Description(
        "name", "the question",
        shared={"byte": Enum("original", "int3"), "slot": Array(K, ThreadId()), "rounds": Bounded(0, 2)},
        local={"pc": Enum("at", "trap"), "stale": Bool(), "role": Enum("idle", "parent", first="parent")},
        assumptions=(Assumption("axiom-name", "what is assumed", "source"),),
    )

    @p.step(fair="weak")                                # of each thread; fair: "weak", "strong" or None
    def take(s: Shared, t: Thread) -> None:             # a docstring says what happens
        k = s.slot.find(None)                           # temporaries; find: lowest index, the length if none
        if t.pc == "trap" and k < K:                    # the guard
            s.slot[k] = t                               # the effect, in order, atomic
            t.pc = "at"

    @p.step(actor="prober")                             # no thread: `actor` is who acts
    def write(s: Shared) -> None:
        if s.byte == "original" and (not SYNC or all(not t.stale for t in threads)):
            s.byte = "int3"
            for t in threads:                           # rounds that depend on each other are refused; a declared order
                t.stale = True                          # is `for t in in_order(threads)`: threads cannot be exchanged

    @p.step(choose={"k": K})                            # a choice is declared: one transition for each k in 0..K-1,
                                                        # each fair by itself; fair_over=("t",): only for each thread
    def fork(s: Shared, t: Thread, u: Thread, k: int) -> None:   # two threads are always distinct
        ...

    @p.always                                           # for all threads; a premise never reached: Vacuous
    def owned(s: Shared, t: Thread) -> Claim:
        return implies(t.pc == "trap", any(s.slot[k] == t for k in range(K)))

    @p.precondition(take)                               # an invariant: true of the same threads whenever it is taken
    def only_a_trap_takes(s: Shared, t: Thread) -> Claim:
        return t.pc == "trap"

    @p.sometimes                                        # some reachable state
    @p.eventually                                       # return leads_to(premise, claim), under the steps' fairness
    @p.terminal                                         # states that may be final; all others must have a successor

    v = p.variant("no-sync", "what goes wrong", constants={"SYNC": False}, drop=["take"], refutes=["owned"],
                  skipped=["..."],                         # what the variant makes meaningless is not asked
                  local={"place": Bounded(0, 3)},       # a variable that only the variant has
                  threads=2, source="...")
    @v.step(replaces="write")                           # or, without `replaces`, a step of its own name
    def early_write(s: Shared) -> None: ...

    p.known_wrong(("unsynced", "what goes wrong", [SYNC], "owned"), threads=2)   # flags turned, properties refuted

    PROTOCOL = p.protocol()                             # the last line

Strings are labels of the enumeration beside them; None is no thread; threads are only compared with == and !=.
Arithmetic is + - *, // and % by a positive constant, min and max; `all`, `any` and `sum` may have several `for`.
`s.owner.pc` is a variable of the thread that a value names (of none: the first value of its domain, and an assignment
changes nothing). `initial=ANY` is a set of initial states; a ring has `ThreadId(initial=NEXT)` or `PREVIOUS`, and
`Bounded(.., initial=NUMBER)` is a thread's number: such threads cannot be exchanged.
Helpers (module-level functions in the same grammar, of a module such as the x86 fetch axioms) are expanded where they
are called, with the shared state, a thread or a value as arguments. Whatever is outside the grammar, undeclared or
unbounded is a `ProtocolError` with file and line when the module is imported; a value of more than 63 bits one when the
model is made; a value outside its domain is a `DomainOverflow` that names
step, variable and value when it is reached. `first=` gives one thread, any one, another start than the rest.

    explore(PROTOCOL.with_variant("no-sync"), threads=3)        ->  Exploration: counts, verdicts, shortest traces
    ubp-verify interleavings ./mine.py --variant no-sync        the same of one's own file, or of an entry point of the
                                                                group `ubp_verify.protocols`

`language.protocol` is what a protocol imports; `language.terms` is what it becomes; `instance` makes it concrete;
`language.guarded_commands` splits steps for proofs about any number; `explorer.explore` picks an engine;
`results.manifest` records and compares what was found.
"""
