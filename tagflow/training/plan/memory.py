"""How much of a GPU's memory a run takes; open it where the estimate is off, or to see what is tried to fit.

The figures are in memory.toml. Weights, gradients and states are arithmetic, activations were counted in
sd-scripts' own modules, the rest are rules of thumb, on the safe side. None was measured on the user's GPU,
and the plan says so.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tagflow.config import byte_size
from tagflow.errors import UsageProblem

SOURCE = (
    "arithmetic (weights, gradients, states), counted in sd-scripts' modules without a GPU (activations), "
    "rules of thumb (CUDA context, 10 % for fragments)"
)
_AREA = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Load:
    """What decides how much memory a run takes. `area`: pixels of an image; `windows`: of 75 tokens."""

    dim: int
    unet: bool = True
    text_encoders: bool = True
    cached_text: bool = False
    optimizer: str = "AdamW8bit"
    half: bool = True
    full_half: bool = False
    half_vae: bool = True
    area: int = _AREA
    windows: int = 3
    cache_latents: bool = True
    samples: bool = True
    batch: int = 1
    accumulation: int = 1
    checkpointing: bool = True
    fp8: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes. `parts`: of the training step; `phases`: the peak of each phase, with the margin."""

    parts: dict[str, int]
    phases: dict[str, int]

    @property
    def peak(self) -> int:
        """The most that any phase takes."""
        return max(self.phases.values())


@cache
def figures() -> dict[str, Any]:
    """The data."""
    return tomllib.loads(Path(__file__).with_name("memory.toml").read_text(encoding="utf-8"))


def lora_parameters(load: Load) -> int:
    """Trained parameters of networks.lora, linear layers only."""
    per = figures()["parameters"]
    return int(load.dim * (per["lora_unet"] * load.unet + per["lora_te"] * load.text_encoders))


def state_bytes(load: Load) -> int:
    """Bytes of the optimizer's states."""
    kind = load.optimizer.rpartition(".")[2].lower()
    known = {name.lower(): size for name, size in figures()["optimizers"].items()}
    return lora_parameters(load) * int(known.get(kind, 8))


def estimate(load: Load) -> Estimate:
    """What a run takes, in bytes."""
    parts = {**_standing(load), **_passing(load)}
    phases = {"training": sum(parts.values())}
    context = figures()["overhead"]["context"]
    width = 2 if load.half and load.half_vae else 4
    vae = figures()["parameters"]["vae"] * width + context
    scale = load.area / _AREA * width / 4
    if load.cache_latents:
        phases["caching latents"] = vae + int(figures()["vae"]["encode"] * scale)
    if load.samples:
        drawing = sum(_standing(load).values()) - parts["LoRA gradients"] + vae
        drawing += int(figures()["vae"]["decode"] * scale)
        drawing += int(figures()["vae"]["sampling"] * load.area / _AREA)
        phases["drawing samples"] = drawing
    more = 1 + figures()["overhead"]["margin"]
    return Estimate(parts, {name: int(size * more) for name, size in phases.items()})


def _standing(load: Load) -> dict[str, int]:
    """What lies on the GPU all the time."""
    per, width = figures()["parameters"], 2 if load.half else 4
    trained, own = lora_parameters(load), 2 if load.full_half else 4
    on_gpu = 0 if load.cached_text else (per["te1"] + per["te2"]) * width
    return {
        "U-Net weights": per["unet"] * (1 if load.fp8 else width),
        "text encoder weights": on_gpu,
        "LoRA weights": trained * own,
        "LoRA gradients": trained * own,
        "optimizer states": state_bytes(load),
        "LoRA in 16 bits": trained * 2 if load.half and not load.full_half else 0,
    }


def _passing(load: Load) -> dict[str, int]:
    """What a step adds."""
    counted, scale = figures()["activations"], load.area / _AREA * (1 if load.half else 2)
    if load.checkpointing:
        one = (counted["checkpoints"] + counted["recomputed"]) * scale
    else:
        one = counted["kept"] * scale + counted["kept_fixed"]
    window = counted["te_window_checkpointed" if load.checkpointing else "te_window"]
    te = load.windows * window if load.text_encoders and not load.cached_text else 0
    # In 8 bits a weight is widened for its layer; without checkpointing all are kept for the way back.
    widened = figures()["parameters"]["unet"] * 2 if load.fp8 and not load.checkpointing else 0
    return {
        "U-Net activations": int(load.batch * one) + widened,
        "text encoder activations": load.batch * te,
        "CUDA context": figures()["overhead"]["context"],
    }


def rungs(load: Load, images: int, free: frozenset[str]) -> Iterator[Load]:
    """Settings to try, the fastest first. `images`: for one step of the optimizer, kept as near as may be.

    `free`: which of batch, accumulation, checkpointing and fp8 may be chosen; the others stay.
    """
    sizes = [size for size in range(images, 0, -1) if images % size == 0] if "batch" in free else [load.batch]
    may = {
        "checkpointing": (False, True) if "checkpointing" in free else (load.checkpointing,),
        "fp8": (False, True) if "fp8" in free and load.half else (load.fp8,),
    }
    for fp8 in may["fp8"]:
        for checkpointing in may["checkpointing"]:
            if fp8 and not load.fp8 and not checkpointing:
                continue  # saves nothing there
            for size in sizes:
                if size < images and not checkpointing and True in may["checkpointing"]:
                    continue  # checkpointing costs less than smaller batches do
                times = max(1, images // size) if "accumulation" in free else load.accumulation
                yield replace(load, batch=size, accumulation=times, checkpointing=checkpointing, fp8=fp8)


def fit(load: Load, available: int, images: int, free: frozenset[str]) -> tuple[Load, bool]:
    """The fastest settings that fit, and whether any did; else the smallest that there are."""
    smallest = load
    for one in rungs(load, images, free):
        if estimate(one).peak <= available:
            return one, True
        smallest = min(smallest, one, key=lambda load: estimate(load).peak)
    return smallest, False


_MOST_GB = 2000  # no GPU comes near


def vram_bytes(text: str) -> int:
    """Bytes of a GPU's memory as people write it: `24GB`, `24gib`, `24`. Raises UsageProblem.

    A bare number is one of GB; such as `24564`, as drivers show it, could be one of MB or of MiB.
    """
    spelled = text.strip().upper().replace("I", "i").replace("K", "k")
    if spelled.isdecimal() and int(spelled) > _MOST_GB:
        raise UsageProblem(f"--vram {text!r} says no unit", f"give it as {text}MB, or as 24GB")
    found = byte_size(f"{spelled} GB") or byte_size(spelled) or byte_size(f"{spelled}B")
    if not found:
        raise UsageProblem(f"--vram {text!r} is no size", "give it as 24GB")
    return found
