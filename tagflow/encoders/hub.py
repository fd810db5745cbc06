"""A hub id `owner/name` to a local folder: the cache first, then the network, text encoders only."""

from __future__ import annotations

from pathlib import Path

from tagflow.errors import EncoderError

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
        raise _unreachable(repo) from error
    except RepositoryNotFoundError as error:
        message = f"{repo} is neither a path here nor a repository that the hub shows you"
        raise EncoderError(message, "mend the name; a private one needs `hf auth login`") from error
    except Exception as error:
        # The hub's client lets errors of its HTTP library and of the disk through; none is a bug of tagflow.
        raise EncoderError(f"{repo} cannot be had from the hub: {error}", "give a local path") from error


def _unreachable(repo: str) -> EncoderError:
    return EncoderError(
        f"{repo} is neither a path here nor in the local cache, and the hub cannot be reached",
        "give the path of a checkpoint, or go online once (and unset HF_HUB_OFFLINE)",
    )
