"""One model file, verified: what it is, what is wrong with it, its digest, and what its metadata say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tagflow.encoders.header import Entry, read_whole_header
from tagflow.models.catalogue import ModelFinding
from tagflow.models.keys import part_of
from tagflow.models.prediction import Prediction, prediction
from tagflow.models.scan import ALWAYS_FINITE, FORMATS, Progress, Values, scan
from tagflow.models.structure import Kind, Structure, structure

_LONGEST_VALUE = (
    200  # characters; sd-scripts writes tag counts, ModelSpec a picture, both of them for machines
)


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
    findings: tuple[ModelFinding, ...]


def verify(path: Path, *, deep: bool = False, progress: Progress = lambda done, total: None) -> Report:
    """Verify a single-file SDXL checkpoint or VAE against SDXL's own tensors.

    The header decides first, so that what is no sound safetensors file is refused at once, with EncoderError.
    Then the file is read once, for its sha256 and, if `deep`, for NaN, Inf and matrices of zeros.
    `progress` is told bytes read and bytes in all.
    """
    header = read_whole_header(path)
    found = structure(header.entries)
    spoken = prediction(header.entries, header.metadata) if found.kind == "checkpoint" else None
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
        metadata=_summary(header.metadata),
        deep=deep,
        findings=tuple(_findings(found, spoken, header.entries, values, deep)),
    )


def _findings(
    found: Structure,
    spoken: Prediction | None,
    entries: Mapping[str, Entry],
    values: Mapping[str, Values],
    deep: bool,
) -> Iterator[ModelFinding]:
    yield from found.findings
    if spoken and spoken.contradicted:
        yield ModelFinding("prediction-contradicted", detail="; ".join(spoken.evidence))
    if deep:
        for finding in value_findings(entries, values):
            yield replace(finding, part="vae") if found.kind == "vae" else finding


def value_findings(entries: Mapping[str, Entry], values: Mapping[str, Values]) -> Iterator[ModelFinding]:
    """The findings in the numbers themselves. `values`: what :func:`tagflow.models.scan.scan` counted."""
    bad = {name: seen for name, seen in values.items() if seen.nan or seen.inf}
    for part, names in _parted(bad).items():
        first = bad[names[0]]
        detail = f"{names[0]} has {first.nan:,} NaN and {first.inf:,} Inf"
        yield ModelFinding("tensor-not-finite", part, detail, names)
    zero = [name for name, seen in values.items() if seen.zero and len(entries[name].shape) > 1]
    for part, names in _parted(zero).items():
        yield ModelFinding("tensor-zero", part, tensors=names)
    blind = {
        n: e.dtype for n, e in entries.items() if e.dtype not in FORMATS and e.dtype not in ALWAYS_FINITE
    }
    if blind:
        detail = ", ".join(sorted(set(blind.values())))
        yield ModelFinding("tensor-not-checked", detail=detail, tensors=tuple(blind))


def _parted(names: Iterable[str]) -> dict[str | None, tuple[str, ...]]:
    """Names by the part that they begin with. A VAE's bare names belong to none."""
    parts: dict[str | None, list[str]] = {}
    for name in names:
        parts.setdefault(part_of(name), []).append(name)
    return {part: tuple(found) for part, found in parts.items()}


def _summary(metadata: Mapping[str, str]) -> dict[str, str]:
    chosen = {name: text for name, text in metadata.items() if name.startswith(("modelspec.", "ss_"))}
    return {name: _short(text) for name, text in sorted(chosen.items())}


def _short(text: str) -> str:
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]}... ({len(text):,} characters)"
