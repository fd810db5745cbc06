"""The data folder of a run, captions rendered for a structure; open it for its files and `rendered-*` codes.

`train start` sees by the list in it what has changed since. The dataset is only read: images are hard links,
which cost no disk, or copies where the file system refuses. The folder appears whole or not at all.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tagflow.audit.file import Audit
from tagflow.clip.tokenizer import Tokenizer
from tagflow.dataset.survey import Survey, read, survey
from tagflow.errors import TrainerError, UsageProblem
from tagflow.files.read import sha256
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import some
from tagflow.progress import Progress, silent
from tagflow.training.run_folder import DATA, PlanFile, from_json, to_json
from tagflow.training.sd_scripts.files import is_image
from tagflow.training.structure.prove import Limit, render_caption
from tagflow.training.structure.structure import JOIN, KEEP, Layout, Structure, layout

MANIFEST = "rendered.json"
SCHEMA = "tagflow.rendered/1"
Groups = Mapping[str, tuple[list[str], list[str]]]
"""By folder, `.` for the dataset's own: the paths of its images that have a caption, and of its captions."""

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_NAMED = 5  # so many captions are named in a message
_LONGEST_NAME = 40  # characters; what is cut off is still told apart by the number in front


@dataclass(frozen=True, slots=True)
class RenderedSubset:
    """One folder for the trainer. `source`: the dataset's folder that it stands for (its name may say how
    often its images are repeated). `images`, `captions`: file names, sorted."""

    folder: Path
    source: Path
    images: tuple[str, ...]
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the trainer is given. `folder`: None where that is the dataset itself (structure `none`).

    `reasons`: how many captions are what (codes of `arrange.REASONS`). `digests`: SHA-256 of every rendered
    caption by its path below `folder`. `bytes`: what the copied images take up. `uncaptioned`: images of the
    dataset without a caption; they are not rendered. `counted`: whether tokens were looked at.
    """

    structure: Structure
    root: Path
    folder: Path | None
    subsets: tuple[RenderedSubset, ...]
    reasons: Mapping[str, int]
    uncaptioned: tuple[str, ...] = ()
    leading: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    linked: int = 0
    copied: int = 0
    bytes: int = 0
    counted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What rendered.json holds. `images`: paths below its folder, with forward slashes; `captions`: the same,
    each with the SHA-256 of its file."""

    schema: str = SCHEMA
    structure: str
    images: tuple[str, ...]
    captions: dict[str, str]


def read_manifest(run: Path) -> Manifest | None:
    """What was rendered for a run; None for nothing. Raises TrainerError: damaged, or of a newer tagflow."""
    file, cure = run / DATA / MANIFEST, "make the plan again: `tagflow train plan`"
    try:
        return from_json(file.read_bytes(), Manifest, SCHEMA, file, cure)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise TrainerError(f"{file}: {problem.strerror or problem}", cure) from problem


def changed(run: Path, plan: PlanFile) -> Iterator[Finding]:
    """What is not as it was rendered, in the data folder of a run; nothing where nothing was rendered."""
    folder = run / DATA
    try:
        listed = read_manifest(run)
    except TrainerError as problem:
        yield finding("rendered-caption-changed", problem.message)
        return
    if listed is None:
        if plan.structure.kind != "none":
            yield finding("rendered-caption-missing", f"{folder / MANIFEST}")
        return
    for path, digest in listed.captions.items():
        try:
            if sha256((folder / path).read_bytes()) != digest:
                yield finding("rendered-caption-changed", f"{folder / path}")
        except OSError:
            yield finding("rendered-caption-missing", f"{folder / path}")
    for path in listed.images:
        if not (folder / path).is_file():
            yield finding("rendered-image-missing", f"{folder / path}")
    known = {*listed.captions, *listed.images}
    suffixes = {PurePosixPath(path).suffix for path in listed.captions}
    for file in sorted(folder.glob("*/*")):  # put there by somebody: the trainer takes it, too
        if file.relative_to(folder).as_posix() not in known and (
            is_image(file.name) or file.suffix in suffixes
        ):
            yield finding("rendered-foreign", f"{file}")


class DatasetRenderer:
    """One rendering: the counts grow while the files are made."""

    def __init__(
        self, root: Path, plan: Layout, limit: Limit | None, texts: Mapping[str, str], progress: Progress
    ) -> None:
        self.root, self.plan, self.limit, self.texts, self.progress = root, plan, limit, texts, progress
        self.reasons, self.digests = Counter[str](), dict[str, str]()
        self.linked = self.copied = self.bytes = self.made = self.all = 0

    def render(self, out: Path, groups: Groups, uncaptioned: tuple[str, ...]) -> Rendered:
        """Make everything beside `out`, then move it there."""
        self.all = sum(len(images) + len(captions) for images, captions in groups.values())
        part = out.with_name(f"{out.name}.part")
        try:
            shutil.rmtree(part, ignore_errors=True)  # left by a rendering that was killed
            part.mkdir(parents=True)
            subsets = tuple(self._subsets(part, out, groups))
            images = tuple(f"{one.folder.name}/{name}" for one in subsets for name in one.images)
            listed = Manifest(structure=self.plan.structure, images=images, captions=self.digests)
            (part / MANIFEST).write_bytes(to_json(listed).encode())
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
        for folder, name in rendered_folders(groups, self.root).items():
            source, (images, captions) = self.root / name, groups[name]
            (part / folder).mkdir()
            for path in captions:
                self._caption(path, folder, part)
            for path in images:
                self._image(self.root / path, part / folder / PurePosixPath(path).name)
            yield RenderedSubset(out / folder, source, names(images), names(captions))

    def _caption(self, path: str, folder: str, part: Path) -> None:
        try:
            shown = render_caption(self.texts[path], self.plan, self.limit)
        except TrainerError as problem:
            raise TrainerError(f"{path}: {problem.message}", problem.cure) from problem
        target = f"{folder}/{PurePosixPath(path).name}"
        _refuse_to_overwrite(part / target)
        data = shown.text.encode()
        (part / target).write_bytes(data)
        self.digests[target] = sha256(data)
        self.reasons.update(shown.reasons)
        self._one_more()

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
        self._one_more()

    def _one_more(self) -> None:
        self.made += 1
        self.progress(self.made, self.all)


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


def render_data(
    root: Path,
    audit: Audit,
    structure: Structure,
    out: Path,
    *,
    leading: tuple[str, ...] | None = None,
    wildcards: bool = False,
    tokenizer: Tokenizer | None = None,
    max_tokens: int | None = None,
    progress: Progress = silent,
) -> Rendered:
    """Build `out` (RUN/data; new or empty) from an audited dataset; for `none` nothing is written.

    leading: categories in front, see :func:`structure.layout`. wildcards: the run sets `enable_wildcard`.
    max_tokens: 75, 150 or 225; None: what the audit was made with. `progress` is told files done, and all.
    Raises TrainerError where a caption is not the audited one, cannot be proved, or the disk refuses,
    UsageProblem for a wrong folder or category.
    """
    root, out = root.absolute(), out.absolute()
    found = survey(root, suffix=audit.meta.options.suffix)
    texts, groups = _texts(found, audit), grouped(found)
    if structure == "none":
        return _as_they_are(found, groups, texts, audit.meta.options.keep_tokens_separator)
    check_target(out, root)
    plan = layout(structure, audit, leading, wildcards=wildcards)
    limit = None if tokenizer is None else Limit(tokenizer, max_tokens or audit.meta.limits.max_tokens)
    return DatasetRenderer(root, plan, limit, texts, progress).render(out, groups, found.uncaptioned)


def grouped(found: Survey) -> Groups:
    """The images and captions of a dataset, by the folders that become subsets, in their order."""
    by_folder: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for path in found.captions:
        by_folder[_parent(path)][1].append(path)
    bare = set(found.uncaptioned)
    for path in found.images:
        if path not in bare:
            by_folder[_parent(path)][0].append(path)
    # A folder without images is no subset: its captions are of other pictures.
    return {name: group for name, group in sorted(by_folder.items()) if group[0]}


def rendered_folders(groups: Groups, root: Path) -> dict[str, str]:
    """The name of each subset's rendered folder, with the dataset's folder that it stands for."""
    width = max(2, len(str(len(groups))))
    return {f"{number:0{width}}_{safe_name(name, root)}": name for number, name in enumerate(groups, 1)}


def check_target(folder: Path, root: Path) -> None:
    """Refuse a folder that is not empty, or that would mix with the dataset.

    Raises UsageProblem, or TrainerError where it cannot be looked into.
    """
    here, there = folder.resolve(), root.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise UsageProblem(
            f"{folder}: lies inside the dataset's folder or holds it", "give a folder outside of it"
        )
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as problem:
        raise TrainerError(f"{folder}: {problem.strerror}", "mend its permissions") from problem
    if taken:
        raise UsageProblem(f"{folder} is not an empty folder", "give a new folder; nothing is overwritten")


def _texts(found: Survey, audit: Audit) -> dict[str, str]:
    """Every certified caption's text. Raises TrainerError where one is not what the audit vouches for."""
    known = audit.by_path()
    if not found.images:
        raise TrainerError(
            f"{found.root}: holds no images", "put each caption beside its image, then run again"
        )
    texts, wrong = {}, []
    for path in found.captions:
        reading = read(found.root, path)
        if reading.text is None or path not in known or reading.sha256 != known[path]["sha256_file"]:
            wrong.append(path)
        else:
            texts[path] = reading.text
    wrong += sorted(known.keys() - set(found.captions))
    if wrong:
        raise TrainerError(
            f"{found.root}: not as the audit says: {some(wrong, _NAMED)}",
            f"`tagflow validate {found.root}` says what changed; then `tagflow run` again",
        )
    return texts


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _as_they_are(found: Survey, groups: Groups, texts: Mapping[str, str], separator: str | None) -> Rendered:
    """Structure `none`: the trainer reads the dataset itself, with every image that lies there."""
    reasons = Counter[str]()
    for text in texts.values():
        reasons["separator-in-prompt"] += KEEP in text or bool(separator and separator in text)
        reasons["group-in-prompt"] += JOIN in text
        reasons["blank"] += not text.strip("\ufeff \t\r\n")
    images = defaultdict(list)
    for path in found.images:
        images[_parent(path)].append(path)
    subsets = tuple(
        RenderedSubset(found.root / name, found.root / name, names(images[name]), names(captions))
        for name, (_, captions) in groups.items()
    )
    return Rendered("none", found.root, None, subsets, counted(reasons), found.uncaptioned)


def write_rendered(rendered: Rendered, folder: Path) -> tuple[Path, ...]:
    """Write the rendered captions, without images, to a new or empty folder, in the dataset's subfolders.

    Returns the files. Raises UsageProblem where nothing was rendered or the folder will not do, TrainerError
    where the disk refuses.
    """
    if rendered.folder is None:
        raise UsageProblem(
            f"structure `{rendered.structure}` renders nothing: the captions are the dataset's own",
            "choose another structure, or copy the captions themselves",
        )
    check_target(folder, rendered.root)
    check_target(folder, rendered.folder)
    written = []
    try:
        for subset in rendered.subsets:
            target = folder / subset.source.relative_to(rendered.root)
            target.mkdir(parents=True, exist_ok=True)
            for name in subset.captions:
                (target / name).write_bytes((subset.folder / name).read_bytes())
                written.append(target / name)
    except OSError as problem:
        raise TrainerError(
            f"{problem.filename or folder}: {problem.strerror}",
            "mend its permissions or make room on the disk",
        ) from problem
    return tuple(written)
