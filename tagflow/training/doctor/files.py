"""The files that a run needs: sd-scripts, the checkpoint, a VAE, two tokenizers, and images that are seen."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tagflow.errors import EncoderError, TrainerError
from tagflow.files.safetensors import read_whole_header
from tagflow.findings.finding import Severity
from tagflow.findings.wording import some
from tagflow.progress import Progress
from tagflow.training.doctor.line import Line, Needs, bad, ok
from tagflow.training.machine.probe import options_of
from tagflow.training.sd_scripts.environment import sd_scripts_version
from tagflow.training.sd_scripts.files import CODES, DEFAULT_CAPTION, Plugins, Sight, is_image, overlooked
from tagflow.training.sd_scripts.options import known_options
from tagflow.training.setup.setup import Setup

if TYPE_CHECKING:
    from tagflow.findings.finding import Finding

TOKENIZERS = ("openai/clip-vit-large-patch14", "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k")
_SHOWN = 3  # names in a line
_TOKENIZER_FILES = ("vocab.json", "merges.txt")


def of_sd_scripts(folder: Path, python: Path | None, *, deep: bool) -> Iterator[Line]:
    """Its place and version and, if `deep`, whether its script loads in the trainer's Python."""
    version, known = sd_scripts_version(folder), known_options().version
    seen = f"{version}, {folder}"
    same = version.partition(" ")[0] == known
    if same:
        yield ok("sd-scripts", seen)
    else:
        yield bad("sd-scripts", "sd-scripts-other", f"{seen}; tagflow knows {known}")
    if deep and python is not None:
        yield _script(folder, python)


def _script(folder: Path, python: Path) -> Line:
    try:
        theirs = options_of(python, folder).by_name
    except TrainerError as problem:
        return bad("script", "sd-scripts-broken", problem.message)
    ours = known_options().by_name
    new, gone = len(theirs.keys() - ours.keys()), len(ours.keys() - theirs.keys())
    return ok("script", f"loads; {len(theirs)} options, {new} unknown to tagflow, {gone} known ones missing")


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
    try:
        kind, findings, about = _looked_at(path, deep=deep, progress=progress)
    except EncoderError as problem:
        yield bad(model.check, model.error, problem.message, cure=problem.cure)
        return
    if kind not in model.kinds and not any(one.severity == "error" for one in findings):
        yield bad(model.check, model.error, f"{path} is a {kind} by itself")
        return
    severities: dict[Severity, str] = {"error": model.error, "warning": model.warning}
    lines = [
        bad(model.check, severities[one.severity], f"{path}: {_spoken(one)}")
        for one in findings
        if one.severity in severities
    ]
    yield from lines or [ok(model.check, f"{path}, {about}")]


def _looked_at(path: Path, *, deep: bool, progress: Progress) -> tuple[str, tuple[Finding, ...], str]:
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


def _spoken(found: Finding) -> str:
    from tagflow.models.structure import tensors_of

    named = found.detail or ", ".join(tensors_of(found)[:2])
    return found.kind.title + (f" ({named})" if named else "")


def of_tokenizers(needs: Needs) -> Iterator[Line]:
    """Both tokenizers, where sd-scripts will look for them: its own folder for them, then the hub's cache."""
    own = needs.text("tokenizer_cache_dir")
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
            severity: Severity = "error" if _offline() else "warning"
            where = f"neither in {folder} nor in the hub's cache" if folder else "not in the hub's cache"
            yield bad("tokenizers", "tokenizer-uncached", f"{name}: {where}", severity=severity)
    if len(found) == len(TOKENIZERS):
        yield ok("tokenizers", "both are on this machine")


def _lacks(folder: Path) -> str:
    return ", ".join(name for name in _TOKENIZER_FILES if not (folder / name).is_file())


def _snapshots(name: str) -> Iterator[Path]:
    """What the hub's cache has of a repository, in huggingface_hub's layout."""
    repository = f"models--{name.replace('/', '--')}"
    for cache in _hub_caches():
        snapshots = cache / repository / "snapshots"
        yield from snapshots.iterdir() if snapshots.is_dir() else ()


def _hub_caches() -> Iterator[Path]:
    """The trainer inherits this environment, so its cache is where these variables say."""
    names = ("TRANSFORMERS_CACHE", "PYTORCH_TRANSFORMERS_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
    yield from (Path(os.environ[name]).expanduser() for name in names if os.environ.get(name))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    yield home.expanduser() / "hub"


def _offline() -> bool:
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value.upper() in {"1", "ON", "YES", "TRUE"} for value in values)


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
