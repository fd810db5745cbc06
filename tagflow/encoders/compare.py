"""Our towers beside transformers and open_clip; open it for a tolerance, or for what is compared.

For `tagflow models compare` both sides compute the same windows of the same captions with the user's own
weights, on one device and in one dtype. They come one after another, so that never more than one of the four
models is in memory.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from tagflow.clip.tokenizer import Tokenizer, te2_windows, windows
from tagflow.clip.vocabulary import find_vocabulary
from tagflow.encoders.layout import POSITIONS
from tagflow.encoders.load import (
    STAND_IN,
    check_installed,
    check_words,
    encoder,
    find_devices,
    read_towers,
)
from tagflow.encoders.locate import locate
from tagflow.encoders.pair import Vectors, Window
from tagflow.errors import EncoderError, UsageProblem, install_extra, is_memory
from tagflow.progress import Progress, silent

if TYPE_CHECKING:
    from tagflow.encoders.references import Reference

TOLERANCES = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 2e-2}
"""How far apart two right computations may lie, of the largest value: both round, layer after layer."""
CUTS = {"te1": windows, "te2": te2_windows}
MAX_TOKENS = 225
AT_ONCE = 8  # windows that a library is given in one call


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one quantity is apart where it is worst.

    quantity: `pooled`, `hidden`, or `similarity`, the cosines of all pairs of pooled vectors. absolute: the
    largest difference of two numbers. relative: that over the largest value that the library gave (of
    cosines, over 1). caption: the name of the one where it was seen, of a similarity both names.
    """

    quantity: str
    absolute: float
    relative: float
    caption: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One encoder, `te1` or `te2`, beside `library` (its name and version), over so many windows."""

    encoder: str
    library: str
    windows: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both encoders of a checkpoint. source: as the user gave it. captions: how many there were."""

    source: str
    device: str
    dtype: str
    tolerance: float
    captions: int
    encoders: tuple[Compared, ...]

    def is_beyond(self, difference: Difference) -> bool:
        """Say whether a difference is larger than the tolerance."""
        return difference.relative > self.tolerance


def captions() -> dict[str, str]:
    """Return the fixed captions by name."""
    text = files("tagflow.encoders").joinpath("compare_captions.toml").read_text(encoding="utf-8")
    return {row["name"]: row["text"] for row in tomllib.loads(text)["caption"]}


def compare(
    spec: str,
    device: str = "auto",
    dtype: str = "fp32",
    tolerance: float | None = None,
    progress: Callable[[str], Progress] = lambda model: silent,
) -> Comparison:
    """Compute the fixed captions with our towers and with the libraries, and return the differences.

    spec, device: those of `load_encoders`; of several GPUs the first one is taken. dtype: fp32, bf16 or fp16.
    tolerance: by default that of the dtype. progress: asked by the name of each model; told token ids.

    Raises UsageProblem for the stand-in or an unknown device or dtype, and EncoderError if the file or a
    library is missing or damaged, the memory does not suffice, or a vector is not finite.
    """
    check_words(device, dtype)
    if dtype not in TOLERANCES:
        raise UsageProblem(f"{dtype} is no dtype to compare in", f"use one of {', '.join(TOLERANCES)}")
    if spec == STAND_IN:
        raise UsageProblem(
            "the stand-in encoders cannot be compared: they are untrained, and no library has them",
            "name a checkpoint: a .safetensors file, a diffusers folder or a hub id",
        )
    located = locate(spec)
    check_installed()
    try:
        from tagflow.encoders.references import REFERENCES
    except (ImportError, OSError) as error:  # OSError: installed, but a library that it links to is not there
        message = f"the comparison needs transformers and open_clip: {error}"
        raise EncoderError(message, install_extra("encoders")) from error
    from tagflow.encoders.tower import DTYPES

    place, kind = find_devices(device)[0], DTYPES[dtype]
    tokenizer = Tokenizer(find_vocabulary(located.tokenizer_folder))
    ids = {name: tokenizer.ids(text) for name, text in captions().items()}
    found = []
    for plan in (located.te1, located.te2):
        cut = {name: CUTS[plan.name](given, MAX_TOKENS) for name, given in ids.items()}
        asked = [window for parts in cut.values() for window in parts]
        try:
            ours = encoder(plan.name, read_towers(spec, [plan], kind, place)[0]).encode(
                asked, progress(f"{plan.name} tagflow")
            )
            reference = REFERENCES[plan.name](plan, kind, place)
            theirs, library = (
                encode_with(reference, asked, progress(f"{plan.name} library")),
                reference.library,
            )
            del reference  # before the next tower is read
        except (RuntimeError, MemoryError) as error:
            if not is_memory(error):
                raise
            message = f"{spec}: not enough memory on {place} to compare {plan.name} in {dtype}"
            raise EncoderError(message, "close other programs, or use --device cpu") from error
        found.append(Compared(plan.name, library, len(asked), differences(cut, ours, theirs)))
    limit = TOLERANCES[dtype] if tolerance is None else tolerance
    return Comparison(spec, str(place), dtype, limit, len(ids), tuple(found))


def encode_with(reference: Reference, asked: Sequence[Window], progress: Progress = silent) -> list[Vectors]:
    """Return what a library makes of each window, padded to 77 for it and cut back to its own length.

    Raises EncoderError if a vector is not finite. `progress` is told token ids.
    """
    import torch

    made: list[Vectors] = []
    total = sum(map(len, asked))
    for start in range(0, len(asked), AT_ONCE):
        batch = asked[start : start + AT_ONCE]
        rows = [[*window, *[reference.pad] * (POSITIONS - len(window))] for window in batch]
        with torch.inference_mode():
            parts = reference.encode(torch.tensor(rows))
        pooled, hidden = (part.float().cpu().numpy() for part in parts)
        if not (np.isfinite(pooled).all() and np.isfinite(hidden).all()):
            message = f"{reference.library} gave NaN or Inf for one of {len(batch)} windows"
            raise EncoderError(message, "use --dtype fp32; if it is fp32 already, the checkpoint is damaged")
        made += [
            Vectors(vector, states[: len(window)])
            for window, vector, states in zip(batch, pooled, hidden, strict=True)
        ]
        progress(sum(map(len, asked[: start + AT_ONCE])), total)
    return made


def differences(
    cut: dict[str, list[Window]], ours: Sequence[Vectors], theirs: Sequence[Vectors]
) -> tuple[Difference, ...]:
    """Return the largest differences of pooled and hidden states, and of the pairs' similarities.

    cut: each caption's windows, by its name. ours, theirs: the vectors of all of them, end to end.
    """
    owners = [name for name, parts in cut.items() for _ in parts]
    found = []
    for quantity in ("pooled", "hidden"):
        mine, wanted = ([getattr(one, quantity) for one in side] for side in (ours, theirs))
        apart = [float(np.abs(one - two).max()) for one, two in zip(mine, wanted, strict=True)]
        worst = int(np.argmax(apart))
        largest = max(float(np.abs(one).max()) for one in wanted)
        found.append(Difference(quantity, apart[worst], apart[worst] / largest, owners[worst]))
    firsts = [owners.index(name) for name in cut]
    cosines = []
    for side in (ours, theirs):
        vectors = np.stack([side[at].pooled for at in firsts]).astype(np.float64)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines.append(vectors @ vectors.T)
    distance = np.abs(cosines[0] - cosines[1])
    one, two = (list(cut)[at] for at in np.unravel_index(np.argmax(distance), distance.shape))
    worst_cosine = float(distance.max())
    found.append(Difference("similarity", worst_cosine, worst_cosine, f"{one} / {two}"))
    return tuple(found)
