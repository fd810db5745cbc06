"""The header of a safetensors file, checked before a tensor is read; open it when a model file is refused.

The format: 8 bytes with the header's length (little-endian u64), the header as JSON, then the tensors' bytes.
Reading 300 kB of a 7 GB checkpoint is enough to refuse nearly every wrong file, in milliseconds and without
torch.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagflow.errors import EncoderError

# SDXL's header has 0.3 MB and 2,515 tensors; the library allows 100 MB, which takes seconds to parse.
LONGEST_HEADER, MOST_TENSORS = 10_000_000, 20_000
MOST_DIMENSIONS, LARGEST = 16, 2**63  # larger numbers, and products of more, only cost time
LONGEST_NAME = 1000  # characters of a tensor's name; SDXL's longest has 90
# The types of safetensors 0.8 and what one number takes.
BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8,
    "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32,
    "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
PICKLED = {".ckpt", ".pt", ".pth", ".bin", ".pkl"}
CURE_AGAIN = "download or copy the file again and compare its size with the original's"
CURE_FORMAT = "use the .safetensors file of the same model; tagflow never unpickles, for that runs code"
CURE_LOGIN = (
    "a web site answered instead of sending the model: log in there (and agree to the model's terms), "
    "download it in the browser, or give the download command your API key (Civitai) or token (Hugging Face)"
)
_UNPACK = "unpack it; the model is a .safetensors file in it"
# What a file that is no safetensors starts with: (first bytes, what it is, what to do).
FOREIGN = (
    (b"PK\x03\x04", "a PyTorch archive (zip)", CURE_FORMAT),
    (b"\x80\x02", "a Python pickle", CURE_FORMAT),
    (b"\x80\x03", "a Python pickle", CURE_FORMAT),
    (b"\x80\x04", "a Python pickle", CURE_FORMAT),
    (b"\x80\x05", "a Python pickle", CURE_FORMAT),
    (b"GGUF", "a GGUF file", CURE_FORMAT),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"\x89PNG", "a PNG image", "download the model, not its preview"),
    (b"\xff\xd8\xff", "a JPEG image", "download the model, not its preview"),
)
# The same of texts, with white space and a byte order mark passed over.
FOREIGN_TEXTS = (
    ("version https://git-lfs", "a Git LFS pointer, not the file it stands for",
     "fetch the file itself, in its checkout: `git lfs install`, then `git lfs pull`"),
    ("/annex/objects/", "a git-annex pointer, not the file it stands for",
     "fetch the file itself, in its checkout: `git annex get` and its name"),
    ("<?xml", "an answer in XML, as storage gives it for a link that has expired",
     "take a new link from the model's page: such links are good for a while only"),
    ("<", "a web page", CURE_LOGIN),
)  # fmt: skip
_HEAD, _SAID = 4096, 200  # bytes that tell what a file is; characters of its words in a message


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor as its file's header declares it.

    `dtype` is safetensors' word, such as `F16`; the tensor's bytes are `begin` to `end` of the file.
    """

    path: Path
    key: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """A whole header: the tensors by key, the free metadata, and the bytes of the file (`size`)."""

    entries: dict[str, Entry]
    metadata: dict[str, str]
    size: int


def read_header(path: Path) -> dict[str, Entry]:
    """Return the entries of the safetensors file `path` by key.

    Raises EncoderError as :func:`read_whole_header` does; no tensor is read.
    """
    return read_whole_header(path).entries


def read_whole_header(path: Path) -> Header:
    """Return the header of the safetensors file `path`, having checked it against the file's length.

    Raises EncoderError if the file is missing, unreadable, a pickle or another format, truncated, or its
    header is absurd: the tensors' bytes must fill the file, each once, as the library demands.
    """
    if path.suffix.lower() in PICKLED:
        raise EncoderError(f"{path} is a pickled checkpoint ({path.suffix})", CURE_FORMAT)
    try:
        raw, size = _raw_header(path)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise EncoderError(message, "mend the path or its permissions") from error
    header = _parsed(path, raw)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise EncoderError(f"{path}: the header's metadata is not text by name", CURE_AGAIN)
    entries = {key: _entry(path, key, value, 8 + len(raw)) for key, value in header.items()}
    if not entries:
        raise EncoderError(f"{path} holds no tensor at all", CURE_AGAIN)
    _refuse_unless_filled(path, entries, 8 + len(raw), size)
    return Header(entries, metadata, size)


def _raw_header(path: Path) -> tuple[bytes, int]:
    """Return the header's bytes and how many bytes the whole file has."""
    if not path.exists():
        raise EncoderError(f"{path} does not exist", "give the path of an SDXL checkpoint (.safetensors)")
    if not path.is_file():
        raise EncoderError(f"{path} is not a regular file", "give the path of a .safetensors file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD)
        start = head[:9]
        # A header's length can look like a pickle's first two bytes; what follows it is always a brace.
        foreign = _foreign(path, head)
        if start[8:] != b"{" and foreign is not None:
            raise foreign
        length = int.from_bytes(start[:8], "little")
        if len(start) >= 8 and length <= min(LONGEST_HEADER, size - 8):
            file.seek(8)
            raw = file.read(length)
            if len(raw) == length:
                return raw, size
    if size >= 8 and length > LONGEST_HEADER and foreign is not None:
        raise foreign
    raise _length_problem(path, length, size)


def _foreign(path: Path, head: bytes) -> EncoderError | None:
    """What a file is that begins like this, where it is known to be something else."""
    for magic, what, cure in FOREIGN:
        if head.startswith(magic):
            return EncoderError(f"{path} is {what}, whatever its name says", cure)
    if len(head) >= 9 and not head.strip(b"\0"):
        return EncoderError(
            f"{path} begins with zeros: a download that kept its room and broke off", CURE_AGAIN
        )
    try:
        text = head.decode("utf-8-sig", errors="strict" if len(head) < _HEAD else "ignore").strip()
    except UnicodeDecodeError:
        return None
    if len(text) < 8 or "\0" in text:  # the length of a header always has zeros in it
        return None
    for beginning, what, cure in FOREIGN_TEXTS:
        if text.lower().startswith(beginning):
            return EncoderError(f"{path} is {what}, whatever its name says", cure)
    said = " ".join(text.split())
    said = said if len(said) <= _SAID else said[:_SAID] + "…"
    what = "an answer in JSON" if text[0] in "{[" else "a text"
    return EncoderError(f"{path} is {what}, whatever its name says: {said}", CURE_LOGIN)


def _length_problem(path: Path, length: int, size: int) -> EncoderError:
    if size < 8:
        return EncoderError(f"{path} has only {size} bytes", CURE_AGAIN)
    if length <= LONGEST_HEADER:
        return EncoderError(
            f"{path} is truncated: {size:,} bytes, its header alone has {length:,}", CURE_AGAIN
        )
    return EncoderError(
        f"{path} is not a safetensors file of SDXL's: it declares a header of {length:,} bytes", CURE_FORMAT
    )


def _parsed(path: Path, raw: bytes) -> dict[str, Any]:
    if raw.count(b'"data_offsets"') > MOST_TENSORS:
        raise EncoderError(f"{path}: its header declares more than {MOST_TENSORS:,} tensors", CURE_FORMAT)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):  # whoever reads the file next may take the other one
            twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            raise EncoderError(f"{path}: its header names {twice[:100]!r} twice", CURE_AGAIN)
        return found

    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise EncoderError(f"{path} is not a safetensors file: its header is no JSON", CURE_FORMAT) from error
    if not isinstance(header, dict) or not raw.startswith(b"{"):  # the library takes no space before it
        raise EncoderError(f"{path} is not a safetensors file: its header is no JSON object", CURE_FORMAT)
    return header


def _entry(path: Path, key: str, value: Any, data: int) -> Entry:
    """Return one tensor's checked entry. `data`: the place in the file that its offsets count from."""
    try:
        dtype, shape, (begin, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        whole = all(type(n) is int and 0 <= n < LARGEST for n in (*shape, begin, end))
        named = isinstance(dtype, str) and len(key) <= LONGEST_NAME
        sound = named and whole and len(shape) <= MOST_DIMENSIONS and begin <= end
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise EncoderError(f"{path}: the header's entry of {key[:100]!r} is damaged", CURE_AGAIN)
    if dtype not in BITS:
        raise EncoderError(
            f"{path}: {key!r} is of a type that safetensors does not have: {dtype[:20]!r}", CURE_AGAIN
        )
    if (end - begin) * 8 != math.prod(shape) * BITS[dtype]:
        raise EncoderError(
            f"{path}: {key!r} has {end - begin:,} bytes, not those of {dtype} {shape}", CURE_AGAIN
        )
    return Entry(path, key, dtype, shape, data + begin, data + end)


def _refuse_unless_filled(path: Path, entries: dict[str, Entry], data: int, size: int) -> None:
    """The tensors' bytes must lie one after the other, from the header's end (`data`) to the file's."""
    at, before = data, ""
    ordered = sorted(entries.values(), key=lambda entry: (entry.begin, entry.end))
    end = max(entry.end for entry in ordered)
    for entry in ordered:
        if entry.end > size:
            missing = f"its last {end - size:,} bytes are missing, from within {entry.key!r} on"
            raise EncoderError(f"{path} is truncated: {missing}", CURE_AGAIN)
        if entry.begin < at:
            raise EncoderError(f"{path}: the bytes of {entry.key!r} and {before!r} overlap", CURE_AGAIN)
        if entry.begin > at:
            hole = f"{entry.begin - at:,} bytes before {entry.key!r} belong to no tensor"
            raise EncoderError(f"{path}: {hole}", CURE_AGAIN)
        at, before = entry.end, entry.key
    if at < size:
        raise EncoderError(f"{path}: its last {size - at:,} bytes belong to no tensor", CURE_AGAIN)
