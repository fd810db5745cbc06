"""What is written, when, in which form, and whether a run can be taken up again.

Sample images while it trains, and the loss on images that were held back.

The model files: are they there, and are they what the trainer takes them for?
"""

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
from tagflow.training.check.derived import SubsetView, over, parts
from tagflow.training.setup.setup import Setup

_EVERY = ("save_every_n_epochs", "save_every_n_steps", "save_n_epoch_ratio")
# What is kept of what is written, and what must be set that it is written at all.
_KEEPING = {
    "save_last_n_epochs": ("save_every_n_epochs", "save_n_epoch_ratio"),
    "save_last_n_steps": ("save_every_n_steps",),
    "save_last_n_epochs_state": ("save_state",),
    "save_last_n_steps_state": ("save_state",),
}


def faults(setup: Setup) -> Iterator[Finding]:
    """Everything about files that are written."""
    yield from _names(setup)
    yield from _when(setup)
    if setup.values.get("save_precision") is None:
        yield finding("save-precision-missing", option="save_precision")
    if setup.text("save_model_as") in ("ckpt", "pt"):
        yield finding("save-format-pickle", setup.text("save_model_as"), option="save_model_as")
    yield from _states(setup)
    yield from _logs(setup)
    yield from _ends(setup)


def _ends(setup: Setup) -> Iterator[Finding]:
    """What ends before anything is trained. In a configuration file output_config comes too late to."""
    if setup.on("debug_dataset"):
        yield finding("no-training", "debug_dataset", option="debug_dataset")
    asked = setup.given.get("output_config") == "command line" and setup.on("output_config")
    if asked and setup.text("config_file"):
        yield finding("no-training", "output_config", option="output_config")


def _names(setup: Setup) -> Iterator[Finding]:
    folder, name = setup.path("output_dir"), setup.text("output_name")
    if folder is None:
        yield finding("output-dir-missing", option="output_dir")
    elif folder.exists() and not folder.is_dir():
        yield finding("output-dir-file", setup.text("output_dir"), option="output_dir")
    if not name:
        yield finding("output-name-missing", option="output_name")
    suffix = setup.text("save_model_as") or "safetensors"
    file = f"{name or 'last'}.{suffix}"
    if folder is not None and (folder / file).is_file() and not setup.text("resume"):
        yield finding("output-exists", file, option="output_name")


def _when(setup: Setup) -> Iterator[Finding]:
    zero = [name for name in _EVERY[:2] if setup.values.get(name) is not None and not setup.number(name)]
    if zero:
        yield finding("save-every-zero", ", ".join(zero), option=zero[0])
    if all(setup.values.get(name) is None for name in _EVERY):
        yield finding("save-only-last", option="save_every_n_epochs")
    for name, needed in _KEEPING.items():
        if setup.number(name) and not any(setup.on(one) for one in needed):
            yield finding("save-keep-idle", f"{name} needs {' or '.join(needed)}", option=name)


def _states(setup: Setup) -> Iterator[Finding]:
    if not setup.on("save_state"):
        yield finding("state-never", option="save_state")
    elif all(setup.values.get(name) is None for name in _EVERY):
        yield finding("state-only-last", option="save_state")
    if not setup.text("resume"):
        return
    folder = setup.path("resume")
    if folder is not None and not folder.is_dir() and not setup.on("resume_from_huggingface"):
        yield finding("resume-not-found", setup.text("resume"), option="resume")


def _logs(setup: Setup) -> Iterator[Finding]:
    to, folder = setup.text("log_with"), setup.text("logging_dir")
    if to in ("tensorboard", "all") and not folder:
        yield finding("logging-dir-missing", f"log_with {to}", option="logging_dir")
    if not to and not folder:
        yield finding("log-nothing", option="logging_dir")
    for name in ("wandb_api_key", "huggingface_token"):
        if setup.given.get(name) == "command line":
            yield finding("secret-on-command-line", name, option=name)


_SAMPLE_EVERY = ("sample_every_n_epochs", "sample_every_n_steps")
_SUFFIXES = (".txt", ".toml", ".json")
_LARGEST = 1024 * 1024  # bytes of prompts
_VALIDATING = ("validate_every_n_steps", "validate_every_n_epochs", "max_validation_steps", "validation_seed")
# What `line_to_prompt_dict` takes for an option, wherever it stands; the prompt itself is looked at, too.
_OPTION = re.compile(r"(?:[whds] \d+|[lg] [\d.]+|(?:n|ss|cn|ctr|rcfg|fs) .)", re.IGNORECASE)
_SIZED = re.compile(r" --w \d+", re.IGNORECASE)


def sample_faults(setup: Setup) -> Iterator[Finding]:
    """Everything about samples and validation."""
    wanted = [name for name in _SAMPLE_EVERY if setup.number(name) > 0]
    off = [name for name in _SAMPLE_EVERY if setup.values.get(name) is not None and setup.number(name) <= 0]
    if off:
        yield finding("sample-every-zero", ", ".join(off), option=off[0])
    if len(wanted) > 1:
        yield finding("sample-both", option="sample_every_n_steps")
    if wanted or setup.on("sample_at_first"):
        yield from _prompts(setup)
    elif setup.text("sample_prompts"):
        yield finding("sample-never", option="sample_every_n_epochs")
    yield from _validation(setup)


def _prompts(setup: Setup) -> Iterator[Finding]:
    option, named, file = "sample_prompts", setup.text("sample_prompts"), setup.path("sample_prompts")
    if file is None:
        yield finding("sample-prompts-missing", option=option)
        return
    if not file.is_file():
        yield finding("sample-prompts-not-found", named, option=option)
    if not named.endswith(_SUFFIXES):
        yield finding("sample-prompts-form", named, option=option)
    elif file.is_file():
        yield from _content(file)
    if not Path(named).is_absolute():
        yield finding("sample-prompts-relative", f"{named} in {setup.folder}", option=option)


def _content(file: Path) -> Iterator[Finding]:
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST).decode("utf-8")
        prompts = _parsed(text, file.suffix)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        yield finding("sample-prompts-unreadable", f"{file.name}: {problem}", option="sample_prompts")
        return
    if not prompts:
        yield finding("sample-prompts-empty", file.name, option="sample_prompts")
    misread = [one for one in prompts if isinstance(one, str) and _OPTION.match(one.strip())]
    if misread:
        yield finding(
            "sample-prompt-misread", f"{file.name}: {str(misread[0])[:60]}", option="sample_prompts"
        )
    if any(isinstance(one, str) and not _SIZED.search(one) for one in prompts):
        yield finding("sample-size", file.name, option="sample_prompts")


def _parsed(text: str, suffix: str) -> list[object]:
    """The prompts as sd-scripts' `sample_images_common` finds them."""
    if suffix == ".txt":
        return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if suffix == ".toml":
        return list(tomllib.loads(text)["prompt"]["subset"])
    return list(json.loads(text))


def _validation(setup: Setup) -> Iterator[Finding]:
    yield from over(setup, _split)
    split = [part.number("validation_split") for part in parts(setup)]
    idle = [name for name in _VALIDATING if name in setup.given]
    if idle and split and not any(split):
        yield finding("validation-idle", ", ".join(idle), option=idle[0])


def _split(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    if not 0 <= part.number("validation_split") <= 1:
        yield finding("validation-split-range", option="validation_split")


_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_TOKENIZERS = ("openai_clip-vit-large-patch14", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k")
_FOLDERS = ("unet", "vae", "text_encoder", "text_encoder_2")


def path_faults(setup: Setup) -> Iterator[Finding]:
    """Everything about model files."""
    yield from _checkpoint(setup)
    yield from _vae(setup)
    cache = setup.path("tokenizer_cache_dir")
    lacking = [name for name in _TOKENIZERS if cache is not None and not (cache / name).is_dir()]
    if lacking:
        yield finding("tokenizers-not-cached", ", ".join(lacking), option="tokenizer_cache_dir")


def _checkpoint(setup: Setup) -> Iterator[Finding]:
    option = "pretrained_model_name_or_path"
    named, path = setup.text(option), setup.path(option)
    if path is None:
        yield finding("checkpoint-missing", option=option)
    elif path.is_symlink() and not _as_trainer_follows(setup, path):
        yield finding("checkpoint-link", f"{named} -> {path.readlink()}", option=option)
    elif path.is_file():
        yield from _file(path, named)
    elif path.is_dir():
        lacking = [name for name in _FOLDERS if not (path / name).is_dir()]
        if lacking or not (path / "model_index.json").is_file():
            what = ", ".join(lacking) or "model_index.json"
            yield finding("checkpoint-folder", f"{named} lacks {what}", option=option)
    elif not _of_hub(named):
        yield finding("checkpoint-not-found", named, option=option)


def _as_trainer_follows(setup: Setup, link: Path) -> bool:
    """It takes what a link says as it stands: a relative one counts from the current folder, not its own."""
    return (setup.folder / link.readlink()).exists()


def _file(path: Path, named: str) -> Iterator[Finding]:
    """What a checkpoint's header says; a pickle has none, so nothing is said of it."""
    option = "pretrained_model_name_or_path"
    if path.suffix.lower() != ".safetensors":
        return
    try:
        found = structure(read_whole_header(path).entries)
    except EncoderError as problem:
        yield finding("checkpoint-damaged", problem.message, option=option)
        return
    what = "; ".join(one.detail for one in found.findings if one.detail)
    if found.kind != "checkpoint":
        yield finding("checkpoint-not-sdxl", f"{named}: {what or found.kind}", option=option)
    else:
        lacking = [f"no {one}" for one in ("unet", "te1", "te2", "vae") if one not in found.parts]
        # What certified the captions has read every tensor of both text encoders; these two nobody has.
        bad = (
            one
            for one in found.findings
            if one.severity == "error" and one.figures["part"] in ("unet", "vae")
        )
        lacking += [
            f"{one.figures['part']}: {one.kind.title} ({one.detail})"
            for one in bad
            if one.figures["part"] in found.parts
        ]
        if lacking:
            yield finding("checkpoint-incomplete", f"{named}: {'; '.join(lacking)}", option=option)


def _vae(setup: Setup) -> Iterator[Finding]:
    named, path = setup.text("vae"), setup.path("vae")
    if path is not None and not path.exists() and not _of_hub(named):
        yield finding("vae-not-found", named, option="vae")


def _of_hub(named: str) -> bool:
    """Whether a name that is no path may be one of the hub's: `owner/name`."""
    return bool(_HUB.fullmatch(named)) and not named.startswith(".") and not named.endswith(_WEIGHTS)
