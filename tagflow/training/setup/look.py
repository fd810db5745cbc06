"""What the rules want to know of the files behind a setup: images, captions, caches, and the checkpoint.

Found as sd-scripts finds them (its `library/train_util.py`: `glob_images`, `read_caption`): flat in a folder,
extensions in lower or upper case, the caption beside the image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tagflow.dataset.caches import FOLDER_CACHE, TEXT_SUFFIX
from tagflow.errors import EncoderError
from tagflow.files.read import is_file
from tagflow.files.safetensors import read_whole_header
from tagflow.models.prediction import Prediction, prediction
from tagflow.progress import Progress, silent
from tagflow.training.sd_scripts.dataset_config import Subset
from tagflow.training.setup.setup import Images, Setup

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""What sd-scripts takes for images without plug-ins, in lower and in upper case."""

_TEXTS = (".txt", ".caption")
_LARGEST = 256 * 1024  # bytes; tagflow certifies no larger caption


def with_files(setup: Setup, progress: Progress = silent) -> Setup:
    """The setup with what lies in its folders and what its checkpoint says of itself.

    `progress` is told the subsets looked at, and all of them.
    """
    found = None
    if setup.subsets is not None:
        looked_at = []
        for done, subset in enumerate(setup.subsets):
            progress(done, len(setup.subsets))
            looked_at.append(images(subset))
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


def images(subset: Subset) -> Images:
    """What lies in a subset's folder; nothing where there is no such folder."""
    folder = subset.folder
    names = sorted(file.name for file in folder.iterdir()) if folder and folder.is_dir() else []
    if folder is None or not names:
        return Images({}, (), frozenset(), (), (), {})
    pictures = [name for name in names if is_image(name)]
    sizes = {name: _size(folder / name) for name in pictures}
    captions = {name: found for name in pictures if (found := caption_of(folder, name, _extension(subset)))}
    texts = {name: _text(file) for name, file in captions.items()}
    caches = tuple(name for name in names if name.endswith(".npz") or name == FOLDER_CACHE)
    return Images(
        sizes={name: size for name, size in sizes.items() if size is not None},
        unreadable=tuple(name for name, size in sizes.items() if size is None),
        captioned=frozenset(captions),
        caches=caches,
        stale=tuple(_stale(folder, caches, captions)),
        texts={name: text for name, text in texts.items() if isinstance(text, str)},
        unusable={name: why[0] for name, why in texts.items() if isinstance(why, tuple)},
        other_captions=_others(names, pictures, _extension(subset)),
    )


def is_image(name: str) -> bool:
    """Whether sd-scripts would take a file for an image; a hidden one it does not see."""
    suffix = Path(name).suffix
    return suffix.lower() in EXTENSIONS and suffix in (suffix.lower(), suffix.upper()) and name[0] != "."


def caption_of(folder: Path, image: str, extension: str) -> Path | None:
    """The caption file that sd-scripts reads for an image: its own, or the one of an old face crop's name."""
    base = str(folder / image)[: -len(Path(image).suffix)]
    parts = base.split("_")
    names = [base, "_".join(parts[:-4])] if len(parts) >= 5 else [base]
    return next((file for name in names if is_file(file := Path(name + extension))), None)


def _extension(subset: Subset) -> str:
    return str(subset.values.get("caption_extension") or ".caption")


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


def _stale(folder: Path, caches: Iterable[str], captions: dict[str, Path]) -> list[str]:
    """Caches of text that are older than a caption whose text they hold."""
    by_stem = {Path(image).stem: file for image, file in captions.items()}
    stale = []
    for name in caches:
        holds = list(captions.values()) if name == FOLDER_CACHE else []
        if name.endswith(TEXT_SUFFIX) and (caption := by_stem.get(name.removesuffix(TEXT_SUFFIX))):
            holds = [caption]
        made = (folder / name).stat().st_mtime_ns
        if any(made < file.stat().st_mtime_ns for file in holds):
            stale.append(name)
    return stale


def _others(names: Iterable[str], pictures: Iterable[str], extension: str) -> dict[str, int]:
    """Files beside images that could be captions, if the extension were theirs."""
    stems = {Path(name).stem for name in pictures}
    found = Counter(Path(name).suffix for name in names if Path(name).stem in stems)
    return {suffix: found[suffix] for suffix in _TEXTS if found[suffix] and suffix != extension}
