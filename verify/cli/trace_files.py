"""Files of traces, and names of protocols, as `interleavings` writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from verify.cli.status import INTERRUPTED, WRONG_PLACE
from verify.concurrency.instance.instance import instantiate
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.results.exploration import Trace
from verify.concurrency.results.presentation import itf, mermaid, svg


def trace_folder(path: Path | None) -> Path | None:
    """The folder for traces, made where it is missing."""
    try:
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)
    except WRONG_PLACE as error:
        raise click.UsageError(f"--traces: {error}") from error
    return path


def stem(chosen: Protocol) -> str:
    """A name for files: protocol and variant."""
    return chosen.name + (f"--{chosen.variant}" if chosen.variant else "")


def write_traces(folder: Path, chosen: Protocol, threads: int, shown: tuple[Trace, ...]) -> None:
    """Writes traces as Mermaid, SVG and ITF, each under protocol, variant, property and number. Raises OSError."""
    model = instantiate(chosen, threads)
    for number, trace in enumerate(shown):
        name = f"{stem(chosen)}--{trace.property}-{number}"
        (folder / f"{name}.mmd").write_text(mermaid(trace), encoding="utf-8")
        (folder / f"{name}.svg").write_text(svg(trace), encoding="utf-8")
        text = json.dumps(itf(model, trace), ensure_ascii=False, indent=1)
        (folder / f"{name}.itf.json").write_text(text, encoding="utf-8")


def broken_off(where: str, done: int = 0, chosen: Sequence[Protocol] = ()) -> int:
    """Says where Ctrl-C came, after the results so far, and what was left; the exit status."""
    left = ", ".join(map(stem, chosen[done + 1 :]))
    rest = f"; {done} of {len(chosen)} done before it; not begun: {left}" if left else ""
    click.echo(f"ubp-verify: interrupted at {where}{rest}", err=True)
    return INTERRUPTED
