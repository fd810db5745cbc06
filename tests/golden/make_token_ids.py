"""Make `token_ids.jsonl`: what sd-scripts' tokenizer makes of 2,352 texts.

Run it in a second environment, for the project's own has a newer transformers that counts differently:

    python3.11 -m venv other
    other/bin/pip install transformers==4.54.1 ftfy==6.3.1 huggingface-hub==0.34.3
    other/bin/python tests/golden/make_token_ids.py VOCABULARY tests/golden/token_ids.jsonl

VOCABULARY is `bpe_simple_vocab_16e6.txt.gz` of the installed open_clip_torch. The stored file was made
with Python 3.11.7, transformers 4.54.1, ftfy 6.3.1, tokenizers 0.21.4, regex 2026.11.15. The tokenizer
that sd-scripts uses is the slow one, which needs no torch. The texts come from this file and `fuzz_texts.py`
(fixed seeds) and from `data_samples`, line by line, so two runs give the same bytes.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import tempfile
from pathlib import Path

from fuzz_texts import WINDOW_CAPTIONS, mixtures

SAMPLES = Path(__file__).parents[2] / "data_samples"

TAGS = """
1girl; solo; long hair; blonde hair; blue eyes; looking at viewer; smile; masterpiece; best quality
school uniform
cowboy shot; from below; depth of field; 1990s (style); fate/stay night; re:zero; k-on!; nier:automata
hatsune miku
saber (fate); artoria pendragon (fate); ganyu (genshin impact); \\(series\\); ganyu \\(genshin impact\\)
nose-blush
:d; :3; ;); ^_^; >_<; @_@; o_o; =_=; +_+; x_x; \\m/; !?; !!; ??; ...; ?!; !_!; ._.; u_u; |_|; <o>_<o>; >:)
:>=; \\||/
(red eyes:1.2); ((masterpiece)); [blurry]; [[bad]]; {{smile}}; (a:0.5), [b:c:0.3]; <lora:style_v2:0.8>
<hypernet:x:1>; __color__; {red|green|blue} eyes; {a|b|{c|d}}; BREAK; AND; ADDCOMM; |||; a ||| b; ;;;; a;;;b
a ;;; b
absurdres; highres; 4k; 8k uhd; score_9; score_8_up; source_anime; rating_safe; 2girls; 100%; 3.14; f/1.8
50mm
it's; don't; we'll; I'VE; YOU'RE; he'd; I'm; rock'n'roll; 'quoted'; "double quoted"; x,"y"; x, "y"; (a),(b)
a,b,c
girl's; GIRL'S; girls'; 's; 'S; 't; 're; 've; 'm; 'll; 'LL; 'd; ''s; 'sss; 'x; '
white  background; tab\there; line\nbreak; carriage\r\nreturn; form\ffeed;  leading; trailing ; ,,; a,,b
, ,
AT&T; R&B; a&b; a & b; a &amp; a&amp b; #1; #hashtag; @handle; $5; 50/50; a_b_c; kebab-case; CamelCase
e-mail@x.y
""".strip()

SENTENCES = """
A young woman with long silver hair stands in a sunlit meadow, her dress caught by the wind.
a photograph of an astronaut riding a horse on mars, highly detailed, cinematic lighting
The image shows a cat -- orange, fluffy -- sleeping on a windowsill; it's raining outside.
"Don't move!" she said. He didn't. They'd been here before, hadn't they?
Anime key visual of a girl in a kimono (traditional Japanese dress), holding a paper lantern.
In the style of Studio Ghibli: soft watercolours, rolling hills, a 1950s tram & a red-brick station.
""".strip()

ODD = [
    *["", " ", "   ", "\n", "\t", "\u3000", "\u00a0", "\ufeff", "\u200b", "\x00", "\x1b[31m", ",", ".", "!"],
    *["'", "\\"],
    *["\ufeff1girl, solo", "1girl\ufeff, solo", "\ufeff", "a\u200bb", "a\u200db", "a\u2060b"],
    *["soft\u00adhyphen"],
    *["“quoted”", "‘single’", "it’s", "don’t", "we‘ll", "«guillemets»", "„low“", "prime ′ ″"],
    *["rock ’n’ roll"],
    *["â€œmojibakeâ€\x9d", "itâ€™s", "cafÃ©", "naÃ¯ve", "Ãœber", "à la mode", "Ã la mode", "ðŸ˜€"],
    *["Ð¿Ñ€Ð¸Ð²ÐµÑ‚"],
    *["ã\x81\x82", "æ—¥æœ¬èªž", "schÃ¶n, cafÃ©, 1girl", "ï»¿1girl", "â€¦", "Â©", "Â ", "a Â b"],
    *["doneâ€”really", "ÃƒÂ©"],
    *["&amp;", "a &amp; b", "&lt;lora:x:1&gt;", "&quot;hi&quot;", "&#39;", "&#x27;s", "it&#39;s", "&nbsp;"],
    *["a&nbsp;b"],
    *["&hellip;", "&EACUTE;", "&amp;amp;", "&notanentity;", "&amp", "&#99999999;", "<b> &amp; </b>"],
    *["&copy; 2024", "&;"],
    *["😀", "😀😀", "👍🏽", "👩‍👩‍👧", "👩‍💻, solo", "🏳️‍🌈", "🇩🇪", "❤️", "☺", "1️⃣", "🫠", "girl😀boy"],
    *["✨ sparkle ✨", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"],
    *["一个女孩，长发，蓝眼睛", "女の子、長い髪", "ひらがなカタカナ漢字", "한국어 소녀", "初音ミク, 1girl"],
    *["𠮷野家", "㍻", "１２３", "①②③"],
    *["فتاة ذات شعر طويل", "ילדה עם שיער ארוך", "लंबे बालों वाली लड़की", "เด็กผู้หญิงผมยาว"],
    *["Девушка с длинными волосами"],
    *["Κορίτσι με μακριά μαλλιά", "ΣΑΣ", "ΟΔΥΣΣΕΥΣ", "Σ", "ΑΣ ΑΣ", "İstanbul", "I ı İ i", "DİYARBAKIR", "ſ"],
    *["'ſ", "aſ 'ſx"],
    *["ß", "STRASSE straße", "ẞ", "ŉ", "ǅ", "ﬁne ﬂow ﬃ ﬆ", "ĳ", "ⅷ Ⅷ", "½", "²", "x²", "K (kelvin)", "Å"],
    *["ℂ", "№ 5", "™"],
    *["e\u0301", "é", "a\u0301\u0323", "\u0301", "a \u0301", "Z͑ͫ̓a̴l̷g̵o̶", "ᾳ", "α\u0345", "\u0345"],
    *["x\u0345y", "क्षि", "뷁", "\u1100\u1161"],
    *["full\u3000width", "ｆｕｌｌ　ｗｉｄｔｈ", "ＬＯＮＧ　ＨＡＩＲ，ｓｏｌｏ", "ｶﾀｶﾅ", "ｶﾞ", "！？"],
    *["（笑）", "～", "￥", "nb\u00a0sp", "a\u2003b"],
    *["a\u2028b", "a\u2029b", "a\x85b", "a\x0bb", "a\x0cb", "a\x1cb", "a\x1fb", "a\x00b", "a\x07b", "a\x7fb"],
    *["a\x80b"],
    *["a\x9fb", "\x1b[31mred\x1b[0m", "a\u206ab", "a\ufff9b", "a\ufffcb", "a\ufffdb", "\u202eabc"],
    *["\u200fabc", "\ue000", "\U000e0041"],
    *["<|endoftext|>", "<|startoftext|>", "a<|endoftext|>b", "a <|endoftext|> b", "<|ENDOFTEXT|>"],
    *["a<|EndOfText|>b"],
    *[",<|ENDOFTEXT|>", " <|ENDOFTEXT|> ", "<|endoftext|><|endoftext|>", "<|<|endoftext|>|>"],
    *["<|ſtartoftext|>", "<|STARTOFTEXT|>1"],
    *["<|endoftext", "endoftext|>", "<| endoftext |>", "a</w>b", "</w>", "<unk>", "[PAD]"],
    *["&lt;|endoftext|&gt;", "<|endoftext|>&amp;"],
    *["ΑΣ<|endoftext|>ΑΣ", "“<|startoftext|>”", "cafÃ© <|endoftext|> cafÃ©", "Ã<|endoftext|> "],
    *["＜｜ｅｎｄｏｆｔｅｘｔ｜＞"],
    *["a" * 1000, "ab" * 400, "supercalifragilisticexpialidocious" * 12, "!" * 200, "1" * 120, "あ" * 150],
    *["a, " * 300, "_" * 99],
    *["1234567890", "12,345.67", "2024-01-31", "٣٤٥", "१२३", "4½", "v1.5", "0x1F", "𝟘𝟙", "Ⅻ", "〇一二三"],
    *["१girl"],
    *["𝒜𝓃𝒾𝓂𝑒", "ⓐⓑⓒ", "ᴀʙᴄ", "ʇxǝʇ", "𐐀𐐨", "Ꭰꭰ", "Ა", "\u0558\u058b", "\U00031350", "\U00011de0\U00011df0"],
    *["a\U0001e5f1\u208f"],
]  # fmt: skip

WORDS = [*TAGS.replace("\n", "; ").split("; "), *[text for text in ODD if len(text) < 40]]
# Latin, Greek to Hebrew, Devanagari, punctuation and symbols, CJK, Hangul, wide forms, emoji, anything.
RANGES = [(0x20, 0x7F), (0x80, 0x250), (0x370, 0x600), (0x900, 0x980), (0x2000, 0x2800), (0x3000, 0x9FFF)]
RANGES += [(0xAC00, 0xD7A4), (0xF900, 0x10000), (0x1F300, 0x1FB00), (0xE000, 0x110000), (0x250, 0xD800)]
CODECS = ["latin-1", "cp1252", "cp1251", "cp437", "mac-roman"]


def joined(draw: random.Random) -> str:
    """A caption of tags and oddities with one of the separators that people use."""
    return draw.choice([", ", ", ", ",", " ", "", "，"]).join(draw.choices(WORDS, k=draw.randint(1, 25)))


def characters(draw: random.Random) -> str:
    """Characters of one range, mixed with spaces and ASCII."""
    low, high = draw.choice(RANGES)
    some = [
        chr(draw.randrange(low, high)) if draw.random() < 0.8 else draw.choice(" a,'s1!&;<|")
        for _ in range(20)
    ]
    return "".join(some[: draw.randint(1, 20)])


def mojibake(draw: random.Random) -> str:
    """UTF-8 read in another encoding, in part where it cannot be read."""
    text = "".join(draw.choices("éüñ—“”’日本 а,б😀a", k=draw.randint(1, 8)))
    return text.encode().decode(draw.choice(CODECS), errors="replace")


def sample_lines() -> list[str]:
    """Every line of every sample caption that is UTF-8, stripped as the trainer strips it."""
    found: list[str] = []
    for file in sorted(SAMPLES.rglob("*.txt")):
        text = file.read_bytes().decode("utf-8", errors="ignore")
        found += [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return found


def texts() -> list[str]:
    """All texts, each once, in a fixed order."""
    draw = random.Random(20240131)  # noqa: S311  the same texts every time are the point
    made = [
        *TAGS.replace("\n", "; ").split("; "),
        *SENTENCES.split("\n"),
        SENTENCES,
        TAGS.replace("; ", ", "),
        *ODD,
    ]
    made += [joined(draw) for _ in range(480)]
    made += [characters(draw) for _ in range(600)]
    made += [mojibake(draw) for _ in range(150)]
    made += sample_lines()
    made += mixtures(random.Random(77152227), short=280, long=200)  # noqa: S311 - as above
    made += WINDOW_CAPTIONS.values()
    return list(dict.fromkeys(made))


def write_vocabulary(source: Path, folder: Path) -> tuple[str, str]:
    """Write vocab.json and merges.txt as transformers wants them, from CLIP's own merges file."""
    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    lines = gzip.decompress(source.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    alphabet = list(bytes_to_unicode().values())
    tokens = [*alphabet, *(one + "</w>" for one in alphabet), *("".join(line.split()) for line in lines)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    vocab.write_text(json.dumps({token: number for number, token in enumerate(tokens)}), encoding="utf-8")
    merges.write_text("\n".join(["#version: 0.2", *lines]) + "\n", encoding="utf-8")
    return str(vocab), str(merges)


def main(source: Path, target: Path) -> None:
    """Write the golden file."""
    import ftfy
    import transformers
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    assert (transformers.__version__, ftfy.__version__) == ("4.54.1", "6.3.1"), "not the trainer's versions"
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = CLIPTokenizer(*write_vocabulary(source, Path(folder)))
    with target.open("w", encoding="utf-8", newline="\n") as stream:
        for text in texts():
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            stream.write(json.dumps({"text": text, "ids": ids}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
