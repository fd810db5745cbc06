"""The callback that long work reports to, and a silent one; open it for what its two numbers mean."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Told how much is done and how much there is in all, in one unit (captions, bytes, tokens, ...)."""


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""
