"""A plan held against the rules of `train check` before it is written; open it for what it says of --set.

The rules see the values as the trainer would read them from the files. What they say of files in the run
folder is left out, for none is there yet, and so is what hangs on the trainer's Python: ask `train check`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tagflow.findings.finding import Finding
from tagflow.models.prediction import Prediction
from tagflow.training.check.rules import faults_of
from tagflow.training.plan.choices import Choice, Choices
from tagflow.training.plan.folders import ImageFolder
from tagflow.training.run_folder import DATASET, TRAIN
from tagflow.training.sd_scripts import dataset_config
from tagflow.training.sd_scripts.dataset_config import schema
from tagflow.training.sd_scripts.options import known_options
from tagflow.training.setup.setup import Setup

_SUBSET = re.compile(r"subsets\[(\d+)\]\.(\w+)")
_UNSAID = ("rule-not-asked", "rule-crashed")
_FILES = ("pretrained_model_name_or_path", "vae")  # what they name is looked into by `train check`


def by_table(choices: Choices, count: int) -> tuple[list[Choice], list[list[Choice]]]:
    """The values of the dataset file: those of the dataset, and those of each of its `count` subsets."""
    known = schema()["datasets"]["dreambooth"]
    dataset: list[Choice] = []
    shared: list[Choice] = []
    own: list[list[Choice]] = [[] for _ in range(count)]
    for choice in choices.of("dataset.toml"):
        if found := _SUBSET.fullmatch(choice.name):
            own[int(found[1])].append(replace(choice, name=found[2]))
        else:
            (dataset if choice.name in known else shared).append(choice)
    return dataset, [[*values, *shared] for values in own]


def review(
    choices: Choices,
    folders: Sequence[ImageFolder],
    run: Path,
    base: Prediction,
    said: Collection[str],
    *,
    rendered: bool,
) -> list[Finding]:
    """What the rules find in a plan: errors and warnings of its values, and all of what --set gave.

    Of images and captions they are asked where --set gave what they speak of: the rest is `tagflow check`'s.
    said: codes that the plan tells of already. rendered: the captions will be other ones than lie there.
    """
    options = known_options()
    train = {one.name: one.value for one in choices.of("train.toml")}
    values, given = options.defaults() | train, dict.fromkeys(train, TRAIN)
    dataset, subsets = by_table(choices, len(folders))
    doc: dict[str, Any] = {one.name: one.value for one in dataset}
    doc["subsets"] = [{one.name: one.value for one in subset} for subset in subsets]
    setup = Setup(
        options.script, options, values, given, run,
        subsets=dataset_config.subsets({"datasets": [doc]}, values, given, run, DATASET),
        base=base,
        planned=True,
    )  # fmt: skip
    unseen = faults_of(setup)
    seen = unseen if rendered else faults_of(replace(setup, images=tuple(one.images for one in folders)))
    pinned = {name for _, name in choices.pinned}
    found = [one for one in seen if one.option in pinned]
    known = {(one.code, one.option) for one in found}
    found += [one for one in unseen if one.severity != "info" and (one.code, one.option) not in known]
    return [
        one
        for one in found
        if one.code not in (*_UNSAID, *said)
        and one.option not in _FILES
        and not any(place in one.detail for place in (str(run), run.as_posix()))
    ]
