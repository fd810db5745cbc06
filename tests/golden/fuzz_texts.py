"""Texts for the golden ids: mixtures of what goes wrong in captions, and captions of exact token counts.

Needs nothing but Python, for `make_token_ids.py` runs in an environment of its own; tests read
`WINDOW_CAPTIONS` from here. Characters that nobody can see are written as escapes.
"""

from __future__ import annotations

import random

FRAGMENTS = {
    "mojibake": (
        "â€œquotedâ€\x9d¦Ã©tÃ©¦itâ€™s¦naÃ¯ve¦Ã ¦æ—¥æœ¬èªž¦ðŸ˜€¦Ð¿Ñ€Ð¸¦ÃƒÂ©¦ã\x81\x82¦â€¦¦Â\xa0x¦Â©¦"
        "vocÃª¦â\x80\x99"
    ),
    "byte order marks": ("\ufeff¦\ufeff1girl¦solo\ufeff¦a\ufeffb¦ï»¿¦ï»¿BOM¦\ufffe¦\ufeff\ufeff¦\ufeff“a”"),
    "quotes": "“curly”¦‘single’¦it’s¦WE’LL¦„low“¦‚x‘¦«a»¦‹b›¦5′ 6″¦`tick´¦a＇s¦‛x‟¦’s¦rock ’n’ roll",
    "emoji": (
        "😀¦👩\u200d👩\u200d👧¦👍🏽¦🧑🏿\u200d🚀¦🇩🇪¦🇯🇵🇺🇸¦🏴\U000e0067\U000e0062\U000e0065\U000e007f¦"
        "❤\ufe0f¦☺\ufe0e¦1\ufe0f\u20e3¦🫠¦©\ufe0f¦🏳\ufe0f\u200d🌈¦girl😀boy¦👋🏻👋🏿¦\U0001f1e6¦🏽"
    ),
    "cjk": (
        "长发，蓝眼睛¦女の子、長い髪¦한국어 소녀¦初音ミク¦𠮷野家¦「少女」¦ㄅㄆㄇ¦〇々〆¦㍿¦か\u3099¦"
        "\u1112\u1161\u11ab¦髙﨑¦ー"
    ),
    "widths": (
        "ＬＯＮＧ　ＨＡＩＲ¦ｓｏｌｏ，¦１２３¦ｶﾀｶﾅ¦ﾊﾟ¦ﾡﾢ¦￥￡～¦！？¦\uffa0¦"
        "＜｜ｅｎｄｏｆｔｅｘｔ｜＞¦￩¦＆ａｍｐ；¦ｶ\uff9e"
    ),
    "right to left": (
        "فتاة¦ילדה¦\u200fabc¦\u202eabc\u202c¦שָׁלוֹם¦مَرْحَبًا¦\u061cx¦\u2067فتاة\u2069¦٣٤٥¦ﷺ¦ﻼ¦"
        "\u202bילדה\u202c¦\u200e(a)"
    ),
    "combining": (
        "e\u0301¦a\u0323\u0301¦Z\u0351\u036b\u0343a\u0334l\u0337¦\u0301¦\u0345¦x\u0345y¦İ¦ΑΣ¦Σ¦"
        "ﬁne\u0301¦क्षि¦ก็¦A\u030a¦\u1e9b\u0323¦o\u0361o¦ñ¦n\u0303"
    ),
    "private and astral": (
        "\ue000¦\uf8ff¦\U000f0000¦\U0010fffd¦𝒜𝓃𝒾¦𝟘𝟙¦𐐀𐐨¦\U0001fffe¦\ufdd0¦𓂀¦\U00031350¦🄰🅱¦\U000e0041"
    ),
    "control": (
        "a\x00b¦\x1b[31mred¦\x7f¦\x80¦\x85¦\x9f¦\x0b¦\x0c¦a\x1fb¦soft\xadhyphen¦\u200b¦\u2060¦\u2028¦"
        "\u206a¦\ufff9¦\t¦\n¦\r\n¦\x07¦\x1b[0m"
    ),
    "entities": (
        "&amp;¦&lt;lora:x:1&gt;¦&quot;hi&quot;¦it&#39;s¦&#x27;¦&nbsp;¦&EACUTE;¦&amp;amp;¦&hellip;¦"
        "&amp¦&no;¦&;¦AT&T¦&#0;¦&#128512;¦<b>¦&#150;"
    ),
    # U+017F, U+212B and U+212A are the long s, the Angstrom and the Kelvin sign.
    "ligatures": "ﬁne¦ﬂow¦ﬃ¦ﬀ¦ﬆ¦ĳ¦Ǆ¦æ¦œ¦ﬓ¦ß¦ẞ¦ŉ¦Ⅷ¦½¦㎏¦™¦\u017f¦'\u017f¦\u212b¦\u212a",
    "special tokens": (
        "<|endoftext|>¦<|startoftext|>¦<|EndOfText|>¦<|endoftext¦<|\u017ftartoftext|>¦a</w>¦|endoftext|>"
    ),
}
ORDINARY = "1girl¦long hair¦looking at viewer¦\\(series\\)¦don't¦k-on!¦!?¦!_!¦3.14¦>_<¦A Cat".split("¦")
SEPARATORS = [", ", ", ", ", ", ",", " ", "", "，", "、", "\u3000", "\u00a0", ". ", " | "]
CODECS = ["latin-1", "cp1252", "cp1251", "mac-roman"]
KINDS = [line.split("¦") for line in FRAGMENTS.values()]


def mixture(draw: random.Random, size: int) -> str:
    """Return about `size` fragments of a few kinds between ordinary tags, some read in a wrong codec."""
    kinds = [ORDINARY, *draw.sample(KINDS, k=draw.randint(1, 4))]
    text = draw.choice(["\ufeff", "ï»¿", *[""] * 8])  # a file's own mark, read as text
    for _ in range(size):
        part = draw.choice(draw.choice(kinds))
        if draw.random() < 0.05:
            part = part.encode().decode(draw.choice(CODECS), errors="replace")
        text += part + draw.choice(SEPARATORS)
    return text


def mixtures(draw: random.Random, short: int, long: int) -> list[str]:
    """Return `short` mixtures of a few fragments and `long` ones that reach beyond the first window."""
    made = [mixture(draw, draw.randint(1, 12)) for _ in range(short)]
    return made + [mixture(draw, draw.randint(15, 90)) for _ in range(long)]


# Words of one token each; `!_!` is three, of which the first has id 0, te2's padding.
WORDS = "girl sky red blue hair smile night city dress water flower cat light hat tree".split()


def counted(tokens: int, seed: int = 0) -> str:
    """Return tags of exactly `tokens` tokens, a word and its comma each; the last word has none if odd."""
    draw = random.Random(f"{tokens}/{seed}")  # noqa: S311 - the same texts every time
    return " ".join(draw.choice(WORDS) + ("," if at + 1 < tokens else "") for at in range(0, tokens, 2))


def banged(before: int, behind: int) -> str:
    """Return a caption with a token of id 0 behind `before` others, and `behind` tokens after its three."""
    return " ".join(filter(None, [counted(before), "!_!", counted(behind, seed=1)]))


COUNTS = (1, 20, 74, 75, 76, 110, 149, 150, 151, 224, 225, 226, 300)
WINDOW_CAPTIONS = {
    "empty": "",
    "odd": "\ufeff“Ｌｏｎｇ” hair, cafÃ©, it’s 👩\u200d💻, 初音ミク &amp; ﬁne",
    **{f"{count} tokens": counted(count) for count in COUNTS},
    "0 first": banged(0, 12),
    "0 first, two windows": banged(0, 90),
    "0 last in the first window": banged(74, 30),
    "0 last in the first window, cut at 150": banged(74, 100),
    "0 first in the second window": banged(75, 20),
    "0 last in the second window": banged(149, 40),
    "0 last of all": banged(149, 0),
    "end of text inside": "girl, smile <|endoftext|> red hair, " + counted(80),
}
