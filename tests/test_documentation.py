"""The documentation: every command line is run, what is printed is what the page shows, and the pages build.

A block of the language `console` has commands (`$ ubp-verify ...`), each with its output; `...` stands for any lines,
or for the rest of a line.  A comment above says `heavy` (run with `-m whole` alone), `needs: NAME ...`
(`verify.live.available`) or `parsed`: the command lines are read, and not run.  A block with a title is a file.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click
import pytest
from command_line import run

from verify.cli import cli
from verify.live.available import missing

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK: Final = re.compile(
    r'(?:^<!-- (?P<note>[a-z][^>]*) -->\n)?^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^```$',
    re.M | re.S,
)
INLINE: Final = re.compile(r"`(ubp-verify [^`\n]+)`")
INSTALLS: Final = ("python3 -m venv",)  # the README's command of the same text is run by .ci/run


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    title: str
    body: str
    notes: frozenset[str]
    needs: tuple[str, ...] = ()

    def commands(self) -> Iterator[tuple[str, str]]:
        """Each command with what stands below it."""
        for part in re.split(r"^\$ ", self.body, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for found in BLOCK.finditer(text):
        note, _, needs = (found["note"] or "").partition("needs:")
        notes = frozenset(note.replace(",", " ").split()) | ({"needs"} if needs else set())
        yield Block(found["language"], found["title"] or "", found["body"], notes, tuple(needs.split()))


def shows(expected: str, printed: str) -> bool:
    """Whether what was printed is what a page shows."""
    lines = []
    for line in expected.rstrip("\n").split("\n"):
        start = re.escape(line.removesuffix("..."))
        lines.append("(?:.*\n)*?" if line == "..." else f"{start}{'.*' * line.endswith('...')}\n")
    there = "".join(f"{line.rstrip()}\n" for line in printed.rstrip("\n").split("\n"))
    return re.fullmatch("".join(lines), there) is not None


def words_of(command: str) -> list[str]:
    """The arguments of a command line of ubp-verify, without what the shell takes."""
    words = shlex.split(command, comments=True)
    return words[1 : words.index(">") if ">" in words else None]


def parse(arguments: list[str]) -> None:
    """Reads a command line as the program does, and runs nothing; raises click's usage errors."""
    if arguments[:1] == ["--version"]:
        return
    command: click.Command = cli
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), arguments[0])
        if found is None:
            raise click.UsageError(f"no command {arguments[0]!r}")
        command, arguments = found, arguments[1:]
    try:
        command.make_context(command.name, list(arguments))
    except click.BadParameter as error:
        if "No such file" not in error.message:  # the files that are named are there when it is run
            raise


def ended(command: str, place: Path, before: int) -> tuple[int, str]:
    """Exit status and output of a command; one of ubp-verify runs in this process."""
    if command == "echo $?":
        return before, f"{before}\n"
    if not command.startswith("ubp-verify "):
        done = subprocess.run(["sh", "-c", command], cwd=place, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr
    status, printed = run(*words_of(command))
    if " > " in command:
        (place / command.rpartition(" > ")[2].strip()).write_text(printed)
        return status, ""
    return status, printed


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, outside of every checkout, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(text: str, place: Path, heavy: bool) -> None:
    """Runs a page's blocks in order."""
    status, absent = 0, list[str]()
    for block in blocks(text):
        if block.title:
            (place / block.title).write_text(block.body)
        if block.language != "console" or "parsed" in block.notes or ("heavy" in block.notes and not heavy):
            continue
        if why := missing(block.needs):
            absent += why
            continue
        for command, output in block.commands():
            status, printed = ended(command, place, status)
            assert shows(output, printed) if output.strip() else not printed, f"$ {command}\n{printed}"
    if absent:
        pytest.skip(f"missing: {'; '.join(absent)}")


def is_run(page: Path, heavy: bool) -> bool:
    """Whether a page has something to run."""
    return any(
        b.language == "console" and "parsed" not in b.notes and ("heavy" in b.notes) == heavy
        for b in blocks(page.read_text("utf-8"))
    )


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [p for p in PAGES if is_run(p, False)], ids=named)
def test_what_a_page_shows_is_what_is_printed(page: Path, place: Path) -> None:
    check(page.read_text("utf-8"), place, heavy=False)


@pytest.mark.whole
@pytest.mark.parametrize("page", [p for p in PAGES if is_run(p, True)], ids=named)
def test_what_a_page_shows_of_longer_commands(page: Path, place: Path) -> None:
    check(page.read_text("utf-8"), place, heavy=True)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=named)
def test_every_command_line_is_one(page: Path) -> None:
    text = page.read_text("utf-8")
    lines = [c for b in blocks(text) if b.language == "console" for c, _ in b.commands()] + INLINE.findall(text)
    for line in lines:
        if line.startswith("ubp-verify "):
            try:
                parse(words_of(line))
            except click.UsageError as error:
                pytest.fail(f"{line}: {error.format_message()}")


def test_what_is_not_run_is_the_installation() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for page in PAGES:
        for block in blocks(page.read_text("utf-8")):
            if block.language == "sh":
                assert block.body.startswith(INSTALLS) and block.body in readme, named(page)


def test_an_example_in_help_is_a_command_line() -> None:
    for name in cli.list_commands(click.Context(cli)):
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        for line in re.findall(r"^ *(?:\S.* \| )?(ubp-verify .+)$", command.epilog or "", re.M):
            parse(words_of(line))


def test_every_table_is_made_from_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import tables

    from verify.models.x86.machine import OBSERVABLES

    marks = [name for page in PAGES for name in tables.MARK.findall(page.read_text("utf-8"))]
    assert set(marks) == set(tables.TABLES)
    assert all(tables.filled(f"<!-- table: {name} -->").startswith(("|", "##")) for name in tables.TABLES)
    assert tuple(tables.COVERS) == OBSERVABLES


@pytest.mark.whole
@pytest.mark.skipif(find_spec("material") is None, reason="mkdocs-material is not installed (the extra `docs`)")
def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    """`strict` makes every warning an error: a link that leads nowhere, a page that is in no list."""
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = re.findall(r'(?:src|<link[^>]* href)="(https?://[^"]+)"', (tmp_path / "site" / "index.html").read_text())
    assert loaded == []


@pytest.mark.parametrize(("expected", "printed", "same"), [
    ("a\nb\n", "a\nb\n", True), ("a\n", "a\nb\n", False), ("...\nb\n", "a\nx\nb\n", True), ("a\n...\n", "a\n", True),
    ("a 1...\n", "a 12 s\n", True), ("a 1...\n", "a 2\n", False), ("...\nb\n", "a\n", False), ("a.\n", "ab\n", False),
])  # fmt: skip
def test_what_is_left_out_of_an_output(expected: str, printed: str, same: bool) -> None:
    assert shows(expected, printed) is same


FAULTS: Final = {
    "an output that is another": "```console\n$ ubp-verify causes other\nnothing\n```\n",
    "a status that is another": "```console\n$ ubp-verify causes other\n...\n$ echo $?\n1\n```\n",
    "an output that is not shown": "```console\n$ ubp-verify causes other\n```\n",
    "a command that there is not": "```console\n$ ubp-verify cause\n...\n$ echo $?\n0\n```\n",
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_page_that_is_wrong_is_found(name: str, place: Path) -> None:
    with pytest.raises(AssertionError):
        check(FAULTS[name], place, heavy=False)


@pytest.mark.parametrize("line", ["ubp-verify insn 9c --colour", "ubp-verify nothing", "ubp-verify scan a b"])
def test_a_command_line_that_is_none_is_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(words_of(line))
