"""Optimizers, rates and schedules: more bad ones of each kind, sound ones, and the real get_optimizer's word.

The last needs `SD_SCRIPTS_DIR`; what needs a package that is not in its Python, or a GPU, is not asked.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from optimizer_cases import MORE_BAD, SOUND, TABLE
from rule_setups import OPTIONS, build
from trainer_place import real_trainer

from tagflow.training.check.rules import faults_of
from tagflow.training.sd_scripts.classes import class_of, outside
from tagflow.training.sd_scripts.optimizers import optimizer_path
from tagflow.training.sd_scripts.options import known_options

DRIVER = Path(__file__).parents[1] / "trainer_optimizers.py"


@pytest.mark.parametrize(("code", "given", "word"), MORE_BAD)
def test_what_is_wrong_is_named_with_what_to_write(
    code: str, given: dict[str, Any], word: str, tmp_path: Path
) -> None:
    found = [one for one in faults_of(build(tmp_path, **given)) if one.code == code]
    assert found and any(word in f"{one.detail} | {one.cure}" for one in found), found


@pytest.mark.parametrize("given", SOUND)
def test_what_trains_is_no_error(given: dict[str, Any], tmp_path: Path) -> None:
    found = [one for one in faults_of(build(tmp_path, **given)) if one.severity == "error"]
    assert [one for one in found if one.code != "optimizer-package-missing"] == []


def test_intervals() -> None:
    assert [outside(value, "[0,1)") for value in (-0.1, 0, 0.5, 1)] == [True, False, False, True]
    assert outside(0, "(0,inf)") and not outside(5, "") and not outside(5, "-")


def test_a_class_is_found_by_any_module_on_its_way() -> None:
    found = class_of("pytorch_optimizer.optimizer.came.CAME", "optimizers")
    assert found is not None and found == class_of("pytorch_optimizer.CAME", "optimizers")
    assert class_of(optimizer_path("ADAFACTOR"), "optimizers") == class_of(
        "transformers.Adafactor", "optimizers"
    )


def asked() -> list[tuple[str, dict[str, Any], bool]]:
    """Every case with the options as the trainer has them, and whether it must stop."""
    rows = [(code, given, True) for code, given, _ in MORE_BAD]
    rows += [(code, bad, True) for code, bad, *_ in TABLE] + [("sound", given, False) for given in SOUND]
    found = []
    for code, given, stops in rows:
        options = {name: value for name, value in {**OPTIONS, **given["options"]}.items()
                   if name not in given["drop"]}  # fmt: skip
        values = known_options().defaults() | options | {"max_train_steps": 1000}
        found.append((code, values, stops))
    return found


@pytest.mark.trainer
def test_the_table_is_what_the_real_classes_say() -> None:
    """Of the packages that its Python has; versions may differ, so arguments may be more than the table's."""
    _, python = real_trainer()
    program = DRIVER.with_name("trainer_classes.py")
    modules = "torch.optim transformers.optimization torch.optim.lr_scheduler prodigyopt dadaptation".split()
    done = subprocess.run(
        [str(python), str(program), *modules], capture_output=True, text=True, check=False, timeout=300
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    for path, row in said["optimizers"].items():
        known = class_of(path, "optimizers")
        assert known is not None, path
        assert {one["name"] for one in row["arguments"]} <= known.arguments.keys(), path
        raises = bool(row.get("several")) and not row.get("equal")
        assert raises == known.one_rate, path
    for path, row in said["schedulers"].items():
        known = class_of(path, "schedulers")
        assert known is not None and bool(row["usual"]) == bool(known.fails), path
        assert {one["name"] for one in row["arguments"]} == known.arguments.keys(), path


# What trains, though not as meant; and what another part of the trainer, not these functions, meets.
GOES_ON = (
    "optimizer-argument-ignored", "optimizer-argument-repeated", "adafactor-clipped",
    "learning-rate-negative", "decay-beyond", "steps-share-beyond", "warmup-beyond",
)  # fmt: skip


@pytest.mark.trainer
def test_the_real_functions_stop_where_the_rules_say_so(tmp_path: Path) -> None:
    sd_scripts, python = real_trainer()
    cases = asked()
    done = subprocess.run(
        [str(python), str(DRIVER), str(sd_scripts)], input=json.dumps([values for _, values, _ in cases]),
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    wrong, tried = [], 0
    for (code, values, stops), answer in zip(cases, json.loads(done.stdout.splitlines()[-1]), strict=True):
        if answer == "not asked":
            continue
        tried += 1
        given = {"optimizer_args": values["optimizer_args"], "scheduler_args": values["lr_scheduler_args"]}
        is_warned = code == "optimizer-argument-value" and "'False'" in str(given)
        ends = (
            stops and code not in GOES_ON and not is_warned and "mine." not in str(values["optimizer_type"])
        )
        if bool(answer) != ends:
            wrong.append((code, values["optimizer_type"], values["lr_scheduler_type"], given, answer))
    assert not wrong
    assert tried > len(cases) / 3
