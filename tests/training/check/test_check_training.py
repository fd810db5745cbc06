"""`tagflow train check`: what it takes, what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pythons import make_python, stand_in
from rule_setups import OPTIONS, SUBSET
from source_commands import GUIDE, PLAN
from test_check_commands import make, pictures
from trainer_place import real_trainer

from tagflow.findings.catalogue import catalogue
from tagflow.training.machine.probe import probe
from tagflow.training.start.gate import evaluate_gate

GIVEN = OPTIONS | {"optimizer_type": "AdamW", "save_state": True}

RULES = catalogue("options") | catalogue("gate")


def toml(values: dict[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like one that `train plan` writes, without a fault."""
    monkeypatch.delenv("SD_SCRIPTS_DIR", raising=False)
    make(tmp_path, pictures("pics", 2, (1024, 1024)))
    subset = toml({"image_dir": (tmp_path / "pics").as_posix(), "num_repeats": 10})
    shared = {name: value for name, value in SUBSET.items() if name != "num_repeats"}
    (tmp_path / "dataset.toml").write_text(
        f"[[datasets]]\n{toml(shared)}[[datasets.subsets]]\n{subset}", encoding="utf-8"
    )
    named = {"dataset_config": (tmp_path / "dataset.toml").as_posix()}
    (tmp_path / "train.toml").write_text(toml({**GIVEN, **named}), encoding="utf-8")
    (tmp_path / "plan.json").write_text('{"schema": "tagflow.plan/1"}', encoding="utf-8")
    return tmp_path


def add(folder: Path, line: str) -> None:
    file = folder / "train.toml"
    file.write_text(file.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")


def test_a_sound_run_folder(tagflow, sound):
    found = tagflow("train", "check", sound)
    assert (found.code, found.out) == (0, "0 errors, 0 warnings\n")
    assert "the machine was not looked at" in found.err


def test_an_avif_is_what_the_trainers_python_makes_of_it(tagflow, sound):
    """A warning while nobody asked that Python; an error where it has no plug-in; nothing where it has it."""
    (sound / "pics" / "z.avif").write_bytes(next((sound / "pics").glob("*.png")).read_bytes())
    (sound / "pics" / "z.txt").write_text("a house")
    asked = {"image-needs-plugin", "image-not-seen"}
    assert tagflow("check", sound, "--select", ",".join(asked)).code == 0
    for command in (("check", sound), ("train", "check", sound)):
        found = tagflow(*command).out
        assert [code for code in asked if code in found] == ["image-needs-plugin"]
    python = make_python(sound / "env")
    for plugin, said in (("", {"image-not-seen"}), ("pillow-avif-plugin", set())):
        if plugin:
            stand_in(python, plugin, "pillow_avif", "1.5", "")
        found = tagflow("train", "check", sound, "--trainer-python", python).out
        assert {code for code in asked if code in found} == said
        assert {one.code for one in evaluate_gate(sound, machine=probe(python)).faults} & asked == said


def test_a_toml_file_and_its_dataset(tagflow, sound):
    add(sound, "v2 = true")
    assert tagflow("train", "check", sound / "train.toml").code == 1
    (sound / "alone.toml").write_text(toml(GIVEN), encoding="utf-8")
    assert tagflow("train", "check", sound / "alone.toml").code == 1  # it names no data
    assert tagflow("train", "check", sound / "alone.toml", "--dataset", sound / "dataset.toml").code == 0


def test_a_line_says_what_where_and_what_cures_it(tagflow, sound):
    add(sound, "clip_skip = 2")
    found = tagflow("train", "check", sound)
    line, summary = found.out.splitlines()
    assert line.startswith("warning: clip-skip: clip_skip: ") and RULES["clip-skip"].cure in line
    assert (found.code, summary) == (0, "0 errors, 1 warning")
    assert tagflow("train", "check", sound, "--strict").code == 1


def test_json_is_one_object(tagflow, sound):
    add(sound, "clip_skip = 2")
    found = tagflow("train", "check", sound, "--json").json
    assert found["schema"] == "tagflow.train-check/1"
    assert (found["script"], found["machine"]) == ("sdxl_train_network.py", False)
    assert [(one["code"], one["severity"], one["option"], one["where"]) for one in found["faults"]] == [
        ("clip-skip", "warning", "clip_skip", "train.toml")
    ]


@pytest.mark.parametrize("command", [PLAN, GUIDE], ids=["plan", "guide"])
@pytest.mark.parametrize("broken", [" \\\n  --", " ^\r\n  --", " `\n --"], ids=["sh", "cmd", "powershell"])
def test_a_command_in_words_or_as_one_text(tagflow, command, broken, monkeypatch):
    monkeypatch.delenv("SD_SCRIPTS_DIR", raising=False)
    words = command.replace('"', "").split()
    found = tagflow("train", "check", "--json", "--", *words)
    lines = command.replace(" --", broken)
    assert found.code == 1
    assert tagflow("train", "check", "--json", "--", lines).json == found.json
    assert tagflow("train", "check", "--json", lines).json == found.json


def test_options_before_the_command_are_the_checks_own(tagflow, monkeypatch):
    monkeypatch.delenv("SD_SCRIPTS_DIR", raising=False)
    found = tagflow("train", "check", "--json", "--", "sdxl_train_network.py", "--seed", "1", "--strict")
    assert "option-unknown" in {one["code"] for one in found.json["faults"]}


def test_windows_paths_keep_their_backslashes(tagflow, monkeypatch):
    monkeypatch.delenv("SD_SCRIPTS_DIR", raising=False)
    line = r'accelerate launch "C:\sd scripts\sdxl_train_network.py" --vae "C:\my models\vae.safetensors"'
    found = tagflow("train", "check", "--json", "--", line).json
    details = {one["code"]: one["detail"] for one in found["faults"]}
    assert details["vae-not-found"] == r"C:\my models\vae.safetensors"
    assert "script-wrong" not in details


def test_a_size_that_is_no_number_is_one_fault(tagflow, sound):
    text = (sound / "train.toml").read_text(encoding="utf-8")
    (sound / "train.toml").write_text(
        text.replace("network_dim = ", "network_dim = 'x' # "), encoding="utf-8"
    )
    found = tagflow("train", "check", sound, "--json").json["faults"]
    assert [one["code"] for one in found] == ["config-value"]


def test_explain(tagflow):
    found = tagflow("train", "check", "--explain", "cache-text-shuffle")
    assert found.code == 0 and found.out.startswith("cache-text-shuffle (error): ") and "cure: " in found.out
    listed = tagflow("train", "check", "--explain", "all").out.splitlines()
    assert [line.split(" ")[0] for line in listed] == list(RULES)


def test_explain_in_json(tagflow):
    found = tagflow("train", "check", "--explain", "clip-skip", "--json").json
    (rule,) = found["rules"]
    assert (found["schema"], rule["code"]) == ("tagflow.train-rules/1", "clip-skip")
    assert rule["severity"] == "warning" and rule["explanation"] and rule["cure"]
    listed = tagflow("train", "check", "--explain", "all", "--json").json["rules"]
    assert [rule["code"] for rule in listed] == list(RULES)


def test_a_dataset_file_is_not_taken_for_a_configuration(tagflow, sound):
    found = tagflow("train", "check", sound / "dataset.toml")
    assert found.code == 2 and "is a dataset file" in found.err and "--dataset" in found.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "nothing to check"),
        (("--explain", "cache-text-shufle"), 2, "did you mean cache-text-shuffle"),
        (("--explain", "clip-skip", "RUN"), 2, "--explain checks nothing"),
        (("one", "two"), 2, "2 things to check"),
        (("run", "--strct"), 2, "No such option"),
        (("gone",), 3, "neither a run folder nor a TOML file"),
        (("gone.toml",), 3, "gone.toml"),
        ((".",), 3, "no run folder"),
        (("--", "sdxl_train_network.py --vae 'x"), 2, "close its quotes"),
        (("--dataset", "d.toml", "--", "sdxl_train_network.py"), 2, "--dataset_config"),
        (("--sd-scripts", "gone", "--", "sdxl_train_network.py"), 3, "is not a copy of sd-scripts"),
        (("--trainer-python", "gone", "--", "sdxl_train_network.py"), 3, "there is no such Python"),
    ],
)
def test_what_cannot_be_checked(tagflow, words, code, said):
    found = tagflow("train", "check", *words)
    assert (found.code, found.out) == (code, "")
    assert said in found.err


def test_the_plan_names_the_trainers_python(tagflow, sound):
    plan = {"schema": "tagflow.plan/1", "trainer_python": str(sound / "no-python"), "sd_scripts": None}
    (sound / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    found = tagflow("train", "check", sound)
    assert found.code == 0 and "no-python: there is no such Python" in found.err


def test_names_do_not_steer_the_terminal(tagflow, sound):
    add(sound, 'vae = "a\\u001b[2J.safetensors"')
    found = tagflow("train", "check", sound)
    assert "\x1b" not in found.out and "vae-not-found" in found.out


def test_nothing_is_written(tagflow, sound, tree):
    before = tree(sound)
    tagflow("train", "check", sound)
    tagflow("train", "check", sound / "train.toml", "--json")
    assert tree(sound) == before


@pytest.fixture
def trainer() -> tuple[Path, Path]:
    """The real one; asked for before `sound` takes its place out of the environment."""
    return real_trainer()


def test_the_users_own_version_is_asked(tagflow, trainer, sound):
    sd_scripts, python = trainer
    add(sound, "clip_skip = 2")
    found = tagflow("train", "check", sound, "--sd-scripts", sd_scripts, "--trainer-python", python, "--json")
    assert found.json["machine"] and "clip-skip" in {one["code"] for one in found.json["faults"]}
