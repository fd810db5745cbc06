"""Lines that are no caption: a program's or a language model's words; open it for one that is (not) taken so.

What such a line holds between its commas are no tags, so it is never put in order. The patterns were tuned on
outputs of public taggers, captioners and chat models, and on clean captions, in which none may be seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Leftover(NamedTuple):
    """What makes a line no caption: a finding's code, what was seen, and at which character of the line."""

    code: str
    detail: str
    at: int


def no_caption(line: str) -> Leftover | None:
    """What makes a line no caption, the first of its kind; None for a caption, as nearly all lines are."""
    start = len(line) - len(line.lstrip())
    if _SIGN.search(line) or line[1:] == "ssistant":
        if _PRINTED.match(line):
            return Leftover("leftover-confidence", _short(line), start)
        if found := _at_colon(line) or _first(_MARKS, line):
            return found
        if detail := _confidences(line):
            return Leftover("leftover-confidence", detail, start)
    if any(word in line for word in _TALK) and (found := _first(_REFUSALS, line)):
        return found
    if _OPENING.match(line) and (found := _first(_PREAMBLES, line)):
        return found
    if any(word in line for word in _FAREWELL) and (found := _first(_CLOSING, line)):
        return found
    if "," not in line and (detail := _other_separator(line)):
        return Leftover("separator-other", detail, start)
    return None


def _at_colon(line: str) -> Leftover | None:
    """A setting or a label before a colon: `Steps: 20`, `Caption: a girl`; not `a sign with a prompt: x`."""
    for colon in _COLON.finditer(line):
        for code, pattern in _LABELS:
            if found := pattern.search(line, max(0, colon.start() - _NEAR), colon.end() + _NEAR):
                return Leftover(code, _short(line[found.start() :].lstrip(" ,.;!")), found.start())
    return None


def _first(patterns: Iterable[tuple[str, re.Pattern[str]]], line: str) -> Leftover | None:
    for code, pattern in patterns:
        if found := pattern.search(line):
            return Leftover(code, _short(line[found.start() :].lstrip(" ,.;!")), found.start())
    return None


def _short(text: str, width: int = 60) -> str:
    flat = " ".join(text[: 4 * width].split())
    return flat if len(flat) <= width else flat[: width - 1].rstrip() + "…"


# Quick looks at every line: a sign that few captions hold, a word of refusals, a beginning that is talk.
_SIGN = re.compile(r"[:：`~\t\[{<%=@]|\.[0-9]|--[a-z]")
_TALK = (
    "sorry", "Sorry", "pologi", "ble to", "annot ", "n't ", "n’t ", "can not", "an AI", "language model",
    "decline", "o not ", "ill not", "omfortable", "o image", "y guideline", "y content", "ible for me",
    "lease ", "iento", "leid", "ésol", "звините", "сожалению", "죄송", "抱歉", "对不起", "對不起", "很遗憾",
    "我无法", "申し訳",
)  # fmt: skip
_FAREWELL = ("et me know", "ope this", "eel free", "ould you like")
_OPENING = re.compile(
    r"\W{0,6}(?:Here|Sure|Certainly|Of course|Absolutely|Ok(?:ay)?|Got it|Alright|Great|No problem|Yes|"
    r"Below|These|This is|I['’]d|I would|I can|Note|The|以下|"
    r"\w{1,12} (?:tags|captions)|\w{1,12} \w{1,12} tags|The following|Based|According|"
    r"Looking|From|Tags|Captions?|Descriptions?|Keywords|"
    r"Prompts?)\b|\s?(?:#|\*\*)",
    re.IGNORECASE,
)
_COLON = re.compile("[:：]")
_NEAR = 48  # characters to either side of a colon

_LABEL = (
    r"(?:(?:final |image |detailed |short |long |brief |full |positive |training |danbooru |booru |"
    r"generated |suggested |output |text |alt |sd |stable diffusion ){0,3}"
    r"(?:captions?|tags?|tag list|descriptions?|prompts?|"
    r"keywords|answer|response|output|result|"
    r"alt text)|(?:图片|图像|画像)?的?(?:标签|描述|提示词|タグ|キャプション|説明))"
)
_LABELS = (
    (
        "leftover-parameters",
        re.compile(
            r"(?:^|[,.;\s])\s?[\"'*]{0,3}(?:neg(?:ative)?(?:[ _]prompts?)?\s?[\"'*]{0,3}[:：=]"
            r"|steps[\"']?:\s?\d|sampler(?:[ _]name)?:\s?\w|cfg[ _]scale:\s?\d|seed:\s?-?\d|clip skip:\s?\d"
            r"|model hash:\s?[\da-f]"
            r"|denoising strength:\s?\d"
            r"|size:\s?\d+\s?x\s?\d|schedule type:\s?\w|hires (?:upscale|steps|upscaler):\s?\w|lora hashes:"
            r"|ensd:\s?\d|guidance scale:\s?\d|undesired content\s?:"
            r"|负面提示词\s?[:：]|反向提示词\s?[:：]"
            r"|ネガティブプロンプト\s?[:：])",
            re.IGNORECASE,
        ),
    ),
    (
        "leftover-preamble",
        re.compile(
            rf"(?:^|[,.;!]\s?)[\W_]{{0,4}}{_LABEL}(?: \(?\d+\)?)?[\"'*]{{0,3}}\s?[:：]", re.IGNORECASE
        ),
    ),
    (
        "leftover-preamble",
        re.compile(
            r"(?:^\W{0,4}|[.!?]\s)(?:###? ?)?(?:ASSISTANT|USER|SYSTEM|HUMAN|Assistant|User|Human|Response"
            r"|Instruction|Question|Answer|Model) ?:(?!\w)"
        ),
    ),
)
_MARKS = (
    ("leftover-preamble", re.compile(r"```|~~~|^\s?[Aa]ssistant$")),
    (
        "leftover-preamble",
        re.compile(
            r"<\|(?:im_start|im_end|endoftext|eot_id|begin_of_text|start_header_id|end_header_id|assistant|user|"
            r"system|end)\|>|</?(?:think|thinking|answer|caption|output|image|tags|response)>|</?s>|\[/?INST\]"
            r"|<</?SYS>>|<(?:MORE_)?(?:DETAILED_)?CAPTION>|<OD>|<(?:start|end)_of_turn>|<pad>|<eos>|<bos>"
        ),
    ),
    (
        "leftover-parameters",
        re.compile(r"(?:^|\s)--(?:ar \d+:\d|(?:v|niji|stylize|s|chaos|q) \d|no \w|style raw)"),
    ),
)
_DO = (
    r"(?:assist|help|describe|caption|provide|generate|identif\w+|recogni[sz]e|comply|create|fulfil+|continue|"
    r"process|see|view|access|analy[sz]e|tag|engage|discuss|determine|do|answer|comment|make|complete|display|"
    r"produce|write|offer|support|name|tell|open|interpret|participate)"
)
_NOT_ABLE = (
    r"(?:can(?:no|['’])t|can not|could not|couldn['’]t|won['’]t|will not|am (?:not able|unable) to|"
    r"['’]m (?:not able|unable) to|must (?:respectfully )?decline(?: to)?)"
)
_REFUSALS = (
    (
        "leftover-refusal",
        re.compile(
            r"(?:^\W{0,6}|[.!?:,]\s)(?:I['’]m (?:very |really |so )?sorry|I am sorry|I apologi[sz]e|Sorry|"
            r"My apologies|Apologies|Unfortunately)\b[^.]{0,80}?\b"
            rf"(?:I(?:\s|['’])|{_NOT_ABLE}|unable|not able|as an AI)",
            re.IGNORECASE,
        ),
    ),
    (
        "leftover-refusal",
        re.compile(
            rf"(?:^\W{{0,6}}|[.!?:,]\s|\b(?:but|and|so|that) )I\s?{_NOT_ABLE}\s"
            rf"(?:\w{{1,12}}ly |to |be able to )?{_DO}\b",
            re.IGNORECASE,
        ),
    ),
    (
        "leftover-refusal",
        re.compile(
            r"\bAs an? (?:AI|artificial intelligence|(?:large )?language model)\b(?! art)"
            r"|\bI(?: am|['’]m) not comfortable|\bno (?:image|photo|picture) (?:was |is |has been )?"
            r"(?:provided|attached|uploaded|given)|\bagainst my (?:guidelines|content|policy)"
            r"|\bmy content (?:policy|guidelines)|\bnot possible for me to"
            r"|\bI (?:do not|don['’]t) (?:feel comfortable|have (?:access|the ability)|see (?:an|any) image)"
            r"|\bplease (?:provide|upload|share|attach|send) (?:me )?(?:with )?(?:an?|the|your) "
            r"(?:\w{1,12} )?(?:image|photo|picture)",
            re.IGNORECASE,
        ),
    ),
    (
        "leftover-refusal",
        re.compile(
            r"^\W{0,6}(?:(?:I )?can(?:not|['’]t)|unable to|not able to|failed to|could not)"
            rf" {_DO}\b[^,]{{0,40}}\b(?:images?|photos?|pictures?|requests?|content|that|this|you|it)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "leftover-refusal",
        re.compile(
            r"(?:抱歉|对不起|對不起|很遗憾)[，,。 ]{0,2}(?:但)?(?:我)?(?:无法|不能|無法)"
            r"|申し訳(?:ありません|ございません)|我无法(?:提供|描述|处理|查看)|죄송합니다"
            r"|(?:Извините|К сожалению), я не|Lo siento, (?:pero )?no puedo"
            r"|[Tt]ut mir leid, (?:aber )?ich kann"
            r"|[Dd]ésolée?, (?:mais )?je ne"
        ),
    ),
)
_WORDS = r"(?:tags?|captions?|descriptions?|prompts?|keywords|list|summary|breakdown)"
_PREAMBLES = (
    (
        "leftover-preamble",
        re.compile(
            r"^\W{0,6}(?:Sure|Certainly|Of course|Absolutely|Ok(?:ay)?|Got it|Alright|Great|No problem|Yes)\b"
            r"(?: thing)?(?:!|[,.:]\s?(?:here|below|the following|let me|based on|I['’]ll|I will|I can)\b)",
            re.IGNORECASE,
        ),
    ),
    (
        "leftover-preamble",
        re.compile(
            r"^\W{0,6}(?:Here you go\b|Here['’]s what\b|I(?:['’]d| would) be (?:happy|glad) to\b"
            r"|I can (?:certainly |definitely )?help\b)"
            r"|^\W{0,6}(?:Here(?: is|['’]s| are)|Below (?:is|are)|The following|This is|These are)\b"
            rf"[^,:]{{0,60}}?\b{_WORDS}\b[^,:]{{0,60}}(?::|$)",
            re.IGNORECASE,
        ),
    ),
    (
        "leftover-preamble",
        re.compile(
            r"^\W{0,6}(?:Based on|According to|Looking at|From) the (?:provided |given |uploaded )?"
            rf"(?:image|photo|picture)[^:]{{0,40}}\b{_WORDS}\b[^:]{{0,40}}:",
            re.IGNORECASE,
        ),
    ),
    (
        "leftover-preamble",
        re.compile(
            rf"^\W{{0,6}}{_LABEL} (?:for|of|describing|that describe) [^,:]{{0,60}}:"
            r"|^\W{0,6}(?:\w{1,12} ){0,2}(?:tags|captions|keywords)(?: are)?:"
            r"|^\W{0,6}(?:description|caption|tags) - |^以下是|^\W{0,6}Note: "
            rf"|^\s?(?:#{{1,6}}\s|\*\*){_LABEL}\b",
            re.IGNORECASE,
        ),
    ),
)
_CLOSING = (
    (
        "leftover-preamble",
        re.compile(
            r"(?:^|[.!?]\s)(?:Let me know if|I hope this|Hope this|Feel free to|Would you like me to)\b"
        ),
    ),
)
_SCORE = re.compile(
    r"(?P<mark>[:=@|\t(\[ -]) ?[\"']?(?P<number>0?\.\d+|1\.0+|[01](?= ?$)|(?:100|\d{1,2})(?:\.\d+)? ?%)$"
)
_SCORE_FIRST = re.compile(r"(?P<mark>)(?P<number>0?\.\d\d+)[)\]:\t ]")
_PRINTED = re.compile(
    r"""\s*(?:
        \[\s*(?P<quote>["'])[^"'\[\]]*(?P=quote)\s*  # ["a", "b"]
          (?:,\s*(?P=quote)[^"'\[\]]*(?P=quote)\s*)*,?\s*\]
      | \{\s*["'][\w -]+["']\s*:\s*(?:["'\[{\d.-]|true|false|null)  # {"a": 1
      | \[\s*[(\[{]\s*["']  # [("a", 0.9), ...
    )""",
    re.VERBOSE,
)
_FIGURE = re.compile(r"\.\d|%|[:=|] ?[01]\b")
_LONE = re.compile(r"0?\.\d{2,}|1\.0+")
_AROUND = " \t\"'()[]{}."


def _confidences(line: str) -> str:
    """The line, where most of its parts have a score, as a tagger's raw output has them; else empty."""
    if not _FIGURE.search(line):
        return ""
    parts = [part.strip(_AROUND) for part in re.split(r"[,;]|\s\|\s", line) if part.strip(_AROUND)]
    if sum(_LONE.fullmatch(part) is not None for part in parts) >= max(1, len(parts) // 2) and len(parts) > 1:
        return _short(line)  # `1girl, 0.98, smile, 0.71`
    scores = [
        found["number"]
        for part in parts
        if (found := _SCORE.search(part) or _SCORE_FIRST.match(part))
        and (found.start() or not found["mark"])
        and (found["mark"] not in " -" or "%" in found["number"] or len(found["number"]) > 3)
    ]
    if 2 * len(scores) <= len(parts) and not (len(scores) > 3 and 5 * len(scores) > 2 * len(parts)):
        return ""
    # `smile:0.8, hat:0.7` are weights, which people write with one figure; taggers write two and more.
    exact = sum(len(score.partition(".")[2]) > 1 or "%" in score for score in scores)
    if 2 * exact < len(scores) or (len(parts) == 1 and re.fullmatch(r"[^\s:]+:0?\.\d+", parts[0])):
        return ""  # a single `hat:0.85` is a weight
    return _short(line)


_COUNTED = re.compile(
    r"(?:\d\+?(?:girl|boy|other)s?|solo|no_humans|multiple_(?:girls|boys)|rating:\w+|score_\d\w*)"
)
_UNDERSCORED = re.compile(r"[a-z\d]_\(?[a-z\d]", re.IGNORECASE)
_ENGLISH = frozenset("a an the of with and in on at is are to by from for that this his her its".split())
_WIDE_TAG = 5  # words: what is longer between two marks is a phrase of prose
_SEPARATING = re.compile(r"[;；|｜/\\\t•·・+]| [.:] ")
_SEPARATORS = (
    (";", re.compile(r"(?<=[\w)\"' ])[;；](?=[\w ]|$)"), 2),
    ("|", re.compile(r"(?<=[\w)\"' ])[|｜](?=[\w ]|$)"), 2),
    ("/", re.compile(r"(?<=[\w) ])/(?=[\w( ]|$)"), 3),
    ("\\", re.compile(r"(?<=[\w ])\\(?=[\w ]|$)"), 3),
    ("tabs", re.compile(r"\t"), 2),
    ("•", re.compile(r"[•·・]"), 3),
    (".", re.compile(r" \. "), 3),
    (":", re.compile(r" : "), 3),
    ("+", re.compile(r" \+ "), 3),
)


def _other_separator(line: str) -> str:
    """What parts a line without commas, and into how many tags; empty where it is one tag or prose."""
    text = line.strip()
    if not text or "，" in text or "、" in text or "://" in text or text[-1] in ".!?":
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
    words = text.split()
    if len(words) < 3 or not _ENGLISH.isdisjoint(words):
        return ""
    named = sum(bool(_COUNTED.fullmatch(word) or _UNDERSCORED.search(word)) for word in words)
    if named >= 2 and 4 * named >= len(words) and not any(word[-1] in ".:;!?" for word in words):
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
            return f"{copies} times: {_short(' '.join(words[start : start + period]))}"
    return ""


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
