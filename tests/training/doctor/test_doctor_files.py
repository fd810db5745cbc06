"""What the doctor says of sd-scripts, models, tokenizers, disks and memory: each line and its absence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from model_files import sdxl, vae, write_sparse
from pythons import GIB, make_run, make_sd_scripts

from tagflow.training.doctor.files import (
    of_base,
    of_disk,
    of_images,
    of_memory,
    of_sd_scripts,
    of_tokenizers,
    of_vae,
    room_needed,
)
from tagflow.training.doctor.line import Needs
from tagflow.training.run_folder import PlanFile, PlannedBase, read_plan
from tagflow.training.setup.read import setup_of_run

RUN = Needs(Path("run"))


def wrong(lines):
    """What is not ok: check, state and code."""
    return [(line.check, line.state, line.code) for line in lines if line.state != "ok"]


def nothing(done, total):
    """Progress that nobody watches."""


def test_sd_scripts_of_another_version(tmp_path):
    known, other = make_sd_scripts(tmp_path / "a"), make_sd_scripts(tmp_path / "b", "0.9.1")
    assert wrong(of_sd_scripts(known, None, deep=False)) == []
    lines = list(of_sd_scripts(other, None, deep=True))
    assert wrong(lines) == [("sd-scripts", "warning", "sd-scripts-other")]
    assert "0.9.1" in lines[0].seen and "0.10.1" in lines[0].seen


def test_pictures_in_the_runs_folders_that_the_trainer_does_not_see(tmp_path):
    run = make_run(tmp_path / "run", {})
    (run / "images").mkdir()
    for name in ("a.png", "a.caption", "b.avif", "b.caption", "c.gif", "c.caption", "d.gif"):
        (run / "images" / name).write_bytes(b"x")
    setup = setup_of_run(run)
    unsure = ("images", "warning", "image-needs-plugin")
    unseen = ("images", "error", "image-not-seen")
    assert wrong(of_images(setup, None)) == [unsure, unseen]
    assert wrong(of_images(setup, {".avif"})) == [unseen]
    assert wrong(of_images(setup, set())) == [unseen, unseen]
    (run / "images" / "c.gif").unlink()
    assert [line.seen for line in of_images(setup, {".avif"})] == ["2, which the trainer sees"]


def base(path, needs=Needs(), deep=False):  # noqa: B008  frozen
    return list(of_base(path, needs, deep=deep, progress=nothing))


def test_a_checkpoint_by_its_header(tmp_path):
    sound = write_sparse(tmp_path / "sound.safetensors", sdxl(), {"modelspec.prediction_type": "v"})
    assert wrong(base(sound)) == [] and "prediction v" in base(sound)[0].seen
    assert wrong(base(None)) == [("checkpoint", "info", "checkpoint-unknown")]
    with sound.open("r+b") as file:
        file.truncate(sound.stat().st_size - 1)
    bad = [("checkpoint", "error", "checkpoint-bad")]
    assert wrong(base(sound)) == bad and "truncated" in base(sound)[0].seen
    assert wrong(base(tmp_path / "gone.safetensors")) == bad
    assert wrong(base(write_sparse(tmp_path / "vae.safetensors", vae()))) == bad
    few = {name: value for name, value in sdxl().items() if "input_blocks.0" not in name}
    assert wrong(base(write_sparse(tmp_path / "few.safetensors", few))) == bad


def test_a_checkpoint_that_is_unusual_or_a_folder(tmp_path):
    extra = write_sparse(tmp_path / "extra.safetensors", {**sdxl(), "other.thing": ("F16", (2,))})
    assert wrong(base(extra)) == [("checkpoint", "warning", "checkpoint-doubtful")]
    assert wrong(base(tmp_path)) == [("checkpoint", "error", "checkpoint-bad")]
    (tmp_path / "model_index.json").write_text("{}")
    assert wrong(base(tmp_path)) == []


def test_a_checkpoint_of_another_size_than_the_plans(tmp_path):
    sound = write_sparse(tmp_path / "sound.safetensors", sdxl())
    for size, expected in ((sound.stat().st_size, []), (7, [("checkpoint", "warning", "checkpoint-other")])):
        assert wrong(base(sound, replace(RUN, plan=PlanFile(base=PlannedBase(sound, size))))) == expected


def test_a_vae_by_its_header_and_by_its_numbers(tmp_path):
    sound = write_sparse(tmp_path / "vae.safetensors", vae())
    assert wrong(of_vae(sound, deep=False, progress=nothing)) == []
    assert (
        wrong(of_vae(write_sparse(tmp_path / "all.safetensors", sdxl()), deep=False, progress=nothing)) == []
    )
    with sound.open("r+b") as file:
        file.seek(-2, 2)
        file.write(b"\x00\x7e")  # NaN in fp16
    seen = []
    lines = list(of_vae(sound, deep=True, progress=lambda done, total: seen.append((done, total))))
    assert ("vae", "error", "vae-bad") in wrong(lines) and "1 NaN" in lines[0].seen
    assert seen[-1] == (sound.stat().st_size, sound.stat().st_size)
    (tmp_path / "folder").mkdir()
    assert wrong(of_vae(tmp_path / "folder", deep=False, progress=nothing)) == [("vae", "error", "vae-bad")]
    (tmp_path / "folder" / "config.json").touch()
    assert wrong(of_vae(tmp_path / "folder", deep=False, progress=nothing)) == []
    other = write_sparse(tmp_path / "other.safetensors", {"x": ("F16", (3,))})
    assert wrong(of_vae(other, deep=False, progress=nothing)) == [("vae", "error", "vae-bad")]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub, and a way to put a tokenizer into it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))

    def put(name, *files, folder=None):
        folder = folder or tmp_path / "hf/hub" / f"models--{name.replace('/', '--')}" / "snapshots" / "abc"
        folder.mkdir(parents=True)
        for file in files or ("vocab.json", "merges.txt"):
            (folder / file).write_text("")

    return put


NAMES = "openai/clip-vit-large-patch14", "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k"
UNCACHED = ("tokenizers", "warning", "tokenizer-uncached")


def test_tokenizers_in_the_hubs_cache(hub, monkeypatch):
    assert wrong(of_tokenizers(RUN)) == [UNCACHED, UNCACHED]
    hub(NAMES[0])
    hub(NAMES[1], "config.json")
    assert wrong(of_tokenizers(RUN)) == [UNCACHED]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert wrong(of_tokenizers(RUN)) == [("tokenizers", "error", "tokenizer-uncached")]


def test_tokenizers_in_a_cache_that_a_variable_names(hub, tmp_path, monkeypatch):
    for name in NAMES:
        hub(name)
    assert wrong(of_tokenizers(RUN)) == []
    (tmp_path / "hf/hub").rename(tmp_path / "elsewhere")
    assert len(wrong(of_tokenizers(RUN))) == 2
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert wrong(of_tokenizers(RUN)) == []


def test_tokenizers_in_the_trainers_own_folder(hub, tmp_path):
    own = tmp_path / "own"
    needs = Needs(Path("run"), {"tokenizer_cache_dir": str(own)})
    assert len(wrong(of_tokenizers(needs))) == 2
    hub(NAMES[0])  # fetched from the cache, then kept in the folder
    hub("", folder=own / "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k")
    assert wrong(of_tokenizers(needs)) == []
    hub("", "vocab.json", folder=own / "openai_clip-vit-large-patch14")
    lines = list(of_tokenizers(needs))
    assert wrong(lines) == [("tokenizers", "error", "tokenizer-damaged")] and "merges.txt" in lines[0].seen


def planned(folder, options, plan):
    run = make_run(folder, options, plan)
    setup = setup_of_run(run)
    return setup, Needs(run, setup.values, read_plan(run))


def test_the_room_of_a_run_is_files_states_and_caches(tmp_path):
    options = {
        "network_dim": 128, "network_train_unet_only": True, "save_precision": "bf16", "max_train_epochs": 10,
        "save_every_n_epochs": 1, "save_state": True, "save_last_n_epochs_state": 2,
        "optimizer_type": "AdamW8bit", "resolution": "1024,1024", "cache_latents_to_disk": True,
        "cache_text_encoder_outputs_to_disk": True, "max_token_length": 225,
    }  # fmt: skip
    room = room_needed(*planned(tmp_path / "run", options, {"arithmetic": {"images": 10, "steps": 100}}))
    numbers = 2_659_840 * 128
    assert room.loras == numbers * 2 * 10
    assert room.states == numbers * (4 + 2) * 3  # two kept, and that of the end
    assert room.caches == 10 * (128 * 128 * 4 * 4 + (227 * 2048 + 1280) * 4)


def test_a_run_without_saves_or_caches_writes_one_file(tmp_path):
    setup, needs = planned(tmp_path / "run", {"network_dim": 4, "max_train_steps": 300}, {})
    assert room_needed(setup, needs).loras == 3_563_008 * 4 * 4
    assert room_needed(setup, needs).states == room_needed(setup, needs).caches == 0
    steps = {"network_dim": 4, "max_train_steps": 300, "save_every_n_steps": 100, "flip_aug": True}
    assert room_needed(*planned(tmp_path / "steps", steps, {})).loras == 3_563_008 * 4 * 4 * 3


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ({"max_train_epochs": 10, "save_every_n_epochs": 2, "save_last_n_epochs": 2}, 2 + 1),  # files
        ({"max_train_steps": 100, "save_every_n_steps": 10, "save_last_n_steps": 30}, 4 + 1),  # steps back
        ({"max_train_steps": 100, "save_every_n_steps": 10, "save_last_n_steps": 5}, 1 + 1),
        ({"max_train_epochs": 2, "save_every_n_epochs": 1, "save_last_n_epochs": 9}, 1 + 1),
    ],
)
def test_what_is_kept_is_counted_as_the_trainer_removes_it(tmp_path, options, files):
    setup, needs = planned(tmp_path / "run", {"network_dim": 4, **options}, {})
    assert room_needed(setup, needs).loras == 3_563_008 * 4 * 4 * files


def test_the_disk_of_the_output_and_of_the_images_is_asked_once(tmp_path):
    options = {"network_dim": 8, "output_dir": str(tmp_path / "not/yet"), "cache_latents_to_disk": True,
               "resolution": "1024,1024"}  # fmt: skip
    lines = list(of_disk(*planned(tmp_path / "run", options, {"arithmetic": {"images": 100}})))
    assert wrong(lines) == [] and len(lines) == 1 and lines[0].seen.startswith(f"{tmp_path}: ")
    plan = {"arithmetic": {"images": 10**12}}
    assert wrong(of_disk(*planned(tmp_path / "run", options, plan))) == [("disk", "error", "disk-short")]


def test_a_disk_that_cannot_be_asked_is_said_by_a_stand_in_for_the_disk(tmp_path, monkeypatch):
    def broken(place):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("shutil.disk_usage", broken)
    lines = list(of_disk(*planned(tmp_path / "run", {}, {})))
    assert wrong(lines) == [("disk", "warning", "disk-unknown")] and "Input/output" in lines[0].seen


@pytest.mark.parametrize(
    ("free", "half", "expected"), [(20, False, 0), (10, False, 1), (10, True, 0), (5, True, 1)]
)
def test_memory_for_loading_by_a_stand_in_for_the_machines(free, half, expected, monkeypatch):
    monkeypatch.setattr("tagflow.training.doctor.files.memory", lambda: (32 * GIB, free * GIB))
    assert len(wrong([of_memory(Needs(Path("run"), {"full_bf16": half}))])) == expected
