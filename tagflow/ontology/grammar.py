"""The small interpreter behind an ontology's `rules.toml`: words become labels, and an ordered table decides.

A phrase is cut into chunks (the longest lexicon term at each place, else a listed word, else a word's look).
Each chunk has a label: its lexicon role, or its category, or the name of its word list. The labels side by
side are the phrase's *shape*, and the first rule whose pattern fits the whole shape says the category.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tagflow.ontology.words import LONGEST_TERM, Lexicon, cut_words

UNKNOWN = "unknown"
Answer = tuple[str, tuple[str, ...]]  # a category, and the names of the rules that led to it, in their order


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of words that the rules see as one: `category` is empty for words that name nothing.

    `term` is the row of the lexicon, in its own spelling; empty for what is no row.
    """

    text: str
    label: str
    category: str = ""
    term: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of the table. Without a category, the part of the phrase in `[ ]` decides, read by itself."""

    name: str
    pattern: re.Pattern[str]
    category: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What an unlisted word is by its spelling, such as a word in -scape."""

    pattern: re.Pattern[str]
    label: str
    category: str = ""


def compile_shape(shape: str, codes: Mapping[str, str]) -> re.Pattern[str]:
    """Turn a rule's shape into a pattern over label codes, one character a chunk.

    Names are labels or groups of them, `any` is every label; `( | ) * + ?` mean what they mean in patterns
    and `[ ]` marks the part that decides. Raises KeyError with the name that `codes` does not hold, and
    re.error where the signs do not fit together.
    """
    if strange := re.search(r"[^a-z_ ()\[\]|*+?]", shape):
        raise re.error(f"{strange[0]!r} has no meaning in a shape")

    if doubled := re.search(r"[*+?] *\+|[*+?] +\?", shape):
        raise re.error(f"{doubled[0]!r}: one sign after a name or bracket is enough")

    def one(name: re.Match[str]) -> str:
        return "." if name[0] == "any" else f"\1{codes[name[0]]}\2"

    text = "".join(re.sub(r"[a-z_]+", one, piece) for piece in shape.split())
    text = text.replace("[", "(?P<part>").replace("]", ")")
    return re.compile(text.replace("\1", "[").replace("\2", "]"))


class Grammar:
    """An ontology's lexicon, word lists and rule table, ready to read phrases."""

    def __init__(
        self,
        lexicon: Lexicon,
        words: Mapping[str, str],
        looks: Sequence[Look],
        texts: Sequence[Rule],
        rules: Sequence[Rule],
        codes: Mapping[str, str],
    ) -> None:
        self.lexicon = lexicon
        self.rules = rules
        self.codes = codes
        self._texts = texts
        self._words = words
        self._looks = looks

    def read(self, text: str, parts: int = 4) -> Answer | None:
        """Return the category of a phrase and the rules that say so, or None where nothing does.

        parts: how often a part may be read in place of its text; a text made of headings has no end of them.
        """
        words = self.lexicon.spell(cut_words(text))
        if found := self.lexicon.find(words) if words else None:
            return found[0].category, (found[1],)
        for rule in self._texts:
            if match := rule.pattern.search(text):
                if rule.category:
                    return rule.category, (rule.name,)
                part = match["part"]
                if part and parts and len(part) < len(text) and (answer := self.read(part, parts - 1)):
                    return _after(rule, answer)
        return self.judge(self.cut(words))

    def explain(self, text: str) -> tuple[list[Chunk], list[str]]:
        """Return the chunks of a phrase, and how their spelling was mended, for people who ask why."""
        plain = cut_words(text)
        words = self.lexicon.spell(plain)
        spelled = [(word, " ".join(self.lexicon.spell([word]))) for word in plain]
        steps = [f"alias: {word} = {spelling}" for word, spelling in spelled if word != spelling]
        chunks = self.cut(words)
        for chunk in chunks:
            if chunk.term not in ("", chunk.text):
                same = chunk.term.replace(" ", "") == chunk.text.replace(" ", "")
                steps.append(f"{'spelling' if same else 'inflection'}: {chunk.text} = {chunk.term}")
        return chunks, steps

    def has_strange_word(self, text: str) -> bool:
        """Say whether a word of a phrase is in no lexicon, in no list, and of no known look."""
        words = self.lexicon.spell(cut_words(text))
        return any(chunk.label == UNKNOWN for chunk in self.cut(words))

    def cut(self, words: Sequence[str]) -> list[Chunk]:
        """Cut words into chunks, the longest known term first at each place."""
        chunks = []
        start = 0
        while start < len(words):
            size, chunk = self._next(words[start : start + LONGEST_TERM])
            chunks.append(chunk)
            start += size
        return chunks

    def _next(self, words: Sequence[str]) -> tuple[int, Chunk]:
        for size in range(len(words), 0, -1):
            if size == 1 and words[0] in self._words:
                return 1, Chunk(words[0], self._words[words[0]])
            if found := self.lexicon.find(words[:size]):
                entry = found[0]
                return size, Chunk(" ".join(words[:size]), entry.label, entry.category, entry.term)
        return 1, self._look(words[0])

    def _look(self, word: str) -> Chunk:
        for look in self._looks:
            if look.pattern.search(word):
                return Chunk(word, look.label, look.category)
        return Chunk(word, UNKNOWN)

    def judge(self, chunks: Sequence[Chunk]) -> Answer | None:
        """Return what the first fitting rule says of `chunks`."""
        shape = "".join(self.codes[chunk.label] for chunk in chunks)
        for rule in self.rules:
            match = rule.pattern.fullmatch(shape)
            if match and (answer := self._answer(rule, match, chunks)):
                return answer
        return None

    def _answer(self, rule: Rule, match: re.Match[str], chunks: Sequence[Chunk]) -> Answer | None:
        if rule.category:
            return rule.category, (rule.name,)
        part = chunks[match.start("part") : match.end("part")]
        if len(part) == 1:
            return (part[0].category, (f"{rule.name}: {part[0].text}",)) if part[0].category else None
        # A part as long as the whole would be read for ever.
        if not 0 < len(part) < len(chunks) or (answer := self.judge(part)) is None:
            return None
        return _after(rule, answer)


def _after(rule: Rule, answer: Answer) -> Answer:
    """Put the rule that named a part before those that read it."""
    return answer[0], (rule.name, *answer[1])
