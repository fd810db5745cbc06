"""Count: the tokens of the longest line, its windows, and which tags a border cuts."""

from __future__ import annotations

import pytest
from hostile import CAPTIONS, CLIP, written
from hypothesis import given
from hypothesis import strategies as st

from tagflow.captions.grammar import line_spans
from tagflow.clip.tokenizer import Tokenizer
from tagflow.schema import add
from tagflow.stages.count import Count

WORD = "sofa, "  # two tokens


def count(
    text: str | None, *, most: int = 225, warn: int = 150, original: str | None = None
) -> dict[str, object]:
    table = written([original or text], [text])
    table = add(table, findings=[[]], details=[[]])  # the parser's are another matter
    row: dict[str, object] = Count(CLIP, most, warn)(table).to_pylist()[0]
    return row


def of(tokens: int) -> str:
    """A caption of exactly so many tokens."""
    tags, odd = divmod(tokens, 2)
    return ", ".join(["sofa"] * (tags + odd)) + ("" if odd else ",")


@given(st.one_of(CAPTIONS, st.integers(1, 260).map(of)))
def test_the_figure_is_that_of_the_longest_line(text: str) -> None:
    lines = [len(CLIP.ids(text[begin:end].strip())) for begin, end in line_spans(text)]
    row = count(text)
    assert row["tokens"] == max(lines)
    assert row["windows"] == max(1, -(-max(lines) // 75))


@pytest.mark.parametrize(
    ("tokens", "windows", "codes"),
    [
        (1, 1, set()),
        (75, 1, set()),
        (76, 2, {"window-exceeded"}),
        (150, 2, {"window-exceeded"}),
        (151, 3, {"window-exceeded", "tokens-near-limit"}),
        (225, 3, {"window-exceeded", "tokens-near-limit"}),
        (226, 4, {"window-exceeded", "tokens-over-limit"}),
    ],
)
def test_limits_by_default(tokens: int, windows: int, codes: set[str]) -> None:
    row = count(of(tokens))
    assert (row["tokens"], row["windows"]) == (tokens, windows)
    assert set(row["findings"]) - {"window-straddled"} == codes  # type: ignore[call-overload]


@pytest.mark.parametrize("most", [75, 150, 225])
def test_the_limit_is_a_choice(most: int) -> None:
    assert "tokens-over-limit" not in count(of(most), most=most)["findings"]  # type: ignore[operator]
    row = count(of(most + 1), most=most)
    assert "tokens-over-limit" in row["findings"]  # type: ignore[operator]


def test_a_tag_cut_in_two_and_tags_not_read_are_named() -> None:
    text = WORD * 37 + "wooden floor, lamp"  # 74 tokens, then one on either side of the border
    row = found(count(text))
    assert row["window-straddled"] == "wooden floor"
    row = found(count(text, most=75))
    assert row["tokens-over-limit"] == "78 tokens, 75 are read; cut: wooden floor, lamp"
    assert "window-straddled" not in row


def test_tags_on_either_side_of_a_border_are_whole() -> None:
    assert "window-straddled" not in found(count(WORD * 37 + "lamp, rug"))


def test_each_line_has_its_own_windows() -> None:
    text = "lamp\n" + WORD * 37 + "wooden floor\nsofa"
    row = count(text)
    assert row["tokens"] == 76
    assert found(row)["window-straddled"] == "wooden floor"


def test_what_is_cut_is_told_of_the_line_as_the_trainer_strips_it() -> None:
    """A no-break space at the end is mended as a part of the last tag, and the line has other tokens then."""
    tags = [tag.encode().decode("cp1252", errors="replace") for tag in ("жеваный диван", "リビング", "客厅")]
    text = ", ".join(["sofa"] * 30 + [tag.encode().decode("cp1252", errors="replace") for tag in tags])
    assert len(CLIP.ids(text)) != len(CLIP.ids(f"{text}\xa0"))
    assert found(count(f"{text}\xa0", most=75)) == found(count(text, most=75))


def test_many_cut_tags_are_not_all_named() -> None:
    assert found(count(of(400)))["tokens-over-limit"].endswith("sofa and 81 more")


@pytest.mark.slow
def test_a_caption_of_very_many_tags_is_counted() -> None:
    row = count(", ".join(f"tag {number}" for number in range(50_000)))
    assert row["tokens"] > 150_000  # type: ignore[operator]


def test_a_tag_that_leaves_the_first_window_is_named() -> None:
    row = count("lamp, " + WORD * 38 + "rug", original="lamp, rug, " + WORD * 37 + "sofa")
    assert found(row)["window-spill"] == "rug"  # copies count in their order: no sofa left it


def test_a_tag_that_the_border_cuts_is_not_seen_any_more() -> None:
    before = WORD * 36 + "wooden floor, sofa, lamp"
    assert found(count(WORD * 37 + "wooden floor, lamp", original=before))["window-spill"] == "wooden floor"
    back = count(before, original=WORD * 37 + "wooden floor, lamp")
    assert found(back)["window-spill"] == "sofa"  # for the floor that came in


def test_a_spill_is_one_lines_own() -> None:
    before = "lamp\nrug, " + WORD * 38 + "chair"
    assert found(count("lamp\n" + WORD * 38 + "chair, rug", original=before))["window-spill"] == "rug"


@given(st.permutations([*(f"oak table {number}" for number in range(14)), "lamp, rug"]))
def test_what_spills_was_whole_in_the_first_window(tags: list[str]) -> None:
    before, after = "lamp, rug, " + ", ".join(tag for tag in tags if "," not in tag), ", ".join(tags)
    spilled = found(count(after, original=before)).get("window-spill", "")
    if len(CLIP.ids(after)) <= 75:
        assert not spilled
    for tag in filter(None, spilled.split(", ")):
        end = f"{before}, ".index(f"{tag}, ") + len(tag)
        assert len(CLIP.ids(before[:end])) <= 75 or " and " in spilled
        assert len(CLIP.ids(after[: f"{after}, ".index(f"{tag}, ") + len(tag)])) > 75 or " and " in spilled


def test_up_to_75_tokens_nothing_is_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tokenizer, "encode", None)
    assert count("rug, lamp", original="lamp, rug")["findings"] == []
    assert count(of(75), original="lamp, " + of(74))["findings"] == []


def test_without_a_text_or_a_vocabulary() -> None:
    assert count(None)["tokens"] is None
    texts = ["sofa", None, ""]
    table = add(written(texts, texts), findings=[[], [], []], details=[[], [], []])
    rows = Count(None, 225, 150)(table).to_pylist()
    assert [row["tokens"] for row in rows] == [None, None, None]
    assert [row["findings"] for row in rows] == [["tokens-not-counted"], [], []]


def found(row: dict[str, object]) -> dict[str, str]:
    return dict(zip(row["findings"], row["details"], strict=True))  # type: ignore[call-overload]


LONG = ", ".join(f"{word} sofa" for word in "red blue green black white grey pink brown gold tan".split())


@pytest.mark.parametrize(
    ("before", "after", "most", "said"),
    [
        (f"{LONG}, lamp", f"lamp, {LONG}", 75, None),
        (
            f"{of(70)}, {LONG}, lamp",
            f"lamp, {of(70)}, {LONG}",
            75,
            "no longer read: blue sofa; read now: lamp",
        ),
        (f"{of(70)}, lamp, rug, {LONG}", f"{of(70)}, rug, lamp, {LONG}", 75, None),
        (f"{of(224)}, lamp, rug", f"{of(224)}, rug, lamp", 225, "no longer read: lamp; read now: rug"),
        (f"{of(224)}, lamp, rug", f"{of(224)}, rug, lamp", 150, None),
    ],
)
def test_other_tags_that_are_cut_are_named(before: str, after: str, most: int, said: str | None) -> None:
    row = count(after, original=before, most=most)
    found = dict(zip(row["findings"], row["details"], strict=True))  # type: ignore[call-overload]
    assert found.get("tokens-cut-changed") == said
