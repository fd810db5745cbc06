"""Unusual values and idle options: every pair of the data, and what the real code makes of them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rule_setups import build, images
from trainer_place import real_trainer

from tagflow.findings.finding import Finding
from tagflow.training.check.rules import faults_of
from tagflow.training.sd_scripts.explained import Explained, Pair, explained
from tagflow.training.sd_scripts.options import Value, known_options

EFFECTS = Path(__file__).parents[1] / "trainer_effects.py"
SILENT = [(option, pair) for option in explained().values() for pair in option.idle if not pair.code]


def told(code: str, root: Path, **given: Any) -> list[Finding]:
    return [one for one in faults_of(build(root, **given)) if one.code == code]


def some_value(name: str) -> Value:
    """A value that is neither off nor the default; no two rates are alike."""
    option = known_options().by_name[name]
    rates = {"learning_rate": 2e-3, "unet_lr": 1e-3, "text_encoder_lr": [5e-4]}
    plain = {"bool": True, "int": 3, "float": 0.7}.get(option.type, ";")
    return rates.get(name, plain)


@pytest.mark.parametrize(("option", "pair"), SILENT, ids=lambda one: getattr(one, "name", "pair"))
def test_each_idle_pair_is_told_of(option: Explained, pair: Pair, tmp_path: Path) -> None:
    """And no more where the first state is another one."""
    options: dict[str, Any] = {option.name: some_value(option.name)}
    off = [name for name, state in pair.when.items() if state is False]
    for name, state in pair.when.items():
        if state is not False:
            options[name] = some_value(name) if state is True else state[0]
    found = told("option-idle", tmp_path, options=options, drop=tuple(off))
    assert [one.detail for one in found if one.option == option.name] == [
        f"{option.name} with {pair.said}: {pair.why}"
    ]
    first, state = next(iter(pair.when.items()))
    if first == "is_reg":
        near = told("option-idle", tmp_path, options=options, subset={"is_reg": True})
    elif state is False:
        options[first] = some_value(first)
        near = told("option-idle", tmp_path, options=options, drop=tuple(set(off) - {first}))
    else:
        del options[first]
        near = told("option-idle", tmp_path, options=options, drop=(first,) if state is True else tuple(off))
    assert not [one for one in near if one.detail.endswith(f"{pair.said}: {pair.why}")]


@pytest.mark.parametrize(
    ("options", "subset", "name", "said"),
    [
        ({"network_dropout": 0.5}, {}, "network_dropout", "network_dropout 0.5; usual is 0 to 0.3"),
        ({"network_dim": 1024}, {}, "network_dim", "network_dim 1024; usual is 2 to 256"),
        ({"vae_batch_size": 256}, {}, "vae_batch_size", "vae_batch_size 256; usual is 1 to 32"),
        ({"unet_lr": 5e-3}, {}, "unet_lr", "unet_lr 0.005; usual is 1e-06 to 0.003"),
        (
            {"text_encoder_lr": [5e-3]},
            {},
            "text_encoder_lr",
            "text_encoder_lr 0.005; usual is 1e-07 to 0.001",
        ),
        ({}, {"keep_tokens": 40, "shuffle_caption": True}, "keep_tokens", "keep_tokens 40; usual is 0 to 10"),
        ({}, {"batch_size": 256}, "train_batch_size", "train_batch_size 256; usual is 1 to 32"),
    ],
)
def test_a_value_far_off(
    options: dict[str, Any], subset: dict[str, Any], name: str, said: str, tmp_path: Path
) -> None:
    (found,) = told("value-unusual", tmp_path, options=options, subset=subset)
    assert found.option == name and found.detail.startswith(said)


@pytest.mark.parametrize(
    ("options", "subset"),
    [
        ({"min_snr_gamma": 0, "network_dropout": 0, "scale_weight_norms": 0}, {}),  # off
        ({"network_alpha": 1, "max_grad_norm": 1.0, "huber_c": 0.1}, {}),  # the defaults
        ({"optimizer_type": "Prodigy", "learning_rate": 1, "unet_lr": 1, "text_encoder_lr": [1]}, {}),
        ({"optimizer_type": "SGDNesterov", "unet_lr": 5e-3}, {}),
        ({"network_module": "lycoris.kohya", "network_dim": 100000}, {}),
        ({"unet_lr": 1.0}, {}),  # learning-rate-high says more
        ({}, {"caption_dropout_rate": 1.0}),  # and dropout-always
    ],
)
def test_what_is_not_unusual(options: dict[str, Any], subset: dict[str, Any], tmp_path: Path) -> None:
    assert told("value-unusual", tmp_path, options=options, subset=subset) == []


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"train_batch_size": 4}, "train_batch_size"),
        ({"resolution": "768,768"}, "resolution"),
        ({"caption_extension": ".caption2"}, "caption_extension"),
        ({"weighted_captions": True}, "weighted_captions"),
        ({"learning_rate": 1e-3}, "learning_rate"),
    ],
)
def test_an_option_that_does_nothing(options: dict[str, Any], name: str, tmp_path: Path) -> None:
    (found,) = told("option-idle", tmp_path, options=options)
    assert found.option == name


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"train_batch_size": 2, "resolution": "1024,1024", "caption_extension": "txt"}, {}),
        ({"learning_rate": 1e-4, "unet_lr": 1e-4, "text_encoder_lr": [5e-5]}, {}),
        ({"train_batch_size": 4}, {"dropped": ("batch_size",)}),
        ({"prior_loss_weight": 0.5}, {"more": {"is_reg": True}}),
        ({"weighted_captions": True}, {"found": images({"a.png": "sks, (hat:1.2)"})}),
    ],
)
def test_an_option_that_does_something(
    options: dict[str, Any], given: dict[str, Any], tmp_path: Path
) -> None:
    assert told("option-idle", tmp_path, options=options, **given) == []


def test_of_an_unknown_dataset_nothing_is_said(tmp_path: Path) -> None:
    setup = replace(build(tmp_path, options={"prior_loss_weight": 0.5, "train_batch_size": 9}), subsets=None)
    assert not {"option-idle", "value-unusual"} & {one.code for one in faults_of(setup)}


@pytest.mark.trainer
def test_what_the_real_code_makes_of_it() -> None:
    sd_scripts, python = real_trainer()
    done = subprocess.run(
        [python, EFFECTS, sd_scripts], cwd=sd_scripts, capture_output=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said == {
        "own rates for both": True,
        "one own rate": False,
        "unet alone": True,
        "text alone": True,
        "dropout": 0.5,
        "from a file": [4, 2.0, None],
        "min_snr_gamma": {"1": 354, "5": 147, "20": 50},
        "huber_scale": {"snr": True, "constant": False, "exponential": False},
        "adaptive at 0": True,
        "adaptive at 0.1": False,
        "separator comma": "a, b, c, d, e, f",
        "separator mark": "a",
        "torn": True,
        "separator alone": "a;b",
        "kept": [500, 750, 1000],
        "below the bound": True,
        "minimum metadata": False,
    }
