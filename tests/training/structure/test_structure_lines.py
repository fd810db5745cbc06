"""Rendered captions: every one proved by the trainer's model, whatever stands in it; and what it is then."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hostile import CAPTIONS, CLIP, ONTOLOGY, outcome, parsed
from hypothesis import given
from hypothesis import strategies as st

from tagflow.captions.grammar import parse, stripped_lines
from tagflow.errors import TrainerError
from tagflow.stages.classify import Classify
from tagflow.stages.trigger import Trigger
from tagflow.training.sd_scripts.captions import process_caption, read_caption, take_apart
from tagflow.training.sd_scripts.options import known_options
from tagflow.training.structure.arrange import REASONS, restore_commas, split_pieces
from tagflow.training.structure.prove import Limit, render_caption
from tagflow.training.structure.structure import CHOICES, STRUCTURES, WHY, Layout, conflicts, handling

SAMPLES = Path(__file__).parents[3] / "data_samples"
FRONT = ("meta", "quality", "style")
NASTY = st.text(alphabet='ab,|{};"( ):\n', max_size=30)
LIMIT = Limit(CLIP, 225)
WHOLE = {"prose", "break", "separator-in-group", "bracket-unbalanced", "ambiguous", "over-limit"}
"""The reasons for which a line is rendered in its whole fixed form."""


class Still(Random):
    """Shuffles nothing: the order in which a rendered caption was written."""

    def shuffle(self, x):
        return None


def layout_of(kind, row, **more):
    category = dict(zip(row["tags"], row["categories"], strict=True))
    return Layout(kind, category, FRONT if kind == "separator" else (), frozenset({"zkv house"}), **more)


def classified(text):
    """A caption as it stands, with the categories of its tags."""
    return Classify(ONTOLOGY)(parsed([text])).to_pylist()[0]


def rendered(text, kind, **more):
    row = classified(text)
    return render_caption(text, layout_of(kind, row, **more), LIMIT), text


def draws(line, how, count):
    return [process_caption(line, how, Random(seed)) for seed in range(count)]  # noqa: S311 - the trainer's kind


def line_of(text, kind, **more):
    found, _ = rendered(text, kind, **more)
    return found.text.removesuffix("\n")


@given(CAPTIONS | NASTY, st.sampled_from(["separator", "groups"]), st.booleans(), st.integers(0, 9))
def test_every_prompt_holds_the_certified_words_and_no_mark(text, kind, wildcards, seed):
    found, before = rendered(text, kind, wildcards=wildcards)
    assert found.reasons <= REASONS.keys()
    how = handling(kind)  # a line at a time, alternatives left as they are
    certified = stripped_lines(before)
    lines = found.text.removesuffix("\n").split("\n")
    while certified and not certified[-1]:
        certified.pop()  # ends of lines at the very end
    assert len(lines) == max(1, len(certified))
    for line, was in zip(lines, certified, strict=False):
        prompt = process_caption(line, how, Random(seed))  # noqa: S311 - the trainer's own kind
        assert "|||" not in prompt
        assert Counter(split_pieces(prompt)) == Counter(split_pieces(was))
        if not take_apart(line, how).flex:
            assert split_pieces(prompt) == split_pieces(was)


@given(st.text(alphabet="ab,|{} ;", max_size=30), st.sampled_from(["separator", "groups"]), st.integers(0, 9))
def test_no_mark_is_left_where_alternatives_are_drawn(text, kind, seed):
    try:
        line = line_of(text, kind, wildcards=True)
    except TrainerError:
        assert "{" in text and "|" in text  # an alternative may make a mark of its neighbours
        return
    how = handling(kind, enable_wildcard=True)
    assert "|||" not in process_caption(line, how, Random(seed))  # noqa: S311 - the trainer's own kind


@given(CAPTIONS, st.sampled_from(["separator", "groups"]))
def test_a_tag_is_never_torn_apart(text, kind):
    found, _ = rendered(text, kind)
    line = read_caption(found.text)
    if not found.reasons & WHOLE:
        tags = Counter(restore_commas(tag) for tag in parse(stripped_lines(text)[0]).texts())
        parts = take_apart(line, handling(kind))
        items = [restore_commas(part) for part in (*parts.fixed, *parts.flex, *parts.tail) if part]
        if kind == "separator":
            assert Counter(items) == tags
        else:
            assert all(any(tag in item for item in items) for tag in tags)


@given(CAPTIONS)
def test_in_a_group_nothing_is_lost_to_tag_dropout_by_halves(text):
    """Whatever is dropped is dropped by items; what is fixed is never dropped."""
    line = read_caption(rendered(text, "groups")[0].text)
    how = handling("groups")
    parts = take_apart(line, how)
    prompt = process_caption(line, replace(how, caption_tag_dropout_rate=1.0), Still())
    assert prompt == restore_commas(", ".join([*parts.fixed, *parts.tail]))


@pytest.mark.parametrize(
    ("text", "separator", "groups"),
    [
        (
            "zkv house, photograph, elegant, sofa, chair, window",
            "zkv house, photograph, elegant ||| sofa, chair, window",
            "zkv house ||| photograph, elegant, sofa;;; chair, window",
        ),
        ("sofa, window", "sofa, window", "sofa, window"),
        ("photograph, image", "photograph, image |||", "photograph;;; image"),
        ("photograph, 40,000 books", "photograph ||| 40;;;000 books", "photograph, 40;;;000 books"),
        (
            'photograph, (sofa, lamp:1.2), "a, b"',
            'photograph ||| (sofa;;; lamp:1.2), "a;;; b"',
            'photograph, (sofa;;; lamp:1.2), "a;;; b"',
        ),
        ("image, sofa;;;lamp, chair", "image ||| sofa;;;lamp, chair", "image, sofa;;;lamp, chair"),
        ("photograph, sofa BREAK lamp", "photograph, sofa BREAK lamp |||", "photograph, sofa BREAK lamp |||"),
        ("photograph, (lamp, sofa", "photograph, (lamp, sofa |||", "photograph, (lamp, sofa |||"),
        ("sofa ||| image, lamp ||| bed", "sofa, image ||| lamp ||| bed", "sofa ||| image, lamp ||| bed"),
        ("a ||| ||| c", "a, c |||", "a, c |||"),
        ("sofa ||| lamp ||| a ||| b", "sofa ||| lamp ||| a, b", "sofa ||| lamp ||| a, b"),
        ("photograph, (a ||| b)", "photograph, (a, b) |||", "photograph, (a, b) |||"),
        ("photograph,, sofa,", "photograph ||| sofa", "photograph, sofa"),
        ("photograph，image, sofa", "photograph，image, sofa", "photograph，image, sofa"),
        ("[trigger], photograph, sofa", "[trigger], photograph ||| sofa", "[trigger] ||| photograph, sofa"),
        ("photograph\n\nimage, sofa", "photograph |||\n\nimage ||| sofa", "photograph\n\nimage, sofa"),
        ("\ufeffphotograph, sofa\r\n", "photograph ||| sofa", "photograph, sofa"),
        ("  ", "", ""),
        (", ,", "", ""),
    ],
)  # fmt: skip
def test_how_a_caption_is_written(text, separator, groups):
    assert line_of(text, "separator") == separator
    assert line_of(text, "groups") == groups


def test_pinned_tags_stay_in_front():
    assert line_of("sofa, lamp, chair", "separator", keep_first=2) == "sofa, lamp ||| chair"
    assert line_of("sofa ||| lamp, chair", "separator", keep_first=2) == "sofa, lamp ||| chair"


def test_a_line_of_sentences_stays_whole_and_comes_out_as_it_was():
    text = 'A room, wide,"bright" and calm. The sofa stands by the window, and a lamp is on.'
    found, _ = rendered(text, "groups")
    assert found.reasons == {"prose"}
    assert process_caption(read_caption(found.text), handling("groups"), Still()) == text


def test_a_line_with_marks_of_its_own_stays_whole_and_its_numbers_too():
    """Joined by its commas it would be `40, 000 books`: another tag."""
    for text in (
        "sofa BREAK 40,000 books ||| lamp",
        "40,000 books, lamp, (chair ||| window)",
        "a BREAK 2,5 m |||",
    ):
        found, _ = rendered(text, "separator")
        (prompt,) = set(draws(found.text.strip(), handling("separator"), 20))
        assert ("40,000 books" in prompt or "2,5 m" in prompt) and "|||" not in prompt
        assert split_pieces(prompt) == split_pieces(text)


def test_alternatives_hold_together_under_wildcards():
    line = line_of("photograph, {red, blue|green} sofa, lamp", "separator", wildcards=True)
    assert set(draws(line, handling("separator", enable_wildcard=True), 40)) == {
        "photograph, red, blue sofa, lamp", "photograph, lamp, red, blue sofa",
        "photograph, green sofa, lamp", "photograph, lamp, green sofa",
    }  # fmt: skip


def test_an_order_that_would_be_cut_is_not_shuffled():
    """`...,` is one token, `...` at the end of a caption and a comma elsewhere are two."""
    text = "photograph, sofa, lamp..., window"
    layout, how, tokens = layout_of("separator", classified(text)), handling("separator"), len(CLIP.ids(text))
    free = render_caption(text, layout, Limit(CLIP, tokens + 1))
    assert not free.reasons
    assert {len(CLIP.ids(prompt)) for prompt in draws(free.text.strip(), how, 40)} == {tokens, tokens + 1}
    held = render_caption(text, layout, Limit(CLIP, tokens))
    assert held.reasons == {"over-limit"} and set(draws(held.text.strip(), how, 40)) == {text}
    assert render_caption(text, layout, Limit(CLIP, tokens - 1)).reasons == {"cut-at-random"}


@pytest.mark.parametrize("folder", ["cluster_4", "traps"])
@pytest.mark.parametrize("kind", ["separator", "groups"])
def test_the_order_written_has_the_certified_token_ids(folder, kind):
    """Where a caption has marks of its own or empty tags, those of its tags joined by commas."""
    same = total = 0
    for row in outcome(SAMPLES / folder, triggers=(Trigger("zkv house", "named"),)).table.to_pylist():
        if row["rewritten"] is None:
            continue
        found = render_caption(row["rewritten"], layout_of(kind, row), LIMIT)
        prompt = process_caption(read_caption(found.text), handling(kind), Still())
        certified = stripped_lines(row["rewritten"])[0]
        assert CLIP.ids(prompt) in (CLIP.ids(certified), CLIP.ids(", ".join(split_pieces(certified))))
        same += CLIP.ids(prompt) == CLIP.ids(certified)
        total += 1
    assert same >= 0.8 * total > 30


def test_what_cannot_be_proved_is_refused():
    """The alternatives are empty, and what is left of the line is the mark itself."""
    with pytest.raises(TrainerError, match="cannot be written") as refusal:
        rendered("sofa ||{|}| lamp", "separator", wildcards=True)
    assert "structure `none`" in refusal.value.cure
    assert line_of("sofa ||{|}| lamp", "separator") == "sofa ||{|}| lamp"


def test_every_choice_is_told_and_its_options_are_the_trainers():
    options = known_options().by_name
    for kind in STRUCTURES:
        choice = CHOICES[kind]
        assert choice.kind == kind and all((choice.title, choice.does, choice.costs, choice.use))
        assert all(options[name].fault(value) is None for name, value in choice.options.items())
    assert WHY.keys() == CHOICES["separator"].options.keys() == CHOICES["groups"].options.keys()
    assert handling("none").keep_tokens_separator is None and not handling("none").splits
    assert handling("groups").splits


def test_what_a_structure_does_not_go_with():
    marks = {**CHOICES["separator"].options}
    assert conflicts("separator", marks) == {}
    assert conflicts("none", {"cache_text_encoder_outputs": True, "shuffle_caption": False}) == {}
    assert list(conflicts("none", {"shuffle_caption": True})) == ["shuffle_caption"]
    for name, value in {
        "cache_text_encoder_outputs": True, "cache_text_encoder_outputs_to_disk": True, "keep_tokens": 2,
        "shuffle_caption": False, "keep_tokens_separator": "$$", "secondary_separator": None,
        "caption_separator": ";", "caption_prefix": "P", "caption_suffix": "S",
    }.items():  # fmt: skip
        assert list(conflicts("groups", {**marks, name: value})) == [name]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("red hair, zkv ## sofa, lamp", "red hair, zkv ||| sofa, lamp"),
        ("red hair, zkv, ##, sofa, lamp", "red hair, zkv ||| sofa, lamp"),
        ("red hair##sofa, lamp##rug", "red hair ||| sofa, lamp ||| rug"),
        ("sofa, lamp", "sofa, lamp"),
    ],
)
def test_the_captions_own_separator_becomes_the_rendered_one(text, shown):
    row = Classify(ONTOLOGY)(parsed([text], separator="##")).to_pylist()[0]
    found = render_caption(text, layout_of("separator", row, separator="##"), LIMIT)
    assert found.text == shown + "\n" and ("own-separator" in found.reasons) == ("##" in text)
