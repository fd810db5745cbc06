"""docs/structure.md: its examples are what is rendered and what the trainer draws; it names every reason."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

from hostile import ONTOLOGY, parsed

from tagflow.stages.classify import Classify
from tagflow.training.sd_scripts.captions import Handling, process_caption
from tagflow.training.structure.arrange import REASONS
from tagflow.training.structure.prove import render_caption
from tagflow.training.structure.structure import CHOICES, LEADING, Layout, handling

PAGE = (Path(__file__).parents[3] / "docs" / "structure.md").read_text(encoding="utf-8")
BLOCKS = [
    dict(line.split(None, 1) for line in block.splitlines())
    for block in re.findall(r"(?:^    \w+  +.*\n)+", PAGE, re.MULTILINE)
]


def rendered(text, kind):
    row = Classify(ONTOLOGY)(parsed([text])).to_pylist()[0]
    leading = ONTOLOGY.categories[:LEADING] if kind == "separator" else ()
    category = dict(zip(row["tags"], row["categories"], strict=True))
    return render_caption(text, Layout(kind, category, leading, frozenset({"zkv house"}))).text.strip()


def prompts(line, how):
    return {process_caption(line, how, Random(seed)) for seed in range(300)}  # noqa: S311 - the trainer's kind


def test_captions_are_rendered_as_it_says():
    examples = [block for block in BLOCKS if "certified" in block]
    assert len(examples) == 2
    for block in examples:
        for kind in ("separator", "groups"):
            assert rendered(block["certified"], kind) == block[kind]


def test_the_trainer_draws_what_it_says():
    written, drawn = BLOCKS[0], BLOCKS[1]
    assert drawn["shuffled"] in prompts(written["certified"], Handling(shuffle_caption=True))
    for kind in ("separator", "groups"):
        assert drawn[kind] in prompts(written[kind], handling(kind))
    torn = re.search(r"a shuffle gives `(.*)`", PAGE)[1]
    assert torn in prompts(BLOCKS[2]["certified"], Handling(shuffle_caption=True))


def test_it_names_every_reason_choice_and_option():
    for name in (*REASONS, *CHOICES, *CHOICES["groups"].options):
        assert f"`{name}" in PAGE, name
    for code in re.findall(r"`(rendered-[a-z-]+)`", PAGE):
        assert code in {"rendered-caption-changed", "rendered-caption-missing", "rendered-image-missing"}
