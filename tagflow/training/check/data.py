"""Rules about the data; open it for folders, images and captions not found, met twice, or empty.

Weights and wildcards in captions are here, too; how tags are shuffled is in structure.py.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many
from tagflow.training.check.derived import (
    CACHES_TEXT,
    LINES,
    TEXT,
    SubsetView,
    caches_text,
    names,
)
from tagflow.training.check.registry import rule, subset_rule
from tagflow.training.sd_scripts.files import CODES, is_image, repeats
from tagflow.training.setup.setup import Setup

_NAMING = ("train_data_dir", "reg_data_dir", "in_json")
_PLACE = ("dataset_config", *_NAMING)


@rule("data-twice", reads=("dataset_config", *_NAMING))
def data_twice(setup: Setup) -> Iterator[Finding]:
    unread = [name for name in _NAMING if setup.text(name)]
    if setup.values.get("dataset_config") and unread:
        yield finding("data-twice", ", ".join(unread), option=unread[0])


@rule("data-missing", "data-not-found", "data-not-parent", "data-left-out", reads=_PLACE)
def data_found(setup: Setup) -> Iterator[Finding]:
    """Without a dataset file, `--train_data_dir` is the parent of folders named `10_name`."""
    option, named, root = "train_data_dir", setup.text("train_data_dir"), setup.path("train_data_dir")
    if setup.values.get("dataset_config"):
        if setup.subsets is not None and not setup.subsets:
            yield finding("data-missing", "the dataset file has no subset", option="dataset_config")
    elif setup.text("in_json"):
        pass
    elif root is None:
        yield finding("data-missing", option=option)
    elif not root.is_dir():
        yield finding("data-not-found", named, option=option)
    else:
        children = [one for one in root.iterdir() if not one.name.startswith(".")]
        inside = any(is_image(one.name) for one in children)
        folders = [one.name for one in children if one.is_dir()]
        numbered = [name for name in folders if (repeats(name) or 0) > 0]
        if not numbered:
            what = "the images are in it" if inside else "none of its folders is named so"
            yield finding("data-not-parent", f"{named}: {what}", option=option)
            return
        reg = setup.path("reg_data_dir")  # which may lie in it
        other = [f"{name}/" for name in folders if name not in numbered and root / name != reg]
        other += ["images beside the folders"] if inside else []
        if other:
            yield finding("data-left-out", names(other), option=option)


def _folder(part: SubsetView) -> Path | None:
    """A subset's folder; None where it is not searched for images, as a metadata file names them."""
    return None if part.subset.kind == "fine tuning" else part.subset.folder


@subset_rule("folder-not-found", "folder-relative", reads=("image_dir",))
def folder_found(part: SubsetView) -> Iterator[Finding]:
    folder, named = _folder(part), part.text("image_dir")
    if folder is not None and not folder.is_dir():
        yield finding("folder-not-found", str(folder), option="image_dir")
    elif folder is not None and not Path(named).is_absolute():
        yield finding("folder-relative", f"{named}: {folder}", option="image_dir")


@subset_rule("folder-empty", needs=("images",))
def folder_empty(part: SubsetView) -> Iterator[Finding]:
    folder = _folder(part)
    if folder is not None and folder.is_dir() and part.files is None:
        yield finding("folder-empty", str(folder), option="image_dir")


@subset_rule("images-nested")
def images_nested(part: SubsetView) -> Iterator[Finding]:
    """Images in folders of a folder, which the trainer does not search."""
    folder = _folder(part)
    if folder is None or not folder.is_dir():
        return
    own = {one.folder for one in part.setup.subsets or ()}
    deeper = [one.name for one in folder.iterdir() if one not in own and one.is_dir() and _has_images(one)]
    if deeper:
        yield finding("images-nested", names(f"{name}/" for name in deeper), option="image_dir")


def _has_images(folder: Path) -> bool:
    try:
        return not folder.name.startswith(".") and any(is_image(one.name) for one in folder.iterdir())
    except OSError:
        return False


@subset_rule(*CODES.values(), needs=("images",))
def images_overlooked(part: SubsetView) -> Iterator[Finding]:
    """Pictures that the trainer leaves out without a word, or may leave out."""
    for state, code in CODES.items():
        whys: defaultdict[str, list[str]] = defaultdict(list)
        for name, seen in part.overlooked.items():
            if seen.state == state:
                whys[seen.why].append(name)
        for why, found in whys.items():
            yield finding(code, f"{names(found)}: {why}", option="image_dir")


@rule("folder-twice", needs=("dataset",))
def folder_twice(setup: Setup) -> Iterator[Finding]:
    """A folder twice in one dataset: the second one is passed over."""
    keys = [(one.where.partition(".subsets")[0], one.folder) for one in setup.subsets or ()]
    again = [str(folder) for (_, folder), n in Counter(keys).items() if n > 1 and folder is not None]
    if again:
        yield finding("folder-twice", names(again), option="image_dir")


@subset_rule("repeats-zero", reads=("num_repeats",))
def repeats_zero(part: SubsetView) -> Iterator[Finding]:
    if part.subset.where and part.number("num_repeats") < 1:
        yield finding("repeats-zero", option="num_repeats")


def _other_captions(part: SubsetView) -> str:
    return ", ".join(f"{n} {suffix}" for suffix, n in part.images.other_captions.items())


def _searched(part: SubsetView) -> bool:
    """Whether the trainer looks for a caption file beside each image, and wants one.

    `.none-use-foldername` is how the kohya_ss GUI asks for the folder's name instead of captions.
    """
    named = part.text("caption_extension") == ".none-use-foldername"
    return part.subset.kind != "fine tuning" and not part.on("is_reg") and not named


@subset_rule("caption-extension", reads=("caption_extension", "is_reg"))
def caption_extension(part: SubsetView) -> Iterator[Finding]:
    files, other = part.files, _other_captions(part)
    if files is None:
        if part.subset.kind != "fine tuning" and not part.given("caption_extension"):
            yield finding("caption-extension", "it is .caption", option="caption_extension")
    elif _searched(part) and other and not files.captioned:
        what = f"{part.text('caption_extension')} finds none; there are {other}"
        yield finding("caption-extension", what, option="caption_extension")


@subset_rule(
    "captions-mixed",
    "captions-missing",
    reads=("caption_extension", "is_reg", "cache_info", "class_tokens"),
    needs=("images",),
)
def captions_found(part: SubsetView) -> Iterator[Finding]:
    files, other = part.images, _other_captions(part)
    bare = files.count - len(files.captioned)
    if not bare or not _searched(part):
        return
    if other and files.captioned:
        what = f"{bare} of {many(files.count, 'image')} without {part.text('caption_extension')}; {other}"
        yield finding("captions-mixed", what, option="caption_extension")
    elif not other and not part.on("cache_info"):
        class_tokens = part.text("class_tokens")
        instead = f"{class_tokens!r} is trained instead" if class_tokens else "an empty caption is trained"
        what = f"{bare} of {many(files.count, 'image')}; {instead}"
        yield finding("captions-missing", what, option="caption_extension")


@subset_rule("captions-empty", "captions-unreadable", needs=("images",))
def captions_usable(part: SubsetView) -> Iterator[Finding]:
    if part.subset.kind == "fine tuning":
        return
    empty = [name for name, why in part.images.unusable.items() if why == "empty"]
    if empty:
        yield finding("captions-empty", names(empty))
    others = [f"{name} ({why})" for name, why in part.images.unusable.items() if why != "empty"]
    if others:
        yield finding("captions-unreadable", names(others))


@subset_rule("captions-blank", reads=(*LINES, *CACHES_TEXT), needs=("images",))
def captions_blank(part: SubsetView) -> Iterator[Finding]:
    blank = [name for name, text in part.lines.items() if not text]
    if blank and not caches_text(part.setup):
        yield finding("captions-blank", names(blank))


@subset_rule("captions-lines", reads=("enable_wildcard",), needs=("images",))
def captions_lines(part: SubsetView) -> Iterator[Finding]:
    longer = [name for name, text in part.images.texts.items() if text.strip().count("\n")]
    if longer and not part.on("enable_wildcard"):
        yield finding("captions-lines", names(longer), option="enable_wildcard")


# `(tag:1.2)`. A whole number may be a ratio, such as (16:9).
_WEIGHT = re.compile(r"(?<!\\)\([^()]*:\s*\d*\.\d+\s*\)")
_ESCAPED = re.compile(r"\\[()\[\]]")
_BARE = re.compile(r"(?<!\\)[(\[]")
_CHOICE = re.compile(r"\{[^{}|]*+\|[^{}]*+\}")
_NESTED = re.compile(r"\{[^{}]*+\{[^{}|]*+\|[^{}]*+\}|\{[^{}|]*+\|[^{}]*+\{")


@subset_rule(
    "captions-weighted",
    "captions-escaped",
    "captions-bare-brackets",
    reads=("weighted_captions", *TEXT),
    needs=("images",),
)
def captions_weighted(part: SubsetView) -> Iterator[Finding]:
    """Weights that are not read as such, or brackets that are: `name (series)`."""
    option = "weighted_captions"
    if part.setup.on(option):
        bare = part.images_where(lambda text: _BARE.search(_WEIGHT.sub("", text)))
        if bare:
            yield finding("captions-bare-brackets", names(bare), option=option)
        return
    if found := part.images_where(_WEIGHT.search):
        yield finding("captions-weighted", names(found), option=option)
    if found := part.images_where(_ESCAPED.search):
        yield finding("captions-escaped", names(found), option=option)


@subset_rule("wildcard-off", "wildcard-nested", reads=TEXT, needs=("images",))
def wildcards(part: SubsetView) -> Iterator[Finding]:
    on = part.on("enable_wildcard")
    if found := part.images_where(_NESTED.search if on else _CHOICE.search):
        yield finding("wildcard-nested" if on else "wildcard-off", names(found), option="enable_wildcard")


@subset_rule("wildcard-affixes", reads=TEXT, needs=("images",))
def wildcard_affixes(part: SubsetView) -> Iterator[Finding]:
    """A prefix and a suffix go to the whole text, of which one line is taken then."""
    if part.on("enable_wildcard") and (part.text("caption_prefix") or part.text("caption_suffix")):
        found = part.images_where(lambda text: "\n" in text)
        if found:
            yield finding("wildcard-affixes", names(found), option="caption_prefix")
