"""Lines that are no caption, scripts that are not read, loops; open it for a line that is (not) taken so.

What such a line holds between its commas are no tags, so it is never put in order: a tagger's scores, tags
that something else than commas parts, and what programs say (talk.py). The patterns were tuned on outputs of
public taggers and on clean captions, in which none may be seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tagflow.captions.talk import Leftover, said, shortened


def no_caption(line: str) -> Leftover | None:
    """What makes a line no caption, the first of its kind; None for a caption, as nearly all lines are."""
    start = len(line) - len(line.lstrip())
    if _PRINTED.match(line):
        return Leftover("leftover-confidence", shortened(line), start)
    if found := said(line):
        return found
    if _SIGN.search(line) and _FIGURE.search(line) and _has_scores(line):
        return Leftover("leftover-confidence", shortened(line), start)
    if "," not in line and (detail := _other_separator(line)):
        return Leftover("separator-other", detail, start)
    return None


_SIGN = re.compile(r"[.%:=|\t]")  # quick
_SCORE = re.compile(
    r"(?P<mark>[:=@|\t(\[ -]) ?[\"']?"
    r"(?P<number>0?\.\d+|1\.0+|[01](?= ?$)|(?:100|\d{1,2})(?:\.\d+)? ?%|(?<=\t)\d{1,3}(?:\.\d+)?)$"
)
_SCORE_FIRST = re.compile(r"(?P<mark>)(?P<number>0?\.\d\d+)[)\]:\t ]")
_QUOTED = r"""(?:"[^"\[\]]*"|'[^'\[\]]*')"""
_PRINTED = re.compile(
    rf"""\s*(?:
        (?:\w{{3,12}}\()?\[\s*{_QUOTED}\s*(?:,\s*{_QUOTED}\s*)*,?\s*\]  # ["a", "b"], array(["a"])
      | [({{]\s*{_QUOTED}\s*,\s*(?:{_QUOTED}\s*,?\s*)*[)}}]\s*$  # ('a', 'b'), {{'a', 'b'}}
      | ["'][a-z\d][^"',]*["']\s*(?:,\s*["'][a-z\d][^"',]*["']\s*){{2,}},?$  # 'a', 'b', 'c'
      | \{{\s*["'][\w -]+["']\s*:\s*(?:["'\[{{\d.-]|true|false|null)  # {{"a": 1
      | \[\s*[(\[{{]\s*["']  # [("a", 0.9), ...
    )""",
    re.VERBOSE,
)
_FIGURE = re.compile(r"\.\d|%|[:=|] ?[01]\b|: ?\d\d|\t\d")
_LONE = re.compile(r"0?\.\d{2,}|1\.0+")
_PERCENT = re.compile(r"(?:[\d_]|[^\w:])*[^\W\d_][^:]*: ?(100|\d{1,2})")
_SCORED_WORD = re.compile(r"\S[(\[:=]0?\.\d\d+[)\]]?,?")
_OVER_ONE = re.compile(r":\s?(?:1\.0*[1-9]|[2-9](?:\.\d)?)\b")
_AROUND = " \t\"'()[]{}."


def _has_scores(line: str) -> bool:
    """Whether most parts of a line have a score, as a tagger's raw output has them."""
    parts = [part.strip(_AROUND) for part in re.split(r"[,;]|\s\|\s", line) if part.strip(_AROUND)]
    if sum(_LONE.fullmatch(part) is not None for part in parts) >= max(1, len(parts) // 2) and len(parts) > 1:
        return True  # `1girl, 0.98, smile, 0.71`
    percents = [found[1] for part in parts if (found := _PERCENT.fullmatch(part))]
    if len(parts) == len(percents) >= 2 + ("_" not in line) and sum(map(len, percents)) >= 1.5 * len(parts):
        return True  # `long_hair: 40, smile: 91`
    words = line.split()
    if "," not in line and 3 <= len(words) <= 1.5 * sum(
        _SCORED_WORD.search(word) is not None for word in words
    ):
        return True  # `1girl(0.99) smile(0.71) hat(0.65)`
    if _OVER_ONE.search(line) and "%" not in line:  # weights: no score is more than one
        return False
    scores = [
        found
        for part in parts
        if (found := _SCORE.search(part) or _SCORE_FIRST.match(part))
        and (found.start() or not found["mark"])
        and (found["mark"] not in " -" or "%" in found["number"] or len(found["number"]) > 3)
    ]
    if 2 * len(scores) <= len(parts) and not (len(scores) > 3 and 5 * len(scores) > 2 * len(parts)):
        return False
    exact = sum(_is_exact(score[0], score["number"]) for score in scores)
    # a single `hat:0.85` is a weight
    return 2 * exact >= len(scores) and not (len(parts) == 1 and re.fullmatch(r"[^\s:]+:0?\.\d+", parts[0]))


def _is_exact(text: str, number: str) -> bool:
    """Whether a score is no weight: people write `smile:0.8` and `hat:0.75`, taggers two figures and more."""
    figures = number.partition(".")[2]
    if "%" in number or not figures or not text.startswith(":"):
        return "%" in number or len(figures) > 1 or text.startswith("\t")
    return text.startswith(": ") or len(figures) > 2 or (len(figures) == 2 and figures[1] not in "05")


_COUNTED = re.compile(
    r"(?:\d\+?(?:girl|boy|other)s?|solo|no_humans|multiple_(?:girls|boys)|rating:\w+|score_\d\w*)"
)
_UNDERSCORED = re.compile(r"[^\W_][!?.:;'’]?_[(:;'’]?[^\W_]")
_ALL_UNDERSCORED = re.compile(r"(?:\d\+?(?:girl|boy|other)s?|no_humans)(?:_[^\W_]+){3,}")
_ENGLISH = frozenset("a an the of with and in on at is are to by from for that this his her its".split())
_WIDE_TAG = 5  # words: what is longer between two marks is a phrase of prose
_SEPARATING = re.compile(r"[;；|｜/\\\t•·・+]| [.:–—-] ")
_SEPARATORS = (
    (";", re.compile(r"(?<=[\w)\"' ])[;；](?=[\w ]|$)"), 2),
    ("|", re.compile(r"(?<=[\w)\"' ])(?:\|{1,2}|｜)(?=[\w ]|$)"), 2),
    ("/", re.compile(r"(?<=[\w) ])/(?=[\w( ]|$)"), 3),
    ("\\", re.compile(r"(?<=[\w ])\\(?=[\w ]|$)"), 3),
    ("tabs", re.compile(r"\t"), 2),
    ("•", re.compile(r"[•·・]"), 3),
    (".", re.compile(r" \. "), 3),
    (":", re.compile(r" : "), 3),
    ("+", re.compile(r" \+ "), 3),
    ("-", re.compile(r" [–—-] "), 4),
)


def _other_separator(line: str) -> str:
    """What parts a line without commas, and into how many tags; empty where it is one tag or prose."""
    text = line.strip()
    words = text.split()
    if (
        not text
        or "，" in text
        or "、" in text
        or "://" in text
        or (text[-1] in ".!?" and "_" not in words[-1])
    ):
        return ""
    tagged = text.split("#")
    if (
        len(tagged) > 2
        and not tagged[0]
        and all(tag[:1].isalnum() and len(tag.split()) <= 4 for tag in tagged[1:])
    ):
        return f"# parts {len(tagged) - 1} tags"
    for name, mark, least in _SEPARATORS if _SEPARATING.search(text) else ():
        parts = [part for part in map(str.strip, mark.split(text)) if part]
        if len(parts) >= least and all(_is_name(part) for part in parts) and _is_list(parts, least):
            return f"{name} parts {len(parts)} tags"
    if len(words) == 1 and _ALL_UNDERSCORED.fullmatch(text):  # else it may be a name
        return f"underscores part {text.count('_') + 1} words"
    if len(words) < 3 or not _ENGLISH.isdisjoint(words):
        return ""
    named = sum(bool(_COUNTED.fullmatch(word) or _UNDERSCORED.search(word)) for word in words)
    pointed = any(word[-1] in ".:;!?" and len(word) > 2 and "_" not in word for word in words)
    if named >= 2 and (2 if pointed else 4) * named >= len(words):  # `yu-gi-oh!`, and faces such as `d:`
        return f"spaces part {len(words)} tags"
    return ""


def _is_name(part: str) -> bool:
    words = part.split()
    return 0 < len(words) <= _WIDE_TAG and any(letter.isalpha() for letter in part)


def _is_list(parts: list[str], least: int) -> bool:
    """Two parts are a list where both are short and nothing in them reads like a sentence."""
    words = [word for part in parts for word in part.split()]
    return len(parts) > least or (len(words) <= 3 * len(parts) and _ENGLISH.isdisjoint(map(str.lower, words)))


# Scripts other than Latin. Wide Latin letters count as Latin: the tokenizer makes them narrow.
_LATIN = re.compile(r"[A-Za-zªºÀ-ÖØ-öø-ʯᴀ-ᶿḀ-ỿⱠ-ⱿꜢ-ꞿＡ-Ｚａ-ｚ]")


def is_unread(text: str) -> bool:
    """Whether most letters of a text are of a script that SDXL's text encoders were not trained on."""
    if text.isascii():
        return False
    letters = sum(map(str.isalpha, text))
    return 2 * len(_LATIN.findall(text)) < letters


def loop(text: str) -> str:
    """The words that a captioner said over and over: thrice or more in a row; empty where it did not loop."""
    longest = max(map(len, text.split()), default=0)
    if longest >= _CRIED and (cried := _SAME_SIGN.search(text)):
        return f"{len(cried[0])} times: {cried[1]}"
    words = text.lower().translate(_POINTS).split()
    triples = len(words) - 2
    if (
        len(words) - len(set(words)) < 4
        or len(set(zip(words, words[1:], words[2:], strict=False))) > triples - 2
    ):
        return ""
    for start, period in _runs(words):
        while start and words[start - 1] == words[start - 1 + period]:
            start -= 1
        copies, at = 1, start + period
        while words[at : at + period] == words[start : start + period]:
            copies, at = copies + 1, at + period
        if copies >= _COPIES.get(period, 3):
            return f"{copies} times: {shortened(' '.join(words[start : start + period]))}"
    return ""


_CRIED = 24  # times the same sign, as a model says that failed: `!!!!!!!!...`
_SAME_SIGN = re.compile(rf"([^\s\d])\1{{{_CRIED - 1},}}")
_POINTS = dict.fromkeys(map(ord, ",.;:!?"))
_COPIES = {1: 5, 2: 4}  # of one word, of two; `very very very long` is no loop
_PERIOD = 24  # words: longer loops are cut off by the captioner's own limit


def _runs(words: list[str]) -> Iterator[tuple[int, int]]:
    """Where the next words may be those just said: place and number of words."""
    places: dict[str, int] = {}
    for at, word in enumerate(words):
        before = places.get(word)
        if (
            before is not None
            and at - before <= _PERIOD
            and words[before + 1 : before + 2] == words[at + 1 : at + 2]
        ):
            yield before, at - before
        places[word] = at
