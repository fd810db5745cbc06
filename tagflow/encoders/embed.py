"""One vector for a whole text; open it for which encoder `ontology suggest` asks, and how it pools.

It is te1's alone, or a sentence-transformers folder's. Similarities are not judged with it
(:mod:`tagflow.encoders.pair`): there two texts go through both of SDXL's encoders, here thousands of tags go
through whichever encoder is at hand. Of a checkpoint only te1's 123 M parameters are read, not te2's 695 M.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from tagflow.clip.tokenizer import WINDOW, Tokenizer, windows
from tagflow.clip.vocabulary import find_vocabulary
from tagflow.encoders.load import STAND_IN, check_installed, check_words, encoder, find_devices, read_towers
from tagflow.encoders.locate import locate
from tagflow.encoders.pair import Line, TextEncoder
from tagflow.errors import EncoderError, install_extra, is_memory
from tagflow.files.read import digest_of
from tagflow.progress import Progress, silent

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


Floats = npt.NDArray[np.float32]


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
    return load_sentence(spec, device) if is_sentence_folder(spec) else load_te1(spec, device)


def unit(vectors: Floats) -> Floats:
    """Return the rows of `vectors` (n, width) at unit length; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, np.where(lengths == 0, 1, lengths), dtype=np.float32)


TERMS_AT_ONCE = 512  # texts between two reports of progress


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
        for start in range(0, len(texts), TERMS_AT_ONCE):
            progress(start, len(texts))
            batch = texts[start : start + TERMS_AT_ONCE]
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


MODULES = "modules.json"
OWN = "sentence_transformers."  # what the library's own module classes begin with
READ = (".json", ".txt", ".model", ".safetensors")  # what a loaded folder depends on; not its README
AT_ONCE = 256  # texts
CURE = "use a complete sentence-transformers folder with safetensors weights, or an SDXL checkpoint"


class SentenceEmbedder:
    """The vectors that a sentence-transformers model gives to texts, pooled as its folder says."""

    trained = True

    def __init__(self, model: SentenceTransformer, source: str, fingerprint: str) -> None:
        self.source = source
        self.fingerprint = fingerprint
        self._model = model

    def __call__(self, texts: Sequence[str], progress: Progress = silent) -> Floats:
        """Return the vectors (texts, width) of at least one text."""
        batches: list[Floats] = []
        for start in range(0, len(texts), AT_ONCE):
            progress(start, len(texts))
            batch = list(texts[start : start + AT_ONCE])
            try:
                found = self._model.encode(batch, batch_size=AT_ONCE, show_progress_bar=False)
            except (RuntimeError, MemoryError) as error:
                if not is_memory(error):
                    raise
                message = f"{self.source}: the device's memory does not suffice"
                raise EncoderError(message, "use device cpu") from error
            vectors = np.asarray(found, np.float32)
            if not np.isfinite(vectors).all():
                raise EncoderError(f"{self.source} gave NaN or Inf for one of {len(batch)} texts", CURE)
            batches.append(vectors)
        progress(len(texts), len(texts))
        return unit(np.concatenate(batches))


def is_sentence_folder(spec: str) -> bool:
    """Say whether `spec` is a sentence-transformers model folder: it has a modules.json."""
    return (Path(spec).expanduser() / MODULES).is_file()


def load_sentence(spec: str, device: str = "auto") -> SentenceEmbedder:
    """Load a sentence-transformers folder; nothing is downloaded and no code of the folder's is run.

    Raises UsageProblem if `device` is no such word, and EncoderError if the library or the device is not
    there, the folder is damaged, wants code of its own, or has no safetensors weights.
    """
    check_words(device)
    folder = Path(spec).expanduser()
    _refuse_foreign_code(folder / MODULES)
    check_installed()
    model = _loaded(folder, str(find_devices(device)[0]))
    digest = hashlib.sha256()  # over the names and contents of the files that the model is made of
    for path in sorted(path for path in folder.rglob("*") if path.suffix in READ and path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {digest_of(path)}\n".encode())
    return SentenceEmbedder(model, spec, digest.hexdigest())


def _refuse_foreign_code(modules: Path) -> None:
    """Refuse a folder that names classes of its own, which the library would import.

    Up to version 5 it trusted any local folder to do so, whatever `trust_remote_code` said (see
    `import_module_class` in its `util/misc.py`); tagflow asks for version 6, and looks itself all the same.
    """
    try:
        kinds = [str(module["type"]) for module in json.loads(modules.read_bytes())]
    except (OSError, ValueError, RecursionError, TypeError, KeyError) as error:
        raise EncoderError(f"{modules} is no list of modules: {error!r}", CURE) from error
    for kind in kinds:
        if not kind.startswith(OWN):
            message = f"{modules} names {kind}, which is not the library's; tagflow runs no code of a model's"
            raise EncoderError(message, "use a model that is made of the library's own modules")


def _loaded(folder: Path, device: str) -> SentenceTransformer:
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # transformers asks for this when it is imported; tagflow has its own
    try:
        from sentence_transformers import SentenceTransformer
    except (ImportError, OSError) as error:  # OSError: installed, but a library that it links to is not there
        message = f"{folder} needs the sentence-transformers library: {error}"
        cure = f"use an SDXL checkpoint, or {install_extra('suggest')}"
        raise EncoderError(message, cure) from error
    try:
        return SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},  # never a pickle
        )
    except Exception as error:
        # Errors of transformers, tokenizers, safetensors and JSON come through; none is a bug of tagflow.
        raise EncoderError(f"{folder} cannot be loaded: {error}", CURE) from error
