"""The real parser and the real sanitizer of sd-scripts say what ours say, of many good and bad cases."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

from made_up_options import commands, documents
from trainer_place import real_trainer

from tagflow.training.machine.probe import options_of
from tagflow.training.sd_scripts import dataset_config
from tagflow.training.sd_scripts.command import read_command
from tagflow.training.sd_scripts.options import known_options

ANSWERS = Path(__file__).parents[1] / "trainer_answers.py"


def test_the_real_parser_and_sanitizer_agree_with_ours() -> None:
    sd_scripts, python = real_trainer()
    chance = random.Random(6)  # noqa: S311
    asked = {"commands": commands(chance), "datasets": documents(chance)}
    done = subprocess.run(
        [python, ANSWERS],
        cwd=sd_scripts,
        input=json.dumps(asked).encode(),
        capture_output=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    options, taken = known_options(), 0
    for words, answer in zip(asked["commands"], said["commands"], strict=True):
        read = read_command(["sdxl_train_network.py", *words], options)
        refused = [fault for fault in read.faults if fault.code in ("option-unknown", "option-value")]
        assert bool(refused) == (answer is None), (words, refused, answer)
        if answer is not None:
            taken += 1
            assert json.loads(json.dumps(options.defaults() | read.given)) == answer, words
    assert 300 < taken < 2700
    taken = 0
    for doc, answer in zip(asked["datasets"], said["datasets"], strict=True):
        found = dataset_config.faults(doc)
        assert bool(found) == (answer is None), (doc, found)
        if answer is not None:
            taken += 1
            ours = dataset_config.subsets(doc, options.defaults(), {}, Path(), "x.toml")
            for one, theirs in zip(ours, answer, strict=True):
                names = theirs.keys() - {"caption_extension"}  # theirs gets its dot later
                assert {name: one.values[name] for name in names} == {name: theirs[name] for name in names}
    assert 300 < taken < 2700


def test_the_real_parser_has_the_options_that_we_hold() -> None:
    sd_scripts, python = real_trainer()
    assert options_of(python, sd_scripts).by_name == known_options().by_name
