"""A sentence-transformers model folder as an embedder; the library of that name is asked for late.

A folder can name classes of its own that the library would import. Up to version 5 it trusted any local
folder to do so, whatever `trust_remote_code` said (see `import_module_class` in its `util/misc.py`), which
is why tagflow asks for version 6 and looks itself before the library does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tagflow.encoders.embedder import Floats, Progress, silent, unit
from tagflow.encoders.load import check_installed, check_words, find_devices
from tagflow.encoders.pair import is_memory
from tagflow.errors import EncoderError, install_extra

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

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
            batches.append(self._encoded(list(texts[start : start + AT_ONCE])))
        progress(len(texts), len(texts))
        return unit(np.concatenate(batches))

    def _encoded(self, batch: list[str]) -> Floats:
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
        return vectors


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
    return SentenceEmbedder(model, spec, _fingerprint(folder))


def _refuse_foreign_code(modules: Path) -> None:
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


def _fingerprint(folder: Path) -> str:
    """Return the sha256 (hex) over the names and contents of the files that the model is made of."""
    digest = hashlib.sha256()
    files = [path for path in folder.rglob("*") if path.suffix in READ and path.is_file()]
    for path in sorted(files):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()
