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
    assert lines[-1] == "  sound       0 errors, 0 warnings, 1 notes (names, shapes and types checked)"


def test_nothing_says_how_it_predicts(tagflow, tmp_path, unread):
    path = write_sparse(tmp_path / "m.safetensors", sdxl())
    assert "prediction  unknown (no key and no metadata says it)" in tagflow("models", "verify", path).out


def test_many_missing_are_summarised_and_json_has_all(tagflow, tmp_path, unread):
    kept = {name: value for name, value in sdxl().items() if not name.startswith("first_stage_model.")}
    path = write_sparse(tmp_path / "m.safetensors", kept)
    result = tagflow("models", "verify", path)
    line = next(line for line in result.out.splitlines() if "tensor-missing" in line)
    assert result.code == 1 and line.startswith("  error: tensor-missing: vae: ")
    assert line.count("first_stage_model.") == 5 and "and 243 more" in line and "; cure: " in line
    found = tagflow("models", "verify", path, "--json").json
    missing = next(one for one in found["findings"] if one["code"] == "tensor-missing")
    assert (missing["part"], missing["severity"], len(missing["tensors"])) == ("vae", "error", 248)


def test_a_vae_for_real(tagflow, tmp_path):
    path = write_sparse(tmp_path / "vae.safetensors", vae())
    result = tagflow("models", "verify", path, "--json")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    found = result.json
    assert result.code == 0 and found["schema"] == "tagflow.models/1" and found["sha256"] == digest
    assert (found["kind"], found["layout"], found["prediction"]) == ("vae", "original", None)
    assert set(found) == {
        "schema", "path", "kind", "layout", "bytes", "sha256", "tensors", "parts", "prediction", "metadata",
        "deep", "findings",
    }  # fmt: skip
    # A file of nothing but zeros is what a download that was only begun looks like.
    deep = tagflow("models", "verify", path, "--deep")
    assert deep.code == 0 and "warning: tensor-zero: vae: " in deep.out
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
    assert "pickle" in first["error"]["message"] and first["error"]["cure"] and "error" not in second
    assert "does not exist" in third["error"]["message"]
    assert result.err.count("tagflow: error: ") == 2
    assert tagflow("models", "verify", half, half).code == 1


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
