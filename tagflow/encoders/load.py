"""The encoders that were named, loaded as a pair; open it for devices, dtypes, or memory that stays taken."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tagflow.config import DTYPE_WORDS
from tagflow.encoders.layout import TowerPlan
from tagflow.encoders.locate import Located, locate
from tagflow.encoders.pair import EncoderCache, EncoderPair, TextEncoder, label
from tagflow.errors import EncoderError, UsageProblem, install_extra, is_memory

if TYPE_CHECKING:
    import torch

    from tagflow.encoders.cache import VectorCache
    from tagflow.encoders.tower import Tower


Warn = Callable[[str], None]
STAND_IN = "stand-in"
DEVICE_WORDS = re.compile(r"auto|cpu|cuda(:\d+)?")


def load_encoders(
    spec: str,
    device: str = "auto",
    dtype: str = "auto",
    cache: VectorCache | None = None,
    *,
    threads: int | None = None,
    warn: Warn = lambda text: None,
) -> EncoderPair:
    """Load SDXL's two text encoders.

    spec: the path of a single-file checkpoint (.safetensors) or of a diffusers folder, a hub id
    `owner/name`, or `stand-in` for a small untrained pair. Only the text encoders' tensors are read.
    device: auto (all GPUs, one worker each, else the CPU), cpu, cuda, cuda:n. dtype: fp32, bf16, fp16, or
    auto: what the device is clearly fastest in, by measurement. Where that is not fp32 the pair has `exact`.
    cache: where views of lines are kept; not the stand-in's, which are quickly made and prove nothing.
    threads: of a CPU; torch's choice by default. warn: told what a user should know.

    te2's pooled vector is x @ text_projection, as in open_clip, sgm, ComfyUI, A1111 and diffusers. sd-scripts
    does not transpose a single file's matrix and so computes x @ text_projection.T, another vector.

    Raises UsageProblem if device or dtype is no such word, and EncoderError if the files are
    missing, damaged or not SDXL's, or torch or the device is not there.
    """
    check_words(device, dtype)
    located = None if spec == STAND_IN else locate(spec)
    check_installed()
    import torch

    from tagflow.encoders.tower import DTYPES, fastest

    if threads is not None:
        torch.set_num_threads(threads)
    places = find_devices(device)
    if located is None:
        from tagflow.encoders.standin import fingerprint, stand_in

        word = "fp32" if dtype == "auto" else dtype
        small = (stand_in(name, DTYPES[word], places[0]) for name in ("te1", "te2"))
        te1, te2 = (encoder(name, [tower], warn) for name, tower in zip(("te1", "te2"), small, strict=True))
        return EncoderPair(te1, te2, fingerprint(), STAND_IN, False, word, str(places[0]), None)
    pair = _loaded(spec, located, fastest(places[0]) if dtype == "auto" else dtype, places, warn)
    if cache is not None:
        for part in pair.both():
            for one in (part.te1, part.te2):
                # cpu and cuda differ by more than batches do in bf16
                facts = (part.fingerprint, one.name, part.dtype, places[0].type, torch.__version__)
                one.keep_on(*(EncoderCache(cache, label(*facts, *kind)) for kind in ((), ("mean",))))
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
        message = f"the text encoders need torch and safetensors: {error}"
        raise EncoderError(message, install_extra("encoders")) from error


def find_devices(word: str) -> list[torch.device]:
    """Return the devices that a word means, at least one. Raises EncoderError if torch does not see them."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if word == "cpu" or (word == "auto" and not count):
        return [torch.device("cpu")]
    number = word.partition(":")[2]
    if count <= int(number or 0):
        raise EncoderError(f"device {word}: torch sees {count} CUDA devices here", "use device cpu")
    return [torch.device("cuda", int(number))] if number else [torch.device("cuda", n) for n in range(count)]


def read_towers(
    spec: str, plans: Sequence[TowerPlan], dtype: torch.dtype, device: torch.device
) -> tuple[list[Tower], str]:
    """Return the towers of `plans`, and the fingerprint of their tensors and no others.

    Raises EncoderError if a tensor cannot be read or is damaged, or the memory does not suffice.
    """
    from tagflow.encoders.weights import Reader

    reader = Reader(dtype, device)
    try:
        towers = [reader.tower(plan) for plan in plans]
    except (RuntimeError, MemoryError) as error:
        if not is_memory(error):
            raise
        raise EncoderError(
            f"{spec}: not enough memory on {device}", "use dtype bf16 or device cpu"
        ) from error
    return towers, reader.fingerprint()


def fingerprint_of(spec: str) -> str:
    """Return the fingerprint that an audit names these encoders by; `spec` is that of `load_encoders`.

    Reads and checks every tensor of both, 1.6 GB of a full-size checkpoint in fp16; they are not kept.
    Raises EncoderError if the files are missing, damaged or not SDXL's, or torch is not there.
    """
    if spec == STAND_IN:
        check_installed()
        from tagflow.encoders.standin import fingerprint

        return fingerprint()
    located = locate(spec)
    check_installed()
    import torch

    return read_towers(spec, (located.te1, located.te2), torch.bfloat16, torch.device("cpu"))[1]


def _loaded(
    spec: str, located: Located, word: str, places: Sequence[torch.device], warn: Warn
) -> EncoderPair:
    import torch

    from tagflow.encoders.tower import DTYPES
    from tagflow.encoders.weights import LayersOnDemand

    plans = (located.te1, located.te2)
    towers, found = read_towers(spec, plans, DTYPES[word], places[0])
    copies = [[tower, *(tower.to(place) for place in places[1:])] for tower in towers]
    te1, te2 = (encoder(plan.name, each, warn) for plan, each in zip(plans, copies, strict=True))
    folder, names = located.tokenizer_folder, ",".join(map(str, places))
    pair = EncoderPair(te1, te2, found, spec, True, word, names, folder)
    if DTYPES[word] != torch.float32:
        layers = (LayersOnDemand(plan, places[0]) for plan in plans)
        exact = (replace(tower, layers=anew) for tower, anew in zip(towers, layers, strict=True))
        te1, te2 = (encoder(plan.name, [tower], warn) for plan, tower in zip(plans, exact, strict=True))
        pair.exact = EncoderPair(te1, te2, found, spec, True, "fp32", str(places[0]), folder)
    return pair


def encoder(name: str, towers: Sequence[Tower], warn: Warn = lambda text: None) -> TextEncoder:
    """Return the encoder of a tower, or of its copies on several devices."""
    from tagflow.encoders.compute import Compute

    return TextEncoder(name, Compute(name, towers, warn))


def release() -> None:
    """Free what no encoder uses any more. Call it when the last reference to a pair is gone.

    torch's context on the GPU (some 300 to 500 MB) stays until the process ends.
    """
    gc.collect()
    if "torch" in sys.modules:
        import torch

        torch.cuda.empty_cache()  # nothing where no GPU was used
