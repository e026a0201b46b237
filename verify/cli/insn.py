"""`ubp-verify insn`: one instruction explained."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import click

from verify.cli import every_scheme
from verify.cli.options import (
    assumptions_without,
    judging,
    ledger_of,
    parsed_hex,
    scheme_named,
    text_width,
)
from verify.cli.status import OPEN, REFUTED, UNDECIDED, WRONG_PLACE
from verify.report.records import indented, replaced
from verify.report.surveys import ClassifiedEncoding, ExplainedEncoding

if TYPE_CHECKING:
    from verify.judge.encoding import Judge, Judgement
    from verify.models.schemes.scheme import Scheme


EXAMPLES: Final = """\b
Examples:
  ubp-verify insn 9c
  ubp-verify insn c5 f9 7f c0 --syntax att
  ubp-verify insn 0f05 --all --scheme linux-uprobes-6.1
  ubp-verify insn 4190 --confirm
  ubp-verify insn 4190 --emit-reproducer ./shows-it
"""


@click.command(epilog=EXAMPLES)
@click.argument("encoding", nargs=-1, required=True)
@judging
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--followed-by", "behind", metavar="HEX",
              help="What stands behind it; default: whatever the scheme tells apart.")  # fmt: skip
@click.option("--check", is_flag=True, help="End with status 1 where the encoding is refuted.")
@click.option("--confirm", is_flag=True, help="Ask the running kernel's uprobes too (root).")
@click.option("--although", is_flag=True, help="Ask it although the scheme models another version than runs here.")
@click.option("--emit-reproducer", "reproducer", metavar="DIR", help="Write a C program and a script that show it.")
@click.option("--syntax", type=click.Choice(["intel", "att"]), default="intel", show_default=True,
              help="Of assembly that is printed.")  # fmt: skip
@click.option("--all", "every", is_flag=True,
              help="A counterexample of every refuted observable, the plan as kept, the assumptions.")  # fmt: skip
@click.option("--ledger", "folder", metavar="DIR", help="Where verdicts are kept; default: proofs/ of a checkout.")
@click.option("--observable", metavar="NAME", help="What the program is to show; default: the first that shows here.")
def insn(
    encoding: tuple[str, ...], scheme_name: str | None, cpu: str, dropped: tuple[str, ...], style: str,
    behind: str | None, check: bool, confirm: bool, although: bool, reproducer: str | None, observable: str | None,
    syntax: str, every: bool, folder: str | None,
) -> int:  # fmt: skip
    """One instruction explained: ENCODING in hex, with or without spaces, or assembly text (needs keystone-engine)."""
    from verify.models.x86.isa.assembly import Syntax  # noqa: PLC0415
    from verify.survey.explanation import CPUS, Shown, encoding_row  # noqa: PLC0415  start-up time

    _check_observable(observable, reproducer)
    if although and not confirm:
        raise click.UsageError("--although says that --confirm asks all the same, which is not given")
    data = _encoded(" ".join(encoding))
    if scheme_name == every_scheme.ALL:
        if confirm or reproducer:
            raise click.UsageError("--confirm and --emit-reproducer ask about one scheme, not about all")
        return every_scheme.explain(data, cpu, assumptions_without(dropped), style, behind, check)
    judge = _judge(scheme_named(scheme_name), assumptions_without(dropped), folder)
    followed_by = None if behind is None else parsed_hex(behind, "--followed-by")
    row = encoding_row(data, judge, CPUS[cpu], followed_by, Shown(Syntax(syntax), every))
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
        _print(row, every)
    if status:
        return status
    if check and row.verdict == "refuted":
        return REFUTED
    return UNDECIDED if row.verdict in OPEN else 0


def _judge(scheme: Scheme, assumptions: frozenset[str], folder: str | None) -> Judge:
    """A judge that starts with nothing, or with what a ledger that was named has."""
    from verify.judge.encoding import Judge  # noqa: PLC0415  start-up time
    from verify.smt.decisions import InMemory  # noqa: PLC0415
    from verify.survey.encodings import known_of  # noqa: PLC0415
    from verify.survey.settings import ANY_CPU  # noqa: PLC0415

    if folder is None:
        return Judge(scheme, assumptions)
    known = known_of(ledger_of(folder, scheme.name, ANY_CPU, assumptions), assumptions)
    return Judge(scheme, assumptions, InMemory(dict(known.decisions)), known.classes)


def _encoded(text: str) -> bytes:
    """The bytes of hex, with or without 0x, or of Intel-syntax assembly where an assembler library is installed."""
    text = " ".join(word[2:] if word[:2].lower() == "0x" else word for word in text.split()) or text
    if not set("".join(text.split()).lower()) - set("0123456789abcdef"):
        return parsed_hex(text, "encoding")
    if find_spec("keystone") is None:
        return parsed_hex(text, "encoding (assembly text needs pip install 'ubp-verify[assembly]')")
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
        row, status = _write_reproducer(reproducer, judgement, judge.assumptions, row, observable, although)
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
    directory: str, judgement: Judgement, assumptions: frozenset[str], row: ExplainedEncoding, observable: str | None,
    although: bool,
) -> tuple[ExplainedEncoding, int]:  # fmt: skip
    """The row with the files and the state that they start from, or why there are none; the exit status."""
    from pathlib import Path  # noqa: PLC0415  start-up time

    from verify.confirm.reproducer import write_reproducer  # noqa: PLC0415
    from verify.live.reproducer.program import Account  # noqa: PLC0415

    text, reason = row.text or row.bytes, row.reason or row.verdict
    account = Account(f"{text}: {reason}", text, row.scheme, row.plan, reason)
    try:
        emitted = write_reproducer(Path(directory), judgement, assumptions, account, observable, although)
    except WRONG_PLACE as error:
        raise click.UsageError(f"no reproducer in {directory!r}: {error.strerror or error}") from error
    row = replaced(row, reproducer=tuple(map(str, emitted.paths)), reproducer_state=emitted.state)
    return row, 0 if emitted.is_written else UNDECIDED


def _print(row: ExplainedEncoding, every: bool) -> None:
    from verify.report.explained import lines  # noqa: PLC0415  start-up time

    for line in lines(row, text_width(), every):
        click.echo(line)
