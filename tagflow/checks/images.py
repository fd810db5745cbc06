"""Checks of the images themselves; open it for why one is called broken or small, or a folder has too few."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from tagflow.checks.folders import Folder
from tagflow.files.image import look_at
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many
from tagflow.progress import Progress, silent
from tagflow.training.sd_scripts.steps import Buckets

FEWEST_IMAGES = 10
"""Of a concept; fewer are learned by heart."""

_BUCKETS = Buckets((1024, 1024), low=256, high=2048, steps=64)
"""What SDXL and the presets of `train plan` train at; a check knows of no run."""

_REGULARISATION = re.compile(r"(?<![a-z])(?:reg|regs|regulari[sz]ation|class)(?![a-z])", re.IGNORECASE)


def image_findings(
    root: Path,
    folders: list[Folder],
    selected: Collection[str] | None = None,
    progress: Progress = silent,
    *,
    deep: bool = False,
) -> Iterator[Finding]:
    """Look at every image that the trainer sees, or may see, or at those of the paths `selected` alone.

    `progress` is told images done, and all. deep: decode them wholly, and look for near copies. Raises
    ModuleNotFoundError where what that needs is not installed.
    """
    if deep:
        from tagflow.checks.deep import Pictures

        pictures = Pictures()
    done, total = 0, sum(len(names) for folder in folders for names in folder.images.values())
    for folder in folders:
        images = [folder.at(name) for names in folder.images.values() for name in names]
        for path in images:
            done += 1
            progress(done, total)
            if selected is not None and path not in selected:
                continue
            look = look_at(root / path)
            fault = look.fault
            if fault and not os.path.lexists(root / path):  # removed meanwhile, or its name is no UTF-8
                continue
            if deep and not fault:
                fault = pictures.decode(root / path, path)
            if fault:
                yield finding("image-broken", fault, file=path)
            elif look.size is not None:
                width, height = look.size
                wanted = _BUCKETS.of(look.size)
                scale = max(wanted[0] / width, wanted[1] / height)
                if scale > 1:
                    what = f"{width}x{height}, enlarged {scale:.2f} times for {wanted[0]}x{wanted[1]}"
                    yield finding("image-small", what, file=path, figures={"scale": round(scale, 3)})
        concept = folder.captions and not _REGULARISATION.search(folder.path)
        if concept and 0 < len(images) < FEWEST_IMAGES:
            yield finding(
                "images-few",
                many(len(images), "image"),
                file=folder.path or ".",
                figures={"images": len(images)},
            )
    if deep:
        yield from pictures.copies()
