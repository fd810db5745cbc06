"""`tagflow models compare` says yes to a sound tower, and names what a wrong one gets wrong."""

from __future__ import annotations

import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every torch program uses
from safetensors.torch import save_file

from tagflow.clip.tokenizer import Tokenizer, te2_windows, windows
from tagflow.clip.vocabulary import find_vocabulary
from tagflow.encoders import compare as module
from tagflow.encoders import weights
from tagflow.encoders.compare import Difference, captions, compare, differences, encode_with
from tagflow.encoders.locate import locate
from tagflow.encoders.pair import TextEncoder, Vectors
from tagflow.errors import EncoderError

NAMES = {"pooled": "pooled", "hidden": "hidden states", "similarity": "similarities"}


@pytest.fixture
def compared(tagflow, single_file):
    """The exit code, what was beyond the tolerance as {"te1 pooled", ...}, and the whole answer."""

    def call(*options, spec=single_file):
        done = tagflow("models", "compare", spec, "--device", "cpu", "--json", *options)
        rows = [(one["encoder"], row) for one in done.json["encoders"] for row in one["differences"]]
        return done.code, {f"{name} {row['quantity']}" for name, row in rows if not row["within"]}, done.json

    return call


def test_the_captions_are_what_their_names_say():
    tokenizer = Tokenizer(find_vocabulary())
    counts = {name: len(tokenizer.ids(text)) for name, text in captions().items()}
    assert 24 <= len(counts) <= 30 and counts["empty"] == 0 and max(counts.values()) == 225
    exact = {name: counts[name] for name in counts if name.endswith(" tokens")}
    assert exact == {f"{count} tokens": count for count in (74, 75, 76, 150, 225)}
    for cut in (windows, te2_windows):
        parts = {name: len(cut(tokenizer.ids(text), 225)) for name, text in captions().items()}
        assert parts["76 tokens"] == parts["two windows"] == 2 and parts["three windows"] == 3
    everything = "".join(captions().values())
    assert all(mark in everything for mark in ("床", "卧", "🛏", ":1.2)", "\\(", "["))


def test_a_sound_checkpoint_is_equal(tagflow, single_file):
    done = tagflow("models", "compare", single_file, "--device", "cpu")
    assert done.code == 0 and "nothing is further apart than 0.0001" in done.out
    assert "te1 beside transformers 5" in done.out and "te2 beside open_clip_torch 3" in done.out
    assert done.out.count("largest difference") == 6
    assert done.err == ""


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_a_faster_dtype_has_a_tolerance_of_its_own(compared, dtype):
    code, beyond, found = compared("--dtype", dtype)
    assert (code, beyond) == (0, set()) and found["tolerance"] == 2e-2 and found["dtype"] == dtype
    assert min(row["relative"] for one in found["encoders"] for row in one["differences"]) > 1e-5


def test_the_tolerance_can_be_named(compared):
    code, beyond, found = compared("--tolerance", "1e-9")
    assert code == 1 and len(beyond) == 6 and found["schema"] == "tagflow.models-compare/1"
    assert found["tolerance"] == 1e-9 and found["equal"] is False
    assert found["captions"] == len(captions())


def test_a_diffusers_folder_is_equal(compared, tensors, maker, references, kit, tmp_path):
    te1 = {k.removeprefix(maker.TE1): v for k, v in tensors.items() if k.startswith(maker.TE1)}
    folder = kit.folder(tmp_path, te1, references.transformers_layout(tensors, maker.TE2))
    (folder / "tokenizer").rmdir()
    assert compared(spec=folder)[:2] == (0, set())


def test_a_wrong_activation_is_seen_in_its_encoder(compared, monkeypatch):
    monkeypatch.setitem(weights.ACTIVATIONS, "te1", F.gelu)
    assert compared()[:2] == (1, {"te1 pooled", "te1 hidden", "te1 similarity"})


def test_two_layers_in_each_others_place_are_seen(compared, monkeypatch):
    read = weights.Reader.layer

    def swapped(self, plan, number):
        return read(self, plan, {0: 1, 1: 0}.get(number, number) if plan.name == "te2" else number)

    monkeypatch.setattr(weights.Reader, "layer", swapped)
    code, beyond, _ = compared("--dtype", "bf16")  # also where the tolerance is wide
    assert code == 1 and beyond == {"te2 pooled", "te2 hidden", "te2 similarity"}


def test_a_projection_the_wrong_way_round_spoils_what_is_pooled_alone(tagflow, single_file, monkeypatch):
    read = weights.Reader.tower

    def turned(self, plan):
        tower = read(self, plan)
        return tower if tower.projection is None else replace(tower, projection=tower.projection.T)

    monkeypatch.setattr(weights.Reader, "tower", turned)
    done = tagflow("models", "compare", single_file, "--device", "cpu")
    assert done.code == 1
    assert done.out.splitlines()[-1].split() == (
        "different te2's pooled, te2's similarities: further apart than 0.0001".split()
    )


def test_hidden_states_a_thousandth_off_are_seen_by_themselves(compared, monkeypatch):
    made = TextEncoder.encode

    def scaled(self, *given):
        return [Vectors(one.pooled, one.hidden * np.float32(1.001)) for one in made(self, *given)]

    monkeypatch.setattr(TextEncoder, "encode", scaled)
    assert compared()[:2] == (1, {"te1 hidden", "te2 hidden"})


def test_other_weights_are_far_away(compared, maker, monkeypatch, tmp_path):
    """The control: what the comparison says of two towers that have nothing in common."""
    from tagflow.encoders import references

    other = tmp_path / "other.safetensors"
    save_file(maker.checkpoint(small=True, seed=1), other)
    plans = {plan.name: plan for plan in (locate(str(other)).te1, locate(str(other)).te2)}
    for name, build in list(references.REFERENCES.items()):
        monkeypatch.setitem(
            references.REFERENCES, name, lambda plan, *where, build=build: build(plans[plan.name], *where)
        )
    code, beyond, found = compared()
    assert code == 1 and len(beyond) == 6
    assert min(row["relative"] for one in found["encoders"] for row in one["differences"]) > 0.3


def test_the_worst_place_is_named():
    cut = {"one": [(1, 2)], "two": [(1, 2), (3,)], "three": [(4,)]}
    theirs = [Vectors(np.float32([3, at]), np.float32([[8, 0]])) for at in range(4)]
    ours = [Vectors(one.pooled.copy(), one.hidden.copy()) for one in theirs]
    ours[2].hidden[0, 1] = 2
    ours[3].pooled[0] = -3
    pooled, hidden, similarity = differences(cut, ours, theirs)
    assert pooled == Difference("pooled", 6.0, 2.0, "three")
    assert hidden == Difference("hidden", 2.0, 0.25, "two")
    assert similarity.caption == "one / three" and similarity.relative == similarity.absolute > 1


def test_never_two_models_in_memory(single_file, monkeypatch):
    from tagflow.encoders import references

    alive, order = [], []

    def noted(name, tensor):
        assert not [other for other, weak in alive if weak() is not None]
        alive.append((name, weakref.ref(tensor)))
        order.append(name)

    read = module.read_towers

    def towers(spec, plans, *where):
        made = read(spec, plans, *where)
        noted(f"{plans[0].name} ours", made[0][0].layers[0].up.weight)
        return made

    monkeypatch.setattr(module, "read_towers", towers)
    for name, build in list(references.REFERENCES.items()):

        def library(plan, *where, build=build):
            made = build(plan, *where)
            noted(f"{plan.name} library", next(made.model.parameters()))
            return made

        monkeypatch.setitem(references.REFERENCES, name, library)
    told = []
    compare(
        str(single_file), "cpu", progress=lambda name: lambda done, total: told.append((name, done, total))
    )
    assert order == ["te1 ours", "te1 library", "te2 ours", "te2 library"]
    names = list(dict.fromkeys(name for name, _, _ in told))
    assert names == ["te1 tagflow", "te1 library", "te2 tagflow", "te2 library"]
    for name in names:
        steps = [(done, total) for which, done, total in told if which == name]
        assert steps == sorted(steps) and steps[-1][0] == steps[-1][1] > 500


def test_a_library_that_gives_no_numbers_is_an_error():
    from tagflow.encoders.references import Reference

    def encode(ids):
        return torch.full((len(ids), 4), float("nan")), torch.zeros(len(ids), 77, 4)

    with pytest.raises(EncoderError, match="some library 1 gave NaN or Inf"):
        encode_with(Reference("some library 1", 0, torch.nn.Identity(), encode), [(49406, 49407)])


def test_the_stand_in_is_refused(tagflow):
    done = tagflow("models", "compare", "stand-in")
    assert done.code == 2 and "untrained" in done.err and "cure: name a checkpoint" in done.err


@pytest.mark.parametrize("library", ["transformers", "open_clip"])
def test_a_missing_library_is_named_with_its_cure(tagflow, single_file, monkeypatch, library):
    monkeypatch.delitem(sys.modules, "tagflow.encoders.references", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    done = tagflow("models", "compare", single_file)
    assert done.code == 3 and library in done.err and "pip install '.[encoders]'" in done.err


def test_a_file_that_is_none(tagflow, tmp_path):
    done = tagflow("models", "compare", tmp_path / "none.safetensors")
    assert done.code == 3 and "none.safetensors" in done.err
