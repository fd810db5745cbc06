"""Which of the trainer's caches hold an old text of which caption. Open it where captions are rewritten.

What such caches are called, and when one is stale, is in :mod:`tagflow.training.sd_scripts.files`. Caches of
latents hold no text and are let be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

import pyarrow as pa

from tagflow.schema import with_notes
from tagflow.training.sd_scripts import files


def stale_by_caption(root: Path, paths: Iterable[str], written: Collection[str] = ()) -> dict[str, list[str]]:
    """The caches that would feed the trainer an old text, by the caption; all paths relative to `root`.

    A cache that is older than its caption is stale; all are where the caption is among those just `written`.
    """
    by_folder: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_folder[str(PurePosixPath(path).parent)].append(path)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for folder, captions in by_folder.items():
        try:
            there = [file.name for file in (root / folder).iterdir()]
        except OSError:  # who reads the captions is told why they cannot be
            continue
        by_name = {PurePosixPath(path).name: path for path in captions}
        new = {name for name, path in by_name.items() if path in written}
        for cache, old in files.stale_caches(root / folder, there, by_name, new).items():
            for name in old:
                found[by_name[name]].append(str(PurePosixPath(folder, cache)))
    return dict(found)


def stale_among(root: Path, paths: Iterable[str]) -> list[str]:
    """The stale caches of these captions, each named once."""
    return sorted({cache for caches in stale_by_caption(root, paths).values() for cache in caches})


def noted(table: pa.Table, caches: Mapping[str, list[str]]) -> pa.Table:
    """The batch with a finding for every stale cache, by the caption's path."""
    return with_notes(
        table, {path: [("cache-stale", name) for name in names] for path, names in caches.items()}
    )
