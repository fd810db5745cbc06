"""Both encoders found in a file, a diffusers folder or a hub id; open it for another kind of source.

Only headers are read. Of a hub id `owner/name` the local cache is used first, then the network, and of the
repository only the text encoders and tokenizers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagflow.encoders.layout import CURE, OPEN_CLIP, TRANSFORMERS, TowerPlan, plan_tower
from tagflow.errors import EncoderError
from tagflow.files.safetensors import CURE_FORMAT, PICKLED, Entry, read_header

CONFIGS = ["text_encoder*/*.json", "tokenizer*/*"]
# Full precision first: a repository often holds both, and 3 GB should not become 5.
PRECISIONS = (["text_encoder*/model*.safetensors"], ["text_encoder*/model*.fp16*.safetensors"])
SECONDS = 10.0


def snapshot(repo: str) -> Path:
    """Return the folder that holds the text encoders and tokenizers of the hub's `repo`.

    The local cache is used if it has them; HF_HUB_OFFLINE is respected. Raises EncoderError if the
    id is unknown, or nothing is cached and the network is not to be had.
    """
    cached = _fetch(repo, CONFIGS, local=True)
    if cached is not None and _complete(cached):
        return cached
    for patterns in PRECISIONS:
        folder = _fetch(repo, CONFIGS + patterns, local=False)
        if folder is not None and _complete(folder):
            return folder
    raise EncoderError(f"{repo}: the hub's repository has no text_encoder and text_encoder_2 in safetensors")


def _complete(folder: Path) -> bool:
    """Say whether both encoders have weights, or an index of them whose shards are all there."""
    return all(any((folder / name).glob("model*.safetensors")) for name in ("text_encoder", "text_encoder_2"))


def _fetch(repo: str, patterns: list[str], *, local: bool) -> Path | None:
    """Return the snapshot's folder, or None if `local` and nothing is cached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    full = PRECISIONS[0] == patterns[len(CONFIGS) :]
    ignored = ["*.fp16*"] if full else None
    try:
        folder = snapshot_download(
            repo,
            allow_patterns=patterns,
            ignore_patterns=ignored,
            local_files_only=local,
            etag_timeout=SECONDS,
        )
        return Path(folder)
    except LocalEntryNotFoundError as error:
        if local:
            return None
        raise EncoderError(
            f"{repo} is neither a path here nor in the local cache, and the hub cannot be reached",
            "give the path of a checkpoint, or go online once (and unset HF_HUB_OFFLINE)",
        ) from error
    except RepositoryNotFoundError as error:
        message = f"{repo} is neither a path here nor a repository that the hub shows you"
        raise EncoderError(message, "mend the name; a private one needs `hf auth login`") from error
    except Exception as error:
        # The hub's client lets errors of its HTTP library and of the disk through; none is a bug of tagflow.
        raise EncoderError(f"{repo} cannot be had from the hub: {error}", "give a local path") from error


TE1, TE2 = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
WEIGHTS = ("model.safetensors", "model.fp16.safetensors")
INDEXES = ("model.safetensors.index.json", "model.safetensors.index.fp16.json")
# What a checkpoint that is not SDXL's is: (a part that a key has, what it is). The first match counts.
FAMILIES = (
    (r"lora_|\.lora|hada_w1|lokr_w1", "a LoRA"),
    (r"cond_stage_model\.model\.", "an SD 2 checkpoint"),
    (r"cond_stage_model\.", "an SD 1.5 checkpoint"),
    (r"conditioner\.embedders\.0\.model\.", "the SDXL refiner, which has no te1"),
    (r"double_blocks\.|joint_blocks\.", "a checkpoint of another model family (Flux or SD 3)"),
)
OTHERS = (
    *FAMILIES,
    (r"model\.diffusion_model\.|down_blocks\..*attn2", "a U-Net without text encoders"),
    (r"first_stage_model\.|(en|de)coder\.conv_in\.|(en|de)coder\.mid", "a VAE"),
    (r"(^|\.)embeddings\.token_embedding\.|(^|\.)token_embedding\.weight", "one text encoder by itself"),
)


@dataclass(frozen=True, slots=True)
class Located:
    """How to read both towers, and a diffusers folder's own tokenizer if there is one."""

    te1: TowerPlan
    te2: TowerPlan
    tokenizer_folder: Path | None = None


def locate(spec: str) -> Located:
    """Return where the encoders of `spec` lie, having read headers only.

    An existing file or folder comes first, then a hub id `owner/name` (local cache first).
    Raises EncoderError if there is nothing, or what is there is not both of SDXL's text encoders.
    """
    path = Path(spec).expanduser()
    try:
        if path.is_dir():
            return _folder(path)
        if path.exists() or not HUB_ID.fullmatch(spec) or path.suffix.lower() in {".safetensors", *PICKLED}:
            return _single_file(path)
        return _folder(snapshot(spec))
    except OSError as error:
        raise EncoderError(f"{spec} cannot be read: {error.strerror or error}", "mend the path") from error


def _single_file(path: Path) -> Located:
    entries = read_header(path)
    te1, te2 = _without(TE1, entries), _without(TE2, entries)
    if not te1 and not te2:
        raise EncoderError(f"{path} is not an SDXL checkpoint: it is {other_model(entries)}", CURE)
    for name, found, prefix in (("te1", te1, TE1), ("te2", te2, TE2)):
        if not found:
            raise EncoderError(f"{path} is half a checkpoint: all of {name} ({prefix}*) is missing", CURE)
    first = plan_tower("te1", _transformers(te1), TRANSFORMERS, str(path))
    return Located(first, plan_tower("te2", te2, OPEN_CLIP, str(path)))


def other_model(entries: Mapping[str, Entry]) -> str:
    """Say in words for people what a file that is not SDXL's is, by its keys."""
    what = _first_match(OTHERS, entries)
    return what or f"something else ({len(entries)} tensors, the first is {next(iter(entries))!r})"


def other_family(entries: Mapping[str, Entry]) -> str | None:
    """Say which other family of models a file belongs to, or None if no key speaks for one."""
    return _first_match(FAMILIES, entries)


def _first_match(table: Iterable[tuple[str, str]], entries: Mapping[str, Entry]) -> str | None:
    return next((what for part, what in table if any(re.search(part, key) for key in entries)), None)


def _without(prefix: str, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries whose keys begin with `prefix`, keyed without it."""
    return {key.removeprefix(prefix): entry for key, entry in entries.items() if key.startswith(prefix)}


def _transformers(entries: Mapping[str, Entry]) -> Mapping[str, Entry]:
    """Take off `text_model.`, which transformers 4 wrote and transformers 5 does not."""
    return {key.removeprefix("text_model."): entry for key, entry in entries.items()}


def _folder(path: Path) -> Located:
    folders = [path / "text_encoder", path / "text_encoder_2"]
    if not folders[0].is_dir() and not folders[1].is_dir():
        inside = sorted(path.glob("*.safetensors"))
        raise EncoderError(
            f"{path} is not a diffusers folder: it has no text_encoder and text_encoder_2",
            f"name the file itself, for example {inside[0]}" if inside else CURE,
        )
    for folder in folders:
        if not folder.is_dir():
            hint = " (SD 1.5 and SD 2 have one text encoder)" if folder is folders[1] else ""
            raise EncoderError(f"{path} is not an SDXL folder: it has no {folder.name}{hint}", CURE)
    plans = [_folder_plan(name, folder) for name, folder in zip(("te1", "te2"), folders, strict=True)]
    tokenizer = path / "tokenizer"
    return Located(plans[0], plans[1], tokenizer if tokenizer.is_dir() else None)


def _folder_plan(name: str, folder: Path) -> TowerPlan:
    plan = plan_tower(name, _transformers(_folder_entries(folder)), TRANSFORMERS, str(folder))
    config = folder / "config.json"
    if config.is_file():
        declared = _json(config).get("num_hidden_layers", plan.layers)
        if declared != plan.layers:
            message = f"{folder}: its config.json says {declared} layers, its weights have {plan.layers}"
            raise EncoderError(message, CURE)
    return plan


def _folder_entries(folder: Path) -> dict[str, Entry]:
    """Return the entries of a folder's weights: one file, or the shards that its index names."""
    for name in WEIGHTS:
        if (folder / name).exists():
            return read_header(folder / name)
    for name in INDEXES:
        if (folder / name).exists():
            index = folder / name
            shards = _json(index).get("weight_map")
            # A name must be a bare one: an index must not lead out of its folder.
            if not isinstance(shards, dict) or not all(
                isinstance(shard, str) and shard == Path(shard).name for shard in shards.values()
            ):
                message = f"{index} is damaged: it does not say which shard holds which tensor"
                raise EncoderError(message, CURE)
            found = (read_header(folder / shard) for shard in sorted(set(shards.values())))
            return {key: entry for entries in found for key, entry in entries.items()}
    pickles = sorted(file.name for file in folder.glob("*.bin"))
    if pickles:
        raise EncoderError(f"{folder} holds only pickled weights ({pickles[0]})", CURE_FORMAT)
    raise EncoderError(f"{folder} holds no weights: there is no {' or '.join(WEIGHTS)}", CURE)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderError(f"{path} cannot be read as JSON: {error}", CURE) from error
    if not isinstance(value, dict):
        raise EncoderError(f"{path} is damaged: it is no JSON object", CURE)
    return value
