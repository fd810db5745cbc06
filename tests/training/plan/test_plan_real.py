"""The real trainer counts as the plan does: regularisation images, images held out, masks, several concepts.

Needs `SD_SCRIPTS_DIR`; no model is loaded and no network is used.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from plan_data import SIZES, checkpoint, picture
from trainer_place import real_trainer

from tagflow.ontology import Ontology
from tagflow.training.check.derived import batches
from tagflow.training.plan.plan import PlanRequest, make_plan
from tagflow.training.plan.write import write_plan
from tagflow.training.setup.read import setup_of_run, with_files

pytestmark = pytest.mark.trainer
DRIVER = Path(__file__).parents[1] / "trainer_counts.py"
ONTOLOGY = Ontology.load("architecture")
# Images by folder, and what is asked of the plan.
RUNS = {
    "one": ({"10_zkv house": 7}, {}),
    "few of the class": ({"5_zkv house": 7, "reg/1_house": 4}, {}),
    "many of the class": ({"1_zkv house": 5, "reg/3_house": 9, "reg/2_hut": 3}, {}),
    "class last shown whole": ({"1_zkv house": 7, "reg/5_house": 4}, {}),
    "held out": ({"2_zkv house": 11, "3_marlow": 3}, {"validation": 0.2}),
    "held out beside the class": ({"2_zkv house": 9, "reg/1_house": 6}, {"validation": 0.3}),
    "half of an image": ({"2_zkv house": 3}, {"validation": 0.5}),
    "masks": ({"2_zkv house": 5, "3_marlow": 3}, {"masks": "masks"}),
    "transparency": ({"2_zkv house": 5, "reg/1_house": 3}, {"masks": "alpha"}),
}


def laid_out(root: Path, folders: dict[str, int]) -> Path:
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True)
        for at in range(count):
            picture(root / folder / f"i{at:02}.png", SIZES[at % len(SIZES)])
            if "reg" not in folder:
                (root / folder / f"i{at:02}.txt").write_text(f"zkv house, photo {at}")
    return root


def test_the_real_trainer_counts_as_the_plan_does(tmp_path):
    folder, python = real_trainer()
    base, plans = checkpoint(tmp_path / "base.safetensors"), {}
    for name, (folders, asked) in RUNS.items():
        place = tmp_path / name.replace(" ", "-")
        root = laid_out(place / "data", folders)
        if asked.get("masks") == "masks":
            for one in folders:
                shutil.copytree(root / one, place / "masks" / one, ignore=shutil.ignore_patterns("*.txt"))
            asked = {"masks": str(place / "masks")}
        request = PlanRequest(base, out=place / "run", vram="24GB", ontology=ONTOLOGY, **asked)
        plans[name] = make_plan(root, None, request)
        write_plan(plans[name])
    files = json.dumps([str(plan.run / "train.toml") for plan in plans.values()])
    done = subprocess.run(
        [str(python), str(DRIVER), str(folder)], input=files, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for (name, plan), theirs in zip(plans.items(), json.loads(done.stdout.splitlines()[-1]), strict=True):
        assert theirs["batches"] == plan.length.batches, name
        assert sum(times for times, _ in theirs["shown"].values()) == sum(plan.buckets.values()), name
        assert theirs["held_out"] == plan.images.held_out, name
        of_class = [one for path, one in theirs["shown"].items() if path.startswith(("1_house", "3_house"))]
        assert all(caption == "house" for _, caption in of_class), name
        setup = replace(with_files(setup_of_run(plan.run)), machine=None)
        assert batches(setup) == plan.length.batches, name
