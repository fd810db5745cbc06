"""`tagflow models verify`: what it says of sound and broken files, its exit codes and its JSON."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import subprocess
import sys
import time

import pytest
from model_files import sdxl, vae, write_raw, write_sparse


@pytest.fixture
def unread(monkeypatch):
    """Seven gigabytes are not hashed in a test; the digest has its own."""
    monkeypatch.setattr("tagflow.models.verify.scan", lambda *_, **__: ("0" * 64, {}))


@pytest.fixture
def sound(tmp_path):
    return write_sparse(tmp_path / "sound.safetensors", sdxl(), {"modelspec.prediction_type": "epsilon"})


def few(tmp_path, name="few.safetensors"):
    return write_sparse(tmp_path / name, {"model.diffusion_model.x": ("F16", (3, 3))})


def test_a_complete_checkpoint(tagflow, sound, unread):
    result = tagflow("models", "verify", sound)
    assert result.code == 0 and result.err == ""
    lines = result.out.splitlines()
    assert lines[0] == f"{sound}: complete SDXL checkpoint, 6,938.1 MB, 2,515 tensors"
    assert "  unet        1,680 F16" in lines and "  te1         196 F16, 1 I64" in lines
    assert any(line.startswith("  prediction  epsilon (the metadata modelspec") for line in lines)
    assert lines[-1] == "sound (names, shapes and types checked): 0 errors, 0 warnings, 1 note"


def test_nothing_says_how_it_predicts(tagflow, tmp_path, unread):
    path = write_sparse(tmp_path / "m.safetensors", sdxl())
    assert "prediction  unknown (no key and no metadata says it)" in tagflow("models", "verify", path).out


def test_many_missing_are_summarised_and_json_has_all(tagflow, tmp_path, unread):
    kept = {name: value for name, value in sdxl().items() if not name.startswith("first_stage_model.")}
    path = write_sparse(tmp_path / "m.safetensors", kept)
    result = tagflow("models", "verify", path)
    lines = result.out.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("error: tensor-missing: "))
    assert result.code == 1 and lines[at + 1].startswith("  cure: ")
    assert lines[at + 2].startswith(f"    {path}: vae: all of them; first_stage_model.")
    assert lines[at + 2].count("first_stage_model.") == 5 and lines[at + 2].endswith(" and 243 more")
    found = tagflow("models", "verify", path, "--json").json
    missing = next(one for one in found["findings"] if one["code"] == "tensor-missing")
    figures = missing["figures"]
    assert (figures["part"], missing["severity"], len(figures["tensors"])) == ("vae", "error", 248)
    assert missing["where"]["file"] == str(path) and missing["title"] and missing["cure"]


def test_a_vae_for_real(tagflow, tmp_path):
    path = write_sparse(tmp_path / "vae.safetensors", vae())
    result = tagflow("models", "verify", path, "--json")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    found = result.json
    assert result.code == 0 and found["schema"] == "tagflow.models/2" and found["sha256"] == digest
    assert (found["kind"], found["layout"], found["prediction"]) == ("vae", "original", None)
    assert set(found) == {
        "schema", "path", "kind", "layout", "bytes", "sha256", "tensors", "parts", "prediction", "metadata",
        "deep", "findings",
    }  # fmt: skip
    # A file of nothing but zeros is what a download that was only begun looks like.
    deep = tagflow("models", "verify", path, "--deep")
    assert deep.code == 0 and "warning: tensor-zero: " in deep.out and f"    {path}: vae: " in deep.out
    assert tagflow("models", "verify", path, "--deep", "--strict").code == 1


def test_nan_is_named_with_deep_only(tagflow, tmp_path):
    header = {"model.diffusion_model.x": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}
    path = write_raw(tmp_path / "nan.safetensors", header, b"\x00\x7e\x00\x7c")
    assert "tensor-not-finite" not in tagflow("models", "verify", path).out
    assert "model.diffusion_model.x has 1 NaN and 1 Inf" in tagflow("models", "verify", path, "--deep").out


def test_several_files_go_on_after_a_bad_one(tagflow, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(pickle.dumps({"a": 1}))
    half, ghost = few(tmp_path), tmp_path / "none.safetensors"
    result = tagflow("models", "verify", bad, half, ghost, "--json")
    assert result.code == 3
    first, second, third = map(json.loads, result.out.splitlines())
    assert [one["path"] for one in (first, second, third)] == [str(bad), str(half), str(ghost)]
    assert [len(one["findings"]) > 0 for one in (first, second, third)] == [False, True, False]
    assert "pickle" in first["error"]["message"] and first["error"]["cure"] and "error" not in second
    assert "does not exist" in third["error"]["message"]
    assert result.err.count("tagflow: error: ") == 2
    assert tagflow("models", "verify", half, half).code == 1


def test_codes_are_chosen_and_every_format_is_one_result(tagflow, tmp_path):
    one, two = few(tmp_path), few(tmp_path, "two.safetensors")
    assert tagflow("models", "verify", one, "--ignore", "tensor-missing,tensor-extra").code == 0
    chosen = tagflow("models", "verify", one, "--select", "tensor-extra", "--json")
    assert chosen.code == 1 and {row["code"] for row in chosen.json["findings"]} == {"tensor-extra"}
    (run,) = tagflow("models", "verify", one, two, "--format", "sarif").json["runs"]
    files = {row["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for row in run["results"]}
    assert len(files) == 2
    github = tagflow("models", "verify", one, two, "--format", "github").out.splitlines()
    assert all(line.startswith(("::error file=", "::warning file=", "::notice file=")) for line in github)
    for wrong in (("--select", "tensor-mising"), ("--json", "--format", "sarif")):
        result = tagflow("models", "verify", one, *wrong)
        assert result.code == 2 and "cure: " in result.err and not result.out


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin"])
def test_pickles_by_name(tagflow, tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"x")
    result = tagflow("models", "verify", path)
    assert result.code == 3 and "pickled" in result.err and "cure: " in result.err and result.out == ""


def test_wrong_usage_and_help(tagflow, tmp_path):
    assert tagflow("models", "verify").code == 2
    assert tagflow("models", "verify", tmp_path, "--depth").code == 2
    assert tagflow("models", "verify", tmp_path).code == 3
    assert "verify" in tagflow("models", "--help").out
    assert "--deep" in tagflow("models", "verify", "--help").out


def test_large_files_are_refused_in_under_a_second(tagflow, sound):
    with sound.open("r+b") as file:
        file.truncate(sound.stat().st_size - 1000)
    for _ in range(2):
        start = time.perf_counter()
        assert tagflow("models", "verify", sound).code == 3
        assert time.perf_counter() - start < 1
        with sound.open("r+b") as file:
            file.write(struct.pack("<Q", 2**63))


def test_names_that_steer_a_terminal(tagflow, tmp_path):
    path = write_sparse(tmp_path / "m\x1b[2J.safetensors", {"model.diffusion_model.\x1b[31m": ("F16", ())})
    result = tagflow("models", "verify", path)
    assert "\x1b" not in result.out and "\\x1b[31m" in result.out
    path.write_bytes(b"")
    assert "\x1b" not in tagflow("models", "verify", path).err


def test_the_light_install_is_enough(tmp_path):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['safetensors'] = None\n"
        "from tagflow.cli.boundary import run; sys.exit(run(sys.argv[1:]))"
    )
    args = [sys.executable, "-c", code, "models", "verify", str(few(tmp_path)), "--deep"]
    done = subprocess.run(args, capture_output=True, check=False)
    assert done.returncode == 1 and b": checkpoint, " in done.stdout, done.stderr
