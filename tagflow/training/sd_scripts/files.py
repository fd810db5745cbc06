"""Which files sd-scripts reads, and which caches are stale; open it for a suffix, or the name of a cache.

These are images, their captions, its caches and the folders that it takes for subsets. Every rule about a
file's name is here and nowhere else; `check`, `plan`, `train check`, the gate, `doctor` and the survey of a
dataset ask it. Source: sd-scripts 0.10.1, `library/train_util.py` (IMAGE_EXTENSIONS, `glob_images`,
`read_caption`, `load_dreambooth_dir`), `library/strategy_sd.py` and `strategy_sdxl.py` (names of caches),
`library/config_util.py` (`generate_dreambooth_subsets_config_by_subdirs`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from os.path import splitext
from pathlib import Path, PureWindowsPath
from typing import Literal, NamedTuple

from tagflow.files.read import is_file

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
"""What every sd-scripts lists as an image; all in lower or all in upper case."""

WITHOUT_ALPHA = frozenset({".jpg", ".jpeg", ".bmp"})
"""Those of them that hold no transparency, so that a mask of theirs hides nothing."""

PLUGINS: Mapping[str, tuple[str, ...]] = {
    ".avif": ("pillow-avif-plugin",),
    ".jxl": ("pillow-jxl-plugin", "jxlpy"),
}
"""Suffixes that it lists, too, where its Python imports one of these packages (distribution names)."""

OTHER_PICTURES = frozenset(
    {
        *(".gif", ".jfif", ".jpe", ".jif", ".apng", ".tif", ".tiff", ".heic", ".heif", ".hif", ".jp2"),
        *(".j2k", ".jxr", ".svg", ".ico", ".tga", ".dds", ".exr", ".hdr", ".qoi", ".pnm", ".ppm", ".pgm"),
        *(".psd", ".psb", ".xcf", ".kra", ".clip", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf"),
        *(".rw2", ".raf", ".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".wmv"),
    }
)
"""Pictures and films that it never lists, whatever it is given."""

DEFAULT_CAPTION = ".caption"
"""The suffix of captions where `caption_extension` is not given."""

TEXT_CACHE = "_te_outputs.npz"
"""Behind an image's stem: the encoded caption (`cache_text_encoder_outputs_to_disk`)."""

LATENTS_CACHE = "_sdxl.npz"
"""Behind an image's stem and `_WWWWxHHHH`: the encoded image, of that size (`cache_latents_to_disk`)."""

ANY_CACHE = ".npz"
"""The end of both; behind a stem alone: latents of an older sd-scripts, which it still takes."""

FOLDER_CACHE = "metadata_cache.json"
"""In an image folder: names, sizes and captions of all its images (`cache_info`)."""

_IMAGE_KINDS = IMAGE_SUFFIXES | PLUGINS.keys()
_PICTURES = _IMAGE_KINDS | OTHER_PICTURES
_LARGEST_CACHE = 64 << 20  # bytes of a folder's cache: about a hundred thousand captions
_CROP_PARTS = 4  # `im_1_2_3_4.png`: a face cut out of `im`

Plugins = Collection[str] | None
"""The suffixes of PLUGINS that the trainer's Python can read; None where nobody asked it."""


class Sight(NamedTuple):
    """Whether sd-scripts lists a picture: `seen`, `unseen`, or `unsure` where that hangs on its Python.

    `why`: in words, where it is not seen for sure.
    """

    state: Literal["seen", "unsure", "unseen"]
    why: str = ""


CODES = {"unsure": "image-needs-plugin", "unseen": "image-not-seen"}
"""The finding for a picture that is not simply seen."""


def split_name(name: str) -> tuple[str, str]:
    """The stem and the suffix of a name or path, as sd-scripts takes them; the suffix has its dot."""
    return splitext(name)  # noqa: PTH122 - a hundred thousand names are no paths yet


def sight(name: str, plugins: Plugins = None) -> Sight | None:
    """Whether sd-scripts lists a file of this name as an image; None for what is no picture at all.

    On Windows it takes suffixes in mixed case, too; a dataset that is sound everywhere has none.
    """
    suffix = split_name(name)[1]
    kind = suffix.lower()
    if kind not in _PICTURES:
        return None
    if name.startswith("."):
        return Sight("unseen", "the name begins with a dot")
    if kind in OTHER_PICTURES:
        return Sight("unseen", f"sd-scripts reads no {kind}")
    if suffix not in (suffix.lower(), suffix.upper()):
        return Sight("unseen", "the suffix is in mixed case")
    if kind in IMAGE_SUFFIXES or (plugins is not None and kind in plugins):
        return Sight("seen")
    needed = " or ".join(PLUGINS[kind])
    if plugins is None:
        return Sight("unsure", f"{kind} needs {needed} in the trainer's Python, which was not asked")
    return Sight("unseen", f"the trainer's Python has no {needed}")


def is_image_kind(name: str) -> bool:
    """Whether sd-scripts reads files of this kind, however the name is written and whatever it needs."""
    return name[name.rfind(".") :].lower() in _IMAGE_KINDS


def is_image(name: str, plugins: Plugins = None) -> bool:
    """Whether sd-scripts lists this file as an image, or may do so."""
    if _is_plain(name):
        return True
    seen = sight(name, plugins)
    return seen is not None and seen.state != "unseen"


def _is_plain(name: str) -> bool:
    """Whether a name is that of nearly every image; asked first, for there may be a hundred thousand."""
    return name[name.rfind(".") :] in IMAGE_SUFFIXES and name[0] != "."


def overlooked(names: Iterable[str], extension: str, plugins: Plugins = None) -> dict[str, Sight]:
    """The pictures among a folder's names that sd-scripts leaves out, or may, though somebody counts on them.

    Images of its kinds always are; a hidden one, and a picture of another kind, is where a caption of its
    stem (suffix `extension`) stands there for it alone: without one nobody meant to train on it.
    """
    there = set(names)
    odd = [
        name for name in sorted(there) if name[name.rfind(".") :].lower() in _PICTURES and not _is_plain(name)
    ]
    if not odd:
        return {}
    with_image = {split_name(name)[0] for name in there if is_image_kind(name) and name[0] != "."}
    found = {}
    for name in odd:
        seen, stem = sight(name, plugins), split_name(name)[0]
        if seen is None or seen.state == "seen" or name.startswith("._"):  # `._a.png`: macOS' own
            continue
        own = stem + extension in there and stem not in with_image
        if own or (is_image_kind(name) and name[0] != "."):
            found[name] = seen
    return found


def caption_stems(stem: str) -> list[str]:
    """The names without suffix under which the caption of an image is looked for, the first one first.

    The second is that of an old face crop. sd-scripts counts the `_` of the whole path, folders included.
    """
    parts = stem.split("_")
    return [stem, "_".join(parts[:-_CROP_PARTS])] if len(parts) > _CROP_PARTS else [stem]


def caption_of(image: Path, extension: str) -> Path | None:
    """The caption file that sd-scripts reads for an image; None where there is none. `image`: absolute."""
    stems = caption_stems(split_name(str(image))[0])
    return next((file for name in stems if is_file(file := Path(name + extension))), None)


def repeats(folder: str) -> int | None:
    """The repeats that the name of a folder below `--train_data_dir` gives: the whole number before its first
    `_`. The folder is left out where that is below 1, or None: no number.
    """
    try:
        return int(folder.partition("_")[0])
    except ValueError:
        return None


def stale_caches(
    folder: Path,
    names: Iterable[str],
    captions: Collection[str],
    written: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """The caches in a folder that hold an old text, each with the captions whose text it does not hold.

    sd-scripts reads a cache whatever its captions say by then. A folder's cache holds the captions, and they
    are compared; an encoded caption shows nothing but its age, as does a folder's cache that cannot
    be read. `names`: of all files there; `captions`: of those that are read for images; `written`: the new
    text of those that get one just now.
    """
    by_stem = {split_name(name)[0]: name for name in captions}
    there, suffixes, new = set(names), {split_name(name)[1] for name in captions}, written or {}

    def caption_for(stem: str) -> str | None:
        stems = caption_stems(stem)
        return by_stem.get(next((one for one in stems for end in suffixes if one + end in there), stems[0]))

    found = {}
    for cache in sorted(there):
        if cache == FOLDER_CACHE and (listed := folder_cache(folder / cache)) is not None:
            held = [(caption_for(split_name(path.name)[0]), text) for path, text in listed]
            old = [name for name, text in held if name and _differs(folder / name, text, new.get(name))]
        else:
            holds = [caption_for(cache.removesuffix(TEXT_CACHE))] if cache.endswith(TEXT_CACHE) else []
            holds = list(by_stem.values()) if cache == FOLDER_CACHE else holds
            old = [
                name for name in holds if name and (name in new or _is_older(folder / cache, folder / name))
            ]
        if old:
            found[cache] = list(dict.fromkeys(old))
    return found


def folder_cache(file: Path) -> list[tuple[PureWindowsPath, object]] | None:
    """The images that a folder's cache lists, by their paths of either system, each with its caption there.

    None where it cannot be read.
    """
    import json  # late, for hardly a folder has one

    try:
        with file.open("rb") as opened:
            data = json.loads(opened.read(_LARGEST_CACHE))
        return [(PureWindowsPath(path), entry.get("caption")) for path, entry in data.items()]
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def _differs(caption: Path, held: object, text: str | None) -> bool:
    """Whether a text is not what the trainer reads of a caption, with wildcards or without.

    `text`: what the file is to hold; None: what it holds. Who reads it is told why it cannot be.
    """
    from tagflow.training.sd_scripts.captions import read_caption

    if text is None:
        try:
            text = caption.read_bytes().decode("utf-8") if is_file(caption) else None
        except (OSError, UnicodeDecodeError):
            text = None
    readings = () if text is None else (read_caption(text), read_caption(text, enable_wildcard=True))
    return text is not None and held not in readings


def _is_older(cache: Path, caption: Path) -> bool:
    try:
        return cache.stat().st_mtime_ns < caption.stat().st_mtime_ns
    except OSError:  # who reads the caption is told why it cannot be
        return False


def sizes_by_caches(images: Iterable[str], names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The size (width, height) that sd-scripts takes each image for, by the name of a latents cache among
    `names`, even where the run uses none. The first cache that begins with the image's stem is enough for it.
    """
    caches = [name for name in names if name.endswith(LATENTS_CACHE) and name.count("_") >= 2]
    caches.sort(key=lambda name: name.rsplit("_", maxsplit=2)[0])
    found, at = {}, 0
    for image in sorted(images):
        stem = split_name(image)[0]
        while at < len(caches) and caches[at][: len(stem)] < stem:
            at += 1
        if at < len(caches) and caches[at].startswith(stem):
            width, _, height = caches[at].split("_")[-2].partition("x")
            if width.isdigit() and height.isdigit():
                found[image] = (int(width), int(height))
    return found


def old_latents(images: Iterable[str], names: Sequence[str]) -> list[str]:
    """Caches of latents that an older sd-scripts wrote for these images; today's takes them first."""
    stems = {split_name(image)[0] for image in images}
    return [name for name in names if name.endswith(ANY_CACHE) and name.removesuffix(ANY_CACHE) in stems]
