"""The data of a run: images and captions rendered for a structure, in the run's own folder.

The dataset is only read. Images are hard links, which cost no disk, or copies where the file system refuses;
captions are new files. A folder appears whole or not at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tagflow.audit import Audit
from tagflow.engines.local import Progress, silent
from tagflow.errors import TrainerError, UsageProblem
from tagflow.sources.folder import Survey, read, survey
from tagflow.tokenizer import Tokenizer
from tagflow.training.data_folder import Groups, Making, counted, names
from tagflow.training.manifest import Rendered, RenderedSubset, changed
from tagflow.training.proved import Limit
from tagflow.training.structure import JOIN, KEEP, Structure, layout

__all__ = ["Rendered", "RenderedSubset", "changed", "render_data", "write_rendered"]

_NAMED = 5  # so many captions are named in a message


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
    found = survey(root)
    texts = _texts(found, audit)
    groups = _by_folder(found)
    if structure == "none":
        return _as_they_are(found, groups, texts)
    check_target(out, root)
    plan = layout(structure, audit, leading, wildcards=wildcards)
    limit = None if tokenizer is None else Limit(tokenizer, max_tokens or audit.meta.limits.max_tokens)
    return Making(root, plan, limit, texts, progress).done(out, groups, found.uncaptioned)


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
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise TrainerError(
            f"{found.root}: not as the audit says: {', '.join(wrong[:_NAMED])}{more}",
            f"`tagflow validate {found.root}` says what changed; then `tagflow run` again",
        )
    return texts


def _by_folder(found: Survey) -> Groups:
    groups: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    bare = set(found.uncaptioned)
    for path in found.captions:
        groups[_parent(path)][1].append(path)
    for path in found.images:
        if path not in bare:
            groups[_parent(path)][0].append(path)
    return dict(sorted(groups.items()))


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _as_they_are(found: Survey, groups: Groups, texts: Mapping[str, str]) -> Rendered:
    """Structure `none`: the trainer reads the dataset itself, with every image that lies there."""
    reasons = Counter[str]()
    for text in texts.values():
        reasons["separator-in-prompt"] += KEEP in text
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
