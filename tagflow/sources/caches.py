"""The trainer's caches of captions: where sd-scripts puts them, which are stale, and how they go.

With `cache_text_encoder_outputs_to_disk` it writes `<stem>_te_outputs.npz` beside the image, with
`cache_info` one `metadata_cache.json` in the image's folder, and reads both again whatever the captions say
by then. Its caches of latents (`<stem>_WWWWxHHHH_sdxl.npz`, or `<stem>.npz`) hold no text and are let be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from tagflow.errors import SourceError
from tagflow.sources.folder import is_file
from tagflow.sources.record import ClearedCache, Record
from tagflow.sources.store import Store

TEXT_SUFFIX = "_te_outputs.npz"
FOLDER_CACHE = "metadata_cache.json"


def caches_of(root: Path, path: str) -> list[str]:
    """The caches that hold this caption's text, relative to `root`."""
    pure = PurePosixPath(path)
    names = (pure.with_name(pure.stem + TEXT_SUFFIX), pure.with_name(FOLDER_CACHE))
    return [str(name) for name in names if is_file(root / name)]


def stale_caches(root: Path, path: str, written: Collection[str] = ()) -> list[str]:
    """The caches that would still feed the trainer an old text of this caption, relative to `root`.

    A cache that is older than its caption is stale; all are where the caption is among those just written.
    """
    caches = caches_of(root, path)
    if path in written:
        return caches
    try:
        changed = (root / path).stat().st_mtime_ns
        return [cache for cache in caches if (root / cache).stat().st_mtime_ns < changed]
    except OSError:
        return []


def clear(store: Store, record: Record, caches: Iterable[str]) -> list[str]:
    """Remove caches, after the record has listed them: they are large, and the trainer makes them anew.

    Gives those that could not be removed.
    """
    wanted = sorted(set(caches))
    try:
        record.caches = [_described(store.root, cache) for cache in wanted]
        if wanted:
            store.save(record)
    except (SourceError, OSError):  # nothing goes that is not listed
        return wanted
    return [cache for cache in wanted if not _removed(store.root / cache)]


def _removed(file: Path) -> bool:
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _described(root: Path, cache: str) -> ClearedCache:
    with (root / cache).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return ClearedCache(cache, file.tell(), digest)


def stale_among(root: Path, paths: Iterable[str]) -> list[str]:
    """The stale caches of these captions, each named once."""
    return sorted({cache for path in paths for cache in stale_caches(root, path)})
