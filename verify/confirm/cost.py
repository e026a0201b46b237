"""What a probe hit costs here, as a result; `verify.live.kernel.cost` measures."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from verify.confirm.results import Kept, Standing, file_name
from verify.live.kernel.cost import Cost
from verify.live.results import processor
from verify.report.confirmations import CostConfirmation, CostRow

UNIT = "TSC cycles beyond the unprobed site, median"


@dataclass(slots=True)
class CostResult:
    """The rows of all ways to probe, none until they are measured, and how long that took in seconds."""

    rows: Sequence[Cost] = ()
    seconds: float = 0.0

    def document(self) -> CostConfirmation:
        """The rows for programs."""
        complete = bool(self.rows) and self.standing is Standing.AGREES
        rows = tuple(CostRow(**asdict(row)) for row in self.rows)
        return CostConfirmation(kernel=platform.release(), processor=processor(), seconds=round(self.seconds, 1),
                                complete=complete, unit=UNIT, rows=rows)  # fmt: skip

    def lines(self) -> Iterator[str]:
        """A line a way to probe, beside the figures of the original discussion."""
        for row in self.rows:
            shown = f"{row.cycles:>12,.1f} cycles" if row.cycles is not None else f"not available here: {row.reason}"
            yield f"{row.name:<36} {shown}; the discussion said about {row.discussed}"

    def kept(self) -> Iterable[Kept]:
        """One file."""
        yield Kept(file_name("cost"), self.document(), "rows")

    @property
    def standing(self) -> Standing:
        """Undecided where something could not be measured; nothing here is a model's."""
        return Standing.UNDECIDED if any(row.cycles is None for row in self.rows) else Standing.AGREES
