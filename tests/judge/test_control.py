"""The control: encoders that cannot tell captions apart certify nothing, sound random ones do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from examples import THOROUGH
from hostile import CLIP, written
from safetensors.torch import load_file, save_file

from tagflow.audit.file import Control, Limits
from tagflow.encoders import load_encoders
from tagflow.judge.control import above_limit, fixed_pairs, is_close, measure_control, not_told_apart
from tagflow.judge.judge import judge
from tagflow.schema import add

ALIKE = "the encoders do not tell captions apart"
FOLDER = {
    f"{at}.txt": f"{thing}, white walls, photograph, natural light, {other}, living room"
    for at, (thing, other) in enumerate(
        [("sofa", "lamp"), ("rug", "window"), ("oak table", "red curtains"), ("bed", "two chairs"),
         ("cat", "armchair"), ("bookshelf", "green plant"), ("piano", "mirror"), ("desk", "wooden floor")]
    )
}  # fmt: skip


def test_the_fixed_pairs_are_of_equal_length_and_share_no_word():
    assert len(fixed_pairs()) == 24
    for one, two in fixed_pairs():
        assert one.count(",") == two.count(",") == 2
        assert len(set(CLIP.count_many([one, two]))) == 1, (one, two)
        assert not set(one.replace(",", "").split()) & set(two.replace(",", "").split())


def filled(value):
    return lambda tensor: torch.full_like(tensor, value)


def next_to_nothing(tensor):
    """As good as 0; tensors with rows of zeros are refused as damaged when they are read."""
    return tensor * 1e-6


def one_huge(tensor):
    """The first of the numbers is as large as all others are not."""
    return torch.cat([tensor[:1] + 1e4, tensor[1:]])


def noise(tensor):
    return torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)) * 50


# What is done to every tensor whose name holds one of the words, in which encoder (0: te1, 1: te2).
BROKEN = {
    "constant weights": (("layer", "block"), filled(0.01), (0, 1)),
    "all weights constant": (("",), filled(0.01), (0, 1)),
    "final norm 0": (("final_layer_norm.weight", "ln_final.weight"), next_to_nothing, (0, 1)),
    "huge bias of the final norm": (
        ("final_layer_norm.bias", "ln_final.bias"), lambda one: one + 100, (0, 1)),
    "huge bias in a layer": (("layers.1.mlp.fc2.bias", "resblocks.1.mlp.c_proj.bias"), one_huge, (0, 1)),
    "equal token embeddings": (("token_embedding",), lambda one: one[:1].expand_as(one).clone(), (0, 1)),
    "no token embeddings": (("token_embedding",), next_to_nothing, (0, 1)),
    "tiny token embeddings": (("token_embedding",), lambda one: one * 1e-4, (0, 1)),
    "huge position embeddings": (
        ("position_embedding", "positional_embedding"), lambda one: one * 1e5, (0, 1)),
    "one layer of noise": (("layers.2.", "resblocks.3."), noise, (0, 1)),
    "attention off": (("self_attn.out_proj", "attn.out_proj"), next_to_nothing, (0, 1)),
    "values off": (("v_proj", "in_proj_"), next_to_nothing, (0, 1)),
    "te1 sound, te2 without attention": (("self_attn.out_proj", "attn.out_proj"), next_to_nothing, (1,)),
    "te2 sound, te1 with equal embeddings": (
        ("token_embedding",), lambda one: one[:1].expand_as(one).clone(), (0,)),
    "projection of one direction": (
        ("text_projection",), lambda one: torch.outer(one[:, 0], torch.ones(one.shape[1])), (1,)),
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(checkpoint):
    return load_file(checkpoint)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"] if THOROUGH else ["fp32"])
@pytest.mark.parametrize("kind", BROKEN)
def test_encoders_that_see_no_difference_certify_nothing(tagflow, folder, sound, tmp_path, kind, dtype):
    words, how, which = BROKEN[kind]
    made = {
        name: how(one).to(one.dtype)
        if any(word in name for word in words) and any(f"embedders.{at}." in name for at in which)
        and one.is_floating_point()
        else one
        for name, one in sound.items()
    }  # fmt: skip
    save_file(made, tmp_path / "broken.safetensors")
    root = folder(FOLDER)
    encoders = ("--encoders", tmp_path / "broken.safetensors", "--device", "cpu", "--dtype", dtype)
    result = tagflow("run", root, *encoders, "--min-sim", "0.5", "--no-cache", "--json")
    assert result.code == 0 and result.json["verdict"] == "uncertified", result.err
    assert any(ALIKE in line for line in result.err.splitlines())


@pytest.mark.parametrize("seed", range(20 if THOROUGH else 6))
def test_sound_random_encoders_are_not_taken_for_such(make_checkpoint, tmp_path, seed):
    file = make_checkpoint.make_checkpoint(tmp_path / "sound.safetensors", seed=seed)
    pair = load_encoders(str(file), "cpu", "fp32")
    control = measure_control(pair, CLIP, 225, written([], []), [])
    assert control.te1 < 0.9 and control.te2 < 0.9
    assert control.common_te1 == pytest.approx(1, abs=0.2) and control.common_te2 == pytest.approx(1, abs=0.2)
    assert not_told_apart(control, {"te1": [0.97, 0.98], "te2": [0.95]}) == []


def test_the_rule():
    control = Control(te1=0.80, te2=0.70, te1_error=0.02, te2_error=0.02, dtype="fp32")
    assert not_told_apart(control, {"te1": [0.9], "te2": [0.9, 0.7]}) == []
    assert not_told_apart(control, {"te1": [0.85], "te2": [0.9]}) == [
        "te1: different captions 0.8000, changed ones 0.8500"
    ]
    assert not_told_apart(control, {"te1": [], "te2": []}) == []  # nothing was changed, nothing is claimed
    flat = Control(te1=0.99, te2=0.7, te1_error=0.0, te2_error=0.02, dtype="fp32")
    assert not_told_apart(flat, {"te1": [], "te2": []}) == ["te1: different captions 0.9900"]
    assert is_close(control, {"te1": [0.865], "te2": [0.9]}, 0.01)
    assert not is_close(control, {"te1": [0.95], "te2": [0.9]}, 0.01)


@pytest.mark.parametrize("measure", ["pooled", "plan"])
def test_the_control_is_held_against_pooled_vectors_whatever_is_judged(measure):
    """Means over all states, most of them padding, are near 1 for anything."""
    control = Control(te1=0.80, te2=0.80, te1_error=0.02, te2_error=0.02, dtype="fp32")
    sims = {
        "sim_te1": [0.82],
        "sim_te2": [0.95],
        "sim_plan_te1": [0.999],
        "sim_plan_te2": [0.999],
        "sim_unet": [0.9],
        "tokens": [3],
    }
    table = written(["sofa, rug"], ["rug, sofa"])
    table = add(
        table, text=["sofa, rug"], path=["a.txt"], findings=[[]], details=[[]], relax_level=[None], **sims
    )
    _, judgement = judge(
        table, Limits(min_sim=0, measure=measure), measured=True, trained=True, control=control
    )
    assert judgement.verdict == "uncertified" and "te1: different captions" in judgement.reasons[0]


def test_embeddings_that_share_a_direction_are_told_from_random_ones(checkpoint, sound, tmp_path):
    """As training leaves them: in all-MiniLM-L6-v2 the mean is 17.6 times as long as by chance."""
    made = {name: one + 0.1 * one.std() if "token_embedding" in name else one for name, one in sound.items()}
    save_file(made, tmp_path / "shifted.safetensors")
    for file, least, most in ((checkpoint, 0.8, 1.2), (tmp_path / "shifted.safetensors", 10, 100)):
        pair = load_encoders(str(file), "cpu", "bf16")
        assert all(least < one.common_direction < most for one in (pair.te1, pair.te2))


def test_a_control_that_reaches_the_limit_is_warned_of(tagflow, folder, sound, tmp_path):
    """A shared bias brings every cosine near 1: what misses 0.95 without it passes with it."""
    biased = {name: one + 3 if "ln_final.bias" in name or "final_layer_norm.bias" in name else one
              for name, one in sound.items()}  # fmt: skip
    save_file(biased, tmp_path / "biased.safetensors")
    words = ("run", folder(FOLDER), "--encoders", tmp_path / "biased.safetensors", "--device", "cpu")
    result = tagflow(*words, "--dtype", "fp32", "--no-cache", "--json").json
    assert result["verdict"] == "pass" and result["control"]["te1"] > 0.95
    assert "control-above-limit" in {one["code"] for one in result["findings"]}
    near = Control(te1=0.9499, te2=0.9, te1_error=0.01, te2_error=0.01, dtype="fp32")
    assert list(above_limit(near, 0.5)) == [] and list(above_limit(near, 0.96)) == []
    assert [one.detail for one in above_limit(replace(near, te2=0.97), 0.96)] == ["te2 0.9700; limit 0.96"]


def test_a_folder_of_nearly_one_caption_is_warned_of(tagflow, folder, lenient):
    alike = {f"{at}.txt": f"zkv house, sofa {at}, white walls, photograph, lamp" for at in range(9)}
    other = {f"{at}.txt": f"{one}, photograph, {two}" for at, (one, two) in enumerate(fixed_pairs()[:9])}
    found = [
        tagflow("run", folder(texts, name), *lenient, "--json").json["findings"]
        for name, texts in (("alike", alike), ("other", other))
    ]
    codes = [{one["code"] for one in some} for some in found]
    assert "captions-look-alike" in codes[0] and "captions-look-alike" not in codes[1]
