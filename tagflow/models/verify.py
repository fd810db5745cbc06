"""One model file verified, to its last number if asked; open it for NaN and Inf, or a field of the report.

It says what the file is, what is wrong with it, its digest and its metadata. The file is read in one pass for
its sha256 and, if asked, for NaN and Inf in every tensor. The bytes are looked at as whole numbers: a number
is not finite if all bits of its exponent are set, so that bf16 and fp8 need no library that knows them.
Memory is one block, whatever the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tagflow.errors import EncoderError
from tagflow.files.safetensors import CURE_AGAIN, Entry, Header, read_whole_header
from tagflow.findings.finding import Finding
from tagflow.models.prediction import Prediction, prediction
from tagflow.models.structure import Kind, Structure, model_finding, part_of, structure
from tagflow.progress import Progress, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


BLOCK = 8 << 20  # bytes; a multiple of every number's size, so that no number lies across two blocks


@dataclass(frozen=True, slots=True)
class Format:
    """How a type's bits are read: as unsigned `view`, without the sign, at most `largest` is finite.

    `inf` is the pattern of Inf, if the type has one; every other pattern above `largest` is NaN.
    """

    view: str
    magnitude: int
    largest: int
    inf: int | None


# IEEE 754 for F16, F32 and F64; bf16 is F32's upper half; fp8 as in OCP's 8-bit specification (OFP8).
FORMATS = {
    "F64": Format("<u8", 0x7FFF_FFFF_FFFF_FFFF, 0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000),
    "F32": Format("<u4", 0x7FFF_FFFF, 0x7F7F_FFFF, 0x7F80_0000),
    "F16": Format("<u2", 0x7FFF, 0x7BFF, 0x7C00),
    "BF16": Format("<u2", 0x7FFF, 0x7F7F, 0x7F80),
    "F8_E5M2": Format("u1", 0x7F, 0x7B, 0x7C),
    "F8_E4M3": Format("u1", 0x7F, 0x7E, None),
}
# Nothing here can be NaN or Inf.
ALWAYS_FINITE = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F4", "F6_E2M3", "F6_E3M2"}


@dataclass(slots=True)
class Values:
    """What a tensor's numbers are: how many are NaN, how many Inf, and whether all of them are zero."""

    nan: int = 0
    inf: int = 0
    zero: bool = True

    def add(self, block: memoryview, form: Format) -> None:
        """Count a block of the tensor's bytes."""
        import numpy as np

        bits: NDArray[np.unsignedinteger[Any]] = np.frombuffer(block, dtype=form.view)
        magnitude = bits & bits.dtype.type(form.magnitude)
        top = int(magnitude.max(initial=0))
        self.zero = self.zero and top == 0
        if top > form.largest:
            inf = 0 if form.inf is None else int((magnitude == form.inf).sum())
            self.inf += inf
            self.nan += int((magnitude > form.largest).sum()) - inf


class _Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...


def scan(path: Path, header: Header, *, deep: bool, progress: Progress) -> tuple[str, dict[str, Values]]:
    """Return the sha256 (hex) of the whole file and, if `deep`, the values of tensors of :data:`FORMATS`.

    `progress` is told bytes done and bytes in all. Raises EncoderError if the file cannot be read to its end,
    or is no longer what its header was read from.
    """
    digest, values = hashlib.sha256(), dict[str, Values]()
    done = 0
    try:
        for entry, block in _blocks(path, header, deep):
            digest.update(block)
            if entry is not None and entry.dtype in FORMATS:
                values.setdefault(entry.key, Values()).add(block, FORMATS[entry.dtype])
            done += len(block)
            progress(done, header.size)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise EncoderError(message, "check the disk and the file's permissions") from error
    return digest.hexdigest(), values


def _blocks(path: Path, header: Header, deep: bool) -> Iterator[tuple[Entry | None, memoryview]]:
    """The file's bytes in order, in blocks that do not cross from one tensor into the next if `deep`."""
    tensors = sorted(header.entries.values(), key=lambda entry: (entry.begin, entry.end)) if deep else []
    spans: list[tuple[Entry | None, int]] = [(entry, entry.end) for entry in tensors]
    start = tensors[0].begin if tensors else header.size
    memory = memoryview(bytearray(BLOCK))
    at = 0
    with path.open("rb", buffering=0) as file:
        for entry, end in [(None, start), *spans]:
            while at < end:
                block = memory[: min(BLOCK, end - at)]
                _fill(path, file, block)
                at += len(block)
                yield entry, block
        if file.read(1):
            raise _changed(path)


class _Reader(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


def _fill(path: Path, file: _Reader, block: memoryview) -> None:
    got = 0
    while got < len(block):  # a disk over the network may give less than it was asked for
        count = file.readinto(block[got:])
        if not count:
            raise _changed(path)
        got += count


def _changed(path: Path) -> EncoderError:
    return EncoderError(f"{path} changed its length while it was read", CURE_AGAIN)


# Characters; sd-scripts writes tag counts, ModelSpec a picture, both of them for machines.
_LONGEST_VALUE = 200


@dataclass(frozen=True, slots=True)
class Report:
    """What :func:`verify` found. `size` in bytes; `sha256` of the whole file, hexadecimal.

    `parts`: for each part that is there, its tensors by type. `layout` is a VAE's (`original`, `diffusers`),
    `prediction` a checkpoint's; both are None elsewhere. `metadata`: `modelspec.*` and `ss_*`, cut short.
    """

    path: Path
    size: int
    sha256: str
    kind: Kind
    layout: str | None
    tensors: int
    parts: Mapping[str, Mapping[str, int]]
    prediction: Prediction | None
    metadata: Mapping[str, str]
    deep: bool
    findings: tuple[Finding, ...]


def verify(path: Path, *, deep: bool = False, progress: Progress = silent) -> Report:
    """Verify a single-file SDXL checkpoint or VAE against SDXL's own tensors.

    The header decides first, so that what is no sound safetensors file is refused at once, with EncoderError.
    Then the file is read once, for its sha256 and, if `deep`, for NaN, Inf and matrices of zeros.
    `progress` is told bytes read and bytes in all.
    """
    header = read_whole_header(path)
    found = structure(header.entries)
    spoken = prediction(header.entries, header.metadata) if found.kind == "checkpoint" else None
    metadata = {}
    for name, text in sorted(header.metadata.items()):
        if name.startswith(("modelspec.", "ss_")):
            rest = f"... ({len(text):,} characters)" if len(text) > _LONGEST_VALUE else ""
            metadata[name] = text[:_LONGEST_VALUE] + rest
    sha256, values = scan(path, header, deep=deep, progress=progress)
    return Report(
        path=path,
        size=header.size,
        sha256=sha256,
        kind=found.kind,
        layout=found.layout,
        tensors=len(header.entries),
        parts=found.parts,
        prediction=spoken,
        metadata=metadata,
        deep=deep,
        findings=tuple(_findings(found, spoken, header.entries, values, deep)),
    )


def _findings(
    found: Structure,
    spoken: Prediction | None,
    entries: Mapping[str, Entry],
    values: Mapping[str, Values],
    deep: bool,
) -> Iterator[Finding]:
    yield from found.findings
    if spoken and spoken.contradicted:
        yield model_finding("prediction-contradicted", None, "; ".join(spoken.evidence))
    if deep:
        for one in value_findings(entries, values):
            yield replace(one, figures={**one.figures, "part": "vae"}) if found.kind == "vae" else one


def value_findings(entries: Mapping[str, Entry], values: Mapping[str, Values]) -> Iterator[Finding]:
    """The findings in the numbers themselves. `values`: what :func:`tagflow.models.verify.scan` counted."""
    bad = {name: seen for name, seen in values.items() if seen.nan or seen.inf}
    for part, names in _parted(bad).items():
        first = bad[names[0]]
        detail = f"{names[0]} has {first.nan:,} NaN and {first.inf:,} Inf"
        yield model_finding("tensor-not-finite", part, detail, names)
    zero = [name for name, seen in values.items() if seen.zero and len(entries[name].shape) > 1]
    for part, names in _parted(zero).items():
        yield model_finding("tensor-zero", part, tensors=names)
    blind = {
        n: e.dtype for n, e in entries.items() if e.dtype not in FORMATS and e.dtype not in ALWAYS_FINITE
    }
    if blind:
        detail = ", ".join(sorted(set(blind.values())))
        yield model_finding("tensor-not-checked", None, detail, blind)


def _parted(names: Iterable[str]) -> dict[str | None, tuple[str, ...]]:
    """Names by the part that they begin with. A VAE's bare names belong to none."""
    parts: dict[str | None, list[str]] = {}
    for name in names:
        parts.setdefault(part_of(name), []).append(name)
    return {part: tuple(found) for part, found in parts.items()}
