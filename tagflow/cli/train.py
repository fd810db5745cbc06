"""`tagflow train`: the commands around sd-scripts."""

from __future__ import annotations

from typing import ClassVar

import click

from tagflow.cli.lazy import LazyCommands


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
