"""Groups of commands that are imported when they are asked for: start-up time is part of the interface."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import NamedTuple

import click

from verify.cli.common import with_common


class Entry(NamedTuple):
    """A command, imported when it is asked for, and what `--help` says of it: its docstring's first paragraph."""

    where: str  # module:attribute
    says: str


class Lazy(click.Group):
    """A group whose commands are rows of a table and are imported when they are run."""

    rows: Mapping[str, Entry] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return [name for name in self.rows if self._exists(name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, None where there is none."""
        if cmd_name not in self.rows or not self._exists(cmd_name):
            return None
        module, _, attribute = self.rows[cmd_name].where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return with_common(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click's, from the table: no command is imported for its line."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(len(name) for name in names)
        with formatter.section("Commands"):
            formatter.write_dl(
                [(n, click.Command(n, help=self.rows[n].says).get_short_help_str(limit)) for n in names]
            )

    def _exists(self, name: str) -> bool:
        return importlib.util.find_spec(self.rows[name].where.partition(":")[0]) is not None
