"""The process as the shell sees it; open it where `tagflow` ends with a wrong exit code or a traceback."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

from tagflow.cli.boundary import run


def main() -> NoReturn:
    """The console script.

    All is written and closed when `run` returns. Python's own shutdown is left out: now and then a thread of
    Arrow's outlives it and aborts the process, and a finished run would end as a crash (exit 134).
    """
    code = run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
