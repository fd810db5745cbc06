"""Encode: similarities as defined, measured with both encoders of a checkpoint of the real layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hostile import written

from tagflow.clip.tokenizer import Tokenizer, padded
from tagflow.clip.vocabulary import find_vocabulary
from tagflow.encoders import load_encoders
from tagflow.encoders.locate import locate
from tagflow.encoders.pair import TextEncoder
from tagflow.encoders.references import open_clip_te2, transformers_te1
from tagflow.errors import EncoderError
from tagflow.schema import rows
from tagflow.stages.encode import Encode, cosine

BOS, EOS = 49406, 49407


@pytest.fixture(scope="module")
def pair(checkpoint):
    return load_encoders(str(checkpoint), device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def words():
    return Tokenizer(find_vocabulary())


@pytest.fixture
def sims(pair, words):
    """`sims((original, rewritten), ...)`: each pair's three similarities."""

    def measure(*texts, max_tokens=225):
        table = written(*zip(*texts, strict=True))
        done = Encode(pair, words, max_tokens)(table)
        return list(zip(*(rows(done, f"sim_{name}") for name in ("te1", "te2", "unet")), strict=True))

    return measure


def close(one, two):
    return float(np.dot(one, two) / np.linalg.norm(one) / np.linalg.norm(two))


def states(encoder, words, text):
    """One short line's vectors, and the mean hidden state of each of its tags, straight from the encoder."""
    encoded = words.encode(text)
    (made,) = encoder.encode([[BOS, *encoded.ids, EOS]])
    found, start = {}, 0
    for tag in text.split(", "):
        at = [
            i for i, (first, last) in enumerate(encoded.spans) if first >= start and last <= start + len(tag)
        ]
        found[tag] = made.hidden[[1 + i for i in at]].mean(axis=0)
        start += len(tag) + 2
    return made.pooled, found


def test_the_three_are_as_defined(sims, pair, words):
    before, after = "wooden floor, sofa, photograph", "photograph, sofa, wooden floor"
    pooled, unet = [], []
    for encoder in (pair.te1, pair.te2):
        (one, tags), (two, moved) = states(encoder, words, before), states(encoder, words, after)
        pooled.append(close(one, two))
        unet.append(np.mean([close(tags[tag], moved[tag]) for tag in tags]))
    ((te1, te2, both),) = sims((before, after))
    assert (te1, te2) == pytest.approx(pooled, abs=1e-5) and both == pytest.approx(np.mean(unet), abs=1e-5)
    assert te1 < 0.9999 and te2 < 0.9999


def test_equal_texts_are_exactly_1_and_not_encoded(sims, monkeypatch):
    def never(*args):
        raise AssertionError("encoded")

    monkeypatch.setattr(TextEncoder, "view", never)
    assert sims(("a, b", "a, b"), ("", "")) == [(1.0, 1.0, 1.0)] * 2


def test_what_failed_has_no_similarity(sims):
    assert sims((None, None), ("a", None)) == [(None, None, None)] * 2


def test_the_file_has_the_figures_of_its_worst_line(sims):
    one, two = (
        ("sofa, photograph", "photograph, sofa"),
        ("lamp, red wall, bedroom", "bedroom, red wall, lamp"),
    )
    first, second = sims(one), sims(two)
    ((te1, te2, unet),) = sims((f"{one[0]}\nsame\n{two[0]}", f"{one[1]}\nsame\n{two[1]}"))
    for found, lines in zip((te1, te2), zip(first[0], second[0], strict=True), strict=False):
        assert found == pytest.approx(min(lines), abs=1e-6)
    # The worst line by encoder, then the mean: no higher than the worst line's mean.
    assert unet <= min(first[0][2], second[0][2]) + 1e-6


def test_what_cross_attention_is_given_stands_by_encoder(pair, words):
    table = Encode(pair, words, 225)(written(["sofa, red wall, lamp"], ["lamp, sofa, red wall"]))
    te1, te2, both = (rows(table, f"sim_{name}")[0] for name in ("unet_te1", "unet_te2", "unet"))
    assert te1 != te2 and both == pytest.approx((te1 + te2) / 2)
    assert rows(table, "sim_plan_te1") == [None]  # it takes the padding, too, and was not asked for


@pytest.mark.parametrize("max_tokens", [75, 150, 225])
def test_the_mean_of_all_states_is_that_of_the_libraries(checkpoint, pair, words, max_tokens):
    """On the trainer's padded rows: final norm, mean over all places and windows."""
    long = ", ".join(f"{word} sofa" for word in "red blue green black white grey pink brown".split() * 6)
    texts = [
        ("sofa, red wall, lamp", "lamp, sofa, red wall"),
        (f"{long}, lamp", f"lamp, {long}"),
        ("a, b", "b, a"),
    ]
    table = Encode(pair, words, max_tokens, whole=True)(written(*zip(*texts, strict=True)))
    located = locate(str(checkpoint))
    te1 = transformers_te1(located.te1, torch.float32, torch.device("cpu")).model
    te2 = open_clip_te2(located.te2, torch.float32, torch.device("cpu")).model
    final = []
    te2.ln_final.register_forward_hook(lambda layer, given, made: final.append(made))
    for at, pairs in enumerate(texts):
        means = []
        for text in pairs:
            ids = {name: torch.tensor(padded(words.ids(text), max_tokens, name)) for name in ("te1", "te2")}
            with torch.inference_mode():
                means.append(te1(ids["te1"]).last_hidden_state.mean((0, 1)).numpy())
                te2(ids["te2"])
                means.append(final.pop().mean((0, 1)).numpy())
        for name, (one, two) in {"te1": means[::2], "te2": means[1::2]}.items():
            assert rows(table, f"sim_plan_{name}")[at] == pytest.approx(close(one, two), abs=1e-5)
            (own,) = getattr(pair, name).mean_states([tuple(padded(words.ids(pairs[0]), max_tokens, name))])
            assert np.abs(own - one).max() <= 1e-5 * np.abs(one).max()


def test_a_mark_and_line_ends_are_not_seen(sims):
    assert sims(("\ufeffsofa, photograph\r\n", "sofa, photograph\n")) == [(1.0, 1.0, 1.0)]


def test_duplicates_are_compared_one_by_one(sims, pair, words):
    """The second `sofa` with the second, not with the first."""
    ((_, _, unet),) = sims(("sofa, sofa, lamp", "lamp, sofa, sofa"))
    scores = []
    for encoder in (pair.te1, pair.te2):
        found = []
        for text in ("sofa, sofa, lamp", "lamp, sofa, sofa"):
            encoded = words.encode(text)
            (made,) = encoder.encode([[BOS, *encoded.ids, EOS]])
            content = [1 + i for i, (a, b) in enumerate(encoded.spans) if text[a:b] != ","]
            found.append([made.hidden[at] for at in content])
        (first, second, lamp), (moved, one, two) = found
        scores.append([close(first, one), close(second, two), close(lamp, moved)])
    assert unet == pytest.approx(np.mean(scores), abs=1e-5)


def test_a_tag_that_one_order_cuts_off_counts_nothing(sims):
    filler = [f"wall number {number}" for number in range(30)]
    kept = ["photograph", *filler]
    cut = [*filler, "photograph"]
    ((_, _, whole),) = sims((", ".join(kept), ", ".join(cut)), max_tokens=225)
    ((_, _, some),) = sims((", ".join(kept), ", ".join(cut)), max_tokens=75)
    assert some < whole
    long = "sofa" + " sofa" * 80
    ((_, _, none),) = sims((f"photograph, {long}", f"{long}, photograph"), max_tokens=75)
    assert none < 0.75  # of two tags one is cut off


def test_pooled_vectors_see_the_first_window_only(sims):
    head = ", ".join(f"wall number {number}" for number in range(25))
    ((te1, te2, unet),) = sims((f"{head}, lamp, sofa", f"{head}, sofa, lamp"))
    assert te1 == te2 == pytest.approx(1.0, abs=1e-6) and unet < 1


def test_progress_counts_pairs_of_lines(pair, words):
    told = []
    table = written(["a, b", "a, b", "c"], ["b, a", "b, a", "c"])
    Encode(pair, words, 225, progress=lambda done, total: told.append((done, total)))(table)
    assert told[0] == (0, 1) and told[-1] == (1, 1) and told == sorted(told)


@pytest.mark.parametrize("vector", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_no_number_is_made_of_what_is_none(vector):
    with np.errstate(all="ignore"), pytest.raises(EncoderError):
        cosine(np.array(vector, np.float32), np.array([1.0, 0.0], np.float32))


def test_chunks_change_nothing(sims, monkeypatch):
    """The next chunk is tokenised beside the encoders' work; each pair keeps its own similarities."""
    texts = [(f"sofa, lamp {n}, photograph", f"photograph, lamp {n}, sofa") for n in range(7)]
    whole = sims(*texts)
    monkeypatch.setattr("tagflow.stages.encode.CHUNK", 2)
    for one, two in zip(sims(*texts), whole, strict=True):
        assert one == pytest.approx(two, abs=1e-6)
    assert len(set(whole)) == len(texts)
