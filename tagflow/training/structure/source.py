"""Rendered captions held against the captions of their own images; open it for `rendered-tags-differ`.

The list of rendered files has their digests, and who changes both could have anything trained. So each file
is read as the trainer will, and its tags must be those of the certified caption of the image that it lies
beside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path, PurePosixPath

from tagflow.audit.file import Audit
from tagflow.dataset.survey import LARGEST_CAPTION, survey
from tagflow.files.read import is_file
from tagflow.training.sd_scripts.captions import Handling
from tagflow.training.sd_scripts.files import caption_of, is_image
from tagflow.training.structure.prove import caption_lines, keeps_tags
from tagflow.training.structure.render import grouped, rendered_folders
from tagflow.training.structure.structure import KEEP, handling

_LARGEST = 4 * LARGEST_CAPTION  # bytes: marks take the room of a comma three times


def other_tags(
    folder: Path, root: Path, audit: Audit, captions: Iterable[str], *, wildcards: bool
) -> Iterator[str]:
    """The files in a run's data folder whose tags are not those of their own image in `root`, in words.

    An image is known by being the dataset's very file, or having its size and time, else by its name.
    `captions`: the rendered ones, by their paths; `wildcards`: the trainer draws alternatives. Raises
    SourceError, UsageProblem where the dataset cannot be looked through.
    """
    options = audit.meta.options
    how = handling("separator", enable_wildcard=wildcards)
    groups = grouped(survey(root, empty=True, suffix=options.suffix))
    sources, certified = rendered_folders(groups, root), audit.by_path()

    def source(path: PurePosixPath) -> str:
        return str(PurePosixPath(sources.get(path.parent.as_posix(), "."), path.name))

    def same(shown: Path | None, own: Path | None) -> bool:
        texts = [_text(file) for file in (shown, own)]
        return None not in texts and _same(texts[0] or "", texts[1] or "", options.keep_tokens_separator, how)

    for path in captions:
        own = source(PurePosixPath(path))
        if own not in certified or not same(folder / path, root / own):
            yield path
    by_file: dict[tuple[int, int], list[str]] = defaultdict(list)
    by_look: dict[tuple[int, int], list[str]] = defaultdict(list)
    for path in (path for images, _ in groups.values() for path in images):
        seen = (root / path).stat()
        by_file[seen.st_dev, seen.st_ino].append(path)
        by_look[seen.st_size, seen.st_mtime_ns].append(path)
    for image in sorted(file for file in folder.glob("*/*") if is_image(file.name) and is_file(file)):
        seen, shown = image.stat(), image.relative_to(folder)
        known = by_file[seen.st_dev, seen.st_ino] or by_look[seen.st_size, seen.st_mtime_ns]
        if known and source(PurePosixPath(shown.as_posix())) not in known:
            picture = (root / known[0]).absolute()
            if not same(caption_of(image.absolute(), options.suffix), caption_of(picture, options.suffix)):
                yield f"{shown.as_posix()} (which is {known[0]})"


def _text(file: Path | None) -> str | None:
    if file is None or not is_file(file):
        return None
    try:
        with file.open("rb") as opened:
            return opened.read(_LARGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _same(shown: str, certified: str, separator: str | None, how: Handling) -> bool:
    """Whether each line of a rendered text keeps the tags of its own line of the certified one."""
    if separator:  # the rendered captions have one mark, whatever the certified ones have
        certified = certified.replace(separator, KEEP)
    lines = zip_longest(caption_lines(shown), caption_lines(certified), fillvalue="")
    return all(keeps_tags(one, other, how) for one, other in lines)
