"""The built-in ontology against the guide: seeds, rules, spelling."""

from __future__ import annotations

import csv
import re

import pytest

from tagflow.ontology import BUILT_IN, Classification, Ontology

SEEDS = {
    "meta": "photograph, image, shot, architectural photography",
    "quality": "professional, high quality, detailed, elegant, sophisticated",
    "style": "modern interior, contemporary style, minimalist, industrial style",
    "space": "indoor, living room, bedroom, kitchen, office, interior design",
    "lighting": "natural light, soft lighting, recessed lighting, sunlight, daytime",
    "colors": "neutral colors, white walls, beige walls, warm tones",
    "materials": "wooden floor, wooden table, glass doors, marble floor, concrete floor",
    "furniture": "furniture, sleek furniture, sofa, chair, table",
    "atmosphere": "cozy atmosphere, cozy, clean lines, sleek, spacious",
    "architectural": "large windows, large window, high ceiling, glass door",
    "decorative": "books, potted plant, abstract art, indoor plants, artwork",
    "composition": "shadows, geometric shapes, symmetry, perspective",
    "environment": "urban setting, cityscape view, outdoor view, balcony",
    "general": "",
}

# The guide's rules, each with the examples that it names, and a few beside them.
RULES = """
2 general: sitting on couch; modern haircut; holding book; window shopping; 1girl
2 general: glass of wine; red dress; cat on sofa; leather jacket
7 environment: street at night
3 lighting: at night; chandelier; floor lamp; candlelight; neon lights; night; sunset; golden hour; brass lamp
3 environment: cloudy sky; rain; moon; altocumulus radiatus
4 materials: leather sofa; brick wall; striped rug; tile floor; beautiful wooden floors
4 materials: white marble countertop
4 colors: white walls; grey background; pale blue bedroom wall; muted palette; pink theme
4 furniture: blue couch
4 decorative: red curtains
5 style: modern bedroom; gothic architecture; mid century house; in the style of edward hopper; by zaha hadid
5 style: modern living room; art by jane doe; japanese style; watercolor by jane doe
5 furniture: modern sofa
6 space: spacious living room
6 decorative: beautiful vase
6 furniture: two chairs; a large round dining table
6 atmosphere: airy; serene; cluttered
6 quality: luxurious; exquisite; award winning
7 environment: city view; ocean outside the window; street; garden; forest; beach; view of the city
7 space: house; cafe; museum; interior of a living room
8 space: in kitchen; placed in a living room
8 architectural: by the window
8 furniture: on bed
8 environment: under tree
9 general: 60x120 cm; easy to clean; etc; 1.5 m x 2 m; suitable for living room
10 colors: brown background; colored background
10 materials: striped background
10 environment: forest background
10 composition: simple background; blurry background; gradient background
10 composition: transparent background; heart background
11 architectural: dense architecture
12 decorative: boxes; baskets; bottles; mirrors; picture frames; tableware; toys; pile of books
12 furniture: televisions; tv; computer; piano; refrigerator
12 general: bags; umbrella; smartphones; guitar
13 decorative: flowers; fern; roses
13 environment: pine trees; grass; wildflowers
13 colors: tomato; ivory; coral
14 environment: bridge; pier; fountain; swimming pool
14 space: tower; windmill; tent
14 architectural: fence; railings; awning
15 quality: realistic; photorealistic; hyper realistic
15 meta: in style of 3d render; octane render; unreal engine 5; photograph of a living room
2 general: photo of a cat; portrait of a woman
15 meta: photo 8k; fashion photograph
"""
EXAMPLES = [
    (tag.strip(), line.split()[1].rstrip(":"))
    for line in RULES.strip().splitlines()
    for tag in line.split(": ")[1].split(";")
]


def test_categories_stand_in_the_order_of_the_guide(ontology: Ontology) -> None:
    assert ontology.name == "architecture"
    assert ontology.categories == tuple(SEEDS)
    assert [ontology.rank(category) for category in SEEDS] == list(range(14))


@pytest.mark.parametrize("category", SEEDS)
def test_seeds_keep_their_category(ontology: Ontology, category: str) -> None:
    for tag in filter(None, SEEDS[category].split(", ")):
        assert ontology.classify(tag) == Classification(category, ("seed",), True)


def test_the_seed_file_is_the_table_of_the_guide() -> None:
    with (BUILT_IN / "architecture/seeds.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["tag"], row["category"]) for row in csv.DictReader(file)]
    assert rows == [(tag, category) for category, tags in SEEDS.items() for tag in tags.split(", ") if tag]


@pytest.mark.parametrize("tag", ["high ceilings", "sofas", "photographs", "indoor plant", "potted plants"])
def test_a_seed_keeps_its_category_when_inflected(ontology: Ontology, tag: str) -> None:
    assert ontology.classify(tag).rule == "seed inflection"


@pytest.mark.parametrize(("tag", "category"), EXAMPLES)
def test_rules_of_the_guide(ontology: Ontology, tag: str, category: str) -> None:
    verdict = ontology.classify(tag)
    assert (verdict.category, verdict.known) == (category, True), verdict.rule


WRITINGS = (
    "white walls| White  Walls |white_walls|(white walls:1.2)|((white walls))|[white walls]|{white walls}"
)
WRITINGS += "|WHITE WALLS.|(white_walls:0.85)|white walls:1.1)|((white walls|[ white walls ]!!"


@pytest.mark.parametrize("tag", WRITINGS.split("|"))
def test_writing_changes_nothing(ontology: Ontology, tag: str) -> None:
    assert ontology.classify(tag) == Classification("colors", ("seed",), True)


SPELLINGS = """
gray wall=grey wall; colourful=colorful; book shelf=bookshelf; shelf=shelves; lightblue=light blue
tv=television; movie theatre=movie theater; city=cities; wooden doors=wooden door; moulding=molding
cactus=cacti; close-up=close up
"""


@pytest.mark.parametrize("pair", re.split(r"[;\n]\s*", SPELLINGS.strip()))
def test_spellings_of_one_term(ontology: Ontology, pair: str) -> None:
    one, other = pair.split("=")
    assert ontology.classify(one).category == ontology.classify(other).category
    assert ontology.classify(one).known
    assert ontology.classify(other).known


@pytest.mark.parametrize("tag", ["ohwx", "zkz", "sks", "vertin", "spacious zkz", "xqv style2b"])
def test_what_nobody_knows_is_said_to_be_unknown(ontology: Ontology, tag: str) -> None:
    assert ontology.classify(tag) == Classification("general", ("unknown",), False)


@pytest.mark.parametrize(
    "tag", ["1girl", "sitting on couch", "watermark", "^_^", "rebecca (cyberpunk)", "ohwx man"]
)
def test_general_is_not_unknown(ontology: Ontology, tag: str) -> None:
    verdict = ontology.classify(tag)
    assert (verdict.category, verdict.known) == ("general", True)


@pytest.mark.parametrize(
    ("tag", "category"),
    [("spring (season)", "environment"), ("painting (action)", "general"), ("millipen (medium)", "meta")],
)
def test_qualifiers(ontology: Ontology, tag: str, category: str) -> None:
    assert ontology.classify(tag).category == category
    assert (
        ontology.classify(tag.replace("(", r"\(").replace(")", r"\)").replace(" ", "_")).category == category
    )


@pytest.mark.parametrize(
    ("tag", "rule"),
    [
        ("oak table", "material before a thing"),
        ("tall white bookshelf", "head noun: bookshelf"),
        ("fridges", "lexicon inflection"),
        ("by the window", "head noun: window"),
        ("fridge", "lexicon"),
    ],
)
def test_a_verdict_says_why(ontology: Ontology, tag: str, rule: str) -> None:
    assert ontology.classify(tag).rule == rule


def test_no_term_stands_in_two_categories_and_seeds_are_not_moved() -> None:
    seeds = {tag: category for category, tags in SEEDS.items() for tag in tags.split(", ") if tag}
    homes: dict[str, str] = {}
    for category in SEEDS:
        with (BUILT_IN / f"architecture/lexicon/{category}.csv").open(encoding="utf-8", newline="") as file:
            terms = [row["term"] for row in csv.DictReader(file)]
        assert terms == sorted(set(terms))
        for term in terms:
            assert homes.setdefault(term, category) == category
            assert seeds.get(term, category) == category
    assert len(homes) >= 2500
