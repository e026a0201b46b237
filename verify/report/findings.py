"""A finding as a page that can be sent to whoever maintains the implementation: one Markdown file a cause.

It says what was found, by which rule, on which machine it was seen, how to see it, and what is proved of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from verify.report.causes import CauseFinding
from verify.report.judged import CounterexampleRow
from verify.report.surveys import FormRow, Survey
from verify.report.wrapped import differing, plain

MOST: Final = 60  # forms that are named
REFUSED: Final = "refused"


def findings(survey: Survey) -> Iterator[tuple[str, str]]:
    """File names and texts: a list of all, then each cause."""
    rows = [
        f"| [{f.cause.name}]({f.cause.name}.md) | {f.cause.harm} | {f.forms:,} | {f.emitted:,} |" for f in survey.causes
    ]
    head = ["| cause | what it costs | forms | as compilers emit them |", "|---|---|---:|---:|"]
    yield "README.md", "\n".join([f"# {survey.scheme}: findings by cause", "", *head, *rows, ""])
    by_form = {row.form: row for row in survey.forms}
    for finding in survey.causes:
        yield f"{finding.cause.name}.md", "\n".join(_page(survey, finding, by_form[finding.form])) + "\n"


def _page(survey: Survey, finding: CauseFinding, row: FormRow) -> Iterator[str]:
    cause = finding.cause
    yield f"# {cause.name}: {cause.harm}"
    yield from ("", f"Implementation: {survey.scheme}. Rule: {cause.rule}.")
    yield from ("", "## What happens", "", f"{_sentence(cause.happens)} The program loses {cause.loses}.")
    yield from ("", "## Which instructions", "", *_which(survey, finding))
    if finding.example:
        yield from ("", "## How to see it", "", *_how(survey, finding))
    if row.counterexample is not None:
        yield from ("", "## A state that shows it", "", *_state(row.counterexample))
    yield from ("", "## What to do", "", _sentence(cause.instead))
    yield from ("", "## What the verdict rests on", "", *_scope(survey, finding))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _which(survey: Survey, finding: CauseFinding) -> Iterator[str]:
    names = [row.form for row in survey.forms if row.cause == finding.cause.name]
    yield f"{finding.forms:,} forms; of {finding.emitted:,} of them encodings as compilers emit them are concerned:"
    yield ", ".join(f"`{name}`" for name in names[:MOST]) + (f" and {len(names) - MOST:,} more" if names[MOST:] else "")


def _how(survey: Survey, finding: CauseFinding) -> Iterator[str]:
    behind = f" --followed-by {finding.followed_by}" if finding.followed_by else ""
    yield f"`{finding.example}`  `{finding.text}`"
    yield from ("", f"Seen: {finding.confirmed or 'on no machine yet'}.")
    command = f"ubp-verify insn {finding.example}{behind} --scheme {survey.scheme}"
    if finding.cause.harm != REFUSED:
        yield from ("", "A C program that shows it, and a script that runs it with and without the probe:")
        command += " --emit-reproducer DIR && sh DIR/run.sh"
    yield from ("", f"    {command}")


def _state(row: CounterexampleRow) -> Iterator[str]:
    initial = ", ".join(f"{n} = {plain(v)}" for n, v in row.initial.items()) or "all registers 0"
    yield f"`{row.bytes}` at {plain(row.origin)}, slot at {plain(row.slot)}; before: {initial}."
    yield from ("", f"| {row.observable} | in place | probed |", "|---|---|---|")
    for name, here in row.in_place.items():
        yield "| " + " | ".join(differing(name, here, row.displaced[name])) + " |"


def _scope(survey: Survey, finding: CauseFinding) -> Iterator[str]:
    if finding.cause.harm == REFUSED:
        without_need = f"; {finding.over_cautious:,} of them are proved where a copy is stepped all the same"
        yield f"The refusal is read from the implementation{without_need if finding.over_cautious else ''}."
    else:
        yield "The deviation is the outcome of evaluating both sides in the state above, without a solver. Of a changed"
        yield "rule nothing was proved: what to do is written by hand."
    yield f"Assumptions in force: {', '.join(survey.assumptions) or 'none'}."
    yield f"ubp-verify {survey.version}, processor {survey.cpu}."
