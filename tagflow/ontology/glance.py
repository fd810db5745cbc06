"""A glance at an ontology's files: what is plain to see of a tag without reading them into an ontology.

Reading an ontology takes a tenth of a second, too long for a command that asks about one tag.
"""

from __future__ import annotations

from pathlib import Path

from tagflow.ontology.words import normalise

_PIECE = 3  # letters; fewer are found in any text


def is_strange_at_a_glance(root: Path, tag: str) -> bool | None:
    """Whether a tag has a word that the ontology in folder `root` does not know; None where it must be asked.

    False: the whole tag is a row of a lexicon. True: no three letters of a word stand anywhere in the files,
    as with `zkv` or `ohwx`; so no row, no plural and no rule about endings can know it. Both are what
    :meth:`Ontology.has_strange_word` would say, without an overlay.
    """
    text = normalise(tag)
    if not text.isascii() or "," in text:
        return None
    files = [path.read_bytes() for path in sorted(root.rglob("*.*")) if path.suffix in (".csv", ".toml")]
    if any(b"\n" + text.encode() + b"," in data for data in files):
        return False
    words = [word for word in text.split() if word.isalpha() and len(word) >= _PIECE]
    if any(not any(piece in data for piece in _pieces(word) for data in files) for word in words):
        return True
    return None


def _pieces(word: str) -> list[bytes]:
    return [word[at : at + _PIECE].encode() for at in range(len(word) - _PIECE + 1)]
