"""Ids on fuzz equal the slow CLIP tokenizer with ftfy, which sd-scripts pins.

Its golden ids cover every kind of odd text. For texts that are new in each run it is written again here in
plain Python, and the golden ids say that this is the same tokenizer.
"""

from __future__ import annotations

import json
import random
import runpy
from itertools import pairwise
from pathlib import Path

import ftfy
import pytest
import regex
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from tagflow.clip.tokenizer import Tokenizer
from tagflow.clip.vocabulary import SPECIAL, find_vocabulary

GOLDEN = Path(__file__).parents[1] / "golden"
ROWS = [json.loads(line) for line in (GOLDEN / "token_ids.jsonl").read_text(encoding="utf-8").splitlines()]
mixture = runpy.run_path(str(GOLDEN / "fuzz_texts.py"))["mixture"]
VOCABULARY = find_vocabulary(use_cache=False)
CLIP = Tokenizer(VOCABULARY)

KINDS = {
    "mojibake": r"[ÃÂâãð][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]",
    "mojibake of a BOM": "ï»¿",
    "BOM at the start": r"^\ufeff",
    "BOM inside": r"(?s).\ufeff",
    "curly quotes": "[“”‘’]",
    "joined emoji": r"[\p{So}\U0001f3fb-\U0001f3ff]\ufe0f?\u200d",
    "skin tones": r"[\U0001f3fb-\U0001f3ff]",
    "flags": r"[\U0001f1e6-\U0001f1ff]{2}",
    "flags of tags": r"\U000e007f",
    "variation selectors": r"[\ufe0e\ufe0f]",
    "Chinese": r"\p{Han}",
    "Japanese": r"[\p{Hiragana}\p{Katakana}]",
    "Korean": r"\p{Hangul}",
    "full width": r"[\uff01-\uff5e]",
    "half width": r"[\uff61-\uffdc]",
    "Arabic": r"\p{Arabic}",
    "Hebrew": r"\p{Hebrew}",
    "marks of direction": r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]",
    "combining": r"\p{L}\p{M}{2}",
    "private use": r"\p{Co}",
    "beyond the first plane": r"[\U00010000-\U0010ffff]",
    "control characters": r"[\x00-\x08\x0e-\x1f\x7f-\x9f]",
    "HTML entities": r"&(amp|quot|lt|nbsp|#\d+|#x[0-9a-f]+);",
    "ligatures": r"[\ufb00-\ufb06]",
    "special tokens": r"<\|endoftext\|>",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_golden_texts_have_every_kind(kind):
    some = [row for row in ROWS if regex.search(KINDS[kind], row["text"])]
    assert len(some) >= 40
    assert [row["text"] for row in some if CLIP.ids(row["text"]) != tuple(row["ids"])] == []


def test_golden_texts_reach_into_every_window():
    lengths = [len(row["ids"]) for row in ROWS]
    assert min(sum(length > limit for length in lengths) for limit in (75, 150, 225)) >= 80


RANKS = {pair: rank for rank, pair in enumerate(VOCABULARY.merges)}
PATTERN = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)
# The vocabulary's first 256 tokens are the bytes: first those that can be printed, then the others.
PRINTED = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = [*PRINTED, *(byte for byte in range(256) if byte not in PRINTED)]
TOKENS = {number: token for token, number in VOCABULARY.vocab.items()}
LETTERS = {byte: TOKENS[place] for place, byte in enumerate(BYTES)}


def merged(piece):
    """Return a piece's tokens: the neighbours with the lowest rank become one until none has a rank."""
    word = [LETTERS[byte] for byte in piece.encode()]
    word[-1] += "</w>"
    while ranked := [RANKS[pair] for pair in pairwise(word) if pair in RANKS]:
        best, left = VOCABULARY.merges[min(ranked)], 0
        while left < len(word) - 1:
            if (word[left], word[left + 1]) == best:
                word[left : left + 2] = ["".join(best)]
            left += 1
    return word


def slow_ids(text):
    """Source: transformers 4.54.1, `tokenization_clip.py` and `PreTrainedTokenizer.tokenize`."""
    found = []
    for part in regex.split(r"(<\|startoftext\|>|<\|endoftext\|>)", text):
        # A special token is looked for in the text as given; only what lies between is cleaned.
        cleaned = part if part in SPECIAL else regex.sub(r"\s+", " ", ftfy.fix_text(part)).strip().lower()
        for piece in PATTERN.findall(cleaned):
            found += [SPECIAL[piece]] if piece in SPECIAL else map(VOCABULARY.vocab.get, merged(piece))
    return found


def test_the_slow_tokenizer_here_is_the_trainers():
    assert [row["text"] for row in ROWS if slow_ids(row["text"]) != row["ids"]] == []


SEEDS = st.integers(0).map(random.Random)
FRAGMENTS = st.builds(mixture, SEEDS, st.integers(1, 90))
CHARACTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(st.one_of(FRAGMENTS, CHARACTERS), max_size=3).map("".join))
@settings(max_examples=examples(400), deadline=None)
def test_new_fuzz_has_the_slow_tokenizers_ids(text):
    expected = slow_ids(text)
    assert list(CLIP.ids(text)) == expected
    assert CLIP.count_many([text]) == [len(expected)]
