"""te1 by itself: the vectors of the pair's te1, and not a byte of te2."""

from __future__ import annotations

import numpy as np
import pytest

from tagflow.clip.tokenizer import Tokenizer, windows
from tagflow.clip.vocabulary import find_vocabulary
from tagflow.encoders import load_embedder
from tagflow.encoders.embed import unit
from tagflow.errors import EncoderError, UsageProblem

TEXTS = ["sofa", "White Walls", "", "a room with a view, " * 20, "<|endoftext|> lamp", "sofa"]


@pytest.fixture(scope="module")
def te1(single_file):
    return load_embedder(str(single_file), "cpu")


def test_its_vectors_are_the_pairs_pooled_ones(te1, pair):
    tokenizer = Tokenizer(find_vocabulary())
    found = te1(TEXTS)
    wanted = pair.te1.encode([windows(tokenizer.ids(text), 75)[0] for text in TEXTS])
    assert found.shape == (6, 128) and found.dtype == np.float32
    np.testing.assert_allclose(found, unit(np.stack([one.pooled for one in wanted])), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found[0], found[5])


def test_batches_change_nothing_and_progress_is_told(te1, monkeypatch):
    whole, told = te1(TEXTS), []
    monkeypatch.setattr("tagflow.encoders.embed.TERMS_AT_ONCE", 2)
    found = te1(TEXTS, lambda done, total: told.append((done, total)))
    np.testing.assert_allclose(found, whole, atol=2e-6)
    assert told == [(0, 6), (2, 6), (4, 6), (6, 6)]


def test_only_te1_is_read(single_file, maker, read_keys):
    load_embedder(str(single_file), "cpu")
    assert read_keys and all(key.startswith(maker.TE1) for key in read_keys)


def test_damage_to_te2_does_not_matter_and_damage_to_te1_does(altered, tensors, maker, te1):
    key = f"{maker.TE2}ln_final.bias"
    found = load_embedder(str(altered({key: tensors[key] * float("nan")})), "cpu")
    assert found.fingerprint == te1.fingerprint
    key = f"{maker.TE1}final_layer_norm.bias"
    with pytest.raises(EncoderError, match="NaN"):
        load_embedder(str(altered({key: tensors[key] * float("nan")})), "cpu")


def test_what_it_says_of_itself(te1, pair, single_file):
    assert (te1.source, te1.trained) == (str(single_file), True)
    assert len(te1.fingerprint) == 64 and te1.fingerprint != pair.fingerprint


def test_the_stand_in_is_untrained():
    found = load_embedder("stand-in")
    assert not found.trained and found.fingerprint.startswith("stand-in:")
    assert found(["sofa"]).shape == (1, 128)


def test_a_diffusers_folder(te1, tensors, maker, references, kit, tmp_path):
    first = {
        "text_model." + k.removeprefix(maker.TE1): v for k, v in tensors.items() if k.startswith(maker.TE1)
    }
    kit.folder(tmp_path, first, references.transformers_layout(tensors, maker.TE2))
    np.testing.assert_array_equal(load_embedder(str(tmp_path), "cpu")(TEXTS), te1(TEXTS))


def test_what_is_refused(single_file, tmp_path):
    with pytest.raises(UsageProblem, match="no device"):
        load_embedder(str(single_file), "tpu")
    with pytest.raises(EncoderError, match="does not exist") as caught:
        load_embedder(str(tmp_path / "gone.safetensors"))
    assert caught.value.cure
