"""From a run folder, a TOML file or a command line to a :class:`Setup`, which the rules look at.

Open it for how settings reach the trainer. Of the dataset no file is read here; look.py adds those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tagflow.files.read import read_toml, settings_text
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import misspelt
from tagflow.training.run_folder import TRAIN, check_run
from tagflow.training.sd_scripts import dataset_config
from tagflow.training.sd_scripts.command import Command, read_command
from tagflow.training.sd_scripts.dataset_config import Subset
from tagflow.training.sd_scripts.files import repeats
from tagflow.training.sd_scripts.options import Options, Value, flat, known_options
from tagflow.training.setup.setup import Setup

_LARGEST = 4 * 1024 * 1024  # bytes; no settings are larger
# What the command line refuses and a file may say; files of kohya_ss' window have all three. 75 tokens are
# read without the option, too; without torch_compile no backend is; a bare rate counts as a list of one.
_AS_NOTHING, _LONE = (("max_token_length", 75), ("dynamo_backend", "no")), ("text_encoder_lr",)
_READ_FROM_FILES = ("config_file", "dataset_config")


def setup_of_run(run: Path, *, options: Options | None = None) -> Setup:
    """The setup of a run folder. Raises TrainerError where it is none."""
    check_run(run)
    setup = setup_of_toml(run / TRAIN, options=options, folder=run)
    return replace(setup, planned=True)


def setup_of_toml(
    train: Path, dataset: Path | None = None, *, options: Options | None = None, folder: Path | None = None
) -> Setup:
    """The setup of a file for `--config_file`, and of a dataset file where it names none itself.

    `folder`: what relative paths in it are relative to; the current one as a rule, as for sd-scripts.
    """
    options = options or known_options()
    given: dict[str, Value] = {"config_file": str(train.absolute())}
    if dataset is not None:
        given["dataset_config"] = str(dataset.absolute())
    return _setup(Command(options.script, given), folder or Path.cwd(), options)


def is_dataset(file: Path) -> bool:
    """Whether a TOML file is one for `--dataset_config`, which holds nothing but these two."""
    data, _ = _toml(file, "config-unreadable")
    return data is not None and bool(data) and data.keys() <= {"general", "datasets"}


def setup_of_command(words: Sequence[str], folder: Path, *, options: Options | None = None) -> Setup:
    """The setup of a foreign command line that would be typed in `folder`."""
    options = options or known_options()
    return _setup(read_command(words, options), folder, options)


def _setup(command: Command, folder: Path, options: Options) -> Setup:
    faults = list(command.faults)
    config = _config_file(command.given.get("config_file"), folder)
    from_file, found = _config(config, options)
    faults += found
    values = options.defaults() | from_file | command.given
    wrong = [fault.option for fault in found if fault.code == "config-value"]  # said, though of no use
    given = dict.fromkeys([*from_file, *wrong], config.name if config else "") | dict.fromkeys(
        command.given, "command line"
    )
    if values.get("caption_extention") is not None:  # sd-scripts lets the misspelling win
        values["caption_extension"] = values["caption_extention"]
        given["caption_extension"] = given["caption_extention"]
    given = {key: where for key, where in given.items() if key not in _READ_FROM_FILES}
    setup = Setup(command.script or options.script, options, values, given, folder)
    subsets, found = _subsets(setup)
    return replace(setup, subsets=subsets, faults=(*faults, *found))


def _config_file(named: Value, folder: Path) -> Path | None:
    if not isinstance(named, str) or not named:
        return None
    return folder / (named if named.endswith(".toml") else named + ".toml")


def _config(file: Path | None, options: Options) -> tuple[dict[str, Value], list[Finding]]:
    """The values of a `--config_file`, and what is wrong with it. Tables in it mean nothing to sd-scripts."""
    if file is None:
        return {}, []
    data, fault = _toml(file, "config-unreadable")
    if data is None:
        return {}, [fault] if fault else []
    values: dict[str, Value] = {}
    faults: list[Finding] = []
    for name, value in flat(data).items():
        option = options.by_name.get(name)
        if (name, value) in _AS_NOTHING:
            continue
        if name in _LONE and isinstance(value, int | float) and not isinstance(value, bool):
            value = [value]
        if option is None:
            detail = f"{file.name}: {misspelt(name, options.by_name)}"
            faults.append(finding("config-key-unknown", detail, option=name))
        elif why := option.fault(value):
            faults.append(finding("config-value", f"{file.name}: {name} {why}", option=name))
        else:
            values[name] = value
    return values, faults


def _subsets(setup: Setup) -> tuple[tuple[Subset, ...] | None, list[Finding]]:
    named = setup.path("dataset_config")
    if named is None:
        return tuple(_of_folders(setup)), []
    data, fault = _toml(named, "dataset-unreadable")
    if data is None:
        return None, [fault] if fault else []
    faults = dataset_config.faults(data, masked_loss=setup.on("masked_loss"))
    if faults:
        return None, [replace(one, detail=f"{named.name}: {one.detail}") for one in faults]
    return dataset_config.subsets(data, setup.values, setup.given, setup.folder, named.name), []


def _of_folders(setup: Setup) -> list[Subset]:
    """The subsets that sd-scripts makes of `--train_data_dir` (its `N_name` folders) or `--in_json`."""
    if setup.text("in_json"):
        described = {"metadata_file": setup.text("in_json"), "image_dir": setup.text("train_data_dir")}
        return _from({"datasets": [{"subsets": [described]}]}, setup, "--in_json")
    found: list[Subset] = []
    for option, is_reg in (("train_data_dir", False), ("reg_data_dir", True)):
        root = setup.path(option)
        for folder in sorted(root.iterdir()) if root is not None and root.is_dir() else ():
            count = repeats(folder.name) or 0
            if folder.is_dir() and count > 0:
                subset: dict[str, Value] = {
                    "image_dir": str(folder),
                    "num_repeats": count,
                    "is_reg": is_reg,
                    "class_tokens": folder.name.partition("_")[2],
                }
                doc = {"datasets": [{"subsets": [subset]}]}
                found += _from(doc, setup, f"--{option}: {folder.name}")
    return found


def _from(doc: Mapping[str, Any], setup: Setup, where: str) -> list[Subset]:
    made = dataset_config.subsets(doc, setup.values, setup.given, setup.folder, where)
    return [replace(one, where=where) for one in made]


def _toml(file: Path, code: str) -> tuple[dict[str, Any] | None, Finding | None]:
    try:
        return read_toml(settings_text(file, _LARGEST)), None
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
        return None, finding(code, f"{file}: {reason}")
