"""A sentence-transformers folder: the library's own vectors, and no code of the folder's."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from sentence_model import make_sentence_model

from tagflow.encoders import load_embedder
from tagflow.errors import EncoderError, UsageProblem

# Looked for and not imported, which takes seconds wherever this file is collected.
pytestmark = pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason="the `suggest` extra is not installed"
)

TEXTS = ["sofa", "white walls", "", "a room with a view " * 40, "zzqx"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return make_sentence_model(tmp_path_factory.mktemp("sentence"))


@pytest.fixture
def model(original, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(original, tmp_path / "model")


def refused(folder, words):
    with pytest.raises(EncoderError, match=words) as caught:
        load_embedder(str(folder), "cpu")
    assert caught.value.cure
    return caught.value


def test_its_vectors_are_the_librarys(original):
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(original), device="cpu")
    wanted = library.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    found = load_embedder(str(original), "cpu")
    np.testing.assert_allclose(found(TEXTS), wanted, atol=2e-6)
    assert found(TEXTS).dtype == np.float32 and found.trained and found.source == str(original)


def test_batches_change_nothing_and_progress_is_told(original, monkeypatch):
    embedder, told = load_embedder(str(original), "cpu"), []
    whole = embedder(TEXTS)
    monkeypatch.setattr("tagflow.encoders.embed.AT_ONCE", 2)
    found = embedder(TEXTS, lambda done, total: told.append((done, total)))
    np.testing.assert_allclose(found, whole, atol=2e-6)
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]


def test_the_fingerprint_is_of_what_the_model_is_made_of(original, model):
    before = load_embedder(str(original), "cpu").fingerprint
    (model / "README.md").write_text("another")
    assert load_embedder(str(model), "cpu").fingerprint == before
    config = json.loads((model / "config_sentence_transformers.json").read_text())
    config["default_prompt_name"], config["prompts"] = "tag", {"tag": "a tag: "}
    (model / "config_sentence_transformers.json").write_text(json.dumps(config))
    assert load_embedder(str(model), "cpu").fingerprint != before


def test_code_in_the_folder_is_never_run(model):
    (model / "mine.py").write_text(f"open({str(model / 'ran')!r}, 'w')\nclass Mine: pass\n")
    modules = json.loads((model / "modules.json").read_text())
    modules[0]["type"] = "mine.Mine"
    (model / "modules.json").write_text(json.dumps(modules))
    refused(model, "names mine.Mine")
    assert not (model / "ran").exists()


def test_code_that_the_weights_config_names_is_never_run(model):
    (model / "mine.py").write_text(f"open({str(model / 'ran')!r}, 'w')\nclass Mine: pass\n")
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"}}
    (model / "config.json").write_text(json.dumps(config))
    refused(model, "cannot be loaded")
    assert not (model / "ran").exists()


def test_a_pickle_is_never_read(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    refused(model, "cannot be loaded")


@pytest.mark.parametrize("content", ["", "{", "[1]", "[{}]", '{"a": 1}', "[" * 100_000])
def test_a_damaged_list_of_modules(model, content):
    (model / "modules.json").write_text(content)
    refused(model, "is no list of modules")


def test_damaged_weights(model):
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refused(model, "cannot be loaded")


def test_weights_that_are_no_numbers(model):
    from safetensors.torch import load_file, save_file

    tensors = load_file(model / "model.safetensors")
    save_file(
        {key: value * float("nan") for key, value in tensors.items()},
        model / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(EncoderError, match="NaN"):
        load_embedder(str(model), "cpu")(["sofa"])


def test_without_the_library_the_cure_is_named(original, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    problem = refused(original, "needs the sentence-transformers library")
    assert "pip install '.[suggest]'" in problem.cure


def test_devices(original):
    with pytest.raises(UsageProblem, match="no device"):
        load_embedder(str(original), "tpu")
    with pytest.raises(EncoderError, match="CUDA devices"):
        load_embedder(str(original), "cuda:99")
