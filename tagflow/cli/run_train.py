"""`tagflow run DIR --train PRESET`: once the captions are certified, plan a training run and start it."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from tagflow.audit.file import current_audit
from tagflow.cli import output
from tagflow.cli.options import FOLDER, stacked
from tagflow.config import Config, load_config
from tagflow.errors import FINDINGS, UsageProblem

_PLAN = ("base", "vae", "structure", "vram", "epochs", "repeats", "resolution", "sets", "sd_scripts",
         "trainer_python")  # fmt: skip
_SPELLED = {"sets": "set", "detached": "detach"}

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


def ready(given: dict[str, Any]) -> None:
    """Refuse at once what else hours of encoding would come before.

    Raises UsageProblem, TrainerError, EncoderError for a base model that is none.
    """
    if given["preset"] is None:
        _refuse_alone(given)
        return
    if given["out"] or given["dry_run"]:
        raise UsageProblem(
            "--train needs the captions certified in their place", "leave out --out and --dry-run"
        )
    from tagflow.cli.boundary import TRAIN_EXTRA, not_installed
    from tagflow.cli.train_plan import base_named
    from tagflow.training.plan.choices import parse_settings
    from tagflow.training.plan.decide import base_of
    from tagflow.training.plan.memory import vram_bytes
    from tagflow.training.plan.presets import preset
    from tagflow.training.sd_scripts.environment import find_sd_scripts, trainer_python
    from tagflow.training.sd_scripts.options import known_options

    for module in TRAIN_EXTRA:
        if find_spec(module) is None:
            raise not_installed(module)
    preset(given["preset"])
    parse_settings(given["sets"], known_options())
    if given["vram"] is not None:
        vram_bytes(given["vram"])
    place = click.get_current_context().params.get("folder")
    base_of(base_named(load_config(given["config_file"], place), _base(given)))
    folder = find_sd_scripts(given["sd_scripts"])
    trainer_python(given["trainer_python"], folder)


def _refuse_alone(given: dict[str, Any]) -> None:
    """Options of a training that nobody asked for. Raises UsageProblem."""
    named = [name for name in (*_PLAN, "run_folder", "detached") if given[name] not in (None, (), False)]
    if alone := [name for name in named if (name, given[name]) != ("structure", "none")]:
        option = _SPELLED.get(alone[0], alone[0]).replace("_", "-")
        raise UsageProblem(f"--{option} is for a training, and none was asked for", "add --train PRESET")


def _base(given: dict[str, Any]) -> Path | None:
    """The checkpoint as this command names it; the one that certifies, where it is a file, trains as well."""
    if given["base"] is not None or not given["encoders"]:
        return given["base"]  # type: ignore[no-any-return]
    encoders = Path(given["encoders"])
    return encoders if encoders.is_file() else None


def train_after(code: int, folder: Path, config: Config, given: dict[str, Any]) -> int:
    """Plan and start, if a run certified its folder (`code` is its exit code); else exit 1, and no plan."""
    if given["preset"] is None:
        return code
    audit = current_audit(folder)
    if code or audit is None or audit.meta.verdict != "pass":
        output.note(f"{folder} is not certified: nothing is planned, nothing trained")
        return code or FINDINGS
    from tagflow.cli.train_plan import PlanOptions, planned
    from tagflow.cli.train_start import begin
    from tagflow.encoders.load import release
    from tagflow.training.plan.plan import run_folder
    from tagflow.training.start.prepare import StartRequest

    release()  # the plan asks for the memory that is free, and the trainer wants it
    run = run_folder(folder.resolve(), given["run_folder"], given["preset"])
    asked = {name: given[name] for name in _PLAN} | {"base": _base(given)}
    code = planned(
        PlanOptions(
            folder=folder,
            preset=given["preset"],
            out=run,
            as_json=given["as_json"],
            config_file=config.file,
            **asked,
        )
    )
    if code:
        return code
    wish = StartRequest(given["sd_scripts"], given["trainer_python"])
    return begin(run, wish, detached=given["detached"], as_json=given["as_json"])
