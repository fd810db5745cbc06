"""The one boundary between tagflow and the shell: every way to end has its exit code."""

from __future__ import annotations

import sys

from tagflow.cli.boundary import run

if __name__ == "__main__":
    sys.exit(run())


def main() -> None:
    """The console script."""
    sys.exit(run())
