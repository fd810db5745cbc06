"""The trainer's caches of captions: where sd-scripts puts them, which are stale, and how they go.

With `cache_text_encoder_outputs_to_disk` it writes `<stem>_te_outputs.npz` beside the image, with
`cache_info` one `metadata_cache.json` in the image's folder, and reads both again whatever the captions say
by then. Its caches of latents (`<stem>_WWWWxHHHH_sdxl.npz`, or `<stem>.npz`) hold no text and are let be.

What a rewrite does to the trainer's caches: which hold an old text now, as findings and by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

import pyarrow as pa

from tagflow.files.read import is_file
from tagflow.schema import rows, with_notes

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


def stale_among(root: Path, paths: Iterable[str]) -> list[str]:
    """The stale caches of these captions, each named once."""
    return sorted({cache for path in paths for cache in stale_caches(root, path)})


def stale(root: Path, table: pa.Table, written: Collection[str] = ()) -> dict[str, list[str]]:
    """The caches of a batch that hold an old text, by caption. `written`: those with a new one."""
    caches = {path: stale_caches(root, path, written) for path in rows(table, "path")}
    return {path: names for path, names in caches.items() if names}


def noted(table: pa.Table, caches: Mapping[str, list[str]]) -> pa.Table:
    """The batch with a finding for every stale cache, by the caption's path."""
    return with_notes(
        table, {path: [("cache-stale", name) for name in names] for path, names in caches.items()}
    )
