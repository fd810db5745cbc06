"""The `danbooru` ontology: common tags where its README says they go, and its two orders."""

from __future__ import annotations

import pytest

from tagflow.ontology import Ontology

TAGS = """
count: 1girl; 2boys; multiple girls; solo; 1other; no humans; 6+girls
character: hatsune miku; ganyu (genshin impact); artoria pendragon (fate)
series: touhou; genshin impact; original
artist: by wlop; wlop; artist:greg rutkowski
rating: rating:general; nsfw; sensitive; explicit
quality: masterpiece; best quality; absurdres; highres; score_9; very aesthetic; worst quality; newest; lowres
appearance: long hair; blue eyes; cat ears; large breasts; twintails
appearance: green hair; red eyes; ponytail; ahoge; fox tail
appearance: dark skin; horns; very long hair; hair between eyes; multicolored hair; heterochromia; animal ears
attire: school uniform; thighhighs; white shirt; red bikini; hair ribbon; glasses; pleated skirt; black gloves
attire: frilled dress; hat; earrings; detached sleeves; off shoulder; barefoot; floral print; no bra
expression: smile; blush; open mouth; closed eyes; :d; ^_^; ;); >:(; crying; tears; tongue out; embarrassed
action: sitting; holding sword; looking at viewer; hand on own hip; arms up
action: standing; hug; kiss; spread legs; v
action: looking back; lying; on back; holding book; crossed arms; pointing; walking
objects: cat; cup; sword; guitar; umbrella; flower; book; cake; car; food
setting: indoors; outdoors; beach; night; cloudy sky
setting: classroom; simple background; white background; tree; snow
lighting: sunlight; backlighting; lens flare; monochrome; greyscale
composition: from above; upper body; cowboy shot; full body; dutch angle
composition: close-up; pov; border; male focus; portrait
style: chibi; traditional media; sketch; realistic; watercolor (medium); retro artstyle
meta: signature; watermark; artist name; speech bubble
meta: english text; commentary request; dated; twitter username
"""
EXAMPLES = [
    (tag.strip(), line.split(":", 1)[0])
    for line in TAGS.strip().splitlines()
    for tag in line.split(": ", 1)[1].split("; ")
    if tag
]


@pytest.fixture(scope="module")
def danbooru() -> Ontology:
    return Ontology.load("danbooru")


@pytest.mark.parametrize(("tag", "category"), EXAMPLES)
def test_common_tags(danbooru: Ontology, tag: str, category: str) -> None:
    verdict = danbooru.classify(tag)
    assert (verdict.category, verdict.known) == (category, True), verdict.path


@pytest.mark.parametrize(("tag", "category"), EXAMPLES)
def test_underscores_and_escapes_change_nothing(danbooru: Ontology, tag: str, category: str) -> None:
    written = tag.replace(" ", "_").replace("(", r"\(").replace(")", r"\)") if len(tag) > 3 else tag
    assert danbooru.classify(written).category == category


@pytest.mark.parametrize("tag", ["xqzk", "ohwx", "zkvhouse style2b", "d", "x"])
def test_what_nobody_knows(danbooru: Ontology, tag: str) -> None:
    verdict = danbooru.classify(tag)
    assert (verdict.category, verdict.known) == ("general", False), verdict.path


def test_the_default_is_quality_last(danbooru: Ontology) -> None:
    assert [one.name for one in danbooru.profiles] == ["quality-last", "quality-first"]
    assert danbooru.categories == Ontology.load("danbooru:quality-last").categories
    assert danbooru.rank("count") == 0
    assert danbooru.rank("quality") > danbooru.rank("setting")


def test_quality_first_leads_with_quality(danbooru: Ontology) -> None:
    first = Ontology.load("danbooru:quality-first")
    assert first.categories[0] == "quality"
    assert sorted(first.categories) == sorted(danbooru.categories)
    rest = [name for name in first.categories if name not in ("quality", "rating")]
    assert rest == [name for name in danbooru.categories if name not in ("quality", "rating")]
    assert first.hash != danbooru.hash


def test_the_names_stand_in_their_usual_order(danbooru: Ontology) -> None:
    wanted = ["count", "character", "series", "artist", "appearance", "attire", "expression", "action"]
    assert sorted(wanted, key=danbooru.rank) == wanted
