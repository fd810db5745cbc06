"""Rules about a caption's text before it is encoded; open it for shuffling, separators, dropout, length."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from tagflow.captions.separators import likely_separators
from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import (
    SPLITS,
    STEPS,
    TEXT,
    SubsetView,
    caches_text,
    names,
    share,
)
from tagflow.training.check.registry import rule, subset_rule
from tagflow.training.sd_scripts.captions import longest
from tagflow.training.setup.setup import Setup

USUAL_FIXED, USUAL_GROUP = "|||", ";;;"
# What CLIP's tokenizer takes apart first; each piece is one token at least.
_PIECE = re.compile(r"'(?:s|t|re|ve|m|ll|d)|[a-z]+|\d|[^\sa-z\d]+", re.IGNORECASE)
# Entities become one sign, special tokens are one, and ftfy removes control characters.
_VANISHING = re.compile(r"&#?\w+;|<\|\w+\|>|[\x00-\x08\x0e-\x1f\x7f]")
_SHORT = 75  # characters are more than the tokens, so that a text of so few is never cut


@subset_rule("shuffle-undoes-order", reads=("shuffle_caption", "keep_tokens", "keep_tokens_separator"))
def shuffle(part: SubsetView) -> Iterator[Finding]:
    kept = part.text("keep_tokens_separator") or part.on("keep_tokens")
    if part.on("shuffle_caption") and not kept:
        yield finding("shuffle-undoes-order", option="shuffle_caption")


@subset_rule(
    "keep-tokens-idle", "keep-tokens-ignored", reads=("keep_tokens", "keep_tokens_separator", *SPLITS)
)
def keep_tokens(part: SubsetView) -> Iterator[Finding]:
    kept = part.text("keep_tokens_separator")
    if part.number("keep_tokens") > 0 and not part.splits:
        yield finding("keep-tokens-idle", option="keep_tokens")
    elif part.number("keep_tokens") > 0 and kept:
        yield finding("keep-tokens-ignored", f"keep_tokens_separator {kept!r}", option="keep_tokens")


@subset_rule("caption-separator", reads=("caption_separator", *SPLITS))
def caption_separator(part: SubsetView) -> Iterator[Finding]:
    if part.text("caption_separator") != "," and part.splits:
        yield finding("caption-separator", repr(part.text("caption_separator")), option="caption_separator")


@subset_rule("token-warmup-idle", reads=("token_warmup_min", "token_warmup_step"))
def token_warmup_idle(part: SubsetView) -> Iterator[Finding]:
    if part.moved("token_warmup_min") and not part.number("token_warmup_step"):
        yield finding("token-warmup-idle", option="token_warmup_min")


@rule("token-warmup-long", reads=("token_warmup_step", *STEPS))
def token_warmup_long(setup: Setup) -> Iterator[Finding]:
    if (long := share(setup, "token_warmup_step")) is not None and long > 1:
        yield finding("token-warmup-long", f"{long:.0%} of the steps", option="token_warmup_step")


@subset_rule("separator-idle", "separator-left", reads=TEXT)
def separator_idle(part: SubsetView) -> Iterator[Finding]:
    """A separator that is set where the trainer takes no caption apart."""
    mark = part.text("keep_tokens_separator")
    if mark and not part.splits and not caches_text(part.setup):
        holding = part.images_where(lambda text: mark in text)
        code = "separator-left" if holding else "separator-idle"
        yield finding(code, names(holding), option="keep_tokens_separator")


@subset_rule("separator-lacking", "separator-thrice", reads=TEXT, needs=("images",))
def separator_in_captions(part: SubsetView) -> Iterator[Finding]:
    """A separator that is set and used, and what the captions have of it."""
    mark, setup = part.text("keep_tokens_separator"), part.setup
    if not mark or not part.splits or caches_text(setup):
        return
    lacking = part.images_where(lambda text: mark not in text and text.strip())
    none = len(lacking) == sum(1 for text in part.trained.values() if text.strip())
    # A plan renders it where a caption has something to fix; in groups that may be nothing in all of them.
    rendered = setup.planned and (not none or part.text("secondary_separator"))
    if lacking and not rendered:
        yield finding("separator-lacking", names(lacking), option="keep_tokens_separator")
    thrice = part.images_where(lambda text: text.count(mark) > 2)
    if thrice and mark.strip() != part.text("caption_separator"):  # the tags' own: `separator-comma`
        yield finding("separator-thrice", names(thrice), option="keep_tokens_separator")


@subset_rule(
    "separator-unknown",
    reads=TEXT,
    needs=("images",),
)
def separator_unknown(part: SubsetView) -> Iterator[Finding]:
    """Separators in captions, with an option that does not know them."""
    if part.on("enable_wildcard"):
        return
    known = {part.text(f"{name}_separator") for name in ("keep_tokens", "secondary", "caption")}
    holding: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in part.trained.items():
        usual = (mark for mark in (USUAL_FIXED, USUAL_GROUP) if mark in text)
        for mark in dict.fromkeys((*usual, *likely_separators(text))):
            holding[mark].append(name)
    for mark, found in holding.items():
        if mark not in known:
            option = "secondary_separator" if mark == USUAL_GROUP else "keep_tokens_separator"
            yield finding("separator-unknown", f"{mark!r} in {names(found)}", option=option)


@subset_rule(
    "dropout-always",
    reads=("caption_dropout_every_n_epochs", "caption_dropout_rate", "caption_tag_dropout_rate"),
)
def dropout_always(part: SubsetView) -> Iterator[Finding]:
    if part.number("caption_dropout_every_n_epochs") == 1:
        option = "caption_dropout_every_n_epochs"
        yield finding("dropout-always", option, option=option)
    elif part.number("caption_dropout_rate") >= 1:
        yield finding("dropout-always", "caption_dropout_rate", option="caption_dropout_rate")
    if part.number("caption_tag_dropout_rate") >= 1:
        yield finding("dropout-always", "caption_tag_dropout_rate", option="caption_tag_dropout_rate")


@subset_rule(
    "prefix-joined",
    reads=("caption_prefix", "caption_suffix", "caption_separator", "keep_tokens_separator"),
)
def prefix_joined(part: SubsetView) -> Iterator[Finding]:
    for name, at in (("caption_prefix", -1), ("caption_suffix", 0)):
        text, mark = part.text(name).strip(), part.text("keep_tokens_separator")
        parted = bool(mark) and (text.endswith(mark) if at else text.startswith(mark))
        if text and text[at] != part.text("caption_separator") and not parted:
            yield finding("prefix-joined", f"{name} {part.text(name)!r}", option=name)


@subset_rule("captions-too-long", reads=("max_token_length", *TEXT), needs=("images",))
def captions_too_long(part: SubsetView) -> Iterator[Finding]:
    """Captions that are cut. Counted in pieces, which are never more than the tokens: no false alarm."""
    limit = int(part.setup.number("max_token_length") or 75)
    lengths = {name: longest(text, part.how, _pieces) for name, text in part.lines.items()}
    found = {name: n for name, n in lengths.items() if n > limit}
    if found:
        what = f"limit {limit}; at least {max(found.values())} tokens: {names(found)}"
        yield finding("captions-too-long", what, option="max_token_length")


def _pieces(text: str) -> int:
    """Never more than the tokens: what ftfy or the tokenizer would take away, mend or join counts least.

    A word with other than ASCII letters counts as one: it may be garbled text that ftfy mends.
    """
    if len(text) <= _SHORT:
        return 0
    words = _VANISHING.sub("", text).split()
    strange = [word for word in words if not word.isascii()]
    mended = sum(any(one.isascii() and one.isalnum() for one in word) for word in strange)
    return mended + sum(len(_PIECE.findall(word)) for word in words if word.isascii())
