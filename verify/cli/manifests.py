"""The `--check` and `--record` of `interleavings`: verdicts and counts against the manifests in `proofs/protocols`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click

from verify.cli.status import REFUTED, UNDECIDED
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.protocols import own
from verify.concurrency.results import manifest
from verify.concurrency.results.exploration import Exploration
from verify.report.explorations import RecordedRun

USUAL: Final = "usual"
"""The value of `--check` and `--record` without a file: the manifests of the ledger."""


def manifest_option(protocols: tuple[str, ...], value: str | None) -> tuple[tuple[str, ...], str | None, Path | None]:
    """The protocols, the option, and the file of `--check [FILE.json]`: another value is the name of a protocol."""
    if value is None or value == USUAL:
        return protocols, value, None
    if value.endswith(".json"):
        return protocols, value, Path(value)
    return (*protocols, value), USUAL, None


def own_manifest(protocols: tuple[str, ...], file: Path | None, wanted: bool, for_any: bool) -> Path | None:
    """The file in which a protocol of one's own is compared or recorded. Raises UsageError."""
    others = [name for name in protocols if own(name)]
    if wanted and others and for_any:
        said = "--check and --record with --threads any are not for a protocol of one's own"
        raise click.UsageError(f"{said}, got {others[0]}")
    if file is not None and (len(protocols) != 1 or for_any):
        raise click.UsageError(f"{file} is the manifest of one protocol, explored for a number of threads")
    if wanted and others and file is None:
        raise click.UsageError(f"{others[0]} is no protocol of the ledger: --check FILE.json or --record FILE.json")
    return file


def never_anywhere(seen: list[tuple[Protocol, Exploration]]) -> int:
    """Tells of steps that are taken neither in a protocol nor in a variant of it, of those whose every variant was
    explored; the exit status."""
    status = 0
    for base in {item.name: item for item, _ in seen}.values():
        runs = [(item, found) for item, found in seen if item.name == base.name]
        every = {"", *(variant.name for variant in base.variants)} <= {item.variant for item, _ in runs}
        if not (every and all(found.complete for _, found in runs)):
            continue
        here = [step.name for item, found in runs for step in item.steps if len(step.threads) <= found.threads]
        taken = {step.name for item, found in runs for step in item.steps if step.name not in found.never}
        for name in dict.fromkeys(name for name in here if name not in taken):
            click.echo(f"ubp-verify: {base.name}: step {name} is never taken, in no variant either", err=True)
            status = UNDECIDED
    return status


def label(found: Exploration) -> str:
    """Protocol, variant and number of threads for one line."""
    variant = f" ({found.variant})" if found.variant else ""
    return f"{found.protocol}{variant}, {found.threads} threads"


@dataclass(slots=True)
class Manifests:
    """Compares or records runs.

    directory: where manifests lie, or the file of one. named: the variant was asked for by its name, so that a
    refutation is a failure even where it is declared. usual: threads and parameters are the protocol's own, so
    that a run must be recorded.
    """

    directory: Path
    named: bool
    usual: bool
    complaints: list[str] = field(default_factory=list)
    runs: dict[str, list[RecordedRun]] = field(default_factory=dict)

    def check(self, chosen: Protocol, found: Exploration) -> int:
        """The exit status of one run; what differs is printed on standard error."""
        before = manifest.recorded(self.directory, found)
        wrong = self._different(found, before) if found.complete else []
        undecided = not found.complete
        for name, verdict in found.properties:
            declared = chosen.expectation(name) if before is None else before.properties.get(name)
            if verdict.name == "refuted" and (self.named or declared != "refuted"):
                wrong.append(f"{name} is refuted")
            undecided |= verdict.name in ("unknown", "vacuous") and verdict.name != declared
        self._complain(label(found), wrong)
        return REFUTED if wrong else UNDECIDED if undecided else 0

    def _different(self, found: Exploration, before: RecordedRun | None) -> list[str]:
        if before is not None:
            return manifest.differences(before, manifest.run_of(found))
        if self.usual:
            place = manifest.path_of(self.directory, found.protocol)
            return [f"not recorded in {place} (`--record` records it)"]
        click.echo(f"ubp-verify: {label(found)}: not recorded; only its verdicts are checked", err=True)
        return []

    def gone(self, chosen: Protocol) -> int:
        """The exit status of what is recorded of a protocol and no longer exists."""
        runs = manifest.read(self.directory, chosen.name).values()
        return self._complain(
            chosen.name, [f"no variant {name!r}, yet recorded" for name in manifest.stale(runs, chosen)]
        )

    def record(self, chosen: Protocol, found: Exploration) -> int:
        """Keeps a run for `write`; a run that is incomplete or not as declared is refused with a status."""
        wrong = [] if found.complete else [f"not recorded: incomplete: {found.reason}"]
        if found.complete and self.usual:
            wrong += [
                f"not recorded: {name} is {verdict.name}, declared {chosen.expectation(name)}"
                for name, verdict in found.properties
                if verdict.name != chosen.expectation(name)
            ]
        if not wrong:
            self.runs.setdefault(chosen.name, []).append(manifest.run_of(found))
        return self._complain(label(found), wrong)

    def write(self, protocols: dict[str, Protocol]) -> None:
        """Writes every manifest that has new runs. Raises OSError."""
        for name, new in self.runs.items():
            old = manifest.read(self.directory, name).values()
            manifest.write(self.directory, name, manifest.kept(old, protocols[name], new))

    def _complain(self, name: str, wrong: list[str]) -> int:
        for line in wrong:
            self.complaints.append(f"{name}: {line}")
            click.echo(f"ubp-verify: {name}: {line}", err=True)
        return REFUTED if wrong else 0
