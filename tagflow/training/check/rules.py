"""Every rule of `train check`, and how they are asked; open it to add a theme, or where one is not asked.

A rule that crashes is told of here, too. The conditions stand in the modules of the themes, the words in
findings/ (options, counts, sampling, sources).
"""

from __future__ import annotations

from collections.abc import Mapping

from tagflow.findings.finding import Finding, by_severity, finding
from tagflow.findings.wording import many, some
from tagflow.training.check import (
    buckets,
    caching,
    counts,
    data,
    habits,
    learning,
    loss,
    network,
    network_args,
    network_weights,
    optimizer,
    output,
    precision,
    resume,
    sampling,
    schedule,
    sources,
    structure,
)
from tagflow.training.check.derived import parts
from tagflow.training.check.registry import Need, Rule
from tagflow.training.setup.setup import Setup

THEMES = (
    data, sources, structure, caching, buckets, network, network_args, network_weights, optimizer, learning,
    schedule, counts, loss, precision, output, resume, sampling, habits,
)  # fmt: skip
RULES: tuple[Rule, ...] = tuple(
    one for theme in THEMES for one in vars(theme).values() if isinstance(one, Rule)
)
"""Every rule, in the order of the modules and of the rules in them."""

CODES_OF_READING = (
    "script-wrong", "script-missing", "option-unknown", "option-abbreviated", "option-repeated",
    "option-value", "option-spelled", "config-unreadable", "config-key-unknown", "config-value",
    "dataset-unreadable", "dataset-key-unknown", "dataset-value", "dataset-kind-mixed",
    "config-key-front-end", "config-key-unread", "config-other-layout", "toml-array-mixed",
    "toml-read-otherwise", "command-cut", "option-typed", "option-variable",
)  # fmt: skip
"""What is found before any rule is asked, when command line and files are read: no rule has these codes."""

_UNREAD = ("config-value", "option-value", "option-variable")
_NOTHING_READ = ("config-unreadable", "config-other-layout")
_GENERAL = ("value-unusual", "option-idle")  # say the least: silent where another rule names the option
_MISSING: dict[Need, tuple[str, str]] = {
    "dataset": ("the dataset file could not be read", "mend the dataset file, and check again"),
    "images": ("the images were not looked at", "check the files where the images are"),
    "base": (
        "what the checkpoint predicts is not known: only a .safetensors file on this machine says it",
        "name such a file with pretrained_model_name_or_path",
    ),
    "machine": (
        "the trainer's Python is unknown",
        "name it with --trainer-python FILE, or its sd-scripts with --sd-scripts DIR",
    ),
}
"""What may be unknown, in words, and what cures that; a rule that needs several waits for the first."""


def faults_of(setup: Setup, unknown: Mapping[Need, str] | None = None) -> list[Finding]:
    """Everything wrong with a setup, each fault once: errors first, then warnings, then notes.

    Nothing more is said of an option whose value could not be read. Rules that cannot be asked are named, in
    one finding for each thing that is not known; `unknown`: why it is not, in other words than the usual.
    A rule that crashes gives a finding that says so, and the others are still asked. Where the configuration
    file could not be read, no rule is: what it would say follows from that.
    """
    if any(fault.code in _NOTHING_READ for fault in setup.faults):
        return sorted(dict.fromkeys(setup.faults), key=by_severity)
    wrong = {fault.option for fault in setup.faults if fault.code in _UNREAD}
    known: dict[Need, object] = {
        "dataset": setup.subsets,
        "images": setup.images,
        "base": setup.base,
        "machine": setup.machine,
    }
    missing = [need for need, there in known.items() if there is None]
    subsets = parts(setup)
    unasked: dict[Need, list[str]] = {need: [] for need in missing}
    found = list(setup.faults)
    for rule in RULES:
        lacking = next((need for need in missing if need in rule.needs), None)
        if lacking is not None:
            unasked[lacking] += rule.codes
            continue
        said = rule.findings(setup, subsets)
        found += [one for one in said if not one.option or one.option not in wrong]
    for need, codes in unasked.items():
        usual, cure = _MISSING[need]
        if codes:
            why = (unknown or {}).get(need, usual)
            what = f"{why}; not asked: {many(len(codes), 'code')}: {some(codes, 4)}"
            found.append(
                finding("rule-not-asked", what, cure=cure, figures={"missing": need, "codes": codes})
            )
    told = {one.option for one in found if one.code not in _GENERAL}
    found = [one for one in found if one.code not in _GENERAL or one.option not in told]
    return sorted(dict.fromkeys(found), key=by_severity)
