"""What tests of the structure stages share: captions of realistic and hostile pieces, and the stages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from tagflow.clip.tokenizer import Tokenizer
from tagflow.clip.vocabulary import find_vocabulary
from tagflow.dataset.survey import survey
from tagflow.ontology import Ontology
from tagflow.pipeline import Options, Outcome, Pipeline
from tagflow.progress import silent
from tagflow.schema import add, batch
from tagflow.stages.classify import Classify
from tagflow.stages.parse import parse_captions
from tagflow.stages.reorder import Pins, Reorder

ONTOLOGY = Ontology.load()
CLIP = Tokenizer(find_vocabulary(use_cache=False))

TAGS = (
    "photograph", "sofa", "white walls", "wooden_floor", "natural light", "living room", "potted plant",
    "books",
    "zkv house", "1girl", "elegant", "cityscape view", "looking at viewer", "easy to clean", "60x120 cm",
)  # fmt: skip
ODD = (
    "(white walls, sofa:1.2)", "((sofa))", "[lamp]", "{red|blue, green} sofa", "__color__ wall",
    "<lora:a_b:0.8>",
    r"\(a, b\)", "vertin_(reverse:1999)", "40,000 books", "2,5 m", '"mind, the step"', "“a, b”",
    '24" monitor',
    "girl's room", ":)", ":d", "^_^", ">_<", "|_|", ";)", "sofa ;;; lamp", "sofa;;;books", "(", ")", "[", "}",
    '"', "'a, b'", "photo，image", "", " ", "[trigger]", "BREAK", "|||", "||||", "|", ";;;", "<|endoftext|>",
    "a\u00a0b", "\u2028", "\u200f", "\x00", "https://a.b/c,d", "\\", "é", "客厅", "。", "f/1.8", "1,2",
)  # fmt: skip
SENTENCES = (
    "The room is bright.", "a woman is standing in the kitchen", "and a lamp", "with a red roof",
    "a sofa and a rug",
    "The image shows a room with a sofa", "Two women sit at a table.", "photograph. The room is dark",
    "a modern kitchen with white cabinets", "surrounded by trees", "in the middle of the room", "A cat",
)  # fmt: skip
GAPS = (
    ", ", ",", " , ", ",, ", ",\t", ", , ", "\n", "\r\n", "\r", " ||| ", ", |||", " BREAK ", ",BREAK,", "，",
    " ",
)  # fmt: skip

PLAIN = st.lists(st.sampled_from(TAGS), min_size=1, max_size=8).map(", ".join)
COMPOSED = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(TAGS), st.sampled_from(ODD), st.sampled_from(SENTENCES)),
        st.sampled_from(GAPS) | st.just(", "),
    ),
    max_size=10,
).map(lambda pairs: "".join(part for pair in pairs for part in pair))
CAPTIONS = st.one_of(
    PLAIN,
    COMPOSED,
    COMPOSED.map("\ufeff".__add__),
    st.text(max_size=60),
    st.text(alphabet="ab,|(){}[]<>:\"'\\ .;\n\rBREAK，1T", max_size=40),
)


def reordered(
    text: str,
    pins: Pins = Pins(),  # noqa: B008 - frozen
    *,
    clean: bool = False,
    relax_level: int | None = None,
    separator: str | None = None,
) -> dict[str, Any]:
    """One caption's row after parse, classify and reorder."""
    table = parsed([text], clean=clean, relax_level=relax_level, separator=separator)
    return Reorder(ONTOLOGY, pins, separator)(Classify(ONTOLOGY)(table)).to_pylist()[0]


def folder(texts: list[str], pins: Pins = Pins(), *, clean: bool = False) -> pa.Table:  # noqa: B008 - frozen
    """The batch of these captions after parse, classify and reorder."""
    return Reorder(ONTOLOGY, pins)(Classify(ONTOLOGY)(parsed(texts, clean=clean)))


def parsed(
    texts: Sequence[str | None],
    originals: Sequence[str | None] | None = None,
    *,
    clean: bool = False,
    relax_level: int | None = None,
    separator: str | None = None,
) -> pa.Table:
    """The batch of these captions after parse. `originals`: what they were, where that is another text."""
    count = len(texts)
    table = batch(
        path=[f"{at}.txt" for at in range(count)],
        text=texts,
        original=texts if originals is None else originals,
        selected=[True] * count,
        relax_level=[relax_level] * count,
        findings=[[]] * count,
        details=[[]] * count,
    )
    return parse_captions(table, clean=clean, separator=separator)


def written(originals: Sequence[str | None], texts: Sequence[str | None]) -> pa.Table:
    """The batch in which captions that were `originals` stand written as `texts`: as a validation has it."""
    return add(parsed(texts, originals), rewritten=texts)


def outcome(root: Path, **options: Any) -> Outcome:
    """The real pipeline over a folder, structure only."""
    return Pipeline(ONTOLOGY, CLIP, None, Options(**options), lambda stage: silent)(survey(root), None)


def rewritten_bytes(root: Path, row: dict[str, Any]) -> bytes:
    """The bytes that a caption's file holds after the run: its own where nothing could be read."""
    text = row["rewritten"]
    return (root / row["path"]).read_bytes() if text is None else text.encode()
