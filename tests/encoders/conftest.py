"""Fixtures: a tiny random SDXL checkpoint in the real layout, and what turns it into other files."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("safetensors") is None:
    collect_ignore_glob = ["test_*.py"]  # the `encoders` extra is not installed
else:
    from safetensors.torch import save_file

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
BOS, EOS = 49406, 49407


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tagflow_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_windows(lengths, seed=0):
    stream = np.random.default_rng(seed)
    return [[BOS, *map(int, stream.integers(0, 49406, n - 2)), EOS] for n in lengths]


def write_header(path, header, data=b""):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def write_folder(folder, te1, te2, name="model.safetensors"):
    for part, tensors in (("text_encoder", te1), ("text_encoder_2", te2)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / part / name)
    (folder / "tokenizer").mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def kit():
    """The helpers of this file: tests of a folder without packages cannot import them by name."""
    return SimpleNamespace(windows=random_windows, header=write_header, folder=write_folder)


@pytest.fixture(scope="session")
def maker():
    return _script("make_checkpoint")


@pytest.fixture(scope="session")
def references():
    return _script("reference_towers")


@pytest.fixture(scope="session")
def tensors(maker):
    """The tiny checkpoint's tensors; copy the dict before changing it."""
    return maker.checkpoint(small=True)


@pytest.fixture(scope="session")
def single_file(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoders") / "tiny.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(scope="session")
def pair(single_file):
    from tagflow.encoders import load_encoders

    return load_encoders(str(single_file), "cpu", "fp32")


@pytest.fixture(scope="session")
def libraries(single_file):
    """The tiny checkpoint in the libraries, by the encoder: te1 in transformers, te2 in open_clip."""
    import torch

    from tagflow.encoders.locate import locate
    from tagflow.encoders.references import REFERENCES

    found = locate(str(single_file))
    return {
        plan.name: REFERENCES[plan.name](plan, torch.float32, torch.device("cpu"))
        for plan in (found.te1, found.te2)
    }


@pytest.fixture
def altered(tensors, tmp_path):
    """Write the tiny checkpoint with some tensors replaced (None removes one); only what te1 and te2 need."""

    def write(changes, name="altered.safetensors"):
        merged = {**tensors, **changes}
        kept = {key: value for key, value in merged.items() if value is not None}
        save_file(kept, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def read_keys(monkeypatch):
    """The keys of all tensors that are read from now on."""
    import safetensors

    from tagflow.encoders import weights

    read = []

    class Watched:
        def __init__(self, path, **options):
            self._file = safetensors.safe_open(path, **options)

        def __enter__(self):
            self._inner = self._file.__enter__()
            return self

        def __exit__(self, *error):
            return self._file.__exit__(*error)

        def get_tensor(self, key):
            read.append(key)
            return self._inner.get_tensor(key)

    monkeypatch.setattr(weights, "safe_open", Watched)
    return read
