"""One vector for a whole text: what `tagflow ontology suggest` compares tags by.

Not what similarities are judged with (:mod:`tagflow.encoders.pair`): there two texts go through both of
SDXL's encoders, here thousands of tags go through whichever encoder is at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


class TextEmbedder(Protocol):
    """Turns texts into vectors whose directions can be compared.

    source: as the user gave it. fingerprint: says which weights these are. trained: False only for the
    stand-in, whose vectors mean nothing.
    """

    source: str
    fingerprint: str
    trained: bool

    def __call__(self, texts: Sequence[str], progress: Progress = silent) -> Floats:
        """Return the vectors (texts, width) of at least one text, float32 and of unit length.

        `progress` is told texts done and texts in all. Raises EncoderError if a vector is not finite or the
        memory does not suffice.
        """


def load_embedder(spec: str, device: str = "auto") -> TextEmbedder:
    """Load the embedder that `spec` names: a sentence-transformers folder, else te1 of a checkpoint.

    spec: such a folder (it holds modules.json), or what `load_encoders` takes, `stand-in` included.
    Raises UsageProblem if `device` is no such word, EncoderError and VocabularyMissing if something lacks.
    """
    from tagflow.encoders.sentence import is_sentence_folder, load_sentence
    from tagflow.encoders.te1 import load_te1

    return load_sentence(spec, device) if is_sentence_folder(spec) else load_te1(spec, device)


def unit(vectors: Floats) -> Floats:
    """Return the rows of `vectors` (n, width) at unit length; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, np.where(lengths == 0, 1, lengths), dtype=np.float32)
