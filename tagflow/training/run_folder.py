"""A run folder's file names, and plan.json; open it to read, add or change a field of a plan.

dataset.toml  train.toml  prompts.txt  plan.json     what `train plan` writes
data/                                                images and rendered captions, where structure needs them
output/  logs/                                       LoRA files, states and samples; TensorBoard events
run.json  trainer.log                                what `train start` writes

plan.json, run.json and data/rendered.json are read by :func:`from_json` and written by :func:`to_json`, each
from one frozen type. Keys that the type does not have are left out: a later tagflow of the same schema number
may have added them. Of the three only run.json is ever written again from what was read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType, convert, to_builtins

from tagflow.errors import TrainerError
from tagflow.files.read import refuse_nul, settings_text

DATASET, TRAIN, PROMPTS, PLAN = "dataset.toml", "train.toml", "prompts.txt", "plan.json"
DATA, OUTPUT, LOGS = "data", "output", "logs"
RECORD, LOG = "run.json", "trainer.log"
PLAN_SCHEMA, RECORD_SCHEMA = "tagflow.plan/1", "tagflow.training/1"

Written = bool | int | float | str | Sequence[bool | int | float | str] | None
"""A value of train.toml or dataset.toml as JSON has it."""

_LARGEST = 4 * 1024 * 1024  # bytes; no plan is larger


def is_run(folder: Path) -> bool:
    """Whether a folder holds a plan."""
    return (folder / PLAN).is_file()


def check_run(run: Path) -> None:
    """Raises TrainerError for a folder without a plan."""
    if not is_run(run):
        raise TrainerError(
            f"{run}: no run folder, it has no {PLAN}", "make one with `tagflow train plan DIR`"
        )


@dataclass(frozen=True, slots=True)
class PlannedDataset:
    """What is trained on. `root`: the dataset's folder; `run`, `verdict`, `dataset_digest`: of its audit."""

    root: Path
    audit: Path | None = None
    run: str | None = None
    verdict: str | None = None
    dataset_digest: str | None = None
    captions: int = 0
    images: int = 0


@dataclass(frozen=True, slots=True)
class OfferedStructure:
    """A structure that could have been chosen, told: what it does, what it costs, when to use it."""

    title: str
    does: str
    costs: str
    use: str


@dataclass(frozen=True, slots=True)
class PlannedStructure:
    """What stays of the captions' order. `kind`: none, separator or groups.

    Of rendered captions only: `leading`, the categories in front; `captions`, how many captions are what
    (codes of `arrange.REASONS`).
    """

    kind: str = "none"
    separator: str = ""
    secondary_separator: str = ""
    offered: dict[str, OfferedStructure] = field(default_factory=dict)
    leading: tuple[str, ...] | UnsetType = UNSET
    captions: dict[str, int] | UnsetType = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedValue:
    """One value with its reason. `file`: train.toml, dataset.toml, or `launch`, accelerate's command line.

    `source`: who decided it, such as `preset sdxl-lora-v3`, `--set`, `the data`, `the GPU`, `the audit`.
    """

    file: str = TRAIN
    name: str
    value: Written
    reason: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An option that people look for and that is not set, with the reason."""

    name: str
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The counts that a run's length follows from; 0 where the plan does not say.

    `steps`, `steps_per_epoch`, `warmup_steps`: of the optimizer. `buckets`: images by `WIDTHxHEIGHT`;
    `upscaled`: those of the concepts that are smaller than their bucket. `of_class`: regularisation images
    that an epoch shows; `held_out`: images that are kept back to validate. `parameters`: trained numbers.
    `files`, `states`: how many LoRA files and states are there in the end, of `save_bytes` and `state_bytes`
    each.
    """

    images: int = 0
    images_with_repeats: int = 0
    upscaled: int | UnsetType = UNSET
    of_class: int | UnsetType = UNSET
    held_out: int | UnsetType = UNSET
    repeats: tuple[int, ...] = ()
    buckets: dict[str, int] = field(default_factory=dict)
    batch: int = 1
    accumulation: int = 1
    batches_per_epoch: int = 0
    steps_per_epoch: int = 0
    epochs: int = 0
    steps: int = 0
    warmup_steps: int | None = None
    parameters: int = 0
    save_bytes: int = 0
    files: int = 0
    state_bytes: int = 0
    states: int = 0
    output_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PlannedMemory:
    """The GPU's memory in bytes: what there is and who says so (`known`: False where it is assumed), and what
    the run takes at most; `parts` of a training step, `phases` with a margin."""

    available: int = 0
    source: str = ""
    known: bool = False
    estimate: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    phases: dict[str, int] = field(default_factory=dict)
    estimate_source: str = ""


@dataclass(frozen=True, slots=True)
class PlannedFolder:
    """One subset. `name`: below the dataset; `of_class`: regularisation images, `class_words`: what is
    trained with those without a caption; `triggers`: what its concept is called by; `masks`: their folder."""

    name: str
    path: Path
    images: int = 0
    repeats: int = 1
    triggers: tuple[str, ...] = ()
    of_class: bool = False
    class_words: str = ""
    masks: Path | None = None


@dataclass(frozen=True, slots=True)
class PlannedTime:
    """How long the run takes, from `low` to `high` seconds, and what says so."""

    low: int
    high: int
    source: str


@dataclass(frozen=True, slots=True)
class PlannedBase:
    """The checkpoint that is trained on. `size`: its bytes; None for a folder."""

    path: Path
    size: int | None = None
    prediction: str = "unknown"
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedNote:
    """Something that the plan had to tell when it was made."""

    code: str
    severity: str
    text: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What plan.json holds. Whatever is missing has its default: plans are also written by hand.

    `proposed`: why the preset was taken where none was named. `regularisation`: images of the class outside
    of the dataset, with the audit of their captions. What is UNSET an earlier tagflow did not say.
    """

    schema: str = PLAN_SCHEMA
    tagflow: str = ""
    created: str = ""
    preset: str | None = None
    proposed: str | UnsetType = UNSET
    run: Path | None = None
    dataset: PlannedDataset | None = None
    regularisation: PlannedDataset | UnsetType = UNSET
    folders: tuple[PlannedFolder, ...] | UnsetType = UNSET
    structure: PlannedStructure = PlannedStructure()
    values: tuple[PlannedValue, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    arithmetic: Arithmetic = Arithmetic()
    memory: PlannedMemory = PlannedMemory()
    time: PlannedTime | UnsetType = UNSET
    sd_scripts: Path | None = None
    trainer_python: Path | None = None
    base: PlannedBase | None = None
    notes: tuple[PlannedNote, ...] = ()

    def value(self, file: str, name: str) -> Written:
        """What the plan puts into a file under this name; None where it puts nothing."""
        found = (one.value for one in self.values if (one.file, one.name) == (file, name))
        return next(found, None)


def read_plan(run: Path) -> PlanFile:
    """The plan of a run folder. Raises TrainerError where there is none, it is damaged, or a newer one's."""
    check_run(run)
    cure = "make the plan again: `tagflow train plan`"
    try:
        text = settings_text(run / PLAN, _LARGEST)
    except (OSError, ValueError) as problem:
        raise TrainerError(f"{run / PLAN}: {problem}", cure) from problem
    return from_json(text, PlanFile, PLAN_SCHEMA, run / PLAN, cure)


T = TypeVar("T")


def from_json(text: str | bytes, kind: type[T], schema: str, file: object, cure: str) -> T:
    """A text of JSON as `kind`, a frozen dataclass; a key that it does not have is left out.

    `file`: what a message calls the text; `schema`: `NAME/NUMBER`, or none is said in the text. Raises
    TrainerError with the `cure` for what is damaged, and another for a higher number of the schema.
    """
    try:
        data = json.loads(text)
        refuse_nul(data)
        said = data.get("schema", schema) if isinstance(data, dict) else schema
        name, _, number = str(said).rpartition("/")
        known, _, least = schema.rpartition("/")
        if name == known and number.isdecimal() and int(number) > int(least):
            raise TrainerError(f"{file}: {said}, of a newer tagflow", "use that tagflow, or a newer one")
        if said != schema:
            raise ValueError(f"its schema is not {schema}")
        return convert(data, kind, dec_hook=_path)
    except (ValueError, RecursionError) as problem:
        raise TrainerError(f"{file}: damaged, or not by tagflow ({problem})", cure) from problem


def _path(kind: type, value: object) -> Path:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"a path is {value!r}")


def to_object(value: object) -> Any:
    """A frozen dataclass as JSON's own types, paths as texts; what is UNSET is left out."""
    return to_builtins(value, enc_hook=str)


def to_json(value: object) -> str:
    """The text of one of tagflow's files. A path that is no UTF-8 is still in it as Python has it."""
    return json.dumps(to_object(value), ensure_ascii=False, indent=1) + "\n"
