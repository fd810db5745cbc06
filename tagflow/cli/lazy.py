"""A group of commands that are imported when they are asked for: `--help` must not wait for pyarrow."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

import click


class LazyCommands(click.Group):
    """Commands by name: the module in `tagflow.cli`, the command in it, and what the list says of it."""

    modules: ClassVar[dict[str, tuple[str, str, str]]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the work."""
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.modules:
            return None
        module, name, _ = self.modules[cmd_name]
        command: click.Command = getattr(import_module(f"tagflow.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self.modules.items()])
