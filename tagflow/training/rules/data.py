"""Where the images are: does the trainer find them, and each once?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tagflow.training.faults import Fault
from tagflow.training.look import is_image
from tagflow.training.rules.derived import Part, names, over, parts
from tagflow.training.setup import Setup

_NAMING = ("train_data_dir", "reg_data_dir", "in_json")


def faults(setup: Setup) -> Iterator[Fault]:
    """Everything about the data's place."""
    if setup.values.get("dataset_config"):
        unread = [name for name in _NAMING if setup.text(name)]
        if unread:
            yield Fault("data-twice", ", ".join(unread), unread[0])
    elif setup.text("in_json"):
        yield from _metadata(setup)
    else:
        yield from _parent(setup)
    if setup.subsets:
        yield from _subsets(setup)
    elif setup.subsets is not None and setup.values.get("dataset_config"):
        yield Fault("data-missing", "the dataset file has no subset", "dataset_config")


def _metadata(setup: Setup) -> Iterator[Fault]:
    file = setup.path("in_json")
    if file is not None and not file.is_file():
        yield Fault("metadata-not-found", setup.text("in_json"), "in_json")


def _parent(setup: Setup) -> Iterator[Fault]:
    """`--train_data_dir` is the parent of folders named `10_name`."""
    option, root = "train_data_dir", setup.path("train_data_dir")
    if root is None:
        yield Fault("data-missing", "", option)
    elif not root.is_dir():
        yield Fault("data-not-found", setup.text(option), option)
    else:
        yield from _children(root, setup.text(option))


def _children(root: Path, named: str) -> Iterator[Fault]:
    children = [one for one in root.iterdir() if not one.name.startswith(".")]
    folders = [one.name for one in children if one.is_dir()]
    numbered = [name for name in folders if _repeats(name) > 0]
    if not numbered:
        inside = any(is_image(one.name) for one in children)
        what = "the images are in it" if inside else "none of its folders is named so"
        yield Fault("data-not-parent", f"{named}: {what}", "train_data_dir")
        return
    other = [f"{name}/" for name in folders if name not in numbered]
    other += ["images beside the folders"] if any(is_image(one.name) for one in children) else []
    if other:
        yield Fault("data-left-out", names(other), "train_data_dir")


def _repeats(name: str) -> int:
    try:
        return int(name.partition("_")[0])
    except ValueError:
        return 0


def _subsets(setup: Setup) -> Iterator[Fault]:
    yield from over(setup, _folder, _repeated)
    yield from _twice(parts(setup))


def _repeated(setup: Setup, part: Part) -> Iterator[Fault]:
    if part.number("num_repeats") < 1:
        yield Fault("repeats-zero", "", "num_repeats")


def _folder(setup: Setup, part: Part) -> Iterator[Fault]:
    folder = part.subset.folder
    if folder is None or part.subset.kind == "fine tuning":
        return
    named = part.text("image_dir")
    if not folder.is_dir():
        yield Fault("folder-not-found", str(folder), "image_dir")
        return
    if not Path(named).is_absolute():
        yield Fault("folder-relative", f"{named}: {folder}", "image_dir")
    own = {one.folder for one in setup.subsets or ()}
    deeper = [one.name for one in folder.iterdir() if one not in own and one.is_dir() and _has_images(one)]
    if setup.images is not None and part.files is None:
        yield Fault("folder-empty", str(folder), "image_dir")
    if deeper:
        yield Fault("images-nested", names(f"{name}/" for name in deeper), "image_dir")


def _has_images(folder: Path) -> bool:
    try:
        return not folder.name.startswith(".") and any(is_image(one.name) for one in folder.iterdir())
    except OSError:
        return False


def _twice(found: list[Part]) -> Iterator[Fault]:
    """A folder twice in one dataset: the second one is passed over."""
    keys = [(part.subset.where.partition(".subsets")[0], part.subset.folder) for part in found]
    again = [str(folder) for (_, folder), n in Counter(keys).items() if n > 1 and folder is not None]
    if again:
        yield Fault("folder-twice", names(again), "image_dir")
