"""CLIP's vocabulary: where it may lie and whether it is CLIP's; open it when none is found.

All sources hold the same 49,408 entries, so each is checked against one digest and none is trusted by its
name. Nothing here imports torch or open_clip: finding it must stay quick.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from tagflow.errors import VocabularyMissing

SIZE, MERGES = 49_408, 48_894
SPECIAL = {"<|startoftext|>": 49_406, "<|endoftext|>": 49_407}
MERGES_DIGEST = "f61f2adf497e6f5357c347aeb4646fabe82f341e946de5bdec5d2858e41bef4a"
DIGEST = "05f6f898f4f9c824c37b7dcacccc3d2e3ebab7b5a76de05da606127062a08e0e"
_MOST_STRETCHES = 400_000  # twice as many as may be looked up before the whole vocabulary is the faster way


@dataclass(frozen=True)
class Vocabulary:
    """CLIP's byte-pair encoding: the merges by rank, `left right` each, and the file they were read from."""

    lines: list[str] = field(repr=False)
    source: str

    @cached_property
    def vocab(self) -> dict[str, int]:
        """Token -> id, all of them."""
        return derive("\n".join(["", *self.lines]))[0]

    @cached_property
    def merges(self) -> list[tuple[str, str]]:
        """The merges by rank."""
        return [(left, right) for left, _, right in (line.partition(" ") for line in self.lines)]

    def part(self, pieces: Collection[str]) -> Vocabulary | PartialVocabulary:
        """Return what is enough to encode these pieces; all of it where they are very long or many.

        A merge joins neighbours within a piece, so what it makes is a stretch of that piece; a piece has
        half the square of its length of them.
        """
        if sum(len(piece.encode()) ** 2 for piece in pieces) > _MOST_STRETCHES:
            return self
        joined = "\n".join(self.lines).replace(" ", "").split("\n")
        ranks = dict(zip(joined, range(MERGES), strict=True))
        stretches = set(chain.from_iterable(map(_stretches, pieces)))
        found = sorted(map(ranks.__getitem__, stretches & ranks.keys()))
        merges = [self.lines[rank].split(" ") for rank in found]
        letters = _alphabet()
        vocab = dict(zip(letters, range(len(letters)), strict=True)) | {
            joined[rank]: len(letters) + rank for rank in found
        }
        return PartialVocabulary(vocab, [(left, right) for left, right in merges])


class PartialVocabulary(NamedTuple):
    """Some of a vocabulary, under the ids of the whole."""

    vocab: dict[str, int]
    merges: list[tuple[str, str]]


def _stretches(piece: str) -> Iterator[str]:
    """Every stretch of a piece's bytes, and those at its end with the mark that stands there."""
    text = "".join(map(_BYTES.__getitem__, piece.encode()))
    for start in range(len(text)):
        yield text[start:] + "</w>"
        for end in range(start + 2, len(text) + 1):
            yield text[start:end]


def digest(vocab: dict[str, int], merges: Sequence[tuple[str, str]]) -> str:
    """Return the sha256 of the canonical form: tokens by id, an empty line, merges by rank, one a line."""
    tokens = sorted(vocab, key=vocab.__getitem__)
    lines = [*tokens, "", *map(" ".join, merges)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def derive(text: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return (vocab, merges) from the text of a merges file, as CLIP's authors number the tokens."""
    lines = (line.rstrip("\r").partition(" ") for line in merge_lines(text))
    merges = [(left, right) for left, _, right in lines]
    tokens = [*_alphabet(), *map("".join, merges), *SPECIAL]
    return dict(zip(tokens, range(len(tokens)), strict=True)), merges


def merge_lines(text: str) -> list[str]:
    """Return the lines of the merges that are used; the first line is a header."""
    return text.split("\n", MERGES + 1)[1 : MERGES + 1]


def _alphabet() -> list[str]:
    """Return the tokens of single bytes in the order that numbers them: inside a word, then at its end."""
    return [*_BYTES.values(), *(character + "</w>" for character in _BYTES.values())]


def byte_characters() -> dict[int, str]:
    """Return byte -> the printable character that stands for it, in the order that numbers the tokens."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


_BYTES = byte_characters()


def what_is_wrong(vocab: dict[str, int], merges: list[tuple[str, str]]) -> str:
    """Return why this is not CLIP's vocabulary, or an empty string."""
    if len(merges) != MERGES:
        return f"{len(merges)} merges instead of {MERGES}"
    if len(vocab) != SIZE or sorted(vocab.values()) != list(range(SIZE)):
        return f"{len(vocab)} entries instead of {SIZE} numbered from 0"
    for token, number in SPECIAL.items():
        if vocab.get(token) != number:
            return f"{token} has the id {vocab.get(token)} instead of {number}"
    return "" if digest(vocab, merges) == DIGEST else "its entries are not CLIP's"


REPOSITORY = "openai/clip-vit-large-patch14"
PACKAGE_FILE = "bpe_simple_vocab_16e6.txt.gz"
KEPT_FILE = "clip-merges.txt"
HUB_SECONDS = 3.0
CURE = (
    "install the package open_clip_torch, or name a diffusers SDXL folder that has tokenizer/vocab.json and "
    "tokenizer/merges.txt, or allow the download from the hub once"
)
# open_clip's file holds 262,144 merges and CLIP uses the first 48,894, which end well before this many bytes.
_ENOUGH_BYTES = 1 << 20
_log = logging.getLogger(__name__)


def find_vocabulary(folder: Path | None = None, *, hub: bool = False, use_cache: bool = True) -> Vocabulary:
    """Return the vocabulary from the first place that has it.

    The order: `folder` (a diffusers model, its tokenizer folder, or a folder with both files), the installed
    open_clip package, tagflow's own cache (unless `use_cache` is false), the hub's cache, and the hub itself
    if `hub` is true. Raises VocabularyMissing when none has it, or when `folder` holds a damaged copy: a file
    that was named must not be passed over silently.
    """
    if folder is not None and (found := _from_model(folder)):
        return found
    sources: list[Callable[[], Vocabulary | None]] = [_from_open_clip]
    sources += [_from_kept] if use_cache else []
    sources += [_from_hub_cache, _from_hub] if hub else [_from_hub_cache]
    damaged: list[str] = []
    for source in sources:
        try:
            found = source()
        except VocabularyMissing as problem:
            damaged.append(problem.message)
            continue
        if found:
            for message in damaged:
                _log.warning("%s", message)
            return found
    absent = [] if folder is None else [f"{folder} has no tokenizer/merges.txt"]
    reasons = "".join(f"; {reason}" for reason in absent + damaged)
    raise VocabularyMissing(f"no copy of CLIP's vocabulary was found{reasons}", CURE)


def keep_copy(vocabulary: Vocabulary) -> Path | None:
    """Keep the vocabulary in tagflow's cache and return the file, or None where the cache cannot be written.

    A sound copy that is already there is left alone, a damaged one is replaced. The file appears whole or
    not at all.
    """
    target = cache_folder() / KEPT_FILE
    with suppress(VocabularyMissing):  # a sound copy is left alone
        _checked(target, derive)
        return target
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in vocabulary.merges)]
    try:
        _write_atomically(target, "\n".join(lines) + "\n")
    except OSError as problem:
        _log.info("no copy of the vocabulary kept in %s: %s", target, problem)
        return None
    return target


def cache_folder() -> Path:
    """Return tagflow's folder for what can be had again: $TAGFLOW_CACHE, or the user's cache directory."""
    if named := os.environ.get("TAGFLOW_CACHE"):
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("tagflow"))


def _from_model(folder: Path) -> Vocabulary | None:
    """Return what a diffusers folder holds: te1's tokenizer, te2's (the same), or the files themselves."""
    for place in (folder / "tokenizer", folder / "tokenizer_2", folder):
        if (place / "merges.txt").is_file() or (place / "vocab.json").is_file():
            return _read_pair(place)
    return None


def _from_open_clip() -> Vocabulary | None:
    # find_spec on a top-level package locates it without running it: importing open_clip would import torch.
    spec = importlib.util.find_spec("open_clip")
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place, PACKAGE_FILE)
        if path.is_file():
            return _checked(path, derive, _gunzip)
    return None


def _from_kept() -> Vocabulary | None:
    path = cache_folder() / KEPT_FILE
    return _checked(path, derive) if path.is_file() else None


def _from_hub_cache() -> Vocabulary | None:
    from huggingface_hub import try_to_load_from_cache

    merges = try_to_load_from_cache(REPOSITORY, "merges.txt")
    vocab = try_to_load_from_cache(REPOSITORY, "vocab.json")
    if not isinstance(merges, str) or not isinstance(vocab, str):
        return None
    return _read_pair(Path(merges).parent)


def _from_hub() -> Vocabulary:
    """Download both files; give up in seconds when the hub cannot be reached."""
    import huggingface_hub
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise VocabularyMissing("HF_HUB_OFFLINE forbids the download from the hub", CURE)
    try:
        # A download alone would retry for a minute; one short question tells whether it can work.
        url = huggingface_hub.hf_hub_url(REPOSITORY, "merges.txt")
        huggingface_hub.get_hf_file_metadata(url, timeout=HUB_SECONDS)
        paths = [huggingface_hub.hf_hub_download(REPOSITORY, name) for name in ("merges.txt", "vocab.json")]
    except Exception as problem:  # the hub's errors derive from whichever HTTP library its version uses
        reason = str(problem).strip().split("\n")[0] or type(problem).__name__
        raise VocabularyMissing(f"the hub could not give {REPOSITORY}: {reason}", CURE) from problem
    return _read_pair(Path(paths[0]).parent)


def _read_pair(place: Path) -> Vocabulary:
    """Read `merges.txt` and `vocab.json` of one folder; raise VocabularyMissing naming the damaged file."""
    derived = _checked(place / "merges.txt", derive)
    _checked(place / "vocab.json", lambda text: (json.loads(text), derived.merges))
    return derived


def _gunzip(data: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(data, _ENOUGH_BYTES)


def _checked(
    path: Path,
    parse: Callable[[str], tuple[dict[str, int], list[tuple[str, str]]]],
    unpack: Callable[[bytes], bytes] = bytes,
) -> Vocabulary:
    """Read one file into a vocabulary, or raise VocabularyMissing that names the file and what is wrong."""
    try:
        # A cut in the middle of a character lies behind the last merge that is used.
        text = unpack(path.read_bytes()).decode("utf-8", errors="ignore")
        lines = [line.rstrip("\r") for line in merge_lines(text)]
        if hashlib.sha256("\n".join(lines).encode()).hexdigest() == MERGES_DIGEST:
            return Vocabulary(lines, str(path))
        vocab, merges = parse(text)
        wrong = what_is_wrong(vocab, merges)
    except (OSError, zlib.error, ValueError, TypeError, AttributeError) as problem:
        wrong = str(problem) or type(problem).__name__
    if wrong:
        raise VocabularyMissing(f"{path} is not CLIP's vocabulary: {wrong}", f"replace the file; {CURE}")
    return Vocabulary(list(map(" ".join, merges)), str(path))


def _write_atomically(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
