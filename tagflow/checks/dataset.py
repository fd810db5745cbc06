"""Checks of all captions together; open it for copies, common tags, spellings, descriptions, scripts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tagflow.captions.description import has_description
from tagflow.captions.grammar import holds, tag_key
from tagflow.captions.leftovers import is_unread
from tagflow.captions.separators import likely_separators
from tagflow.checks.tags import Facts
from tagflow.dataset.survey import Survey, read, second_file
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import some

if TYPE_CHECKING:
    from tagflow.ontology import Ontology

LEAST_CAPTIONS = 10
COMMON_PERCENT = 95
_NAMED = 3
_LOOKED_AT = 100  # captions
_FEWEST_TAGS = 6  # different ones, by which an ontology is judged


def common_tags(facts: Sequence[Sequence[Facts]], triggers: Sequence[str]) -> Iterator[Finding]:
    """Tags in at least 95 % of at least 10 captions that have tags; the triggers are meant to be there."""
    tagged = [{known.key for known in group} for group in facts if group]
    if len(tagged) < LEAST_CAPTIONS:
        return
    for key, count in Counter(key for keys in tagged for key in keys).most_common():
        if 100 * count < COMMON_PERCENT * len(tagged):
            return
        if key and not any(holds(key, word) for word in triggers):
            share = 100 * count / len(tagged)
            detail = f"{key} in {count} of {len(tagged)} captions, {share:.0f} %"
            yield finding(
                "tag-common", detail, file=".", tag=key, figures={"captions": count, "of": len(tagged)}
            )


def descriptions_untrained(found: Survey, paths: Sequence[str], texts: Sequence[str | None]) -> bool:
    """Whether most captions have tags on the first line and a description that the trainer does not read.

    A large folder is judged by some of its captions, evenly spread.
    """
    step = -(-len(paths) // _LOOKED_AT) or 1
    looked_at = list(zip(paths, texts, strict=True))[::step]
    seconds = {path for path, _ in looked_at if second_file(path) in found.descriptions}
    lines = [(path, text.strip()) for path, text in looked_at if text]
    longer = [(path, text) for path, text in lines if path in seconds or "\n" in text or "\r" in text]
    if 2 * len(longer) <= len(looked_at):  # quick: nearly all folders
        return False
    untrained = 0
    for path, text in longer:
        beside = read(found.root, second_file(path)).text if path in seconds else None
        untrained += has_description(text, beside)
    return 2 * untrained > len(looked_at)


def unnamed_separators(
    paths: Sequence[str], texts: Sequence[str | None], named: str | None
) -> Iterator[Finding]:
    """Marks between tags that are likely the trainer's keep_tokens_separator, which was not named."""
    holding: defaultdict[str, list[str]] = defaultdict(list)
    for path, text in zip(paths, texts, strict=True):
        for mark in () if text is None else likely_separators(text):
            holding[mark].append(path)
    for mark, found in holding.items():
        if mark != named:
            detail = f"{mark!r} in {some(found, _NAMED)}"
            yield finding("separator-unnamed", detail, file=".", figures={"captions": len(found)})


def copies(paths: Sequence[str], tags: Sequence[Sequence[str] | None]) -> list[list[Finding]]:
    """For every caption the others that hold the same tags, in whatever order."""
    groups: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    keys = _Keys()
    for at, group in enumerate(tags):
        if group:
            groups[tuple(sorted(keys[tag] for tag in group))].append(at)
    found: list[list[Finding]] = [[] for _ in paths]
    for places in groups.values():
        if len(places) > 1:
            for at in places:
                # Of the first few; a set that is all alike must not take the square of its size.
                shown = [paths[other] for other in places[: _NAMED + 1] if other != at]
                others = some(shown, _NAMED, among=len(places) - 1)
                found[at].append(finding("caption-duplicate", f"as {others}"))
    return found


class _Keys(dict[str, str]):
    def __missing__(self, tag: str) -> str:
        self[tag] = key = tag_key(tag)
        return key


def two_spellings(known: Mapping[str, Facts], counts: Mapping[str, int]) -> Iterator[Finding]:
    """Tags that some captions write with underscores and others with spaces. `counts`: captions by tag."""
    spelled: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for tag, facts in known.items():
        if facts.key and (facts.underscored or " " in facts.key):
            spelled[facts.key][facts.underscored] += counts[tag]
    both = {key: numbers for key, numbers in spelled.items() if all(numbers)}
    if both:
        key, (spaces, underscores) = max(both.items(), key=lambda item: min(item[1]))
        name = key.replace(" ", "_")
        detail = f"{len(both)} tags, such as {name} {underscores} times and {key} {spaces} times"
        yield finding("underscores-mixed", detail, file=".", tag=key, figures={"tags": len(both)})


def mixed_escapes(known: Mapping[str, Facts], counts: Mapping[str, int]) -> Iterator[Finding]:
    """Names whose brackets are escaped beside plain ones, or escaped twice. `counts`: captions by tag."""
    spelled: dict[str, list[str]] = {"escaped": [], "escaped twice": [], "plain": []}
    for tag, facts in known.items():
        if facts.escaped is not None:
            spelled[("plain", "escaped", "escaped twice")[facts.escaped]].append(tag)
    often = {how: max(tags, key=lambda tag: counts[tag]) for how, tags in spelled.items() if tags}
    if len(often) > 1 or "escaped twice" in often:
        detail = ", ".join(f"{len(spelled[how])} {how} such as {tag}" for how, tag in often.items())
        yield finding("escape-mixed", detail, file=".", tag=next(iter(often.values())))


def mostly_unread(texts: Sequence[str | None]) -> Iterator[Finding]:
    """One finding where most captions are in a script that the encoders were not trained on."""
    written = [text for text in texts if text and text.strip()]
    count = sum(map(is_unread, written))
    if 2 * count > len(written):
        yield finding(
            "script-unread", f"{count} of {len(written)} captions", file=".", figures={"captions": count}
        )


def unfit(ontology: Ontology, tags: Collection[str]) -> Iterator[Finding]:
    """A finding for each built-in ontology that has a category for most of what this one leaves over.

    tags: different ones; no running text and no triggers.
    """
    left = _left_over(ontology, tags)
    if len(tags) < _FEWEST_TAGS or 2 * left <= len(tags):
        return
    from tagflow.ontology import Ontology, built_in  # read where it may matter: half a second

    for name in built_in():
        if name != ontology.name.partition(":")[0]:
            still = _left_over(Ontology.load(name), tags)
            if 2 * still < left:
                detail = f"{ontology.name} has none for {left} of {len(tags)} tags, {name} for {still}"
                yield finding("ontology-unfit", detail, file=".", figures={"tags": left, "of": len(tags)})


def _left_over(ontology: Ontology, tags: Collection[str]) -> int:
    return sum(ontology.classify_group(tag).category == ontology.fallback for tag in tags)
