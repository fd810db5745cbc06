"""The making of a run's data folder: images linked or copied, captions rendered, all of it or nothing."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from tagflow.engines.local import Progress
from tagflow.errors import TrainerError
from tagflow.sources.folder import sha256
from tagflow.training.manifest import MANIFEST, Rendered, RenderedSubset, manifest
from tagflow.training.proved import Limit, show
from tagflow.training.structure import Layout

Groups = Mapping[str, tuple[list[str], list[str]]]
"""By folder, `.` for the dataset's own: the paths of its images that have a caption, and of its captions."""

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_LONGEST_NAME = 40  # characters; what is cut off is still told apart by the number in front


class Making:
    """One rendering: the counts grow while the files are made."""

    def __init__(
        self, root: Path, plan: Layout, limit: Limit | None, texts: Mapping[str, str], progress: Progress
    ) -> None:
        self.root, self.plan, self.limit, self.texts, self.tell = root, plan, limit, texts, progress
        self.reasons, self.digests = Counter[str](), dict[str, str]()
        self.linked = self.copied = self.bytes = self.made = self.all = 0

    def done(self, out: Path, groups: Groups, uncaptioned: tuple[str, ...]) -> Rendered:
        """Make everything beside `out`, then move it there."""
        self.all = sum(len(images) + len(captions) for images, captions in groups.values())
        part = out.with_name(f"{out.name}.part")
        try:
            shutil.rmtree(part, ignore_errors=True)  # left by a rendering that was killed
            part.mkdir(parents=True)
            subsets = tuple(self._subsets(part, out, groups))
            (part / MANIFEST).write_bytes(manifest(self.plan.structure, subsets, self.digests))
            if out.exists():
                out.rmdir()
            part.rename(out)
        except (OSError, RuntimeError) as problem:  # RuntimeError: a link to itself, until Python 3.12
            name, why = getattr(problem, "filename", None) or out, getattr(problem, "strerror", None)
            raise TrainerError(
                f"{name}: {why or problem}", "mend its permissions or make room on the disk"
            ) from problem
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return Rendered(
            self.plan.structure, self.root, out, subsets, counted(self.reasons), uncaptioned,
            self.plan.leading, self.digests, self.linked, self.copied, self.bytes,
            self.limit is not None,
        )  # fmt: skip

    def _subsets(self, part: Path, out: Path, groups: Groups) -> Iterator[RenderedSubset]:
        for number, (name, (images, captions)) in enumerate(groups.items(), 1):
            source = self.root / name
            folder = f"{number:0{max(2, len(str(len(groups))))}}_{safe_name(name, self.root)}"
            (part / folder).mkdir()
            for path in captions:
                self._caption(path, folder, part)
            for path in images:
                self._image(self.root / path, part / folder / PurePosixPath(path).name)
            yield RenderedSubset(out / folder, source, names(images), names(captions))

    def _caption(self, path: str, folder: str, part: Path) -> None:
        try:
            shown = show(self.texts[path], self.plan, self.limit)
        except TrainerError as problem:
            raise TrainerError(f"{path}: {problem.message}", problem.cure) from problem
        target = f"{folder}/{PurePosixPath(path).name}"
        _refuse_to_overwrite(part / target)
        data = shown.text.encode()
        (part / target).write_bytes(data)
        self.digests[target] = sha256(data)
        self.reasons.update(shown.reasons)
        self._tell()

    def _image(self, source: Path, target: Path) -> None:
        """A hard link to the file itself, never to a link; a copy where none can be made."""
        _refuse_to_overwrite(target)
        source = source.resolve(strict=True)
        try:
            target.hardlink_to(source)
            self.linked += 1
        except OSError:  # another disk, a file system without links, a file of somebody else's
            shutil.copy2(source, target)
            self.copied += 1
            self.bytes += source.stat().st_size
        self._tell()

    def _tell(self) -> None:
        self.made += 1
        self.tell(self.made, self.all)


def _refuse_to_overwrite(target: Path) -> None:
    if target.exists():
        raise TrainerError(
            f"{target.name}: two files of its folder differ only in upper and lower case, which the disk of "
            "the run does not tell apart",
            "rename one of them, then `tagflow run` again",
        )


def names(paths: Iterable[str]) -> tuple[str, ...]:
    """The file names of paths, sorted."""
    return tuple(sorted(PurePosixPath(path).name for path in paths))


def counted(reasons: Counter[str]) -> dict[str, int]:
    """Counts without those that are nought, the largest first."""
    return {code: count for code, count in reasons.most_common() if count}


def safe_name(name: str, root: Path) -> str:
    """A subfolder's path as the name of one folder that every file system takes."""
    text = _UNSAFE.sub("-", root.resolve().name if name == "." else name)
    return text[:_LONGEST_NAME].rstrip(". ") or "data"
