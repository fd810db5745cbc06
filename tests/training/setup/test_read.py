"""Setups from command lines, TOML files and folders; files are found as the trainer finds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tagflow.errors import TrainerError
from tagflow.training.check.rules import faults_of
from tagflow.training.setup.read import images, setup_of_command, setup_of_run, setup_of_toml, with_files

SCRIPT = "sdxl_train_network.py"


def picture(file: Path, size: tuple[int, int] = (64, 48)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(file)


def toml(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_is_flat_to_sd_scripts_and_the_command_line_wins(tmp_path: Path) -> None:
    toml(tmp_path / "c.toml", 'seed = 1\n[network]\nnetwork_dim = 8\nnetwork_dimm = 9\n[x]\nsdpa = "yes"\n')
    setup = setup_of_command([SCRIPT, "--config_file", "c", "--seed", "2"], tmp_path)
    assert setup.values["seed"] == 2 and setup.values["network_dim"] == 8 and setup.values["sdpa"] is False
    assert setup.given == {"network_dim": "c.toml", "sdpa": "c.toml", "seed": "command line"}
    assert [(fault.code, fault.option) for fault in setup.faults] == [
        ("config-key-unknown", "network_dimm"),
        ("config-value", "sdpa"),
    ]
    assert "network_dim" in setup.faults[0].detail


def test_the_dataset_file_its_order_of_lookup_and_its_faults(tmp_path: Path) -> None:
    file = toml(
        tmp_path / "d.toml",
        '[general]\nkeep_tokens = 1\ncaption_extension = "txt"\n[[datasets]]\nkeep_tokens = 2\n'
        'batch_size = 3\n[[datasets.subsets]]\nimage_dir = "a"\nkeep_tokens = 3\n[[datasets.subsets]]\n'
        'image_dir = "b"\n',
    )
    command = [SCRIPT, "--dataset_config", "d.toml", "--keep_tokens", "9", "--shuffle_caption"]
    one, two = setup_of_command(command, tmp_path).subsets or ()
    assert (one.values["keep_tokens"], two.values["keep_tokens"]) == (3, 2)
    assert one.values["caption_extension"] == ".txt" and one.values["shuffle_caption"] is True
    assert one.values["batch_size"] == 3 and one.folder == tmp_path / "a"
    assert "shuffle_caption" in one.given and "flip_aug" not in one.given
    file.write_text("[general]\nkeep_token = 1\n", encoding="utf-8")
    setup = setup_of_command(command, tmp_path)
    assert setup.subsets is None and [fault.code for fault in setup.faults] == ["dataset-key-unknown"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("datasets = 1", "dataset-value"),
        ("general = 1", "dataset-value"),
        ("[[datasets]]\nsubsets = [1]", "dataset-value"),
        ('[[datasets]]\n[[datasets.subsets]]\nclass_tokens = "a"', "dataset-value"),
        ('[[datasets]]\nresolution = "1024"\n[[datasets.subsets]]\nimage_dir = "a"', "dataset-value"),
        ('[[datasets]]\nvalidation_split = 0\n[[datasets.subsets]]\nimage_dir = "a"', "dataset-value"),
        (
            '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "a"\n[[datasets.subsets]]\nmetadata_file = "b"',
            "dataset-kind-mixed",
        ),
        ("= no toml", "dataset-unreadable"),
    ],
)
def test_what_a_dataset_file_may_not_hold(tmp_path: Path, text: str, code: str) -> None:
    toml(tmp_path / "d.toml", text)
    setup = setup_of_command([SCRIPT, "--dataset_config=d.toml"], tmp_path)
    assert [fault.code for fault in setup.faults] == [code] and setup.subsets is None


IMAGE = 'image_dir = "a"\n'
SHAPES = [  # a dataset file, where it is wrong, and what is to be written there
    (
        f"[[datasets]]\n[datasets.subsets]\n{IMAGE}",
        "datasets[0].subsets is one table",
        "[[datasets.subsets]]",
    ),
    ("[[datasets]]\nsubsets = {}", "datasets[0].subsets is one table", "[[datasets.subsets]]"),
    ('[[datasets]]\nsubsets = ["a"]', "datasets[0].subsets[0] is 'a'", "[[datasets.subsets]]"),
    ("[[datasets]]\nsubsets = [[1]]", "datasets[0].subsets[0] is [1]", "[[datasets.subsets]]"),
    ("[[datasets]]\nsubsets = 3", "datasets[0].subsets is 3", "[[datasets.subsets]]"),
    ('[[datasets]]\nsubsets = "a"', "datasets[0].subsets is 'a'", "[[datasets.subsets]]"),
    (f"[datasets]\n[[datasets.subsets]]\n{IMAGE}", "datasets is one table", "[[datasets]]"),
    ("[datasets]", "datasets is one table", "[[datasets]]"),
    ("datasets = [1]", "datasets[0] is 1", "[[datasets]]"),
    ("datasets = true", "datasets is True", "[[datasets]]"),
    ("general = 3", "general must be a table", "[general]"),
    ("[[general]]\nkeep_tokens = 1", "general must be a table", "[general]"),
]


@pytest.mark.parametrize(("text", "where", "cure"), SHAPES, ids=[text for text, _, _ in SHAPES])
def test_a_dataset_file_of_another_shape_is_a_finding_that_names_what_to_write(
    tmp_path: Path, tagflow: Any, text: str, where: str, cure: str
) -> None:
    train = toml(tmp_path / "t.toml", "seed = 1")
    toml(tmp_path / "d.toml", text)
    done = tagflow("train", "check", train, "--dataset", tmp_path / "d.toml", "--json")
    fault, *_ = (one for one in done.json["findings"] if one["code"] == "dataset-value")
    assert done.code == 1 and fault["severity"] == "error"
    assert fault["detail"].startswith(f"d.toml: {where}") and fault["detail"].endswith(cure)


def test_both_kinds_of_single_brackets_are_named_at_once(tmp_path: Path) -> None:
    toml(tmp_path / "d.toml", f"[datasets]\nsubset = 1\n[datasets.subsets]\n{IMAGE}imagedir = 1\n")
    setup = setup_of_command([SCRIPT, "--dataset_config=d.toml"], tmp_path)
    assert [(fault.code, fault.option) for fault in setup.faults] == [
        ("dataset-value", "datasets"),
        ("dataset-value", "subsets"),
        ("dataset-key-unknown", "subset"),
        ("dataset-key-unknown", "imagedir"),
    ]


def test_folders_named_for_their_repeats(tmp_path: Path) -> None:
    for name in ("data/2_my house", "data/house", "data/0_none", "reg/1_house"):
        picture(tmp_path / name / "a.png")
    setup = setup_of_command([SCRIPT, "--train_data_dir", "data", "--reg_data_dir", "reg"], tmp_path)
    train, reg = setup.subsets or ()
    assert train.values["num_repeats"] == 2 and train.values["class_tokens"] == "my house"
    assert reg.values["is_reg"] is True and reg.folder == tmp_path / "reg" / "1_house"
    described = setup_of_command([SCRIPT, "--in_json", "m.json"], tmp_path).subsets or ()
    assert [one.kind for one in described] == ["fine tuning"]


def test_what_lies_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "1_a"
    for name in ("a.png", "b.PNG", "c.Png", ".hidden.png", "x_1_2_3_4.png", "e.jpg", "f.png"):
        picture(folder / name)
    (folder / "broken.webp").write_bytes(b"no picture")
    for name, data in {
        "a.txt": b"wall, sofa", "x.txt": b"face", "e.txt": b"", "b.txt": b"\xff", "f.caption": b"no"
    }.items():  # fmt: skip
        (folder / name).write_bytes(data)
    for name in ("a_te_outputs.npz", "metadata_cache.json", "e_te_outputs.npz"):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (1, 1) if name[0] == "a" else None)
    os.utime(folder / "e.txt", (1, 1))
    setup = with_files(
        setup_of_command([SCRIPT, "--train_data_dir", ".", "--caption_extension", "txt"], tmp_path)
    )
    found = (setup.images or ())[0]
    assert found.sizes == dict.fromkeys(["a.png", "b.PNG", "e.jpg", "f.png", "x_1_2_3_4.png"], (64, 48))
    assert found.unreadable == ("broken.webp",) and found.count == 6
    assert found.captioned == {"a.png", "b.PNG", "e.jpg", "x_1_2_3_4.png"}
    assert found.texts == {"a.png": "wall, sofa", "x_1_2_3_4.png": "face"}
    assert found.unusable == {"e.jpg": "empty", "b.PNG": "not UTF-8"}
    assert found.other_captions == {".caption": 1} and found.stale == ("a_te_outputs.npz",)
    assert setup.base is None


def test_a_subset_without_a_folder_has_nothing(tmp_path: Path) -> None:
    toml(tmp_path / "d.toml", '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "gone"\n')
    setup = setup_of_command([SCRIPT, "--dataset_config=d.toml"], tmp_path)
    assert images((setup.subsets or ())[0]).count == 0


def test_no_run_folder_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="no run folder"):
        setup_of_run(tmp_path)
    setup = setup_of_toml(tmp_path / "gone.toml")
    assert [fault.code for fault in setup.faults] == ["config-unreadable"]
    assert "gone.toml" in setup.faults[0].detail


def test_a_file_may_say_what_the_command_line_refuses_and_sd_scripts_takes(tmp_path: Path) -> None:
    toml(
        tmp_path / "t.toml",
        'text_encoder_lr = 5e-5\nmax_token_length = 75\ndynamo_backend = "no"\nseed = 1\n',
    )
    setup = setup_of_toml(tmp_path / "t.toml")
    assert setup.faults == () and setup.values["text_encoder_lr"] == [5e-5]
    assert setup.values["max_token_length"] is None and "max_token_length" not in setup.given


@pytest.mark.parametrize("line", ["text_encoder_lr = true", "max_token_length = 77", 'network_dim = "16"'])
def test_of_an_option_that_was_not_understood_nothing_more_is_said(tmp_path: Path, line: str) -> None:
    toml(tmp_path / "t.toml", f'{line}\nlearning_rate = 1e-4\nnetwork_module = "networks.lora"\n')
    option = line.partition(" ")[0]
    found = [fault.code for fault in faults_of(setup_of_toml(tmp_path / "t.toml")) if fault.option == option]
    assert found == ["config-value"]
