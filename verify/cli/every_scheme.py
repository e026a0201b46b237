"""`--scheme all`: what every scheme makes of one encoding, and of the forms of a range, side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from verify.cli.options import parsed_hex
from verify.cli.status import OPEN, REFUTED, UNDECIDED
from verify.report.records import encoded
from verify.report.surveys import ClassifiedEncoding, ExplainedEncoding, Survey

if TYPE_CHECKING:
    from verify.models.schemes.scheme import Scheme

ALL: Final = "all"
COLUMNS: Final = ("proved", "refuted", "refused", "unknown", "vacuous")


def schemes() -> tuple[Scheme, ...]:
    """Every scheme but the control, which is no way to run a probed instruction."""
    from verify.models.schemes.registry import SCHEMES  # noqa: PLC0415  start-up time

    return tuple(s for s in SCHEMES.values() if s.name != "identity")


def schemes_of(name: str | None, is_ones: bool) -> tuple[Scheme, ...]:
    """Every scheme where all are asked for, else none.  A usage error with options that are one scheme's."""
    if name != ALL:
        return ()
    if is_ones:
        raise click.UsageError("--map and --baseline are one scheme's, not all schemes'")
    return schemes()


def explain(
    data: bytes, cpu: str, assumptions: frozenset[str], style: str, behind: str | None, check: bool
) -> int:  # fmt: skip
    """`insn --scheme all`: a line a scheme, or as JSON what `insn` says of each, an object a line; the exit status."""
    from verify.judge.encoding import Judge  # noqa: PLC0415
    from verify.smt.decisions import InMemory  # noqa: PLC0415  start-up time
    from verify.survey.explanation import CPUS, encoding_row  # noqa: PLC0415  start-up time

    followed_by = None if behind is None else parsed_hex(behind, "--followed-by")
    rows, decisions = list[ExplainedEncoding](), InMemory()
    for scheme in schemes():
        row = encoding_row(data, Judge(scheme, assumptions, decisions), CPUS[cpu], followed_by)
        if isinstance(row, ClassifiedEncoding):
            raise click.UsageError(f"{data.hex()} is not an instruction: {row.reason}")
        if row.length and row.length != len(data):
            raise click.UsageError(f"{data.hex()}: the instruction ends after {row.length} of {len(data)} bytes")
        rows.append(row)
    if style == "json":
        sys.stdout.writelines(f"{encoded(row)}\n" for row in rows)
    else:
        _print_rows(rows)
    return _status({r.verdict for r in rows}, check)


def _print_rows(rows: Sequence[ExplainedEncoding]) -> None:
    first = rows[0]
    click.echo(f"{first.bytes}  {first.text}".rstrip())
    width = max(len(r.scheme) for r in rows)
    for r in rows:
        said = ", ".join(r.observables) or (r.reason if r.verdict != "proved" else "")
        click.echo(f"  {r.scheme:<{width}}  {r.verdict:<8}  {said}".rstrip())


def show(results: Sequence[Survey], style: str) -> None:
    """`opcode-range --scheme all`: forms by verdict and scheme; JSON: a survey a line; CSV: a form a line."""
    if style == "json":
        sys.stdout.writelines(f"{encoded(r)}\n" for r in results)
    elif style == "csv":
        _csv(results)
    else:
        _print_table(results)


def _csv(results: Sequence[Survey]) -> None:
    import csv  # noqa: PLC0415  this format alone needs it

    writer = csv.writer(sys.stdout)
    writer.writerow(("form", "opcode", *(r.scheme for r in results)))
    for rows in zip(*(r.forms for r in results), strict=True):
        writer.writerow((rows[0].form, rows[0].opcode, *(r.verdict for r in rows)))


def _print_table(results: Sequence[Survey]) -> None:
    width = max(len(r.scheme) for r in results)
    click.echo(f"{'scheme':<{width}}  {'  '.join(f'{c:>7}' for c in COLUMNS)}  {'alone':>7}")
    for r in results:
        counts = "  ".join(f"{r.totals[c]:>7}" for c in COLUMNS)
        click.echo(f"{r.scheme:<{width}}  {counts}  {_alone(r, results):>7}")
    proved = [any(f.verdict == "proved" for f in rows) for rows in zip(*(r.forms for r in results), strict=True)]
    click.echo(f"{len(proved)} forms, {sum(proved)} proved under some scheme; alone: under this one only")


def _alone(one: Survey, results: Sequence[Survey]) -> int:
    """How many forms no other scheme has proved."""
    others = [r for r in results if r is not one]
    return sum(
        f.verdict == "proved" and all(r.forms[i].verdict != "proved" for r in others)
        for i, f in enumerate(one.forms)
    )  # fmt: skip


def _status(verdicts: set[str], check: bool) -> int:
    if check and "refuted" in verdicts:
        return REFUTED
    return UNDECIDED if verdicts & OPEN else 0
