"""Rules about checkpoint, VAE and what a run writes; open it for saving, states, logs, samples, prompts."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tagflow.errors import EncoderError
from tagflow.files.safetensors import read_whole_header
from tagflow.findings.finding import Finding, finding
from tagflow.models.structure import structure
from tagflow.training.check.registry import rule
from tagflow.training.setup.setup import Setup

_CHECKPOINT = "pretrained_model_name_or_path"
_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_TOKENIZERS = ("openai_clip-vit-large-patch14", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k")
_FOLDERS = ("unet", "vae", "text_encoder", "text_encoder_2")
_EVERY = ("save_every_n_epochs", "save_every_n_steps", "save_n_epoch_ratio")
# What is kept of what is written, and what must be set that it is written at all.
_KEEPING = {
    "save_last_n_epochs": ("save_every_n_epochs", "save_n_epoch_ratio"),
    "save_last_n_steps": ("save_every_n_steps",),
    "save_last_n_epochs_state": ("save_state",),
    "save_last_n_steps_state": ("save_state",),
}
_SAMPLE_EVERY = ("sample_every_n_epochs", "sample_every_n_steps")
_SAMPLING = (*_SAMPLE_EVERY, "sample_at_first", "sample_prompts")
_PROMPTS = (".txt", ".toml", ".json")
_LARGEST = 1024 * 1024  # bytes of prompts
# What `line_to_prompt_dict` takes for an option, wherever it stands; the prompt itself is looked at, too.
_OPTION = re.compile(r"(?:[whds] \d+|[lg] [\d.]+|(?:n|ss|cn|ctr|rcfg|fs) .)", re.IGNORECASE)
_SIZED = re.compile(r" --w \d+", re.IGNORECASE)


@rule(
    "checkpoint-missing", "checkpoint-link", "checkpoint-not-found", "checkpoint-folder", reads=(_CHECKPOINT,)
)
def checkpoint_found(setup: Setup) -> Iterator[Finding]:
    named, path = setup.text(_CHECKPOINT), setup.path(_CHECKPOINT)
    if path is None:
        yield finding("checkpoint-missing", option=_CHECKPOINT)
    elif path.is_symlink() and not _as_trainer_follows(setup, path):
        yield finding("checkpoint-link", f"{named} -> {path.readlink()}", option=_CHECKPOINT)
    elif path.is_dir():
        lacking = [name for name in _FOLDERS if not (path / name).is_dir()]
        if lacking or not (path / "model_index.json").is_file():
            what = f"{named} lacks {', '.join(lacking) or 'model_index.json'}"
            yield finding("checkpoint-folder", what, option=_CHECKPOINT)
    elif not path.is_file() and not _of_hub(named):
        yield finding("checkpoint-not-found", named, option=_CHECKPOINT)


def _as_trainer_follows(setup: Setup, link: Path) -> bool:
    """It takes what a link says as it stands: a relative one counts from the current folder, not its own."""
    return (setup.folder / link.readlink()).exists()


@rule("checkpoint-damaged", "checkpoint-not-sdxl", "checkpoint-incomplete", reads=(_CHECKPOINT,))
def checkpoint_whole(setup: Setup) -> Iterator[Finding]:
    """What a checkpoint's header says; a pickle has none, so nothing is said of it."""
    named, path = setup.text(_CHECKPOINT), setup.path(_CHECKPOINT)
    if path is None or path.suffix.lower() != ".safetensors" or not path.is_file():
        return
    if path.is_symlink() and not _as_trainer_follows(setup, path):
        return
    try:
        found = structure(read_whole_header(path).entries)
    except EncoderError as problem:
        yield finding("checkpoint-damaged", problem.message, option=_CHECKPOINT)
        return
    if found.kind != "checkpoint":
        what = "; ".join(one.detail for one in found.findings if one.detail)
        yield finding("checkpoint-not-sdxl", f"{named}: {what or found.kind}", option=_CHECKPOINT)
        return
    lacking = [f"no {one}" for one in ("unet", "te1", "te2", "vae") if one not in found.parts]
    for one in found.findings:
        # What certified the captions has read every tensor of both text encoders; these two nobody has.
        part = one.figures["part"] if one.severity == "error" else None
        if part in ("unet", "vae") and part in found.parts:
            lacking.append(f"{part}: {one.kind.title} ({one.detail})")
    if lacking:
        yield finding("checkpoint-incomplete", f"{named}: {'; '.join(lacking)}", option=_CHECKPOINT)


@rule("vae-not-found", reads=("vae",))
def vae_found(setup: Setup) -> Iterator[Finding]:
    named, path = setup.text("vae"), setup.path("vae")
    if path is not None and not path.exists() and not _of_hub(named):
        yield finding("vae-not-found", named, option="vae")


def _of_hub(named: str) -> bool:
    """Whether a name that is no path may be one of the hub's: `owner/name`."""
    return bool(_HUB.fullmatch(named)) and not named.startswith(".") and not named.endswith(_WEIGHTS)


@rule("tokenizers-not-cached", reads=("tokenizer_cache_dir",))
def tokenizers_cached(setup: Setup) -> Iterator[Finding]:
    cache = setup.path("tokenizer_cache_dir")
    lacking = [name for name in _TOKENIZERS if cache is not None and not (cache / name).is_dir()]
    if lacking:
        yield finding("tokenizers-not-cached", ", ".join(lacking), option="tokenizer_cache_dir")


@rule("output-dir-missing", "output-dir-file", reads=("output_dir",))
def output_dir(setup: Setup) -> Iterator[Finding]:
    folder = setup.path("output_dir")
    if folder is None:
        yield finding("output-dir-missing", option="output_dir")
    elif folder.exists() and not folder.is_dir():
        yield finding("output-dir-file", setup.text("output_dir"), option="output_dir")


@rule("output-name-missing", reads=("output_name",))
def output_name(setup: Setup) -> Iterator[Finding]:
    if not setup.text("output_name"):
        yield finding("output-name-missing", option="output_name")


@rule("output-exists", reads=("output_dir", "output_name", "save_model_as", "resume"))
def output_exists(setup: Setup) -> Iterator[Finding]:
    folder = setup.path("output_dir")
    file = f"{setup.text('output_name') or 'last'}.{setup.text('save_model_as') or 'safetensors'}"
    if folder is not None and (folder / file).is_file() and not setup.text("resume"):
        yield finding("output-exists", file, option="output_name")


@rule("save-precision-missing", reads=("save_precision",))
def save_precision(setup: Setup) -> Iterator[Finding]:
    if setup.values.get("save_precision") is None:
        yield finding("save-precision-missing", option="save_precision")


@rule("save-format-pickle", reads=("save_model_as",))
def save_format(setup: Setup) -> Iterator[Finding]:
    if setup.text("save_model_as") in ("ckpt", "pt"):
        yield finding("save-format-pickle", setup.text("save_model_as"), option="save_model_as")


@rule("save-every-zero", reads=_EVERY[:2])
def save_every_zero(setup: Setup) -> Iterator[Finding]:
    zero = [name for name in _EVERY[:2] if setup.values.get(name) is not None and not setup.number(name)]
    if zero:
        yield finding("save-every-zero", ", ".join(zero), option=zero[0])


@rule("save-only-last", reads=_EVERY)
def save_only_last(setup: Setup) -> Iterator[Finding]:
    if all(setup.values.get(name) is None for name in _EVERY):
        yield finding("save-only-last", option="save_every_n_epochs")


@rule("save-keep-idle", reads=(*_KEEPING, *_EVERY, "save_state"))
def save_keep_idle(setup: Setup) -> Iterator[Finding]:
    for name, needed in _KEEPING.items():
        if setup.number(name) and not any(setup.on(one) for one in needed):
            yield finding("save-keep-idle", f"{name} needs {' or '.join(needed)}", option=name)


@rule("state-never", "state-only-last", reads=("save_state", *_EVERY))
def states(setup: Setup) -> Iterator[Finding]:
    if not setup.on("save_state"):
        yield finding("state-never", option="save_state")
    elif all(setup.values.get(name) is None for name in _EVERY):
        yield finding("state-only-last", option="save_state")


@rule("resume-not-found", reads=("resume", "resume_from_huggingface"))
def resume_found(setup: Setup) -> Iterator[Finding]:
    folder = setup.path("resume")
    if folder is not None and not folder.is_dir() and not setup.on("resume_from_huggingface"):
        yield finding("resume-not-found", setup.text("resume"), option="resume")


@rule("logging-dir-missing", "log-nothing", reads=("log_with", "logging_dir"))
def logs(setup: Setup) -> Iterator[Finding]:
    to = setup.text("log_with")
    if setup.text("logging_dir"):
        return
    if to in ("tensorboard", "all"):
        yield finding("logging-dir-missing", f"log_with {to}", option="logging_dir")
    elif not to:
        yield finding("log-nothing", option="logging_dir")


@rule("secret-on-command-line", reads=("wandb_api_key", "huggingface_token"))
def secrets(setup: Setup) -> Iterator[Finding]:
    for name in ("wandb_api_key", "huggingface_token"):
        if setup.given.get(name) == "command line":
            yield finding("secret-on-command-line", name, option=name)


@rule("no-training", reads=("debug_dataset", "output_config", "config_file"))
def no_training(setup: Setup) -> Iterator[Finding]:
    """What ends before anything is trained. In a configuration file output_config comes too late to."""
    if setup.on("debug_dataset"):
        yield finding("no-training", "debug_dataset", option="debug_dataset")
    asked = setup.given.get("output_config") == "command line" and setup.on("output_config")
    if asked and setup.text("config_file"):
        yield finding("no-training", "output_config", option="output_config")


@rule("sample-every-zero", "sample-both", reads=_SAMPLE_EVERY)
def sample_every(setup: Setup) -> Iterator[Finding]:
    off = [name for name in _SAMPLE_EVERY if setup.values.get(name) is not None and setup.number(name) <= 0]
    if off:
        yield finding("sample-every-zero", ", ".join(off), option=off[0])
    if all(setup.number(name) > 0 for name in _SAMPLE_EVERY):
        yield finding("sample-both", option="sample_every_n_steps")


def _samples(setup: Setup) -> bool:
    """Whether samples are drawn at all."""
    return any(setup.number(name) > 0 for name in _SAMPLE_EVERY) or setup.on("sample_at_first")


@rule("sample-never", reads=_SAMPLING)
def sample_never(setup: Setup) -> Iterator[Finding]:
    if setup.text("sample_prompts") and not _samples(setup):
        yield finding("sample-never", option="sample_every_n_epochs")


@rule(
    "sample-prompts-missing",
    "sample-prompts-not-found",
    "sample-prompts-form",
    "sample-prompts-relative",
    reads=_SAMPLING,
)
def sample_prompts(setup: Setup) -> Iterator[Finding]:
    option, named, file = "sample_prompts", setup.text("sample_prompts"), setup.path("sample_prompts")
    if not _samples(setup):
        return
    if file is None:
        yield finding("sample-prompts-missing", option=option)
        return
    if not file.is_file():
        yield finding("sample-prompts-not-found", named, option=option)
    if not named.endswith(_PROMPTS):
        yield finding("sample-prompts-form", named, option=option)
    if not Path(named).is_absolute():
        yield finding("sample-prompts-relative", f"{named} in {setup.folder}", option=option)


@rule(
    "sample-prompts-unreadable",
    "sample-prompts-empty",
    "sample-prompt-misread",
    "sample-size",
    reads=_SAMPLING,
)
def sample_prompts_content(setup: Setup) -> Iterator[Finding]:
    option, file = "sample_prompts", setup.path("sample_prompts")
    if not _samples(setup) or file is None or not file.is_file() or not file.name.endswith(_PROMPTS):
        return
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST).decode("utf-8")
        # The prompts as sd-scripts' `sample_images_common` finds them.
        prompts: list[object]
        if file.suffix == ".txt":
            prompts = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        elif file.suffix == ".toml":
            prompts = list(tomllib.loads(text)["prompt"]["subset"])
        else:
            prompts = list(json.loads(text))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        yield finding("sample-prompts-unreadable", f"{file.name}: {problem}", option=option)
        return
    if not prompts:
        yield finding("sample-prompts-empty", file.name, option=option)
    misread = [one for one in prompts if isinstance(one, str) and _OPTION.match(one.strip())]
    if misread:
        yield finding("sample-prompt-misread", f"{file.name}: {str(misread[0])[:60]}", option=option)
    if any(isinstance(one, str) and not _SIZED.search(one) for one in prompts):
        yield finding("sample-size", file.name, option=option)
