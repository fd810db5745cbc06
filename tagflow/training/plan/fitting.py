"""A plan's values that follow from GPU memory and the images; open it for batch size, steps, intervals.

Where the plan looks for sd-scripts, its Python and its GPU is here, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from tagflow.errors import TrainerError
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many
from tagflow.training.machine.probe import Gpu, Machine, local_gpus, probe
from tagflow.training.plan.choices import Choices, Preset, presets, proposal
from tagflow.training.plan.memory import (
    Estimate,
    Load,
    estimate,
    figures,
    fit,
    lora_parameters,
    state_bytes,
    vram_bytes,
)
from tagflow.training.sd_scripts import steps
from tagflow.training.sd_scripts.environment import find_sd_scripts, trainer_python
from tagflow.training.sd_scripts.steps import Length, Size


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was found. `machine`: None where no Python was asked; of `gpus` the first is used."""

    sd_scripts: Path | None = None
    python: Path | None = None
    machine: Machine | None = None
    gpus: tuple[Gpu, ...] = ()
    notes: tuple[Finding, ...] = ()

    @property
    def lacks_bf16(self) -> bool:
        """Whether the GPU is known not to compute in bf16 (before Ampere)."""
        if self.machine is not None and self.machine.gpus:
            return not self.machine.bf16
        return bool(self.gpus) and (0, 0) < self.gpus[0].capability < (8, 0)

    @property
    def lacks_bitsandbytes(self) -> bool:
        """Whether the trainer's Python is known not to have it."""
        return self.machine is not None and not self.machine.has("bitsandbytes")


@dataclass(frozen=True, slots=True)
class Vram:
    """A GPU's memory in bytes, and who says so. `known`: False where it is assumed."""

    bytes: int
    source: str
    known: bool = True


def surroundings(sd_scripts: Path | None, python: Path | None) -> Surroundings:
    """Look for sd-scripts and its Python, and ask that one; without one, only the driver is asked for GPUs.

    Raises TrainerError where something that was named is not there. A Python that does not answer, or none
    beside sd-scripts, is a note: a plan may be made on another machine than the one that trains.
    """
    folder = find_sd_scripts(sd_scripts)
    if folder is None and python is None:
        return Surroundings(gpus=local_gpus())
    try:
        found = trainer_python(python, folder)
        machine = probe(found)
    except TrainerError as problem:
        if python is not None:
            raise
        note = finding("trainer-not-asked", problem.message, cure=problem.cure)
        return Surroundings(folder, gpus=local_gpus(), notes=(note,))
    return Surroundings(folder, found, machine, machine.gpus or local_gpus())


def vram(given: str | None, around: Surroundings) -> Vram:
    """The memory to plan for: as given, else what is free on the first GPU, else an assumption."""
    if given is not None:
        return Vram(vram_bytes(given), f"--vram {given}")
    if around.gpus:
        first = around.gpus[0]
        return Vram(first.free, f"free on {first.name} of {first.total / 1e9:.1f} GB")
    assumed = figures()["assumed"]
    return Vram(assumed["bytes"], "assumed: " + " ".join(assumed["reason"].split()), known=False)


_OPTION_OF = {
    "batch": "train_batch_size",
    "accumulation": "gradient_accumulation_steps",
    "checkpointing": "gradient_checkpointing",
    "fp8": "fp8_base_unet",
}
_AREA = 1024 * 1024
_SAVED = {"fp16": 2, "bf16": 2}  # bytes of a number in a LoRA file


def propose(images: int, resolution: object, vram: Vram) -> tuple[str, str]:
    """The preset for so many images where none was named, and why."""
    found = proposal(images)
    sides = resolution if isinstance(resolution, list) else [resolution, resolution]
    area = math.prod(side for side in sides if isinstance(side, int)) if None not in sides else _AREA
    whole = frozenset(_OPTION_OF) - {"fp8"}  # 8-bit weights cost more than a smaller LoRA does
    loads = {name: _as_meant(Load(dim=0, area=area), presets()[name]) for name in found.presets}
    tried = ((name, load, free) for free in (whole, whole | {"fp8"}) for name, load in loads.items())
    fitting = (name for name, load, free in tried if fit(load, vram.bytes, 1, free)[1])
    taken = next(fitting, found.presets[0])
    why = f"proposed for {many(images, 'image')}: {found.reason}"
    if taken != found.presets[0]:
        why += f"; {found.presets[0]} does not fit well into {vram.bytes / 1e9:.0f} GB"
    return taken, why


def _as_meant(load: Load, preset: Preset) -> Load:
    """The load as a preset has it, with one image at a time."""
    return replace(
        load,
        dim=int(preset.rate("network_dim")),
        text_encoders="network_train_unet_only" not in preset.train,
        cached_text="cache_text_encoder_outputs" in preset.train,
        batch=1,
    )


def load_of(choices: Choices, resolution: Size) -> Load:
    """What the values chosen so far ask of a GPU."""
    train = choices.train
    half = train("mixed_precision") in ("fp16", "bf16")
    return Load(
        dim=choices.whole("network_dim", 4),
        unet=not train("network_train_text_encoder_only"),
        text_encoders=not train("network_train_unet_only"),
        cached_text=bool(train("cache_text_encoder_outputs")),
        optimizer=str(train("optimizer_type") or "AdamW"),
        half=half,
        full_half=bool(train("full_bf16") or train("full_fp16")),
        half_vae=not train("no_half_vae"),
        area=resolution[0] * resolution[1],
        windows=max(1, choices.whole("max_token_length", 75) // 75),
        cache_latents=bool(train("cache_latents")),
        samples=bool(train("sample_prompts")),
        batch=choices.whole("train_batch_size", 1),
        accumulation=choices.whole("gradient_accumulation_steps", 1),
        checkpointing=bool(train("gradient_checkpointing")),
        fp8=bool(train("fp8_base_unet") or train("fp8_base")),
    )


def for_memory(
    choices: Choices, preset: Preset, resolution: Size, vram: Vram
) -> tuple[Estimate, list[Finding]]:
    """Choose batch, accumulation, checkpointing and fp8 to fit, and say where nothing does."""
    load = load_of(choices, resolution)
    pinned = {name for name, option in _OPTION_OF.items() if choices.is_pinned(option)}
    if choices.is_pinned("fp8_base"):
        pinned.add("fp8")
    images = load.batch * load.accumulation if {"batch", "accumulation"} <= pinned else preset.batch
    chosen, fits = fit(load, vram.bytes, max(images, load.batch), frozenset(_OPTION_OF) - pinned)
    taken = estimate(chosen)
    _put(choices, chosen, taken, vram, preset)
    notes = []
    if not vram.known:
        text = f"planned for a GPU of {vram.bytes / 1e9:.0f} GB: {vram.source}"
        notes.append(finding("memory-assumed", text))
    if not fits:
        notes.append(_too_small(preset, chosen, taken, vram))
    return taken, notes


def _put(choices: Choices, load: Load, taken: Estimate, vram: Vram, preset: Preset) -> None:
    room = f"about {taken.peak / 1e9:.1f} GB of {vram.bytes / 1e9:.1f} GB"
    put, source = choices.put, "the GPU's memory"
    put("train.toml", "train_batch_size", load.batch, f"what fits with the rest: {room}", source)
    each = load.batch * load.accumulation
    reason = f"{many(each, 'image')} for each step of the optimizer; the preset wants {preset.batch}"
    put("train.toml", "gradient_accumulation_steps", load.accumulation, reason, source)
    if load.checkpointing:
        reason = "recomputes instead of keeping: a third slower, and about 8 GB less for each image"
        put("train.toml", "gradient_checkpointing", True, reason, source)
    else:
        reason = f"there is memory to keep everything, which is a third faster: {room}"
        choices.leave_out("train.toml", "gradient_checkpointing", reason, source)
    if load.fp8 and not choices.train("fp8_base"):
        reason = (
            "the U-Net's frozen weights in 8 bits: 2.6 GB less, at some cost in quality, or nothing would fit"
        )
        put("train.toml", "fp8_base_unet", True, reason, source)
    elif not load.fp8:
        reason = "weights in 8 bits cost quality, and there is memory for 16"
        choices.leave_out("train.toml", "fp8_base_unet", reason, source)
    reason = "the dataset file's word for train_batch_size, which it overrides"
    put("dataset.toml", "batch_size", choices.whole("train_batch_size", 1), reason, source)


def _too_small(preset: Preset, load: Load, taken: Estimate, vram: Vram) -> Finding:
    """What would fit instead, tried out."""
    everything = frozenset(_OPTION_OF)
    tries = [(f"--set network_dim={dim}", replace(load, dim=dim)) for dim in (64, 32, 16) if dim < load.dim]
    for name, other in presets().items():
        tries += [(f"--preset {name}", _as_meant(load, other))] if other is not preset else []
    tries += [("--resolution 768", replace(load, area=768 * 768))] if load.area > 768 * 768 else []
    may = [words for words, one in tries if fit(one, vram.bytes, 1, everything)[1]]
    phase = max(taken.phases, key=lambda name: taken.phases[name])
    text = f"{phase} takes about {taken.peak / 1e9:.1f} GB at least, and there are {vram.bytes / 1e9:.1f} GB"
    cure = f"this would fit: {', or '.join(may)}" if may else "no preset fits; rent a larger GPU"
    cure += "; or give --vram where there is more"
    return finding("gpu-memory-short", f"{text} ({vram.source})", cure=cure)


def for_length(choices: Choices, preset: Preset, counts: dict[Size, int]) -> Length:
    """The run's length; the warm-up, the restarts and the intervals follow from it."""
    if choices.is_pinned("max_train_steps") and not choices.is_pinned("max_train_epochs"):
        reason = "max_train_steps was set, and epochs would win over it"
        choices.leave_out("train.toml", "max_train_epochs", reason, "--set")
    run = steps.length(
        counts.values(),
        max(1, choices.whole("train_batch_size", 1)),
        max(1, choices.whole("gradient_accumulation_steps", 1)),
        epochs=choices.whole("max_train_epochs", 0),
        steps=choices.whole("max_train_steps", 1600),
    )
    _schedule(choices, run)
    _intervals(choices, run, preset.files)
    return run


def _schedule(choices: Choices, run: Length) -> None:
    source, scheduler = "the data", choices.train("lr_scheduler") or "constant"
    ruled_out = {one.name for one in choices.left_out()}  # by an optimizer, say
    wanted = choices.whole("lr_warmup_steps", 0)
    warm_up, all_steps = steps.warmup(wanted, run.steps), many(run.steps, "step")
    if "lr_warmup_steps" in ruled_out:
        pass
    elif scheduler == "constant" or not warm_up:
        reason = (
            "the constant scheduler stops with one" if scheduler == "constant" else "the run is too short"
        )
        choices.leave_out("train.toml", "lr_warmup_steps", reason, source)
    else:
        reason = f"{wanted} were wanted; at most 10 % of {all_steps}, or the rate hardly falls again"
        choices.put("train.toml", "lr_warmup_steps", warm_up, reason, source)
    wanted = choices.whole("lr_scheduler_num_cycles", 1)
    if scheduler == "cosine_with_restarts":
        reason = f"{wanted} were wanted; a cycle has at least 100 of the {all_steps}"
        cycles = steps.restarts(wanted, run.steps)
        choices.put("train.toml", "lr_scheduler_num_cycles", cycles, reason, source)
    elif "lr_scheduler_num_cycles" not in ruled_out:
        reason = f"the scheduler {scheduler} has no restarts"
        choices.leave_out("train.toml", "lr_scheduler_num_cycles", reason, source)


def _intervals(choices: Choices, run: Length, most: int) -> None:
    put, source = choices.put, "the data"
    if choices.is_pinned("sample_every_n_epochs"):
        reason = "sample_every_n_epochs was set, and wins"
        choices.leave_out("train.toml", "sample_every_n_steps", reason, "--set")
    else:
        interval = steps.sample_interval(choices.whole("sample_every_n_steps", 200), run.steps)
        often = f"10 to 20 times in {many(run.steps, 'step')}"
        put("train.toml", "sample_every_n_steps", interval, often, source)
    every = steps.epochs_between_files(run.epochs, most)
    each = "each" if every == 1 else f"every {every}"
    epochs = many(run.epochs, "epoch")
    reason = f"a LoRA and a state after {each} of {epochs}, to compare and to go on from"
    put("train.toml", "save_every_n_epochs", every, reason, source)
    every = max(1, choices.whole("save_every_n_epochs", every))
    if between := steps.steps_between_states(run.steps_per_epoch, every):
        lost = many(run.steps_per_epoch * every, "step")
        reason = f"files lie {lost} apart; so much would be lost at once"
        put("train.toml", "save_every_n_steps", between, reason, source)
        put("train.toml", "save_last_n_steps", between, "only the newest of these are of use", source)


def warmup_steps(choices: Choices, run: Length) -> int:
    """Steps of warm-up; a fraction is one of all steps, as sd-scripts takes it."""
    value = choices.train("lr_warmup_steps")
    return int(value * run.steps) if isinstance(value, float) else int(str(value or 0))


def sizes_of(choices: Choices, load: Load, run: Length) -> dict[str, int]:
    """Bytes that the run writes: `save_bytes` a LoRA, `state_bytes` a state, and how many there are."""
    parameters = lora_parameters(load)
    width = _SAVED.get(str(choices.train("save_precision")), 4)
    saved, state = parameters * width, parameters * 4 + state_bytes(load)
    files = _left(choices, run, "") + 1
    states = int(bool(choices.train("save_state") or choices.train("save_state_on_train_end")))
    if choices.train("save_state"):
        states += _left(choices, run, "_state")
    return {
        "parameters": parameters,
        "save_bytes": saved,
        "files": files,
        "state_bytes": state,
        "states": states,
        "output_bytes": saved * files + state * states,
    }


def _left(choices: Choices, run: Length, suffix: str) -> int:
    """How many LoRA files, or with `_state` states, are there at the same time beside that of the end."""
    left = 0
    for unit, length in (("epochs", run.epochs), ("steps", run.steps)):
        every, last = (choices.whole(f"save_{name}_n_{unit}", 0) for name in ("every", "last"))
        last = choices.whole(f"save_last_n_{unit}{suffix}", 0) or last
        left += steps.files_left(length, every, last, by_steps=unit == "steps")
    return left
