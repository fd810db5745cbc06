"""Is what the trainer would read what was certified: the folders, the tokens, the text encoders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tagflow.audit import Audit
from tagflow.encoders import fingerprint_of
from tagflow.errors import EncoderError
from tagflow.schema import rows
from tagflow.sources.folder import CAPTION_SUFFIX
from tagflow.tokenizer import WINDOW
from tagflow.training.faults import Fault
from tagflow.training.setup import Setup, Subset


def uncertified(setup: Setup, audit: Audit, folder: Path, *, rendered: bool) -> Iterator[Fault]:
    """What the trainer would read and no audit vouches for. `folder`: where certified captions lie.

    `rendered`: they were rendered, and are no longer counted as the audit has them.
    """
    for subset in setup.subsets or ():
        yield from _texts(subset, folder.resolve())
    if not rendered:
        yield from _tokens(setup, audit)
    yield from _encoders(setup, audit)


def _texts(subset: Subset, folder: Path) -> Iterator[Fault]:
    where = f"{subset.where}: "
    if subset.kind != "dreambooth":
        yield Fault("dataset-foreign", f"{where}captions of a metadata file", "metadata_file")
    elif subset.folder is None or not subset.folder.resolve().is_relative_to(folder):
        yield Fault("dataset-foreign", f"{where}{subset.folder} is not in {folder}", "image_dir")
    elif (suffix := subset.values.get("caption_extension")) != CAPTION_SUFFIX:
        yield Fault("dataset-foreign", f"{where}captions in {suffix} files", "caption_extension")
    for name in ("caption_prefix", "caption_suffix"):
        if text := subset.values.get(name):
            yield Fault("captions-altered", f"{where}{name} {text!r}", name)


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
    if base is None or not base.exists():
        return  # a rule's finding
    name = "pretrained_model_name_or_path"
    try:
        found = fingerprint_of(str(base))
    except EncoderError as problem:
        yield Fault("encoders-differ", f"they cannot be compared: {problem.message}", name)
        return
    if found != audit.meta.encoder_fingerprint:
        yield Fault("encoders-differ", f"{base}; certified in {audit.meta.encoders}", name)
