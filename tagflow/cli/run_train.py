"""`tagflow run DIR --train PRESET`; open it for its options, and what is refused before hours of encoding.

Once the captions are certified it plans a training run and starts it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click

from tagflow.audit.file import current_audit
from tagflow.cli import output
from tagflow.cli.options import FOLDER, TrainOptions, stacked
from tagflow.config import Config
from tagflow.errors import FINDINGS, UsageProblem

_SPELLED = {"sets": "set", "detached": "detach"}


@dataclass(frozen=True, kw_only=True)
class AfterOptions(TrainOptions):
    """What is to be trained after a run. `preset`: None: nothing is."""

    preset: str | None = None
    run_folder: Path | None = None
    detached: bool = False


_hidden = partial(click.option, hidden=True)
"""An option of `tagflow train plan` or `train start`, taken here, too, and explained there."""

train_options = stacked(
    click.option("--train", "preset", metavar="PRESET",
                 help="Where the run passes: plan a training run, check it, start it. The options of "
                      "`tagflow train plan` and `train start` may be given here, too."),
    click.option("--base", type=FOLDER, metavar="FILE", help="With --train: the checkpoint to train on. "
                 "Default: that of --encoders, else of tagflow.toml."),
    click.option("--vae", type=FOLDER, metavar="FILE", help="With --train: not the checkpoint's own."),
    click.option("--set", "sets", multiple=True, metavar="NAME=VALUE",
                 help="With --train: any option of sd-scripts; may be given several times."),
    _hidden("--structure", type=click.Choice(["none", "separator", "groups"]), default="none"),
    _hidden("--vram", metavar="SIZE"),
    _hidden("--epochs", type=click.IntRange(1), metavar="N"),
    _hidden("--repeats", type=click.IntRange(1), metavar="N"),
    _hidden("--resolution", type=click.IntRange(64), metavar="PIXELS"),
    _hidden("--sd-scripts", type=FOLDER, metavar="DIR"),
    _hidden("--trainer-python", type=FOLDER, metavar="FILE"),
    _hidden("--run-folder", type=FOLDER, metavar="RUN"),
    _hidden("--detach", "detached", is_flag=True),
)  # fmt: skip


def ready(asked: AfterOptions, config: Config, encoders: str | None) -> None:
    """Refuse at once what else hours of encoding would come before. `encoders`: as the user named them.

    Raises UsageProblem, TrainerError, EncoderError for a base model that is none.
    """
    if asked.preset is None:  # options of a training that nobody asked for
        given = [one.name for one in fields(AfterOptions) if getattr(asked, one.name) != one.default]
        if given:
            option = _SPELLED.get(given[0], given[0]).replace("_", "-")
            raise UsageProblem(f"--{option} is for a training, and none was asked for", "add --train PRESET")
        return
    from tagflow.cli.boundary import TRAIN_EXTRA, not_installed
    from tagflow.cli.train_plan import base_named
    from tagflow.training.plan.choices import parse_settings, preset
    from tagflow.training.plan.decide import base_of
    from tagflow.training.plan.memory import vram_bytes
    from tagflow.training.sd_scripts.environment import find_sd_scripts, trainer_python
    from tagflow.training.sd_scripts.options import known_options

    for module in TRAIN_EXTRA:
        if find_spec(module) is None:
            raise not_installed(module)
    preset(asked.preset)
    parse_settings(asked.sets, known_options())
    if asked.vram is not None:
        vram_bytes(asked.vram)
    base_of(base_named(config, _base(asked, encoders)))
    folder = find_sd_scripts(asked.sd_scripts)
    trainer_python(asked.trainer_python, folder)


def _base(asked: AfterOptions, encoders: str | None) -> Path | None:
    """The checkpoint as this command names it; the one that certifies, where it is a file, trains as well."""
    if asked.base is not None or not encoders:
        return asked.base
    return Path(encoders) if Path(encoders).is_file() else None


def train_after(
    code: int, folder: Path, config: Config, asked: AfterOptions, encoders: str | None, *, as_json: bool
) -> int:
    """Plan and start, if a run certified its folder (`code` is its exit code); else exit 1, and no plan."""
    if asked.preset is None:
        return code
    audit = current_audit(folder)
    if code or audit is None or audit.meta.verdict != "pass":
        certified = audit is not None and audit.meta.verdict == "pass"
        why = "is certified, but has errors" if certified else "is not certified"
        output.note(f"{folder} {why}: nothing is planned, nothing trained")
        return code or FINDINGS
    from tagflow.cli.train_begin import begin_one
    from tagflow.cli.train_plan import PlanOptions, planned
    from tagflow.encoders.load import release
    from tagflow.training.plan.plan import run_folder
    from tagflow.training.start.prepare import StartRequest

    release()  # the plan asks for the memory that is free, and the trainer wants it
    run = run_folder(folder.resolve(), asked.run_folder, asked.preset)
    wanted = {one.name: getattr(asked, one.name) for one in fields(TrainOptions)}
    wanted |= {"base": _base(asked, encoders), "out": run, "as_json": as_json, "config_file": config.file}
    code = planned(PlanOptions(folder=folder, preset=asked.preset, **wanted))
    if code:
        return code
    wish = StartRequest(asked.sd_scripts, asked.trainer_python)
    return begin_one(run, wish, detached=asked.detached, as_json=as_json)
