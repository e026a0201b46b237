"""Proofs for any number of threads, from the same protocol description.

    prove_any(PROTOCOL, "no-read-lock")  ->  AnyNumber: for each property ProvedAny (methods), RefutedAny (threads,
                                             trace), Vacuous or Unknown (reason)

`views` is view abstraction (`encoding`), `houdini` finds quantified invariants (`candidates`, `symbols`), `check`
judges a stored one independently (`clauses`, `smtlib`), `counter_abstraction` counts threads with Spacer, `fair_views`
proves liveness (`thread_graph`, `fair_emptiness`), `verdicts` puts them together.
`solvers` makes every solver.
"""

from verify.concurrency.unbounded.answers import AnyNumber, AnyVerdict, Method, ProvedAny, RefutedAny
from verify.concurrency.unbounded.verdicts import prove_any

__all__ = ["AnyNumber", "AnyVerdict", "Method", "ProvedAny", "RefutedAny", "prove_any"]
