"""SDXL's two text encoders, te1 and te2: from a checkpoint to the vectors of token windows.

This package is the only home of torch, which is imported when :func:`load_encoders` is called and
not before, so that commands which need no encoder start at once.
"""

from tagflow.encoders.load import load_encoders
from tagflow.encoders.pair import EncoderPair, TextEncoder, Vectors

__all__ = ["EncoderPair", "TextEncoder", "Vectors", "load_encoders"]
