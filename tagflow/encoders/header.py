"""The header of a safetensors file: what the file says it holds, checked before a tensor is read.

The format: 8 bytes with the header's length (little-endian u64), the header as JSON, then the
tensors' bytes. Reading 300 kB of a 7 GB checkpoint is enough to refuse nearly every wrong file,
in milliseconds and without torch.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagflow.errors import EncoderError

# The limit of the safetensors library itself; SDXL's headers have about 0.3 MB.
LONGEST_HEADER = 100_000_000
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip
# What a file that is no safetensors starts with: (first bytes, what it is).
FOREIGN = (
    (b"PK\x03\x04", "a PyTorch archive (zip)"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"GGUF", "a GGUF file"),
    (b"version ", "a Git LFS pointer, not the file it stands for"),
    (b"<", "a web page"),
)
PICKLED = {".ckpt", ".pt", ".pth", ".bin", ".pkl"}
CURE_AGAIN = "download or copy the file again and compare its size with the original's"
CURE_FORMAT = "use the .safetensors file of the same model; tagflow never unpickles, for that runs code"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor as its file's header declares it; `dtype` is safetensors' word, such as `F16`."""

    path: Path
    key: str
    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, Entry]:
    """Return the entries of the safetensors file `path` by key.

    Raises EncoderError if the file is missing, unreadable, a pickle or another format, truncated,
    or its header is absurd; no tensor is read.
    """
    if path.suffix.lower() in PICKLED:
        raise EncoderError(f"{path} is a pickled checkpoint ({path.suffix})", CURE_FORMAT)
    try:
        raw, data_bytes = _raw_header(path)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise EncoderError(message, "mend the path or its permissions") from error
    tensors = {key: value for key, value in _parsed(path, raw).items() if key != "__metadata__"}
    entries = {key: _entry(path, key, value, data_bytes) for key, value in tensors.items()}
    if not entries:
        raise EncoderError(f"{path} holds no tensor at all", CURE_AGAIN)
    return entries


def _raw_header(path: Path) -> tuple[bytes, int]:
    """Return the header's bytes and how many bytes of tensors the file has after them."""
    if not path.exists():
        raise EncoderError(f"{path} does not exist", "give the path of an SDXL checkpoint (.safetensors)")
    if not path.is_file():
        raise EncoderError(f"{path} is not a regular file", "give the path of a .safetensors file")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        _refuse_foreign(path, start)
        length = int.from_bytes(start, "little")
        if len(start) == 8 and length <= min(LONGEST_HEADER, size - 8):
            return file.read(length), size - 8 - length
    raise _length_problem(path, length, size)


def _refuse_foreign(path: Path, start: bytes) -> None:
    for magic, what in FOREIGN:
        if start.startswith(magic):
            raise EncoderError(f"{path} is {what}, whatever its name says", CURE_FORMAT)


def _length_problem(path: Path, length: int, size: int) -> EncoderError:
    if size < 8:
        return EncoderError(f"{path} has only {size} bytes", CURE_AGAIN)
    if length <= LONGEST_HEADER:
        return EncoderError(
            f"{path} is truncated: {size:,} bytes, its header alone has {length:,}", CURE_AGAIN
        )
    return EncoderError(
        f"{path} is not a safetensors file: it declares a header of {length:,} bytes", CURE_FORMAT
    )


def _parsed(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise EncoderError(f"{path} is not a safetensors file: its header is no JSON", CURE_FORMAT) from error
    if not isinstance(header, dict):
        raise EncoderError(f"{path} is not a safetensors file: its header is no JSON object", CURE_FORMAT)
    return header


def _entry(path: Path, key: str, value: Any, data_bytes: int) -> Entry:
    """Return the checked entry of one tensor; its bytes must lie within the file and fit its shape."""
    try:
        dtype, shape, (begin, end) = str(value["dtype"]), tuple(value["shape"]), value["data_offsets"]
        sound = all(type(n) is int and n >= 0 for n in (*shape, begin, end)) and begin <= end
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise EncoderError(f"{path}: the header's entry of {key!r} is damaged", CURE_AGAIN)
    if end > data_bytes:
        missing = f"{end - data_bytes:,} bytes are missing at {key!r}"
        raise EncoderError(f"{path} is truncated: {missing} or before it", CURE_AGAIN)
    if dtype in BITS and (end - begin) * 8 != math.prod(shape) * BITS[dtype]:
        raise EncoderError(
            f"{path}: {key!r} has {end - begin:,} bytes, not those of {dtype} {shape}", CURE_AGAIN
        )
    return Entry(path, key, dtype, shape)
