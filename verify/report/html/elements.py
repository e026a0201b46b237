"""HTML put together from text: everything that is put in is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NewType

from verify.report.html.style import CSS, SEARCH

Html = NewType("Html", str)


def text(words: object) -> Html:
    """The words, escaped."""
    return Html(escape(str(words)))


def element(name: str, *content: Html, **attributes: str) -> Html:
    """An element; `class_` is the attribute class, an attribute that is empty is left out."""
    given = "".join(f' {k.rstrip("_").replace("_", "-")}="{escape(v)}"' for k, v in attributes.items() if v)
    return Html(f"<{name}{given}>{''.join(content)}</{name}>")


def link(to: str, words: str, **attributes: str) -> Html:
    """A link."""
    return element("a", text(words), href=to, **attributes)


def joined(parts: Iterable[Html]) -> Html:
    """The parts one behind the other."""
    return Html("".join(parts))


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Html]], numbers: frozenset[int]) -> Html:
    """A table; `numbers`: the columns that are aligned right.  The first column names the row."""
    first = joined(element("th", text(h), scope="col") for h in head)
    body = [
        joined(
            element("th", cell, scope="row") if i == 0 else element("td", cell, class_="number" if i in numbers else "")
            for i, cell in enumerate(row)
        )
        for row in rows
    ]
    lines = joined(element("tr", line) for line in (first, *body))
    return element("div", element("table", element("caption", text(caption)), lines), class_="scroll")


def pairs(rows: Iterable[tuple[str, Html]]) -> Html:
    """Terms and what is said of them; what is empty is left out."""
    return element("dl", *(joined((element("dt", text(t)), element("dd", said))) for t, said in rows if said))


def page(title: str, *content: Html) -> str:
    """A whole document, with style and search in it: it needs no other file and no network."""
    head = joined((
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", text(title)), Html(f"<style>{CSS}</style>"),
    ))  # fmt: skip
    body = element("body", element("main", element("h1", text(title)), *content), Html(f"<script>{SEARCH}</script>"))
    return f'<!doctype html>\n<html lang="en">{element("head", head)}{body}</html>\n'
