"""What the trainer would read for captions, and what it would make of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tagflow.training.faults import Fault
from tagflow.training.rules.derived import Part, caches_text, names, over
from tagflow.training.setup import Images, Setup

Test = Callable[[str], object]
# `(tag:1.2)`. A whole number may be a ratio, such as (16:9).
_WEIGHT = re.compile(r"(?<!\\)\([^()]*:\s*\d*\.\d+\s*\)")
_ESCAPED = re.compile(r"\\[()\[\]]")
_BARE = re.compile(r"(?<!\\)[(\[]")
_CHOICE = re.compile(r"\{[^{}|]*+\|[^{}]*+\}")
_NESTED = re.compile(r"\{[^{}]*+\{[^{}|]*+\|[^{}]*+\}|\{[^{}|]*+\|[^{}]*+\{")


def faults(setup: Setup) -> Iterator[Fault]:
    """Everything about captions and how they are read."""
    yield from over(setup, _found, _texts)


def _found(setup: Setup, part: Part) -> Iterator[Fault]:
    """Whether the trainer finds the captions at all."""
    files = part.files
    if part.subset.kind == "fine tuning":
        return
    if files is None:
        if "caption_extension" not in part.subset.given:
            yield Fault("caption-extension", "it is .caption", "caption_extension")
        return
    bare = files.count - len(files.captioned)
    other = ", ".join(f"{n} {suffix}" for suffix, n in files.other_captions.items())
    if part.on("is_reg") or not bare:
        pass
    elif not files.captioned and other:
        what = f"{part.text('caption_extension')} finds none; there are {other}"
        yield Fault("caption-extension", what, "caption_extension")
    elif files.captioned and other:
        what = f"{bare} of {files.count} images have none with {part.text('caption_extension')}; {other}"
        yield Fault("captions-mixed", what, "caption_extension")
    elif not part.on("cache_info"):
        class_tokens = part.text("class_tokens")
        instead = f"{class_tokens!r} is trained instead" if class_tokens else "an empty caption is trained"
        what = f"{bare} of {files.count} images; {instead}"
        yield Fault("captions-missing", what, "caption_extension")
    yield from _unusable(part, files)


def _unusable(part: Part, files: Images) -> Iterator[Fault]:
    empty = [name for name, why in files.unusable.items() if why == "empty"]
    if empty:
        yield Fault("captions-empty", names(empty), "")
    others = [f"{name} ({why})" for name, why in files.unusable.items() if why != "empty"]
    if others:
        yield Fault("captions-unreadable", names(others), "")


def _texts(setup: Setup, part: Part) -> Iterator[Fault]:
    """What stands in the captions, as far as the trainer reads them."""
    texts = dict(part.files.texts) if part.files else {}
    wild = part.on("enable_wildcard")
    blank = [name for name, text in texts.items() if not (text if wild else _first(text)).strip()]
    if blank and not caches_text(setup):
        yield Fault("captions-blank", names(blank), "")
    longer = [name for name, text in texts.items() if text.strip().count("\n") and not wild]
    if longer:
        yield Fault("captions-lines", names(longer), "enable_wildcard")
    read = {name: text if wild else _first(text) for name, text in texts.items()}
    for code, option, test in _tests(setup, part):
        found = [name for name, text in read.items() if test(text)]
        if found:
            yield Fault(code, names(found), option)


def _tests(setup: Setup, part: Part) -> Iterator[tuple[str, str, Test]]:
    """Which tests the captions of a part must pass with its options."""
    if setup.on("weighted_captions"):
        yield "captions-bare-brackets", "weighted_captions", _bare_brackets
    else:
        yield "captions-weighted", "weighted_captions", _WEIGHT.search
        yield "captions-escaped", "weighted_captions", _ESCAPED.search
    if part.on("enable_wildcard"):
        yield "wildcard-nested", "enable_wildcard", _NESTED.search
        if part.text("caption_prefix") or part.text("caption_suffix"):
            yield "wildcard-affixes", "caption_prefix", lambda text: "\n" in text.strip()
    else:
        yield "wildcard-off", "enable_wildcard", _CHOICE.search


def _bare_brackets(text: str) -> bool:
    """Brackets that would be taken for a weight, though none is written: `name (series)`."""
    return bool(_BARE.search(_WEIGHT.sub("", text)))


def _first(text: str) -> str:
    """The first line: what the trainer reads without wildcards."""
    return re.split(r"\r\n|\r|\n", text, maxsplit=1)[0]
