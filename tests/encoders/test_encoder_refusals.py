"""Every file that is not SDXL's encoders is refused: EncoderError, the file named, a cure, at once."""

from __future__ import annotations

import pickle
import struct
import time
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from tagflow.encoders import load_encoders
from tagflow.errors import FAILURE, USAGE, EncoderError, UsageProblem

TE1 = "conditioner.embedders.0.transformer.text_model."
TE2 = "conditioner.embedders.1.model."
LAYER1 = f"{TE1}encoder.layers.1."


def refusal(spec, **options):
    """Return the message of the refusal, after checking its kind, its cure and that it came fast."""
    start = time.perf_counter()
    with pytest.raises(EncoderError) as caught:
        load_encoders(str(spec), **{"device": "cpu", **options})
    assert time.perf_counter() - start < 5
    assert caught.value.exit_code == FAILURE
    assert caught.value.cure
    return caught.value.message


def test_no_such_path(tmp_path):
    missing = tmp_path / "none.safetensors"
    assert f"{missing} does not exist" in refusal(missing)


def test_a_relative_path_to_nothing_is_no_hub_id():
    assert "does not exist" in refusal("models/none.safetensors")
    assert "pickled" in refusal("models/none.ckpt")


def test_a_path_that_the_system_refuses():
    assert "cannot be read" in refusal("x" * 5000)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin", ".pth"])
def test_pickled_checkpoints_by_name(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"anything")
    assert "pickled" in refusal(path)


def test_a_pickle_named_safetensors_is_never_unpickled(tmp_path):
    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps({"__reduce__": "never run"}))
    assert "pickle" in refusal(path)


def test_a_torch_archive_named_safetensors(tmp_path):
    path = tmp_path / "zip.safetensors"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"x")
    assert "zip" in refusal(path)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"GGUF\x03\x00\x00\x00more", "GGUF"),
        (b"", "only 0 bytes"),
        (b"\x01\x02", "only 2 bytes"),
        (struct.pack("<Q", 2**63) + b"{}", "declares a header"),
        (struct.pack("<Q", 4000) + b"{}", "truncated"),
        (struct.pack("<Q", 4) + b"oops", "no JSON"),
        (struct.pack("<Q", 2) + b"[]", "no JSON object"),
        (struct.pack("<Q", 2) + b"\xff\xfe", "no JSON"),
        (struct.pack("<Q", 20000) + b"[" * 20000, "no JSON"),
        (struct.pack("<Q", 2) + b"{}", "no tensor"),
    ],
)
def test_what_is_no_safetensors(tmp_path, content, word):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    message = refusal(path)
    assert str(path) in message
    assert word in message


@pytest.mark.parametrize(
    "entry",
    [
        [],
        {"dtype": "F32"},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": ["1"], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
    ],
)
def test_damaged_header_entries(tmp_path, kit, entry):
    assert "'weight'" in refusal(kit.header(tmp_path / "model.safetensors", {"weight": entry}, bytes(4)))


def test_a_truncated_file_is_refused_by_its_header(single_file, tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(single_file.read_bytes()[:-1000])
    assert "truncated" in refusal(path)


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("cond_stage_model.transformer.text_model.embeddings.position_ids", "SD 1.5"),
        ("cond_stage_model.model.ln_final.weight", "SD 2"),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", "LoRA"),
        ("unet.down_blocks.0.attn1.to_q.lora_A.weight", "LoRA"),
        ("first_stage_model.quant_conv.weight", "VAE"),
        ("encoder.conv_in.weight", "VAE"),
        ("model.diffusion_model.out.2.weight", "U-Net"),
        ("conditioner.embedders.0.model.ln_final.weight", "refiner"),
        ("double_blocks.0.img_attn.qkv.weight", "another model family"),
        ("text_model.embeddings.token_embedding.weight", "one text encoder"),
        ("something.weight", "something"),
    ],
)
def test_other_models_are_named(tmp_path, key, word):
    path = tmp_path / "other.safetensors"
    save_file({key: torch.zeros(2, 2)}, path)
    message = refusal(path)
    assert "not an SDXL checkpoint" in message
    assert word in message


def test_a_checkpoint_without_te2(tensors, tmp_path):
    path = tmp_path / "half.safetensors"
    save_file({k: v for k, v in tensors.items() if not k.startswith(TE2)}, path)
    assert "all of te2" in refusal(path)


def test_missing_tensors_are_counted_and_named(altered):
    keys = [
        f"{LAYER1}mlp.fc1.weight",
        f"{LAYER1}mlp.fc1.bias",
        f"{LAYER1}mlp.fc2.weight",
        f"{LAYER1}mlp.fc2.bias",
    ]
    message = refusal(altered(dict.fromkeys(keys)))
    assert "4 of te1's 52 tensors are missing" in message
    assert "encoder.layers.1.mlp.fc1.weight" in message


def test_a_missing_projection(altered):
    assert "text_projection" in refusal(altered({f"{TE2}text_projection": None}))


def test_a_checkpoint_cut_between_layers(tmp_path, kit):
    """At SDXL's width fewer layers are not a smaller model."""
    keys = {
        f"{TE1}embeddings.token_embedding.weight": [49408, 768],
        f"{TE1}encoder.layers.5.mlp.fc1.bias": [3072],
    }
    header, at = {}, 0
    for key, shape in {**keys, f"{TE2}text_projection": [1]}.items():
        size = 2 * int(torch.tensor(shape).prod())
        header[key] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    path = kit.header(tmp_path / "cut.safetensors", header)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + at)
    assert "194 of te1's 196 tensors are missing" in refusal(path)


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        (f"{LAYER1}mlp.fc1.weight", (256, 128)),
        (f"{LAYER1}layer_norm1.weight", (64,)),
        (f"{TE1}embeddings.position_embedding.weight", (76, 128)),
        (f"{TE2}transformer.resblocks.0.attn.in_proj_weight", (192, 192)),
        (f"{TE2}text_projection", (64, 192)),
        (f"{TE2}text_projection", (192,)),
    ],
)
def test_wrong_shapes(altered, key, shape):
    assert "has shape" in refusal(altered({key: torch.zeros(shape)}))


def test_a_width_that_is_no_multiple_of_64(tmp_path, maker, monkeypatch):
    monkeypatch.setattr(maker, "SMALL", ((96, 2), (192, 2)))
    path = maker.make_checkpoint(tmp_path / "narrow.safetensors")
    assert "width 96, not a multiple of 64" in refusal(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_not_finite(altered, tensors, value, dtype):
    key = f"{LAYER1}mlp.fc2.weight"
    weight = tensors[key].to(dtype, copy=True)
    weight[3, 5] = value
    message = refusal(altered({key: weight}))
    assert "NaN or Inf" in message
    assert key in message


def test_weights_too_large_for_fp16(altered, tensors):
    key = f"{LAYER1}mlp.fc2.weight"
    assert "too large for fp16" in refusal(altered({key: tensors[key] + 1e6}), dtype="fp16")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float64, torch.int8])
def test_types_that_are_not_read(altered, tensors, dtype):
    key = f"{LAYER1}mlp.fc2.weight"
    assert "tagflow reads F32, F16, BF16" in refusal(altered({key: tensors[key].to(dtype)}))


def test_vectors_that_are_not_finite(altered, tensors, kit):
    """Finite weights can still overflow: no similarity may ever be NaN."""
    key = f"{LAYER1}mlp.fc2.weight"
    pair = load_encoders(str(altered({key: tensors[key] * 1e38})), device="cpu")
    with pytest.raises(EncoderError, match="te1 gave NaN or Inf"):
        pair.te1.encode(kit.windows((9,)))


@pytest.mark.parametrize(
    "option", [{"device": "gpu"}, {"device": "cuda:x"}, {"dtype": "fp8"}, {"device": ""}]
)
def test_words_that_mean_nothing(option):
    with pytest.raises(UsageProblem) as caught:
        load_encoders("stand-in", **option)
    assert caught.value.exit_code == USAGE
    assert caught.value.cure


def test_cuda_that_is_not_there():
    assert "CUDA" in refusal("stand-in", device="cuda:99")


def test_without_torch(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EncoderError) as caught:
        load_encoders("stand-in")
    assert "pip install '.[encoders]'" in caught.value.cure
