"""Made-up captions for the long fuzz: as taggers, people and models write them, and as nobody should.

From a seeded random generator: Hypothesis would take hours for a million. Each caption knows its kind and,
where it was put together by the rules alone, the tags that it was made of.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from hostile import GAPS, ODD, SENTENCES

Lines = tuple[tuple[str, ...], ...]
LEXICON = Path(__file__).parents[2] / "ontology"
_WORD = re.compile(r"[a-z0-9][\w' -]*")  # emoticons and names with signs of their own come from ODD
_STORIES = (
    "A {} stands beside the {}, and a {} hangs above it.", "The {} is seen from the {}.",
    "There is a {} in the room, with a {} and two {}s.", "In the middle, a {} is lit",
    "This image shows a {}, a {} and the {} behind them.", "a {} with a {} on top of it",
    "She is holding a {} while looking at the {}", "A photo of a {} next to a {}",
    "It has {}, {}, and {}; the {} is old!", "Is that a {}?",
)  # fmt: skip
_FOREIGN = (
    "客厅", "沙发，灰色", "リビングルーム", "女の子", "거실", "ห้องนั่งเล่น", "бежевый диван", "фото",
    "غرفة معيشة", "סלון", "café crème", "naïve “quote”", "Grüße aus Köln", "salón, luz", "ñandú",
    "œuvre d’art", "… – —", "🛋️ sofa",
)  # fmt: skip
_SIGNS = (
    "abcdefgh ,,,,ab cd", "ab,|(){}[]<>:\"'\\ .;\n\rBREAK，1T_", "".join(map(chr, range(0x20))) + "ab, ",
    "\u0085\u00a0\u1680\u2000\u2009\u2028\u2029\u202f\u3000\ufeff, a", "\x7f\x80\x9b\xad\xff, a",
    "\u200b\u200d\u200e\u202e\u2066\u2069\u00ad, a", "e\u0301a\u0300o\u0308\u20dd\ufe0f\u1f3f, ",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f3fd\U0001f1e9\U0001f1ea\u2764\ufe0f, a",
    "ßİıſẞΣςǅ, Aa", "客厅的沙发，。！？、；：（）「」, ", "\U0001d4ea\U000e0041\U0010ffff\ufffd\uffff, a",
    "٣४๕²½Ⅷ,:.0123456789", "-_^oO><;:=)(|/\\'.*, ",
)  # fmt: skip
_WEIGHTS = (
    "({}:1.2)", "(({}))", "[{}]", "({}, {}:0.8)", "(({}), {}:1.15)", "[{}:{}:0.5]", "({})", "({}:-.5)",
    "((({}), {}), {})",
)  # fmt: skip
_WILD = (
    "{{{}|{}}}", "{{2$${}|{}, {}}}", "__{}__", "<lora:{}:0.8>", "<lyco:{}:1>", "{{{}|{}}} {}", "{{{}, {}|}}",
    '"{}, {}"',
)  # fmt: skip
_SLIPS = ("", "", *"()[]{}<>|\\\"',;:\n_", "，", "|||", " BREAK")
_COMMAS = (", ", ", ", ", ", ",", " , ", ",\t", ",  ")
_PARTINGS = (" ||| ", "|||", " BREAK ", ", BREAK, ", ",BREAK,", " |||, ", "\tBREAK ")
_ENDS = ("\n", "\n", "\r\n", "\r", "\n\n")


class Made(NamedTuple):
    """A caption. `tags`: those of each of its lines, None where a part may be read in more ways than one."""

    kind: str
    text: str
    tags: Lines | None


def words(ontology: str) -> list[str]:
    """The plain tags of an ontology's lexicon."""
    found: list[str] = []
    for file in sorted((LEXICON / ontology / "lexicon").glob("*.csv")):
        with file.open(encoding="utf-8", newline="") as opened:
            found += [row[0] for row in csv.reader(opened) if row and _WORD.fullmatch(row[0])]
    return found


class Maker:
    """Makes one caption after the other; the same seed makes the same ones."""

    def __init__(self, seed: int, lexicon: Sequence[str]) -> None:
        self.chance = Random(seed)  # noqa: S311 - no secret
        self.lexicon = lexicon
        self.kinds = [*_SHARES]
        self.shares = [*_SHARES.values()]

    def __call__(self) -> Made:
        """The next caption."""
        (kind,) = self.chance.choices(self.kinds, self.shares)
        text, tags = getattr(self, f"_{kind}")()
        return Made(kind, text, tags)

    def _some(self, most: int = 18) -> list[str]:
        return self.chance.choices(self.lexicon, k=self.chance.randint(1, most))

    def _filled(self, shapes: Sequence[str]) -> str:
        shape = self.chance.choice(shapes)
        return shape.format(*self.chance.choices(self.lexicon, k=4))

    def _mixed_with(self, shapes: Sequence[str], share: float) -> list[str]:
        dice = self.chance.random
        return [self._filled(shapes) if dice() < share else tag for tag in self._some()]

    def _one_line(self, tags: Sequence[str]) -> tuple[str, Lines]:
        return self.chance.choice(_COMMAS).join(tags), (tuple(tags),)

    def _tagger(self) -> tuple[str, Lines]:
        """As WD taggers write: escaped brackets in names, all with underscores or all without."""
        tags = self._some(30)
        tags = [rf"{tag} \({tags[0]}\)" if self.chance.random() < 0.05 else tag for tag in tags]
        return self._one_line([tag.replace(" ", "_") for tag in tags] if self.chance.random() < 0.5 else tags)

    def _weighted(self) -> tuple[str, Lines]:
        return self._one_line(self._mixed_with(_WEIGHTS, 0.3))

    def _wild(self) -> tuple[str, Lines]:
        return self._one_line(self._mixed_with(_WILD, 0.25))

    def _kohya(self) -> tuple[str, Lines]:
        """Stretches that nothing may cross, and groups that move as one."""
        groups = ("{};;;{}", "{} ;;; {}")
        stretches = [self._mixed_with(groups, 0.1) for _ in range(self.chance.randint(2, 4))]
        text = ", ".join(stretches[0])
        for stretch in stretches[1:]:
            text += self.chance.choice(_PARTINGS) + ", ".join(stretch)
        return text, (tuple(tag for stretch in stretches for tag in stretch),)

    def _lines(self) -> tuple[str, Lines]:
        made = [self._line() for _ in range(self.chance.randint(2, 5))]
        end = self.chance.choice(_ENDS)
        tags = [line for _, (line,) in made]
        if len(end) > 1 and end != "\r\n":
            tags = [line for one in tags for line in (one, ())][:-1]
        return end.join(text for text, _ in made) + end * self.chance.randint(0, 1), tuple(tags)

    def _line(self) -> tuple[str, Lines]:
        return self.chance.choice((self._tagger, self._weighted, self._wild, self._kohya))()

    def _untidy(self) -> tuple[str, Lines]:
        """Copies, empty tags, commas at both ends, a byte order mark."""
        dice = self.chance.random
        tags = self._some()
        tags += [tag.title() if dice() < 0.3 else tag.replace(" ", "_") for tag in tags if dice() < 0.3]
        self.chance.shuffle(tags)
        commas = self.chance.choices((", ", ", , ", ",,", " ,\t, "), (8, 1, 1, 1), k=len(tags))
        text = "".join(part for pair in zip(tags, commas, strict=True) for part in pair)
        front = self.chance.choice(("", "", ", ", "\ufeff", " "))
        return front + (text if dice() < 0.5 else text.rstrip(", \t")), (tuple(tags),)

    def _wide(self) -> tuple[str, None]:
        gaps = ("，", "，", ", ", "， ", "，,", " ，", "、")
        return "".join(tag + self.chance.choice(gaps) for tag in self._mixed_with(_WEIGHTS, 0.1)), None

    def _told(self) -> tuple[str, None]:
        """A list with sentences in it, copies and all."""
        tags = self._mixed_with(_STORIES, 0.2)
        tags += self.chance.choices((*tags, *SENTENCES), k=self.chance.randint(0, 3))
        return ", ".join(tags), None

    def _prose(self) -> tuple[str, None]:
        told = " ".join(self._filled(_STORIES) for _ in range(self.chance.randint(1, 6)))
        front = self.chance.choice(("", "", f"{self._filled(('{}',))}, ", "Caption: ", "a photo of "))
        return (front + told).replace(",", self.chance.choice((",", ",", "，"))), None

    def _odd(self) -> tuple[str, None]:
        """What the tests of the grammar think of, in any order."""
        text = ""
        for _ in range(self.chance.randint(1, 12)):
            pool = self.chance.choices((self.lexicon, ODD, SENTENCES), (4, 4, 1))[0]
            text += self.chance.choice(pool) + self.chance.choice((*GAPS, *[", "] * len(GAPS)))
        return text, None

    def _cut(self) -> tuple[str, None]:
        """A caption of any other kind after a few slips of the hand."""
        kinds = (self._weighted, self._wild, self._kohya, self._lines, self._told, self._odd, self._wide)
        text = self.chance.choice(kinds)()[0]
        for _ in range(self.chance.randint(1, 4)):
            at = self.chance.randint(0, len(text))
            slip = self.chance.choice((*_SLIPS, text[at : at + 9]))
            text = text[:at] + slip + text[at + self.chance.randint(0, 3) :]
        return text, None

    def _noise(self) -> tuple[str, None]:
        signs = self.chance.choice(_SIGNS) + self.chance.choice(_SIGNS)
        return "".join(self.chance.choices(signs, k=self.chance.randint(0, 80))), None

    def _mojibake(self) -> tuple[str, None]:
        """Read with the wrong encoding, once or twice."""
        text = ", ".join(self.chance.choices((*_FOREIGN, *self._some(4)), k=self.chance.randint(1, 8)))
        for _ in range(self.chance.randint(0, 2)):
            text = text.encode().decode(self.chance.choice(("cp1252", "latin-1", "gbk")), "replace")
        return text, None

    def _long(self) -> tuple[str, None]:
        """Thousands of tags, or one thing far too often."""
        many = self.chance.randint(500, 5_000)
        if self.chance.random() < 0.3:
            return ", ".join(self.chance.choices(self.lexicon, k=many // 4)), None
        one, other, gap = (self.chance.choice(pool) for pool in (ODD, ODD, GAPS))
        return one + (other + gap) * (many // 4), None


_SHARES = {
    "tagger": 220, "weighted": 140, "wild": 90, "kohya": 80, "lines": 60, "untidy": 80, "wide": 50,
    "told": 70, "prose": 40, "odd": 70, "cut": 50, "noise": 30, "mojibake": 19, "long": 0.5,
}  # fmt: skip
