"""One line of a caption with marks for the trainer's shuffle; open it for `fixed ||| moves ||| fixed`.

The shuffle leaves in place what shall stay. What moves is parted by the trainer at every comma, also at those
inside brackets, quotes and numbers; a comma inside a tag is therefore written `;;;`, of which the trainer
makes a comma again after the shuffle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tagflow.captions.grammar import FIXED, Caption, Tag, strip_weight, tag_key
from tagflow.stages.reorder import PLACEHOLDER
from tagflow.training.structure.structure import JOIN, KEEP, Layout

REASONS = {
    "prose": "sentences, not tags: the line stays whole, in its order",
    "break": "BREAK parts the line, and nothing may cross it: the line stays whole, in its order",
    "separator-in-group": "`|||` inside brackets or quotes: the line stays whole; the trainer parts it there",
    "bracket-unbalanced": "a bracket without partner could find one in a new order: the line stays whole",
    "ambiguous": "in another order the line would not be the same tags to the trainer: it stays whole",
    "over-limit": "another order would be cut at the token limit, the certified one is not: it stays whole",
    "comma-inside": "a comma inside a tag is written `;;;`, so that the tag stays in one piece",
    "own-separator": "a separator of the caption's own: what it keeps in place stays there, too",
    "own-group": "`;;;` of the caption's own: the group stays a group",
    "nothing-in-front": "neither the trigger nor a tag of a leading category: all of the line is shuffled",
    "nothing-moves": "every tag stands in front: nothing is shuffled",
    "cut-at-random": "longer than the token limit: which tags are cut changes at every step",
    "blank": "an empty caption: the image is trained without words",
    "separator-in-prompt": "a separator of the caption's own: without a shuffle it stays in the prompt",
    "group-in-prompt": "`;;;` of the caption's own: without secondary_separator it stays in the prompt",
}
"""Why a caption is not like the others, by code."""

Item = tuple[str, ...]
"""Tags that move as one."""


@dataclass(frozen=True, slots=True)
class Arranged:
    """A line for the trainer: what stands in front, what is shuffled, what stands at the end."""

    fixed: tuple[Item, ...]
    flex: tuple[Item, ...] = ()
    tail: tuple[Item, ...] = ()

    @property
    def text(self) -> str:
        """The line as it is written into the rendered caption; no `|||` where nothing is fixed."""
        front, middle, back = (
            ", ".join(map(join_group, part)) for part in (self.fixed, self.flex, self.tail)
        )
        marks = (KEEP if front or back else "", KEEP if back else "")
        return " ".join(filter(None, (front, marks[0], middle, marks[1], back)))


def join_group(item: Item) -> str:
    """An item as it stands in a rendered caption. A space behind each mark makes `a, b` of it in the end."""
    return f"{JOIN} ".join(tag.replace(",", JOIN) for tag in item)


def restore_commas(text: str) -> str:
    """What the trainer makes of `;;;` in the end."""
    return text.replace(JOIN, ",")


def why_whole(caption: Caption) -> str | None:
    """Why a line may not be shuffled at all, as a code of REASONS; None where it may."""
    codes = {finding.code for finding in caption.findings}
    if any(tag.kind == "prose" for tag in caption.tags):
        return "prose"
    if any("BREAK" in gap for gap in caption.gaps()):
        return "break"
    if "separator-in-group" in codes or any(KEEP in tag for tag in caption.texts()):
        return "separator-in-group"
    return "bracket-unbalanced" if "bracket-unbalanced" in codes else None


def arrange(caption: Caption, layout: Layout) -> Arranged:
    """A parsed line, one that may be shuffled, in the layout. What is fixed keeps its certified order."""
    texts = caption.texts()
    moving = [at for at, tag in enumerate(caption.tags) if tag.segment != FIXED]
    begin, end = (moving[0], moving[-1] + 1) if moving else (len(texts), len(texts))
    front = []
    for at in range(begin, end):
        tag = texts[at]
        trigger = {tag_key(tag), tag_key(strip_weight(tag))} & layout.triggers
        leads = bool(trigger) or tag == PLACEHOLDER or layout.category.get(tag) in layout.leading
        if at < layout.keep_first or leads:
            front.append(at)
    rest = [caption.tags[at] for at in range(begin, end) if at not in front]
    return Arranged(
        tuple((texts[at],) for at in (*range(begin), *front)),
        tuple(_items(caption.text, rest, layout)),
        tuple((text,) for text in texts[end:]),
    )


def _items(text: str, tags: Sequence[Tag], layout: Layout) -> Iterator[Item]:
    """Single tags, or one item for each category in the order of their first tags."""
    groups: dict[str | int, list[str]] = {}
    for number, tag in enumerate(tags):
        word = text[tag.start : tag.end]
        alone = layout.structure != "groups" or tag.kind == "sentence" or JOIN in word
        category = None if alone else layout.category.get(word)
        groups.setdefault(number if category is None else category, []).append(word)
    return map(tuple, groups.values())


def notes(caption: Caption, arranged: Arranged, layout: Layout) -> Iterator[str]:
    """What is worth knowing of a line that was arranged, as codes of REASONS."""
    texts = caption.texts()
    if any("," in text for text in texts):
        yield "comma-inside"
    if any(KEEP in gap for gap in caption.gaps()):
        yield "own-separator"
    if any(JOIN in text for text in texts):
        yield "own-group"
    if not arranged.fixed and (layout.leading or layout.triggers):
        yield "nothing-in-front"
    if not arranged.flex:
        yield "nothing-moves"


def fixed_forms(line: str) -> Iterator[str]:
    """Ways to write a line so that all of it stays, the likeliest first: its words, then its commas marked.

    The last two give up a `|||` of its own, as the trainer does, and the very last splits no number by it.
    """
    yield f"{line} {KEEP}"
    yield f"{line.replace(',', JOIN)} {KEEP}"
    yield f"{', '.join(split_pieces(line))} {KEEP}"
    yield f"{drop_separators(line).replace(',', JOIN)} {KEEP}"


def drop_separators(line: str) -> str:
    """A line with a comma for every `|||` of its own."""
    return line.replace(f" {KEEP}", ",").replace(KEEP, ",")


def split_pieces(line: str) -> list[str]:
    """What the trainer's commas and separators leave of a line, with nothing lost but empty parts."""
    return [part.strip() for part in restore_commas(line.replace(KEEP, ",")).split(",") if part.strip()]
