"""Random command lines and dataset files, good and bad: what both our readers and the real ones are given."""

from __future__ import annotations

import random
from typing import Any

from tagflow.training.sd_scripts import dataset_config
from tagflow.training.sd_scripts.options import known_options

VALUES = [
    "1",
    "0",
    "-0.5",
    "1e-4",
    "10%",
    "1.0",
    "1.5",
    "",
    "bf16",
    "no",
    "150",
    "75",
    "a b",
    "C:\\x",
    "True",
]
TOML = [1, 0, 1.0, 0.5, True, "a", "", [1, 2], [1.0, 2.0], [1], {}, {"a": 1}, "1024"]


def commands(chance: random.Random) -> list[list[str]]:
    names = list(known_options().by_name)
    made = []
    for _ in range(3000):
        words: list[str] = []
        for _ in range(chance.randint(1, 3)):
            name = chance.choice(names)
            name = name[: chance.randint(2, len(name))] if chance.random() < 0.3 else name
            name += "1" if chance.random() < 0.03 else ""
            values = chance.choices(VALUES, k=chance.choice([0, 1, 1, 1, 2]))
            joined = bool(values) and chance.random() < 0.3
            words += [f"--{name}={values[0]}", *values[1:]] if joined else [f"--{name}", *values]
        made.append(words)
    return made


def documents(chance: random.Random) -> list[dict[str, Any]]:
    names = [*dataset_config.schema()["types"], "imagedir", "captions"]

    def section(first: dict[str, Any], most: int) -> dict[str, Any]:
        return first | {chance.choice(names): chance.choice(TOML) for _ in range(chance.randint(0, most))}

    def subset() -> dict[str, Any]:
        key = chance.choice(["image_dir", "image_dir", "image_dir", "metadata_file", "num_repeats"])
        return section({key: "x"} if key != "num_repeats" else {key: 1}, 1)

    return [
        {
            "general": section({}, chance.choice([0, 0, 2])),
            "datasets": [
                section({"subsets": [subset() for _ in range(chance.randint(1, 2))]}, chance.choice([0, 1]))
                for _ in range(chance.randint(1, 2))
            ],
        }
        for _ in range(3000)
    ]
