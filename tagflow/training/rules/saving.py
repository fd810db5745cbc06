"""What is written, when, in which form, and whether a run can be taken up again."""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.training.faults import Fault
from tagflow.training.setup import Setup

_EVERY = ("save_every_n_epochs", "save_every_n_steps", "save_n_epoch_ratio")
# What is kept of what is written, and what must be set that it is written at all.
_KEEPING = {
    "save_last_n_epochs": ("save_every_n_epochs", "save_n_epoch_ratio"),
    "save_last_n_steps": ("save_every_n_steps",),
    "save_last_n_epochs_state": ("save_state",),
    "save_last_n_steps_state": ("save_state",),
}


def faults(setup: Setup) -> Iterator[Fault]:
    """Everything about files that are written."""
    yield from _names(setup)
    yield from _when(setup)
    if setup.values.get("save_precision") is None:
        yield Fault("save-precision-missing", "", "save_precision")
    if setup.text("save_model_as") in ("ckpt", "pt"):
        yield Fault("save-format-pickle", setup.text("save_model_as"), "save_model_as")
    yield from _states(setup)
    yield from _logs(setup)
    yield from _ends(setup)


def _ends(setup: Setup) -> Iterator[Fault]:
    """What ends before anything is trained. In a configuration file output_config comes too late to."""
    if setup.on("debug_dataset"):
        yield Fault("no-training", "debug_dataset", "debug_dataset")
    asked = setup.given.get("output_config") == "command line" and setup.on("output_config")
    if asked and setup.text("config_file"):
        yield Fault("no-training", "output_config", "output_config")


def _names(setup: Setup) -> Iterator[Fault]:
    folder, name = setup.path("output_dir"), setup.text("output_name")
    if folder is None:
        yield Fault("output-dir-missing", "", "output_dir")
    elif folder.exists() and not folder.is_dir():
        yield Fault("output-dir-file", setup.text("output_dir"), "output_dir")
    if not name:
        yield Fault("output-name-missing", "", "output_name")
    suffix = setup.text("save_model_as") or "safetensors"
    file = f"{name or 'last'}.{suffix}"
    if folder is not None and (folder / file).is_file() and not setup.text("resume"):
        yield Fault("output-exists", file, "output_name")


def _when(setup: Setup) -> Iterator[Fault]:
    zero = [name for name in _EVERY[:2] if setup.values.get(name) is not None and not setup.number(name)]
    if zero:
        yield Fault("save-every-zero", ", ".join(zero), zero[0])
    if all(setup.values.get(name) is None for name in _EVERY):
        yield Fault("save-only-last", "", "save_every_n_epochs")
    for name, needed in _KEEPING.items():
        if setup.number(name) and not any(setup.on(one) for one in needed):
            yield Fault("save-keep-idle", f"{name} needs {' or '.join(needed)}", name)


def _states(setup: Setup) -> Iterator[Fault]:
    if not setup.on("save_state"):
        yield Fault("state-never", "", "save_state")
    elif all(setup.values.get(name) is None for name in _EVERY):
        yield Fault("state-only-last", "", "save_state")
    if not setup.text("resume"):
        return
    folder = setup.path("resume")
    if folder is not None and not folder.is_dir() and not setup.on("resume_from_huggingface"):
        yield Fault("resume-not-found", setup.text("resume"), "resume")


def _logs(setup: Setup) -> Iterator[Fault]:
    to, folder = setup.text("log_with"), setup.text("logging_dir")
    if to in ("tensorboard", "all") and not folder:
        yield Fault("logging-dir-missing", f"log_with {to}", "logging_dir")
    if not to and not folder:
        yield Fault("log-nothing", "", "logging_dir")
    for name in ("wandb_api_key", "huggingface_token"):
        if setup.given.get(name) == "command line":
            yield Fault("secret-on-command-line", name, name)
