"""te1 by itself as an embedder: of a checkpoint only its 123 M parameters are read, not te2's 695 M."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tagflow.encoders.embedder import Floats, Progress, silent, unit
from tagflow.encoders.lines import Line
from tagflow.encoders.load import STAND_IN, check_installed, check_words, encoder, find_devices, read_towers
from tagflow.encoders.locate import locate
from tagflow.encoders.pair import TextEncoder
from tagflow.tokenizer import WINDOW, Tokenizer, windows
from tagflow.vocabulary import find_vocabulary

AT_ONCE = 512  # texts between two reports of progress


class Te1Embedder:
    """te1's pooled vector of each text: the final layer norm's output at EOS, as CLIP pools."""

    def __init__(
        self, encoder: TextEncoder, tokenizer: Tokenizer, source: str, fingerprint: str, *, trained: bool
    ) -> None:
        self.source = source
        self.fingerprint = fingerprint
        self.trained = trained
        self._encoder = encoder
        self._tokenizer = tokenizer

    def __call__(self, texts: Sequence[str], progress: Progress = silent) -> Floats:
        """Return the vectors (texts, width) of texts, each between BOS and EOS; token 76 on is cut off."""
        vectors = np.empty((len(texts), self._encoder.width), np.float32)
        for start in range(0, len(texts), AT_ONCE):
            progress(start, len(texts))
            batch = texts[start : start + AT_ONCE]
            first = [windows(self._tokenizer.ids(text), WINDOW)[0] for text in batch]
            found = self._encoder.view([Line((window,), ()) for window in first])
            vectors[start : start + len(batch)] = [one.pooled for one in found]
        progress(len(texts), len(texts))
        return unit(vectors)


def load_te1(spec: str, device: str = "auto") -> Te1Embedder:
    """Load te1 of a checkpoint, in fp32; `spec` and `device` are those of `load_encoders`.

    The fingerprint is that of te1's tensors alone, and so not the one that an audit has of both encoders.
    Raises UsageProblem if `device` is no such word, VocabularyMissing if there is nothing to read tags with,
    and EncoderError if the file is missing, damaged or not SDXL's, or torch or the device is not there.
    """
    check_words(device)
    located = None if spec == STAND_IN else locate(spec)
    check_installed()
    import torch

    place = find_devices(device)[0]
    tokenizer = Tokenizer(find_vocabulary(located.tokenizer_folder if located else None, hub=True))
    if located is None:
        from tagflow.encoders.standin import fingerprint, stand_in

        te1 = encoder("te1", [stand_in("te1", torch.float32, place)])
        return Te1Embedder(te1, tokenizer, STAND_IN, fingerprint(), trained=False)
    towers, found = read_towers(spec, [located.te1], torch.float32, place)
    return Te1Embedder(encoder("te1", towers), tokenizer, spec, found, trained=True)
