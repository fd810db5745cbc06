"""What has changed since an audit, a finding each; open it for `caption-new`, `ontology-changed` and others.

Captions, images, ontology, overlay and encoders are compared. Who calls has read the folder.
`tagflow validate` shows it; what else relies on an audit must ask it.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    meta, then = audit.meta, audit.meta.options
    known = dict(zip(rows(audit.table, "path"), rows(audit.table, "sha256_file"), strict=True))
    found: list[Finding] = []
    for path in sorted(known.keys() | now.captions.keys()):
        there = path in now.captions
        code = caption_drift(known.get(path), now.captions.get(path), there=there)
        if code is not None:
            found.append(finding(code, file=path))
    if then.images is not None:  # an audit of before images were written down knows of none
        for path in sorted(set(then.images) ^ set(now.images)):
            found.append(finding("image-missing" if path in then.images else "image-new", file=path))
    if now.missing_overlay is not None:
        what = f"{meta.ontology}: {now.missing_overlay} is not there any more"
        found.append(finding("ontology-changed", what))
    elif now.ontology_hash not in (None, then.order_hash or meta.ontology_hash):
        what = f"{meta.ontology}, or the tags in {then.overlay}" if then.overlay else meta.ontology
        found.append(finding("ontology-changed", what))
    before, used = meta.encoder_fingerprint, now.encoder_fingerprint
    if before and used is not None and used != before:
        found.append(finding("encoders-changed", f"{meta.encoders}: {before[:12]}, now {used[:12]}"))
    return found


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
