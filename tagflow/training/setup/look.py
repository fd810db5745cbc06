"""The files behind a setup: images, captions, caches, and what the checkpoint says of itself.

Which of them sd-scripts reads is in :mod:`tagflow.training.sd_scripts.files`; a folder is not searched below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tagflow.errors import EncoderError
from tagflow.files.safetensors import read_whole_header
from tagflow.models.prediction import Prediction, prediction
from tagflow.progress import Progress, silent
from tagflow.training.sd_scripts import files
from tagflow.training.sd_scripts.dataset_config import Subset
from tagflow.training.setup.setup import Images, Setup

_TEXTS = (".txt", files.DEFAULT_CAPTION)
_LARGEST = 256 * 1024  # bytes; tagflow certifies no larger caption


def with_files(setup: Setup, progress: Progress = silent) -> Setup:
    """The setup with what lies in its folders and what its checkpoint says of itself.

    Which images the trainer reads hangs on `setup.machine`, so ask for that first, if at all.
    `progress` is told the subsets looked at, and all of them.
    """
    found = None
    if setup.subsets is not None:
        looked_at = []
        plugins = None if setup.machine is None else setup.machine.plugins
        for done, subset in enumerate(setup.subsets):
            progress(done, len(setup.subsets))
            looked_at.append(images(subset, plugins))
        found = tuple(looked_at)
    return replace(setup, images=found, base=_base(setup))


def _base(setup: Setup) -> Prediction | None:
    file = setup.path("pretrained_model_name_or_path")
    if file is None or not file.is_file():
        return None
    try:
        header = read_whole_header(file)
    except EncoderError:
        return None
    return prediction(header.entries, header.metadata)


def images(subset: Subset, plugins: files.Plugins = None) -> Images:
    """What lies in a subset's folder; nothing where there is no such folder.

    `plugins`: the suffixes that the trainer's Python can read beside the usual ones; None: nobody asked it.
    """
    folder = subset.folder
    names = sorted(file.name for file in folder.iterdir()) if folder and folder.is_dir() else []
    if folder is None or not names:
        return Images({}, (), frozenset(), (), (), {})
    extension = str(subset.values.get("caption_extension") or files.DEFAULT_CAPTION)
    pictures = [name for name in names if files.is_image(name, plugins)]
    sizes = {name: _size(folder / name) for name in pictures}
    captions = {name: found for name in pictures if (found := files.caption_of(folder / name, extension))}
    texts = {name: _text(file) for name, file in captions.items()}
    here = {file.name for file in captions.values() if file.parent == folder}
    sizeless = [name for name, size in sizes.items() if size is None]
    return Images(
        sizes={name: size for name, size in sizes.items() if size is not None},
        unreadable=tuple(name for name in sizeless if _is_known(name)),
        unsized=tuple(name for name in sizeless if not _is_known(name)),
        captioned=frozenset(captions),
        caches=tuple(name for name in names if name.endswith(files.ANY_CACHE) or name == files.FOLDER_CACHE),
        stale=tuple(files.stale_caches(folder, names, here)),
        texts={name: text for name, text in texts.items() if isinstance(text, str)},
        unusable={name: why[0] for name, why in texts.items() if isinstance(why, tuple)},
        other_captions=_others(names, pictures, extension),
        overlooked=files.overlooked(names, extension, plugins),
    )


def _is_known(name: str) -> bool:
    """Whether Pillow, as it is here, reads files of this suffix; without a plug-in of its own it may not."""
    from PIL import Image

    return files.split_name(name)[1].lower() in Image.registered_extensions()


def _size(file: Path) -> tuple[int, int] | None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return image.size
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


def _text(file: Path) -> str | tuple[str]:
    """A caption's text, or in a tuple why the trainer stops at it."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_LARGEST)
    except OSError as problem:
        return (problem.strerror or "unreadable",)
    if not data:
        return ("empty",)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return ("not UTF-8",)


def _others(names: Iterable[str], pictures: Iterable[str], extension: str) -> dict[str, int]:
    """Files beside images that could be captions, if the extension were theirs."""
    stems = {files.split_name(name)[0] for name in pictures}
    found = Counter(files.split_name(name)[1] for name in names if files.split_name(name)[0] in stems)
    return {suffix: found[suffix] for suffix in _TEXTS if found[suffix] and suffix != extension}
