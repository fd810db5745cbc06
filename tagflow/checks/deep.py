"""Images wholly decoded, as the trainer does, and near copies among them; open it for `check --deep`.

The one place that opens an image with Pillow. Near copies are found by imagehash's phash, and told from
pictures of one drawing in other colours by a look at these.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import some

_BITS = 6
"""Of the 64 of two hashes that may differ. Pictures saved anew or scaled differ in at most 2, cropped by 2 %
mostly in 6; of 6,900 pairs of sections of two photographs that share less than 60 % none differed in less
than 10."""
_COLOURS = 20
"""The mean difference of two pictures' colours, 0 to 255, at 16x16 pixels."""
_ROWS = 512  # hashes compared with all others at a time
_NAMED = 3


class Pictures:
    """What is kept of each decoded image: 64 bits of its drawing and 16x16 pixels of its colours."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._hashes: list[np.ndarray] = []
        self._colours: list[np.ndarray] = []

    def decode(self, file: Path, path: str) -> str:
        """Decode an image as sd-scripts' `load_image` does; gives what is wrong with it, empty for nothing.

        `path`: what it is called in findings.
        """
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(file) as image:
                picture = image if image.mode == "RGB" else image.convert("RGB")
                picture.load()
                hashed = imagehash.phash(picture).hash
                colours = np.asarray(picture.resize((16, 16), Image.Resampling.BOX), np.int16)
        except (
            Exception
        ) as problem:  # Pillow raises many kinds for bytes that are damaged; the trainer catches none
            return f"does not decode: {problem or type(problem).__name__}".replace(str(file), file.name)
        self._paths.append(path)
        self._hashes.append(np.where(hashed.reshape(-1), np.float32(1), np.float32(-1)))
        self._colours.append(colours)
        return ""

    def copies(self) -> Iterator[Finding]:
        """For every image that has near copies, which they are."""
        if not self._paths:
            return
        hashes, colours = np.stack(self._hashes), np.stack(self._colours)
        for start in range(0, len(hashes), _ROWS):
            differing = (hashes.shape[1] - hashes[start : start + _ROWS] @ hashes.T) / 2
            for row, near in enumerate(differing <= _BITS):
                at = start + row
                others = np.flatnonzero(near)
                off = np.abs(colours[others] - colours[at]).mean(axis=(1, 2, 3))
                same = [self._paths[other] for other in others[off <= _COLOURS] if other != at]
                if same:
                    yield finding("image-duplicate", f"as {some(same, _NAMED)}", file=self._paths[at])
