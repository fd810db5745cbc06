"""What the rules declare is true: their codes, the options that they read, and what they need."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from every_case import CASES
from made_up_options import commands
from rule_setups import build, watched, watched_subset

from tagflow.findings.catalogue import OF_TRAINING, catalogue
from tagflow.training.check import derived
from tagflow.training.check.registry import Rule
from tagflow.training.check.rules import CODES_OF_READING, RULES
from tagflow.training.sd_scripts import dataset_config
from tagflow.training.sd_scripts.options import known_options
from tagflow.training.setup.read import setup_of_command, with_files
from tagflow.training.start.checks import CHECKS

OF_CAPTIONS = ("image-broken", "image-needs-plugin", "image-not-seen")
"""Codes of findings/captions.toml and images.toml that a rule has, too: `tagflow check` finds the same."""
SHARED = {"dataset_config", "masked_loss"}
"""What `derived.parts` asks for to tell which subsets there are, on behalf of any rule."""

MORE: list[dict[str, Any]] = [
    {"options": {"token_warmup_step": 200, "max_train_steps": 1000}, "drop": ("max_train_epochs",)},
    {"options": {"gradient_accumulation_steps": 2, "max_train_steps": 9}, "drop": ("max_train_epochs",)}
    | {"front_end": {"epoch": 1}},
    {
        "options": {
            "multires_noise_discount": 0.5,
            "huber_schedule": "constant",
            "ip_noise_gamma_random_strength": True,
        }
    },
    {"options": {"save_last_n_epochs": 2, "save_last_n_steps_state": 9}, "drop": ("save_every_n_epochs",)},
    {"subset": {"min_bucket_reso": 0}},
    {
        "options": {
            "skip_until_initial_step": True,
            "initial_step": 9,
            "gradient_accumulation_steps": 2,
            "max_train_steps": 50,
        },
        "drop": ("max_train_epochs",),
    },
]
"""Setups in which rules ask for what they need not know in any case of theirs."""


@pytest.fixture(scope="module")
def asked_by_rule(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The options that each rule asked for, in any of its own cases or of many random commands."""
    root = tmp_path_factory.mktemp("odd")
    cases = [*(given for case in CASES for given in (case.bad, case.near)), *MORE]
    setups = [build(tmp_path_factory.mktemp("case"), **given) for given in cases]
    words = [["sdxl_train_network.py", *words] for words in commands(random.Random(4))[:40]]  # noqa: S311
    setups += [with_files(setup_of_command(one, root)) for one in words]
    asked: dict[str, set[str]] = {rule.name: set() for rule in RULES}
    with pytest.MonkeyPatch.context() as patch:
        noted: set[str] = set()
        view = derived.SubsetView
        patch.setattr(
            derived,
            "SubsetView",
            lambda setup, subset, *more: view(setup, watched_subset(subset, noted), *more),
        )
        for setup in setups:
            for rule in RULES:
                seen = watched(setup, noted)
                subsets = derived.parts(seen)
                noted.clear()
                list(rule.ask(seen, subsets))
                asked[rule.name] |= noted
    return asked


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_reads_what_it_declares(rule: Rule, asked_by_rule: dict[str, set[str]]) -> None:
    asked = asked_by_rule[rule.name]
    assert asked - SHARED <= set(rule.reads)
    assert set(rule.reads) <= asked


def test_every_code_has_one_rule_and_every_rule_a_name() -> None:
    codes = Counter(code for rule in RULES for code in rule.codes) + Counter(CODES_OF_READING)
    codes += Counter(code for check in CHECKS for code in check.codes)
    assert not {code: n for code, n in codes.items() if n > 1}
    assert codes.keys() == {*(code for theme in OF_TRAINING for code in catalogue(theme)), *OF_CAPTIONS}
    assert len({rule.name for rule in (*RULES, *CHECKS)}) == len(RULES) + len(CHECKS)


def test_a_rule_finds_no_other_codes_than_its_own(tmp_path: Path) -> None:
    for n, case in enumerate(CASES):
        (tmp_path / str(n)).mkdir()
        setup = build(tmp_path / str(n), **case.bad)
        for rule in RULES:
            found = {one.code for one in rule.ask(setup, derived.parts(setup))}
            assert found <= set(rule.codes)


def test_every_option_that_is_read_is_one_of_sd_scripts() -> None:
    known = known_options().by_name.keys() | dataset_config.schema()["types"].keys()
    assert not {name for rule in RULES for name in rule.reads} - known
    assert all(rule.codes for rule in RULES)
    assert all(("dataset" in rule.needs) >= rule.by_subset for rule in RULES)
