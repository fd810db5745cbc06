"""Run by the trainer's own Python, in sd-scripts' folder: what its real code makes of captions.

stdin: JSON {"cases": [{"text", "seed", "epoch", "step", "steps", "how": {option: value}}], "folder": images}.
The last line of stdout: JSON {"prompts": [...], "read": {"plain": {image: caption}, "wildcards": {...}}}.
"""

import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path.cwd()))
from library.train_util import BaseDataset, DreamBoothDataset, DreamBoothSubset


def prompt(case):
    dataset = SimpleNamespace(
        replacements={}, current_epoch=case["epoch"], current_step=case["step"], max_train_steps=case["steps"]
    )
    random.seed(case["seed"])
    return BaseDataset.process_caption(dataset, SimpleNamespace(**case["how"]), case["text"])


def read(folder, wildcards):
    subset = DreamBoothSubset(
        folder, False, None, ".txt", False, False, 1, True, ",", 0, "|||", ";;;", wildcards, False, False,
        None, False, 0.0, 0, 0.0, None, None, 1, 0,
    )  # fmt: skip
    dataset = DreamBoothDataset(
        [subset], True, 1, (64, 64), 1.0, False, None, None, None, False, 1.0, False, 0.0, None, None
    )
    return {Path(key).name: info.caption for key, info in dataset.image_data.items()}


asked = json.load(sys.stdin)
print()  # the library has written to stdout, perhaps without a line end
print(
    json.dumps(
        {
            "prompts": [prompt(case) for case in asked["cases"]],
            "read": {"plain": read(asked["folder"], False), "wildcards": read(asked["folder"], True)},
        }
    )
)
