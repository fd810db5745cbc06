"""Both layouts, folders, shards and the hub's cache lead to the same vectors; what they lack is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tagflow.encoders import fingerprint_of, load_encoders
from tagflow.errors import EncoderError

LENGTHS = (9, 31, 77)


@pytest.fixture
def towers(tensors, maker, references):
    """Both towers' tensors as a diffusers folder holds them, as transformers 4 wrote it."""
    te1 = {
        "text_model." + k.removeprefix(maker.TE1): v for k, v in tensors.items() if k.startswith(maker.TE1)
    }
    return te1, references.transformers_layout(tensors, maker.TE2)


def same(one, other, kit):
    windows = kit.windows(LENGTHS)
    for name in ("te1", "te2"):
        pairs = zip(getattr(one, name).encode(windows), getattr(other, name).encode(windows), strict=True)
        for a, b in pairs:
            np.testing.assert_array_equal(a.pooled, b.pooled)
            np.testing.assert_array_equal(a.hidden, b.hidden)


def bare(tensors):
    return {key.removeprefix("text_model."): value for key, value in tensors.items()}


@pytest.mark.parametrize("prefixed", [True, False])
@pytest.mark.parametrize("name", ["model.safetensors", "model.fp16.safetensors"])
def test_a_diffusers_folder_equals_the_single_file(pair, towers, kit, tmp_path, prefixed, name):
    te1, te2 = towers if prefixed else map(bare, towers)
    found = load_encoders(str(kit.folder(tmp_path, te1, te2, name)), device="cpu", dtype="fp32")
    same(pair, found, kit)
    assert found.tokenizer_folder == tmp_path / "tokenizer"
    assert found.trained
    assert found.fingerprint != pair.fingerprint  # other names, other tensors


def test_a_sharded_folder(pair, towers, kit, tmp_path):
    folder = kit.folder(tmp_path, *towers)
    (folder / "text_encoder_2" / "model.safetensors").unlink()
    shard(folder / "text_encoder_2", towers[1])
    same(pair, load_encoders(str(folder), device="cpu", dtype="fp32"), kit)


def shard(folder, tensors, names=("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")):
    keys, weight_map = sorted(tensors), {}
    for i, name in enumerate(names):
        part = {key: tensors[key] for key in keys[i::2]}
        save_file(part, folder / Path(name).name)
        weight_map.update(dict.fromkeys(part, name))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_an_index_must_not_leave_its_folder(towers, kit, tmp_path):
    folder = kit.folder(tmp_path, *towers)
    (folder / "text_encoder_2" / "model.safetensors").unlink()
    shard(folder / "text_encoder_2", towers[1], ("../a.safetensors", "../b.safetensors"))
    refused(folder, "index.json is damaged")


def refused(spec, words):
    with pytest.raises(EncoderError, match=words) as caught:
        load_encoders(str(spec), device="cpu", dtype="fp32")
    assert caught.value.cure


def test_a_missing_shard(towers, kit, tmp_path):
    folder = kit.folder(tmp_path, *towers)
    (folder / "text_encoder_2" / "model.safetensors").unlink()
    shard(folder / "text_encoder_2", towers[1])
    (folder / "text_encoder_2" / "model-00002-of-00002.safetensors").unlink()
    refused(folder, "model-00002-of-00002.safetensors does not exist")


def test_an_sd15_folder(towers, kit, tmp_path):
    folder = kit.folder(tmp_path, *towers)
    (folder / "text_encoder_2" / "model.safetensors").unlink()
    (folder / "text_encoder_2").rmdir()
    refused(folder, "SD 1.5")


def test_a_folder_of_checkpoints_names_one(tmp_path, single_file):
    (tmp_path / "mine.safetensors").symlink_to(single_file)
    with pytest.raises(EncoderError) as caught:
        load_encoders(str(tmp_path))
    assert "mine.safetensors" in caught.value.cure


def test_a_folder_with_pickles_only(towers, kit, tmp_path):
    folder = kit.folder(tmp_path, *towers)
    weights = folder / "text_encoder" / "model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    refused(folder, "only pickled weights")


def test_a_config_that_contradicts_the_weights(towers, kit, tmp_path):
    folder = kit.folder(tmp_path, *towers)
    (folder / "text_encoder" / "config.json").write_text('{"num_hidden_layers": 12}')
    refused(folder, "12 layers, its weights have 3")


def test_what_lies_beside_the_towers_is_put_aside(pair, altered, maker, kit):
    """No logit_scale, no position_ids, another U-Net, even a damaged one: the same encoders."""
    found = load_encoders(
        str(altered({
            f"{maker.TE2}logit_scale": None,
            f"{maker.TE1}embeddings.position_ids": None,
            "model.diffusion_model.out.2.weight": torch.full((2, 2), float("nan")),
            "denoiser.sigmas": torch.zeros(1000),
        })),
        dtype="fp32",
    )  # fmt: skip
    same(pair, found, kit)
    assert found.fingerprint == pair.fingerprint


def test_a_projection_stored_as_a_linear(pair, altered, tensors, maker, kit):
    key = f"{maker.TE2}text_projection"
    found = load_encoders(
        str(altered({key: None, f"{key}.weight": tensors[key].T.contiguous()})), device="cpu", dtype="fp32"
    )
    same(pair, found, kit)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_are_read_exactly(altered, tensors, kit, dtype):
    half = {k: v.to(dtype) for k, v in tensors.items() if v.is_floating_point()}
    back = {k: v.float() for k, v in half.items()}
    files = altered(half, "half.safetensors"), altered(back, "back.safetensors")
    one, other = (load_encoders(str(path), device="cpu", dtype="fp32") for path in files)
    same(one, other, kit)


def test_the_fingerprint_is_of_the_weights(pair, single_file, altered, tensors, maker, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(single_file.read_bytes())
    assert load_encoders(str(copy), device="cpu", dtype="bf16").fingerprint == pair.fingerprint
    key = f"{maker.TE2}ln_final.bias"
    other = str(altered({key: tensors[key] + 1e-3}))
    changed = load_encoders(other, device="cpu", dtype="fp32")
    assert changed.fingerprint != pair.fingerprint
    assert len(pair.fingerprint) == 64
    assert fingerprint_of(str(single_file)) == pair.fingerprint
    assert fingerprint_of(other) == changed.fingerprint


def test_only_the_text_part_is_read(single_file, read_keys):
    load_encoders(str(single_file), device="cpu", dtype="fp32")
    assert len(read_keys) == len(set(read_keys)) == 52 + 53
    assert all(key.startswith("conditioner.embedders.") for key in read_keys)


def run(code, **environment):
    """Run Python code in a process of its own; the hub's client reads its environment when imported."""
    root = str(Path(__file__).parents[2])
    env = {**os.environ, **environment, "PYTHONPATH": root}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LOAD = """
import sys
from tagflow.encoders import load_encoders
from tagflow.errors import EncoderError
try:
    print("loaded", load_encoders("owner/name", device="cpu", dtype="fp32").fingerprint)
except EncoderError as error:
    print("refused", error.message, "|", error.cure, "torch" in sys.modules)
"""


def test_the_hubs_cache_is_used_without_a_network(pair, towers, kit, tmp_path):
    cache = tmp_path / "hub" / "models--owner--name"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0" * 40)
    folder = kit.folder(cache / "snapshots" / ("0" * 40), *towers)
    out = run(LOAD, HF_HUB_CACHE=str(tmp_path / "hub"), HF_HUB_OFFLINE="1")
    assert out == f"loaded {load_encoders(str(folder), device='cpu').fingerprint}"


@pytest.mark.parametrize("offline", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_nothing_cached_and_no_network(tmp_path, offline):
    start = time.perf_counter()
    out = run(LOAD, HF_HUB_CACHE=str(tmp_path / "hub"), **offline)
    assert time.perf_counter() - start < 30
    assert "owner/name is neither a path here nor in the local cache" in out
    assert out.endswith("False")  # refused before torch was imported


def test_importing_the_package_does_not_import_torch():
    assert run("import sys, tagflow.encoders; print('torch' in sys.modules)") == "False"
