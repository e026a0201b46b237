"""Manifests: the counts and verdicts of every recorded run of a protocol, and where a new run differs from them.

One file a protocol, `PROTOCOL.json`, sorted and one figure a line. A run is known by variant, number of threads and
parameters; everything recorded is the same in every engine. What an engine does not measure is not compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path

from verify.concurrency.language.protocol import Protocol
from verify.concurrency.results.exploration import Exploration, Refuted
from verify.ledger.files import locked, replace
from verify.report.explorations import Manifest, RecordedRun
from verify.report.records import decoded, plain

Key = tuple[str, int, str]


def run_of(found: Exploration) -> RecordedRun:
    """What a manifest records of one exploration; `shortest` is in transitions, None is "not measured"."""
    traces = {
        name: len(verdict.trace.events)
        for name, verdict in found.properties
        if isinstance(verdict, Refuted) and verdict.trace is not None and verdict.trace.loop is None
    }
    return RecordedRun(
        variant=found.variant, threads=found.threads, parameters=dict(found.parameters), states=found.states,
        transitions=found.transitions, orbits=found.stored if found.symmetric else None,
        depth=found.depth if found.depth >= 0 else None,
        properties={name: verdict.name for name, verdict in found.properties}, shortest=traces,
    )  # fmt: skip


def key(run: RecordedRun) -> Key:
    """What tells runs of one protocol apart."""
    return run.variant, run.threads, json.dumps(run.parameters, sort_keys=True)


def path_of(place: Path, protocol: str) -> Path:
    """Where the manifest of a protocol is: a file of its own, or its file in a directory."""
    return place if place.suffix == ".json" else place / f"{protocol}.json"


def read(directory: Path, protocol: str) -> dict[Key, RecordedRun]:
    """The recorded runs of a protocol; none where there is no manifest. Raises ValueError for another format."""
    path = path_of(directory, protocol)
    if not path.exists():
        return {}
    try:
        found = decoded(path.read_bytes(), Manifest)
        if found.protocol != protocol:
            raise ValueError(f"of {found.protocol!r}")
        return {key(run): run for run in found.runs}
    except ValueError as error:
        raise ValueError(f"{path} is not a manifest of {protocol}: {error}") from error


def write(directory: Path, protocol: str, runs: Iterable[RecordedRun]) -> None:
    """Writes the manifest of a protocol; a reader sees the old one or the new one. Raises OSError."""
    document, path = Manifest(protocol=protocol, runs=tuple(sorted(runs, key=key))), path_of(directory, protocol)
    with locked(path.parent) if path.parent == directory else nullcontext():  # a file of one's own lies anywhere
        replace(path, text(document).encode())


def text(document: Manifest) -> str:
    """A manifest as its file has it."""
    return json.dumps(plain(document), indent=1, sort_keys=True) + "\n"


def recorded(directory: Path, found: Exploration) -> RecordedRun | None:
    """The recorded run of the same variant, threads and parameters."""
    return read(directory, found.protocol).get(key(run_of(found)))


def differences(before: RecordedRun, after: RecordedRun) -> list[str]:
    """`figure: recorded .., found ..` for each figure that both runs have and that differs."""
    old, new = _figures(before), _figures(after)
    return [
        f"{name}: recorded {_text(old.get(name))}, found {_text(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and not _unmeasured(name, old, new)
    ]


def _figures(run: RecordedRun) -> dict[str, int | str | None]:
    """The figures of a run by name."""
    return {
        "states": run.states, "transitions": run.transitions, "orbits": run.orbits, "depth": run.depth,
        **{f"verdict of {name}": verdict for name, verdict in run.properties.items()},
        **{f"shortest trace of {name}": length for name, length in run.shortest.items()},
    }  # fmt: skip


def _unmeasured(name: str, old: Mapping[str, int | str | None], new: Mapping[str, int | str | None]) -> bool:
    """Whether one side did not measure the figure: engines with diagrams know neither depth nor orbits."""
    return not name.startswith("verdict") and None in (old.get(name), new.get(name))


def _text(value: int | str | None) -> str:
    return "nothing" if value is None else f"{value:,}" if isinstance(value, int) else value


def stale(runs: Iterable[RecordedRun], protocol: Protocol) -> list[str]:
    """Variants that runs name and that the protocol does not have."""
    known = {"", *(variant.name for variant in protocol.variants)}
    return sorted({run.variant for run in runs} - known)


def kept(runs: Iterable[RecordedRun], protocol: Protocol, new: Iterable[RecordedRun]) -> list[RecordedRun]:
    """Recorded and new runs together: a new one takes the place of an old one, and what names nothing is dropped.

    A run whose parameters the protocol no longer has is dropped too.
    """
    before = list(runs)
    gone, names = stale(before, protocol), {name for name, _ in protocol.parameters}
    old = [run for run in before if run.variant not in gone and set(run.parameters) == names]
    return list({key(run): run for run in (*old, *new)}.values())
