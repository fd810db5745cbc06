"""Loading: what the user named, on which device, in which dtype -> an `EncoderPair`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tagflow.encoders.checkpoint import Plan
from tagflow.encoders.lines import Shelf, label
from tagflow.encoders.locate import Located, locate
from tagflow.encoders.pair import EncoderPair, TextEncoder, is_memory
from tagflow.errors import EncoderError, UsageProblem

if TYPE_CHECKING:
    import torch

    from tagflow.encoders.cache import VectorCache

STAND_IN = "stand-in"
DTYPE_WORDS = ("auto", "fp32", "bf16", "fp16")
DEVICE_WORDS = re.compile(r"auto|cpu|cuda(:\d+)?")


def load_encoders(
    spec: str, device: str = "auto", dtype: str = "auto", cache: VectorCache | None = None
) -> EncoderPair:
    """Load SDXL's two text encoders.

    spec: the path of a single-file checkpoint (.safetensors) or of a diffusers folder, a hub id
    `owner/name`, or `stand-in` for a small untrained pair. Only the text encoders' tensors are read.
    device: auto (CUDA if there is one), cpu, cuda, cuda:n. dtype: fp32, bf16, fp16, or auto, which
    is fp32: it is exact, and a threshold near 1 leaves no room. cache: where views of lines are kept; the
    stand-in's are not, they are quickly made and prove nothing.

    te2's pooled vector is x @ text_projection, as open_clip, sgm, ComfyUI, A1111 and diffusers compute
    it: tagflow measures what inference programs see. sd-scripts puts a single file's matrix into
    an nn.Linear without transposing it, so its pooled vector is x @ text_projection.T, another one.

    Raises UsageProblem if device or dtype is no such word, and EncoderError if the files are
    missing, damaged or not SDXL's, or torch or the device is not there.
    """
    check_words(device, dtype)
    located = None if spec == STAND_IN else locate(spec)
    check_installed()
    from tagflow.encoders.weights import DTYPES

    place, word = find_device(device), "fp32" if dtype == "auto" else dtype
    if located is None:
        return _stand_in(DTYPES[word], place, word)
    pair = _loaded(spec, located, DTYPES[word], place, word)
    if cache is not None:
        _keep(pair, cache, place.type)
    return pair


def check_words(device: str, dtype: str = "auto") -> None:
    """Raise UsageProblem if device or dtype is no such word."""
    if not DEVICE_WORDS.fullmatch(device):
        raise UsageProblem(f"there is no device {device!r}", "use auto, cpu, cuda or cuda:0, cuda:1, ...")
    if dtype not in DTYPE_WORDS:
        raise UsageProblem(f"there is no dtype {dtype!r}", f"use one of {', '.join(DTYPE_WORDS)}")


def check_installed() -> None:
    """Import torch and safetensors. Raises EncoderError if one of them is not to be had."""
    try:
        import safetensors  # noqa: F401 - asked for here, used in weights.py
        import torch  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: installed, but one of torch's libraries is not there
        cure = "pip install 'tagflow[encoders]'"
        raise EncoderError(f"the text encoders need torch and safetensors: {error}", cure) from error


def find_device(word: str) -> torch.device:
    """Return the device that a word means. Raises EncoderError if torch does not see it."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if word == "auto":
        word = "cuda" if count else "cpu"
    if word == "cpu":
        return torch.device("cpu")
    number = int(word.partition(":")[2] or 0)
    if number >= count:
        raise EncoderError(f"device {word}: torch sees {count} CUDA devices here", "use device cpu")
    return torch.device("cuda", number)


def read_towers(
    spec: str, plans: Sequence[Plan], dtype: torch.dtype, device: torch.device
) -> tuple[list[TextEncoder], str]:
    """Return the encoders of `plans`, and the fingerprint of their tensors and no others.

    Raises EncoderError if a tensor cannot be read or is damaged, or the memory does not suffice.
    """
    from tagflow.encoders.weights import Reader

    reader = Reader(dtype, device)
    try:
        encoders = [TextEncoder(plan.name, reader.tower(plan)) for plan in plans]
    except (RuntimeError, MemoryError) as error:
        if not is_memory(error):
            raise
        raise EncoderError(
            f"{spec}: not enough memory on {device}", "use dtype bf16 or device cpu"
        ) from error
    return encoders, reader.fingerprint()


def _loaded(spec: str, located: Located, dtype: torch.dtype, device: torch.device, word: str) -> EncoderPair:
    (te1, te2), found = read_towers(spec, (located.te1, located.te2), dtype, device)
    return EncoderPair(te1, te2, found, spec, True, word, str(device), located.tokenizer_folder)


def _keep(pair: EncoderPair, cache: VectorCache, kind: str) -> None:
    """Give both encoders their shelves. `kind`: cpu or cuda; they differ by more than batches do in bf16."""
    import torch

    for encoder in (pair.te1, pair.te2):
        facts = (pair.fingerprint, encoder.name, pair.dtype, kind, torch.__version__)
        encoder.keep_on(Shelf(cache, label(*facts)))


def _stand_in(dtype: torch.dtype, device: torch.device, word: str) -> EncoderPair:
    from tagflow.encoders.standin import fingerprint, stand_in

    te1, te2 = (TextEncoder(name, stand_in(name, dtype, device)) for name in ("te1", "te2"))
    return EncoderPair(te1, te2, fingerprint(), STAND_IN, False, word, str(device), None)
