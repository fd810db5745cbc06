"""What a gate that failed says beside its verdict: which captions, and what was tried on some of them."""

from __future__ import annotations

import re

LONG = ", ".join(f"{word} sofa" for word in "red blue green black white grey pink brown gold tan".split() * 4)
TEXTS = {
    "a.txt": "sofa, white walls, photograph, natural light, wooden floor",
    "b.txt": "lamp, bedroom, photograph",
    "long.txt": f"{LONG}, photograph, living room, night",
}


def test_a_gate_that_failed_says_where_and_what_would_help(tagflow, folder, lenient):
    root = folder(TEXTS)
    result = tagflow("run", root, *lenient[:-1], "0.9999", "--json")
    assert result.code == 1 and result.json["verdict"] == "fail"
    one, more, crossed, tried = result.json["advice"]
    assert re.fullmatch(r"2 of 2 captions of one window are below 0.9999 \(means 0\.\d{4} 0\.\d{4}\)", one)
    assert more.startswith("1 of 1 caption of more windows are below")
    assert crossed.startswith("the first window lost ") and "sofa" in crossed
    names = re.findall(r"(?:: |; )(.+?) \d\.\d{4} \d\.\d{4}", tried)
    assert names == [
        "as it is", "--keep-first 3", "--on-low relax, level 7", "--on-low relax, level 4", "--measure plan",
        "--measure unet",
    ]  # fmt: skip
    assert all(line in result.err for line in result.json["advice"])
    assert {name: (root / name).read_text() for name in TEXTS} == TEXTS


def test_what_was_tried_is_what_comes_out(tagflow, folder, lenient, audited, tmp_path):
    """The figures of the pins that were tried are those of a run that is given them."""
    root = folder({**TEXTS, "a.txt": "sofa, white walls, photograph, wooden floor, natural light, night"})
    tried = tagflow("run", root, *lenient[:-1], "0.9999", "--json").json["advice"][-1]
    said = re.search(r"--keep-first 3 (\S+) ([^;]+)", tried).groups()
    assert tagflow("run", root, *lenient, "--keep-first", "3", "--out", tmp_path / "out").code == 0
    rows = audited(tmp_path / "out").values()
    means = [sum(row[name] for row in rows) / len(rows) for name in ("sim_te1", "sim_te2")]
    assert list(said) == [f"{mean:.4f}" for mean in means] and max(means) < 1


def test_a_gate_that_passed_has_nothing_to_say(tagflow, folder, lenient):
    assert tagflow("run", folder(TEXTS), *lenient, "--json").json["advice"] == []
