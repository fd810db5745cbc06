"""A plan's values, each with reason and source; open it for presets, and what the text of a --set means.

Which file an option belongs to is here, too. What --set says stands above all else.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tagflow.errors import UsageProblem
from tagflow.findings.wording import nearest
from tagflow.training.run_folder import LeftOut
from tagflow.training.sd_scripts.dataset_config import schema
from tagflow.training.sd_scripts.explained import explained
from tagflow.training.sd_scripts.options import Options, Value, steps

File = Literal["train.toml", "dataset.toml", "launch"]
Pins = dict[tuple[File, str], Value]
BY_USER = "--set"
_YES, _NO, _NONE = ("true", "yes", "on", "1"), ("false", "no", "off", "0"), ("none", "null", "")
_RENAMED = {"batch_size": "train_batch_size", "dataset_repeats": "num_repeats"}
_ELSEWHERE = {
    "pretrained_model_name_or_path": "--base FILE",
    "vae": "--vae FILE",
    "resume": "`tagflow train start RUN --resume`",
    **dict.fromkeys(("output_dir", "logging_dir"), "--out DIR"),
    **dict.fromkeys(("config_file", "dataset_config", "output_config"), "the run folder itself"),
    **dict.fromkeys(
        ("train_data_dir", "in_json", "image_dir", "metadata_file"),
        "dataset.toml, written from the folder that the plan is for",
    ),
    "reg_data_dir": "--reg DIR",
    "conditioning_data_dir": "--masks DIR",
    **dict.fromkeys(("is_reg", "class_tokens"), "--reg DIR, and the names of the folders in it"),
    **dict.fromkeys(("custom_attributes", "dataset_class"), "dataset.toml: write it there by hand"),
}
_COUNTS = frozenset({
    "train_batch_size", "gradient_accumulation_steps", "network_dim", "num_repeats", "max_train_epochs",
    "max_train_steps", "save_every_n_epochs", "save_every_n_steps", "sample_every_n_epochs",
    "sample_every_n_steps", "bucket_reso_steps", "min_bucket_reso", "max_bucket_reso",
})  # fmt: skip
_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A value that a preset wants, and why."""

    value: Value
    reason: str


@dataclass(frozen=True, slots=True)
class Preset:
    """What a kind of run sets. `train`, `dataset`: values by name, for the file that holds them.

    `left_out`: what is not set on purpose, with the reason. `batch`: images for a step of the optimizer;
    `files`: LoRA files that are kept.
    """

    name: str
    title: str
    about: str
    batch: int
    train: Mapping[str, Wanted]
    dataset: Mapping[str, Wanted]
    left_out: Mapping[str, str]
    files: int = 10

    def rate(self, name: str) -> float:
        """A rate of its, a number whether it is a list or not; 0 where it sets none."""
        found = self.train[name].value if name in self.train else 0.0
        first = found[0] if isinstance(found, list) and found else found
        return float(first) if isinstance(first, int | float) else 0.0


@dataclass(frozen=True, slots=True)
class Repeats:
    """The rule by which repeats are chosen where nobody gives them. `most_balanced`: of a small concept."""

    images_per_epoch: int
    most: int
    most_balanced: int
    reason: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """Which presets suit so many images at most (None: any number), the most able one first."""

    images: int | None
    presets: tuple[str, ...]
    reason: str


@cache
def presets() -> Mapping[str, Preset]:
    """Every preset by name, in the order of the data."""
    data = _data()
    shared = data["common"]
    return {
        name: Preset(
            name,
            row["title"],
            " ".join(row["about"].split()),
            row["batch"],
            _wanted(shared["train"], row["train"]),
            _wanted(shared["dataset"], row.get("dataset", {})),
            {**shared["left_out"], **row["left_out"]},
            row.get("files", 10),
        )
        for name, row in data.items()
        if name not in ("repeats", "common", "proposal")
    }


@cache
def repeats_rule() -> Repeats:
    """How repeats are chosen."""
    row = _data()["repeats"]
    return Repeats(
        row["images_per_epoch"], row["most"], row["most_balanced"], " ".join(row["reason"].split())
    )


def proposal(images: int) -> Proposal:
    """What is proposed for so many images where no preset is named."""
    for row in _data()["proposal"]:
        if images <= row.get("images", images):
            return Proposal(row.get("images"), tuple(row["presets"]), " ".join(row["reason"].split()))
    raise AssertionError("the last row of the proposals has no limit")


def preset(name: str) -> Preset:
    """One preset. Raises UsageProblem with the nearest names for one that does not exist."""
    found = presets().get(name)
    if found is None:
        there = f"there are {', '.join(presets())}"
        raise UsageProblem(f"{name!r} is no preset", f"{nearest(name, presets())} {there}".strip())
    return found


def _data() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))


def _wanted(*tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Wanted]:
    rows = {name: row for table in tables for name, row in table.items()}
    return {
        name: Wanted(row["value"], row["reason"] if "reason" in row else explained()[name].reason)
        for name, row in rows.items()
    }


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a plan. `file`: where it goes; `launch` is accelerate's own command line.

    `source`: who decided it, such as `preset sdxl-lora-v3`, `--set`, `the data`, `the GPU`, `the audit`.
    """

    file: File
    name: str
    value: Value
    reason: str
    source: str


@dataclass(slots=True)
class Choices:
    """The values chosen so far, in the order they were chosen in.

    `pinned`: what --set gave, by file and name; None takes an option out of the plan.
    """

    pinned: Mapping[tuple[File, str], Value]
    _by_name: dict[tuple[File, str], Choice] = field(default_factory=dict)
    _left_out: dict[str, LeftOut] = field(default_factory=dict)

    def put(self, file: File, name: str, value: Value, reason: str, source: str) -> None:
        """Choose a value, unless the user did."""
        if (file, name) in self.pinned:
            said = repr(value) if isinstance(value, str) else str(value)
            said = said.lower() if isinstance(value, bool) else said
            self._pin(file, name, f"; the plan had {said}")
        else:
            self._left_out.pop(name, None)
            self._by_name[file, name] = Choice(file, name, value, reason, source)

    def leave_out(self, file: File, name: str, reason: str, source: str) -> None:
        """Choose not to set an option, unless the user sets it."""
        if self.pinned.get((file, name)) is None:
            self._by_name.pop((file, name), None)
            self._left_out[name] = LeftOut(name, reason, source)

    def put_rest(self) -> None:
        """Take up what --set gave and nothing else spoke of."""
        for file, name in self.pinned:
            if (file, name) not in self._by_name and name not in self._left_out:
                self._pin(file, name, "")

    def get(self, file: File, name: str) -> Value:
        """The value that holds: the user's, else the one chosen so far; None for neither."""
        if (file, name) in self.pinned:
            return self.pinned[file, name]
        found = self._by_name.get((file, name))
        return None if found is None else found.value

    def train(self, name: str) -> Value:
        """The value of one of the trainer's options; see `get`."""
        return self.get("train.toml", name)

    def whole(self, name: str, default: int) -> int:
        """A trainer's option that counts something."""
        value = self.train(name)
        return int(value) if isinstance(value, int | float) else default

    def is_pinned(self, name: str) -> bool:
        """Whether the user said something of one of the trainer's options."""
        return ("train.toml", name) in self.pinned

    def holds(self, name: str) -> bool:
        """Whether one of the trainer's options has a value."""
        return self.train(name) is not None

    def of(self, file: File) -> Iterator[Choice]:
        """The values of one file, in order."""
        return (one for one in self._by_name.values() if one.file == file)

    def all(self) -> tuple[Choice, ...]:
        """Every value, in order."""
        return tuple(self._by_name.values())

    def left_out(self) -> tuple[LeftOut, ...]:
        """What is not set on purpose."""
        return tuple(self._left_out.values())

    def _pin(self, file: File, name: str, instead: str) -> None:
        value = self.pinned[file, name]
        if value is None:
            self._by_name.pop((file, name), None)
            self._left_out[name] = LeftOut(name, f"taken out by --set{instead}", BY_USER)
        else:
            self._by_name[file, name] = Choice(file, name, value, f"asked for by --set{instead}", BY_USER)


def parse_settings(texts: Iterable[str], options: Options) -> Pins:
    """The values that `name=value` texts give, by file and name; `none` gives None.

    What sd-scripts takes from its dataset file goes there. Raises UsageProblem: no `name=value`, a name that
    nothing knows (with the nearest), one that has a place of its own, the wrong type, a name given twice.
    """
    pins: Pins = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not equals or not name:
            raise UsageProblem(f"--set {text!r} is no name=value", "for example --set network_dim=64")
        name, types = _RENAMED.get(name, name), schema()["types"]
        if name in _ELSEWHERE:
            raise UsageProblem(f"{name} is not for --set", f"it comes from {_ELSEWHERE[name]}")
        if name not in types and name not in options.by_name:
            known = dict.fromkeys([*options.by_name, *types])
            meant = nearest(name, known, "see `accelerate launch ... --help`")
            raise UsageProblem(f"{name!r} is no option of {options.script}", meant)
        file: File = "dataset.toml" if name in types else "train.toml"
        if (file, name) in pins:
            raise UsageProblem(f"--set gives {name} twice", "give it once")
        try:
            pins[file, name] = _value(name, value.strip(), options, file)
        except ValueError as problem:
            why = f"--set {name}={value.strip()}: {problem}"
            raise UsageProblem(why, "give it a value of its type") from problem
    return pins


def _value(name: str, text: str, options: Options, file: File) -> Value:
    """A text as the value of an option; `none` gives None. Raises ValueError: `it takes ...`."""
    if text.lower() in _NONE:
        return None
    value: Value
    if file == "dataset.toml":
        value = _of_type(schema()["types"][name], text)
    else:
        option = options.by_name[name]
        if option.many:
            parts = text.replace(",", " ").split() if option.type == "float" else shlex.split(text)
            value = [_one(option.type, part) for part in parts]  # type: ignore[assignment]
        else:
            value = _one(option.type, text)
        if why := option.fault(value):
            raise ValueError(f"it {why}")
    if name in _COUNTS and isinstance(value, int) and not 1 <= value <= _MOST:
        raise ValueError(f"it takes a whole number from 1 to {_MOST:,}")
    return value


def _of_type(kind: str, text: str) -> Value:
    """A value of one of the dataset file's types."""
    if kind in ("twodim(float)", "scalar_or_twodim(int)"):
        parts = [float(part) for part in text.lower().replace("x", ",").split(",")]
        if kind == "twodim(float)":
            if len(parts) != 2:
                raise ValueError("it takes two numbers, such as 1.0,1.5")
            return parts
        sizes = [int(part) for part in parts]
        if len(sizes) > 2 or sizes != parts:
            raise ValueError("it takes a whole number of pixels, or width,height")
        return sizes[0] if len(sizes) == 1 else sizes  # type: ignore[return-value]
    return _one({"any(float, int)": "float"}.get(kind, kind), text)


def _one(kind: str, text: str) -> bool | int | float | str:
    if kind == "bool":
        if text.lower() not in (*_YES, *_NO):
            raise ValueError("it takes true or false")
        return text.lower() in _YES
    if kind == "int":
        return _number(int, text, "a whole number")
    if kind == "float":
        return _number(float, text, "a number")
    return steps(text) if kind == "int_or_float" else text


def _number(kind: type[int] | type[float], text: str, spoken: str) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"it takes {spoken}") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"it takes {spoken}")
    return value
