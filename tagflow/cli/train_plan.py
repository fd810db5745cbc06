"""`tagflow train plan`; open it for its options, and for a line of the summary that it shows of a plan.

The plan itself is made in training/plan.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from msgspec import UnsetType

from tagflow.cli import output
from tagflow.cli.findings import Report, as_object, tell_beside
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER, TrainOptions, collected, load_ontology
from tagflow.cli.output import Progress
from tagflow.config import Config, load_config
from tagflow.dataset.survey import AUDIT_NAME
from tagflow.errors import FINDINGS, UsageProblem
from tagflow.findings.wording import many
from tagflow.training.plan.choices import parse_settings
from tagflow.training.plan.fitting import Surroundings, surroundings, warmup_steps
from tagflow.training.plan.memory import SOURCE
from tagflow.training.plan.plan import Plan, PlanRequest, make_plan
from tagflow.training.plan.write import files, plan_file, write_plan
from tagflow.training.run_folder import PlanFile, read_plan, to_object
from tagflow.training.sd_scripts.options import known_options
from tagflow.training.structure.structure import CHOICES, STRUCTURES

_GB = 1e9
_LONG = 100  # minutes; beyond, hours are spoken of
_SCHEMA = "tagflow.train-plan/2"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions(TrainOptions):
    """What `tagflow train plan` was asked. `leading`: categories as they were typed, with commas between."""

    folder: Path
    preset: str | None = None
    out: Path | None = None
    name: str | None = None
    leading: str | None = None
    captions_to: Path | None = None
    caption_extension: str | None = None
    reg: str | None = None
    masks: str | None = None
    validation: float | None = None
    dry_run: bool = False
    as_json: bool = False
    config_file: Path | None = None


class Share(click.ParamType[float]):
    """A share of all, as 0.1 or 10%."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Raises click's BadParameter for anything else."""
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            self.fail(f"{value!r} is no share; give it as 0.1 or 10%", param, ctx)
        if not 0 < share < 1:
            self.fail(f"{value!r} is not between 0 and 1; give it as 0.1 or 10%", param, ctx)
        return share


@command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option(
    "--preset",
    metavar="NAME",
    help="sdxl-lora-v3, sdxl-lora-light, unet-only-cached ... Default: by the number of images and the GPU.",
)
@click.option(
    "--base",
    type=FOLDER,
    metavar="FILE",
    help="The SDXL checkpoint to train on. Default: `encoders` of tagflow.toml, if it is one.",
)
@click.option("--vae", type=FOLDER, metavar="FILE", help="In place of the checkpoint's own.")
@click.option("--out", type=FOLDER, metavar="RUN", help="The run folder. Default: DIR-runs/001-PRESET.")
@click.option(
    "--name", metavar="NAME", help="File name of the LoRA. Default: the dataset's and the preset's."
)
@click.option(
    "--structure",
    type=click.Choice(STRUCTURES),
    default="none",
    help="What stays of the captions' order: all of it, for nothing is shuffled (none, the "
    "default); the front (separator); groups by category (groups).",
)
@click.option(
    "--leading",
    metavar="NAMES",
    help="Categories that keep the front with --structure separator or groups, parted by commas. Default: "
    "the ontology's first three for separator; the trigger alone for groups.",
)
@click.option(
    "--captions-to",
    type=FOLDER,
    metavar="FOLDER",
    help="Write the rendered captions to a new folder, too, without images.",
)
@click.option(
    "--caption-extension", metavar="EXT", help="The captions' suffix. Default: that of the audit, else .txt."
)
@click.option("--vram", metavar="SIZE", help="Memory of the GPU, such as 24GB. Default: what is free here.")
@click.option("--epochs", type=click.IntRange(1), metavar="N", help="How often all is seen.")
@click.option(
    "--repeats",
    type=click.IntRange(1),
    metavar="N",
    help="How often an epoch shows each image, where no folder's name `N_name` says it.",
)
@click.option(
    "--reg",
    metavar="DIR",
    help="Regularisation images; `none`: none. Default: a folder called reg or class, in DIR or beside it.",
)
@click.option(
    "--masks",
    metavar="DIR",
    help="Masks under the images' names, white where the loss counts; `alpha`: the images' own transparency.",
)
@click.option(
    "--validation", type=Share(), metavar="SHARE", help="Hold out images to validate on, such as 0.1 or 10%."
)
@click.option("--resolution", type=click.IntRange(64), metavar="PIXELS", help="Default: 1024.")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any option of sd-scripts; `none` takes it out. May be given several times.",
)
@click.option("--sd-scripts", type=FOLDER, metavar="DIR", help="Default: SD_SCRIPTS_DIR.")
@click.option("--trainer-python", type=FOLDER, metavar="FILE", help="Default: the one beside sd-scripts.")
@click.option("--dry-run", is_flag=True, help="Show the plan and its files; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The plan as one JSON object.")
@click.option("--config", "config_file", type=FOLDER, metavar="FILE", help="Default: tagflow.toml.")
@collected(PlanOptions)
def plan(asked: PlanOptions) -> int:
    """Plan a training run on the images and captions in DIR, and write its run folder.

    The folder holds dataset.toml, train.toml, prompts.txt and plan.json, which gives every value's reason and
    source. Exit code 1, and nothing written, where images lack captions or the run does not fit the GPU.
    """
    return planned(asked)


def planned(asked: PlanOptions) -> int:
    """Make a plan, write it unless it is refused, and tell of it."""
    config = load_config(asked.config_file, asked.folder)
    parse_settings(asked.sets, known_options())  # before a Python is asked, which takes seconds
    progress = Progress()
    with progress.shown():
        with progress.waiting("asking the trainer's Python"):
            around = surroundings(asked.sd_scripts, asked.trainer_python)
        made = make_plan(asked.folder, asked.preset, _request(asked, config, around))
        written = not made.refused and not asked.dry_run
        if written:
            write_plan(made, progress.progress("captions and images"))
        elif not made.refused:
            shown = files(made)  # what it would refuse to write
    tell_beside(made.notes)
    told = read_plan(made.run) if written else plan_file(made)
    if asked.as_json:
        facts = to_object(told)
        facts = {name: value for name, value in facts.items() if name not in ("schema", "notes")}
        output.as_json(as_object(Report(_SCHEMA, made.notes, facts)))
    else:
        output.out_lines(map(output.visible, _summary(made, told, written=written)))
        if asked.dry_run and not made.refused:
            output.out_lines(map(output.visible, _files(shown)))
    return FINDINGS if made.refused else 0


def _request(asked: PlanOptions, config: Config, around: Surroundings) -> PlanRequest:
    leading = [name.strip() for name in (asked.leading or "").split(",") if name.strip()]
    return PlanRequest(
        base=base_named(config, asked.base),
        around=around,
        ontology=None if (asked.folder / AUDIT_NAME).exists() else load_ontology(config),
        leading=tuple(leading) or None,
        max_tokens=int(config.get("max_tokens", None, 225)),
        vae=asked.vae,
        out=asked.out,
        name=asked.name,
        structure=asked.structure,
        captions_to=asked.captions_to,
        caption_extension=config.get("caption_extension", asked.caption_extension),
        epochs=asked.epochs,
        repeats=asked.repeats,
        resolution=asked.resolution,
        reg=asked.reg,
        masks=asked.masks,
        validation=asked.validation,
        vram=asked.vram,
        sets=asked.sets,
    )


def base_named(config: Config, given: Path | None) -> Path:
    """The checkpoint: as given, else the encoders' file. Raises UsageProblem where there is none."""
    if given is not None:
        return given
    spec = os.environ.get("TAGFLOW_ENCODERS") or config.path("encoders")
    if spec and Path(spec).is_file():
        return Path(spec)
    raise UsageProblem("no checkpoint to train on was named", "--base FILE.safetensors names one")


def _summary(made: Plan, facts: PlanFile, *, written: bool) -> Iterator[str]:
    """A plan in a few lines."""
    length, said, train = made.length, made.base.prediction, made.choices.train
    yield f"preset      {made.preset.name}: {made.preset.title}"
    yield f"            {made.preset.about}"
    if made.proposed:
        yield f"            {made.proposed}"
    trained = "U-Net alone" if train("network_train_unet_only") else "U-Net and text encoders"
    dim, alpha = train("network_dim"), train("network_alpha")
    size = "" if dim is None else f", dim {dim}" + ("" if alpha is None else f" / alpha {alpha:g}")
    yield f"trains      {trained}{size}, on {made.base.path.name} (predicts: {said.type})"
    yield f"rates       {', '.join(_rates(made))}"
    yield from _images(made)
    batch = f"{made.choices.whole('train_batch_size', 1)}"
    if (times := made.choices.whole("gradient_accumulation_steps", 1)) > 1:
        batch += f" x {times}"
    each = f"{many(length.epochs, 'epoch')} of {many(length.steps_per_epoch, 'step')}"
    batches = f"{many(length.batches, 'batch', 'batches')} from {many(len(made.buckets), 'bucket')}"
    yield f"steps       {length.steps}: {each} ({batches}); batch {batch}"
    plan = [str(train("lr_scheduler") or "constant"), f"warm-up {warmup_steps(made.choices, made.length)}"]
    if train("lr_scheduler_num_cycles"):
        plan.append(many(made.choices.whole("lr_scheduler_num_cycles", 1), "cycle"))
    plan.append(f"samples every {train('sample_every_n_steps') or '-'} steps")
    every = train("save_every_n_epochs") or "-"
    plan.append("a file every epoch" if every == 1 else f"a file every {every} epochs")
    yield f"schedule    {', '.join(plan)}"
    kind = CHOICES[made.structure]
    yield f"structure   {kind.kind}: {kind.title}"
    yield f"            {kind.does}"
    yield f"            {kind.costs}"
    for other in CHOICES.values():
        if other is not kind:
            yield f"            or --structure {other.kind}: {other.title}"
    yield from _memory(made)
    size_of = made.sizes
    yield (
        f"output      {many(size_of['files'], 'LoRA file')} of {size_of['save_bytes'] / 1e6:,.0f} MB, "
        f"{many(size_of['states'], 'state')} of {size_of['state_bytes'] / 1e6:,.0f} MB: "
        f"{size_of['output_bytes'] / _GB:.1f} GB"
    )
    if isinstance(facts.time, UnsetType):
        yield "time        not known: no GPU that the table knows was seen, and no run has finished here"
    else:
        low, high = (_spoken(seconds) for seconds in (facts.time.low, facts.time.high))
        yield f"time        {low} to {high} ({facts.time.source})"
    if written:
        yield f"run folder  {made.run}"
        yield f"next        tagflow train check {shlex.quote(str(made.run))}"
    else:
        why = "there are errors" if made.refused else "--dry-run"
        yield f"run folder  {made.run}: nothing written ({why})"


def _rates(made: Plan) -> Iterator[str]:
    """What learns at which rate, and with which optimizer."""
    train = made.choices.train
    learner = train("optimizer_type") or ("Lion" if train("use_lion_optimizer") else "AdamW")
    yield "AdamW8bit" if train("use_8bit_adam") else str(learner)
    shared = train("learning_rate")
    if not train("network_train_text_encoder_only"):
        yield f"U-Net {train('unet_lr') or shared or 0:g}"
    if not train("network_train_unet_only"):
        rate = train("text_encoder_lr") or shared or 0
        yield f"text encoders {rate[0] if isinstance(rate, list) else rate:g}"


def _images(made: Plan) -> Iterator[str]:
    """What is shown, folder by folder."""
    counts, audit = made.images, "no audit" if made.audit is None else f"audit: {made.audit.meta.verdict}"
    trained = sum(len(part.images.sizes) for part in made.parts if not part.of_class)
    shown = f"{sum(made.buckets.values())} an epoch with repeats"
    shown += f", {counts.of_class} of them regularisation images" if counts.of_class else ""
    shown += f"; {many(counts.held_out, 'image')} held out to validate" if counts.held_out else ""
    yield f"dataset     {many(trained, 'image')}, {shown}; {audit}"
    for part in made.parts if len(made.parts) > 1 else ():
        what = ", ".join(made.triggers.get(part.name, ()))
        if part.of_class:
            what = f"regularisation, {part.class_words!r}" if part.class_words else "regularisation"
        of_it = f"{many(part.images.count, 'image')} x {part.repeats}"
        yield f"            {part.name}: {of_it}" + (f" ({what})" if what else "")
    width, height = made.resolution
    small = f"{counts.upscaled} of {many(trained, 'image')} are smaller and are enlarged"
    yield f"resolution  {width} x {height}" + (f": {small}" if counts.upscaled else "")


def _spoken(seconds: int) -> str:
    """A time in words, as exact as an estimate is."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < _LONG else f"{minutes / 60:.1f} h"


def _memory(made: Plan) -> Iterator[str]:
    taken = made.memory
    there = f"{made.vram.bytes / _GB:.1f} GB ({made.vram.source})"
    yield f"memory      about {taken.peak / _GB:.1f} GB of {there}"
    parts = sorted(((name, size) for name, size in taken.parts.items() if size), key=lambda pair: -pair[1])
    yield "            " + ", ".join(f"{name} {size / _GB:.1f}" for name, size in parts)
    yield "            " + ", ".join(f"{name} {size / _GB:.1f} GB" for name, size in taken.phases.items())
    yield f"            estimated by {SOURCE}"


def _files(shown: dict[str, str]) -> Iterator[str]:
    """The text files as they would be written."""
    for name, text in shown.items():
        if not name.endswith(".json"):
            yield from ("", f"==> {name} <==")
            yield from text.rstrip("\n").split("\n")
