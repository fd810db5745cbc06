"""`--set name=value`: which file an option belongs to, and what its text means."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from difflib import get_close_matches

from tagflow.errors import UsageProblem
from tagflow.training.choices import File
from tagflow.training.dataset_config import schema
from tagflow.training.options import Option, Options, Value, steps

Pins = dict[tuple[File, str], Value]
_YES, _NO, _NONE = ("true", "yes", "on", "1"), ("false", "no", "off", "0"), ("none", "null", "")
_RENAMED = {"batch_size": "train_batch_size", "dataset_repeats": "num_repeats"}
_ELSEWHERE = {
    "pretrained_model_name_or_path": "--base FILE",
    "vae": "--vae FILE",
    "resume": "`tagflow train start RUN --resume`",
    **dict.fromkeys(("output_dir", "logging_dir"), "--out DIR"),
    **dict.fromkeys(("config_file", "dataset_config", "output_config"), "the run folder itself"),
    **dict.fromkeys(
        ("train_data_dir", "reg_data_dir", "in_json", "image_dir", "metadata_file", "conditioning_data_dir"),
        "dataset.toml, written from the folder that the plan is for",
    ),
    **dict.fromkeys(("is_reg", "custom_attributes", "dataset_class"), "dataset.toml: write it there by hand"),
}
_COUNTS = frozenset({
    "train_batch_size", "gradient_accumulation_steps", "network_dim", "num_repeats", "max_train_epochs",
    "max_train_steps", "save_every_n_epochs", "save_every_n_steps", "sample_every_n_epochs",
    "sample_every_n_steps", "bucket_reso_steps", "min_bucket_reso", "max_bucket_reso",
})  # fmt: skip
_MOST = 10_000_000


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
        name = _RENAMED.get(name, name)
        _refuse(name, options)
        file: File = "dataset.toml" if _of_dataset(name) else "train.toml"
        if (file, name) in pins:
            raise UsageProblem(f"--set gives {name} twice", "give it once")
        pins[file, name] = _value(name, value.strip(), options, file)
    return pins


def _of_dataset(name: str) -> bool:
    return name in schema()["types"]


def _refuse(name: str, options: Options) -> None:
    if name in _ELSEWHERE:
        raise UsageProblem(f"{name} is not for --set", f"it comes from {_ELSEWHERE[name]}")
    if _of_dataset(name) or name in options.by_name:
        return
    near = get_close_matches(name, [*options.by_name, *schema()["types"]], n=3, cutoff=0.6)
    meant = (
        f"did you mean {', '.join(dict.fromkeys(near))}?" if near else "see `accelerate launch ... --help`"
    )
    raise UsageProblem(f"{name!r} is no option of {options.script}", meant)


def _value(name: str, text: str, options: Options, file: File) -> Value:
    if text.lower() in _NONE:
        return None
    try:
        if file == "dataset.toml":
            value = _of_type(schema()["types"][name], text)
        else:
            value = _of_option(options.by_name[name], text)
        if name in _COUNTS and isinstance(value, int) and not 1 <= value <= _MOST:
            raise ValueError(f"it takes a whole number from 1 to {_MOST:,}")
        return value
    except ValueError as problem:
        raise UsageProblem(f"--set {name}={text}: {problem}", "give it a value of its type") from problem


def _of_option(option: Option, text: str) -> Value:
    value: Value
    if option.many:
        parts = text.replace(",", " ").split() if option.type == "float" else shlex.split(text)
        value = [_one(option.type, part) for part in parts]  # type: ignore[assignment]
    else:
        value = _one(option.type, text)
    if why := option.fault(value):
        raise ValueError(f"it {why}")
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
