"""Where the images are: does the trainer find them, and each once?

What the trainer would read for captions, and what it would make of them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import SubsetView, caches_text, names, over, parts
from tagflow.training.sd_scripts.captions import read_caption
from tagflow.training.sd_scripts.files import CODES, is_image, repeats
from tagflow.training.setup.setup import Images, Setup

_NAMING = ("train_data_dir", "reg_data_dir", "in_json")


def faults(setup: Setup) -> Iterator[Finding]:
    """Everything about the data's place."""
    if setup.values.get("dataset_config"):
        unread = [name for name in _NAMING if setup.text(name)]
        if unread:
            yield finding("data-twice", ", ".join(unread), option=unread[0])
    elif setup.text("in_json"):
        yield from _metadata(setup)
    else:
        yield from _parent(setup)
    if setup.subsets:
        yield from _subsets(setup)
    elif setup.subsets is not None and setup.values.get("dataset_config"):
        yield finding("data-missing", "the dataset file has no subset", option="dataset_config")


def _metadata(setup: Setup) -> Iterator[Finding]:
    file = setup.path("in_json")
    if file is not None and not file.is_file():
        yield finding("metadata-not-found", setup.text("in_json"), option="in_json")


def _parent(setup: Setup) -> Iterator[Finding]:
    """`--train_data_dir` is the parent of folders named `10_name`."""
    option, root = "train_data_dir", setup.path("train_data_dir")
    if root is None:
        yield finding("data-missing", option=option)
    elif not root.is_dir():
        yield finding("data-not-found", setup.text(option), option=option)
    else:
        yield from _children(root, setup.text(option))


def _children(root: Path, named: str) -> Iterator[Finding]:
    children = [one for one in root.iterdir() if not one.name.startswith(".")]
    folders = [one.name for one in children if one.is_dir()]
    numbered = [name for name in folders if (repeats(name) or 0) > 0]
    if not numbered:
        inside = any(is_image(one.name) for one in children)
        what = "the images are in it" if inside else "none of its folders is named so"
        yield finding("data-not-parent", f"{named}: {what}", option="train_data_dir")
        return
    other = [f"{name}/" for name in folders if name not in numbered]
    other += ["images beside the folders"] if any(is_image(one.name) for one in children) else []
    if other:
        yield finding("data-left-out", names(other), option="train_data_dir")


def _subsets(setup: Setup) -> Iterator[Finding]:
    yield from over(setup, _folder, _overlooked, _repeated)
    yield from _twice(parts(setup))


def _overlooked(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    """Pictures that the trainer leaves out without a word, or may leave out."""
    for state, code in CODES.items():
        whys: defaultdict[str, list[str]] = defaultdict(list)
        for name, seen in part.overlooked.items():
            if seen.state == state:
                whys[seen.why].append(name)
        for why, found in whys.items():
            yield finding(code, f"{names(found)}: {why}", option="image_dir")


def _repeated(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    if part.number("num_repeats") < 1:
        yield finding("repeats-zero", option="num_repeats")


def _folder(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    folder = part.subset.folder
    if folder is None or part.subset.kind == "fine tuning":
        return
    named = part.text("image_dir")
    if not folder.is_dir():
        yield finding("folder-not-found", str(folder), option="image_dir")
        return
    if not Path(named).is_absolute():
        yield finding("folder-relative", f"{named}: {folder}", option="image_dir")
    own = {one.folder for one in setup.subsets or ()}
    deeper = [one.name for one in folder.iterdir() if one not in own and one.is_dir() and _has_images(one)]
    if setup.images is not None and part.files is None:
        yield finding("folder-empty", str(folder), option="image_dir")
    if deeper:
        yield finding("images-nested", names(f"{name}/" for name in deeper), option="image_dir")


def _has_images(folder: Path) -> bool:
    try:
        return not folder.name.startswith(".") and any(is_image(one.name) for one in folder.iterdir())
    except OSError:
        return False


def _twice(found: list[SubsetView]) -> Iterator[Finding]:
    """A folder twice in one dataset: the second one is passed over."""
    keys = [(part.subset.where.partition(".subsets")[0], part.subset.folder) for part in found]
    again = [str(folder) for (_, folder), n in Counter(keys).items() if n > 1 and folder is not None]
    if again:
        yield finding("folder-twice", names(again), option="image_dir")


Test = Callable[[str], object]
# `(tag:1.2)`. A whole number may be a ratio, such as (16:9).
_WEIGHT = re.compile(r"(?<!\\)\([^()]*:\s*\d*\.\d+\s*\)")
_ESCAPED = re.compile(r"\\[()\[\]]")
_BARE = re.compile(r"(?<!\\)[(\[]")
_CHOICE = re.compile(r"\{[^{}|]*+\|[^{}]*+\}")
_NESTED = re.compile(r"\{[^{}]*+\{[^{}|]*+\|[^{}]*+\}|\{[^{}|]*+\|[^{}]*+\{")


def caption_faults(setup: Setup) -> Iterator[Finding]:
    """Everything about captions and how they are read."""
    yield from over(setup, _found, _texts)


def _found(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    """Whether the trainer finds the captions at all."""
    files = part.files
    if part.subset.kind == "fine tuning":
        return
    if files is None:
        if "caption_extension" not in part.subset.given:
            yield finding("caption-extension", "it is .caption", option="caption_extension")
        return
    bare = files.count - len(files.captioned)
    other = ", ".join(f"{n} {suffix}" for suffix, n in files.other_captions.items())
    if part.on("is_reg") or not bare:
        pass
    elif not files.captioned and other:
        what = f"{part.text('caption_extension')} finds none; there are {other}"
        yield finding("caption-extension", what, option="caption_extension")
    elif files.captioned and other:
        what = f"{bare} of {files.count} images have none with {part.text('caption_extension')}; {other}"
        yield finding("captions-mixed", what, option="caption_extension")
    elif not part.on("cache_info"):
        class_tokens = part.text("class_tokens")
        instead = f"{class_tokens!r} is trained instead" if class_tokens else "an empty caption is trained"
        what = f"{bare} of {files.count} images; {instead}"
        yield finding("captions-missing", what, option="caption_extension")
    yield from _unusable(part, files)


def _unusable(part: SubsetView, files: Images) -> Iterator[Finding]:
    empty = [name for name, why in files.unusable.items() if why == "empty"]
    if empty:
        yield finding("captions-empty", names(empty))
    others = [f"{name} ({why})" for name, why in files.unusable.items() if why != "empty"]
    if others:
        yield finding("captions-unreadable", names(others))


def _texts(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    """What stands in the captions, as far as the trainer reads them."""
    texts = dict(part.files.texts) if part.files else {}
    wild = part.on("enable_wildcard")
    read = {name: read_caption(text, enable_wildcard=wild) for name, text in texts.items()}
    blank = [name for name, text in read.items() if not text]
    if blank and not caches_text(setup):
        yield finding("captions-blank", names(blank))
    longer = [name for name, text in texts.items() if text.strip().count("\n") and not wild]
    if longer:
        yield finding("captions-lines", names(longer), option="enable_wildcard")
    for code, option, test in _tests(setup, part):
        found = [name for name, text in read.items() if test(text)]
        if found:
            yield finding(code, names(found), option=option)


def _tests(setup: Setup, part: SubsetView) -> Iterator[tuple[str, str, Test]]:
    """Which tests the captions of a part must pass with its options."""
    if setup.on("weighted_captions"):
        yield "captions-bare-brackets", "weighted_captions", _bare_brackets
    else:
        yield "captions-weighted", "weighted_captions", _WEIGHT.search
        yield "captions-escaped", "weighted_captions", _ESCAPED.search
    if part.on("enable_wildcard"):
        yield "wildcard-nested", "enable_wildcard", _NESTED.search
        if part.text("caption_prefix") or part.text("caption_suffix"):
            yield "wildcard-affixes", "caption_prefix", lambda text: "\n" in text
    else:
        yield "wildcard-off", "enable_wildcard", _CHOICE.search


def _bare_brackets(text: str) -> bool:
    """Brackets that would be taken for a weight, though none is written: `name (series)`."""
    return bool(_BARE.search(_WEIGHT.sub("", text)))
