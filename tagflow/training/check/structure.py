"""Options that give captions a structure: shuffling, kept tags, separators, dropout, prefixes, length."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import SubsetView, caches_text, names, over, share
from tagflow.training.setup.setup import Setup

USUAL_FIXED, USUAL_GROUP = "|||", ";;;"
# What CLIP's tokenizer takes apart first; each piece is one token at least.
_PIECE = re.compile(r"'(?:s|t|re|ve|m|ll|d)|[a-z]+|\d|[^\sa-z\d]+", re.IGNORECASE)
# Entities become one sign, special tokens are one, and ftfy removes control characters.
_VANISHING = re.compile(r"&#?\w+;|<\|\w+\|>|[\x00-\x08\x0e-\x1f\x7f]")
_SHORT = 75  # characters are more than the tokens, so that a text of so few is never cut


def faults(setup: Setup) -> Iterator[Finding]:
    """Everything about the order of tags and what may fall out of it."""
    yield from over(setup, _order, _separators, _left_over, _dropout, _too_long)
    if (long := share(setup, "token_warmup_step")) is not None and long > 1:
        yield finding("token-warmup-long", f"{long:.0%} of the steps", option="token_warmup_step")


def _order(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    kept = part.text("keep_tokens_separator")
    if part.on("shuffle_caption") and not kept and not part.on("keep_tokens"):
        yield finding("shuffle-undoes-order", option="shuffle_caption")
    if part.number("keep_tokens") > 0 and not part.splits:
        yield finding("keep-tokens-idle", option="keep_tokens")
    if part.number("keep_tokens") > 0 and kept and part.splits:
        yield finding("keep-tokens-ignored", f"keep_tokens_separator {kept!r}", option="keep_tokens")
    if part.text("caption_separator") != "," and part.splits:
        yield finding("caption-separator", repr(part.text("caption_separator")), option="caption_separator")
    if "token_warmup_min" in part.subset.given and not part.number("token_warmup_step"):
        yield finding("token-warmup-idle", option="token_warmup_min")


def _separators(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    """A separator that is set, and what the captions have of it."""
    mark, texts = part.text("keep_tokens_separator"), _texts(part)
    if not mark or caches_text(setup):
        return
    holding = [name for name, text in texts.items() if mark in text]
    if not part.splits:
        code = "separator-left" if holding else "separator-idle"
        yield finding(code, names(holding), option="keep_tokens_separator")
        return
    lacking = [name for name, text in texts.items() if mark not in text and text.strip()]
    if lacking and not setup.planned:  # a plan renders the separator where it has something to fix
        yield finding("separator-lacking", names(lacking), option="keep_tokens_separator")
    thrice = [name for name in holding if texts[name].count(mark) > 2]
    if thrice:
        yield finding("separator-thrice", names(thrice), option="keep_tokens_separator")


def _left_over(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    """The usual separators in captions, with an option that does not know them."""
    texts = _texts(part)
    for usual, option in ((USUAL_FIXED, "keep_tokens_separator"), (USUAL_GROUP, "secondary_separator")):
        known = usual in (part.text("keep_tokens_separator"), part.text("secondary_separator"))
        if known or part.on("enable_wildcard") or part.text("caption_separator") == usual:
            continue
        found = [name for name, text in texts.items() if usual in text]
        if found:
            yield finding("separator-unknown", f"{usual!r} in {names(found)}", option=option)


def _dropout(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    every = part.number("caption_dropout_every_n_epochs")
    if every == 1 or part.number("caption_dropout_rate") >= 1:
        option = "caption_dropout_every_n_epochs" if every == 1 else "caption_dropout_rate"
        yield finding("dropout-always", option, option=option)
    if part.number("caption_tag_dropout_rate") >= 1:
        yield finding("dropout-always", "caption_tag_dropout_rate", option="caption_tag_dropout_rate")
    for name, at in (("caption_prefix", -1), ("caption_suffix", 0)):
        text = part.text(name).strip()
        if text and text[at] != part.text("caption_separator"):
            yield finding("prefix-joined", f"{name} {part.text(name)!r}", option=name)


def _too_long(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    """Captions that are cut. Counted in pieces, which are never more than the tokens: no false alarm."""
    limit = int(setup.number("max_token_length") or 75)
    found = {name: n for name, text in _texts(part).items() if (n := _pieces(text)) > limit}
    if found:
        what = f"limit {limit}; at least {max(found.values())} tokens: {names(found)}"
        yield finding("captions-too-long", what, option="max_token_length")


def _pieces(text: str) -> int:
    """Never more than the tokens: what ftfy or the tokenizer would take away, mend or join counts least."""
    if len(text) <= _SHORT:
        return 0
    return sum(_pieces_of(word) for word in _VANISHING.sub("", text).split())


def _pieces_of(word: str) -> int:
    """Of a word with other than ASCII letters, one: it may be garbled text that ftfy mends."""
    if word.isascii():
        return len(_PIECE.findall(word))
    return int(any(one.isascii() and one.isalnum() for one in word))


def _texts(part: SubsetView) -> dict[str, str]:
    """What the trainer reads of each caption: the first line, unless wildcards are on."""
    texts = part.files.texts if part.files else {}
    if part.on("enable_wildcard"):
        return dict(texts)
    return {name: re.split(r"\r\n|\r|\n", text, maxsplit=1)[0] for name, text in texts.items()}
