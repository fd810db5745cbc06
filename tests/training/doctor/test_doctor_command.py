"""`tagflow train doctor`: what it finds by itself, how it ends, and what its JSON holds."""

from __future__ import annotations

import shutil
import sys

import pytest
from model_files import sdxl, write_sparse
from pythons import all_packages, make_python, make_run, make_sd_scripts, stand_in, torch

from tagflow.findings.catalogue import kind_of
from tagflow.training.doctor.files import TOKENIZERS


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch, tmp_path):
    """No sd-scripts of the user's, no GPU of this machine; both tokenizers are in the hub's cache."""
    for name in ("SD_SCRIPTS_DIR", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("tagflow.training.doctor.files.LOADS", 0)  # this machine may be small
    for name in TOKENIZERS:
        folder = tmp_path / "hf/hub" / f"models--{name.replace('/', '--')}" / "snapshots" / "abc"
        folder.mkdir(parents=True)
        for file in ("vocab.json", "merges.txt"):
            (folder / file).write_text("")


@pytest.fixture
def sd_scripts(tmp_path):
    return make_sd_scripts(tmp_path / "sd-scripts")


@pytest.fixture
def python(sd_scripts):
    python = make_python(sd_scripts / "venv")
    all_packages(python)
    return python


def codes(result):
    return {one["figures"]["check"]: one["code"] for one in result.json["findings"]}


def test_without_a_trainer_it_says_so_and_looks_at_the_rest(tagflow):
    result = tagflow("doctor")
    assert result.code == 1 and result.err == ""
    lines = result.out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["ok", "tokenizers"], ["ok", "memory"]]
    at = lines.index("error: trainer-python-missing: no Python to train with")
    assert "--trainer-python FILE" in lines[at + 1] and lines[at + 2].startswith("    python: ")
    assert "error: sd-scripts-missing: sd-scripts was not found" in lines
    assert lines[-1] == "a run cannot start here: 2 errors, 0 warnings, 1 note"


def test_a_stand_in_trainer_beside_sd_scripts_is_found_and_sound(tagflow, sd_scripts, python, monkeypatch):
    monkeypatch.setenv("SD_SCRIPTS_DIR", str(sd_scripts))
    result = tagflow("doctor")
    assert result.code == 0, result.out
    assert result.err == f"tagflow: asking {python} what it has ...\n"
    assert result.out.splitlines()[-1] == "a run can start here: 0 errors, 0 warnings, 2 notes"
    assert "Stand-in GPU, 24.0 of 24.0 GiB free" in result.out
    assert "0.10.1 (commit 48d368fa)" in result.out
    assert "\n    xformers: not there; only a run that asks for it needs it\n" in result.out
    assert "cure: plan with" not in result.out  # it is no more than a note here


def test_json_holds_the_lines_and_the_machine_of_a_stand_in_trainer(tagflow, sd_scripts, python):
    found = tagflow("doctor", "--sd-scripts", sd_scripts, "--json").json
    assert found["schema"] == "tagflow.doctor/2" and found["ready"] is True and found["run"] is None
    assert found["trainer_python"] == str(python) and found["sd_scripts"] == str(sd_scripts)
    assert found["machine"]["packages"]["transformers"] == "4.54.1"
    assert found["machine"]["gpus"][0]["capability"] == [8, 0]
    assert {"check": "transformers", "seen": "4.54.1"} in found["looked_at"]
    assert {one["code"] for one in found["findings"]} == {"xformers-missing", "checkpoint-unknown"}
    for one in found["findings"]:
        assert one["title"] == kind_of(one["code"]).title and one["severity"] == "info"
        assert one["detail"].startswith(f"{one['figures']['check']}: ")


def test_the_run_decides_with_a_stand_in_trainer_without_bitsandbytes(tagflow, sd_scripts, python, tmp_path):
    stand_in(python, "bitsandbytes", "bitsandbytes", "0.45.0", "raise RuntimeError('CUDA setup failed')")
    base = write_sparse(tmp_path / "base.safetensors", sdxl())
    plan = {"sd_scripts": str(sd_scripts), "trainer_python": str(python)}
    common = {"pretrained_model_name_or_path": str(base), "mixed_precision": "bf16"}
    eight = make_run(tmp_path / "eight", {**common, "optimizer_type": "AdamW8bit"}, plan)
    result = tagflow("doctor", eight)
    assert result.code == 1 and "bitsandbytes: 0.45.0: RuntimeError: CUDA setup failed" in result.out
    assert result.out.splitlines()[-1] == f"{eight} cannot start here: 1 error, 0 warnings, 1 note"
    plain = make_run(tmp_path / "plain", {**common, "optimizer_type": "AdamW"}, plan)
    assert tagflow("doctor", plain).code == 0
    assert codes(tagflow("doctor", "--sd-scripts", sd_scripts, "--json")) == {
        "bitsandbytes": "package-broken",
        "xformers": "xformers-missing",
        "checkpoint": "checkpoint-unknown",
    }


def test_the_runs_files_are_looked_at_and_others_can_be_named(tagflow, sd_scripts, python, tmp_path):
    base = write_sparse(tmp_path / "base.safetensors", sdxl())
    options = {
        "pretrained_model_name_or_path": str(tmp_path / "gone.safetensors"),
        "vae": str(tmp_path / "no.pt"),
    }
    run = make_run(tmp_path / "run", options, {"sd_scripts": str(sd_scripts)})
    result = tagflow("doctor", run, "--json")
    assert result.code == 1 and result.json["ready"] is False
    assert codes(result) == {
        "xformers": "xformers-missing",
        "checkpoint": "checkpoint-bad",
        "vae": "vae-bad",
    }
    assert tagflow("doctor", run, "--base", base, "--vae", base).code == 0


def test_strict_counts_warnings_of_a_stand_in_trainer(tagflow, sd_scripts, python):
    stand_in(python, "transformers", "transformers", "5.1.0", "CLIPTextModelWithProjection = 1")
    old = next(python.parent.parent.glob("lib/python3.*/site-packages/transformers-4.54.1.dist-info"))
    (old / "METADATA").unlink()
    old.rmdir()
    assert tagflow("doctor", "--sd-scripts", sd_scripts).code == 0
    result = tagflow("doctor", "--sd-scripts", sd_scripts, "--strict")
    assert result.code == 1 and "warning: package-version: " in result.out
    assert "    transformers: 5.1.0; sd-scripts pins 4.54.1\n" in result.out
    assert tagflow("doctor", "--sd-scripts", sd_scripts, "--strict", "--ignore", "package-version").code == 0


def test_a_stand_in_cpu_build_is_enough_for_no_8_bit_plan(tagflow, sd_scripts, python, tmp_path):
    torch(python, built=None, total=None)
    run = make_run(tmp_path / "run", {"optimizer_type": "AdamW8bit"}, {"sd_scripts": str(sd_scripts)})
    found = codes(tagflow("doctor", run, "--json"))
    assert found["gpu"] == "gpu-missing" and found["bitsandbytes"] == "bitsandbytes-no-gpu"


def test_an_own_python_named_on_purpose_is_warned_of(tagflow, sd_scripts, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(sd_scripts / "venv"))
    python = make_python(sd_scripts / "venv")
    found = codes(tagflow("doctor", "--sd-scripts", sd_scripts, "--json"))
    assert found["python"] == "trainer-python-missing"
    result = tagflow("doctor", "--sd-scripts", sd_scripts, "--trainer-python", python, "--json")
    assert codes(result)["python"] == "trainer-python-own"
    assert codes(result)["torch"] == "torch-missing" and codes(result)["numpy"] == "package-missing"


def test_a_python_that_gives_no_answer_is_a_line_and_not_the_end(tagflow, sd_scripts, tmp_path):
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexit 5\n")
    silent.chmod(0o755)
    result = tagflow("doctor", "--sd-scripts", sd_scripts, "--trainer-python", silent)
    assert result.code == 1
    assert "error: trainer-python-silent: " in result.out and "exit code 5" in result.out
    assert "ok  sd-scripts" in result.out


def test_deep_loads_a_script_that_does_not_load_in_a_stand_in_trainer(tagflow, sd_scripts, python):
    result = tagflow("doctor", "--sd-scripts", sd_scripts, "--deep", "--json")
    assert result.code == 1 and codes(result)["script"] == "sd-scripts-broken"
    assert "voluptuous" in next(
        one["detail"] for one in result.json["findings"] if one["figures"]["check"] == "script"
    )


def test_a_folder_that_is_no_run_is_a_failure(tagflow, tmp_path):
    result = tagflow("doctor", tmp_path)
    assert result.code == 3 and result.out == "" and "plan.json" in result.err


def test_a_name_does_not_steer_the_terminal(tagflow, tmp_path):
    result = tagflow("doctor", "--sd-scripts", tmp_path / "a\x1b[2Jb", "--base", tmp_path / "c\nd")
    assert result.code == 1 and "\x1b" not in result.out
    assert "a\\x1b[2Jb" in result.out and "c\\nd" in result.out


def test_a_cure_is_said_once_for_all_that_it_serves(tagflow, sd_scripts, python):
    stand_in(python, "transformers", "transformers", "5.1.0", "CLIPTextModelWithProjection = 1")
    for name in ("transformers-4.54.1*", "imagesize*", "ftfy*"):
        for old in python.parent.parent.glob(f"lib/python3.*/site-packages/{name}"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    told = tagflow("doctor", "--sd-scripts", sd_scripts)
    cure = f"`{python} -m pip install -r requirements.txt` (for transformers, ftfy, imagesize)"
    assert told.code == 1 and told.out.count("pip install") == 1 and cure in told.out
    for code in ("package-missing", "package-version", "ftfy-missing"):
        assert f": {code}: " in told.out
    told = tagflow("doctor", "--sd-scripts", sd_scripts, "--json").json  # a program gets it with each
    assert [one["cure"].count(cure) for one in told["findings"] if one["severity"] != "info"] == [1, 1, 1]


@pytest.mark.parametrize(
    ("content", "what", "cure"),
    [
        (b'{"error":"Unauthorized"}', "an answer in JSON", "API key (Civitai)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", "`git lfs pull`"),
        (b"<html>sign in</html>", "a web page", "log in there"),
    ],
)
def test_what_was_downloaded_in_place_of_a_model_is_named(tagflow, tmp_path, content, what, cure):
    (tmp_path / "base.safetensors").write_bytes(content)
    told = tagflow("doctor", "--base", tmp_path / "base.safetensors").out
    assert what in told and cure in told and "download it again" not in told
