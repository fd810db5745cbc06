"""What programs and language models say beside or instead of a caption; open it for a line taken for that.

Settings of an image generator, labels, marks of chats, refusals, preambles and farewells. The patterns were
tuned on outputs of public captioners and chat models, and on clean captions, in which none may be seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class Leftover(NamedTuple):
    """What makes a line no caption: a finding's code, what was seen, and at which character of the line."""

    code: str
    detail: str
    at: int


def said(line: str) -> Leftover | None:
    """The first thing on a line that a program or a language model said; None for nearly all lines."""
    if (_SIGN.search(line) or line[1:] == "ssistant") and (found := _at_colon(line) or _first(_MARKS, line)):
        return found
    if any(word in line for word in _TALK) and (found := _first(_REFUSALS, line)):
        return found
    if _OPENING.match(line) and (found := _first(_PREAMBLES, line)):
        return found
    return _first(_CLOSING, line) if any(word in line for word in _FAREWELL) else None


def _at_colon(line: str) -> Leftover | None:
    """A setting or a label before a colon: `Steps: 20`, `Caption: a girl`; not `a sign with a prompt: x`."""
    for colon in _COLON.finditer(line):
        for code, pattern in _LABELS:
            if found := pattern.search(line, max(0, colon.start() - _NEAR), colon.end() + _NEAR):
                return Leftover(code, shortened(line[found.start() :].lstrip(" ,.;!")), found.start())
    return None


def _first(patterns: Iterable[tuple[str, re.Pattern[str]]], line: str) -> Leftover | None:
    for code, pattern in patterns:
        if found := pattern.search(line):
            return Leftover(code, shortened(line[found.start() :].lstrip(" ,.;!")), found.start())
    return None


def shortened(text: str, width: int = 60) -> str:
    """The beginning of a text on one line, for a finding. `width`: in characters."""
    flat = " ".join(text[: 4 * width].split())
    return flat if len(flat) <= width else flat[: width - 1].rstrip() + "…"


# Quick looks at every line: a sign that few captions hold, a word of refusals, a beginning that is talk.
_SIGN = re.compile(r"[:：`~\[<=]|--[a-z]")
_TALK = (
    "sorry", "Sorry", "pologi", "ble to", "annot ", "n't ", "n’t ", "can not", "an AI", "language model",
    "decline", "o not ", "ill not", "omfortable", "o image", "y guideline", "y content", "ible for me",
    "violat", "m not ", "blocked", "her not ", "o not have", "Error: ",
    "lease ", "iento", "leid", "ésol", "звините", "сожалению", "죄송", "抱歉", "对不起", "對不起", "很遗憾",
    "我无法", "申し訳",
)  # fmt: skip
_FAREWELL = ("et me know", "ope this", "eel free", "ould you like", "ote that", "anything else")
_OPENING = re.compile(
    r"\W{0,6}(?:Here|Sure|Certainly|Of course|Absolutely|Ok(?:ay)?|Got it|Alright|Great|No problem|Yes|"
    r"Below|These|This is|I['’]d|I would|I can|Note|The following|(?:The|A)(?=[^,:]{0,90}:)|As|以下|"
    r"[\w-]{1,16} (?:tags|captions)|[\w-]{1,16} \w{1,12} tags|Based|According|"
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
            r"^assistant: |(?:^\W{0,4}|[.!?]\s)(?:###? ?)?"
            r"(?:ASSISTANT|USER|SYSTEM|HUMAN|Assistant|User|Human|Response"
            r"|Instruction|Question|Answer|Model) ?:(?!\w)"
        ),
    ),
)
_MARKS = (
    (
        "leftover-preamble",
        re.compile(
            r"```|^\s?~~~(?:\s?\w|$)|^\s?[Aa]ssistant$"
            r"|^\W{0,4}(?:[Cc]aption|[Tt]ags|[Pp]rompt) ?= ?\W?\w"
        ),
    ),
    (  # `(Note: the face is blurred)`, `He sits. **Note:** ...`; not `sticky note: buy milk`
        "leftover-preamble",
        re.compile(
            r"[(\[]\s?\*{0,2}(?:(?:Please )?[Nn]ote|NOTE|Disclaimer)\*{0,2}\s?[:：]\*{0,2}\s?(?=\S+\s\S)"
            r"|[.!?][\"'”’)]{0,2}\s+\*{0,2}(?:Note|NOTE|Disclaimer)\*{0,2}\s?[:：]"
        ),
    ),
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
            r"|\bI(?:['’]m| am) (?:just |only )?an AI\b"
            r"|\bI(?:['’]m| am) not (?:programmed|designed|allowed|permitted|trained) to\b"
            r"|\bviolat\w{1,3} (?:my |our |the |any |these )?(?:\w{1,12} )?(?:guidelines|polic(?:y|ies))"
            r"|\b(?:image|photo|picture|content|request) (?:cannot|can['’]t|could not) be "
            r"(?:described|captioned|tagged|processed)"
            r"|\byou (?:haven['’]t|have not|didn['’]t|did not) (?:upload|attach|provid|shar|includ)\w{0,4} "
            r"[^.]{0,20}\b(?:image|photo|picture)"
            rf"|\bI must (?:respectfully )?decline\b|\bI(?:['’]d| would) rather not {_DO}\b"
            r"|\bI (?:do not|don['’]t) have enough information to\b"
            r"|^\W{0,6}(?:request|response|content)\b[^,]{0,24}\bblocked\b"
            r"|\bI (?:do not|don['’]t) (?:feel comfortable|have (?:access|the ability)|see (?:an|any) image)"
            r"|\bplease (?:provide|upload|share|attach|send) (?:me )?(?:with )?(?:an?|the|your) "
            r"(?:\w{1,12} )?(?:image|photo|picture)",
            re.IGNORECASE,
        ),
    ),
    (
        "leftover-refusal",
        re.compile(
            r"^\W{0,6}(?:Error: )?(?:(?:I )?can(?:not|['’]t)|unable to|not able to|failed to|could not)"
            rf" {_DO}\b[^,]{{0,40}}"
            r"\b(?:images?|photos?|pictures?|requests?|content|captions?|that|this|you|it)\b",
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
            r"^\W{0,6}(?:(?:Sure|Certainly|Of course|Absolutely|Got it|Alright)\b(?: thing)?!"
            r"|(?:Sure|Certainly|Of course|Absolutely|Ok(?:ay)?|Got it|Alright|Great|No problem|Yes)\b"
            r"(?: thing)?[,.:!]\s?(?:here|below|the following|let me|based on|I['’]ll|I will|I can)\b)",
            re.IGNORECASE,
        ),
    ),
    (
        "leftover-preamble",
        re.compile(
            r"^\W{0,6}(?:Here you go\b|Here['’]s what\b|I(?:['’]d| would) be (?:happy|glad) to\b"
            r"|I can (?:certainly |definitely )?help\b)"
            r"|^\W{0,6}(?:Here(?: is|['’]s| are)|Below (?:is|are)|The following)\b"
            rf"[^,:]{{0,60}}?\b{_WORDS}\b[^,:]{{0,60}}(?::|$)"
            r"|^\W{0,6}(?:This is|These are)(?: (?!of|with|on|in|and)[\w-]{1,16}){0,4} "
            rf"{_WORDS}\b[^,:]{{0,60}}(?::|$)"
            rf"|^\W{{0,6}}[^,:]{{0,80}}\bfollowing {_WORDS}\s?:"
            r"|^\W{0,6}I would (?:describe|tag|caption) (?:it|this|the)\b[^,:]{0,30}:"
            rf"|^\W{{0,6}}(?:These {_WORDS} [^,:]{{0,60}}:|As (?:you )?requested\b)"
            rf"|^\W{{0,6}}(?:The|A)\b[^,:]{{0,40}}\b{_WORDS}\b[^,:]{{0,40}} "
            r"(?:is|are|(?:could|would|might) be)\s?:",
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
            r"|^\W{0,6}(?:[\w-]{1,16} ){0,2}(?:tags|captions|keywords)(?: are)?:"
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
            r"(?:^|[.!?]\s|\()(?:Let me know if|I hope this|Hope this|Feel free to|Would you like me to"
            r"|Is there anything else|(?:Please n|N)ote that)\b"
        ),
    ),
)
