"""How help is laid out; open it to put an option under a heading, or where a command is not found.

A command is imported when it is asked for, so that `--help` does not wait for pyarrow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any, ClassVar

import click

Entry = tuple[str, str, str]
"""Of a command: its module in `tagflow.cli` (empty: the package), its name there, what the list says."""

_OPTIONS = {
    "Captions": "caption_extension",
    "Ontology and order": "ontology_name overlay triggers keep_first keep_tokens_separator clean description "
    "on_low",
    "Encoders": "encoders device dtype threads no_cache",
    "Limits": "min_sim min_sim_each measure max_tokens warn_tokens tolerance",
    "What is written": "out images dry_run diff clear_caches hook pruning keep older_than accept "
    "accept_above captions_to name",
    "Training": "preset base vae sets structure leading vram epochs repeats resolution run_folder detached "
    "resume forced dataset stop_on",
    "The trainer": "sd_scripts trainer_python",
    "Findings": "select ignore show_all strict explain",
    "Output and settings": "form as_json config_file",
}
HEADINGS = {name: heading for heading, names in _OPTIONS.items() for name in names.split()}
"""The heading that an option stands under, by its parameter's name; others stand first, under `Options`."""


class Command(click.Command):
    """A command whose help has its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options that are not hidden, heading by heading."""
        grouped: dict[str, list[tuple[str, str]]] = {heading: [] for heading in ("Options", *_OPTIONS)}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                heading = "Output and settings" if param.name == "help" else HEADINGS.get(param.name or "")
                grouped[heading or "Options"].append(record)
        for heading, records in grouped.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def command(
    name: str | None = None, *, hide: Collection[str] = (), **settings: Any
) -> Callable[[Callable[..., Any]], Command]:
    """As `click.command`, with options under headings.

    `hide`: parameters whose options are taken and not listed, for a help that would be too long with them.
    """

    def apply(function: Callable[..., Any]) -> Command:
        made = click.command(name, cls=Command, **settings)(function)
        for param in made.params:
            if isinstance(param, click.Option) and param.name in hide:
                param.hidden = True
        return made

    return apply


class Commands(click.Group):
    """A group whose commands are imported when they are asked for.

    `sections`: the commands by heading, in the order of the work. `aliases`: former names, which still work
    and are not listed; each names a command of this group, or of another one behind a blank.
    """

    sections: ClassVar[dict[str, dict[str, Entry]]] = {}
    aliases: ClassVar[dict[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the help."""
        return [name for entries in self.sections.values() for name in entries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command, given by its name or a former one; None where there is none."""
        group, _, inner = self.aliases.get(cmd_name, cmd_name).partition(" ")
        entry = next((entries[group] for entries in self.sections.values() if group in entries), None)
        if entry is None:
            return None
        module, name, _ = entry
        found: click.Command = getattr(import_module(f"tagflow.cli.{module}".rstrip(".")), name)
        return found.get_command(ctx, inner) if inner and isinstance(found, click.Group) else found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        for heading, entries in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, text) for name, (_, _, text) in entries.items()])
