"""Is what the trainer would read what was certified: the captions, the tokens, the text encoders."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from tagflow.audit import Audit
from tagflow.encoders import fingerprint_of
from tagflow.errors import EncoderError
from tagflow.schema import rows
from tagflow.sources.folder import CAPTION_SUFFIX
from tagflow.tokenizer import WINDOW
from tagflow.training.faults import Fault
from tagflow.training.look import caption_of
from tagflow.training.rules.derived import names
from tagflow.training.setup import Images, Setup, Subset
from tagflow.training.structure import JOIN, KEEP

# Paths that decide what is trained, or where tagflow looks for it. The trainer runs in sd-scripts' folder.
_PATHS = ("pretrained_model_name_or_path", "vae", "dataset_config", "output_dir", "logging_dir", "resume",
          "network_weights")  # fmt: skip
_PARTING = re.compile(r"[,;|\ufeff]")
_SPLITTING = ("shuffle_caption", "token_warmup_step", "caption_tag_dropout_rate")


def uncertified(setup: Setup, audit: Audit, folder: Path, known: Collection[str]) -> Iterator[Fault]:
    """What the trainer would read and no audit vouches for. `folder`: where certified captions lie.

    `known`: their paths below it, with forward slashes.
    """
    if setup.text("dataset_class"):
        yield Fault("dataset-foreign", f"{setup.text('dataset_class')} reads the data", "dataset_class")
    looked_at = setup.images or (None,) * len(setup.subsets or ())
    for subset, images in zip(setup.subsets or (), looked_at, strict=True):
        yield from _folder(subset, images, folder.resolve(), known)
        yield from _altered(subset, images)
    yield from _relative(setup)
    yield from _tokens(setup, audit)
    yield from _encoders(setup, audit)


def forged(folder: Path, rendered: Collection[str], root: Path, audit: Audit) -> Iterator[Fault]:
    """Rendered captions that are no certified one's words in another order, whatever their list says."""
    certified = {_words(root / path) for path in audit.by_path()}
    other = [path for path in rendered if _words(folder / path) not in certified]
    if other:
        yield Fault("dataset-foreign", f"{folder}: words that no certified caption has: {names(other)}")


def _words(file: Path) -> tuple[str, ...]:
    """The words of a caption, sorted, without what parts them."""
    try:
        text = file.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(sorted(_PARTING.sub(" ", text).split()))


def _relative(setup: Setup) -> Iterator[Fault]:
    """Paths that the trainer would look for elsewhere than they were looked for here."""
    for name in _PATHS:
        named, path = setup.text(name), setup.path(name)
        if path is not None and not Path(named).is_absolute() and (name != "vae" or path.exists()):
            yield Fault("path-relative", named, name)
    for subset in setup.subsets or ():
        named = str(subset.values.get("image_dir") or "")
        if named and not Path(named).is_absolute():
            yield Fault("path-relative", f"{subset.where}: {named}", "image_dir")


def _folder(subset: Subset, images: Images | None, folder: Path, known: Collection[str]) -> Iterator[Fault]:
    where = f"{subset.where}: "
    if subset.kind != "dreambooth":
        yield Fault("dataset-foreign", f"{where}captions of a metadata file", "metadata_file")
    elif subset.folder is None or not subset.folder.resolve().is_relative_to(folder):
        yield Fault("dataset-foreign", f"{where}{subset.folder} is not in {folder}", "image_dir")
    elif (suffix := subset.values.get("caption_extension")) != CAPTION_SUFFIX:
        yield Fault("dataset-foreign", f"{where}captions in {suffix} files", "caption_extension")
    elif images is not None and (strange := _strange(subset.folder, images, folder, known)):
        yield Fault("dataset-foreign", f"{where}no certified caption: {names(strange)}", "image_dir")


def _strange(place: Path, images: Images, folder: Path, known: Collection[str]) -> list[str]:
    """Images whose text nobody certified: it lies in a hidden folder, say, or there is none."""
    files = {name: caption_of(place, name, CAPTION_SUFFIX) for name in (*images.sizes, *images.unreadable)}
    whole = {folder / path for path in known}
    return [name for name, file in files.items() if file is None or file.resolve() not in whole]


def _altered(subset: Subset, images: Images | None) -> Iterator[Fault]:
    """Options that make other words of the certified ones."""
    values = subset.values
    texts = images.texts.values() if images is not None else ()
    splits = any(values.get(name) for name in _SPLITTING)
    tests: dict[str, Callable[[str], object]] = {
        "caption_prefix": bool,
        "caption_suffix": bool,
        "secondary_separator": lambda mark: mark != JOIN and any(mark in text for text in texts),
        "keep_tokens_separator": lambda mark: splits and mark != KEEP and any(mark in text for text in texts),
        "caption_separator": lambda mark: splits and mark != ",",
    }
    for name, alters in tests.items():
        text = values.get(name)
        if isinstance(text, str) and text and alters(text):
            yield Fault("captions-altered", f"{subset.where}: {name} {text!r}", name)


def _tokens(setup: Setup, audit: Audit) -> Iterator[Fault]:
    read = int(setup.number("max_token_length")) or WINDOW
    longest = max((count for count in rows(audit.table, "tokens") if count is not None), default=0)
    certified = audit.meta.limits.max_tokens
    if read != certified and longest > min(read, certified):
        yield Fault(
            "tokens-not-certified",
            f"{read} are trained, {certified} were certified, the longest caption has {longest}",
            "max_token_length",
        )


def _encoders(setup: Setup, audit: Audit) -> Iterator[Fault]:
    """A proof holds for the encoders that gave it. Reads 1.6 GB of a full-size checkpoint."""
    base = setup.path("pretrained_model_name_or_path")
    name = "pretrained_model_name_or_path"
    if base is None:
        return  # a rule's finding
    if not base.exists():
        yield Fault("encoders-differ", f"they cannot be compared: {base} is not there", name)
        return
    try:
        found = fingerprint_of(str(base))
    except EncoderError as problem:
        yield Fault("encoders-differ", f"they cannot be compared: {problem.message}", name)
        return
    if found != audit.meta.encoder_fingerprint:
        yield Fault("encoders-differ", f"{base}; certified in {audit.meta.encoders}", name)
