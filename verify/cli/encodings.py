"""`insn`, `classify`, `forms` and `schemes`: one encoding, many encodings, and what there is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, BinaryIO

import click

from verify.cli import every_scheme
from verify.cli.options import assumptions_without, judging, ledger_of, opcode_ranges, parsed_hex, scheme_named
from verify.cli.status import REFUTED, UNDECIDED, USAGE, WRONG_PLACE
from verify.report.records import encoded, indented, replaced
from verify.report.surveys import (
    AssumptionRow,
    ClassifiedEncoding,
    CounterexampleRow,
    DecoderDisagreement,
    DescribedForm,
    DescribedScheme,
    ExplainedEncoding,
)

if TYPE_CHECKING:
    from verify.judge.encoding import Judge, Judgement
    from verify.models.schemes.scheme import Scheme
    from verify.models.x86.isa.ranges import OpcodeRange

LINE_LIMIT = 4096  # characters of an input line of `classify`
OPEN = {"unknown", "vacuous"}  # verdicts that decide nothing


@click.command()
@click.argument("encoding", nargs=-1, required=True)
@judging
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--followed-by", "behind", metavar="HEX",
              help="What stands behind it; default: whatever the scheme tells apart.")  # fmt: skip
@click.option("--check", is_flag=True, help="End with status 1 where the encoding is refuted.")
@click.option("--confirm", is_flag=True, help="Ask the running kernel's uprobes too (root).")
@click.option("--although", is_flag=True, help="Ask it although the scheme models another version than runs here.")
@click.option("--emit-reproducer", "reproducer", metavar="DIR", help="Write a C program and a script that show it.")
@click.option("--observable", metavar="NAME", help="What the program is to show; default: the first that shows here.")
def insn(
    encoding: tuple[str, ...], scheme_name: str | None, cpu: str, dropped: tuple[str, ...], style: str,
    behind: str | None, check: bool, confirm: bool, although: bool, reproducer: str | None, observable: str | None,
) -> int:  # fmt: skip
    """One instruction explained: ENCODING in hex, with or without spaces, or assembly text (needs keystone-engine)."""
    from verify.judge.encoding import Judge  # noqa: PLC0415
    from verify.survey.explanation import CPUS, encoding_row  # noqa: PLC0415  start-up time

    _check_observable(observable, reproducer)
    if although and not confirm:
        raise click.UsageError("--although says that --confirm asks all the same, which is not given")
    data = _encoded(" ".join(encoding))
    if scheme_name == every_scheme.ALL:
        if confirm or reproducer:
            raise click.UsageError("--confirm and --emit-reproducer ask about one scheme, not about all")
        return every_scheme.explain(data, cpu, assumptions_without(dropped), style, behind, check)
    judge = Judge(scheme_named(scheme_name), assumptions_without(dropped))
    followed_by = None if behind is None else parsed_hex(behind, "--followed-by")
    row = encoding_row(data, judge, CPUS[cpu], followed_by)
    if isinstance(row, ClassifiedEncoding):
        raise click.UsageError(f"{data.hex()} is not an instruction: {row.reason}")
    if row.length and row.length != len(data):
        raise click.UsageError(f"{data.hex()}: the instruction ends after {row.length} of {len(data)} bytes")
    status = 0
    if confirm or reproducer:
        row, status = _ask_kernel(data, judge, row, confirm, reproducer, observable, although)
    if style == "json":
        click.echo(indented(row))
    else:
        _print_insn(row)
    if status:
        return status
    if check and row.verdict == "refuted":
        return REFUTED
    return UNDECIDED if row.verdict in OPEN else 0


def _encoded(text: str) -> bytes:
    """The bytes of hex, or of Intel-syntax assembly where an assembler library is installed."""
    if not set("".join(text.split()).lower()) - set("0123456789abcdef") or find_spec("keystone") is None:
        return parsed_hex(text, "encoding")
    import keystone  # noqa: PLC0415  optional

    from verify.models.x86.mode import USER_64  # noqa: PLC0415  start-up time

    try:
        values, _ = keystone.Ks(keystone.KS_ARCH_X86, getattr(keystone, f"KS_MODE_{USER_64.bits}")).asm(text)
    except keystone.KsError:
        return parsed_hex(text, "encoding")  # no instruction either: names the first letter that is not hex
    return bytes(values or ())


def _check_observable(name: str | None, reproducer: str | None) -> None:
    from verify.models.x86.machine import OBSERVABLES  # noqa: PLC0415  start-up time

    if name is not None and reproducer is None:
        raise click.UsageError("--observable says what --emit-reproducer is to show, which is not given")
    if name is not None and name not in OBSERVABLES:
        raise click.UsageError(f"no observable {name!r}: there are {', '.join(OBSERVABLES)}")


def _ask_kernel(
    data: bytes, judge: Judge, row: ExplainedEncoding, confirm: bool, reproducer: str | None, observable: str | None,
    although: bool,
) -> tuple[ExplainedEncoding, int]:
    """The row with what the kernel says, and where the reproducer is; the exit status."""
    from verify.claim.probes import probe  # noqa: PLC0415
    from verify.confirm.counterexample import confirmation, not_on_this_processor  # noqa: PLC0415  start-up time
    from verify.confirm.judges import another_version, has_judge  # noqa: PLC0415
    from verify.confirm.kernel import machine_cpu  # noqa: PLC0415
    from verify.live.capabilities import ExecutorUnavailable  # noqa: PLC0415
    from verify.live.uprobe import UprobesUnavailable  # noqa: PLC0415

    data, behind = bytes.fromhex(row.instruction or data.hex()), bytes.fromhex(row.followed_by)
    other = another_version(judge.scheme)
    if other and (confirm or not has_judge(judge.scheme)) and not although:
        asks = " (--although asks all the same)" if confirm else ""
        return replaced(row, kernel=f"not available here: {other}{asks}"), UNDECIDED
    judgement = judge.judged(probe(data, judge.scheme, machine_cpu(), behind))
    status = 0
    if reproducer:
        row, status = _write_reproducer(reproducer, judgement, judge.assumptions, row, observable)
    if not confirm:
        return row, status
    try:
        if why := not_on_this_processor(data):
            return replaced(row, kernel=why), UNDECIDED
        said = confirmation(data + behind, judgement, judge.assumptions, row.verdict)
    except (UprobesUnavailable, ExecutorUnavailable) as error:
        return replaced(row, kernel=f"not available here: {error}"), UNDECIDED
    return replaced(row, kernel=said), REFUTED if said.startswith("contradicted") else status


def _write_reproducer(
    directory: str, judgement: Judgement, assumptions: frozenset[str], row: ExplainedEncoding, observable: str | None
) -> tuple[ExplainedEncoding, int]:
    """The row with the files and the state that they start from, or why there are none; the exit status."""
    from pathlib import Path  # noqa: PLC0415  start-up time

    from verify.confirm.reproducer import write_reproducer  # noqa: PLC0415
    from verify.live.reproducer.program import Account  # noqa: PLC0415

    text, reason = row.text or row.bytes, row.reason or row.verdict
    account = Account(f"{text}: {reason}", text, row.scheme, row.plan, reason)
    try:
        emitted = write_reproducer(Path(directory), judgement, assumptions, account, observable)
    except WRONG_PLACE as error:
        raise click.UsageError(f"no reproducer in {directory!r}: {error.strerror or error}") from error
    row = replaced(row, reproducer=tuple(map(str, emitted.paths)), reproducer_state=emitted.state)
    return row, 0 if emitted.is_written else UNDECIDED


def _print_insn(row: ExplainedEncoding) -> None:
    for name in ("bytes", "text", "form", "memory_styles", "undefined", "scheme", "followed_by", "plan", "verdict",
                 "reason", "kernel", "reproducer", "reproducer_state"):  # fmt: skip
        value = getattr(row, name)
        if value:
            shown = ", ".join(value) if isinstance(value, tuple) else str(value).replace("\n", f"\n{'':<15}")
            click.echo(f"{name.replace('_', ' '):<14} {shown}")
    click.echo(f"{'assumptions':<14} {', '.join(row.assumptions) or 'none'}")
    click.echo(f"{'rests on':<14} {', '.join(row.rests_on) or 'none of them'}")
    for observable, verdict in row.verdicts.items():
        click.echo(f"  {observable:<18} {verdict}")
    if row.counterexample is not None:
        _print_counterexample(row.counterexample)


def _print_counterexample(example: CounterexampleRow) -> None:
    click.echo(f"counterexample ({example.observable}, {example.vendor})")
    click.echo(f"  origin {example.origin}  slot {example.slot}")
    states = ("initial", example.initial), ("in place", example.in_place), ("displaced", example.displaced)
    for title, state in states:
        values = ", ".join(f"{n}={v}" for n, v in state.items()) or "(all zero)"
        click.echo(f"  {title:<10} {values}")
    click.echo(f"  first difference: {example.first_difference}")
    if example.also_refuted:
        click.echo(f"  also refuted: {', '.join(example.also_refuted)}")


@click.command()
@click.argument("file", type=click.File("rb"))
@judging
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--check", is_flag=True, help="End with status 1 where an encoding is refuted.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; default: one a processor.")
@click.option("--ledger", "folder", metavar="DIR", help="Where verdicts are kept; default: proofs/ of a checkout.")
def classify(
    file: BinaryIO, scheme_name: str | None, cpu: str, dropped: tuple[str, ...], style: str, check: bool,
    jobs: int | None, folder: str | None,
) -> int:  # fmt: skip
    """Verdicts for the encodings in FILE (- for standard input), one hex string a line, one result a line."""
    from verify.survey.encodings import classified, known_of  # noqa: PLC0415  start-up time
    from verify.survey.settings import ANY_CPU  # noqa: PLC0415

    scheme, assumptions = scheme_named(scheme_name), assumptions_without(dropped)
    known = known_of(ledger_of(folder, scheme.name, ANY_CPU, assumptions), assumptions)
    seen, wrong, any_line = set[str](), False, False
    for answer in classified(_lines(file), scheme, cpu, assumptions, jobs, known, _dealt_again):
        any_line = True
        if answer.error:
            wrong = True
            click.echo(f"ubp-verify: {answer.error}", err=True)
        seen.add(answer.row.verdict)
        _write_row(answer.row, style)
    sys.stdout.flush()
    if not any_line:
        raise click.UsageError(f"{file.name}: no encodings: the file is empty")
    if wrong:
        return USAGE
    if check and "refuted" in seen:
        return REFUTED
    return UNDECIDED if seen & OPEN else 0


def _dealt_again(lines: Sequence[tuple[int, bytes]], reason: str) -> None:
    click.echo(f"ubp-verify: {reason}; {len(lines)} lines from {lines[0][0]} on are judged again", err=True)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Numbered lines; a line over the limit is cut, so that a file without line ends does not fill the memory."""
    number = 0
    while line := file.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT and not line.endswith(b"\n"):
            while (rest := file.readline(LINE_LIMIT)) and not rest.endswith(b"\n"):
                pass
        if line.strip() and not line.lstrip().startswith(b"#"):
            yield number, line


def _write_row(row: ClassifiedEncoding, style: str) -> None:
    if style == "json":
        sys.stdout.write(encoded(row) + "\n")
    else:
        sys.stdout.write(f"{row.bytes}\t{row.verdict}\t{','.join(row.observables)}\t{row.reason}\n")


@click.command()
@click.argument("ranges", nargs=-1)
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--disagreements", is_flag=True, help="Where Capstone reads the same bytes otherwise.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the sampled encodings.")
@click.option("--samples", type=click.IntRange(1, 1000), default=2, show_default=True, help="Encodings a form.")
def forms(ranges: tuple[str, ...], style: str, disagreements: bool, seed: int, samples: int) -> int:
    """The forms in RANGE..., or with --disagreements what the second decoder says otherwise."""
    from verify.models.x86.isa.forms import all_forms  # noqa: PLC0415
    from verify.models.x86.isa.ranges import opcode_text  # noqa: PLC0415

    wanted = opcode_ranges(ranges)
    if disagreements:
        return _disagreements(wanted, style, seed, samples)
    rows = (
        DescribedForm(form=f.name, opcode=opcode_text(f.opcode), mnemonic=f.opcode.mnemonic,
                      addressing=f.addressing.value, encoding=f.opcode.encoding, operands=tuple(f.opcode.op_kinds))
        for f in all_forms() if any(f in r for r in wanted)
    )  # fmt: skip
    for row in rows:
        if style == "json":
            click.echo(encoded(row))
        else:
            click.echo(f"{row.opcode:<18} {row.form:<48} {', '.join(row.operands)}")
    return 0


def _disagreements(wanted: tuple[OpcodeRange, ...], style: str, seed: int, samples: int) -> int:
    from verify.models.x86.isa.capstone_check import sampled_differences  # noqa: PLC0415  capstone only where asked for

    unknown = 0
    for form, data, difference in sampled_differences(seed, samples):
        if not any(form in r for r in wanted):
            continue
        unknown += difference.why is None
        said = f"{difference.kind}: {difference.theirs}"
        row = DecoderDisagreement(form=form.name, bytes=data.hex(), difference=said, known=difference.why)
        why = f"known: {difference.why}" if difference.why else "UNKNOWN"
        click.echo(encoded(row) if style == "json" else f"{form.name:<44} {data.hex():<30} {said}; {why}")
    return UNDECIDED if unknown else 0


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def schemes(names: tuple[str, ...], style: str) -> int:
    """The schemes that can be judged; with NAME, also the deviations that its forms share and the assumptions."""
    from verify.models.schemes.registry import DEFAULT, SCHEMES  # noqa: PLC0415  start-up time

    for scheme in [scheme_named(n) for n in names] or SCHEMES.values():
        row = DescribedScheme(scheme=scheme.name, default=scheme.name == DEFAULT, summary=scheme.summary,
                              source=scheme.source)  # fmt: skip
        row = _with_shared(row, scheme) if names else row
        if style == "json":
            click.echo(encoded(row))
        else:
            _print_scheme(row)
    return 0


def _with_shared(row: DescribedScheme, scheme: Scheme) -> DescribedScheme:
    from verify.models.schemes.assumptions import ASSUMPTIONS, ROWS  # noqa: PLC0415  start-up time
    from verify.survey.rows import shared_deviations  # noqa: PLC0415

    assumptions = tuple(AssumptionRow(**asdict(a)) for a in ROWS)
    return replaced(row, deviations=shared_deviations(scheme, ASSUMPTIONS), assumptions=assumptions)


def _print_scheme(row: DescribedScheme) -> None:
    click.echo(f"{row.scheme}{' (default)' * row.default}\n  {row.summary}\n  source: {row.source}")
    for entry in row.deviations or ():
        left_out = " (left out of the forms' verdicts)" if entry.left_out else ""
        click.echo(f"\n  {entry.name}{left_out}")
        for title in ("sees", "rule", "witness", "loses", "instead"):
            click.echo(f"    {title + ':':<9} {getattr(entry, title)}")
    if row.assumptions is not None:
        click.echo("\n  assumptions")
    for assumption in row.assumptions or ():
        mark = "" if assumption.by_default else " (not in force by default)"
        click.echo(f"    {assumption.name}{mark}: {assumption.says}; without it: {assumption.without}")
