"""What `interleavings --threads any` prints, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.concurrency.results.presentation import table, trace_row
from verify.report.explorations import PROPERTY_VERDICTS, ExploredForAny
from verify.report.records import encoded

if TYPE_CHECKING:
    from verify.concurrency.unbounded import AnyNumber, AnyVerdict


def any_text(found: AnyNumber) -> str:
    """Verdicts for any number, and the trace of each refutation."""
    name = found.protocol + (f" ({found.variant})" if found.variant else "")
    lines = [f"{name}: any number of threads, {found.seconds:.1f} s" + ("; interrupted" if found.interrupted else "")]
    for prop, verdict in found.properties:
        lines.append(f"  {verdict.name:<8} {prop}: {verdict.reason}")
        lines += [f"           by {'; '.join(rules)}"] if (rules := _rules(verdict)) else []
    for threads, trace in found.traces:
        who = f"{threads} thread" + ("s" if threads > 1 else "")
        lines += ["", f"  {trace.property} is violated with {who} in {len(trace.events)} steps:"]
        lines += ["    " + line for line in table(trace).splitlines()]
    return "\n".join([*lines, ""])


def _rules(verdict: AnyVerdict) -> tuple[str, ...]:
    """What a proof of liveness uses."""
    return getattr(verdict, "rules", ())


def any_json(found: AnyNumber) -> str:
    """Verdicts for any number as one JSON object."""
    return encoded(ExploredForAny(
        protocol=found.protocol, variant=found.variant or None, threads="any",
        properties={name: PROPERTY_VERDICTS[v.name] for name, v in found.properties},
        reasons={name: v.reason for name, v in found.properties if v.reason},
        rules={name: rules for name, v in found.properties if (rules := _rules(v))},
        traces=tuple(trace_row(trace, threads) for threads, trace in found.traces), seconds=round(found.seconds, 2),
    ))  # fmt: skip
