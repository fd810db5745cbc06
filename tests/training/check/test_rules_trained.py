"""Rules see the text that is trained, and count steps for the processes that accelerate starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from rule_cases import o, text
from rule_setups import build, images

from tagflow.training.check.derived import epochs, share, steps
from tagflow.training.check.rules import faults_of
from tagflow.training.sd_scripts.captions import Handling, longest, process_caption
from tagflow.training.sd_scripts.launch import Launch, read_launch, with_config
from tagflow.training.sd_scripts.sample_prompts import read_line, read_prompts
from tagflow.training.setup.read import setup_of_command, with_files

SHUFFLED = {"shuffle_caption": True, "keep_tokens_separator": "|||"}
CACHED = {"cache_text_encoder_outputs": True, "network_train_unet_only": True, "text_encoder_lr": None}
LONG = ", ".join(["word"] * 100)


def codes(root: Path, given: dict[str, Any]) -> set[str]:
    return {fault.code for fault in faults_of(build(root, **given))}


@pytest.mark.parametrize(
    ("caption", "subset", "code", "there"),
    [
        ("cat, sofa", {**SHUFFLED, "caption_prefix": "sks, cartoon |||"}, "separator-lacking", False),
        ("cat, sofa", {**SHUFFLED, "caption_prefix": "sks, cartoon |||"}, "prefix-joined", False),
        ("cat, sofa", {**SHUFFLED, "caption_suffix": "||| 8k"}, "separator-lacking", False),
        ("cat, sofa", {**SHUFFLED, "caption_prefix": "sks,"}, "separator-lacking", True),
        ("a ||| b ||| c", {**SHUFFLED, "caption_prefix": "sks |||"}, "separator-thrice", True),
        ("a ||| b", {**SHUFFLED, "caption_prefix": "sks |||"}, "separator-thrice", False),
        ("cat", {"caption_prefix": "sks |||"}, "separator-unknown", True),
        ("cat", {"caption_prefix": "{a|b},"}, "wildcard-off", True),
        ("cat", {"caption_prefix": "{a|b},", "enable_wildcard": True}, "wildcard-off", False),
        ("cat", {"caption_prefix": "(sks:1.2),"}, "captions-weighted", True),
        (LONG, {"caption_prefix": LONG + ","}, "captions-too-long", True),
        (LONG, {}, "captions-too-long", False),
        (f"{LONG}\n{LONG}", {"enable_wildcard": True}, "captions-too-long", False),
        (f"{{{LONG}|{LONG}}}", {"enable_wildcard": True}, "captions-too-long", False),
        (f"{{a|{LONG}, {LONG}}}", {"enable_wildcard": True}, "captions-too-long", True),
        ("", {"caption_prefix": "sks,"}, "captions-blank", True),
    ],
)
def test_prefix_and_suffix_count(
    caption: str, subset: dict[str, object], code: str, there: bool, tmp_path: Path
) -> None:
    assert (code in codes(tmp_path, {**text(caption), "subset": subset})) == there


def test_cached_outputs_know_no_prefix(tmp_path: Path) -> None:
    subset = {"caption_prefix": "(sks:1.2), ||| " + LONG}
    found = codes(tmp_path, {**text(LONG), "subset": subset, **o(**CACHED)})
    assert not found & {"captions-too-long", "captions-weighted", "separator-unknown"}
    assert "cache-text-prefix" in found


def test_a_plan_that_rendered_no_separator_is_told(tmp_path: Path) -> None:
    """With structure none and a shuffle, the order of the captions is not trained."""
    setup = replace(build(tmp_path, found=images({"a.png": "sks, cat"}), subset=SHUFFLED), planned=True)
    assert "separator-lacking" in {fault.code for fault in faults_of(setup)}


def test_captions_of_metadata_are_seen(tmp_path: Path) -> None:
    given = {
        "subset": {"metadata_file": "m.json"},
        "files": {"m.json": '{"a.png": {"caption": "(sks:1.2)", "tags": "cat"}}', "10_cat/a.png": ""},
    }
    assert "captions-weighted" in codes(tmp_path, given)


def test_no_line_that_is_drawn_is_longer() -> None:
    chance = Random(5)  # noqa: S311, the same captions in every run
    pieces = ["cat", "{red|dark blue} sofa", "|||", ", ", "\n", ";;;", "{{a}}", "tree {a|b|c}", " "]
    for seed in range(300):
        how = Handling(
            enable_wildcard=seed % 2 == 0, shuffle_caption=seed % 3 == 0, keep_tokens_separator="|||",
            secondary_separator=";;;", caption_prefix="sks {x|yy},",
            caption_suffix=", end" if seed % 5 else None,
        )  # fmt: skip
        caption = "".join(chance.choice(pieces) for _ in range(9))
        most = longest(caption.strip(), how, len)
        assert all(len(process_caption(caption.strip(), how, chance)) <= most for _ in range(20))


def test_processes_are_read_before_the_script(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("distributed_type: MULTI_GPU\nnum_processes: 4 # all\n")
    assert read_launch("accelerate launch --num_processes 2 --multi_gpu".split()) == Launch(2, "", True)
    assert read_launch(["torchrun", "--nproc-per-node=3"]) == Launch(3)
    named = read_launch("accelerate launch --config_file=own.yaml".split())
    assert named == Launch(0, "own.yaml") and with_config(named, tmp_path) == Launch(4, "own.yaml")
    assert with_config(Launch(2, "own.yaml"), tmp_path).processes == 2
    assert with_config(Launch(0, "gone.yaml"), tmp_path).processes == 0
    setup = setup_of_command(
        "accelerate launch --num_processes 2 sdxl_train_network.py --config_file a.toml".split(), tmp_path
    )
    assert setup.launch == Launch(2)  # the file behind the script is sd-scripts' own


def test_steps_epochs_and_warmup_are_counted_for_processes(tmp_path: Path) -> None:
    alone = build(tmp_path, options={"lr_warmup_steps": 100})
    two = replace(alone, launch=Launch(2))
    assert (steps(alone), steps(two), epochs(two)) == (1000, 500, 10)
    assert share(alone, "lr_warmup_steps") == share(two, "lr_warmup_steps") == 0.1  # of twice 500
    by_steps = replace(two, values={**two.values, "max_train_steps": 500, "max_train_epochs": None})
    assert (steps(by_steps), epochs(by_steps)) == (500, 10)
    found = next(one for one in faults_of(two) if one.code == "processes-several")
    assert found.detail == "2 processes; 500 steps; 100 steps of warm-up are over after 50"


def test_gpus_are_counted_where_several_are_asked_for(tmp_path: Path) -> None:
    setup = build(tmp_path, launch=Launch(several=True))
    assert steps(setup) == 1000  # one GPU
    assert setup.machine is not None
    machine = replace(setup.machine, gpus=setup.machine.gpus * 2)
    assert steps(replace(setup, machine=machine)) == 500


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        ("sks --neg low quality --w 64", ("--neg low quality",)),
        ("sks \u2014w 1024", ("\u2014w",)),
        ("sks--n bad", ("--n",)),
        ("sks --l 1.2.3", ("--l 1.2.3",)),
        ("sks, state-of-the-art, well--lit --w 64", ()),
    ],
)
def test_what_is_lost_of_a_prompt_is_named(line: str, lost: tuple[str, ...]) -> None:
    assert read_line(line).lost == lost


def test_a_line_of_a_prompt_file_ends_where_python_ends_it() -> None:
    assert [one.values["prompt"] for one in read_prompts("p.txt", "a\u2028b\r\n#c\n\n d\rf")] == [
        "a\u2028b",
        "d",
        "f",
    ]


def test_a_regularization_folder_inside_is_not_left_out(tmp_path: Path) -> None:
    for place in ("data/10_cat", "data/reg/1_cat"):
        (tmp_path / place).mkdir(parents=True)
    words = "sdxl_train_network.py --train_data_dir data --reg_data_dir data/reg".split()
    assert "data-left-out" not in {
        one.code for one in faults_of(with_files(setup_of_command(words, tmp_path)))
    }
