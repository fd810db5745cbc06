"""Sample prompts: from the data, the same each time, and never read by sd-scripts as something else."""

from __future__ import annotations

import re

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_data import caption

from tagflow.training.plan.prompts import NEGATIVE, Tagged, as_prompt, is_speakable, lines, prompts

# What sd-scripts' `line_to_prompt_dict` takes for an option, in its own order.
OPTIONS = (
    r"w (\d+)", r"h (\d+)", r"d (\d+)", r"s (\d+)", r"l ([\d\.]+)", r"g ([\d\.]+)", r"n (.+)", r"ss (.+)",
    r"cn (.+)", r"ctr (.+)", r"rcfg (.+)", r"fs (.+)",
)  # fmt: skip
CATEGORIES = ("space", "style", "furniture", "materials", "colors")


def tagged(at, text):
    tags = text.split(", ")
    return Tagged(f"{at:03}.txt", tags, [CATEGORIES[n % 5] for n in range(len(tags))])


def as_read(line):
    """A line as sd-scripts reads it: the prompt, and its options by their first letters."""
    parts = line.strip().split(" --")
    assert not line.startswith("#") and line.strip()
    assert not any(re.match(option, parts[0], re.IGNORECASE) for option in OPTIONS), parts[0]
    return parts[0], dict(part.split(" ", 1) for part in parts[1:])


def test_they_differ_and_the_trigger_stands_in_front():
    found = prompts([tagged(at, caption(at)) for at in range(24)], ["zkv house"])
    assert len(found) == 4 == len(set(found)) and all(one.startswith("zkv house, ") for one in found)
    rooms = {room for one in found for room in ("living room", "kitchen", "bedroom", "office") if room in one}
    assert len(rooms) >= 3


def test_the_order_of_the_files_does_not_matter():
    rows = [tagged(at, caption(at)) for at in range(24)]
    assert prompts(rows, []) == prompts(rows[::-1], [])


def test_a_line_as_sd_scripts_reads_it():
    text = lines(["a sofa", "a lamp"], 832, 1216)
    comment, *made = text.splitlines()
    assert comment.startswith("# ") and text.endswith("\n")
    read = [as_read(line) for line in made]
    assert [prompt for prompt, _ in read] == ["a sofa", "a lamp"]
    assert read[0][1] == {"n": NEGATIVE, "w": "832", "h": "1216", "s": "28", "l": "7", "d": "42"}
    assert read[1][1]["d"] == "43"


@pytest.mark.parametrize("tag", ["n 5", "w 100", "H 3", "fs x", "l 2.5", "ctr y"])
def test_a_tag_like_an_option_does_not_stand_in_front(tag):
    assert as_read(as_prompt([tag, "sofa"]))[0] == f"sofa, {tag}"
    assert as_read(as_prompt([tag]))[0] == f"a photograph, {tag}"


@pytest.mark.parametrize("tag", ["a --b", "--w 3", "#1", "a ||| b", "a;;;b", "{x|y}", "a\nb", " "])
def test_tags_that_would_become_something_else_are_left_out(tag):
    assert not is_speakable(tag)
    assert tag.strip() not in "".join(prompts([tagged(0, "sofa, lamp")], [tag])) or not tag.strip()


def test_brackets_are_letters():
    assert as_prompt(["cube (shape)", r"vase \(blue\)"]) == r"cube \(shape\), vase \(blue\)"


def test_without_tags_there_is_still_a_prompt():
    assert prompts([], []) == ["a photograph"] and prompts([], ["zkv"]) == ["zkv"]


WORDS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters=","), min_size=1, max_size=12)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=6), max_size=5), st.lists(WORDS, max_size=2))
def test_whatever_the_tags_are_each_line_is_one_prompt(groups, triggers):
    rows = [tagged(at, ", ".join(group)) for at, group in enumerate(groups)]
    text = lines(prompts(rows, triggers), 1024, 1024)
    _, *made = text.removesuffix("\n").split("\n")
    assert made and "\r" not in text
    for line in made:
        prompt, options = as_read(line)
        assert prompt.strip() and list(options) == ["n", "w", "h", "s", "l", "d"]
