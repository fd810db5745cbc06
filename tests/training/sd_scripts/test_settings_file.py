"""Settings files are read as sd-scripts' TOML library reads them; one that it refuses is one finding."""

from __future__ import annotations

import json
import os
import random
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from trainer_place import real_trainer

from tagflow.training.check.rules import faults_of
from tagflow.training.sd_scripts.settings_file import read_settings
from tagflow.training.setup.read import setup_of_command, setup_of_toml

READS = """
import json, sys
import toml
answers = []
for text in json.load(sys.stdin):
    try:
        answers.append(toml.loads(text))
    except Exception as problem:  # `toml` raises what it happens to: it is the answer
        answers.append(f"{type(problem).__name__}: {problem}")
print(json.dumps(answers))
"""
# A text, and whether sd-scripts reads it as it is meant.
TEXTS = [
    ("a = [1, 5e-5]", False), ("a = [1.0, 5e-5]", True), ("a = [1, 'x']", False), ("a = [true, 1]", False),
    ("a = [[1, 2], [1.5]]", True), ("a = [['x', 1]]", False), ("a = ['x', ['y']]", False), ("a.b = 1", True),
    ("a.b.c = 1\na.b.d = 2", True), ("[t]\na.b = 1", True), ("a = {b = [1, 2], c = 'x, y'}", True),
    ("[[d]]\nr = [1024, 1024] # c\n[[d.s]]\ni = 'x'\n  [[d.s]]\n  i = 'y'", True),
    ('a = [\n "x=1", # don\'t\n # "z=3",\n "y=[2, 3]",\n]', True), ("a = 1_000\nb = 0x10\nc = 1e-4", True),
    ('a = "\\"\\"best"', False),
    ('a = "\\"best\\" run"', True), ('a = "the \\"best\\" run"', True), ("a = '\"best\" run'", True),
    ("a = [' , x']", False), ("a = ['x, y', 'betas=0.9,0.99']", True), ('a = ["""x\ny""", "z"]', True),
    ('a = """x\ny"""', True), ("a\u00a0= 1\u00a0", True), ("a = 'C:\\x\\' # c", True), ("a = .5", False),
    ("a = True", False), ("a = 1\na = 2", False), ("a = \u201cx\u201d", False), ("a = 'x # y' # z", True),
]  # fmt: skip


def asked(texts: list[str]) -> list[Any]:
    """What sd-scripts' own library says; a text for a refusal."""
    _, python = real_trainer()
    done = subprocess.run(
        [str(python), "-c", READS], input=json.dumps(texts), capture_output=True, text=True, check=False,
        timeout=120, env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def ours(text: str, folder: Path) -> Any:
    """What we read; None where something is to be said of it."""
    (folder / "t.toml").write_bytes(text.encode())
    found, faults = read_settings(folder / "t.toml", "config-unreadable")
    return None if faults else found


@pytest.mark.parametrize(("text", "sound"), TEXTS, ids=[repr(text) for text, _ in TEXTS])
def test_what_is_said_of_a_text(text: str, sound: bool, tmp_path: Path) -> None:
    assert (ours(text, tmp_path) is not None) == sound


def test_the_real_library_says_the_same(tmp_path: Path) -> None:
    """Of the texts above, and of made-up files as people write them."""
    chance = random.Random(3)  # noqa: S311, the same files in every run
    texts = [text for text, _ in TEXTS] + [made_up(chance) for _ in range(1500)]
    for text, theirs in zip(texts, asked(texts), strict=True):
        read = ours(text, tmp_path)
        if read is not None:
            assert read == theirs, text
        elif isinstance(theirs, dict):  # it loses a text, or a part of it
            assert theirs != tomllib.loads(text), text


def made_up(chance: random.Random) -> str:
    """A file of several lines: texts, numbers, lists over one line or several, comments, tables."""
    word = ["cat, sofa", "x=1", "betas=0.9,0.99", "C:/data", "it's", "a # b", "up=[1,2]", "|||", ";;;", "é"]
    lines = []
    for n in range(chance.randint(1, 6)):
        kind, texts = chance.random(), [f'"{chance.choice(word)}"' for _ in range(chance.randint(0, 3))]
        value = chance.choice(["1", "1e-4", "true", "0.5", '"x"', "'C:\\data\\img'", "[1, 2]", "[1, 0.5]"])
        if kind < 0.3:
            value = f"[{', '.join(texts)}{chance.choice(['', ',']) if texts else ''}]"
        elif kind < 0.5:
            value = "[\n" + "".join(f"  {one},{chance.choice(['', ' # c'])}\n" for one in texts) + "]"
        lines += [f"[t{n}]"] if kind > 0.9 else []
        lines.append(f"k{n}{chance.choice([' = ', '='])}{value}{chance.choice(['', ' # note', ' '])}")
    return "\n".join(lines) + "\n"


CURES = [
    (b'output_dir = "C:\\data\\img"\n', "single quotes"),
    (b'output_dir = "C:\\users\\me"\n', "single quotes"),
    (b'output_dir = "D:\\lora\\"\n', "single quotes"),
    ('output_name = "gr\u00f6\u00dfe"\n'.encode("latin-1"), "UTF-8"),
    ('output_name = "\u732b\u5a18"\n'.encode("gbk"), "UTF-8"),
    ("seed = 1\n".encode("utf-16"), "UTF-8"),
    (b"\xef\xbb\xbfseed = 1\n", "byte order mark"),
    ("output_name = \u201ccat\u201d\n".encode(), "curly"),
    (b"sdpa = True\n", "true"),
    (b"vae = None\n", "leave the line out"),
    (b"output_name = cat\n", "quotes"),
    (b"seed = 1\nseed = 2\n", "twice"),
    (b"seed = 1,\n", "remove the ,"),
    (b"seed: 1\n", "colon"),
    (b"--seed 1\n", "without dashes"),
    (b"<!DOCTYPE html><html>", "web page"),
    (b'{"seed": 1}', "JSON"),
]


@pytest.mark.parametrize(("data", "says"), CURES, ids=[str(data[:24]) for data, _ in CURES])
def test_one_unreadable_file_is_one_finding_with_the_cure_that_fits(
    data: bytes, says: str, tmp_path: Path
) -> None:
    (tmp_path / "t.toml").write_bytes(data)
    (found,) = faults_of(setup_of_toml(tmp_path / "t.toml"))
    assert found.code == "config-unreadable" and says in found.cure


def test_an_escape_in_a_path_is_seen_though_the_file_is_read(tmp_path: Path) -> None:
    text = 'output_dir = "C:\\train\\new"\ntraining_comment = "one\\ttwo"\n'
    (tmp_path / "t.toml").write_text(text)
    (found,) = setup_of_toml(tmp_path / "t.toml").faults
    assert (found.code, found.option) == ("config-value", "output_dir") and "single quotes" in found.cure


def test_a_name_in_capitals_is_not_found_by_the_trainer(tmp_path: Path) -> None:
    """It puts .toml behind a name that does not end in it in small letters; a dataset may end as it likes."""
    (tmp_path / "T.TOML").write_text("seed = 1\n")
    (found,) = faults_of(setup_of_toml(tmp_path / "T.TOML"))
    assert found.code == "config-unreadable" and "T.TOML.toml" in found.detail


DATASET = {"datasets": [{"resolution": 1024, "subsets": [{"image_dir": "a", "num_repeats": 3}]}]}


@pytest.mark.parametrize("name", ["d.json", "D.JSON", "d.Json"])
def test_a_dataset_may_be_json(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps(DATASET))
    setup = setup_of_command(["sdxl_train_network.py", "--dataset_config", name], tmp_path)
    assert setup.faults == () and [one.values["num_repeats"] for one in setup.subsets or ()] == [3]


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("D.TOML", "[[datasets]]\n", None),
        ("d.yaml", "[[datasets]]\n", "dataset-unreadable"),
        ("d", "[[datasets]]\n", "dataset-unreadable"),
        ("d.json", '{"datasets": [],}', "dataset-unreadable"),
        ("d.json", "[]", "dataset-unreadable"),
        ("d.json", '{"dataset": []}', "dataset-key-unknown"),
        ("d.toml", "[[datasets]]\nresolution = [1024, 1024.0]\n", "toml-array-mixed"),
    ],
)
def test_other_dataset_files(name: str, text: str, code: str | None, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    setup = setup_of_command(["sdxl_train_network.py", "--dataset_config", name], tmp_path)
    assert code in {one.code for one in setup.faults} if code else setup.faults == ()
