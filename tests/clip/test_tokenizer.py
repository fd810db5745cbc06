"""The ids equal sd-scripts' (stored golden ids), the spans lie in the text, the windows are the trainer's."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import regex
from examples import THOROUGH, examples
from hypothesis import given, settings
from hypothesis import strategies as st

from tagflow.clip import tokenizer as module
from tagflow.clip.tokenizer import BOS, EOS, Tokenizer, padded, te2_windows, windows
from tagflow.clip.vocabulary import find_vocabulary

GOLDEN = Path(__file__).parents[1] / "golden" / "token_ids.jsonl"
ROWS = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
VOCABULARY = find_vocabulary(use_cache=False)
CLIP = Tokenizer(VOCABULARY)

ODD_PARTS = [
    "<|endoftext|>",
    "<|EndOfText|>",
    "&amp;",
    "â€™",
    "cafÃ©",
    "Ã ",
    "ﬁ",
    "İ",
    "ΑΣ",
    "\ufeff",
    "Ａ",
    "’",
    "\x1b[0m",
]
ASCII = st.text(st.characters(max_codepoint=0x7F), max_size=60)
ANYTHING = st.lists(st.one_of(st.text(max_size=8), ASCII, st.sampled_from(ODD_PARTS)), max_size=8).map(
    "".join
)
IDS = st.lists(st.one_of(st.integers(0, 3), st.integers(0, EOS)), max_size=240)
# Lengths at which windows begin and end, where id 0 (which the trainer takes for padding) does most.
EDGES = st.sampled_from([0, 1, 74, 75, 76, 149, 150, 151, 224, 225, 226]).flatmap(
    lambda size: st.lists(st.sampled_from([0, 5, EOS]), min_size=size, max_size=size)
)


def test_every_golden_text_has_the_trainers_ids() -> None:
    assert len(ROWS) > 1_500
    assert [row["text"] for row in ROWS if CLIP.ids(row["text"]) != tuple(row["ids"])] == []
    assert [row["text"] for row in ROWS if CLIP.encode(row["text"]).ids != tuple(row["ids"])] == []
    assert CLIP.count_many([row["text"] for row in ROWS]) == [len(row["ids"]) for row in ROWS]


def test_every_line_of_the_samples_is_golden() -> None:
    golden = {row["text"] for row in ROWS}
    for file in sorted((Path(__file__).parents[2] / "data_samples").rglob("*.txt")):
        text = file.read_bytes().decode("utf-8", errors="ignore")
        missing = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip() not in golden]
        assert missing == [], f"{file.name}: run tests/golden/make_token_ids.py again"


@pytest.mark.slow
def test_the_pieces_of_every_character_are_those_of_the_references_pattern() -> None:
    special = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
    reference = regex.compile(special + r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)
    known = regex.compile(r"\P{C}|[\t\n\r\f]")
    lowered = {chr(code).lower() for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000}
    characters = sorted(one for one in lowered if len(one) == 1 and known.match(one))
    if not THOROUGH:  # all of the scripts that are written in, of the others some
        characters = characters[:20_000] + characters[20_000::7]
    for shape in ("a{0}b!{0}!1{0}{0}1", "'{0}x", "'r{0}", "<|{0}tartoftext|>"):
        text = " ".join(shape.format(one) for one in characters)
        assert reference.findall(text) == [piece for piece, _ in CLIP._pieces.pre_tokenize_str(text)]


TO_TRANSFORMERS_5 = [
    ("\ufeff1girl", (272, 1611), (171, 119, 379, 272, 1611), "ftfy drops the BOM"),
    ("it’s", (585, 568), (585, 728, 503, 338), "ftfy straightens quotes"),
    ("cafÃ©", (15304,), (3471, 127, 352, 5811), "ftfy mends mojibake"),
    ("&amp;", (261,), (261, 6259, 282), "ftfy decodes HTML entities"),
    ("ｆｕｌｌ", (1476,), None, "ftfy makes full-width letters narrow"),
    ("ﬁne", (3797,), None, "ftfy takes ligatures apart"),
    ("a\x07b", (3937,), (320, 451, 321), "ftfy drops control characters"),
    (
        "ΑΣ",
        (138, 109, 139, 480),
        (138, 109, 139, 481),
        "Python knows the final sigma, Rust lowers each letter alone",
    ),
    ("'ſ", (6, 129, 379), (262, 129, 379), "only a pattern that ignores case takes a long s for an s"),
    ("x\u0345y", (343, 344), (343, 137, 483, 344), "the pattern that ignores case drops U+0345"),
    ("<|ENDOFTEXT|>", (49407,), None, "the slow tokenizer lowers the text before it looks at a piece"),
]


@pytest.mark.parametrize(("text", "ours", "theirs", "why"), TO_TRANSFORMERS_5)
def test_known_differences_to_transformers_5(
    text: str, ours: tuple[int, ...], theirs: tuple[int, ...] | None, why: str, new_transformers
) -> None:
    got = tuple(new_transformers(text, add_special_tokens=False)["input_ids"])
    assert CLIP.ids(text) == ours != got, why
    assert theirs in (None, got)


@pytest.fixture(scope="module")
def new_transformers():
    transformers = pytest.importorskip("transformers", minversion="5")
    return transformers.CLIPTokenizer(vocab=VOCABULARY.vocab, merges=VOCABULARY.merges)


TO_OPEN_CLIP = [
    ("a &amp", (320, 261, 6259), (320, 261), "open_clip decodes entities twice, and without a semicolon"),
    ("a &amp b", (320, 261, 6259, 321), (320, 261, 321), "the same"),
    (
        "<b> &amp;",
        (283, 321, 285, 261, 6259, 282),
        (283, 321, 285, 261),
        "ftfy alone spares text that has a <",
    ),
    ("<|endoftext|>", (49407,), (27, 347, 40786, 4160, 91, 285), "open_clip writes <end_of_text>"),
]


@pytest.mark.parametrize(("text", "ours", "theirs", "why"), TO_OPEN_CLIP)
@pytest.mark.slow
def test_known_differences_to_open_clip(
    text: str, ours: tuple[int, ...], theirs: tuple[int, ...], why: str
) -> None:
    simple = pytest.importorskip("open_clip.tokenizer").SimpleTokenizer()
    assert CLIP.ids(text) == ours, why
    assert tuple(simple.encode(text)) == theirs, why


@pytest.mark.slow
def test_open_clip_agrees_on_ordinary_captions() -> None:
    simple = pytest.importorskip("open_clip.tokenizer").SimpleTokenizer()
    texts = [row["text"] for row in ROWS if row["text"].isascii() and not set(row["text"]) & set("&<\x00")]
    assert len(texts) > 100
    assert [text for text in texts if CLIP.ids(text) != tuple(simple.encode(text))] == []


@given(ASCII)
@settings(max_examples=examples(500))
def test_the_fast_path_equals_the_slow_one(text: str) -> None:
    slow = tuple(number for number, _ in CLIP._careful(text, aligned=False))
    assert CLIP.ids(text) == slow
    assert CLIP.encode(text) == module.Encoded(
        slow, tuple(span for _, span in CLIP._careful(text, aligned=True))
    )
    assert CLIP.count_many([text, text + " a"]) == [len(slow), len(CLIP.ids(text + " a"))]


@given(ANYTHING)
@settings(max_examples=examples(500))
def test_spans_lie_in_the_text_and_never_go_back(text: str) -> None:
    encoded = CLIP.encode(text)
    assert encoded.ids == CLIP.ids(text)
    assert len(encoded.spans) == len(encoded.ids) == CLIP.count_many([text])[0]
    assert all(0 <= start < end <= len(text) for start, end in encoded.spans)
    for (start, end), (next_start, next_end) in zip(encoded.spans, encoded.spans[1:], strict=False):
        assert start <= next_start
        assert end <= next_end


SPANS = [
    ("Long  HAIR,\tsolo", ["Long", "HAIR", ",", "solo"]),
    ("\ufeff1girl", ["1", "girl"]),
    ("“hi”, it’s", ["“", "hi", "”,", "it", "’s"]),
    ("a &amp; b", ["a", "&", "b"]),
    ("cafÃ©, smile", ["cafÃ©", ",", "smile"]),
    ("ＬＯＮＧ　ＨＡＩＲ，ｓｏｌｏ", ["ＬＯＮＧ", "ＨＡＩＲ", "，", "ｓｏｌｏ"]),
    ("ﬁne, a", ["ﬁne", ",", "a"]),
    ("a<|endoftext|>ﬁne", ["a", "<|endoftext|>", "ﬁne"]),
    ("a<|EndOfText|>", ["a", "<|EndOfText|>"]),
    ("İx", ["İ", "İ", "x"]),
    ("😀", ["😀"]),
]


@pytest.mark.parametrize(("text", "parts"), SPANS)
def test_spans_cut_the_original_text(text: str, parts: list[str]) -> None:
    assert [text[start:end] for start, end in CLIP.encode(text).spans] == parts


def test_a_long_odd_text_is_aligned_in_bounded_time() -> None:
    spans = CLIP.encode("\u00e9\ufb01" * 3_000).spans
    assert (spans[0][0], spans[-1][1]) == (0, 6_000)


def test_lone_surrogates_do_not_fail() -> None:
    assert CLIP.ids("a\ud800b") == CLIP.ids("a\ufffdb")


TAG = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="&<,"), min_size=1)


@given(st.lists(TAG, min_size=1, max_size=8))
def test_tags_with_their_commas_sum_to_the_caption(tags: list[str]) -> None:
    parts = [*(tag + "," for tag in tags[:-1]), tags[-1]]
    assert sum(CLIP.count_many(parts)) == len(CLIP.ids(" ".join(parts)))


def test_without_comma_or_space_the_sum_is_not_exact() -> None:
    assert CLIP.count_many(["(a),", "(a)", ",", 'x,"y"', 'x, "y"']) == [3, 3, 1, 4, 5]


def trainer(ids: list[int], limit: int, pad: int, *, v1: bool) -> list[list[int]]:
    """Assemble the ids as sd-scripts is described to, one step after another, as a reference."""
    text = [BOS, *ids[: limit + 2 - 2], EOS]
    text = text + [pad] * (limit + 2 - len(text))
    if limit == 75:
        return [text]
    made = []
    for c in range(limit // 75):
        window = [text[0], *text[1 + 75 * c : 76 + 75 * c], text[-1]]
        if not v1 and window[75] != EOS and window[75] != pad:
            window[76] = EOS
        if not v1 and window[1] == pad:
            window[1] = EOS
        made.append(window)
    return made


@given(st.one_of(IDS, EDGES), st.sampled_from([75, 150, 225]))
@settings(max_examples=examples(500))
def test_rows_and_windows_are_the_trainers(ids: list[int], limit: int) -> None:
    rows = {"te1": trainer(ids, limit, EOS, v1=True), "te2": trainer(ids, limit, 0, v1=False)}
    holding = max(1, sum(1 for at in range(0, limit, 75) if ids[at:limit]))
    for encoder, made in (("te1", windows(ids, limit)), ("te2", te2_windows(ids, limit))):
        assert [list(row) for row in padded(ids, limit, encoder)] == rows[encoder]
        assert len(made) == holding
        for at, (window, row) in enumerate(zip(made, rows[encoder], strict=False)):
            content = len(ids[:limit][75 * at : 75 * at + 75])
            assert list(window) == row[: content + 2]


def test_both_encoders_share_the_ids_and_differ_in_padding_only() -> None:
    for limit in (75, 150, 225):
        for row in ROWS[::7]:
            te1, te2 = (padded(row["ids"], limit, encoder) for encoder in ("te1", "te2"))
            if 0 in row["ids"] or EOS in row["ids"]:
                continue
            assert windows(row["ids"], limit) == te2_windows(row["ids"], limit)
            for one, two in zip(te1, te2, strict=True):
                end = one.index(EOS) + 1
                assert one[:end] == two[:end]
                assert (set(one[end:]), set(two[end:])) in [({EOS}, {0}), (set(), set())]


def test_a_leading_bang_becomes_eos_in_te2s_window_above_75_tokens() -> None:
    ids = CLIP.ids("!_!, 1girl")
    assert ids[0] == 0
    assert te2_windows(ids, 75) == windows(ids, 75) == [(BOS, *ids, EOS)]
    assert (windows(ids, 150), te2_windows(ids, 150)) == ([(BOS, *ids, EOS)], [(BOS, EOS, *ids[1:], EOS)])


def test_an_empty_caption_has_one_window_and_another_limit_is_refused() -> None:
    assert windows([], 225) == te2_windows([], 225) == [(BOS, EOS)]
    with pytest.raises(ValueError, match="75, 150 and 225"):
        windows([1], 77)
