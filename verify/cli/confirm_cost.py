"""`ubp-verify confirm cost`: medians of what a probe hit costs, beside the figures of the original discussion."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from typing import Final

import click

from verify.cli.request import Request, answering
from verify.confirm.cost import CostResult
from verify.live.capabilities import capabilities
from verify.live.kernel.cost import costs

EXAMPLES: Final = """\b
Examples:
  ubp-verify confirm cost
  ubp-verify confirm cost --format json > costs.json
"""


@click.command(epilog=EXAMPLES)
@answering
def cost(style: str, store: bool) -> int:
    """What a probe hit costs on this machine, in cycles."""
    result = CostResult()
    return Request(style, store).answered(result, _news(result))


def _news(result: CostResult) -> Generator[Iterable[str], None, None]:
    begun = time.monotonic()
    capabilities()  # raises ExecutorUnavailable
    result.rows, result.seconds = costs(), time.monotonic() - begun
    yield ()
