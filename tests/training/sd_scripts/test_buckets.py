"""Buckets are those of sd-scripts' `BucketManager`; the rows were made by the real one."""

from __future__ import annotations

import pytest

from tagflow.training.sd_scripts.steps import Buckets, Size

# Resolution, smallest and largest side, steps, no upscaling; an image's size and the size it is trained at.
ROWS: list[tuple[Size, int, int, int, bool, Size, Size]] = [
    ((1024, 1216), 256, 2048, 128, True, (957, 3901), (512, 2048)),
    ((1000, 1024), 256, 1024, 128, True, (1525, 2889), (640, 1152)),
    ((768, 1216), 256, 2048, 32, True, (2305, 490), (1952, 416)),
    ((1000, 1024), 256, 2048, 128, True, (1829, 1968), (896, 1024)),
    ((1000, 512), 256, 2048, 64, True, (2843, 868), (1280, 384)),
    ((1024, 512), 256, 1536, 64, True, (392, 924), (384, 896)),
    ((1000, 768), 256, 1024, 128, True, (1489, 3251), (512, 1024)),
    ((1024, 512), 256, 1024, 64, True, (1874, 2853), (576, 832)),
    ((768, 1216), 256, 2048, 32, True, (1283, 2845), (640, 1408)),
    ((832, 1216), 256, 2048, 64, True, (2215, 3391), (768, 1152)),
    ((832, 1024), 256, 1024, 32, False, (2595, 491), (1024, 256)),
    ((1024, 768), 256, 1536, 128, False, (327, 386), (768, 896)),
    ((832, 512), 256, 1536, 32, False, (643, 1960), (352, 1120)),
    ((1000, 1024), 256, 1024, 32, False, (1766, 2501), (736, 1024)),
    ((832, 1216), 256, 2048, 64, False, (3337, 3678), (960, 1024)),
    ((768, 1024), 256, 2048, 128, False, (725, 2698), (384, 1664)),
    ((1000, 512), 256, 1536, 64, False, (3109, 954), (1280, 384)),
    ((1024, 1024), 256, 1024, 32, False, (2976, 2762), (1024, 960)),
    ((512, 1024), 256, 1024, 32, False, (2883, 3442), (672, 768)),
    ((832, 768), 256, 2048, 64, False, (1003, 3732), (384, 1472)),
    ((1024, 1024), 256, 1024, 64, False, (832, 1216), (704, 1024)),
    ((1024, 1024), 256, 2048, 64, False, (832, 1216), (832, 1216)),
    ((512, 512), 256, 1024, 64, True, (500, 700), (384, 512)),
]


@pytest.mark.parametrize(("size", "low", "high", "steps", "no_upscale", "image", "trained"), ROWS)
def test_an_image_goes_where_the_trainer_puts_it(size, low, high, steps, no_upscale, image, trained) -> None:
    assert Buckets(size, low, high, steps, no_upscale).of(image) == trained


def test_without_steps_there_is_one_size() -> None:
    assert Buckets((1024, 768)).of((5, 5)) == (1024, 768)
