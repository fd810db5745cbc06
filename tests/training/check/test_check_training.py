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

from tagflow.findings.catalogue import all_kinds, kind_of
from tagflow.training.check import rules
from tagflow.training.check.registry import Rule
from tagflow.training.machine.probe import probe
from tagflow.training.start.gate import evaluate_gate

GIVEN = OPTIONS | {"optimizer_type": "AdamW", "save_state": True}


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


UNASKED = ("--ignore", "rule-not-asked")
"""Leaves out that neither the trainer's Python nor the checkpoint is known, which is said in every check."""


def test_a_sound_run_folder(tagflow, sound):
    found = tagflow("train", "check", sound, *UNASKED)
    assert (found.code, found.out) == (0, "0 errors, 0 warnings, 0 notes\n")


def test_what_was_not_asked_is_said_with_the_cure(tagflow, sound):
    found = tagflow("train", "check", sound)
    assert (found.code, found.err) == (0, "") and found.out.endswith("\n0 errors, 0 warnings, 2 notes\n")
    assert "the trainer's Python was not asked: " in found.out and "--trainer-python FILE" in found.out
    told = tagflow("train", "check", sound, "--json").json["findings"]
    assert {one["code"] for one in told} == {"rule-not-asked"}
    assert {one["figures"]["missing"] for one in told} == {"base", "machine"}
    assert "eight-bit-missing" in {code for one in told for code in one["figures"]["codes"]}


def crashing(setup: object) -> Any:
    raise ZeroDivisionError("in \x1b[2J")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule on clip_skip raises."""
    rule = Rule("clip_skip", ("clip-skip",), ("clip_skip",), (), crashing, by_subset=False)
    others = [one for one in rules.RULES if one.codes != rule.codes]
    monkeypatch.setattr(rules, "RULES", (rule, *others))


def test_a_rule_that_crashes_is_reported_and_the_others_speak(tagflow, sound, broken):
    add(sound, "v2 = true\nclip_skip = 2")
    found = tagflow("train", "check", sound)
    assert found.code == 4 and "v2-model" in found.out
    assert "clip_skip: ZeroDivisionError: in " in found.out and "\x1b" not in found.out + found.err
    assert found.err.count("Traceback") == 1 and "please report it" in found.err
    told = tagflow("train", "check", sound, "--json")
    crash = next(one for one in told.json["findings"] if one["code"] == "rule-crashed")
    assert (told.code, crash["severity"], crash["where"]["option"]) == (4, "error", "clip_skip")
    assert "in crashing" in crash["figures"]["traceback"]


def test_a_crash_is_told_beside_another_result(tagflow, tmp_path, broken):
    (tmp_path / "sd15.toml").write_text('resolution = "512,512"\n', encoding="utf-8")
    found = tagflow("train", "migrate", tmp_path / "sd15.toml")
    assert found.err.count("Traceback") == 1 and "rule-crashed" in found.err


def test_a_crash_can_be_left_out(tagflow, sound, broken):
    found = tagflow("train", "check", sound, "--ignore", "rule-crashed,rule-not-asked")
    assert (found.code, found.out, found.err) == (0, "0 errors, 0 warnings, 0 notes\n", "")


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
    found = tagflow("train", "check", sound, *UNASKED)
    head, cure, place, summary = found.out.splitlines()
    assert head == f"warning: clip-skip: {kind_of('clip-skip').title}"
    assert cure == f"  cure: {kind_of('clip-skip').cure}"
    line = (sound / "train.toml").read_text(encoding="utf-8").splitlines().index("clip_skip = 2") + 1
    assert place == f"    {(sound / 'train.toml').as_posix()}:{line}: clip_skip: 2"
    assert (found.code, summary) == (0, "0 errors, 1 warning, 0 notes")
    assert tagflow("train", "check", sound, "--strict").code == 1


def test_it_can_be_read_at_sixty_columns(tagflow, sound, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.chdir(sound)
    add(sound, "clip_skip = 2\nv2 = true")
    lines = tagflow("train", "check", ".").out.splitlines()
    assert max(map(len, lines)) <= 60


def test_json_is_one_object(tagflow, sound, monkeypatch):
    monkeypatch.chdir(sound)
    add(sound, "clip_skip = 2")
    found = tagflow("train", "check", ".", "--json", *UNASKED).json
    assert found["schema"] == "tagflow.train-check/2"
    assert (found["script"], found["machine"]) == ("sdxl_train_network.py", False)
    line = len((sound / "train.toml").read_text(encoding="utf-8").splitlines())
    (one,) = found["findings"]
    assert (one["code"], one["severity"]) == ("clip-skip", "warning")
    where = {"file": "train.toml", "line": line, "column": None, "option": "clip_skip", "tag": None}
    assert one["where"] == where


def places(found: Any) -> dict[str, tuple[str | None, int | None]]:
    return {one["code"]: (one["where"]["file"], one["where"]["line"]) for one in found.json["findings"]}


def test_where_an_option_stands(tagflow, sound, monkeypatch):
    """In the dataset file, which stands above the other; with no line where it stands twice."""
    monkeypatch.chdir(sound)
    words = ("train", "check", "train.toml", "--json", "--select", "keep-tokens-idle,save-keep-idle")
    text = (sound / "dataset.toml").read_text(encoding="utf-8")
    (sound / "dataset.toml").write_text("\n" + text + "keep_tokens = 1\n", encoding="utf-8")
    add(sound, "keep_tokens = 2\n# save_last_n_steps = 8\n'save_last_n_steps' = 9")
    train = (sound / "train.toml").read_text(encoding="utf-8")
    found = places(tagflow(*words))
    assert found["save-keep-idle"] == ("train.toml", len(train.splitlines()))
    assert found["keep-tokens-idle"] == ("dataset.toml", len(text.splitlines()) + 2)
    twice = text.replace("[[datasets.subsets]]", "keep_tokens = 1\n[[datasets.subsets]]\nkeep_tokens = 2")
    (sound / "dataset.toml").write_text(twice, encoding="utf-8")
    assert places(tagflow(*words))["keep-tokens-idle"] == ("dataset.toml", None)


def test_what_the_command_line_sets_stands_in_no_file(tagflow, sound, monkeypatch):
    monkeypatch.chdir(sound)
    add(sound, "clip_skip = 2")
    for more, file in (((), "train.toml"), (("--clip_skip", "2"), None)):
        words = ("sdxl_train_network.py", "--config_file", "train", *more)
        (found,) = tagflow("train", "check", "--select", "clip-skip", "--json", "--", *words).json["findings"]
        assert found["where"]["file"] == file


def test_formats_of_other_programs(tagflow, sound):
    add(sound, "clip_skip = 2")
    github = tagflow("train", "check", sound, "--format", "github", *UNASKED).out
    assert github.startswith("::warning file=") and ",line=" in github
    sarif = tagflow("train", "check", sound, "--format", "sarif", *UNASKED).json
    assert [one["ruleId"] for one in sarif["runs"][0]["results"]] == ["clip-skip"]


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
    assert "option-unknown" in {one["code"] for one in found.json["findings"]}


def test_windows_paths_keep_their_backslashes(tagflow, monkeypatch):
    monkeypatch.delenv("SD_SCRIPTS_DIR", raising=False)
    line = r'accelerate launch "C:\sd scripts\sdxl_train_network.py" --vae "C:\my models\vae.safetensors"'
    found = tagflow("train", "check", "--json", "--", line).json
    details = {one["code"]: one["detail"] for one in found["findings"]}
    assert details["vae-not-found"] == r"C:\my models\vae.safetensors"
    assert "script-wrong" not in details


def test_a_size_that_is_no_number_is_one_fault(tagflow, sound):
    text = (sound / "train.toml").read_text(encoding="utf-8")
    (sound / "train.toml").write_text(
        text.replace("network_dim = ", "network_dim = 'x' # "), encoding="utf-8"
    )
    found = tagflow("train", "check", sound, "--json", *UNASKED).json["findings"]
    assert [one["code"] for one in found] == ["config-value"]


def test_explain_is_the_same_as_rule(tagflow):
    for name in ("cache-text-shuffle", "clip-skip"):
        assert tagflow("train", "check", "--explain", name).out == tagflow("rule", name).out
        asked = ("train", "check", "--explain", name, "--json")
        assert tagflow(*asked).json == tagflow("rule", name, "--json").json
    assert tagflow("train", "check", "--explain", "all").out == tagflow("rule", "--all").out
    listed = tagflow("train", "check", "--explain", "all", "--json").json["rules"]
    assert [rule["code"] for rule in listed] == [kind.code for kind in all_kinds()]


def test_a_dataset_file_is_not_taken_for_a_configuration(tagflow, sound):
    found = tagflow("train", "check", sound / "dataset.toml")
    assert found.code == 2 and "is a dataset file" in found.err and "--dataset" in found.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "nothing to check"),
        (("--explain", "cache-text-shufle"), 2, "did you mean cache-text-shuffle"),
        (("--explain", "clip-skip", "RUN"), 2, "--explain checks nothing"),
        (("RUN", "--ignore", "clip-skp"), 2, "did you mean clip-skip"),
        (("RUN", "--json", "--format", "text"), 2, "two results"),
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
    assert found.code == 0 and "no-python: there is no such Python" in found.out


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
    assert found.json["machine"] and "clip-skip" in {one["code"] for one in found.json["findings"]}
