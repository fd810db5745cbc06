"""`--keep-tokens-separator`: where it may come from, how it is kept, and what is said of unnamed marks."""

from __future__ import annotations

import pytest

MARKED = {
    "a.txt": "zkv, sofa, ##, lamp, photograph",
    "b.txt": "zkv, rug ## lamp, photograph, elegant",
    "c.txt": "lamp, photograph",
}
ORDERED = {
    "a.txt": "zkv, sofa, ##, photograph, lamp",
    "b.txt": "zkv, rug ## photograph, elegant, lamp",
    "c.txt": "photograph, lamp",
}
DATASET = """
[general]
caption_extension = ".txt"
[[datasets]]
resolution = 1024
batch_size = 1
[[datasets.subsets]]
image_dir = '{folder}'
keep_tokens_separator = "##"
shuffle_caption = true
[[datasets.subsets]]
image_dir = '{other}'
keep_tokens_separator = "&&&"
"""


def texts(root):
    return {name: (root / name).read_text() for name in MARKED}


@pytest.fixture
def marked(folder):
    return folder(MARKED)


def test_the_option(tagflow, marked):
    assert tagflow("reorder", marked, "--keep-tokens-separator", "##").code == 0
    assert texts(marked) == ORDERED


def test_without_it_the_mark_is_text_and_is_warned_of(tagflow, marked):
    for command in ("check", "reorder"):
        result = tagflow(command, marked, "--json", *(["--dry-run"] if command == "reorder" else []))
        found = [one for one in result.json["findings"] if one["code"] == "separator-unnamed"]
        assert [one["detail"] for one in found] == ["'##' in a.txt, b.txt"] and found[0][
            "severity"
        ] == "warning"
        assert "--keep-tokens-separator" in found[0]["cure"]


def test_one_that_is_named_is_not_warned_of(tagflow, folder):
    root = folder({"a.txt": "zkv, sofa ||| lamp, photograph"})
    found = [tagflow("check", root, "--json", *words) for words in ([], ["--keep-tokens-separator", "|||"])]
    codes = [{one["code"] for one in result.json["findings"]} for result in found]
    assert codes[0] - codes[1] == {"separator-unnamed"}


def test_tagflow_toml(tagflow, marked):
    (marked / "tagflow.toml").write_text('[trigger]\nkeep_tokens_separator = "##"\n')
    assert tagflow("reorder", marked).code == 0
    assert texts(marked) == ORDERED


def test_the_trainers_dataset_file(tagflow, folder, tmp_path):
    """The subset of this folder counts; a configuration that names the dataset file will do, too."""
    root = folder(MARKED)
    other = folder({"a.txt": "zkv &&& lamp, photograph"}, "other")
    dataset = tmp_path / "dataset.toml"
    dataset.write_text(DATASET.format(folder=root, other=other))
    config = tmp_path / "train.toml"
    config.write_text(f"dataset_config = '{dataset}'\n")
    assert tagflow("reorder", root, "--dataset", dataset).code == 0
    assert tagflow("reorder", other, "--dataset", config).code == 0
    assert texts(root) == ORDERED
    assert (other / "a.txt").read_text() == "zkv &&& photograph, lamp"
    both = tagflow("reorder", tmp_path, "--dataset", dataset, "--dry-run")
    assert both.code == 2 and "'##'" in both.err and "'&&&'" in both.err
    assert (
        tagflow("reorder", root, "--dataset", dataset, "--keep-tokens-separator", "&&&", "--dry-run").code
        == 0
    )


def test_a_run_folder(tagflow, folder, tmp_path):
    root = folder(MARKED)
    run = folder({"dataset.toml": DATASET.format(folder=root, other=tmp_path / "no")}, "run")
    (run / "train.toml").write_text(f"dataset_config = '{run / 'dataset.toml'}'\n")
    (run / "plan.json").write_text("{}")
    assert tagflow("reorder", root, "--dataset", run).code == 0
    assert texts(root) == ORDERED


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--keep-tokens-separator", ""], "cannot be a keep_tokens_separator"),
        (["--keep-tokens-separator", "  "], "cannot be a keep_tokens_separator"),
        (["--keep-tokens-separator", ", ##"], "cannot be a keep_tokens_separator"),
        (["--dataset", "no.toml"], "no.toml does not exist"),
        (["--dataset", "broken.toml"], "broken.toml"),
        (["--dataset", "."], "run folder"),
    ],
)
def test_what_cannot_be_one(tagflow, marked, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.toml").write_text("[[datasets]\n")
    for command in (["reorder", marked], ["check", marked]):
        result = tagflow(*command, *words)
        assert result.code in (1, 2, 3) and said in result.err, result.err
    assert texts(marked) == MARKED


def test_it_is_carried_on_until_none_is_named(tagflow, marked):
    tagflow("reorder", marked, "--keep-tokens-separator", "##")
    (marked / "a.txt").write_text("zkv, sofa ## lamp, rug, photograph")
    codes = [one["code"] for one in tagflow("check", marked, "--json").json["findings"]]
    assert "separator-unnamed" not in codes
    assert tagflow("reorder", marked).code == 0
    assert (marked / "a.txt").read_text() == "zkv, sofa ## photograph, lamp, rug"
    tagflow("reorder", marked, "--keep-tokens-separator", "none")
    codes = [one["code"] for one in tagflow("check", marked, "--json").json["findings"]]
    assert "separator-unnamed" in codes


def test_one_that_no_caption_holds_is_said(tagflow, marked):
    for command in (["reorder", marked, "--dry-run"], ["check", marked]):
        assert "no caption holds it" in tagflow(*command, "--keep-tokens-separator", "#|#").err
        assert "no caption holds it" not in tagflow(*command, "--keep-tokens-separator", "##").err


def test_a_run_and_a_validation_prove_it(tagflow, marked, lenient, audited):
    assert tagflow("run", marked, *lenient, "--keep-tokens-separator", "##").code == 0
    assert texts(marked) == ORDERED
    encoders = [word for word in lenient if word not in ("--on-low", "write")]
    result = tagflow("validate", marked, *encoders, "--json")
    assert result.code == 0 and not result.json["failed"]
    assert not [one for one in result.json["findings"] if one["severity"] == "error"]


def test_a_description_that_holds_it_is_not_joined(tagflow, folder):
    root = folder({"a.txt": "lamp, photograph\nThe room has a sign that reads ## on it."})
    tagflow("reorder", root, "--description", "join", "--keep-tokens-separator", "##")
    assert (root / "a.txt").read_text() == "photograph, lamp\nThe room has a sign that reads ## on it."
