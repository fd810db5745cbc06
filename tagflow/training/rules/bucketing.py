"""Which size an image is trained at. A model of sd-scripts' `BucketManager` and `make_bucket_resolutions`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Buckets:
    """A dataset's buckets: `size` is its resolution, the rest in pixels. Without `steps` there is one."""

    size: Size
    low: int = 0
    high: int = 0
    steps: int = 0
    no_upscale: bool = False

    def of(self, image: Size) -> Size:
        """The size (width, height) that an image of this size is trained at."""
        if not self.steps:
            return self.size
        if self.no_upscale:
            return self._own(image)
        known = predefined(self.size, self.low, self.high, self.steps)
        if image in known:
            return image
        ratio = image[0] / image[1]
        return min(known, key=lambda size: abs(size[0] / size[1] - ratio))

    def _own(self, image: Size) -> Size:
        """A bucket of the image's own, never larger than it."""
        width, height = image
        area, ratio = self.size[0] * self.size[1], width / height
        if width * height > area:
            by_width = self._rounded(math.sqrt(area * ratio))
            by_height = self._rounded(area / math.sqrt(area * ratio))
            if not by_width or not by_height:
                return (by_width, by_height)
            off_width = abs(by_width / max(self._rounded(by_width / ratio), 1) - ratio)
            off_height = abs(self._rounded(by_height * ratio) / by_height - ratio)
            if off_width < off_height:
                width, height = by_width, int(by_width / ratio + 0.5)
            else:
                width, height = int(by_height * ratio + 0.5), by_height
        return (width - width % self.steps, height - height % self.steps)

    def _rounded(self, length: float) -> int:
        whole = int(length + 0.5)
        return whole - whole % self.steps


@cache
def predefined(size: Size, low: int, high: int, steps: int) -> tuple[Size, ...]:
    """The sizes that images are brought to, sorted."""
    area = size[0] * size[1]
    square = int(math.sqrt(area) // steps) * steps
    found = {(square, square)}
    for width in range(low, min(high, area // low) + 1, steps):  # beyond, no height is left
        height = min(high, int((area // width) // steps) * steps)
        if height >= low:
            found |= {(width, height), (height, width)}
    return tuple(sorted(found))
