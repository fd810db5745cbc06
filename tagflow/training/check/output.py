"""Rules about checkpoint, VAE, tokenizers and what a run writes; open it for names, saving, states, logs.

Sample pictures are in sampling.py, going on from a state in resume.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tagflow.clip.vocabulary import SPECIAL, what_is_wrong
from tagflow.errors import EncoderError
from tagflow.files.read import read_toml, settings_text
from tagflow.files.safetensors import read_whole_header
from tagflow.findings.finding import Finding, finding
from tagflow.models.structure import structure
from tagflow.training.check.registry import rule
from tagflow.training.setup.setup import Setup

_CHECKPOINT = "pretrained_model_name_or_path"
_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_TOKENIZERS = ("openai_clip-vit-large-patch14", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k")
_LARGEST_VOCABULARY = 8 << 20  # bytes; CLIP's has one million
_FOLDERS = ("unet", "vae", "text_encoder", "text_encoder_2")
_EVERY = ("save_every_n_epochs", "save_every_n_steps", "save_n_epoch_ratio")
# What is kept of what is written, and what must be set that it is written at all.
_KEEPING = {
    "save_last_n_epochs": ("save_every_n_epochs", "save_n_epoch_ratio"),
    "save_last_n_steps": ("save_every_n_steps",),
    "save_last_n_epochs_state": ("save_state",),
    "save_last_n_steps_state": ("save_state",),
}
# What Windows refuses in a name, and names that it keeps for itself.
_REFUSED = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)', re.IGNORECASE)
_SAVED = (".safetensors", ".ckpt", ".pt")
_SAMPLING = ("sample_every_n_epochs", "sample_every_n_steps", "sample_at_first")


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


@rule("tokenizers-not-cached", "tokenizers-other", reads=("tokenizer_cache_dir",))
def tokenizers_cached(setup: Setup) -> Iterator[Finding]:
    """Both tokenizers are read from there without a question, whatever vocabulary they have."""
    option, cache = "tokenizer_cache_dir", setup.path("tokenizer_cache_dir")
    folders = [cache / name for name in _TOKENIZERS] if cache is not None else []
    lacking = [one.name for one in folders if not one.is_dir()]
    if lacking:
        yield finding("tokenizers-not-cached", ", ".join(lacking), option=option)
    for folder in folders:
        why = _of_vocabulary(folder) if folder.is_dir() else ""
        if why:
            yield finding("tokenizers-other", f"{folder.name}: {why}", option=option)


def _of_vocabulary(folder: Path) -> str:
    """Why a tokenizer is not CLIP's; empty where it is, or a file is missing, which the doctor says."""
    try:
        vocab = json.loads((folder / "vocab.json").read_bytes()[:_LARGEST_VOCABULARY])
        lines = (folder / "merges.txt").read_bytes()[:_LARGEST_VOCABULARY].decode("utf-8").splitlines()
        added = folder / "added_tokens.json"
        more = json.loads(added.read_bytes()[:_LARGEST_VOCABULARY]) if added.is_file() else {}
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, RecursionError) as problem:
        return f"cannot be read: {problem}"
    if extra := [str(one) for one in more if one not in SPECIAL]:
        return f"it has tokens of its own: {', '.join(extra[:3])}"
    pairs = [line.split() for line in lines[1:] if line.strip()]
    if not isinstance(vocab, dict) or any(len(pair) != 2 for pair in pairs):
        return "vocab.json or merges.txt is none of CLIP's"
    return what_is_wrong(vocab, [(pair[0], pair[1]) for pair in pairs])


@rule("output-dir-missing", "output-dir-file", reads=("output_dir",))
def output_dir(setup: Setup) -> Iterator[Finding]:
    folder = setup.path("output_dir")
    if folder is None:
        yield finding("output-dir-missing", option="output_dir")
    elif folder.exists() and not folder.is_dir():
        yield finding("output-dir-file", setup.text("output_dir"), option="output_dir")


@rule(
    "output-name-missing",
    "output-name-outside",
    "output-name-folder",
    "output-name-refused",
    "output-name-suffix",
    reads=("output_name", "output_dir", *_SAMPLING),
)
def output_name(setup: Setup) -> Iterator[Finding]:
    """A name is put behind output_dir and a slash as it is; no folder in it is made."""
    option, name, root = "output_name", setup.text("output_name"), setup.path("output_dir")
    drawn = any(setup.number(one) > 0 for one in _SAMPLING)  # pictures go to output_dir/sample
    parts = name.split("/")
    if not name:
        yield finding("output-name-missing", option=option)
    elif ".." in parts or name.startswith("/"):
        yield finding("output-name-outside", repr(name), option=option)
    elif len(parts) > 1:
        inner = "/".join(parts[:-1])
        wanted = [
            root / inner if root else Path(inner),
            *([root / "sample" / inner] if root and drawn else []),
        ]
        lacking = [f"{folder.as_posix()}/" for folder in wanted if not folder.is_dir()]
        if lacking:
            yield finding("output-name-folder", f"{name!r}: there is no {lacking[0]}", option=option)
    if refused := [part for part in parts if _REFUSED.search(part) and part != ".."]:
        yield finding("output-name-refused", f"{refused[0]!r}", option=option)
    if name.lower().endswith(_SAVED):
        yield finding("output-name-suffix", name, option=option)


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


@rule("logging-dir-missing", "log-nothing", reads=("log_with", "logging_dir"))
def logs(setup: Setup) -> Iterator[Finding]:
    to = setup.text("log_with")
    if setup.text("logging_dir"):
        return
    if to in ("tensorboard", "all"):
        yield finding("logging-dir-missing", f"log_with {to}", option="logging_dir")
    elif not to:
        yield finding("log-nothing", option="logging_dir")


@rule(
    "logging-dir-file",
    "tracker-config-not-found",
    "tracker-config-unreadable",
    reads=("logging_dir", "log_tracker_config"),
)
def log_places(setup: Setup) -> Iterator[Finding]:
    """A folder of logs that is a file, and settings of a tracker that are not there or are no TOML."""
    folder, option = setup.path("logging_dir"), "log_tracker_config"
    file = setup.path(option)
    if folder is not None and folder.exists() and not folder.is_dir():
        yield finding("logging-dir-file", setup.text("logging_dir"), option="logging_dir")
    if file is None:
        return
    if not file.is_file():
        yield finding("tracker-config-not-found", setup.text(option), option=option)
        return
    try:
        read_toml(settings_text(file, _LARGEST_VOCABULARY))
    except (OSError, ValueError) as problem:
        yield finding("tracker-config-unreadable", f"{setup.text(option)}: {problem}", option=option)


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
