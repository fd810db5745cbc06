"""A command line is read as sd-scripts' parser reads it; test_trainer_agrees.py asks the real one."""

from __future__ import annotations

import pytest

from tagflow.findings.finding import finding
from tagflow.findings.wording import nearest
from tagflow.training.sd_scripts.command import read_command
from tagflow.training.sd_scripts.options import Option, known_options, parse_options, steps

SCRIPT = ["accelerate", "launch", "--num_cpu_threads_per_process", "8", "sdxl_train_network.py"]


def codes(words: list[str]) -> list[str]:
    return [fault.code for fault in read_command([*SCRIPT, *words], known_options()).faults]


def test_values_have_their_types_and_what_nobody_gave_is_left_out() -> None:
    read = read_command(
        [
            *SCRIPT,
            "--network_dim=8",
            "--lr_warmup_steps",
            "10%",
            "--text_encoder_lr",
            "1e-5",
            "2e-5",
            "--sdpa",
        ],
        known_options(),
    )
    assert read.script == "sdxl_train_network.py" and not read.faults
    assert read.given == {
        "network_dim": 8, "lr_warmup_steps": 0.1, "text_encoder_lr": [1e-5, 2e-5], "sdpa": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--resol", "512"], ["option-abbreviated"]),
        (["--text_encoder", "1e-5"], ["option-abbreviated"]),
        (["--save", "1"], ["option-unknown"]),  # begins many
        (["--text_encoder_lr1=1e-5"], ["option-unknown"]),
        (["--shuffle_caption=True"], ["option-value"]),
        (["--shuffle_caption", "True"], ["option-value"]),
        (["--max_token_length=75"], ["option-value"]),
        (["--lr_warmup_steps", "1.5"], ["option-value"]),
        (["--seed"], ["option-value"]),
        (["--seed", "1", "--seed", "2"], ["option-repeated"]),
        (["--caption_extention", ".txt"], ["option-spelled"]),
        (["loose"], ["option-unknown"]),
        (["--noise_offset", "-0.1"], []),
    ],
)
def test_what_is_wrong_is_said(words: list[str], found: list[str]) -> None:
    assert codes(words) == found


def test_an_unknown_option_gets_the_nearest_names_and_the_last_repetition_wins() -> None:
    read = read_command([*SCRIPT, "--learning_rates", "1", "--seed", "1", "--seed", "2"], known_options())
    assert read.given == {"seed": 2}
    assert "--learning_rate" in read.faults[0].detail


def test_another_script_and_none() -> None:
    assert read_command(["python", "C:\\sd\\train_network.py"], known_options()).faults == [
        finding("script-wrong", "train_network.py")
    ]
    read = read_command(["--seed", "1"], known_options())
    assert read.faults == [finding("script-missing")] and read.given == {"seed": 1}


@pytest.mark.parametrize(("text", "value"), [("10%", 0.1), ("0.5", 0.5), ("1", 1), ("500", 500), ("0", 0.0)])
def test_steps(text: str, value: float) -> None:
    assert steps(text) == value and isinstance(steps(text), int if value >= 1 else float)


@pytest.mark.parametrize("text", ["1.0", "1.5", "x", "x%", ""])
def test_no_steps(text: str) -> None:
    with pytest.raises(ValueError, match=r"%|neither"):
        steps(text)


def test_the_types_of_a_file() -> None:
    options = known_options().by_name
    assert options["network_dim"].fault(8) is None and options["network_dim"].fault(8.0) is not None
    assert options["sdpa"].fault("true") is not None and options["sdpa"].fault(False) is None
    assert options["learning_rate"].fault(1) is None and options["learning_rate"].fault(True) is not None
    assert options["text_encoder_lr"].fault(1e-5) is not None
    assert options["text_encoder_lr"].fault([1e-5, "x"]) is not None
    assert options["mixed_precision"].fault("bf17") is not None
    assert options["dataset_config"].fault("x.toml") is None
    assert Option("x", "int_or_float").fault(0.1) is None


def test_all_196_options_are_there() -> None:
    options = known_options()
    assert len(options.by_name) == 196 and options.version == "0.10.1"
    assert sum(option.type == "bool" for option in options.by_name.values()) == 62
    assert {name for name, option in options.by_name.items() if option.many} == {
        "optimizer_args", "lr_scheduler_args", "text_encoder_lr", "network_args", "base_weights",
        "base_weights_multiplier",
    }  # fmt: skip
    assert nearest("netwrok_dim", options.by_name).startswith("did you mean network_dim")
    assert nearest("zzzzzz", options.by_name) == ""
    with pytest.raises(ValueError, match="Expecting"):
        parse_options("no JSON")
