"""`interleavings --threads any`: verdicts for any number of threads, and the stored proofs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from verify.cli.progress import step
from verify.cli.status import INTERRUPTED, REFUTED, UNDECIDED, worse
from verify.cli.trace_files import broken_off, stem, trace_folder, write_traces
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.results.exploration import Limits
from verify.concurrency.results.presentation import table, trace_row
from verify.report.explorations import PROPERTY_VERDICTS, ExploredForAny
from verify.report.records import encoded

if TYPE_CHECKING:
    from verify.concurrency.unbounded import AnyNumber, AnyVerdict
    from verify.concurrency.unbounded.check import Checked
    from verify.concurrency.unbounded.recorded import Recorded


def any_number(
    chosen: list[Protocol], form: str, limits: Limits, check: bool, traces: Path | None, stored: StoredProofs | None
) -> int:
    """Verdicts for any number of threads; the exit status."""
    from verify.concurrency.unbounded import prove_any  # noqa: PLC0415  the solver only where asked for

    status, folder = 0, trace_folder(traces)
    for position, item in enumerate(chosen):
        step(f"{stem(item)}, any number of threads")
        try:
            proofs = stored.proofs(item) if stored is not None and not stored.record else None
        except KeyboardInterrupt:
            return broken_off(f"the stored proofs of {stem(item)}", position, chosen)
        try:
            found = prove_any(item, limits=limits, known=proofs.methods if proofs else ())
        except ValueError as error:
            raise click.UsageError(f"{stem(item)}: {error}") from error
        click.echo(_any_json(found) if form == "json" else _any_text(found))
        for threads, trace in found.traces:
            if folder is not None:
                write_traces(folder, item, threads, (trace,))
        refuted = check and any(verdict.name == "refuted" for _, verdict in found.properties)
        status = worse(status, REFUTED if refuted else 0 if found.decided else UNDECIDED)
        if found.interrupted:
            return broken_off(stem(item), position, chosen)
        if stored is not None:
            status = worse(status, stored.recorded(item) if proofs is None else _granted(item, proofs))
        if status == INTERRUPTED:
            return status
    return status


@dataclass(frozen=True, slots=True)
class StoredProofs:
    """The stored invariants, to be checked, or (`record`) to be written anew."""

    folder: Path
    record: bool

    def proofs(self, item: Protocol) -> Recorded:
        """What is stored, judged by the independent checks."""
        from verify.concurrency.unbounded.recorded import recorded  # noqa: PLC0415  only where asked for

        try:
            return recorded(self.folder, item)
        except ValueError as error:
            raise click.UsageError(f"{stem(item)}: {error}") from error

    def recorded(self, item: Protocol) -> int:
        """Writes what is found anew, and says what the independent check does not grant; the exit status."""
        from verify.concurrency.unbounded import liveness_store, store  # noqa: PLC0415  only where asked for

        status = 0
        for place in (store, liveness_store):
            try:
                found = place.record(self.folder, item, Limits())
            except ValueError as error:
                raise click.UsageError(f"{stem(item)}: {error}") from error
            except KeyboardInterrupt:
                return broken_off(f"the invariant of {stem(item)}")
            status = worse(status, _granted(item, found))
        return status


def _granted(item: Protocol, found: Checked | Recorded) -> int:
    """Says what is not granted of stored proofs; the exit status."""
    for solver, condition, answer in found.failed:
        click.echo(f"ubp-verify: invariant of {stem(item)}: {condition} is {answer} by {solver}", err=True)
    return 0 if found.holds else REFUTED


def stored_proofs(ledger: str | None, check: bool, record: bool, usual: bool) -> StoredProofs | None:
    """Where the invariants are that are to be checked or written; they are the protocols' own."""
    if not (check or record):
        return None
    from verify.cli.options import ledger_directory  # noqa: PLC0415  start-up time

    if check and record:
        raise click.UsageError("--check compares and --record rewrites: one of the two")
    if record and not usual:
        said = "--record with --threads any is for protocols as they are, without --variant and --parameter"
        raise click.UsageError(said)
    return StoredProofs(ledger_directory(ledger, not record) / "protocols", record) if usual else None


def _any_text(found: AnyNumber) -> str:
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


def _any_json(found: AnyNumber) -> str:
    """Verdicts for any number as one JSON object."""
    return encoded(ExploredForAny(
        protocol=found.protocol, variant=found.variant or None, threads="any",
        properties={name: PROPERTY_VERDICTS[v.name] for name, v in found.properties},
        reasons={name: v.reason for name, v in found.properties if v.reason},
        rules={name: rules for name, v in found.properties if (rules := _rules(v))},
        traces=tuple(trace_row(trace, threads) for threads, trace in found.traces), seconds=round(found.seconds, 2),
    ))  # fmt: skip
