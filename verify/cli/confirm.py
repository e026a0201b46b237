"""`ubp-verify confirm`: the machine as judge of the models.

Exit status: 0 agreement; 1 a mismatch that is not explained; 2 the judge is not available here; 64 wrong usage; 70 a
judgement was lost to a fault of our own; 130 interrupted, after the results so far.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any, Final

import click

from verify.cli.confirm_races import litmus, races
from verify.cli.request import Request, interrupted, unavailable
from verify.cli.status import FAULT, REFUTED, UNDECIDED
from verify.live.hiding import hidden

WAYS: Final = {
    "ways": "how the kernel runs them",
    "ways_in_32_bits": "how it runs them where a 32-bit process has the file mapped (analysed-as-64-bit)",
}
FIRST_STATES: Final = 64  # of a form in the first round of a run with --seconds


@click.command("confirm")
@click.argument("ranges", nargs=-1)
@click.option("--semantics", "mode", flag_value="semantics", help="The processor judges the semantics.")
@click.option("--kernel", "mode", flag_value="kernel", help="The running kernel's uprobes judge the scheme (root).")
@click.option("--cost", "mode", flag_value="cost", help="What a probe hit costs on this machine, in cycles.")
@click.option("--litmus", "mode", flag_value="litmus", help="The processors judge the fetch model.")
@click.option("--races", "mode", flag_value="races", help="The running kernel judges the protocols (root).")
@click.option("--runs", type=click.IntRange(1), default=1_000_000, show_default=True, help="--litmus: a test's runs.")
@click.option("--step", type=click.FloatRange(1), default=2.35, show_default=True,
              help="--kernel: compare one in so many encodings of the corpus.")  # fmt: skip
@click.option("--states", type=click.IntRange(1, 1 << 16), default=256, show_default=True,
              help="First runs of a form and round; attacks on read sets come on top.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=None,
              help="Repeat rounds for so long, after a short one over every form; default: one round.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; default: one a processor.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--store", is_flag=True, help="Keep the result in the checkout's proofs/live/.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def confirm(
    ranges: tuple[str, ...], mode: str | None, states: int, seconds: float | None, seed: int, style: str, store: bool,
    quiet: bool, step: float, jobs: int | None, runs: int,
) -> int:  # fmt: skip
    """Compare the models with this machine, over RANGE... (as for opcode-range; default all).

    With --litmus and --races, RANGE... are names of tests and of scenarios.
    """
    if mode is None:
        raise click.UsageError(f"say what is to be judged: {', '.join('--' + m for m in MODES)}")
    hidden()  # a wrong name is said before anything runs
    return MODES[mode](Request(ranges, states, seconds, seed, style, store, quiet, step,
                               jobs or len(os.sched_getaffinity(0)), runs))


def semantics(request: Request) -> int:
    """The processor judges the semantics of every form in the ranges."""
    from verify.confirm.semantics import Summary, keep, lines  # noqa: PLC0415  start-up time
    from verify.live.capabilities import ExecutorUnavailable  # noqa: PLC0415
    from verify.live.differential.run import Settings, available  # noqa: PLC0415

    forms = _forms(request.ranges)
    try:
        judge = available()
    except ExecutorUnavailable as error:
        return unavailable(str(error))
    first = request.states if request.seconds is None else FIRST_STATES
    summary = Summary(Settings(request.states, seed=request.seed, first=first), judge, len(forms))
    broken_off = _judged(request, forms, summary)
    click.echo(json.dumps(summary.document()) if request.style == "json" else "\n".join(lines(summary)))
    if broken_off:
        return interrupted()
    request.kept(partial(keep, summary))
    if not (summary.executed or summary.lost):
        return unavailable("no form of these ranges could be executed: " + "; ".join(set(summary.skipped.values())))
    return REFUTED if summary.unexplained else FAULT if summary.lost else 0


def _judged(request: Request, forms: list[Any], summary: Any) -> bool:
    """Fills the summary, mismatches and progress shown as they come; whether it was interrupted."""
    from verify.confirm.semantics import mismatch_lines  # noqa: PLC0415  start-up time
    from verify.live.differential.run import survey  # noqa: PLC0415

    begun = time.monotonic()
    try:
        with closing(survey(forms, summary.settings, request.seconds, request.jobs)) as results:
            for round_number, result in results:
                for mismatch in summary.take(round_number, result):
                    if request.style == "text":
                        click.echo("\n".join(mismatch_lines(mismatch)))
                summary.seconds = time.monotonic() - begun
                _progress(request, summary)
    except KeyboardInterrupt:
        return True
    finally:
        _progress(request, None)
    return False


def _forms(ranges: tuple[str, ...]) -> list[Any]:
    from verify.cli.options import opcode_ranges  # noqa: PLC0415  start-up time
    from verify.models.x86.isa.forms import all_forms  # noqa: PLC0415

    wanted = opcode_ranges(ranges)
    forms = [f for f in all_forms() if any(f in r for r in wanted)]
    if not forms:
        raise click.UsageError(f"no form lies in {' '.join(ranges)}")
    return forms


def _progress(request: Request, summary: Any) -> None:
    """One line on a terminal, rewritten; None ends it."""
    if request.quiet or not sys.stderr.isatty():
        return
    if summary is None:
        click.echo("\r\x1b[K", nl=False, err=True)
        return
    done = len(summary.executed) + len(summary.skipped)
    click.echo(f"\r{done}/{summary.wanted} forms, {summary.states} states\x1b[K", nl=False, err=True)


def kernel(request: Request) -> int:
    """The running kernel judges the scheme: predictions compared with real probes."""
    from verify.cli.options import opcode_ranges  # noqa: PLC0415  start-up time
    from verify.confirm.handling import documents  # noqa: PLC0415
    from verify.confirm.kernel import Agreement, compared, kept, machine_cpu  # noqa: PLC0415
    from verify.live.kernel.record import record, store  # noqa: PLC0415
    from verify.live.uprobe import UprobesUnavailable, missing  # noqa: PLC0415

    _forms(request.ranges)
    agreement, begun, broken_off = Agreement(), time.monotonic(), False
    if absent := missing():
        return unavailable("; ".join(absent))
    judge, ways = _knowing_judge(), {}
    try:
        ways = documents(opcode_ranges(request.ranges), judge.scheme, machine_cpu())
        with closing(
            compared(opcode_ranges(request.ranges), request.step, request.jobs, judge, request.seconds)
        ) as found:
            for agreement in found:  # noqa: B007  the last one counts
                pass
    except UprobesUnavailable as error:
        return unavailable(str(error))
    except KeyboardInterrupt:
        broken_off = True
    document = {**agreement.document(), **ways, "seconds": round(time.monotonic() - begun, 1)}
    click.echo(json.dumps(document) if request.style == "json" else "\n".join(_agreement_lines(document)))
    if broken_off:
        return interrupted()
    request.kept(partial(kept, document))
    request.kept(partial(store, record(agreement.comparisons)))
    return kernel_status(document)


def kernel_status(document: Any) -> int:
    """REFUTED where model and kernel disagree on an encoding, a state or how it is run; FAULT for what is lost."""
    ways = (document[name]["disagreements"] for name in WAYS if name in document)
    if document["disagreements"] or document["apart"] or any(ways):
        return REFUTED
    return FAULT if document["lost"] else 0


def _knowing_judge() -> Any:
    """A judge that starts with the ledger's decisions, where there is one."""
    from verify.cli.options import assumptions_without, ledger_of  # noqa: PLC0415
    from verify.confirm.kernel import SCHEME  # noqa: PLC0415
    from verify.models.schemes.registry import SCHEMES  # noqa: PLC0415
    from verify.survey.encodings import NOTHING, known_of  # noqa: PLC0415  start-up time
    from verify.survey.settings import ANY_CPU  # noqa: PLC0415

    assumptions = assumptions_without(())
    try:
        known = known_of(ledger_of(None, SCHEME, ANY_CPU, assumptions), assumptions)
    except click.UsageError:
        known = NOTHING
    return known.judge(SCHEMES[SCHEME], assumptions)


def _agreement_lines(document: Any) -> list[str]:
    lines = [f"{h:<32} model {said}, kernel {seen}: {where}" for h, said, seen, where in document["disagreements"]]
    counts = ", ".join(f"{pair} {n:,}" for pair, n in document["predicted_and_seen"].items())
    return [
        *lines,
        *(f"state {kind:<40} {n['runs']:>9,} runs, {n['deviating']:,} encodings deviate"
          for kind, n in document["states"].items()),
        *(f"state {kind:<40} not run: {reason}" for kind, reason in document["not_run"].items()),
        *(f"left out by assumption {name}: {n:,} encodings" for name, n in document["assumed"].items()),
        *(f"faults delivered to a handler, trap number {what}: {n:,}" for what, n in document["frames"].items()),
        *(f"{h:<32} {kind}, state {state!r}: model {_named(said)}, kernel {_named(seen)}"
          for h, kind, state, said, seen in document["apart"]),
        f"predicted state by state: {document['one_by_one']:,}, apart {len(document['apart'])}",
        f"predicted/seen: {counts}",
        f"{document['compared']:,} encodings compared on {document['processor']}, {document['judged']:,} predicted: "
        f"{document['agreement']:.3%} agree; {document['confirmed']:,} deviations confirmed; "
        f"{len(document['unsound'])} called identical and deviating; {document['seconds']} s",
        *(f"skipped: {number:,} encodings: {reason}" for reason, number in document["skipped"].items()),
        *(line for name, title in WAYS.items() if name in document for line in _way_lines(title, document[name])),
        *(f"lost: {reason}" for reason in document["lost"]),
    ]


def _named(observables: Any) -> str:
    return ",".join(observables) or "identical"


def _way_lines(title: str, ways: Any) -> list[str]:
    if "reason" in ways:
        return [f"{title}: {ways['reason']}"]
    lines = [f"{h:<32} plan: {said}; kernel: {seen}" for h, said, seen in ways["disagreements"]]
    return [*lines, f"{title}: {ways['compared']:,} encodings of {ways['kinds']:,} kinds of plan, "
                    f"{len(lines)} otherwise than planned"]


def cost(request: Request) -> int:
    """Medians of what a probe hit costs, beside the figures of the original discussion."""
    from verify.live.capabilities import ExecutorUnavailable, capabilities  # noqa: PLC0415  start-up time
    from verify.live.kernel.cost import costs, store  # noqa: PLC0415

    try:
        capabilities()
    except ExecutorUnavailable as error:
        return unavailable(str(error))
    rows = costs()
    for row in rows:
        shown = f"{row.cycles:>12,.1f} cycles" if row.cycles is not None else f"not available here: {row.reason}"
        line = f"{row.name:<36} {shown}; the discussion said about {row.discussed}"
        click.echo(json.dumps({"name": row.name, "cycles": row.cycles}) if request.style == "json" else line)
    request.kept(partial(store, rows))
    return UNDECIDED if any(row.cycles is None for row in rows) else 0


MODES: Final[dict[str, Callable[[Request], int]]] = {
    "semantics": semantics, "kernel": kernel, "cost": cost, "litmus": litmus, "races": races,
}  # fmt: skip
