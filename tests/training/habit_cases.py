"""Setups with a value that is far off, or an option that does nothing, and others that come near.

The same as in rule_cases.py.
"""

from __future__ import annotations

from dataclasses import replace

from rule_cases import case, o, text
from rule_setups import MACHINE

WEIGHTED = {"weighted_captions": True}
SHUFFLED = {"shuffle_caption": True, "keep_tokens": 1}

CASES_OF_HABITS = [
    case("value-unusual", o(min_snr_gamma=20), o(min_snr_gamma=1)),
    case("option-idle", o(prior_loss_weight=0.5), o(prior_loss_weight=1.0)),
    case(
        "weights-braked-twice",
        o(scale_weight_norms=1, optimizer_args=["weight_decay=0.1"]),
        o(scale_weight_norms=1, optimizer_args=["weight_decay=0"]),
    ),
    case(
        "weighted-shuffled",
        {**text("sks, (red dress, hat:1.2)", **SHUFFLED), **o(**WEIGHTED)},
        {**text("sks, (red dress:1.2), (hat:1.2)", **SHUFFLED), **o(**WEIGHTED)},
    ),
    case(
        "separator-comma",
        text("sks, solo, smile, sofa", shuffle_caption=True, keep_tokens_separator=","),
        text("sks ||| solo, smile", shuffle_caption=True, keep_tokens_separator="|||"),
    ),
    case(
        "lowram-gpu",
        o(lowram=True),
        {**o(lowram=True), "machine": replace(MACHINE, memory=12 << 30)},
    ),
]
