"""`tagflow rule`: codes and options of sd-scripts, what is known of them, and what may have been meant."""

from __future__ import annotations

import pytest

from tagflow.findings.catalogue import all_kinds, kind_of
from tagflow.training.check.rules import RULES
from tagflow.training.sd_scripts.options import known_options


def test_a_code(tagflow):
    found = tagflow("rule", "cache-text-shuffle")
    assert found.code == 0 and found.out.startswith("cache-text-shuffle (error): ")
    assert f"cure: {kind_of('cache-text-shuffle').cure}" in found.out.replace("\n", " ")
    told = tagflow("rule", "cache-text-shuffle", "--json").json
    assert (told["schema"], told["options"]) == ("tagflow.rule/1", [])
    (row,) = told["rules"]
    assert row["code"] == "cache-text-shuffle" and row["explanation"] and row["example"] and row["cure"]


@pytest.mark.parametrize(
    ("code", "command", "rule", "reads"),
    [
        ("clip-skip", "train check", "clip_skip", ["clip_skip"]),
        ("encoders-differ", "train start", "encoders_certified", ["pretrained_model_name_or_path"]),
        ("plan-outdated", "train start", "plan_outdated", []),
    ],
)
def test_who_gives_a_code_of_training(tagflow, code, command, rule, reads):
    (row,) = tagflow("rule", code, "--json").json["rules"]
    assert row["asked_by"] == [{"command": command, "rule": rule, "reads": reads}]
    reading = f", which reads {reads[0]}" if reads else ""
    assert f"asked by: `tagflow {command}`, {rule}{reading}\n" in tagflow("rule", code).out
    assert tagflow("rule", "tag-implied", "--json").json["rules"][0]["asked_by"] == []


def test_every_code_is_listed(tagflow):
    listed = tagflow("rule", "--all").out.splitlines()
    codes = [line.split()[0] for line in listed if line.startswith("  ")]
    assert codes == [kind.code for kind in all_kinds()]
    assert [row["code"] for row in tagflow("rule", "--all", "--json").json["rules"]] == codes


@pytest.mark.parametrize("name", ["max_token_length", "--max_token_length", "max-token-length"])
def test_an_option(tagflow, name):
    found = tagflow("rule", name)
    assert found.code == 0 and found.out.startswith("max_token_length: an option of sd-scripts ")
    assert "type       int\n" in found.out and "choices    150, 225\n" in found.out
    assert "a file for --config_file\n" in found.out and "dataset file" not in found.out
    assert f"  error: tokens-not-certified: {kind_of('tokens-not-certified').title[:40]}" in found.out
    assert f"  warning: captions-too-long: {kind_of('captions-too-long').title[:40]}" in found.out


def test_an_option_in_json(tagflow):
    (row,) = tagflow("rule", "train_batch_size", "--json").json["options"]
    assert (row["name"], row["type"], row["default"], row["command_line"]) == (
        "train_batch_size",
        "int",
        1,
        True,
    )
    assert (row["dataset_key"], row["dataset_tables"]) == ("batch_size", ["[general]", "[[datasets]]"])
    assert "warmup-long" in {rule["code"] for rule in row["rules"]}  # which reads it by its other name
    (row,) = tagflow("rule", "image_dir", "--json").json["options"]
    assert (row["command_line"], row["type"], row["dataset_tables"]) == (
        False,
        "str",
        ["[[datasets.subsets]]"],
    )


def test_what_the_presets_make_of_an_option(tagflow):
    (row,) = tagflow("rule", "mixed_precision", "--json").json["options"]
    assert row["presets"] and all(one["value"] == "bf16" for one in row["presets"])
    (row,) = tagflow("rule", "v2", "--json").json["options"]
    assert row["presets"] == []
    assert "presets    bf16 (all presets): " in tagflow("rule", "mixed_precision").out


def test_what_an_option_does_and_what_is_usual(tagflow):
    said = tagflow("rule", "network_dropout").out
    assert "\nusual      none, or 0.05 to 0.1 (told of below 0 and above 0.3)\n" in said
    assert "\nmistake    It does not leave out captions or tags" in said
    (row,) = tagflow("rule", "network_dropout", "--json").json["options"]
    assert row["explained"]["usual"] == [0.0, 0.3] and row["explained"]["words"][0] == "Network dropout"
    assert row["explained"]["idle"][0]["when"] == {"dim_from_weights": True, "network_weights": True}
    (row,) = tagflow("rule", "v2", "--json").json["options"]
    assert row["explained"] is None


@pytest.mark.parametrize("name", ["batch_size", "train_batch_size"])
def test_an_option_is_explained_by_either_of_its_names(tagflow, name):
    (row,) = tagflow("rule", name, "--json").json["options"]
    assert row["explained"]["name"] == "train_batch_size"


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (("save as",), ["save_model_as"]),
        (("Save", "trained", "model", "as"), ["save_model_as"]),
        (("xformats",), ["xformers"]),
        (("network.train_unet",), ["network_train_unet_only", "network_train_text_encoder_only"]),
    ],
)
def test_the_words_of_other_programs(tagflow, words, options):
    found = tagflow("rule", *words, "--json").json
    assert [one["name"] for one in found["options"]] == options and found["rules"] == []
    told = tagflow("rule", *words).out
    assert [line.partition(":")[0] for line in told.splitlines() if ": an option of " in line] == options


def test_a_name_that_is_a_code_and_an_option_is_both(tagflow):
    both = tagflow("rule", "clip-skip").out
    assert both.startswith("clip-skip (warning): ") and "\n\nclip_skip: an option of sd-scripts" in both
    told = tagflow("rule", "clip-skip", "--json").json
    assert [one["code"] for one in told["rules"]] == ["clip-skip"]
    assert [one["name"] for one in told["options"]] == ["clip_skip"]
    assert tagflow("rule", "clip_skip").out.startswith("clip_skip: an option of sd-scripts")


def test_an_option_that_no_rule_reads(tagflow):
    read = {name for rule in RULES for name in rule.reads}
    unread = next(name for name in known_options().by_name if name not in read)
    assert tagflow("rule", unread).out.endswith("\nno rule reads it\n")


def test_every_option_can_be_explained_at_sixty_columns(tagflow, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    for name in ("keep_tokens", "optimizer_type", "resolution", "save_every_n_epochs", "zero_terminal_snr"):
        lines = tagflow("rule", name).out.splitlines()
        assert max(map(len, lines)) <= 60 and not [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cache-text-shufle",), "did you mean cache-text-shuffle"),
        (("max_token_lenght",), "did you mean max_token_length"),
        (("--max_token_lenght",), "did you mean max_token_length"),
        (("imagedir",), "did you mean image_dir"),
        (("save modle as",), "did you mean"),
        (("zzzzzz",), "`tagflow rule --all`"),
        ((), "name a code or an option"),
        (("clip-skip", "--all"), "name a code or an option"),
    ],
)
def test_what_cannot_be_explained(tagflow, words, said):
    found = tagflow("rule", *words)
    assert (found.code, found.out) == (2, "") and said in found.err
