"""The doctor's look at files, disks and memory; open it for checkpoint, VAE, tokenizers, images, free space.

These are the files that a run needs, and the room for those that it writes.
"""

from __future__ import annotations

import math
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tagflow.errors import EncoderError, TrainerError
from tagflow.files.safetensors import read_whole_header
from tagflow.findings.finding import Severity
from tagflow.findings.wording import some
from tagflow.progress import Progress
from tagflow.training.doctor.line import Line, Needs, bad, ok
from tagflow.training.machine.probe import memory, options_of
from tagflow.training.plan.memory import Load, figures, lora_parameters
from tagflow.training.run_folder import OUTPUT
from tagflow.training.sd_scripts.environment import sd_scripts_version
from tagflow.training.sd_scripts.files import CODES, DEFAULT_CAPTION, Plugins, Sight, is_image, overlooked
from tagflow.training.sd_scripts.options import Value, known_options
from tagflow.training.sd_scripts.steps import files_left
from tagflow.training.setup.setup import Setup

if TYPE_CHECKING:
    from tagflow.findings.finding import Finding

TOKENIZERS = ("openai/clip-vit-large-patch14", "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k")
_SHOWN = 3  # names in a line
_TOKENIZER_FILES = ("vocab.json", "merges.txt")
GIB = 1 << 30
# Peak memory of the real trainer, measured without a GPU: in fp32 as it loads by default, or in 16 bits.
LOADS, LOADS_HALF = 14 * GIB, 9 * GIB
_BYTES = {"fp16": 2, "bf16": 2}  # of one number in a LoRA file; float, the default: 4
_WIDTH = 768 + 1280  # numbers a token in the cached outputs of both encoders, kept in fp32
_POOL = 1280


def of_sd_scripts(folder: Path, python: Path | None, *, deep: bool) -> Iterator[Line]:
    """Its place and version and, if `deep`, whether its script loads in the trainer's Python."""
    version, known = sd_scripts_version(folder), known_options().version
    seen = f"{version}, {folder}"
    same = version.partition(" ")[0] == known
    if same:
        yield ok("sd-scripts", seen)
    else:
        yield bad("sd-scripts", "sd-scripts-other", f"{seen}; tagflow knows {known}")
    if not deep or python is None:
        return
    try:
        theirs = options_of(python, folder).by_name
    except TrainerError as problem:
        yield bad("script", "sd-scripts-broken", problem.message)
        return
    ours = known_options().by_name
    new, gone = len(theirs.keys() - ours.keys()), len(ours.keys() - theirs.keys())
    seen = f"loads; {len(theirs)} options, {new} unknown to tagflow, {gone} known ones missing"
    yield ok("script", seen)


@dataclass(frozen=True, slots=True)
class _Model:
    """A model file's part in a run: what it is called and which of the catalogue's codes are its own."""

    check: str
    error: str
    warning: str
    kinds: frozenset[str]


_BASE = _Model("checkpoint", "checkpoint-bad", "checkpoint-doubtful", frozenset({"checkpoint"}))
# sd-scripts takes a whole checkpoint for a VAE, too: only the names with the VAE's prefix count then.
_VAE = _Model("vae", "vae-bad", "checkpoint-doubtful", frozenset({"vae", "checkpoint"}))


def of_base(path: Path | None, needs: Needs, *, deep: bool, progress: Progress) -> Iterator[Line]:
    """The checkpoint, by its header; if `deep`, by every number in it."""
    if path is None:
        yield bad("checkpoint", "checkpoint-unknown", "not looked at: none was named (--base FILE)")
        return
    if path.is_dir():
        whole = (path / "model_index.json").is_file()
        seen = f"{path}: a diffusers folder" + ("" if whole else " without model_index.json")
        yield (
            ok("checkpoint", f"{seen} (its weights were not looked at)")
            if whole
            else bad("checkpoint", "checkpoint-bad", seen)
        )
        return
    yield from _model(path, _BASE, deep=deep, progress=progress)
    planned = needs.plan.base.size if needs.plan.base else None
    if planned and path.is_file() and path.stat().st_size != planned:
        seen = f"{path}: {path.stat().st_size:,} bytes; the plan's had {planned:,}"
        yield bad("checkpoint", "checkpoint-other", seen)


def of_vae(path: Path, *, deep: bool, progress: Progress) -> Iterator[Line]:
    """A VAE of its own."""
    if path.is_dir():
        whole = any((path / name).is_file() for name in ("config.json", "vae/config.json"))
        seen = f"{path}: a diffusers folder" + ("" if whole else " without config.json")
        yield (
            ok("vae", f"{seen} (its weights were not looked at)") if whole else bad("vae", "vae-bad", seen)
        )
    else:
        yield from _model(path, _VAE, deep=deep, progress=progress)


def _model(path: Path, model: _Model, *, deep: bool, progress: Progress) -> Iterator[Line]:
    from tagflow.models.structure import tensors_of

    try:
        kind, findings, about = _looked_at(path, deep=deep, progress=progress)
    except EncoderError as problem:
        yield bad(model.check, model.error, problem.message, cure=problem.cure)
        return
    if kind not in model.kinds and not any(one.severity == "error" for one in findings):
        yield bad(model.check, model.error, f"{path} is a {kind} by itself")
        return
    severities: dict[Severity, str] = {"error": model.error, "warning": model.warning}
    lines = []
    for one in findings:
        if one.severity in severities:
            named = one.detail or ", ".join(tensors_of(one)[:2])
            seen = f"{path}: {one.kind.title}" + (f" ({named})" if named else "")
            lines.append(bad(model.check, severities[one.severity], seen))
    yield from lines or [ok(model.check, f"{path}, {about}")]


def _looked_at(path: Path, *, deep: bool, progress: Progress) -> tuple[str, tuple[Finding, ...], str]:
    """What a model file is, what is wrong with it, and what else is to be said of it."""
    from tagflow.models.prediction import prediction
    from tagflow.models.structure import structure
    from tagflow.models.verify import verify

    if deep:
        report = verify(path, deep=True, progress=progress)
        return report.kind, report.findings, f"sha256 {report.sha256}, every number is finite"
    header = read_whole_header(path)
    found = structure(header.entries)
    predicts = prediction(header.entries, header.metadata).type
    spoken = f", prediction {predicts}" if found.kind == "checkpoint" else ""
    about = f"{header.size / 1e9:.2f} GB, {len(header.entries):,} tensors{spoken} (by its header)"
    return found.kind, found.findings, about


def of_tokenizers(needs: Needs) -> Iterator[Line]:
    """Both tokenizers, where sd-scripts will look for them: its own folder for them, then the hub's cache."""
    own = needs.text("tokenizer_cache_dir")
    asked = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    offline = any(value.upper() in {"1", "ON", "YES", "TRUE"} for value in asked)
    found: list[str] = []
    for name in TOKENIZERS:
        folder = Path(own) / name.replace("/", "_") if own else None
        if folder is not None and folder.exists():
            missing = _lacks(folder)
            if missing:
                yield bad("tokenizers", "tokenizer-damaged", f"{folder} lacks {missing}")
                continue
            found.append(name)
        elif any(not _lacks(snapshot) for snapshot in _snapshots(name)):
            found.append(name)
        else:
            severity: Severity = "error" if offline else "warning"
            where = f"neither in {folder} nor in the hub's cache" if folder else "not in the hub's cache"
            yield bad("tokenizers", "tokenizer-uncached", f"{name}: {where}", severity=severity)
    if len(found) == len(TOKENIZERS):
        yield ok("tokenizers", "both are on this machine")


def _lacks(folder: Path) -> str:
    return ", ".join(name for name in _TOKENIZER_FILES if not (folder / name).is_file())


def _snapshots(name: str) -> Iterator[Path]:
    """What the hub's cache has of a repository, in huggingface_hub's layout.

    The trainer inherits this environment, so its cache is where these variables say.
    """
    names = ("TRANSFORMERS_CACHE", "PYTORCH_TRANSFORMERS_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
    caches = [Path(os.environ[one]).expanduser() for one in names if os.environ.get(one)]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    caches.append(Path(os.environ.get("HF_HOME") or cache / "huggingface").expanduser() / "hub")
    for place in caches:
        snapshots = place / f"models--{name.replace('/', '--')}" / "snapshots"
        yield from snapshots.iterdir() if snapshots.is_dir() else ()


def of_images(setup: Setup, plugins: Plugins) -> Iterator[Line]:
    """Pictures in the run's folders that the trainer does not see, or may not: one line for each reason."""
    count, found = 0, defaultdict[Sight, list[str]](list)
    for subset in setup.subsets or ():
        try:
            names = [file.name for file in subset.folder.iterdir()] if subset.folder else []
        except OSError:  # `train check` says that it is not there
            continue
        count += sum(is_image(name, plugins) for name in names)
        extension = str(subset.values.get("caption_extension") or DEFAULT_CAPTION)
        for name, seen in overlooked(names, extension, plugins).items():
            found[seen].append(name)
    for seen, names in found.items():
        yield bad("images", CODES[seen.state], f"{some(names, _SHOWN)}: {seen.why}")
    if not found:
        yield ok("images", f"{count}, which the trainer sees")


@dataclass(frozen=True, slots=True)
class Room:
    """What a run writes, in bytes, all its files together."""

    loras: int
    states: int
    caches: int


def of_disk(setup: Setup, needs: Needs) -> Iterator[Line]:
    """The output's disk and those of the image folders, each asked once for all that goes there."""
    room = room_needed(setup, needs)
    output = setup.path("output_dir") or setup.folder / OUTPUT
    wanted: dict[int | None, tuple[Path, int]] = {}
    folders = [one.folder for one in setup.subsets or () if one.folder is not None] if room.caches else []
    shares = [(output, room.loras + room.states)]
    shares += [(folder, math.ceil(room.caches / len(folders))) for folder in folders]
    for folder, size in shares:
        place = None  # the folder, or the nearest above it that is there: the output's is made later
        with suppress(OSError):
            place = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
        device = place.stat().st_dev if place else None
        first, before = wanted.get(device, (place or folder, 0))
        wanted[device] = (first, before + size)
    parts = f"LoRA files {_gib(room.loras)}, states {_gib(room.states)}, caches {_gib(room.caches)}"
    for place, size in wanted.values():
        try:
            free = shutil.disk_usage(place).free
        except OSError as problem:
            yield bad("disk", "disk-unknown", f"{place}: {problem.strerror or problem}")
            continue
        seen = f"{place}: {_gib(free)} free, about {_gib(size)} needed ({parts} in all)"
        yield bad("disk", "disk-short", seen) if size > free else ok("disk", seen)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def room_needed(setup: Setup, needs: Needs) -> Room:
    """What the run writes, by its options and the plan's arithmetic; what cannot be known counts as nothing.

    A state holds the LoRA in fp32 and what the optimizer keeps of each number.
    """
    trained = Load(
        dim=int(setup.number("network_dim")) or 4,
        unet=not setup.on("network_train_text_encoder_only"),
        text_encoders=not setup.on("network_train_unet_only"),
    )
    numbers = lora_parameters(trained)
    states = _left(setup, needs, "_state") if setup.on("save_state") else 0
    if setup.on("save_state") or setup.on("save_state_on_train_end"):
        states += 1  # that of the end
    each = {name.lower(): size for name, size in figures()["optimizers"].items()}
    state = numbers * (4 + int(each.get(needs.optimizer.rpartition(".")[2], 8)))
    cached = 0  # bytes for one image
    if setup.on("cache_latents_to_disk"):
        sizes = [_pixels(one.values.get("resolution")) for one in setup.subsets or ()]
        largest = max(sizes, default=0.0) or _pixels(setup.values.get("resolution"))
        latents = largest / 64 * 4  # four channels of an eighth of each side
        cached += int(latents * 4 * (2 if setup.any_subset("flip_aug") else 1))
    if setup.on("cache_text_encoder_outputs_to_disk"):
        tokens = int(setup.number("max_token_length") or 75) + 2
        cached += (tokens * _WIDTH + _POOL) * 4
    return Room(
        loras=numbers * _BYTES.get(setup.text("save_precision"), 4) * (_left(setup, needs, "") + 1),
        states=state * states,
        caches=needs.plan.arithmetic.images * cached,
    )


def _left(setup: Setup, needs: Needs, suffix: str) -> int:
    """How many LoRA files, or with `_state` states, are there at the same time beside that of the end."""
    lengths = {
        "epochs": setup.number("max_train_epochs") or needs.plan.arithmetic.epochs,
        "steps": needs.plan.arithmetic.steps or setup.number("max_train_steps"),
    }
    left = 0
    for unit, length in lengths.items():
        last = setup.number(f"save_last_n_{unit}{suffix}") or setup.number(f"save_last_n_{unit}")
        left += files_left(length, setup.number(f"save_every_n_{unit}"), last, by_steps=unit == "steps")
    return left


def _pixels(value: Value) -> float:
    """The pixels of a resolution: one side, two, or a text of them; 0 for what is none."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    try:
        sides = [float(part) for part in parts if part is not None]
    except ValueError:
        return 0.0
    return sides[0] * sides[-1] if sides else 0.0


def of_memory(needs: Needs) -> Line:
    """The machine's memory against what loading takes."""
    half = needs.on("full_bf16") or needs.on("full_fp16")
    total, free = memory()
    wanted = LOADS_HALF if half else LOADS
    seen = f"{_gib(free)} free of {_gib(total)}; loading takes {_gib(wanted)}"
    return bad("memory", "memory-short", seen) if free < wanted else ok("memory", seen)
