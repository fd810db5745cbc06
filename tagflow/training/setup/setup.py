"""What a trainer would be started with, as plain values; open it for what a rule can ask of a run.

read.py makes it from a run folder, a TOML file or a command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tagflow.findings.finding import Finding
from tagflow.models.prediction import Prediction
from tagflow.training.machine.probe import Machine
from tagflow.training.sd_scripts.dataset_config import Subset
from tagflow.training.sd_scripts.files import Sight
from tagflow.training.sd_scripts.launch import NO_LAUNCHER, Launch
from tagflow.training.sd_scripts.options import Options, Value


@dataclass(frozen=True, slots=True)
class Images:
    """What lies in a subset's folder. `sizes`: (width, height) in pixels by file name, as far as readable.

    `unreadable`: images that the trainer stops at; `unsized`: those of a kind whose size is not read here,
    though the trainer may. `overlooked`: pictures that the trainer does not see, or may not, by name.
    `captioned`: images whose caption file sd-scripts would find. `caches`: the names of its caches there;
    `stale`: those that hold an old text. `texts`: what the caption files of images hold; `unusable`: why
    one stops the run (`empty`, `not UTF-8`), by image.
    `other_captions`: files of another extension that could be captions, by extension.
    """

    sizes: Mapping[str, tuple[int, int]]
    unreadable: tuple[str, ...]
    captioned: frozenset[str]
    caches: tuple[str, ...]
    stale: tuple[str, ...]
    texts: Mapping[str, str]
    unusable: Mapping[str, str] = field(default_factory=dict)
    other_captions: Mapping[str, int] = field(default_factory=dict)
    unsized: tuple[str, ...] = ()
    overlooked: Mapping[str, Sight] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Every image that the trainer sees, or may see."""
        return (*self.sizes, *self.unreadable, *self.unsized)

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Setup:
    """All that is known of a run before it starts.

    `script`: the file name of the script. `values`: every option with its effective value; `given`: the
    options that somebody set, with where (`command line`, `train.toml`). `folder`: what relative paths are
    relative to. `subsets`: None where the dataset file could not be understood. `faults`: what was already
    seen while reading. What was not looked at is None: `images` (by subset, in its order), `machine` (the
    trainer's own Python), `base` (the checkpoint's prediction type). `planned`: a run folder of tagflow's.
    `sd_scripts`: the copy that will train, where it is known.
    `encoded`: caches of text that an earlier attempt of the run is known to have made of today's captions.
    `front_end`: what a configuration file holds under keys that are no options, such as a GUI's `epoch`.
    `launch`: what the words before the script say, such as the number of processes.
    """

    script: str
    options: Options
    values: Mapping[str, Value]
    given: Mapping[str, str]
    folder: Path
    subsets: tuple[Subset, ...] | None = ()
    faults: tuple[Finding, ...] = ()
    images: tuple[Images, ...] | None = None
    machine: Machine | None = None
    base: Prediction | None = None
    planned: bool = False
    encoded: frozenset[Path] = frozenset()
    sd_scripts: Path | None = None
    front_end: Mapping[str, object] = field(default_factory=dict)
    launch: Launch = NO_LAUNCHER

    def moved(self, name: str) -> bool:
        """Whether somebody set an option to something else than it is anyway."""
        option = self.options.by_name.get(name)
        return name in self.given and (option is None or self.values.get(name) != option.default)

    def on(self, name: str) -> bool:
        """Whether a flag is set, or a number is other than nought."""
        return bool(self.values.get(name))

    def number(self, name: str) -> float:
        """An option's number; 0 where it has none."""
        value = self.values.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    def text(self, name: str) -> str:
        """An option's text; empty where it has none."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def path(self, name: str) -> Path | None:
        """An option's path, made absolute; None where it has none."""
        return self.folder / self.text(name) if self.text(name) else None

    def any_subset(self, name: str) -> bool:
        """Whether a value is on in any subset; without subsets, in the options."""
        return any(bool(one.values.get(name)) for one in self.subsets or ()) or self.on(name)
