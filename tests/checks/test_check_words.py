"""Words of one caption: for every finding one case of it and near misses that are none."""

from __future__ import annotations

import pytest

from tagflow.captions.grammar import parse
from tagflow.checks.caption import Words, word_findings
from tagflow.checks.tags import facts, key, read_lists

LISTS = read_lists()


def found(text):
    tags = parse(text).tags
    texts = [text[tag.start : tag.end] for tag in tags]
    words = Words(
        text,
        texts,
        [tag.start for tag in tags],
        [tag.line for tag in tags],
        [facts(tag, LISTS) for tag in texts],
    )
    return {one.code: one.detail for one in word_findings(words, LISTS)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("white wall, wall", "wall in white wall"),
        ("wall, white_wall", "wall in white_wall"),
        ("long hair, hair, 1girl", "hair in long hair"),
        ("red dress, dress", "dress in red dress"),
        ("school uniform, uniform", "uniform in school uniform"),
        ("(white wall:1.2), wall", "wall in (white wall:1.2)"),
        ("brick wall, old brick wall, wall", "brick wall in old brick wall, wall in old brick wall"),
        ("Wall, WHITE WALL", "Wall in WHITE WALL"),
    ],
)
def test_a_tag_that_a_longer_one_says(text, said):
    assert set(found(text)["tag-implied"].split(", ")) == set(said.split(", "))


@pytest.mark.parametrize(
    "text",
    [
        "elbow gloves, bow", "school uniform, school", "red dress, red", "white walls, wall", "hallway, way",
        r"ganyu \(genshin impact\), impact, genshin", "no humans, humans", "fake tail, tail",
        "hot dog, dog", "floor-to-ceiling windows, ceiling windows", "wall, {white|grey} wall",
        "wine glass, glass", "hand on hip, hip", "x_x, x", "o_o, o", "house by the sea, sea", "mr. cat, cat",
        "rabbit with carrot, carrot", "black and white, white",
        "on bed, bed", "captain america, america", "iron man, man", "looking back, back", "bad hands, hands",
        "toenails painted red, red", "aids not to be seen, seen", "spoken heart, heart",
        "imminent kiss, kiss",
        "A cat sleeps on the red sofa., sofa", "wall\nwhite wall", "white wall",
    ],
)  # fmt: skip
def test_what_is_not_implied(text):
    assert "tag-implied" not in found(text)


def test_an_ontology_may_say_more():
    tags = ["earrings", "jewelry", "lamp"]
    for name, said in (("danbooru", ["jewelry in earrings"]), ("", []), ("architecture", [])):
        lists = read_lists(name)
        words = Words(", ".join(tags), tags, [0, 10, 19], [0, 0, 0], [facts(tag, lists) for tag in tags])
        assert [one.detail for one in word_findings(words, lists) if one.code == "tag-implied"] == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("indoors, lamp, outdoors, exterior", "indoors, outdoors, exterior: "),
        ("night, day, noon", "night, day, noon: "),
    ],
)
def test_every_tag_of_a_contradiction_is_named(text, said):
    assert found(text)["tag-contradiction"].startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        "indoors, sofa, outdoors", "night, sunlight", "day, night", "1girl, 2girls", "monochrome, colorful",
        "no_humans, 1girl", "empty room, crowd", "solo, multiple girls", "1girl, open mouth, closed mouth",
        "1girl, solo, blue eyes, red eyes", "1boy, bald, ponytail", "high ceiling, low ceiling",
        "from above, from below", "1girl, (standing:1.2), sitting", "masterpiece, worst quality",
    ],
)  # fmt: skip
def test_tags_that_exclude_each_other(text):
    assert "tag-contradiction" in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "2girls, blonde hair, black hair, standing, sitting", "1girl, 1boy, long hair, short hair",
        "long hair, short hair", "1girl, solo, blue eyes, red eyes, heterochromia", "{day|night}, day",
        "day\nnight", "multiple views, 1girl, standing, sitting", "comic, indoors, outdoors",
        "1girl, very long hair, long hair", "1girl, looking back, from behind",
        "monochrome, spot color, colorful",
        "1girl, holding shoes, shoes, barefoot", "living room, kitchen", "before and after, clean, dirty",
        "frames on wall, line art, photograph", "indoors, outdoor view, outdoor lighting",
        "1girl, dog, standing, lying", "wide shot, full body", "1girl, upper body, head out of frame",
        "solo, no_humans, cat",
    ],
)  # fmt: skip
def test_what_goes_together(text):
    assert "tag-contradiction" not in found(text)


@pytest.mark.parametrize(
    ("code", "text", "near"),
    [
        ("leftover-lora", "<lora:detail:0.8>, sofa", ["lora house", "<3", "<o>_<o>"]),
        ("leftover-lora", "<hypernet:x:1>", []),
        (
            "leftover-weight",
            "sofa, (white walls:1.2)",
            ["vertin_(reverse:1999)", "(16:9)", "at (10:30)", r"a \(b:1\)"],
        ),
        ("leftover-weight", "((big sofa:.9), lamp)", ["painting (object)", ":)", "a:1"]),
        ("leftover-weight", "((sofa))", ["((", "(1)", "(2020)", "(o)_(o)", "\\\\(^o^)/", "(>_<)", "(^^)"]),
        ("leftover-weight", "[sky]", ["[ ]", "[oc]", "[;", "[trigger]"]),
        ("leftover-weight", "{red dress}", ["{red|blue} dress", "{name}"]),
        ("leftover-weight", "(full body)", ["saber (fate)", "saber_(fate)", r"saber \(fate\)", "(k)now"]),
        ("leftover-weight", "(long hair)1.3", ["(c)", "hair (3)"]),
        ("leftover-weight", "hat:1.2", ["rating:general", "ratio:1.5", "16:9", "f:1.8", "re:zero", "12:30"]),
        ("leftover-weight", "1.3::red dress::", ["std::move", "::"]),
        ("leftover-weight", "red dress++", ["c++", "18+", "6+girls", "a+"]),
        ("leftover-weight", "big ((red)) sofa", ["x ((", "f(g(x))"]),
        (
            "leftover-placeholder",
            "[trigger], lamp",
            ["[sky]", "<3", "{red|blue}", "trigger", "gun trigger", "<o>_<o>", "name tag", "50% off"],
        ),
        ("leftover-placeholder", "photo of <trigger>, lamp", ["<lora:a:1>", "<br>"]),
        ("leftover-placeholder", "{{char}}, lamp", ["{{smile}}"]),
        ("leftover-placeholder", "[your trigger word], lamp", ["your name"]),
        ("leftover-placeholder", "[insert name here]", []),
        ("leftover-placeholder", "[filewords]", ["file"]),
        ("leftover-placeholder", "a photo of {} in a room", ["{sofa}", "{|}"]),
        ("leftover-placeholder", "[character]", ["character name"]),
        ("leftover-placeholder", "TRIGGER_WORD, lamp", ["trigger", "word"]),
        ("leftover-weight", r"(saber \(fate\):1.2)", [r"saber \(fate\)"]),
        ("leftover-weight", "((sofa):1.2)", ["((1):2.5)"]),
        ("leftover-weight", "(a lamp in the corner)", ["(it stands in the corner of it)"]),
        ("leftover-confidence", "sofa: 0.44, lamp: 0.99", ["sofa:1.2, lamp", "(sofa:0.8), lamp"]),
        ("leftover-preamble", "sofa, Caption: lamp", ["a sign with a caption: x"]),
        ("leftover-refusal", "I cannot describe it.", ["a can"]),
        ("separator-other", "sofa; lamp; rug", ["sofa, lamp; rug"]),
        ("script-unread", "现代风格, 白色墙壁", ["café, lamp"]),
        ("leftover-repetition", "a lamp on a hat on a hat on a hat on a hat", ["very very long"]),
        ("leftover-keyword", "sofa BREAK lamp", ["COFFEE BREAK", "a break, breakfast", "BREAKFAST"]),
        ("leftover-keyword", "sofa, AND, lamp", ["black AND_white", "BLACK AND WHITE", "and", "brand"]),
        ("leftover-keyword", "a cat AND a dog", ["ANDY"]),
        ("leftover-keyword", "sofa ADDCOMM lamp", ["ADDED"]),
        ("leftover-wildcard", "__color__ sofa", ["no__humans", "^__^", "__", "_sofa_"]),
        ("leftover-alternatives", "{red|blue} sofa", ["{red}", "|_|", "{|}"]),
        ("leftover-address", "see https://a.b/c", ["@_@", "f/1.8", "a.b"]),
        ("leftover-address", "me@example.org, sofa", ["me@home"]),
        ("leftover-file", "IMG_2041.png", ["png", ".hack", "no. 5 chair", "1.5"]),
        ("leftover-html", "black &amp; white", ["black & white", "a;b", ">_<"]),
        ("leftover-html", "sofa<br>lamp", ["</3", "<3"]),
        ("leftover-parameters", "sofa\nNegative prompt: blurry", ["negative space", "negative prompt"]),
        ("leftover-parameters", "sofa\nSteps: 20, Sampler: Euler a", ["steps", "stone steps"]),
    ],
)
def test_what_a_prompt_left_behind(code, text, near):
    assert code in found(text)
    for other in near:
        assert code not in found(other), other


def test_scores_are_no_weights():
    assert "leftover-weight" not in found("sofa: 0.44, lamp: 0.99")
    assert set(found("sofa: 0.44, lamp: 0.99\nhat:1.2, rug")) == {
        "leftover-confidence", "leftover-weight", "lines-unread"
    }  # fmt: skip


def test_the_place_is_the_tags():
    text = "sofa, <lora:a:1>"
    tags = parse(text).tags
    texts = [text[tag.start : tag.end] for tag in tags]
    words = Words(text, texts, [tag.start for tag in tags], [0, 0], [facts(tag, LISTS) for tag in texts])
    assert [one.where.column for one in word_findings(words, LISTS)] == [7]


def test_spellings_are_one_key():
    assert key("Low_Angle-shot") == key("low angle shot")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["a", "a.", "a-", "@", "a@", "(", "(a:", "{a|", "__a", "<b", "&a", "a b ", "AND "]
)
@pytest.mark.slow
def test_hostile_tags_are_looked_at_in_bounded_time(piece):
    found(piece * 100_000 + ".")
