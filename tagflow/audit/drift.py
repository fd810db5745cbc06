"""Drift: what changed since an audit was written. Captions, images, ontology, encoders: each its finding.

Pure: who calls has read the folder. `tagflow validate` shows it; what else relies on an audit must ask it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tagflow.audit.file import Audit
from tagflow.findings.finding import Finding, finding
from tagflow.schema import rows


@dataclass(frozen=True, slots=True)
class Present:
    """A dataset as it is now. `captions`: SHA-256 of each file's bytes, by path; None where it was not read.

    `ontology_hash`, `encoder_fingerprint`: of those in use now; None where none is, so none has changed.
    `missing_overlay`: the file of own tags that the audit names, where it is gone.
    """

    captions: Mapping[str, str | None]
    images: tuple[str, ...]
    ontology_hash: str | None = None
    encoder_fingerprint: str | None = None
    missing_overlay: str | None = None


def drift(audit: Audit, now: Present) -> list[Finding]:
    """Everything that is not as the audit says, captions first. Each code's cure names the command."""
    return [*_captions(audit, now), *_images(audit, now), *_ontology(audit, now), *_encoders(audit, now)]


def caption_drift(audited: str | None, now: str | None, *, there: bool = True) -> str | None:
    """The code of what happened to a caption, from its digests in the audit and in the file.

    audited: None where the audit vouches for no such file. now: None where it is not there (`there` false),
    or cannot be read, which is a finding of its own.
    """
    if not there:
        return "caption-missing"
    if audited is None:
        return "caption-new" if now is not None else None
    return "caption-changed" if now is not None and now != audited else None


def _captions(audit: Audit, now: Present) -> Iterator[Finding]:
    known = dict(zip(rows(audit.table, "path"), rows(audit.table, "sha256_file"), strict=True))
    for path in sorted(known.keys() | now.captions.keys()):
        there = path in now.captions
        code = caption_drift(known.get(path), now.captions.get(path), there=there)
        if code is not None:
            yield finding(code, file=path)


def _images(audit: Audit, now: Present) -> Iterator[Finding]:
    """An audit of before images were written down knows of none, and nothing is said."""
    if audit.meta.options.images is None:
        return
    known, there = set(audit.meta.options.images), set(now.images)
    for path in sorted(known ^ there):
        yield finding("image-missing" if path in known else "image-new", file=path)


def _ontology(audit: Audit, now: Present) -> Iterator[Finding]:
    name = audit.meta.ontology
    ordered_by = audit.meta.options.order_hash or audit.meta.ontology_hash
    if now.missing_overlay is not None:
        yield finding("ontology-changed", f"{name}: {now.missing_overlay} is not there any more")
    elif now.ontology_hash is not None and now.ontology_hash != ordered_by:
        overlay = audit.meta.options.overlay
        yield finding("ontology-changed", f"{name}, or the tags in {overlay}" if overlay else name)


def _encoders(audit: Audit, now: Present) -> Iterator[Finding]:
    then = audit.meta.encoder_fingerprint
    if then and now.encoder_fingerprint is not None and now.encoder_fingerprint != then:
        detail = f"{audit.meta.encoders}: {then[:12]}, now {now.encoder_fingerprint[:12]}"
        yield finding("encoders-changed", detail)
