"""The commands: the only code that prints.

A group of commands that are imported when they are asked for: `--help` must not wait for pyarrow.

`tagflow train`: the commands around sd-scripts.
"""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

import click

from tagflow import __version__


class LazyCommands(click.Group):
    """Commands by name: the module in `tagflow.cli` (none: this one), the command, what the list says."""

    modules: ClassVar[dict[str, tuple[str, str, str]]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the work."""
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.modules:
            return None
        module, name, _ = self.modules[cmd_name]
        command: click.Command = getattr(import_module(f"tagflow.cli.{module}".rstrip(".")), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self.modules.items()])


class Commands(LazyCommands):
    """All commands of tagflow."""

    modules: ClassVar = {
        "run": ("run", "run", "Reorder captions, prove that the meaning stayed, write and audit."),
        "reorder": ("run", "reorder", "Reorder captions and audit; structure only, nothing is certified."),
        "validate": ("run", "validate", "Judge files in both encoders against their audit."),
        "rule": ("rule", "rule", "Say what a finding means and what cures it."),
        "check": ("check", "check", "Look for faults in captions; structure only, changes nothing."),
        "undo": ("history", "undo", "Bring back the exact bytes that a run replaced."),
        "runs": ("history", "runs", "List the runs, and what is kept of them; --prune gives originals up."),
        "explain": ("ontology", "explain", "Say which category a tag has, and why."),
        "audit": ("audit", "audit", "Show an audit: summary and worst captions."),
        "ontology": ("ontology", "ontology", "Look into ontologies, and make them know your tags."),
        "train": ("", "train", "Plan, check and start a training run of sd-scripts."),
        "monitor": ("monitor", "monitor", "Watch a training run: loss, speed, samples, alarms."),
        "doctor": ("doctor", "doctor", "Say whether this machine can run a plan, and what is missing."),
        "models": ("models", "models", "Verify SDXL checkpoints and VAEs."),
    }


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tagflow")
def cli() -> None:
    """Reorder SDXL training captions by an ontology, and prove that nothing was lost.

    Exit codes: 0 done; 1 errors in the data, or a gate not passed; 2 wrong usage; 3 could not do it;
    4 a bug in tagflow; 130 interrupted.
    """


class TrainCommands(LazyCommands):
    """From captions to a run."""

    modules: ClassVar = {
        "plan": ("train_plan", "plan", "Write a run folder: every option with its reason."),
        "check": ("train_check", "check", "Find what would stop or spoil a run, before the model loads."),
        "start": ("train_start", "start", "Start the trainer on a certified dataset; --resume goes on."),
        "stop": ("train_start", "stop", "End a run in order, from any terminal."),
        "migrate": ("train_migrate", "migrate", "Turn an SD 1.5 configuration into one for SDXL."),
    }


@click.group(cls=TrainCommands)
def train() -> None:
    """Turn a certified dataset into a run of sd-scripts, with its traps caught before the model loads."""
