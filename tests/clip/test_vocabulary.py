"""Where the vocabulary comes from: the order of the sources, damage, and what must not be imported."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tagflow.clip import vocabulary
from tagflow.clip.vocabulary import (
    DIGEST,
    MERGES,
    SIZE,
    Vocabulary,
    cache_folder,
    derive,
    digest,
    find_vocabulary,
    keep_copy,
)
from tagflow.errors import VocabularyMissing


@pytest.fixture(scope="module")
def installed() -> Vocabulary:
    return find_vocabulary(use_cache=False)


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def no_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "PACKAGE_FILE", "absent.gz")


def write_pair(folder: Path, source: Vocabulary) -> Path:
    """Write a diffusers tokenizer folder."""
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(source.vocab), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in source.merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_the_installed_package_has_the_whole_vocabulary(installed: Vocabulary) -> None:
    assert (len(installed.vocab), len(installed.merges)) == (SIZE, MERGES)
    assert [installed.vocab[name] for name in ("<|startoftext|>", "<|endoftext|>")] == [49406, 49407]
    assert (installed.vocab["!"], installed.vocab["!</w>"], installed.vocab[",</w>"]) == (0, 256, 267)
    assert digest(installed.vocab, installed.merges) == DIGEST
    assert installed.source.endswith(vocabulary.PACKAGE_FILE)


def test_finding_it_imports_neither_torch_nor_open_clip() -> None:
    program = (
        "from tagflow.clip.tokenizer import Tokenizer; from tagflow.clip.vocabulary import find_vocabulary\n"
        "import sys; assert Tokenizer(find_vocabulary()).ids('1girl') == (272, 1611)\n"
        "print([name for name in ('torch', 'open_clip', 'transformers', 'huggingface_hub', 'ftfy')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("place", ["tokenizer", "tokenizer_2", "."])
def test_a_named_folder_comes_first(tmp_path: Path, installed: Vocabulary, place: str) -> None:
    model = tmp_path / "model"
    written = write_pair(model / place, installed)
    found = find_vocabulary(model)
    assert Path(found.source) == written / "merges.txt"
    assert (found.vocab, found.merges) == (installed.vocab, installed.merges)


def test_windows_line_ends_do_no_harm(tmp_path: Path, installed: Vocabulary) -> None:
    merges = write_pair(tmp_path / "model", installed) / "merges.txt"
    merges.write_bytes(merges.read_bytes().replace(b"\n", b"\r\n"))
    assert find_vocabulary(tmp_path / "model").vocab == installed.vocab


def test_a_folder_without_a_tokenizer_falls_through(tmp_path: Path, installed: Vocabulary) -> None:
    assert find_vocabulary(tmp_path).source == installed.source
    assert find_vocabulary(tmp_path / "model.safetensors").source == installed.source


@pytest.mark.usefixtures("no_open_clip")
def test_the_kept_copy_then_the_hubs_cache(tmp_path: Path, installed: Vocabulary) -> None:
    repository = tmp_path / "hub" / "models--openai--clip-vit-large-patch14"
    write_pair(repository / "snapshots" / ("0" * 40), installed)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    kept = keep_copy(installed)
    assert kept is not None
    assert find_vocabulary().source == str(kept)
    assert "snapshots" in find_vocabulary(use_cache=False).source
    assert find_vocabulary().merges == installed.merges


def test_keeping_a_copy_leaves_a_sound_one_alone_and_mends_a_damaged_one(installed: Vocabulary) -> None:
    kept = keep_copy(installed)
    assert kept == cache_folder() / vocabulary.KEPT_FILE
    before = kept.stat().st_mtime_ns
    assert keep_copy(installed) == kept
    assert kept.stat().st_mtime_ns == before
    sound = kept.read_bytes()
    kept.write_bytes(sound[:1000])
    assert keep_copy(installed) == kept
    assert kept.read_bytes() == sound
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, installed: Vocabulary) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert keep_copy(installed) is None


@pytest.mark.usefixtures("no_open_clip")
def test_a_damaged_copy_is_passed_over_and_named(
    tmp_path: Path, installed: Vocabulary, caplog: pytest.LogCaptureFixture
) -> None:
    kept = keep_copy(installed)
    assert kept is not None
    kept.write_text(kept.read_text(encoding="utf-8").replace("\ni n\n", "\nn i\n", 1), encoding="utf-8")
    with pytest.raises(VocabularyMissing, match=vocabulary.KEPT_FILE) as caught:
        find_vocabulary(tmp_path)
    assert "open_clip_torch" in caught.value.cure
    assert str(tmp_path) in caught.value.message
    write_pair(tmp_path / "hub/models--openai--clip-vit-large-patch14/snapshots/main", installed)
    find_vocabulary()
    assert vocabulary.KEPT_FILE in caplog.text


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap_ids(path: Path) -> None:
    vocab = json.loads(path.read_bytes())
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    path.write_text(json.dumps(vocab), encoding="utf-8")


def shift_end(path: Path) -> None:
    vocab = json.loads(path.read_bytes())
    vocab["<|endoftext|>"], vocab["<|startoftext|>"] = 49406, 49407
    path.write_text(json.dumps(vocab), encoding="utf-8")


DAMAGE = [
    ("merges.txt", cut, "merges instead of 48894|not CLIP's"),
    ("merges.txt", lambda path: path.write_bytes(b""), "0 merges"),
    ("merges.txt", lambda path: path.write_bytes(os.urandom(5000)), "merges"),
    ("merges.txt", Path.unlink, "No such file"),
    ("vocab.json", cut, "Unterminated|delimiter|Expecting|escape"),
    ("vocab.json", lambda path: path.write_text("[]"), "not CLIP's vocabulary"),
    ("vocab.json", lambda path: path.write_text('{"a": "b"}'), "1 entries"),
    ("vocab.json", swap_ids, "its entries are not CLIP's"),
    ("vocab.json", shift_end, "has the id 49407 instead of 49406"),
    ("vocab.json", Path.unlink, "No such file"),
]


@pytest.mark.parametrize(("name", "damage", "words"), DAMAGE)
def test_damage_in_a_named_folder_is_an_error_that_names_the_file(
    tmp_path: Path, installed: Vocabulary, name: str, damage, words: str
) -> None:
    damage(write_pair(tmp_path / "model" / "tokenizer", installed) / name)
    with pytest.raises(VocabularyMissing, match=words) as caught:
        find_vocabulary(tmp_path / "model")
    assert str(tmp_path / "model" / "tokenizer" / name) in caught.value.message


def test_a_damaged_archive_is_an_error(tmp_path: Path, installed: Vocabulary) -> None:
    archive = tmp_path / vocabulary.PACKAGE_FILE
    archive.write_bytes(Path(installed.source).read_bytes()[:100_000])
    with pytest.raises(VocabularyMissing, match=vocabulary.PACKAGE_FILE):
        vocabulary._checked(archive, derive, vocabulary._gunzip)
    archive.write_bytes(b"not an archive")
    with pytest.raises(VocabularyMissing, match="header"):
        vocabulary._checked(archive, derive, vocabulary._gunzip)


def ask_the_hub(tmp_path: Path, **environment: str) -> tuple[str, float]:
    """Return what a fresh process says that may only ask the hub, and the seconds that it took."""
    program = (
        "from tagflow.clip import vocabulary; vocabulary.PACKAGE_FILE = 'absent'\n"
        "try: vocabulary.find_vocabulary(hub=True)\n"
        "except vocabulary.VocabularyMissing as problem: print(problem.message)"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    places = {"TAGFLOW_CACHE": str(tmp_path / "none"), "HF_HOME": str(tmp_path / "home")}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=kept | places | environment,
    )
    return done.stdout, time.monotonic() - started


def test_a_hub_that_keeps_silent_costs_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said, seconds = ask_the_hub(
            tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}", NO_PROXY="127.0.0.1"
        )
    assert "the hub could not give" in said
    assert seconds < 20, "an unreachable hub must not be retried for a minute"


def test_offline_means_offline(tmp_path: Path) -> None:
    assert "HF_HUB_OFFLINE" in ask_the_hub(tmp_path, HF_HUB_OFFLINE="1")[0]
