"""What is explained of options: it is whole, the presets keep to it, and docs/train-options.md says it.

`python tests/training/sd_scripts/test_explained.py` writes the page anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tagflow.findings.catalogue import current
from tagflow.training.check.rules import RULES
from tagflow.training.plan.choices import presets
from tagflow.training.sd_scripts.dataset_config import schema
from tagflow.training.sd_scripts.explained import Explained, Pair, explained, named
from tagflow.training.sd_scripts.options import known_options

PAGE = Path(__file__).parents[3] / "docs" / "train-options.md"
OPTIONS, KEYS = known_options().by_name, schema()["types"]
GROUPS = {
    "model": "The base",
    "network": "The network",
    "learning": "Optimizer and rates",
    "length": "Batch and length",
    "captions": "Captions",
    "images": "Images",
    "loss": "Noise and loss",
    "memory": "Memory and speed",
    "saving": "What is written",
    "watching": "Logs and samples",
}
ABOUT = """# Options of sd-scripts, explained

What the options do that the usual programs show (kohya_ss, LoRA_Easy_Training_Scripts, lora-scripts,
OneTrainer), for SDXL LoRA training with sd-scripts 0.10.1. `tagflow rule OPTION` says the same, and which
rules of `tagflow train check` read it; `tagflow rule save as` finds an option by another program's name.

A number beyond what is usual is told of as [`value-unusual`](train-rules.md#value-unusual), an option that
does nothing as [`option-idle`](train-rules.md#option-idle) or by a code of its own. Neither is an error.

This page is made by `python tests/training/sd_scripts/test_explained.py` from
`tagflow/training/sd_scripts/explained.toml`.
"""
LABELS = {
    "usual": "Usual",
    "higher": "Higher",
    "lower": "Lower",
    "on": "On",
    "off": "Off",
    "needs": "Needs",
    "not with": "Not with",
    "idle with": "Does nothing with",
    "mistake": "Often mistaken",
    "called": "Elsewhere called",
}


def page() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield ABOUT
    for group, options in groupby(explained().values(), lambda one: one.group):
        yield f"## {GROUPS[group]}\n"
        for option in options:
            yield f"### {option.name}\n"
            yield f"{_marked(option.effect)}\n"
            codes = {pair.said: pair.code for pair in pairs(option)}
            for label, text in option.facts():
                if label != "effect":
                    code = codes.get(text.partition(": ")[0], "")
                    link = f" ([`{code}`](train-rules.md#{code}))" if code and "with" in label else ""
                    yield f"- {LABELS[label]}: {_marked(text)}{link}"
            yield ""


def _marked(text: str) -> str:
    """Text that Markdown shows as it is; names with underscores are code."""
    parts = re.split(r"(`[^`]*`)", text)
    for at in range(0, len(parts), 2):
        parts[at] = re.sub(r"([<>*])", r"\\\1", parts[at])
        parts[at] = re.sub(r"(?<!\w)(\w+_\w+)", r"`\1`", parts[at])
    return "".join(parts)


def pairs(option: Explained) -> tuple[Pair, ...]:
    return (*option.needs, *option.excludes, *option.idle)


def test_the_page_is_the_data() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("option", explained().values(), ids=lambda option: option.name)
def test_an_option_is_one_of_sd_scripts_and_explained_as_a_whole(option: Explained) -> None:
    known = OPTIONS.keys() | KEYS.keys()
    assert option.name in known and {name for pair in pairs(option) for name in pair.when} <= known
    assert option.words and option.effect.endswith(".")
    assert not option.mistake or option.mistake.endswith((".", "?"))
    assert all(
        text and text[-1] not in ".;" for text in (option.higher, option.lower, option.usually) if text
    )
    kind = OPTIONS[option.name].type if option.name in OPTIONS else KEYS[option.name]
    assert option.is_flag == (kind == "bool")
    assert bool(option.higher and option.lower) or (not option.is_flag and option.usual is None)
    assert option.usually or option.is_flag
    if option.usual is not None:
        assert option.usual[0] < option.usual[1] and ("int" in kind or "float" in kind)


def test_a_pair_that_a_rule_tells_of_is_read_by_that_rule() -> None:
    reads = {code: rule.reads for rule in RULES for code in rule.codes}
    renamed = schema()["options"]
    for option in explained().values():
        for pair in pairs(option):
            assert not pair.code or current(pair.code) == pair.code
            assert pair.code or pair in option.idle, "only idle pairs are told by option-idle"
            if pair.code:
                names = {option.name, renamed.get(option.name, option.name), *pair.when}
                assert names & set(reads[pair.code]), (option.name, pair.code)


def test_no_default_and_no_preset_is_unusual() -> None:
    defaults = known_options().defaults()
    wanted = [(name, one.value) for preset in presets().values() for name, one in preset.train.items()]
    wanted += [(name, one.value) for preset in presets().values() for name, one in preset.dataset.items()]
    for name, value in wanted:
        number = value[0] if isinstance(value, list) else value
        usual = explained()[name].usual if name in explained() else None
        if usual is not None:
            assert isinstance(number, int | float) and usual[0] <= number <= usual[1], name
    assert all(name in explained() or name in defaults for name, _ in wanted)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("save as", ["save_model_as"]),
        ("Save trained model as", ["save_model_as"]),
        ("trained model as", ["save_model_as"]),
        ("xformats", ["xformers"]),
        ("network.train_unet", ["network_train_unet_only", "network_train_text_encoder_only"]),
        ("LR warmup (% of total steps)", ["lr_warmup_steps"]),
        ("clip grad norm", ["max_grad_norm"]),
        ("zzz", []),
        ("...", []),
    ],
)
def test_an_option_is_found_by_what_others_call_it(words: str, found: list[str]) -> None:
    assert named(words) == found


def test_a_state_in_words() -> None:
    pair = Pair({"a": True, "b": (0, "x"), "c": False, "d": False, "e": ("",)})
    assert pair.said == "a, b 0 or x, e not set, without c, d"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
