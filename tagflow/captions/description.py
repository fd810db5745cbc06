"""Tags on line 1, a description in prose below or in a second file; open it for which words are joined.

Captioners that write both leave the trainer with the tags alone, for it reads one line. A line below, or in
`a_nl.txt` beside `a.txt`, is a description unless it is itself a list of tags.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from tagflow.captions.grammar import line_spans, parse
from tagflow.captions.split import USUAL_SEPARATOR

_LEAST_WORDS = 4  # so many make a line of one part a description: `a cat` may be a tag


@dataclass(frozen=True, slots=True)
class Found:
    """What a caption and its second file hold. `tags`: the caption's text without its description.

    `description` is None where there is none to join. `left`: what is not joined, in words.
    """

    tags: str
    description: str | None = None
    words: int = 0
    left: tuple[str, ...] = ()


def is_description(line: str) -> bool:
    """Whether a line says something: sentences make up half of it, or it is one long part."""
    units = parse(line).tags
    told = sum(unit.end - unit.start for unit in units if unit.kind != "tag")
    if 2 * told >= len(line.strip()) > 0:
        return True
    return len(units) == 1 and len(line.split()) >= _LEAST_WORDS


def has_description(text: str, second: str | None) -> bool:
    """Whether a caption's first line holds tags, and a description that could be joined is not trained."""
    if second is None and "\n" not in text and "\r" not in text:
        return False
    if second is not None and (beside := description_of(second)) and set_apart(text, beside) is not None:
        return False
    return find(text, second).description is not None


def find(text: str, second: str | None, second_name: str = "", separator: str | None = None) -> Found:
    """The description of a caption. `second`: the text of its second file, None where there is none.

    Lines below the first come before the second file. The lines of a description become one, without the
    white space at their ends. `separator`: the keep_tokens_separator that was named.
    """
    (begin, end), *below = line_spans(text)
    first = text[begin:end]
    lines = [(start, stop) for start, stop in below if text[start:stop].strip()]
    told = [(start, stop) for start, stop in lines if is_description(text[start:stop])]
    left = (
        [] if len(told) == len(lines) else [f"{len(lines) - len(told)} below: a list of tags, no description"]
    )
    description = " ".join(text[start:stop].strip() for start, stop in told)
    if second is not None:
        beside = description_of(second)
        if not beside:
            left.append(f"{second_name}: {'a list of tags, no description' if second.strip() else 'empty'}")
        elif description and beside != description:
            left.append(f"{second_name}: not what the lines below say, which come first")
        description = description or beside
    why = _why_not(first, description, separator) if description else None
    if not description or why:
        return Found(text, left=(*left, *([why] if why else [])))
    tags = _without(text, frozenset(told))
    end = stop = line_spans(tags)[0][1]
    while tags[end - 1] == "," or tags[end - 1].isspace():  # a comma at its end would become an empty tag
        end -= 1
    return Found(tags[:end] + tags[stop:], description, len(description.split()), tuple(left))


def description_of(second: str) -> str:
    """The description that a second file holds, on one line; empty where it holds none."""
    text = second.lstrip("\ufeff")
    lines = (text[start:end].strip() for start, end in line_spans(text))
    return " ".join(line for line in lines if line and is_description(line))


def _why_not(first: str, description: str, separator: str | None) -> str | None:
    """Why nothing may be joined to this first line."""
    # As it is read once `--clean` has tidied it.
    units = parse(first, fullwidth_commas=True, separator=separator).tags
    if not units:
        return "the first line holds no tags"
    if units[-1].kind != "tag":
        return "the first line ends in a sentence of its own"
    marks = (mark for mark in (separator, USUAL_SEPARATOR) if mark and mark in description)
    return next((f"{mark} in the description would part the line" for mark in marks), None)


def _without(text: str, told: AbstractSet[tuple[int, int]]) -> str:
    """The text without these lines and the blank ones before them; what ended the last line still does."""
    spans = line_spans(text)
    ends = [*(start for start, _ in spans[1:]), len(text)]
    kept: list[str] = []
    for number, (start, stop) in enumerate(spans):
        if (start, stop) in told:
            while len(kept) > 1 and not kept[-1].strip():
                kept.pop()
        else:
            kept.append(text[start : ends[number]])
    if spans[-1] in told and kept:
        body = kept[-1][: line_spans(kept[-1])[0][1]]
        kept[-1] = body + text[spans[-1][1] :]
    return "".join(kept)


def set_apart(text: str, description: str) -> str | None:
    """The text without a description that was joined to its first line; None where it does not end in it.

    `put_behind` gives the text back, byte for byte.
    """
    begin, end = line_spans(text)[0]
    line = text[begin:end].rstrip()
    rest = line.removesuffix(description)
    tags = rest.removesuffix(" ").removesuffix(",")
    if rest == line or rest != tags + separator(tags) or tags != tags.rstrip() or not tags.strip("\ufeff ,"):
        return None
    return tags + text[len(line) :]


def put_behind(text: str, description: str) -> str:
    """The text with a description behind the tags of its first line."""
    at = place_behind(text)
    return text[:at] + separator(text[:at]) + description + text[at:]


def place_behind(text: str) -> int:
    """Where the tags of the first line end."""
    begin, end = line_spans(text)[0]
    return begin + len(text[begin:end].rstrip())


def separator(tags: str) -> str:
    """What stands between tags and their description: nothing but a space behind a full stop."""
    return " " if tags.endswith((".", "!", "?")) else ", "
