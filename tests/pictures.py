"""Images for tests that need sound ones: the trainer stops at an empty file under an image's name."""

from __future__ import annotations

import io

from PIL import Image


def picture(width: int, height: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    """The bytes of a grey image."""
    file = io.BytesIO()
    Image.new(mode, (width, height), 90).save(file, kind)
    return file.getvalue()


SOUND = picture(1024, 1024)
