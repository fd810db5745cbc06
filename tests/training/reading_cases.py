"""Setups with a fault that is found while files and commands are read, and others that come near.

The same as in rule_cases.py; `epochs-otherwise` compares a front end's own key with the steps.
"""

from __future__ import annotations

from rule_cases import LINE, Case, case, o

READ_MORE = [
    case(
        "config-key-front-end",
        {"toml": "epoch = 10\nseed = 1"},
        {"toml": "max_train_epochs = 10\nseed = 1"},
    ),
    case("config-key-unread", {"toml": "sample_steps = 28"}, {"toml": "sample_every_n_steps = 28"}),
    case(
        "config-other-layout",
        {"toml": "[general_args.args]\nseed = 1\n[[subsets]]\nimage_dir = 'a'"},
        {"toml": "[general_args]\nseed = 1"},
    ),
    case(
        "toml-array-mixed",
        {"toml": "text_encoder_lr = [1, 5e-5]"},
        {"toml": "text_encoder_lr = [1.0, 5e-5]"},
    ),
    case(
        "toml-read-otherwise",
        {"toml": 'training_comment = "\\"\\"best"'},
        {"toml": 'training_comment = "the \\"best\\" run"'},
    ),
    case(
        "command-cut",
        {"command": f"{LINE} --seed 1 \\ \n --sdpa"},
        {"command": f"{LINE} --seed 1 \\\n --sdpa"},
    ),
    case(
        "option-typed",
        {"command": f"{LINE} \N{EM DASH}sdpa"},
        {"command": f'{LINE} --training_comment "cats \N{EM DASH} \N{LEFT DOUBLE QUOTATION MARK}x"'},
    ),
    case(
        "option-variable",
        {"command": f"{LINE} --output_dir $OUT"},
        {"command": f"OUT=out {LINE} --output_dir $OUT; ls $OUT"},
    ),
]

_STEPS = {**o(max_train_steps=1600), "drop": ("max_train_epochs",)}

CASES_OF_READING: list[Case] = [
    case("epochs-otherwise", {**_STEPS, "front_end": {"epoch": 10}}, {**_STEPS, "front_end": {"epoch": 16}}),
]
