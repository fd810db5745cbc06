"""The settings file `tagflow.toml`, read and checked; open it to add a setting, or for the range of one.

    dir = "dataset"              # for commands that are given no folder
    caption_extension = ".txt"   # captions are the files with this suffix
    encoders = "sd_xl_base.safetensors"
    ontology = "architecture"
    overlay = "my-tags.csv"      # categories of your own tags, over the ontology's
    clean = false
    description = "join"         # or "keep": what becomes of a description below the tags
    cache = true                 # keep the encoders' vectors for the next run
    cache_size = "4 GiB"
    device = "auto"
    dtype = "auto"               # the fastest here; or "fp32", "bf16", "fp16"
    threads = 8                  # CPU threads of the encoders

    [trigger]
    words = ["ohwx house"]       # go in front, in this order
    keep_first = 0
    keep_tokens_separator = "##" # the trainer's option; what stands before it stays
    detect = true

    [trigger.folders]            # of one folder alone, by its path
    "10_zkva" = ["zkva"]

    [limits]
    min_sim = 0.95
    min_sim_each = 0.9
    measure = "pooled"           # or "plan", "unet": which vectors are judged
    on_low = "relax"             # or "keep", "write": what becomes of captions that miss a limit
    max_tokens = 225
    warn_tokens = 150

    [check]
    ignore = ["tag-implied"]     # codes of findings that `tagflow check` leaves out; `select`: the only ones

Paths in it are relative to the file. A command's own options win over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from tagflow.errors import ConfigError
from tagflow.files.read import read_toml, settings_text

CONFIG_NAME = "tagflow.toml"
OnLow = Literal["keep", "relax", "write"]
ON_LOW: tuple[OnLow, ...] = get_args(OnLow)
"""What may become of a caption that misses a limit; see docs/fidelity.md."""

Description = Literal["keep", "join"]
DESCRIPTION: tuple[Description, ...] = get_args(Description)
"""Whether a description below the tags stays there, or is joined to them; see docs/captions.md."""

Images = Literal["none", "link", "copy"]
IMAGES: tuple[Images, ...] = get_args(Images)
"""Whether images stand beside the captions that `--out` writes."""

Measure = Literal["pooled", "plan", "unet"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
"""Which vectors of an encoder are compared; see docs/fidelity.md."""

DTYPE_WORDS = ("auto", "fp32", "bf16", "fp16")

_Kinds = dict[str, type | tuple[type, ...]]
_TOP: _Kinds = {
    "dir": str, "caption_extension": str, "encoders": str, "ontology": str, "overlay": str, "device": str,
    "dtype": str, "clean": bool, "description": str, "strict": bool, "cache": bool, "cache_size": str,
    "threads": int,
}  # fmt: skip
_TABLES: dict[str, _Kinds] = {
    "trigger": {
        "words": list, "keep_first": int, "keep_tokens_separator": str, "detect": bool, "folders": dict,
    },
    "limits": {
        "min_sim": (int, float), "min_sim_each": (int, float), "measure": str, "on_low": str,
        "max_tokens": int, "warn_tokens": int,
    },
    "check": {"select": list, "ignore": list},
}  # fmt: skip
_RANGES = {
    "min_sim": (0, 1),
    "min_sim_each": (0, 1),
    "warn_tokens": (1, 225),
    "keep_first": (0, 225),
    "threads": (1, 1024),
}
_LARGEST = 256 * 1024
_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?) ?(k|M|G|T)(i?)B")


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of a file, flat: `limits.min_sim` is `min_sim`. Empty where there is no file."""

    file: Path | None
    values: dict[str, Any]

    def get(self, name: str, given: Any, default: Any = None) -> Any:
        """What was given on the command line, else the file's value, else the default."""
        return given if given is not None else self.values.get(name, default)

    def described(self) -> str | None:
        """The file and what it sets, in one line; None where there is no file."""
        if self.file is None:
            return None
        return f"{self.file}: {', '.join(f'{name} {_said(value)}' for name, value in self.values.items())}"

    def path(self, name: str) -> str | None:
        """A setting that may name a file: relative to the configuration file where such a file exists."""
        value: str | None = self.values.get(name)
        if value is None or self.file is None:
            return value
        near = self.file.parent / value
        return str(near) if near.exists() else value


def _said(value: Any) -> str:
    """A setting's value as a result line shows it."""
    if isinstance(value, dict):
        return " ".join(f"{name}={_said(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "|".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def load_config(given: Path | None, folder: Path | None) -> Config:
    """The configuration given, else the folder's own `tagflow.toml`, else that of the current folder.

    Raises ConfigError that names every fault of the file at once.
    """
    places = [given] if given else [place / CONFIG_NAME for place in (folder, Path.cwd()) if place]
    file = next((place for place in places if given or place.is_file()), None)
    if file is None:
        return Config(None, {})
    try:
        data = read_toml(settings_text(file, _LARGEST))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: {error}", "mend the file, or remove it") from error
    faults: list[str] = []
    for name, value in data.items():
        if name in _TABLES and isinstance(value, dict):
            faults += _table_faults(f"{name}.", value, _TABLES[name])
        elif name in _TABLES:
            faults.append(f"`{name}` must be a table, [{name}]")
    faults += _table_faults("", {name: value for name, value in data.items() if name not in _TABLES}, _TOP)
    if faults:
        raise ConfigError(f"{file}: " + "; ".join(faults), "see `tagflow run --help` for what may be set")
    tables = {name: value for table in _TABLES for name, value in data.get(table, {}).items()}
    return Config(file, {**{name: data[name] for name in _TOP if name in data}, **tables})


def byte_size(text: str) -> int | None:
    """Bytes of a size such as `2 GiB` or `500 MB`; None where it is no such size."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    return int(float(found[1]) * (1024 if found[3] else 1000) ** ("kMGT".index(found[2]) + 1))


def _table_faults(where: str, data: dict[str, Any], known: _Kinds) -> Iterator[str]:
    for name, value in data.items():
        if name not in known:
            yield f"`{where}{name}` is not known here (known: {', '.join(known)})"
        elif not isinstance(value, known[name]) or (isinstance(value, bool) and known[name] is not bool):
            yield f"`{where}{name}` has the wrong type"
        elif fault := _value_fault(name, value):
            yield f"`{where}{name}` {fault}"


def _value_fault(name: str, value: Any) -> str | None:
    if name in ("words", "select", "ignore") and not all(
        isinstance(word, str) and word.strip() for word in value
    ):
        return "must be a list of words"
    if name == "folders" and not all(
        isinstance(words, list) and all(isinstance(word, str) and word.strip() for word in words)
        for words in value.values()
    ):
        return 'must give each folder a list of words: "10_zkva" = ["zkva"]'
    if name == "max_tokens" and value not in (75, 150, 225):
        return "must be 75, 150 or 225"
    if name == "dtype" and value not in DTYPE_WORDS:
        return f"must be one of {', '.join(DTYPE_WORDS)}"
    if name == "measure" and value not in MEASURES:
        return f"must be one of {', '.join(MEASURES)}"
    if name == "on_low" and value not in ON_LOW:
        return f"must be one of {', '.join(ON_LOW)}"
    if name == "description" and value not in DESCRIPTION:
        return f"must be one of {', '.join(DESCRIPTION)}"
    if name == "cache_size" and byte_size(value) is None:
        return 'must be a size such as "2 GiB" or "500 MB"'
    low, high = _RANGES.get(name, (None, None))
    if low is not None and high is not None and not low <= value <= high:
        return f"must lie between {low} and {high}"
    return None
