"""Rules about what is unusual, or does nothing; open it for a value far off, and for pairs of options.

What is usual and what makes an option idle is data: sd_scripts/explained.toml.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.arguments import given_values
from tagflow.training.check.derived import (
    OPTIMIZER,
    SPLITS,
    SubsetView,
    adapts,
    names,
    optimizer,
    parts,
    places,
)
from tagflow.training.check.registry import rule, subset_rule
from tagflow.training.sd_scripts.dataset_config import schema
from tagflow.training.sd_scripts.explained import State, explained
from tagflow.training.sd_scripts.options import Value, known_options
from tagflow.training.setup.setup import Setup

_RENAMED: Mapping[str, str] = schema()["options"]
_OF_DATASET = {*schema()["types"]}
_USUAL = {one.name: one.usual for one in explained().values() if one.usual is not None}
_RATES = ("learning_rate", "unet_lr", "text_encoder_lr")
_HIGH = 0.01  # from here on `learning-rate-high` says more
_IDLE = {one.name: found for one in explained().values() if (found := [p for p in one.idle if not p.code])}
_ASKED = tuple(dict.fromkeys((*_IDLE, *(name for pairs in _IDLE.values() for p in pairs for name in p.when))))
_IN_BOTH = tuple(
    name
    for name in known_options().by_name
    if _RENAMED.get(name, name) in _OF_DATASET - {"conditioning_data_dir"} and name != "dataset_repeats"
)
"""Options whose value a dataset file may give as well, which then holds."""
# What opens a weight, and a weight with a comma in it.
_BRACKET = re.compile(r"(?<!\\)[(\[]")
_TORN = re.compile(r"(?<!\\)[(\[][^(),\[\]]*+,[^()\[\]]*+(?<!\\)[)\]]")


@rule("value-unusual", reads=(*(_RENAMED.get(name, name) for name in _USUAL), "network_module", *OPTIMIZER))
def value_unusual(setup: Setup) -> Iterator[Finding]:
    """A number beyond what is usual, which is neither its default nor off."""
    defaults = {**schema()["defaults"]["dreambooth"], **setup.options.defaults()}
    adam = optimizer(setup).startswith(("adam", "pagedadam"))  # others have rates of another scale
    plain, subsets = setup.text("network_module").startswith("networks.lora"), parts(setup)
    for name, (low, high) in _USUAL.items():
        if name in ("network_dim", "network_alpha") and not plain:
            continue  # LyCORIS takes 100000 for whole matrices
        for value, where in _values(setup, subsets, name):
            number = value[0] if isinstance(value, list) and value else value
            if isinstance(number, bool) or not isinstance(number, int | float) or number <= 0:
                continue  # below 0 it is wrong, which others say
            if number == defaults.get(name) or low <= number <= high:
                continue
            if name in _RATES and (number >= _HIGH or not adam):
                continue
            said = f"{name} {number:g}; usual is {low:g} to {high:g}"
            yield finding("value-unusual", "; ".join(filter(None, (said, where))), option=name)


def _values(setup: Setup, subsets: Sequence[SubsetView], name: str) -> list[tuple[object, str]]:
    """Each value that holds for an option, with the subsets in which it does, where it can stand there."""
    key = _RENAMED.get(name, name)
    if key not in _OF_DATASET:
        return [(setup.values.get(name), "")]
    found: dict[str, tuple[object, list[SubsetView]]] = {}
    for part in subsets:
        value = part.subset.values.get(key)
        found.setdefault(repr(value), (value, []))[1].append(part)
    return [(value, places(where)) for value, where in found.values()]


@rule("option-idle", reads=(*_ASKED, *_IN_BOTH, *OPTIMIZER, "weighted_captions"))
def option_idle(setup: Setup) -> Iterator[Finding]:
    """A value that nobody looks at, as another option stands; one at its default or off is not told of."""
    subsets = parts(setup)
    given = {name: name in setup.given for name in _ASKED}
    values = {name: [value for value, _ in _values(setup, subsets, name)] for name in _ASKED}
    for name, pairs in _IDLE.items():
        value = setup.values.get(name)
        idle = [pair for pair in pairs if all(_is(values[one], state) for one, state in pair.when.items())]
        if not idle or not given[name] or not value or value == known_options().by_name[name].default:
            continue
        if name in _RATES and any(value in values[one] for one in idle[0].when):
            continue  # the same rate: nothing would change
        if name == "learning_rate" and adapts(setup):
            continue  # such a class looks at it, too: Prodigy refuses 0
        yield finding("option-idle", f"{name} with {idle[0].said}: {idle[0].why}", option=name)
    texts = [text for part in subsets for text in part.images.texts.values()]
    if setup.on("weighted_captions") and texts and not any(map(_BRACKET.search, texts)):
        what = "weighted_captions: no caption holds a bracket"
        yield finding("option-idle", what, option="weighted_captions")
    yield from _overruled(setup, subsets)


def _is(values: Sequence[object], state: State) -> bool:
    """Whether an option is in a state, in any subset; off is off in all. An unknown one is in none."""
    if isinstance(state, tuple):
        return any((value if value is not None else "") in state for value in values)
    return bool(values) and any(values) is state


def _overruled(setup: Setup, subsets: Sequence[SubsetView]) -> Iterator[Finding]:
    """Options to which the dataset file gives another value everywhere."""
    for name in _IN_BOTH:
        key, value = _RENAMED.get(name, name), setup.values.get(name)
        if name not in setup.given or not subsets or not setup.on(name):
            continue
        held = [part.subset.values.get(key) for part in subsets]
        if all(one is not None and _plain(one) != _plain(value) for one in held):
            what = f"{name} {_plain(value)}: the dataset file says {key} {_plain(held[0])}"
            yield finding("option-idle", what, option=name)


def _plain(value: Value) -> str:
    """A value as either file may spell it: `1024,1024` is 1024, and an extension may lack its dot."""
    sizes = (
        (str(value).lower() if isinstance(value, bool) else str(value))
        .strip("[]")
        .replace(" ", "")
        .lstrip(".")
        .split(",")
    )
    return sizes[0] if len(set(sizes)) == 1 else ",".join(sizes)


@rule("weights-braked-twice", reads=("scale_weight_norms", "optimizer_args"))
def weights_braked_twice(setup: Setup) -> Iterator[Finding]:
    decay = given_values(setup, "optimizer_args").get("weight_decay")
    if setup.on("scale_weight_norms") and isinstance(decay, int | float) and decay > 0:
        what = f"scale_weight_norms {setup.number('scale_weight_norms'):g}, weight_decay {decay:g}"
        yield finding("weights-braked-twice", what, option="scale_weight_norms")


@subset_rule("weighted-shuffled", reads=("weighted_captions", *SPLITS), needs=("images",))
def weighted_shuffled(part: SubsetView) -> Iterator[Finding]:
    """A weight with a comma in it, where captions are taken apart at commas."""
    if part.setup.on("weighted_captions") and part.splits:
        torn = [name for name, text in part.images.texts.items() if _TORN.search(text)]
        if torn:
            yield finding("weighted-shuffled", names(torn), option="weighted_captions")


@subset_rule("separator-comma", reads=("keep_tokens_separator", "caption_separator", *SPLITS))
def separator_comma(part: SubsetView) -> Iterator[Finding]:
    mark = part.text("keep_tokens_separator")
    if mark and part.splits and mark.strip() == part.text("caption_separator").strip():
        yield finding("separator-comma", repr(mark), option="keep_tokens_separator")


@rule("lowram-gpu", reads=("lowram",))
def lowram(setup: Setup) -> Iterator[Finding]:
    """Said wherever the machine is not known to have less memory than its GPU."""
    machine = setup.machine
    if not setup.on("lowram") or (machine and machine.gpus and machine.memory < machine.gpus[0].total):
        return
    what = ""
    if machine and machine.gpus:
        what = f"{machine.memory / 2**30:.0f} GiB, and {machine.gpus[0].total / 2**30:.0f} GiB on the GPU"
    yield finding("lowram-gpu", what, option="lowram")
