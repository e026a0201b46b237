"""The page about the language: its protocol is one, and has the verdicts that it declares."""

from __future__ import annotations

import re
from pathlib import Path

from verify.concurrency.explorer import explore
from verify.concurrency.language.protocol import Protocol
from verify.concurrency.protocols import protocol
from verify.concurrency.unbounded import prove_any

PAGE = Path(__file__).parents[4] / "docs" / "protocol-language.md"


def shown(folder: Path) -> Protocol:
    """The protocol on the page."""
    text = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert text is not None
    (folder / "mine.py").write_text(text[1])
    return protocol(str(folder / "mine.py"))


def test_the_protocol_on_the_page_has_the_verdicts_that_it_declares(tmp_path: Path) -> None:
    base = shown(tmp_path)
    for case in (base, *(base.with_variant(variant.name) for variant in base.variants)):
        found = explore(case, case.threads)
        assert {name: v.name for name, v in found.properties} == {n: case.expectation(n) for n, _ in found.properties}


def test_the_protocol_on_the_page_is_proved_for_any_number(tmp_path: Path) -> None:
    assert {verdict.name for _, verdict in prove_any(shown(tmp_path)).properties} == {"proved"}
