"""The towers equal the libraries that inference programs use: same pooled and penultimate states."""

from __future__ import annotations

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
    assert np.isfinite(pooled).all() and np.isfinite(hidden).all()  # max() below would pass a NaN over
    far = max(np.abs(v.pooled - p).max() for v, p in zip(found, pooled, strict=True))
    rows = [hidden[i, : len(window)] for i, window in enumerate(windows)]
    apart = max(np.abs(v.hidden - row).max() for v, row in zip(found, rows, strict=True))
    return far / np.abs(pooled).max(), apart / max(np.abs(row).max() for row in rows)


def check(found, reference, windows):
    assert all(v.hidden.shape[0] == len(w) for v, w in zip(found, windows, strict=True))
    differences = worst(found, reference, windows)
    print("largest difference, of the largest value: pooled {:.1e}, hidden {:.1e}".format(*differences))
    assert max(differences) <= CLOSE


@pytest.mark.parametrize(("name", "pad"), [("te1", 49407), ("te2", 0)])
def test_te1_equals_transformers_and_te2_open_clip(pair, libraries, kit, name, pad):
    windows = kit.windows(LENGTHS)
    with torch.inference_mode():
        reference = libraries[name].encode(padded(windows, pad))
    check(getattr(pair, name).encode(windows), reference, windows)


def test_te2_equals_transformers(pair, tensors, maker, references, kit):
    windows = kit.windows(LENGTHS)
    te2 = references.transformers_layout(tensors, maker.TE2)
    check(pair.te2.encode(windows), references.transformers_te2(te2)(padded(windows, 0)), windows)


def test_a_folder_that_transformers_wrote_equals_the_single_file(
    pair, tensors, maker, references, libraries, kit, tmp_path
):
    libraries["te1"].model.save_pretrained(tmp_path / "text_encoder")
    te2 = references.transformers_te2(references.transformers_layout(tensors, maker.TE2))
    te2.model.save_pretrained(tmp_path / "text_encoder_2")
    found, windows = load_encoders(str(tmp_path), device="cpu", dtype="fp32"), kit.windows(LENGTHS)
    for one, other in ((found.te1, pair.te1), (found.te2, pair.te2)):
        for a, b in zip(one.encode(windows), other.encode(windows), strict=True):
            np.testing.assert_array_equal(a.pooled, b.pooled)
            np.testing.assert_array_equal(a.hidden, b.hidden)


def test_sd_scripts_untransposed_projection_is_another_vector(pair, tensors, maker, references, kit):
    """sd-scripts copies a single file's text_projection into an nn.Linear as it is: x @ W.T, not x @ W."""
    windows, projection = kit.windows((20,)), tensors[f"{maker.TE2}text_projection"]
    te2 = references.transformers_layout(tensors, maker.TE2)
    te2["text_projection.weight"] = projection.clone()
    pooled, hidden = (
        part[0].double().numpy() for part in references.transformers_te2(te2)(padded(windows, 0))
    )
    ours, matrix = pair.te2.encode(windows)[0], projection.double().numpy()
    assert abs(ours.pooled @ pooled) / np.linalg.norm(ours.pooled) / np.linalg.norm(pooled) < 0.5
    # Nothing else differs: the trainer's vector before its projection, projected as in open_clip, is ours.
    unprojected = np.linalg.solve(matrix, pooled)
    assert np.abs(unprojected @ matrix - ours.pooled).max() <= 1e-3 * np.abs(ours.pooled).max()
    assert np.abs(ours.hidden - hidden[:20]).max() <= CLOSE * np.abs(hidden[:20]).max()


def test_a_window_with_an_earlier_eos_is_pooled_there(pair, tensors, maker, references, kit):
    windows = kit.windows((20, 20, 9))
    windows[0][7] = windows[2][3] = 49407
    reference = references.transformers_te2(references.transformers_layout(tensors, maker.TE2))
    check(pair.te2.encode(windows), reference(padded(windows, 0)), windows)
