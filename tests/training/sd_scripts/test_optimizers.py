"""Which optimizer is taken and what it needs; which values a file for `--config_file` gives."""

from __future__ import annotations

import pytest

from tagflow.training.sd_scripts.optimizers import is_bitsandbytes, optimizer_of, own_names, packages_of
from tagflow.training.sd_scripts.options import flat


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "adamw"),
        ({"optimizer_type": ""}, "adamw"),
        ({"optimizer_type": "PagedAdamW8bit"}, "pagedadamw8bit"),
        ({"use_8bit_adam": True}, "adamw8bit"),
        ({"use_lion_optimizer": True}, "lion"),
    ],
)
def test_the_optimizer_that_options_choose(values, name):
    assert optimizer_of(values) == name


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("AdamW", []), ("Adafactor", []), ("SGDNesterov", []), ("Lion", ["lion-pytorch"]),
        ("Lion8bit", ["bitsandbytes"]), ("PagedAdamW", ["bitsandbytes"]),
        ("PagedAdamW32bit", ["bitsandbytes"]),
        ("bitsandbytes.optim.AdEMAMix", ["bitsandbytes"]), ("Prodigy", ["prodigyopt"]),
        ("DAdaptLion", ["dadaptation"]), ("transformers.Adafactor", []), ("torch.optim.Adam", []),
        ("lion_pytorch.Lion", ["lion-pytorch"]), ("AdamWScheduleFree", ["schedulefree"]),
        ("pytorch_optimizer.CAME", ["pytorch-optimizer"]),
        ("schedulefree.AdamWScheduleFree", ["schedulefree"]),
        ("prodigyplus.ProdigyPlusScheduleFree", ["prodigy-plus-schedule-free", "schedulefree"]),
    ],
)  # fmt: skip
def test_what_an_optimizer_needs(name, packages):
    assert packages_of(name) == packages and is_bitsandbytes(name) == (packages == ["bitsandbytes"])


def test_its_own_names_that_come_from_bitsandbytes():
    assert {name for name in own_names() if is_bitsandbytes(name)} == {
        "adamw8bit", "lion8bit", "sgdnesterov8bit", "pagedadamw", "pagedadamw8bit", "pagedadamw32bit",
        "pagedlion8bit",
    }  # fmt: skip


def test_tables_of_a_configuration_mean_nothing_and_a_later_value_wins():
    doc = {"seed": 1, "a": {"seed": 2, "v2": True}, "b": {"v2": False}}
    assert flat(doc) == {"seed": 2, "v2": False}
