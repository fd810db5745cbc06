"""The one catalogue of findings in captions: code, severity, what it means and what cures it.

A code is stable: never reused, never renamed. `error` makes a command exit 1, `warning` only with
`--strict`, `info` never.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding. `title` is one line for people; `cure` says what to do about it."""

    code: str
    severity: Severity
    title: str
    cure: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding in one caption: the code of its kind, and what exactly was seen."""

    code: str
    detail: str = ""

    @property
    def severity(self) -> Severity:
        """The severity of this finding's kind."""
        return CATALOGUE[self.code].severity


_KINDS = (
    Kind(
        "caption-not-utf8",
        "error",
        "the caption is not UTF-8; the trainer would stop at it",
        "save the file as UTF-8",
    ),
    Kind("caption-unreadable", "error", "the caption cannot be read", "mend the file's permissions"),
    Kind(
        "caption-not-a-file",
        "error",
        "something that is no regular file has a caption's name",
        "rename or remove it",
    ),
    Kind(
        "caption-outside",
        "error",
        "the caption is a link that leaves the folder; it is not followed",
        "put a copy of the file in its place",
    ),
    Kind(
        "caption-name-not-utf8",
        "error",
        "the file's name is not UTF-8, so no audit can hold it; the file was left alone",
        "rename the file",
    ),
    Kind(
        "caption-empty",
        "error",
        "the caption file has 0 bytes; the trainer stops at it",
        "write a caption or remove the file",
    ),
    Kind(
        "caption-blank",
        "warning",
        "the caption holds only white space; the trainer uses an empty prompt",
        "write a caption",
    ),
    Kind(
        "first-line-blank",
        "warning",
        "the first line is blank and the trainer reads only the first line",
        "remove the blank line",
    ),
    Kind(
        "caption-changed",
        "error",
        "the file is not what the audit (or this run) last saw; it was left alone",
        "look at the file, then `tagflow run` again",
    ),
    Kind("caption-edited", "info", "edited since the last audit; the edited text is the new original", ""),
    Kind(
        "caption-missing",
        "error",
        "the audit names a caption that is not there any more",
        "bring the file back, or `tagflow run` again",
    ),
    Kind("caption-new", "error", "a caption that the audit does not name", "`tagflow run` again"),
    Kind("not-selected", "info", "not among the files given; its order was not changed", ""),
    Kind("bom", "info", "the file starts with a byte order mark (kept)", "`--clean` removes it"),
    Kind("crlf", "info", "lines end in CR LF or CR (kept)", "`--clean` makes them LF"),
    Kind(
        "comma-fullwidth",
        "warning",
        "a full-width comma does not part tags for the trainer",
        "`--clean` makes it a plain comma",
    ),
    Kind(
        "tag-empty",
        "warning",
        "an empty tag (two commas in a row, or a comma in front)",
        "`--clean` removes it",
    ),
    Kind("comma-trailing", "info", "the line ends with a comma", "`--clean` removes it"),
    Kind("tag-duplicate", "warning", "a tag stands more than once", "`--clean` keeps the first"),
    Kind(
        "tag-unknown",
        "info",
        "the ontology knows no category for these tags; they went to its fallback category",
        "`tagflow ontology suggest` proposes categories; a row in an overlay settles it",
    ),
    Kind("prose", "info", "written as prose; left as it is", ""),
    Kind("sentence", "info", "a sentence among the tags moves as one unit", ""),
    Kind(
        "bracket-unbalanced",
        "warning",
        "a bracket that is opened and never closed, or the reverse",
        "close it, or escape it as \\( or \\)",
    ),
    Kind(
        "separator-in-group",
        "warning",
        "||| or BREAK inside brackets or quotes; the line is left as it is",
        "take it out of the brackets",
    ),
    Kind("separator-extra", "info", "a third ||| on a line is plain text for the trainer", "remove it"),
    Kind(
        "order-ambiguous",
        "info",
        "in the new order the caption would be read differently; left as it is",
        "close or escape its brackets and quotes",
    ),
    Kind(
        "trigger-not-first",
        "info",
        "the detected trigger does not stand first here and was not put in front",
        "`--trigger WORD` puts it in front",
    ),
    Kind("trigger-missing", "warning", "a trigger that was named is not in this caption", "add it"),
    Kind("tag-lost", "error", "a tag of the original is not in the file any more", "`tagflow undo`"),
    Kind("tag-added", "error", "a tag in the file that the original does not have", "`tagflow undo`"),
    Kind(
        "tokens-not-counted",
        "info",
        "no copy of CLIP's vocabulary was found, so tokens were not counted",
        "`pip install open_clip_torch`, or name a diffusers folder in TAGFLOW_ENCODERS or tagflow.toml",
    ),
    Kind(
        "tokens-over-limit",
        "warning",
        "more tokens than the trainer reads; the last tags are cut",
        "remove tags, or raise --max-tokens and the trainer's max_token_length",
    ),
    Kind("tokens-near-limit", "warning", "a long caption, close to the limit", "remove tags"),
    Kind("window-exceeded", "info", "more than 75 tokens: the pooled vector sees only the first window", ""),
    Kind("window-straddled", "info", "a tag is cut in two by the border of a 75-token window", ""),
    Kind(
        "window-spill",
        "info",
        "the original had these tags in the first window; now the pooled vector does not see them (whole)",
        "`--keep-first N` or `--trigger WORD` holds tags in front",
    ),
    Kind(
        "similarity-low",
        "warning",
        "the reordered caption is too far from the original in an encoder",
        "`--on-low relax` looks for a coarser order that passes; or lower --min-sim-each",
    ),
    Kind(
        "order-relaxed",
        "info",
        "the full order missed a limit; the caption is in the strictest order of the ladder that passes",
        "",
    ),
    Kind(
        "cache-stale",
        "warning",
        "the trainer's cached text-encoder outputs are of the old text",
        "delete the cache files before training",
    ),
    Kind("image-without-caption", "info", "an image that has no caption", "write one, or remove the image"),
)

CATALOGUE: dict[str, Kind] = {kind.code: kind for kind in _KINDS}
