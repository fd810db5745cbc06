"""How a tag's words are read, in any spelling; open it for plurals, aliases, or why a rule fits.

Words are cut into chunks (the longest lexicon term at each place, else a listed word, else a word's look).
Each chunk has a label: its lexicon role, or its category, or the name of its word list. The labels side by
side are the phrase's *shape*, and the first rule whose pattern fits the whole shape says the category. Of
English only the spelling of plurals is known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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


# `bg-0010`, `t-34-85`: letters and a number joined by a hyphen are a name, and not the word `bg`.
_NUMBERED = re.compile(r"(?<![\w-])[a-z]+(?:-[a-z]+)*(?:-\d+)+(?![\w.-])")


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
        return self.judge(self.cut(self.lexicon.spell(self._words_of(text))))

    def explain(self, text: str) -> tuple[list[Chunk], list[str]]:
        """Return the chunks of a phrase, and how their spelling was mended, for people who ask why."""
        plain = self._words_of(text)
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
        words = self.lexicon.spell(self._words_of(text))
        return any(chunk.label == UNKNOWN for chunk in self.cut(words))

    def _words_of(self, text: str) -> list[str]:
        """Cut a phrase into words; a numbered name that is no row is one word, which nothing knows."""
        words: list[str] = []
        at = 0
        for found in _NUMBERED.finditer(text):
            if not self.lexicon.find(self.lexicon.spell(cut_words(found[0]))):
                words += [*cut_words(text[at : found.start()]), found[0]]
                at = found.end()
        return words + cut_words(text[at:])

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
        for look in self._looks:
            if look.pattern.search(words[0]):
                return 1, Chunk(words[0], look.label, look.category)
        return 1, Chunk(words[0], UNKNOWN)

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
