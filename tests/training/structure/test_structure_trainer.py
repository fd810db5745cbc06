"""The model of the trainer's captions: what it promises, and, draw for draw, the real sd-scripts."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path
from random import Random

import pytest
from hostile import CAPTIONS, GAPS, ODD, SENTENCES, TAGS, outcome
from hypothesis import given
from hypothesis import strategies as st
from trainer_place import real_trainer

from tagflow.captions.grammar import stripped_lines
from tagflow.stages.trigger import Trigger
from tagflow.training.sd_scripts.captions import (
    Handling,
    When,
    expand,
    process_caption,
    read_caption,
    take_apart,
)
from tagflow.training.sd_scripts.options import known_options
from tagflow.training.structure.arrange import split_pieces
from tagflow.training.structure.prove import render_caption
from tagflow.training.structure.structure import Layout, handling

SAMPLES = Path(__file__).parents[3] / "data_samples"
HOW = st.builds(
    Handling,
    shuffle_caption=st.booleans(),
    keep_tokens=st.integers(0, 3),
    keep_tokens_separator=st.sampled_from([None, "", "|||"]),
    secondary_separator=st.sampled_from([None, ";;;"]),
    enable_wildcard=st.booleans(),
    caption_tag_dropout_rate=st.sampled_from([0.0, 0.3]),
)
SEPARATED = Handling(shuffle_caption=True, keep_tokens_separator="|||", secondary_separator=";;;")


def drawn(seed):
    return Random(seed)  # noqa: S311 - the trainer's own kind


def seen(text, how, seed=0, **when):
    return process_caption(text, how, drawn(seed), When(**when))


def test_its_options_are_the_trainers_with_its_defaults():
    defaults = known_options().defaults()
    for field in fields(Handling):
        if field.name != "keep_tokens_separator":  # "" there, which splits no more than None
            given = defaults[field.name]
            assert (given or 0) == (field.default or 0), field.name


@given(CAPTIONS)
def test_without_a_shuffle_the_first_line_goes_through_untouched(text):
    assert seen(text, Handling(keep_tokens_separator="|||")) == text.split("\n")[0]


@given(CAPTIONS, st.integers(0, 99))
def test_a_shuffle_alone_loses_and_adds_nothing(text, seed):
    line = text.split("\n")[0]
    expected = Counter(part.strip() for part in line.strip().split(","))
    assert Counter(seen(text, Handling(shuffle_caption=True), seed).split(", ")) == expected


@given(CAPTIONS, HOW, st.integers(0, 99))
def test_what_is_fixed_is_in_its_place_whatever_is_drawn(text, how, seed):
    how = Handling(**{**asdict(how), "enable_wildcard": False, "secondary_separator": None})
    parts = take_apart(text.split("\n")[0], how)
    prompt = seen(text, how, seed)
    if how.splits:
        assert prompt.startswith(", ".join(parts.fixed)) and prompt.endswith(", ".join(parts.tail))
        kept = ", ".join([*parts.fixed, *parts.flex, *parts.tail])
        assert not Counter(prompt) - Counter(kept)


def test_the_separator_at_its_first_and_second_place_and_a_third_one_as_text():
    assert take_apart("a, b ||| c,, d ||| e ||| f,", SEPARATED) == (["a", "b"], ["c", "d"], ["e ||| f"])
    how = Handling(shuffle_caption=True, keep_tokens=1)
    assert take_apart("a,, b, ", how) == (["a"], ["", "b", ""], [])


def test_a_group_comes_out_with_commas_even_where_nothing_is_split():
    assert seen("a;;; b", Handling(secondary_separator=";;;")) == "a, b"
    assert (
        seen("a;;;b, c", Handling(keep_tokens=9, shuffle_caption=True, secondary_separator=";;;")) == "a,b, c"
    )


def test_prefix_suffix_and_dropout():
    how = Handling(caption_prefix="P", caption_suffix="S")
    assert seen("", how) == "P  S"
    assert seen("a\nb", how) == "P a"
    assert seen("a", Handling(caption_dropout_rate=1.0)) == ""
    every = Handling(caption_dropout_every_n_epochs=3)
    assert [seen("a", every, epoch=epoch) for epoch in (1, 2, 3)] == ["a", "a", ""]


def test_the_warm_up_shows_more_of_the_file_at_every_step():
    how = Handling(token_warmup_step=0.5, keep_tokens=1)
    found = [seen("k, a, b, c, d, e", how, step=step, steps=20) for step in (0, 5, 9, 10)]
    assert found == ["k, a", "k, a, b, c", "k, a, b, c, d", "k, a, b, c, d, e"]


def test_alternatives():
    assert {expand("{red|blue} sofa", drawn(seed)) for seed in range(9)} == {"red sofa", "blue sofa"}
    assert expand("{{a|b}} {} {c", drawn(0)) == "{a|b} {} {c"
    how = Handling(enable_wildcard=True)
    assert {seen("a\nb", how, seed) for seed in range(9)} == {"a", "b"}


@pytest.mark.parametrize(
    ("data", "plain", "wildcards"),
    [
        (b" a, b \n c\n", "a, b", "a, b\nc"),
        (b"\n a\r\n\r\nb", "", "a\nb"),
        ("\ufeffa\rb".encode(), "\ufeffa", "\ufeffa\nb"),
        (b"  \n", "", ""),
        ("a\u2028b\u3000".encode(), "a\u2028b", "a\u2028b"),
        (b"a\x0cb\x0b", "a\x0cb", "a\x0cb"),
    ],
)
def test_reading(data, plain, wildcards):
    assert read_caption(data.decode()) == plain
    assert read_caption(data.decode(), enable_wildcard=True) == wildcards


# ------------------------------------------------------------------ the real sd-scripts


def cases(count):
    """Captions of realistic and hostile pieces, under every option and at every moment."""
    draw = drawn(20240501)
    pieces = [*TAGS, *ODD, *SENTENCES, "{a|b|}", "{{x}}", "{a|{b|c}}", "⦅{a|b}", "{a|||b}"]
    for _ in range(count):
        text = "".join(
            draw.choice(pieces) + draw.choice([", "] * 20 + list(GAPS)) for _ in range(draw.randint(0, 12))
        )
        how = Handling(
            draw.random() < 0.6, draw.choice([0, 0, 1, 3]), draw.choice(["|||", "|||", "", "##"]),
            draw.choice([None, ";;;"]), draw.choice([",", ",", ";", "|"]), draw.random() < 0.5,
            draw.choice([None, "P,", "{p|q}"]), draw.choice([None, "S", ", s ||| t"]),
            draw.choice([0.0, 0.0, 0.2]), draw.choice([0, 0, 2]), draw.choice([0.0, 0.0, 0.4]),
            draw.choice([1, 2, 5]), draw.choice([0, 0, 0.3, 7]),
        )  # fmt: skip
        yield text, how, draw.getrandbits(32), When(draw.randint(1, 4), draw.randint(0, 12), 20)


def rendered_samples():
    """The sample captions rendered in both structures, with what was certified; a line each, five seeds."""
    for folder in ("cluster_4", "traps"):
        table = outcome(SAMPLES / folder, triggers=(Trigger("zkv house", "named"),)).table.to_pylist()
        for row in table:
            category = dict(zip(row["tags"] or (), row["categories"] or (), strict=True))
            for kind in ("separator", "groups") if row["rewritten"] else ():
                front = ("meta", "quality", "style") if kind == "separator" else ()
                layout = Layout(kind, category, front, frozenset({"zkv house"}))
                line = read_caption(render_caption(row["rewritten"], layout).text)
                certified = split_pieces(stripped_lines(row["rewritten"])[0])
                yield from ((line, handling(kind), seed, When(), certified) for seed in range(5))


FILES = {
    "lines.txt": b" sofa, lamp \n\n a {b|c}\n", "bom.txt": b"\xef\xbb\xbf1girl, sofa", "cr.txt": b"a\rb\r\nc",
    "blank.txt": b"  \n sofa", "wide.txt": "\u3000客厅，窗\u00a0\u2028".encode(), "ff.txt": b"a\x0c, b\x0b",
}  # fmt: skip


def test_the_real_trainer_draws_the_same(tmp_path):
    folder, python = real_trainer()
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).with_suffix(".png").touch()
    made, rendered = list(cases(6000)), list(rendered_samples())
    asked = [
        {"text": text, "seed": seed, "how": asdict(how), **asdict(when)}
        for text, how, seed, when, *_ in (*made, *rendered)
    ]
    done = subprocess.run(
        [python, Path(__file__).parents[1] / "real_captions.py"],
        input=json.dumps({"cases": asked, "folder": str(tmp_path)}).encode(),
        cwd=folder, capture_output=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    real = json.loads(done.stdout.splitlines()[-1])
    assert len(rendered) > 1000
    for (*_, certified), prompt in zip(rendered, real["prompts"][len(made) :], strict=True):
        assert Counter(split_pieces(prompt)) == Counter(certified) and "|||" not in prompt
    for (text, how, seed, when), prompt in zip(made, real["prompts"][: len(made)], strict=True):
        assert process_caption(text, how, drawn(seed), when) == prompt, (text, how, when)
    assert len(set(real["prompts"])) > 3000
    for name, data in FILES.items():
        image = name.replace(".txt", ".png")
        assert read_caption(data.decode()) == real["read"]["plain"][image]
        assert read_caption(data.decode(), enable_wildcard=True) == real["read"]["wildcards"][image]
