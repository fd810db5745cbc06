"""A plan's values that follow from base, audit, structure or machine; open it for why one is as it is.

What follows from memory and length is in fitting.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tagflow import __version__
from tagflow.audit.file import Audit
from tagflow.encoders.locate import other_family
from tagflow.errors import EncoderError, UsageProblem
from tagflow.files.safetensors import read_whole_header
from tagflow.findings.finding import Finding, finding
from tagflow.models.prediction import Prediction, named, prediction
from tagflow.training.plan.choices import Choices, Preset
from tagflow.training.plan.fitting import Surroundings
from tagflow.training.plan.folders import ALPHA, ImageFolder
from tagflow.training.run_folder import DATASET, LOGS, OUTPUT, PROMPTS
from tagflow.training.sd_scripts.optimizers import is_bitsandbytes
from tagflow.training.sd_scripts.options import Value
from tagflow.training.sd_scripts.steps import Buckets
from tagflow.training.structure.structure import CHOICES, WHY, Structure, conflicts

MOST_THREADS = 8
SEED = 42
_LONGEST_TEXT = 250  # characters; programs show a line of it
_DIGEST = 12  # characters of the dataset's digest
_LARGEST = 8192  # pixels of a side


@dataclass(frozen=True, slots=True)
class Base:
    """The checkpoint that is trained on. `size`: its bytes; None for a folder."""

    path: Path
    size: int | None
    prediction: Prediction


def base_of(path: Path) -> Base:
    """What a checkpoint's header says. Raises EncoderError where it is damaged, or no SDXL model."""
    path = path.expanduser().absolute()
    if path.is_dir():  # in diffusers' layout, which sd-scripts takes, too
        return Base(path, None, Prediction("unknown", ()))
    header = read_whole_header(path)
    if what := other_family(header.entries):
        raise EncoderError(f"{path} is {what}", "give an SDXL checkpoint (.safetensors)")
    return Base(path, header.size, prediction(header.entries, header.metadata))


def from_preset(choices: Choices, preset: Preset) -> None:
    """Everything that the preset says."""
    source = f"preset {preset.name}"
    for name, wanted in preset.train.items():
        choices.put("train.toml", name, wanted.value, wanted.reason, source)
    for name, wanted in preset.dataset.items():
        choices.put("dataset.toml", name, wanted.value, wanted.reason, source)
    for name, reason in preset.left_out.items():
        choices.leave_out("train.toml", name, reason, source)


def for_files(choices: Choices, run: Path, base: Base, vae: Path | None, name: str) -> None:
    """Every path, absolute: sd-scripts takes relative ones from wherever it is started.

    Raises UsageProblem for a VAE that is not there.
    """
    put = choices.put
    put("train.toml", "pretrained_model_name_or_path", base.path.as_posix(), "the base model", "--base")
    if vae is None:
        reason = "the base model's own is used"
        choices.leave_out("train.toml", "vae", reason, "the base model")
    else:
        place = vae.expanduser().absolute().as_posix()
        if not Path(place).exists():  # sd-scripts would take it for the name of one on the hub
            raise UsageProblem(f"--vae {vae}: there is no such file", "check the path")
        put("train.toml", "vae", place, "in place of the base model's own", "--vae")
    for option, inside, why in (
        ("dataset_config", DATASET, "the folders to train on"),
        ("output_dir", OUTPUT, "without it sd-scripts stops at its first save"),
        ("logging_dir", LOGS, "TensorBoard needs one"),
        ("sample_prompts", PROMPTS, "the same pictures again and again, from the dataset's own tags"),
    ):
        put("train.toml", option, (run / inside).as_posix(), why, "the run folder")
    reason = "the LoRA's file name; without it all are called `last`"
    put("train.toml", "output_name", name, reason, "the run folder")


def for_base(choices: Choices, base: Base) -> Iterator[Finding]:
    """What the base model predicts decides the loss: wrong, and a LoRA is ruined without a word."""
    said, file = base.prediction, base.path.name
    evidence = "; ".join(said.evidence)
    source = "the base model"
    if said.type == "v":
        reason = f"{file} predicts v: {evidence}"
        choices.put("train.toml", "v_parameterization", True, reason, source)
        reason = "v-prediction models are trained down to pure noise"
        choices.put("train.toml", "zero_terminal_snr", True, reason, source)
        reason = "with zero-terminal SNR the model sees pure noise, which is what the offset stands in for"
        choices.leave_out("train.toml", "noise_offset", reason, source)
    else:
        why = evidence or "nothing in it says otherwise, and SDXL's base, Pony and Illustrious predict noise"
        reason = f"{file} is trained as one that predicts noise (epsilon): {why}"
        choices.leave_out("train.toml", "v_parameterization", reason, source)
        choices.leave_out("train.toml", "zero_terminal_snr", "it belongs to v-prediction", source)
    hint, word = named([file])
    if said.type != "v" and (hint if hint != "unknown" else named(said.names)[0]) == "v":
        text = f"{word or 'its metadata'} in its name, and {evidence or 'no mark in the file'}"
        cure = "look up the model's page; for v: --set v_parameterization=true --set zero_terminal_snr=true"
        yield finding("prediction-unknown", text, file=str(base.path), cure=cure)
    elif said.type == "unknown":
        yield finding("prediction-unknown", file=str(base.path))
    if said.contradicted:
        cure = "look up the model's page, then use --set v_parameterization"
        yield finding("prediction-contradicted", evidence, file=str(base.path), cure=cure)


def for_audit(choices: Choices, audit: Audit | None, root: Path, configured: int) -> Iterator[Finding]:
    """The tokens that were certified are those that must be trained."""
    limit = configured if audit is None else audit.meta.limits.max_tokens
    source = "tagflow.toml" if audit is None else "the audit"
    what = "tagflow checks captions for" if audit is None else "the captions were certified for"
    if limit == 75:
        reason = f"{what} 75 tokens, which is what sd-scripts reads without it"
        choices.leave_out("train.toml", "max_token_length", reason, source)
    else:
        reason = f"{what} {limit} tokens; without it only the first 75 are trained"
        choices.put("train.toml", "max_token_length", limit, reason, source)
    if audit is None:
        yield finding("plan-audit-missing", file=str(root), cure=f"`tagflow run {root}`, then plan again")
    elif audit.meta.verdict != "pass":
        why = "; ".join(audit.meta.reasons) or "no encoders judged it"
        cure = f"`tagflow run {root}` until it passes, then plan again"
        text = f"the verdict is {audit.meta.verdict} ({why})"
        yield finding("plan-audit-not-passed", text, file=str(root), cure=cure)
    trained = choices.train("max_token_length") or 75
    if audit is not None and trained != limit:
        text = f"{trained} was set; the audit certified captions of {limit} tokens"
        cure = f"`tagflow run {root} --max-tokens {trained}`"
        yield finding("plan-tokens-not-certified", text, option="max_token_length", cure=cure)


def for_metadata(
    choices: Choices, preset: Preset, audit: Audit | None, triggers: Sequence[str], tags: Sequence[str]
) -> None:
    """What the LoRA file says of itself: programs show it, and it stays when the run folder is gone."""
    put, verdict = choices.put, "none" if audit is None else audit.meta.verdict
    digest = "" if audit is None else f" of dataset {audit.meta.dataset_digest[:_DIGEST]}"
    said = [f"tagflow {__version__}", f"preset {preset.name}", f"audit {verdict}{digest}"]
    comment = "; ".join([*said, *([f"trigger {', '.join(triggers)}"] if triggers else [])])
    reason = "kept in the LoRA's metadata: how it was made, and what its captions were worth"
    put("train.toml", "training_comment", _cut(comment), reason, "the audit")
    name = str(choices.train("output_name"))
    put("train.toml", "metadata_title", _cut(name), "the name that programs show", "the run folder")
    if triggers:
        reason = "what programs offer for a prompt"
        put("train.toml", "metadata_trigger_phrase", _cut(", ".join(triggers)), reason, "the data")
    if tags:
        reason = "the tags that most captions have, to find it by"
        put("train.toml", "metadata_tags", _cut(", ".join(tags)), reason, "the data")


def _cut(text: str) -> str:
    plain = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return (
        plain
        if len(plain) <= _LONGEST_TEXT
        else plain[:_LONGEST_TEXT].rpartition(",")[0] or plain[:_LONGEST_TEXT]
    )


def for_masks(choices: Choices, folders: Sequence[ImageFolder], masks: str | None) -> None:
    """The loss counts only where a mask is white, or the image is not transparent."""
    if masks is None:
        return
    told = "asked for by --masks"
    choices.put(
        "train.toml", "masked_loss", True, f"{told}: what is black in a mask is not learned", "--masks"
    )
    for at, one in enumerate(folders):
        if masks == ALPHA and not one.of_class:
            reason = f"{told}: what is transparent is not learned"
            choices.put("dataset.toml", f"subsets[{at}].alpha_mask", True, reason, "--masks")
        elif one.masks is not None:
            reason = f"{told}: a mask for each image, under its name"
            choices.put(
                "dataset.toml",
                f"subsets[{at}].conditioning_data_dir",
                one.masks.as_posix(),
                reason,
                "--masks",
            )


def for_validation(choices: Choices, share: float | None) -> tuple[float, int | None]:
    """The share of images that are held out to validate, and the seed that draws them.

    Raises UsageProblem for a share that is none.
    """
    if share is not None:
        if not 0 < share < 1:
            raise UsageProblem(f"--validation {share:g} is no share", "give it as 0.1 or 10%")
        reason = "held out of each folder: its loss shows from which epoch on the LoRA learns by heart"
        choices.put("dataset.toml", "validation_split", share, reason, "--validation")
    split = choices.get("dataset.toml", "validation_split")
    if not isinstance(split, float) or not split:
        return 0.0, None
    own = choices.train("seed")
    seed = own if isinstance(own, int) else SEED
    reason = "the same images in every run; without a seed every run holds out others"
    choices.put("dataset.toml", "validation_seed", seed, reason, "the plan")
    drawn = choices.get("dataset.toml", "validation_seed")
    return split, drawn if isinstance(drawn, int) else None


def for_class_images(choices: Choices, folders: Sequence[ImageFolder], *, rendered: bool) -> None:
    """Regularisation images: how their folders are told from the others, and what they weigh."""
    for at, one in enumerate(folders):
        if not one.of_class:
            continue
        where = f"subsets[{at}]."
        reason = "images of the class, which keep it as the base draws it"
        choices.put("dataset.toml", f"{where}is_reg", True, reason, one.source_of_class)
        if len(one.images.captioned) < one.images.count:
            reason = "trained with images that have no caption here; a word has no order to be certified"
            choices.put("dataset.toml", f"{where}class_tokens", one.class_words, reason, "the folder's name")
        if rendered and not one.rendered:
            reason = "these captions are trained as they stand: only the dataset's own are rendered"
            plain: dict[str, Value] = {
                "shuffle_caption": False,
                "keep_tokens_separator": "",
                "secondary_separator": "",
            }
            for name, value in plain.items():
                choices.put("dataset.toml", f"{where}{name}", value, reason, "--structure")
    if any(one.of_class for one in folders):
        reason = "images of the class weigh as much as the others; less than 1 lets the class change"
        choices.put("train.toml", "prior_loss_weight", 1.0, reason, "the plan")


def for_class_audit(root: Path | None, own: Audit | None, audit: Audit | None) -> Iterator[Finding]:
    """Captions of regularisation images outside of the dataset are trained, too: they need an audit."""
    if own is None:
        text, cure = "regularisation images have captions", f"`tagflow run {root}`, then plan again"
        yield finding("plan-audit-missing", text, file=str(root), cure=cure)
    elif own.meta.verdict != "pass":
        text = f"the verdict of the regularisation images is {own.meta.verdict}"
        cure = f"`tagflow run {root}` until it passes, then plan again"
        yield finding("plan-audit-not-passed", text, file=str(root), cure=cure)
    elif audit is not None and own.meta.limits.max_tokens != audit.meta.limits.max_tokens:
        theirs, ours = own.meta.limits.max_tokens, audit.meta.limits.max_tokens
        text = f"{theirs} tokens for regularisation images, {ours} for the others"
        cure = f"`tagflow run {root} --max-tokens {ours}`"
        yield finding("plan-tokens-not-certified", text, option="max_token_length", cure=cure)


def for_structure(
    choices: Choices, structure: Structure, audit: Audit | None, extras: Sequence[str] = ()
) -> Iterator[Finding]:
    """The options that keep an order, or the groups of one, through training.

    extras: options of the command that only a rendered structure has. Raises UsageProblem where they and
    what else was set do not go together.
    """
    kind = CHOICES[structure]
    if structure == "none" and extras:
        raise UsageProblem(f"{extras[0]} is for rendered captions", "give --structure separator or groups")
    if structure != "none" and audit is None:
        cure = "`tagflow run DIR` first, or plan with --structure none"
        raise UsageProblem(f"structure `{structure}` is rendered from certified captions", cure)
    rendered = structure != "none"
    for name, value in kind.options.items():
        choices.put("dataset.toml", name, value, WHY[name] if rendered else kind.title, "--structure")
    values = {one.name: one.value for one in choices.all()}
    values |= {name: value for (_, name), value in choices.pinned.items()}
    found = conflicts(structure, values)
    if found and structure != "none":
        reasons = "; ".join(f"{name}: {why}" for name, why in found.items())
        raise UsageProblem(f"structure `{structure}` does not go with {reasons}", "use --structure none")
    for name, why in found.items():
        yield finding("order-not-trained", why, option=name)


def for_machine(choices: Choices, around: Surroundings) -> Iterator[Finding]:
    """What the trainer's Python and its GPU can do."""
    source = "the trainer's machine"
    if around.lacks_bf16:
        reason = "this GPU does not compute in bf16"
        choices.put("train.toml", "mixed_precision", "fp16", reason, source)
        choices.put("train.toml", "save_precision", "fp16", "as it is trained", source)
    if choices.train("mixed_precision") == "fp16":
        reason = "SDXL's VAE overflows in fp16, and cached latents would be NaN"
        choices.put("train.toml", "no_half_vae", True, reason, source)
    wanted = str(choices.train("optimizer_type") or "")
    if around.lacks_bitsandbytes and is_bitsandbytes(wanted) and not choices.is_pinned("optimizer_type"):
        plain = wanted.removeprefix("Paged").removesuffix("8bit")
        reason = (
            f"{wanted} needs bitsandbytes, which {around.python} lacks; the same method with 32-bit states"
        )
        choices.put("train.toml", "optimizer_type", plain, reason, source)
    elif is_bitsandbytes(wanted) and around.machine is None:
        yield finding("bitsandbytes-assumed", wanted, option="optimizer_type")
    threads = max(1, min(MOST_THREADS, os.cpu_count() or 1))
    reason = f"threads for what the CPU does; more than {MOST_THREADS} take cores from loading images"
    choices.put("launch", "num_cpu_threads_per_process", threads, reason, "this machine")


def for_buckets(choices: Choices) -> Buckets:
    """The buckets of the run, and limits that go with its resolution. Raises UsageProblem."""
    value = choices.get("dataset.toml", "resolution")
    pair = value if isinstance(value, list) else [value, value]
    if not all(isinstance(side, int) and 64 <= side <= _LARGEST for side in pair):
        raise UsageProblem(f"a resolution of {value} trains nothing", "SDXL is trained at 1024")
    width, height = int(str(pair[0])), int(str(pair[1]))
    steps = _pixels(choices, "bucket_reso_steps", 64)
    if (width, height) != (1024, 1024):
        least = max(steps, min(256, min(width, height) // 4 // steps * steps))
        put, source = choices.put, "the data"
        put("dataset.toml", "min_bucket_reso", least, "a quarter of the resolution, at most 256", source)
        most = 2 * max(width, height) // steps * steps
        put("dataset.toml", "max_bucket_reso", most, "twice the resolution: no shape is cut short", source)
    low, high = _pixels(choices, "min_bucket_reso", 256), _pixels(choices, "max_bucket_reso", 1024)
    if not choices.get("dataset.toml", "enable_bucket") or steps < 1:
        return Buckets((width, height))
    upscale = bool(choices.get("dataset.toml", "bucket_no_upscale"))
    return Buckets((width, height), max(low - low % steps, steps), high + -high % steps, steps, upscale)


def _pixels(choices: Choices, name: str, default: int) -> int:
    value = choices.get("dataset.toml", name)
    return int(value) if isinstance(value, int) else default
