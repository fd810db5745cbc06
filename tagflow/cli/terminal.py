"""What the trainer prints, on our terminal: its progress bars stay bars, and nothing in it steers more."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Callable

# Line ends, tabs, the bars' own ways (carriage return, backspace, a line up), and colours may pass.
_PASSES = "\x1b\\[A|\x1b\\[[0-9;]*m"
_STEERS = re.compile(
    f"({_PASSES})|\x1b\\[[0-?]*[ -/]*[@-~]|[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
)


def screen() -> Callable[[bytes], None]:
    """A function that shows a trainer's bytes on stderr as they come; what is no UTF-8 becomes a mark."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def show(data: bytes) -> None:
        sys.stderr.write(_STEERS.sub(lambda found: found[1] or "", decoder.decode(data)))
        sys.stderr.flush()

    return show
