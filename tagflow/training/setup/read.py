"""A run folder, a TOML file or a command line read into a `Setup`; open it for a value that arrives wrong.

The files behind the settings are read here, too: images, captions, caches and the checkpoint. Which of those
sd-scripts sees is in :mod:`tagflow.training.sd_scripts.files`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tagflow.errors import EncoderError
from tagflow.files.image import look_at
from tagflow.files.safetensors import read_whole_header
from tagflow.findings.finding import Finding, finding
from tagflow.models.prediction import prediction
from tagflow.progress import Progress, silent
from tagflow.training.run_folder import TRAIN, check_run
from tagflow.training.sd_scripts import dataset_config, files
from tagflow.training.sd_scripts.command import Command, read_command
from tagflow.training.sd_scripts.dataset_config import Subset
from tagflow.training.sd_scripts.front_ends import faults_of_keys, is_easy_layout
from tagflow.training.sd_scripts.launch import with_config
from tagflow.training.sd_scripts.options import Options, Value, flat, known_options
from tagflow.training.sd_scripts.settings_file import SINGLE, read_settings
from tagflow.training.sd_scripts.shell import read_typed
from tagflow.training.setup.setup import Images, Setup

_TEXTS = (".txt", files.DEFAULT_CAPTION)
_LARGEST_CAPTION = 256 * 1024  # bytes; tagflow certifies no larger one
# What the command line refuses and a file may say; files of kohya_ss' window have all of these. 75 tokens are
# read without the option, too; without torch_compile no backend is; a bare rate counts as a list of one; SDXL
# reads no clip_skip, so that it may be a text.
_AS_NOTHING, _LONE = (("max_token_length", 75), ("dynamo_backend", "no")), ("text_encoder_lr",)
# An escape in double quotes that stands in a path by mistake: "C:\train\new" holds a tab and a line's end.
_ESCAPED = {"\t": r"\t", "\n": r"\n", "\r": r"\r", "\b": r"\b", "\f": r"\f"}
_PATHS = re.compile(
    r"(?:.*_dir|.*_file|.*_config|.*_weights|pretrained_model_name_or_path|vae|resume|in_json)"
)
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
    data, _ = read_settings(file, "config-unreadable")
    return data is not None and bool(data) and data.keys() <= {"general", "datasets"}


def setup_of_command(words: Sequence[str], folder: Path, *, options: Options | None = None) -> Setup:
    """The setup of a foreign command line that would be typed in `folder`, word by word."""
    options = options or known_options()
    return _setup(read_command(words, options), folder, options)


def setup_of_typed(text: str, folder: Path, *, options: Options | None = None) -> Setup:
    """The setup of a command as it is typed into a shell. Raises ValueError where a quote stays open."""
    options = options or known_options()
    typed = read_typed(text, options.script)
    command = read_command(typed.words, options)
    there = folder / typed.folder if typed.folder and (folder / typed.folder).is_dir() else folder
    return _setup(replace(command, faults=[*typed.faults, *command.faults]), there, options)


def _setup(command: Command, folder: Path, options: Options) -> Setup:
    faults = list(command.faults)
    named, config = command.given.get("config_file"), None
    if isinstance(named, str) and named:
        config = folder / (named if named.endswith(".toml") else named + ".toml")
    from_file, front_end, found = _config(config, options)
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
    launch, script = with_config(command.launch, folder), command.script or options.script
    setup = Setup(script, options, values, given, folder, front_end=front_end, launch=launch)
    named_dataset = setup.path("dataset_config")
    if named_dataset is None:
        return replace(setup, subsets=tuple(_of_folders(setup)), faults=tuple(faults))
    subsets, found = _of_dataset(named_dataset, setup)
    return replace(setup, subsets=subsets, faults=(*faults, *found))


def _config(file: Path | None, options: Options) -> tuple[dict[str, Value], dict[str, object], list[Finding]]:
    """The values of a `--config_file`, those of a front end's own keys, and what is wrong with it.

    Tables in it mean nothing to sd-scripts.
    """
    if file is None:
        return {}, {}, []
    named = file.with_name(file.name.removesuffix(".toml"))
    if not file.exists() and named.suffix.lower() == ".toml" and named.exists():
        what = f"{named.name}: sd-scripts looks for {file.name}"
        return (
            {},
            {},
            [finding("config-unreadable", what, cure="let its name end in .toml, in small letters")],
        )
    data, faults = read_settings(file, "config-unreadable")
    if data is None:
        return {}, {}, faults
    if is_easy_layout(data):
        return {}, {}, [finding("config-other-layout", file.name)]
    values: dict[str, Value] = {}
    found = flat(data)
    unknown = [name for name in found if name not in options.by_name]
    faults += [replace(one, detail=f"{file.name}: {one.detail}") for one in faults_of_keys(unknown, options)]
    for name, value in found.items():
        option = options.by_name.get(name)
        if option is None or (name, value) in _AS_NOTHING:
            continue
        if name in _LONE and isinstance(value, int | float) and not isinstance(value, bool):
            value = [value]
        if name == "clip_skip" and isinstance(value, str) and value.isdecimal():
            value = int(value)
        held = _ESCAPED.keys() & set(value) if isinstance(value, str) and _PATHS.fullmatch(name) else set()
        if held:
            said = " and ".join(sorted(_ESCAPED[one] for one in held))
            what = f"{file.name}: {name} holds {said}, which is no part of a path"
            faults.append(finding("config-value", what, option=name, cure=SINGLE))
        elif why := option.fault(value):
            faults.append(finding("config-value", f"{file.name}: {name} {why}", option=name))
        else:
            values[name] = bool(value) if option.type == "bool" else value
    return values, {name: found[name] for name in unknown}, faults


def _of_dataset(file: Path, setup: Setup) -> tuple[tuple[Subset, ...] | None, list[Finding]]:
    """The subsets of a dataset file, or what is wrong with it."""
    data, found = read_settings(file, "dataset-unreadable", json_too=True)
    if data is None:
        return None, found
    faults = dataset_config.faults(data, masked_loss=setup.on("masked_loss"))
    if faults:
        return None, [*found, *(replace(one, detail=f"{file.name}: {one.detail}") for one in faults)]
    return dataset_config.subsets(data, setup.values, setup.given, setup.folder, file.name), found


def _of_folders(setup: Setup) -> list[Subset]:
    """The subsets that sd-scripts makes of `--train_data_dir` (its `N_name` folders) or `--in_json`."""
    if setup.text("in_json"):
        described = {"metadata_file": setup.text("in_json"), "image_dir": setup.text("train_data_dir")}
        return _from({"datasets": [{"subsets": [described]}]}, setup, "--in_json")
    found: list[Subset] = []
    for option, is_reg in (("train_data_dir", False), ("reg_data_dir", True)):
        root = setup.path(option)
        for folder in sorted(root.iterdir()) if root is not None and root.is_dir() else ():
            count = files.repeats(folder.name) or 0
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


def with_files(setup: Setup, progress: Progress = silent) -> Setup:
    """The setup with what lies in its folders and what its checkpoint says of itself.

    Which images the trainer reads hangs on `setup.machine`, so ask for that first, if at all.
    `progress` is told the subsets looked at, and all of them.
    """
    found = None
    if setup.subsets is not None:
        looked_at = []
        plugins = None if setup.machine is None else setup.machine.plugins
        for done, subset in enumerate(setup.subsets):
            progress(done, len(setup.subsets))
            looked_at.append(images(subset, plugins))
        found = tuple(looked_at)
    base, checkpoint = None, setup.path("pretrained_model_name_or_path")
    if checkpoint is not None and checkpoint.is_file():
        with suppress(EncoderError):  # a rule says what is wrong with it
            header = read_whole_header(checkpoint)
            base = prediction(header.entries, header.metadata)
    return replace(setup, images=found, base=base)


def images(subset: Subset, plugins: files.Plugins = None) -> Images:
    """What lies in a subset's folder; nothing where there is no such folder.

    `plugins`: the suffixes that the trainer's Python can read beside the usual ones; None: nobody asked it.
    """
    folder = subset.folder
    names = sorted(file.name for file in folder.iterdir()) if folder and folder.is_dir() else []
    if folder is None or not names:
        return Images({}, (), frozenset(), (), (), {})
    extension = str(subset.values.get("caption_extension") or files.DEFAULT_CAPTION)
    pictures = [name for name in names if files.is_image(name, plugins)]
    looks = {name: look_at(folder / name) for name in pictures}
    captions = {name: found for name in pictures if (found := files.caption_of(folder / name, extension))}
    texts = {name: _text(file) for name, file in captions.items()}
    here = {file.name for file in captions.values() if file.parent == folder}
    sound = {name: look.size for name, look in looks.items() if not look.fault}
    stems = {files.split_name(name)[0] for name in pictures}
    beside = Counter(files.split_name(name)[1] for name in names if files.split_name(name)[0] in stems)
    return Images(
        sizes={name: size for name, size in sound.items() if size is not None},
        unreadable=tuple(name for name in pictures if name not in sound),
        unsized=tuple(name for name, size in sound.items() if size is None),
        captioned=frozenset(captions),
        caches=tuple(name for name in names if name.endswith(files.ANY_CACHE) or name == files.FOLDER_CACHE),
        stale=tuple(files.stale_caches(folder, names, here)),
        texts={name: text for name, text in texts.items() if isinstance(text, str)},
        unusable={name: why[0] for name, why in texts.items() if isinstance(why, tuple)},
        other_captions={one: beside[one] for one in _TEXTS if beside[one] and one != extension},
        overlooked=files.overlooked(names, extension, plugins),
    )


def _text(file: Path) -> str | tuple[str]:
    """A caption's text, or in a tuple why the trainer stops at it."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_LARGEST_CAPTION)
    except OSError as problem:
        return (problem.strerror or "unreadable",)
    if not data:
        return ("empty",)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return ("not UTF-8",)
