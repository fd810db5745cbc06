"""CLIP token ids as sd-scripts gets them, in windows; open it where a count or a tag's tokens are wrong.

The reference is the slow `CLIPTokenizer` of transformers 4.54.1 with ftfy 6.3.1: it cuts the text at special
tokens, cleans each part (ftfy, white space, lower case), cuts it by a pattern, and encodes each piece. Here
the pattern and the byte-pair encoding run in the `tokenizers` library; cleaning stays in Python.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import tokenizers
from tokenizers import models, pre_tokenizers

from tagflow.clip.vocabulary import SPECIAL, Vocabulary

Span = tuple[int, int]

# difflib is quadratic; beyond this many comparisons spans are spread evenly instead.
_MAX_COMPARISONS = 1_000_000


def clean_part(part: str) -> str:
    """Return the text that the reference cuts into pieces."""
    # ftfy takes 50 ms to import, and most captions never need it.
    import ftfy

    return " ".join(ftfy.fix_text(part).split()).lower()


def align(original: str, clean: str) -> list[Span]:
    """Return for each character of `clean` the span of `original` that it came from."""
    words = [(match.start(), match.group()) for match in re.finditer(r"\S+", original)]
    parts = [clean_part(word) for _, word in words]
    if " ".join(filter(None, parts)) != clean:
        return _align_stretch(original, clean)  # a repair reached across white space
    spots: list[Span] = []
    for (start, word), part in zip(words, parts, strict=True):
        if part:
            spots += [(start, start)] * bool(spots)  # the space between; no token lies on it
            spots += [(start + left, start + right) for left, right in _align_stretch(word, part)]
    return spots


def _align_stretch(original: str, clean: str) -> list[Span]:
    lowered = "".join(lower if len(lower := character.lower()) == 1 else character for character in original)
    if lowered == clean:
        return [(at, at + 1) for at in range(len(clean))]
    if len(original) * len(clean) > _MAX_COMPARISONS:
        places = [at * len(original) // len(clean) for at in range(len(clean))]
        return [(place, place + 1) for place in places]
    spots: list[Span] = []
    for _, i1, i2, j1, j2 in difflib.SequenceMatcher(None, lowered, clean, autojunk=False).get_opcodes():
        if i2 - i1 == j2 - j1:
            spots += [(at, at + 1) for at in range(i1, i2)]
        else:  # what was put in from nowhere lies on the character before it
            spots += [(i1, i2) if i1 < i2 else (max(i1 - 1, 0), max(i1, 1))] * (j2 - j1)
    return spots


BOS, EOS, WINDOW = 49_406, 49_407, 75
TE2_PAD = 0
Encoder = Literal["te1", "te2"]

# Letters and numbers that Unicode gained after version 14. The reference cuts words with the `regex` package,
# whose tables are newer than those of `tokenizers`; with these ranges written out the two agree on every
# character (regex 2026.11.15), whatever Unicode version the installed `tokenizers` knows.
_NEW_LETTERS = """
558 58b-58c 88f c5c cdc 1c89-1c8a 208f 209d-209f a7cb-a7cf a7d2 a7d4 a7da-a7dd a7e2 a7f1 ab6c-ab6d 105c0-105f3
107bb-107bf 10940-10959 10d4a-10d65 10d6f-10d85 10ec2-10ec7 10ed9-10eee 1123f-11240 11380-11389 1138b 1138e
11390-113b5 113b7 113d1 113d3 11b0a 11bc0-11be0 11db0-11ddb 11df1 11f02 11f04-11f10 11f12-11f33 1342f
13441-13446 13460-143fa 16100-1611d 16d40-16d6c 16ea0-16eb8 16ebb-16ed3 16ff2-16ff3 187f8-187ff 18cd6-18cda
18cff 18d09-18d20 18d80-18df2 18e00-19191 191a0-191d2 1b123-1b128 1b132 1b155 1b168 1d6a6 1df1f-1df81
1df90-1df96 1dfcd-1dfff 1e030-1e06d 1e4d0-1e4eb 1e5d0-1e5ed 1e5f0 1e6c0-1e6de 1e6e0-1e6e2 1e6e4-1e6e5
1e6e7-1e6ed 1e6f0-1e6f4 1e6fe-1e6ff 2b739-2b73f 2b81e 2cea2-2cead 2ebf0-2ee5d 31350-33479 3d000-3fc3f
"""
_NEW_NUMBERS = """
10d40-10d49 116d0-116e3 11bf0-11bf9 11de0-11de9 11f50-11f59 1246f 12475-1247f 12550-12686 16130-16139
16d70-16d79 16ff4-16ff6 1ccf0-1ccf9 1d2c0-1d2d3 1e4f0-1e4f9 1e5f1-1e5fa
"""

# ASCII text that holds none of these comes out of ftfy as it went in: control characters that ftfy drops,
# HTML entities that it decodes, and the beginnings of special tokens, which the reference looks for first.
_NEEDS_CARE = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]|&#?[0-9A-Za-z]{1,24};|<\|")
_SPECIAL = re.compile("(" + "|".join(map(re.escape, SPECIAL)) + ")")
_LINE_END = re.compile(r"[\r\n]+")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids without BOS and EOS, and for each the characters [start, end) of the text as given."""

    ids: tuple[int, ...]
    spans: tuple[Span, ...]


class Tokenizer:
    """Turns captions into the token ids of both SDXL text encoders (they share the ids, not the padding).

    Costly to build (about 30 ms), so make one and pass it on. Holds no cache that grows with the texts.
    With `texts` it is built for these alone, from the part of the vocabulary that they can need: ten times
    faster, with the same ids.
    """

    def __init__(self, vocabulary: Vocabulary, texts: Iterable[str] | None = None) -> None:
        self._pieces = pre_tokenizers.Split(tokenizers.Regex(_pattern()), behavior="removed", invert=True)
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
        part = vocabulary if texts is None else vocabulary.part(self._distinct_pieces(texts))
        model = models.BPE(vocab=part.vocab, merges=part.merges, end_of_word_suffix="</w>")
        self._bpe = tokenizers.Tokenizer(model)
        self._bpe.pre_tokenizer = pre_tokenizers.Sequence([self._pieces, to_bytes])

    def ids(self, text: str) -> tuple[int, ...]:
        """Return the ids of a whole caption, neither cut nor padded, without BOS and EOS."""
        if _is_plain(text):
            return tuple(self._run(text.lower()).ids)
        return tuple(number for number, _ in self._careful(text, aligned=False))

    def encode(self, text: str) -> Encoded:
        """Return the ids with their places in `text` as given.

        Spans lie in the text, are not empty, and neither their starts nor their ends go backwards. Several
        ids share a span where one character has several tokens, or where cleaning rewrote a whole stretch
        (mojibake, HTML entities).
        """
        if _is_plain(text):
            result = self._run(text.lower())
            return Encoded(tuple(result.ids), tuple(result.offsets))
        pairs = list(self._careful(text, aligned=True))
        return Encoded(tuple(number for number, _ in pairs), tuple(span for _, span in pairs))

    def count_many(self, texts: Sequence[str]) -> list[int]:
        """Return the number of ids of each text.

        No piece crosses white space, so each distinct word of the batch is encoded once and captions are
        sums. Text that cleaning could change is encoded as a whole, for its words depend on each other.
        """
        words = [text.lower().split() if _is_plain(text) else None for text in texts]
        counts = {word: len(self.ids(word)) for word in set(chain.from_iterable(filter(None, words)))}
        return [
            len(self.ids(text)) if parts is None else sum(map(counts.__getitem__, parts))
            for text, parts in zip(texts, words, strict=True)
        ]

    def _distinct_pieces(self, texts: Iterable[str]) -> set[str]:
        """What the pattern cuts out of the texts. As in `count_many`, plain texts are looked at by words."""
        words: set[str] = set()
        for text in texts:
            parts = [text.lower()] if _is_plain(text) else map(clean_part, _cleaned_alone(text))
            words.update(chain.from_iterable(part.split() for part in parts))
        return {piece for word in words for piece, _ in self._pieces.pre_tokenize_str(word)}

    def _run(self, cleaned: str) -> tokenizers.Encoding:
        return self._bpe.encode(cleaned, add_special_tokens=False)

    def _careful(self, text: str, *, aligned: bool) -> Iterator[tuple[int, Span]]:
        """Yield (id, span) for any text at all; without `aligned` the spans mean nothing."""
        start = 0
        for part in _SPECIAL.split(text):
            if part in SPECIAL:
                yield SPECIAL[part], (start, start + len(part))
            elif part:
                cleaned = clean_part(part)
                spots = align(part, cleaned) if aligned else [(0, 0)] * len(cleaned)
                for number, (first, end) in self._places(cleaned):
                    yield number, (start + spots[first][0], start + spots[end - 1][1])
            start += len(part)

    def _places(self, cleaned: str) -> Iterator[tuple[int, Span]]:
        """Yield (id, span in `cleaned`)."""
        if _SPECIAL.search(cleaned):
            return self._piecewise(cleaned)
        result = self._run(cleaned)
        return zip(result.ids, result.offsets, strict=True)

    def _piecewise(self, cleaned: str) -> Iterator[tuple[int, Span]]:
        # Lower-casing made a special token (`<|EndOfText|>`); only as a piece of its own does it count.
        for piece, (first, end) in self._pieces.pre_tokenize_str(cleaned):
            if piece in SPECIAL:
                yield SPECIAL[piece], (first, end)
            else:
                yield from ((number, (first + a, first + b)) for number, (a, b) in self._places(piece))


def windows(ids: Sequence[int], max_tokens: int) -> list[tuple[int, ...]]:
    """Return te1's windows that hold content (at least one): BOS, up to 75 ids, EOS; no padding.

    `max_tokens` is sd-scripts' `max_token_length`: 75, 150 or 225; the rest is cut silently, as there. A
    `<|endoftext|>` in the caption is an EOS too, and its window is pooled there.
    Raises ValueError for another limit. Source: sd-scripts `library/strategy_sdxl.py`, `_get_input_ids`.
    """
    return _content(ids, max_tokens, "te1")


def te2_windows(ids: Sequence[int], max_tokens: int) -> list[tuple[int, ...]]:
    """Return te2's windows as `windows` does te1's.

    te2 pads with 0, also the token of a `!` inside a word, and the trainer takes that for padding. At 150
    and 225 a window that begins with it has EOS in that place, and is pooled there. A full window that ends
    with it gets no EOS unless the limit is reached. What stands behind is encoded all the same.
    """
    return _content(ids, max_tokens, "te2")


def padded(ids: Sequence[int], max_tokens: int, encoder: Encoder) -> list[tuple[int, ...]]:
    """Return the rows of 77 ids that the trainer feeds the encoder: 1 for 75 tokens, 2 for 150, 3 for 225.

    Raises ValueError for another limit.
    """
    if max_tokens not in (WINDOW, 2 * WINDOW, 3 * WINDOW):
        raise ValueError(f"max_tokens is {max_tokens}; sd-scripts knows 75, 150 and 225")
    content = list(ids[:max_tokens])
    pad = EOS if encoder == "te1" else TE2_PAD
    whole = [*content, EOS, *[pad] * (max_tokens - len(content))]
    if max_tokens == WINDOW:
        return [(BOS, *whole)]
    rows = [[BOS, *whole[at : at + WINDOW], whole[-1]] for at in range(0, max_tokens, WINDOW)]
    return [tuple(_te2_row(row) if encoder == "te2" else row) for row in rows]


def _te2_row(row: list[int]) -> list[int]:
    """Apply the trainer's two repairs, in its order: an EOS behind a full window, and one in an empty one."""
    if row[WINDOW] not in (EOS, TE2_PAD):
        row[-1] = EOS
    if row[1] == TE2_PAD:
        row[1] = EOS
    return row


def _content(ids: Sequence[int], max_tokens: int, encoder: Encoder) -> list[tuple[int, ...]]:
    rows = padded(ids, max_tokens, encoder)
    filled = max(1, -(-len(ids) // WINDOW))
    sizes = [min(WINDOW, len(ids) - WINDOW * at) for at in range(filled)]
    # One place behind the content: EOS, or in te2 what the trainer leaves there (0, if that was the last id).
    return [row[: 1 + size + 1] for row, size in zip(rows, sizes, strict=False)]


def _pattern() -> str:
    """Return the reference's pattern without its IGNORECASE flag, for the text is in lower case already.

    Of the characters that survive lower-casing the flag moves two: the long s matches an s, and U+0345, whose
    capital is a letter, matches nothing and is dropped (tests compare every character).
    """
    letters, numbers = r"\p{L}" + _ranges(_NEW_LETTERS), r"\p{N}" + _ranges(_NEW_NUMBERS)
    special = r"<\|[sſ]tartoftext\|>|<\|endoftext\|>|'[sſ]|'t|'re|'ve|'m|'ll|'d"
    return rf"{special}|[{letters}]+|[{numbers}]|[^\s{letters}{numbers}\x{{345}}]+"


def _ranges(table: str) -> str:
    """Return the ranges of a table as the inside of a character class."""
    return "".join("-".join(rf"\x{{{end}}}" for end in item.split("-")) for item in table.split())


def _cleaned_alone(text: str) -> set[str]:
    """Every stretch of a text that is cleaned by itself: the whole, its lines, and these without their edges.

    Cleaning looks at a whole stretch: mojibake that a line holds is mended in one and not in the other.
    """
    lines = [text, *_LINE_END.split(text)]
    edges = [line.strip() for line in (*lines, *(line.lstrip("\ufeff") for line in lines))]
    return {part for line in (*lines, *edges) for part in _SPECIAL.split(line)}


def _is_plain(text: str) -> bool:
    """Tell whether cleaning does no more than lower the case, which shifts no character."""
    return text.isascii() and not _NEEDS_CARE.search(text)
