"""What surrounds every page of a report: where else one can go, and the same page under another scheme."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from verify.report.html.elements import Html, element, joined, link, text

INDEX: Final = "index.html"
COMPARE: Final = "compare.html"
PROTOCOLS: Final = "protocols.html"
COSTS: Final = "costs.html"


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a page stands: the scheme, all of them where they have folders side by side, and what there is besides."""

    scheme: str = ""
    schemes: Sequence[str] = ()
    protocols: bool = False
    costs: bool = False

    def navigation(self, file: str) -> Html:
        """The links of the page of that name; of a single scheme everything is in one folder."""
        links = joined(element("li", link(to, says)) for to, says in self._places() if to != file)
        return element("nav", *([element("ul", links)] if links else []), self._others(file), aria_label="Report")

    def _places(self) -> Iterator[tuple[str, str]]:
        up = "../" if self.schemes and self.scheme else ""
        yield INDEX, f"Survey of {self.scheme}" if self.scheme else "Schemes" if self.schemes else "Survey"
        if up:
            yield f"{up}{INDEX}", "All schemes"
        if self.schemes:
            yield f"{up}{COMPARE}", "Compare two schemes"
        if self.protocols:
            yield f"{up}{PROTOCOLS}", "Protocols"
        if self.costs:
            yield f"{up}{COSTS}", "Costs"

    def _others(self, file: str) -> Html:
        if not (self.schemes and self.scheme):
            return Html("")
        rows = joined(element("li", self._under(name, file)) for name in self.schemes)
        summary = element("summary", text(f"Scheme: {self.scheme}"))
        return element("details", summary, element("ul", rows), class_="switch")

    def _under(self, scheme: str, file: str) -> Html:
        here = "page" if scheme == self.scheme else ""
        return link(f"../{scheme}/{file}", scheme, class_="same-place", aria_current=here)
