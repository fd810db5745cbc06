"""The three structures of `train plan`; open it for what stays of an order, and the trainer's options for it.

What stays is everything (`none`: no shuffle), the front (`separator`: `|||`) or groups by category (`groups`:
`;;;`). The options that a structure does not go with are here, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from tagflow.audit.file import Audit
from tagflow.captions.grammar import tag_key
from tagflow.errors import UsageProblem
from tagflow.findings.wording import nearest
from tagflow.ontology import Ontology
from tagflow.training.sd_scripts.captions import Handling

Structure = Literal["none", "separator", "groups"]
STRUCTURES: tuple[Structure, ...] = get_args(Structure)

KEEP, JOIN = "|||", ";;;"
"""keep_tokens_separator and secondary_separator, as they are used in rendered captions."""

LEADING = 3
"""So many of the ontology's first categories stand in front by default: kind, quality and style of a picture
in the one for architecture, who is in it in the one for Danbooru tags."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One way, told: what it does, what it costs, when to use it. `options`: the trainer's, by name."""

    kind: Structure
    title: str
    does: str
    costs: str
    use: str
    options: Mapping[str, bool | int | str] = field(default_factory=dict)


_MARKS: dict[str, bool | int | str] = {
    "shuffle_caption": True, "keep_tokens": 0, "keep_tokens_separator": KEEP, "secondary_separator": JOIN,
}  # fmt: skip

CHOICES: dict[Structure, Choice] = {
    "none": Choice(
        "none",
        "no shuffle: the captions as they were certified",
        "Every step reads each caption in the order that was certified. The dataset's own files are used.",
        "The model may come to lean on places: what stands late, or behind the 75th token, counts for less, "
        "always. The same text at every step is also learned by heart sooner.",
        "The default, and all that works with cached text encoder outputs, for those are made once.",
        {"shuffle_caption": False},
    ),
    "separator": Choice(
        "separator",
        "the front stays, the rest is shuffled (keep_tokens_separator)",
        "The trigger and the tags of the leading categories stand before `|||`: always in front, in their "
        "certified order, never dropped. What follows is shuffled anew at every step.",
        "The order of the rest is not trained, though it was certified. Both text encoders run at every "
        "step. Rendered captions are needed.",
        "Few images, many epochs: no text is learned by heart, and trigger and style keep their place.",
        _MARKS,
    ),
    "groups": Choice(
        "groups",
        "the tags of one category stay together (secondary_separator)",
        "Tags of one category are joined by `;;;`: the trainer takes such a group for one tag, so it moves, "
        "and is dropped, as a whole, and keeps its inner order. The trigger stands in front, before `|||`.",
        "The order of the categories is not trained. Tag dropout takes whole categories, and token warm-up "
        "counts them. Both text encoders run at every step. Rendered captions are needed.",
        "Tags that explain each other must not be torn apart (materials, light), but no category shall lead.",
        _MARKS,
    ),
}

WHY = {
    "shuffle_caption": "a new order at every step, of all that the marks in the captions leave free",
    "keep_tokens": f"{KEEP} says what stays in front, caption by caption; a count could not",
    "keep_tokens_separator": "what stands before it, or after a second one, keeps its place for good",
    "secondary_separator": "becomes a comma after the shuffle, so groups and tags with commas hold together",
}
"""Why the options of a rendered structure are what they are."""

_CACHES = ("cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk")


def handling(structure: Structure, *, enable_wildcard: bool = False) -> Handling:
    """How the trainer would treat the captions of a structure."""
    options = CHOICES[structure].options
    return Handling(
        shuffle_caption=bool(options["shuffle_caption"]),
        keep_tokens_separator=KEEP if structure != "none" else None,
        secondary_separator=JOIN if structure != "none" else None,
        enable_wildcard=enable_wildcard,
    )


def conflicts(structure: Structure, values: Mapping[str, object]) -> dict[str, str]:
    """The trainer's options that a structure does not go with, each with the reason.

    values: options by name as they would be given to the trainer; what is missing has its default.
    """
    if structure == "none":
        why = "it destroys the certified order; choose another structure with it"
        return {"shuffle_caption": why} if values.get("shuffle_caption") else {}
    found = {}
    for name in _CACHES:
        if values.get(name):
            found[name] = (
                f"captions would be encoded once, as they stand, with {KEEP} and {JOIN} in the prompt"
            )
    if values.get("caption_separator") not in (None, ","):
        found["caption_separator"] = "the rendered captions are parted by commas"
    for name, place in (("caption_prefix", "first"), ("caption_suffix", "last")):
        if values.get(name):
            found[name] = f"it is glued to the {place} tag, which may be one that is shuffled"
    for name, wanted in CHOICES[structure].options.items():
        if name in values and values[name] != wanted:
            found[name] = f"{name} must be {wanted!r}, for the captions are rendered for it"
    return found


@dataclass(frozen=True, slots=True)
class Layout:
    """What goes where in a rendered caption. `category`: that of every certified tag, as it is written.

    `leading`: categories that stand in front; `triggers`: as `tag_key` writes them, before all else;
    `keep_first`: so many first tags of each line were pinned when the captions were certified.
    `wildcards`: the trainer draws alternatives (`enable_wildcard`). `separator`: the keep_tokens_separator of
    the certified captions, where one was named.
    """

    structure: Structure
    category: Mapping[str, str]
    leading: tuple[str, ...] = ()
    triggers: frozenset[str] = frozenset()
    keep_first: int = 0
    wildcards: bool = False
    separator: str | None = None


def layout(
    structure: Structure, audit: Audit, leading: tuple[str, ...] | None = None, *, wildcards: bool = False
) -> Layout:
    """The layout for an audited folder.

    leading: categories to stand in front; None: the ontology's first three for `separator`, none for
    `groups`. Raises UsageProblem for a name that the ontology does not have, OntologyError where the audit's
    ontology cannot be read.
    """
    options = audit.meta.options
    names = Ontology.load(options.ontology or audit.meta.ontology).categories
    if leading is None:
        leading = names[:LEADING] if structure == "separator" else ()
    for name in leading:
        if name not in names:
            raise UsageProblem(
                f"{name!r} is no category of the ontology {audit.meta.ontology}",
                nearest(name, names, f"it has {', '.join(names)}"),
            )
    category = {  # a tag has the same in every caption
        tag: category
        for row in audit.table.select(["tags", "categories"]).to_pylist()
        for tag, category in zip(row["tags"] or (), row["categories"] or (), strict=False)
    }
    return Layout(
        structure,
        category,
        tuple(name for name in names if name in leading),
        frozenset(map(tag_key, options.all_triggers)),
        options.keep_first or 0,
        wildcards,
        options.keep_tokens_separator,
    )
