"""The commands by heading, as `tagflow --help` lists them; open it to add one, or a former name of one.

Only cli/ prints.
"""

from __future__ import annotations

from typing import ClassVar

import click

from tagflow import __version__
from tagflow.cli.help import Commands


class TagflowCommands(Commands):
    """All commands of tagflow."""

    sections: ClassVar = {
        "Captions": {
            "check": ("check", "check", "Look for faults in captions; structure only, changes nothing."),
            "reorder": ("run", "reorder", "Reorder captions and audit; structure only, certifies nothing."),
            "run": ("run", "run", "Reorder captions, prove that the meaning stayed, write and audit."),
            "validate": ("validate", "validate", "Judge files in both encoders against their audit."),
            "undo": ("history", "undo", "Bring back the exact bytes that a run replaced."),
            "history": ("history", "history", "List the runs, and what is kept of them; --prune gives up."),
            "audit": ("audit", "audit", "Show an audit: summary and worst captions."),
        },
        "Look": {
            "explain": ("ontology", "explain", "Say which category a tag has, and why."),
            "rule": ("rule", "rule", "Say what a finding means and what cures it."),
        },
        "Data and models": {
            "ontology": ("ontology", "ontology", "Look into ontologies, and make them know your tags."),
            "models": ("models", "models", "Verify SDXL checkpoints and VAEs; compare text encoders."),
        },
        "Training": {
            "train": ("", "train", "Plan, check, start and watch a training run of sd-scripts."),
        },
    }
    aliases: ClassVar = {"runs": "history", "monitor": "train monitor", "doctor": "train doctor"}


@click.group(cls=TagflowCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tagflow")
def cli() -> None:
    """Reorder SDXL training captions by an ontology, and prove that nothing was lost.

    Exit codes: 0 done; 1 errors in the data, or a gate not passed; 2 wrong usage; 3 could not do it;
    4 a bug in tagflow; 130 interrupted.
    """


class TrainCommands(Commands):
    """From captions to a run."""

    sections: ClassVar = {
        "Commands": {
            "plan": ("train_plan", "plan", "Write a run folder: every option with its reason."),
            "check": ("train_check", "check", "Find what would stop or spoil a run, before the model loads."),
            "start": ("train_start", "start", "Start the trainer on a certified dataset; --resume goes on."),
            "stop": ("train_start", "stop", "End a run in order, from any terminal."),
            "list": ("train_list", "list_runs", "List the runs of a dataset, and how they stand."),
            "migrate": ("train_migrate", "migrate", "Turn an SD 1.5 configuration into one for SDXL."),
            "monitor": ("monitor", "monitor", "Watch a training run: loss, speed, samples, alarms."),
            "doctor": ("doctor", "doctor", "Say whether this machine can run a plan, and what is missing."),
        }
    }


@click.group(cls=TrainCommands)
def train() -> None:
    """Turn a certified dataset into a run of sd-scripts, with its traps caught before the model loads."""
