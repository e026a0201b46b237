"""The `--check` and `--record` of `interleavings`: verdicts and counts against the manifests in `proofs/protocols`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import click

from verify.cli.status import REFUTED, UNDECIDED
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.results import manifest
from verify.concurrency.results.exploration import Exploration
from verify.report.explorations import RecordedRun


def label(found: Exploration) -> str:
    """Protocol, variant and number of threads for one line."""
    variant = f" ({found.variant})" if found.variant else ""
    return f"{found.protocol}{variant}, {found.threads} threads"


@dataclass(slots=True)
class Manifests:
    """Compares or records runs.

    directory: where manifests lie. named: the variant was asked for by its name, so that a refutation is a failure
    even where it is declared. usual: threads and parameters are the protocol's own, so that a run must be recorded.
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
            return [f"not recorded in {self.directory / found.protocol}.json (`--record` records it)"]
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
