"""`tagflow.toml`: which one is read, what it may hold, every fault at once."""

from __future__ import annotations

import pytest

from tagflow.cli.options import tokenizer_folder
from tagflow.config import Config, load_config
from tagflow.errors import ConfigError


def test_where_it_is_looked_for(tmp_path, monkeypatch):
    here, data = tmp_path / "here", tmp_path / "data"
    here.mkdir(), data.mkdir()
    monkeypatch.chdir(here)
    assert load_config(None, data).values == {}
    (here / "tagflow.toml").write_text("clean = true")
    assert load_config(None, data).values == load_config(None, None).values == {"clean": True}
    (data / "tagflow.toml").write_text("clean = false\n[limits]\nmin_sim = 1\n[trigger]\nwords = ['x']")
    assert load_config(None, data).values == {"clean": False, "min_sim": 1, "words": ["x"]}
    assert load_config(here / "tagflow.toml", data).values == {"clean": True}


def test_what_was_given_wins(tmp_path):
    (tmp_path / "tagflow.toml").write_text("[limits]\nmin_sim = 0.5")
    config = load_config(None, tmp_path)
    assert config.get("min_sim", None, 0.95) == 0.5
    assert config.get("min_sim", 0.0, 0.95) == 0.0
    assert config.get("max_tokens", None, 225) == 225


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "tagflow.toml").write_text('dir = "data"\nencoders = "owner/name"')
    (tmp_path / "data").mkdir()
    config = load_config(None, tmp_path)
    assert config.path("dir") == str(tmp_path / "data") and config.path("encoders") == "owner/name"
    assert config.path("ontology") is None


def test_every_fault_is_named_at_once(tmp_path):
    file = tmp_path / "tagflow.toml"
    file.write_text(
        "color = 1\nstrict = 1\nlimits = {min_sim = nan, min_sim_each = true, max_tokens = 100, x = 1}\n"
        'trigger = {words = ["", 1], keep_first = -1, detect = "no"}'
    )
    with pytest.raises(ConfigError) as caught:
        load_config(file, None)
    for name in (
        "color", "strict", "limits.min_sim", "limits.min_sim_each", "limits.max_tokens", "limits.x",
        "trigger.words", "trigger.keep_first", "trigger.detect",
    ):  # fmt: skip
        assert f"`{name}`" in caught.value.message
    assert str(file) in caught.value.message and caught.value.cure


@pytest.mark.parametrize("data", [b"a = ", b"\xff", b"limits = 1", b"a" * 10, b"x = " + b"[" * 5000])
def test_what_is_no_toml(tmp_path, data):
    file = tmp_path / "tagflow.toml"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=r"tagflow\.toml: "):
        load_config(file, None)


def test_a_file_that_was_named_and_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml", None)


def test_light_commands_take_the_tokenizer_of_a_diffusers_folder_that_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    named = Config(tmp_path / "tagflow.toml", {"encoders": "model"})
    assert tokenizer_folder(named) == folder
    assert tokenizer_folder(Config(None, {"encoders": "owner/name"})) is None
    monkeypatch.setenv("TAGFLOW_ENCODERS", str(folder))
    assert tokenizer_folder(Config(None, {})) == folder
