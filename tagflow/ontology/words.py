"""Words: how a tag is written, and the lexicon that finds its words in any spelling.

Nothing in this file knows a word of English but the spelling of plurals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

LONGEST_TERM = 6  # words; no row of a lexicon may be longer, so that cutting a caption stays cheap


class Entry(NamedTuple):  # a tuple, for there are thousands and they are made whenever tagflow starts
    """A row of a lexicon: `role` is empty or one that the rules speak of."""

    term: str
    category: str
    role: str = ""

    @property
    def label(self) -> str:
        """What the rules see of it."""
        return self.role or self.category


def normalise(tag: str) -> str:
    """Return `tag` as terms are written: lower case, blanks for underscores, no weight, no brackets."""
    text = tag.replace("\\", "").lower().replace("_", " ").replace("’", "'")
    # Prompt collections write "8 k", "3 d" and "1 9 2 0 s".
    text = re.sub(r"(?<=\b\d) (?=\d\b|[kds]\b)", "", " ".join(text.split()))
    text = text.strip(" .,;:!?\"'*|”“") or text
    while text and text[0] in "([{" and (shorter := _unwrap(text)) != text:
        text = shorter
    text = text.strip(" .,;:!?\"'*|”“") or text
    # Captioners leave an unpaired bracket behind when a weighted group was cut at its commas.
    if text.count("(") != text.count(")"):
        text = re.sub(r":\d+(\.\d+)?\)+$", ")", text).strip("() ")
    return text


def _unwrap(text: str) -> str:
    """Take one pair of brackets, and the weight in it, off a text that is wholly inside them."""
    closing = {"(": ")", "[": "]", "{": "}"}[text[0]]
    if not text.endswith(closing) or closing in text[1:-1].rstrip(closing):
        return text
    inner = text[1:-1]
    return re.sub(r":\s*(?:\d+(?:\.\d+)?|\.\d+)$", "", inner).strip() if inner else text


def is_sign(term: str) -> bool:
    """Say whether a term is signs rather than words, such as `^_^`: no two letters stand side by side."""
    return len(term) < 8 and not re.search(r"[^\W\d_]{2}", term)


def cut_words(text: str) -> list[str]:
    """Cut a phrase at blanks, hyphens and slashes; a bracket is a word, a possessive s is none."""
    return re.sub(r"([()])", r" \1 ", re.sub(r"[-–/&+,;!?\"”“]|'s?(?= |$)|(?<=\b\w)\.", " ", text)).split()


def other_forms(word: str, irregular: Mapping[str, str]) -> Iterator[str]:
    """Yield the singulars and plurals that an English `word` may have, likeliest first."""
    if word in irregular:
        yield irregular[word]
    if len(word) < 3:
        return
    if word.endswith("ies"):
        yield word[:-3] + "y"
    if word.endswith("ves"):
        yield from (word[:-3] + "f", word[:-3] + "fe")
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        yield word[:-1]
        if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
            yield word[:-2]
        return
    yield word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")
    if word.endswith("y"):
        yield word[:-1] + "ies"


class Lexicon:
    """The rows of an ontology, found in any spelling: plural, joined or apart, British or American."""

    def __init__(
        self, entries: Sequence[Entry], aliases: Mapping[str, str], irregular: Mapping[str, str]
    ) -> None:
        # A possessive is read without its s: "bird's eye view" arrives here as "bird eye view".
        self._exact = {" ".join(cut_words(entry.term)): entry for entry in entries if "'" in entry.term}
        self._exact |= {entry.term: entry for entry in entries}
        # "book shelf" and "bookshelf", "lightblue" and "light blue" are one term: the key has no blanks.
        self._joined = {entry.term.replace(" ", ""): entry for entry in reversed(entries)}
        self._aliases = aliases
        self._irregular = irregular

        # A smiley loses its eyes when a tag is stripped of its punctuation; such rows are met as they stand.
        signs = [entry for entry in entries if is_sign(entry.term)]
        self._signs = {entry.term.replace("\\", "").replace("_", " "): entry for entry in signs}

    def sign(self, tag: str) -> Entry | None:
        """Return the row of a tag that is made of signs, such as `^_^` or `:d`."""
        text = tag.replace("\\", "").replace("_", " ").lower()
        return self._signs.get(" ".join(text.split()))

    def spell(self, words: Sequence[str]) -> list[str]:
        """Replace each word that has an alias by the spelling of the lexicon."""
        return " ".join(self._aliases.get(word, word) for word in words).split()

    def find(self, words: Sequence[str]) -> tuple[Entry, str] | None:
        """Return the row for `words` and how it was found: "lexicon", or "lexicon inflection"."""
        phrase = " ".join(words)
        phrase = self._aliases.get(phrase, phrase)
        if entry := self._exact.get(phrase):
            return entry, "lexicon"
        joined = phrase.replace(" ", "")
        if entry := self._joined.get(joined):
            return entry, "lexicon inflection"
        stem = joined[: len(joined) - len(words[-1])] if joined.endswith(words[-1]) else ""
        for form in other_forms(words[-1] if stem else joined, self._irregular):
            if entry := self._joined.get(stem + form):
                return entry, "lexicon inflection"
        return None
