"""SDXL's text encoders te1 and te2, and embedders; open it for what other rooms may import from here.

The encoders turn token windows into vectors. Beside them stand the embedders, te1 alone or a
sentence-transformers model, which turn single tags into vectors. This package is the only home of torch,
which is imported when :func:`load_encoders` or :func:`load_embedder` is called and not before, so that
commands which need no encoder start at once.
"""

from tagflow.encoders.embed import TextEmbedder, load_embedder
from tagflow.encoders.load import fingerprint_of, load_encoders
from tagflow.encoders.pair import EncoderPair, TextEncoder, Vectors

__all__ = [
    "EncoderPair",
    "TextEmbedder",
    "TextEncoder",
    "Vectors",
    "fingerprint_of",
    "load_embedder",
    "load_encoders",
]
