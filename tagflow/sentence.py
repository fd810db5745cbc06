"""The marks of a sentence in one comma-separated part of a caption.

English word sets and a few rules on them, no model: what says something (`the room is bright`), what only
names something (`floor lamp that looks like a tree`), what reads on from the part before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_INNER_STOP = re.compile(r"[^\s.]{3}[.!?][\"'”’)]*\s+[\"'“‘(]?[A-ZÀ-ÞА-Я]")
_FINAL_STOP = re.compile(r"[^\W_]{2}[\"'”’)]*[.!?][\"'”’)]*$")

_DETERMINERS = frozenset(
    "a an the this that these those its his her their my our your some each every another".split()
)
_NUMBERS = frozenset("two three four five six seven eight several many both few most all people".split())
_PRONOUNS = frozenset("it it's he she they there there's we you i who which what someone everyone".split())
_LINKS = frozenset(
    "and or but with without while where which that who whose as of in on at by to from for into onto "
    "through over under above below behind beside between across near along against toward towards "
    "around inside outside next featuring including".split()
)
_CLOSES = frozenset("and or plus".split())
_CONTINUES = _CLOSES | frozenset(
    "but with while whereas where which whose creating making giving adding featuring including "
    "providing offering allowing suggesting showing showcasing highlighting overlooking surrounded "
    "accompanied complemented illuminated bathed flanked letting evoking".split()
)
# What can hardly be anything but a verb after a subject ...
_VERBS = frozenset(
    "is are was were has have had isn't aren't doesn't don't can't shows depicts showcases includes contains "
    "appears seems creates adds gives provides fills sits captures offers illuminates suggests evokes "
    "complements adorns surrounds reflects overlooks lets brings makes wears dominates enhances bathes "
    "invites blends combines highlights emphasizes emphasises conveys contributes occupies presents "
    "illustrates portrays exudes boasts serves comes consists separates connects leads".split()
)
# ... and what may be a noun as well (`clean lines`): a verb if it has an object or a place after it.
_NOUN_LIKE = frozenset(
    "stands hangs lies rests features displays looks streams flows holds stretches extends casts feels lines "
    "frames can could will would may might does do sit stand lie hang lean face fill flank adorn surround "
    "create provide add contribute feel line overlook occupy frame".split()
)
_NO_VERB = re.compile(r"(?:ss|us|is|as|ies|stairs|'s|’s)$")  # `a cactus in`, `a canvas on`, `a girl's room`
_SUBJECTS = _DETERMINERS | _NUMBERS | _PRONOUNS
_FUNCTION = _DETERMINERS | _PRONOUNS | _LINKS | frozenset("is are was were has have".split())

_LONG, _LINKED, PHRASE = 14, 9, 4


@dataclass(frozen=True, slots=True)
class Part:
    """The marks of one comma-separated part."""

    size: int
    stretch: int
    function: int  # how many of its words only hold others together
    clause: bool  # says something
    long: bool  # so long that, standing alone, it is no tag: `a kitchen with a sink in the middle`
    phrase: bool  # four words or more that are held together: it may open a sentence
    capital: bool  # begins like a sentence
    article: bool  # begins with a determiner
    joins: bool  # reads on from the part before it: `with a red roof`
    leans: bool  # begins with a preposition or a verb in lower case: `of a table`, `has two windows`
    acts: bool  # begins with what somebody does: `looking out of the window`
    closes: bool  # ends a list: `and a lamp`
    listed: bool  # may end a list as well: `a lamp and a rug`
    inner: bool  # a sentence ends in it
    stops: bool  # a sentence ends with it

    @property
    def plain(self) -> bool:
        """An ordinary tag."""
        return not (self.clause or self.joins or self.stops)


def marks(text: str, stretch: int) -> Part:
    """The marks of one part, without the white space around it."""
    found = _WORD.findall(text)
    low = [word.lower().replace("’", "'") for word in found]
    joins = bool(low) and low[0] in _CONTINUES
    article = bool(low) and low[0] in _DETERMINERS
    function = sum(word in _FUNCTION for word in low)
    capital = text.lstrip("\"'“‘(*")[:1].isupper() and any(word[0].islower() for word in found)
    inner, stops = bool(_INNER_STOP.search(text)), bool(_FINAL_STOP.search(text))
    enough = len(low) >= PHRASE
    return Part(
        size=len(text),
        stretch=stretch,
        function=function,
        clause=enough and ((inner and (function > 0 or stops)) or _says(low[joins:], capital)),
        long=enough and _is_long(len(low), function, capital or article),
        phrase=enough and any(word in _FUNCTION for word in low[1:]),
        capital=capital,
        article=article,
        joins=joins,
        leans=low[:1] == found[:1] and bool(low) and low[0] in _LINKS | _VERBS,
        acts=function > 0 and low[0].endswith("ing"),
        closes=joins and low[0] in _CLOSES,
        listed="and" in low[1:],
        inner=inner and function > 0,  # `guardians vol. II` tells nothing
        stops=stops,
    )


def _is_long(words: int, function: int, opened: bool) -> bool:
    """Too long for a name: `A cozy room with a sofa`, `Light comes in from the left`."""
    return words >= _LONG or (function >= 3 and (opened or words >= _LINKED))


def _says(low: Sequence[str], capital: bool) -> bool:
    """Whether a subject is followed by a verb: these words say something rather than name something."""
    subject = next((at for at, word in enumerate(low) if word in _SUBJECTS - {"that", "who", "which"}), None)
    if not capital and (subject is None or (subject and low[subject] in ("a", "an"))):
        return False
    start = 0 if capital or subject is None else subject
    if start and any(word in _LINKS for word in low[:start]):
        return False  # `view of the room that is lit`: names it
    named = True  # no preposition yet, so a noun cannot be mistaken for a verb
    for before, word, after in zip(low[start:], low[start + 1 :], [*low[start + 2 :], ""], strict=False):
        if before in ("that", "who", "which"):
            return False  # `a lamp that looks like a tree`: names it
        if word in _VERBS:
            return True
        placed = after in _DETERMINERS or after in _LINKS
        if named and placed and (word in _NOUN_LIKE or _third_person(low[start], before, word)):
            return True
        named = named and word not in _LINKS
    return False


def _third_person(first: str, before: str, word: str) -> bool:
    """`a cat sleeps (on)`: after a singular noun only a verb ends in s."""
    singular = first in ("a", "an") and before not in _FUNCTION
    return singular and word.endswith("s") and not _NO_VERB.search(word)
