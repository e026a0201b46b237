"""`ubp-verify confirm`: the machine as judge of the models, one command a judge.

Exit status: 0 agreement; 1 a mismatch that is not explained; 2 the judge is not available here, or time was short; 64
wrong usage; 70 a judgement was lost to a fault of our own; 130 interrupted, after the results so far.
"""

from __future__ import annotations

from typing import Final

import click

from verify.cli.lazy import Entry, Lazy
from verify.live.hiding import hidden

MODES: Final = {
    "semantics": Entry(
        "verify.cli.confirm_semantics:semantics",
        "The processor judges the semantics of the forms in RANGE... (as for opcode-range; default all).",
    ),
    "kernel": Entry(
        "verify.cli.confirm_kernel:kernel",
        "The running kernel's uprobes judge the scheme that models them, over the encodings in RANGE... (root).",
    ),
    "litmus": Entry(
        "verify.cli.confirm_litmus:litmus", "The processors judge the fetch model, by the litmus tests NAME..."
    ),
    "races": Entry(
        "verify.cli.confirm_races:races", "The running kernel judges the protocols, by the scenarios NAME... (root)."
    ),
    "cost": Entry("verify.cli.confirm_cost:cost", "What a probe hit costs on this machine, in cycles."),
}


class _Modes(Lazy):
    """The judges."""

    rows = MODES


@click.group("confirm", cls=_Modes, invoke_without_command=True)
@click.pass_context
def confirm(context: click.Context) -> None:
    """Compares the models with this machine: its processors and its kernel are the judges."""
    hidden()  # a wrong name is said before anything runs
    if context.invoked_subcommand is None:
        raise click.UsageError(f"say what is to judge: {', '.join(MODES)}")
