"""What an HTML report shows beside the surveys: protocols with their traces, costs, and which evidence is recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from verify.cli.status import WRONG_PLACE
from verify.report.confirmations import CostConfirmation
from verify.report.explorations import Explored
from verify.report.html.frame import Frame
from verify.report.records import decoded, schema_name

if TYPE_CHECKING:
    from verify.report.html.protocols import Protocols
    from verify.report.surveys import Survey


@dataclass(frozen=True, slots=True)
class Beside:
    """What files say that were named."""

    explored: tuple[Explored, ...] = ()
    costs: CostConfirmation | None = None


def read(files: Sequence[str]) -> Beside:
    """What is in files of JSON documents, one a line.  A usage error names the file that holds something else."""
    found: list[Explored | CostConfirmation] = []
    for file in files:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
            found += (_document(line) for line in lines if line.strip())
        except WRONG_PLACE as error:
            raise click.UsageError(f"--with: {error.strerror}: {file!r}") from error
        except ValueError as error:
            raise click.UsageError(f"--with {file!r}: {error}") from error
    costs = [f for f in found if isinstance(f, CostConfirmation)]
    return Beside(tuple(f for f in found if isinstance(f, Explored)), costs[-1] if costs else None)


def _document(line: str) -> Explored | CostConfirmation:
    costs = f'"{schema_name(CostConfirmation)}"' in line
    return decoded(line, CostConfirmation) if costs else decoded(line, Explored)


def html(found: Sequence[Survey], beside: Beside) -> Iterator[tuple[str, dict[str, str]]]:
    """Folders and files of the report: of several schemes a folder each, and what compares them above."""
    from verify.report.html.compared import compared  # noqa: PLC0415  start-up time
    from verify.report.html.costs import costs_page  # noqa: PLC0415
    from verify.report.html.frame import COSTS  # noqa: PLC0415
    from verify.report.html.protocols import protocol_pages  # noqa: PLC0415
    from verify.report.html.site import site  # noqa: PLC0415

    several = [s.scheme for s in found] if len(found) > 1 else []
    protocols = _protocols(beside)
    above = Frame("" if several else found[0].scheme, several, bool(protocols.described), beside.costs is not None)
    files = dict(protocol_pages(protocols, above))
    if beside.costs is not None:
        files[COSTS] = costs_page(beside.costs, above)
    yield "", files | (dict(compared(found, above)) if several else {})
    for one in found:
        frame = Frame(one.scheme, several, above.protocols, above.costs)
        yield one.scheme if several else "", dict(site(one, frame, _evidence(one)))


def _protocols(beside: Beside) -> Protocols:
    from verify.cli.protocols import described  # noqa: PLC0415  start-up time
    from verify.concurrency.protocols import names, protocol  # noqa: PLC0415
    from verify.concurrency.results import manifest  # noqa: PLC0415
    from verify.ledger.places import brought_directory  # noqa: PLC0415
    from verify.report.explorations import Manifest  # noqa: PLC0415
    from verify.report.html.protocols import Protocols  # noqa: PLC0415

    here = brought_directory()
    runs = {name: tuple(manifest.read(here / "protocols", name).values()) if here else () for name in names()}
    return Protocols(
        tuple(described(protocol(name)) for name in names()),
        tuple(Manifest(protocol=name, runs=of) for name, of in runs.items()), beside.explored,
    )  # fmt: skip


def _evidence(survey: Survey) -> Mapping[str, str]:
    """By form what is recorded of it, of a survey under the settings that evidence is made for."""
    from verify.models.schemes.assumptions import ASSUMPTIONS  # noqa: PLC0415  start-up time
    from verify.survey.evidence_digests import evidence_digests  # noqa: PLC0415

    usual = survey.cpu == "any" and frozenset(survey.assumptions) == ASSUMPTIONS
    return evidence_digests(survey.scheme) if usual else {}
