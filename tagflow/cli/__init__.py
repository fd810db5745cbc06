"""The commands: the only code that prints."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

import click

from tagflow import __version__


class LazyCommands(click.Group):
    """A group that imports a command when it is asked for: `--help` must not wait for pyarrow."""

    modules: ClassVar[dict[str, tuple[str, str]]] = {
        "run": ("run", "Reorder captions, prove in both encoders that the meaning stayed, write and audit."),
        "reorder": ("run", "Reorder captions and audit; structure only, nothing is certified."),
        "validate": ("validate", "Check files against their audit and judge them in both encoders."),
        "check": ("check", "Look for faults in captions; structure only, changes nothing."),
        "undo": ("undo", "Bring back the exact bytes that a run replaced."),
        "explain": ("explain", "Say which category a tag has, and why."),
        "audit": ("audit", "Show an audit: summary and worst captions."),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the work."""
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.modules:
            return None
        module = import_module(f"tagflow.cli.{self.modules[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.modules.items()])


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tagflow")
def cli() -> None:
    """Reorder SDXL training captions by an ontology, and prove that nothing was lost.

    Exit codes: 0 done; 1 errors in the data, or a gate not passed; 2 wrong usage; 3 could not do it;
    4 a bug in tagflow; 130 interrupted.
    """
