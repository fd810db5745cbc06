"""The names of the files in a run folder, and how it is recognised. One home for both.

dataset.toml  train.toml  prompts.txt  plan.json     what `train plan` writes
data/                                                images and rendered captions, where structure needs them
output/  logs/                                       LoRA files, states and samples; TensorBoard events
run.json  trainer.log                                what `train start` writes
"""

from __future__ import annotations

from pathlib import Path

DATASET, TRAIN, PROMPTS, PLAN = "dataset.toml", "train.toml", "prompts.txt", "plan.json"
DATA, OUTPUT, LOGS = "data", "output", "logs"
RECORD, LOG = "run.json", "trainer.log"
PLAN_SCHEMA, RECORD_SCHEMA = "tagflow.plan/1", "tagflow.training/1"


def is_run(folder: Path) -> bool:
    """Whether a folder holds a plan."""
    return (folder / PLAN).is_file()
