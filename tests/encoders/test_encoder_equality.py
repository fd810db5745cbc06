"""The towers equal the libraries that inference programs use: same pooled and penultimate states."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tagflow.encoders import load_encoders

CLOSE = 1e-5  # of the largest value
LENGTHS = (77, 2, 5, 31, 31, 40, 12, 76)


def padded(windows, pad):
    return torch.tensor([[*window, *[pad] * (77 - len(window))] for window in windows])


def worst(found, reference, windows):
    """Return the largest difference over the largest value, of pooled and of hidden on the real tokens."""
    pooled, hidden = (part.float().numpy() for part in reference)
    far = max(np.abs(v.pooled - p).max() for v, p in zip(found, pooled, strict=True))
    rows = [hidden[i, : len(window)] for i, window in enumerate(windows)]
    apart = max(np.abs(v.hidden - row).max() for v, row in zip(found, rows, strict=True))
    return far / np.abs(pooled).max(), apart / max(np.abs(row).max() for row in rows)


def check(found, reference, windows):
    assert all(v.hidden.shape[0] == len(w) for v, w in zip(found, windows, strict=True))
    differences = worst(found, reference, windows)
    print("largest difference, of the largest value: pooled {:.1e}, hidden {:.1e}".format(*differences))
    assert max(differences) <= CLOSE


def test_te1_equals_transformers(pair, tensors, maker, references, kit):
    windows = kit.windows(LENGTHS)
    check(
        pair.te1.encode(windows), references.transformers_te1(tensors, maker)(padded(windows, 49407)), windows
    )


def test_te2_equals_open_clip(pair, tensors, maker, references, kit):
    windows = kit.windows(LENGTHS)
    check(pair.te2.encode(windows), references.open_clip_te2(tensors, maker)(padded(windows, 0)), windows)


def test_te2_equals_transformers(pair, tensors, maker, references, kit):
    windows = kit.windows(LENGTHS)
    te2 = references.transformers_layout(tensors, maker.TE2)
    check(pair.te2.encode(windows), references.transformers_te2(te2)(padded(windows, 0)), windows)


def test_sd_scripts_untransposed_projection_is_another_vector(pair, tensors, maker, references, kit):
    """sd-scripts copies a single file's text_projection into an nn.Linear as it is: x @ W.T, not x @ W."""
    windows = kit.windows((20,))
    te2 = references.transformers_layout(tensors, maker.TE2)
    te2["text_projection.weight"] = tensors[f"{maker.TE2}text_projection"].clone()
    pooled, hidden = references.transformers_te2(te2)(padded(windows, 0))
    ours = pair.te2.encode(windows)[0]
    a, b = ours.pooled, pooled[0].numpy()
    assert abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) < 0.5
    assert np.abs(ours.hidden - hidden[0, :20].numpy()).max() < 1e-4


def test_a_window_with_an_earlier_eos_is_pooled_there(pair, tensors, maker, references, kit):
    windows = kit.windows((20, 20, 9))
    windows[0][7] = windows[2][3] = 49407
    reference = references.transformers_te2(references.transformers_layout(tensors, maker.TE2))
    check(pair.te2.encode(windows), reference(padded(windows, 0)), windows)


@pytest.mark.full_size
@pytest.mark.timeout(1800)
def test_full_size(maker, references, kit, tmp_path):
    """Both towers at SDXL's size, one library after another: at most one of them beside ours in memory."""
    path = maker.make_checkpoint(tmp_path / "full.safetensors", small=False, dtype="fp16")
    gc.collect()
    if sys.platform == "linux":
        assert 1 <= peak_of_loading(path) <= 1.3
    windows = kit.windows((77, 32, 8))
    pair = load_encoders(str(path), device="cpu")
    assert (pair.te1.width, pair.te1.layers, pair.te2.width, pair.te2.layers) == (768, 12, 1280, 32)
    first, second = pair.te1.encode(windows), pair.te2.encode(windows)
    del pair
    check(
        first,
        references.transformers_te1(text_tensors(path, maker.TE1), maker)(padded(windows, 49407)),
        windows,
    )
    gc.collect()
    check(second, references.open_clip_te2(text_tensors(path, maker.TE2), maker)(padded(windows, 0)), windows)
    gc.collect()
    te2 = references.transformers_layout(text_tensors(path, maker.TE2), maker.TE2)
    check(second, references.transformers_te2(te2)(padded(windows, 0)), windows)
    path.unlink()


def text_tensors(path, prefix):
    from safetensors import safe_open

    with safe_open(path, framework="pt", device="cpu") as file:
        keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 - it is no dict
        return {key: file.get_tensor(key).float() for key in keys}


def peak_of_loading(path):
    """Return the peak memory of loading in a process of its own, over that of torch, per byte of weights."""
    code = (
        "import re, sys, torch\n"
        "from pathlib import Path\n"
        "import tagflow.encoders.weights\nfrom tagflow.encoders import load_encoders\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = peak()\n"
        "pair = load_encoders(sys.argv[1], device='cpu', dtype='fp32')\n"
        "print((peak() - before) * 1024 / (817_720_320 * 4))\n"
    )
    root = str(Path(__file__).parents[2])
    command, env = [sys.executable, "-c", code, str(path)], {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=300)
    print(f"peak of loading: {float(done.stdout):.2f} of the weights")
    return float(done.stdout)
