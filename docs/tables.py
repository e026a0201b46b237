"""The tables of the reference pages, Markdown made from the code: they cannot say anything else than it does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import click

MARK: Final = re.compile(r"^<!-- table: ([a-z-]+) -->$", re.M)


def filled(markdown: str) -> str:
    """The page, each mark replaced by its table.  KeyError where there is no such table."""
    return MARK.sub(lambda found: TABLES[found[1]](), markdown)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(c) for c in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|").replace("<", "&lt;")


def _code(words: str) -> str:
    return f"`{words}`"


def commands() -> str:
    """`--help` of every command, as it is printed 80 columns wide."""
    from verify.cli import cli

    with click.Context(cli, info_name="ubp-verify") as context:
        return "\n\n".join(_commands(cli, context))


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        with click.Context(command, info_name=name, parent=context, max_content_width=80, terminal_width=80) as inner:
            yield f"## {inner.command_path.removeprefix('ubp-verify ')}\n\n```text\n{command.get_help(inner)}\n```"
            if isinstance(command, click.Group):
                yield from _commands(command, inner)


def statuses() -> str:
    """Exit statuses, as `ubp-verify --help` says them."""
    from verify.cli import STATUSES

    return _table(("status", "meaning"), re.findall(r"^ +(\d+) +(.+)$", STATUSES, re.M))


def causes() -> str:
    """Causes, the most harmful first."""
    from verify.causes.catalogue import CAUSES

    return "\n\n".join(
        f"## {cause.name}\n\n*{cause.harm.value}.* {_sentence(cause.happens)}\n\n"
        + _table(("", ""), (("the program loses", cause.loses), ("instead", cause.instead),
                            *((f"rule of {name}\\*", text) for name, text in cause.rules)))
        for cause in sorted(CAUSES.values(), key=lambda c: c.harm.rank)
    )  # fmt: skip


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def assumptions() -> str:
    """Assumptions: what each says, and what falls without it."""
    from verify.models.schemes.assumptions import ROWS

    return _table(
        ("assumption", "says", "without it", "by default"),
        ((_code(row.name), row.says, row.without, "in force" if row.by_default else "not in force") for row in ROWS),
    )


def observables() -> str:
    """Observables; a new one without words here fails."""
    from verify.models.x86.machine import OBSERVABLES

    return _table(("observable", "covers"), ((_code(name), COVERS[name]) for name in OBSERVABLES))


COVERS: Final = {
    "next-ip": "where the program goes on",
    "gprs": "the 16 general registers",
    "flags": "every architecturally defined flag; an undefined one is equal because the same instruction ran",
    "segment-bases": "the bases of fs and gs, and the selectors",
    "vector": "xmm, ymm and zmm, mask registers, MXCSR",
    "x87": "the x87 stack, its control, status and tag words",
    "x87-pointers": "FIP, FDP and FOP",
    "memory-addresses": "the ordered log of accesses: address, size, read or write; the red zone included",
    "memory-values": "the values of these accesses",
    "shadow-stack": "entries pushed and popped where CET is on",
    "fault": "whether it faults, with what, and all that the program's handler is given",
    "trap": "a program that set TF gets its trap; one that did not gets none, and sees TF nowhere",
    "hits": "the probe's handler runs once for one execution, also where it faults",
    "containment": "exactly this one instruction runs displaced, and then control leaves the slot",
}


def schemes() -> str:
    """Schemes: what each does, what it was taken from, and the deviations that its forms share."""
    from verify.models.schemes.registry import DEFAULT, SCHEMES

    return "\n\n".join(
        f"## {scheme.name}{' (default)' * (name == DEFAULT)}\n\n*{scheme.summary}*. Source: {scheme.source}.\n\n"
        + _entries(scheme.entries)
        for name, scheme in SCHEMES.items()
    )


def _entries(entries: Sequence[object]) -> str:
    rows = ((_code(e.name), e.sees, e.instead) for e in entries)  # type: ignore[attr-defined]
    return _table(("shared deviation", "the program sees", "instead"), rows) if entries else ""


def protocols() -> str:
    """Protocols with their properties, assumptions and variants, and the states that are recorded."""
    from verify.concurrency.protocols import names, protocol

    return "\n\n".join(_protocol(protocol(name)) for name in names())


def _protocol(item: object) -> str:
    from verify.concurrency.language.protocol import Protocol

    assert isinstance(item, Protocol)
    variants = (
        (_code(v.name), v.question, ", ".join(n for n, verdict in v.expected if verdict == "refuted") or "nothing")
        for v in item.variants
    )
    properties = ", ".join(_code(p.name) for p in item.properties)
    taken = ", ".join(_code(a.name) for a in item.assumptions) or "none"
    said = (f"{item.question} {_states(item.name)}", f"Properties: {properties}.", f"Assumptions: {taken}.")
    table = _table(("variant", "what is otherwise", "refutes"), variants)
    return "\n\n".join((f"## {item.name}", *said, table))


def _states(name: str) -> str:
    from verify.concurrency.results import manifest
    from verify.ledger.places import brought_directory

    recorded = brought_directory()
    runs = manifest.read(recorded / "protocols", name).values() if recorded else ()
    said = [f"{run.states:,} with {run.threads} threads" for run in runs if not run.variant]
    return f"States: {', '.join(said)}." if said else ""


def schemas() -> str:
    """JSON documents by the name in their field `schema`, each with its fields."""
    from verify.report.schemas import DOCUMENTS, file_name, json_schema

    return "\n\n".join(
        f"## {name}\n\n`{file_name(name)}`. {_described(kind.__doc__)}\n\n{_fields(json_schema(kind), kind.__name__)}"
        for name, kind in DOCUMENTS.items()
    )


def _described(docstring: str | None) -> str:
    return " ".join((docstring or "").split()).replace("<", "&lt;")


def _fields(schema: dict[str, dict[str, dict[str, object]]], kind: str) -> str:
    whole = schema["$defs"][kind]
    needed = whole.get("required", {})
    rows = ((_code(n), _kind(of), "yes" if n in needed else "") for n, of in whole["properties"].items())
    return _table(("field", "is", "always there"), rows)  # type: ignore[arg-type]


def _kind(of: object) -> str:
    """A field's type in a few words."""
    match of:
        case {"enum": [*values]}:
            return ", ".join(_code(str(v)) for v in values)
        case {"anyOf": [*kinds]}:
            return " or ".join(map(_kind, kinds))
        case {"$ref": str(ref)}:
            return _code(ref.rpartition("/")[2])
        case {"type": "array", "items": items}:
            return f"list of {_kind(items)}"
        case {"type": "object", "additionalProperties": values}:
            return f"by name: {_kind(values)}"
        case {"type": str(name)}:
            return name
    return "any"


TABLES: Final[dict[str, Callable[[], str]]] = {
    "commands": commands, "statuses": statuses, "causes": causes, "assumptions": assumptions,
    "observables": observables, "schemes": schemes, "protocols": protocols, "schemas": schemas,
}  # fmt: skip
