"""A tokenizer built for some texts gives for these the ids and places of the whole one."""

from __future__ import annotations

import pytest
from hostile import CAPTIONS, CLIP
from hypothesis import example, given
from hypothesis import strategies as st

from tagflow.captions.grammar import line_spans, stripped_lines
from tagflow.clip.tokenizer import Tokenizer
from tagflow.clip.vocabulary import MERGES, PartialVocabulary, Vocabulary, find_vocabulary

WHOLE = find_vocabulary(use_cache=False)
# What ftfy takes for text read in the wrong encoding depends on all the text around it.
MOJIBAKE = st.text("aÃ©â€™¨œ\x9b\x85ßéà\x0b\xa0 ,\n\ufeff", max_size=12)
ODD = (
    "",
    " ",
    "ＦＵＬＬ width",
    "café &amp; thé",
    "<|endoftext|> a",
    "!!!, !?,",
    "a" * 300,
    "ab" * 600,
    "客厅 ۱۲۳ ½",
    "\x00a\ufeffb",
)


@given(st.lists(st.one_of(CAPTIONS, st.text(max_size=40), st.sampled_from(ODD)), min_size=1, max_size=8))
def test_ids_and_places_are_those_of_the_whole(texts: list[str]) -> None:
    part = Tokenizer(WHOLE, texts)
    assert part.count_many(texts) == CLIP.count_many(texts)
    for text in texts:
        assert part.encode(text) == CLIP.encode(text)


@given(st.lists(st.one_of(CAPTIONS, MOJIBAKE), max_size=4))
@example(["\x85ß ß€\n "])
def test_lines_and_words_of_the_texts_are_known_too(texts: list[str]) -> None:
    part = Tokenizer(WHOLE, texts)
    for text in texts:
        for line in [*stripped_lines(text), *(text[begin:end] for begin, end in line_spans(text))]:
            assert part.ids(line) == CLIP.ids(line)


def test_a_part_is_small_and_a_very_long_piece_takes_the_whole() -> None:
    part = WHOLE.part(["walls", "sofa"])
    assert (
        isinstance(part, PartialVocabulary)
        and len(part.merges) < 50
        and part.vocab["sofa</w>"] == CLIP.ids("sofa")[0]
    )
    assert isinstance(WHOLE.part(["a" * 700]), Vocabulary)
    assert len(WHOLE.part([]).merges) == 0 and len(WHOLE.merges) == MERGES


@pytest.mark.parametrize("word", ["photograph", "straße", "naïve", "😀"])
def test_every_word_by_itself(word: str) -> None:
    assert Tokenizer(WHOLE, [word]).ids(word) == CLIP.ids(word)
