"""The commands: the only code that prints."""

from __future__ import annotations

from typing import ClassVar

import click

from tagflow import __version__
from tagflow.cli.lazy import LazyCommands


class Commands(LazyCommands):
    """All commands of tagflow."""

    modules: ClassVar = {
        "run": ("run", "run", "Reorder captions, prove that the meaning stayed, write and audit."),
        "reorder": ("run", "reorder", "Reorder captions and audit; structure only, nothing is certified."),
        "validate": ("validate", "validate", "Judge files in both encoders against their audit."),
        "check": ("check", "check", "Look for faults in captions; structure only, changes nothing."),
        "undo": ("undo", "undo", "Bring back the exact bytes that a run replaced."),
        "runs": ("runs", "runs", "List the runs, and what is kept of them; --prune gives originals up."),
        "explain": ("explain", "explain", "Say which category a tag has, and why."),
        "audit": ("audit", "audit", "Show an audit: summary and worst captions."),
        "ontology": ("ontology", "ontology", "Look into ontologies, and make them know your tags."),
        "train": ("train", "train", "Plan, check and start a training run of sd-scripts."),
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
