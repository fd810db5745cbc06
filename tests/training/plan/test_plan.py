"""`tagflow train plan`: the run folder, its values and reasons, for presets, structures and sizes of GPUs."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tomllib
from itertools import product

import pytest
from model_files import vae, write_sparse
from plan_data import ROOMS, checkpoint, dataset, faults, picture

from tagflow.cli.boundary import run as run_tagflow
from tagflow.training.plan.choices import presets
from tagflow.training.sd_scripts import dataset_config
from tagflow.training.sd_scripts.options import known_options

PRESETS = tuple(presets())


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("base") / "base.safetensors")


@pytest.fixture
def rooms(tmp_path):
    return dataset(tmp_path / "rooms", 6)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A dataset with an audit; a plan leaves it as it is."""
    root = dataset(tmp_path_factory.mktemp("audited") / "rooms")
    assert run_tagflow(["reorder", str(root)]) == 0
    return root


@pytest.fixture
def plan(tagflow, rooms, base):
    """`plan("--epochs", 3)`: the command over the rooms, of the largest preset, for a GPU of 24 GB."""

    def call(*args, root=rooms):
        vram = () if "--vram" in args else ("--vram", "24GB")
        preset = () if "--preset" in args else ("--preset", "sdxl-lora-v3")
        return tagflow("train", "plan", root, "--base", base, *vram, *preset, *args)

    return call


@pytest.fixture
def planned(plan, tmp_path):
    """`planned(...)`: train.toml, the dataset and plan.json of a run that is written."""

    def call(*args, **more):
        run = tmp_path / "run"
        result = plan("--out", run, *args, **more)
        assert result.code == 0, result.err
        return read(run)

    return call


def read(run):
    train = tomllib.loads((run / "train.toml").read_text(encoding="utf-8"))
    (dataset,) = tomllib.loads((run / "dataset.toml").read_text(encoding="utf-8"))["datasets"]
    return train, dataset, json.loads((run / "plan.json").read_text(encoding="utf-8"))


def test_a_run_folder_beside_the_dataset_takes_the_next_number(plan, rooms, tree):
    before = tree(rooms)
    first, second = plan(), plan("--preset", "sdxl-lora-light")
    runs = rooms.with_name("rooms-runs")
    assert sorted(run.name for run in runs.iterdir()) == ["001-sdxl-lora-v3", "002-sdxl-lora-light"]
    assert sorted(file.name for file in (runs / "001-sdxl-lora-v3").iterdir()) == [
        "dataset.toml", "logs", "output", "plan.json", "prompts.txt", "train.toml",
    ]  # fmt: skip
    assert f"next        tagflow train check {runs / '001-sdxl-lora-v3'}" in first.out
    assert second.code == 0 and tree(rooms) == before


@pytest.mark.parametrize(
    ("name", "structure", "vram"),
    [
        *product(PRESETS, ("none",), (8, 12, 16, 24, 80)),
        *product(PRESETS, ("separator", "groups"), (16,)),
    ],
)
def test_every_preset_structure_and_memory_is_clean_or_refused(
    plan, audited, tmp_path, name, structure, vram
):
    run = tmp_path / "run"
    words = ("--preset", name, "--structure", structure, "--vram", f"{vram}GB", "--out", run)
    result = plan(*words, root=audited)
    if result.code:
        cached = name == "unet-only-cached" and structure != "none"
        short = "memory-short" in result.err and (name, vram) in {
            ("sdxl-lora-v3", 8), ("sdxl-lora-v3", 12), ("sdxl-lora-light", 8), ("sdxl-lokr", 8),
            ("sdxl-loha", 8), ("sdxl-dora", 8),
        }  # fmt: skip
        assert (result.code, run.exists()) == ((2, False) if cached else (1, False)) and (cached or short)
        return
    train, dataset, told = read(run)
    known = known_options().by_name
    assert {name: known[name].fault(value) for name, value in train.items() if known[name].fault(value)} == {}
    assert dataset_config.faults({"datasets": [dataset]}) == []
    assert [one for one in faults(run) if one[0] != "info"] == []
    assert told["memory"]["estimate"] <= told["memory"]["available"] == vram * 10**9
    assert train["train_batch_size"] * train["gradient_accumulation_steps"] == 2
    assert all(value["reason"] and value["source"] for value in told["values"])


def test_the_plan_of_sdxl_lora_v3_as_it_was_meant(planned):
    train, dataset, _ = planned()
    meant = {
        "network_dim": 128, "network_alpha": 64.0, "optimizer_type": "AdamW8bit", "learning_rate": 1e-4,
        "unet_lr": 1e-4, "text_encoder_lr": [5e-5], "lr_scheduler": "cosine_with_restarts",
        "min_snr_gamma": 5.0,
        "noise_offset": 0.05, "mixed_precision": "bf16", "max_token_length": 225, "max_train_epochs": 10,
        "sdpa": True, "cache_latents": True, "save_state": True, "save_precision": "bf16", "seed": 42,
    }  # fmt: skip
    assert {name: train[name] for name in meant} == meant
    left = {
        "clip_skip",
        "xformers",
        "v_parameterization",
        "cache_text_encoder_outputs",
        "fp8_base",
        "fp8_base_unet",
    }
    assert not left & train.keys()
    assert (dataset["resolution"], dataset["max_bucket_reso"], dataset["caption_extension"]) == (
        1024,
        2048,
        ".txt",
    )
    assert (dataset["enable_bucket"], dataset["shuffle_caption"]) == (True, False)


def test_every_value_has_its_reason_in_the_file_and_in_the_plan(planned, tmp_path):
    train, _, told = planned()
    values = {(one["file"], one["name"]): one for one in told["values"]}
    assert {name for file, name in values if file == "train.toml"} == set(train)
    text = (tmp_path / "run" / "train.toml").read_text(encoding="utf-8")
    reason = values["train.toml", "lr_warmup_steps"]["reason"]
    assert f"# {reason}" in text and values["dataset.toml", "subsets[0].image_dir"]["value"]
    assert "# clip_skip: SDXL training takes no notice of it" in text
    paths = ("pretrained_model_name_or_path", "dataset_config", "output_dir", "logging_dir", "sample_prompts")
    assert all(train[name].startswith("/") or train[name][1] == ":" for name in paths)


def test_repeats_by_folder_name_then_by_option_then_by_number(plan, tmp_path):
    root = dataset(tmp_path / "mixed", 6, ("7_kitchens", "others"))
    told = {}
    for at, args in enumerate([(), ("--repeats", 3), ("--set", "num_repeats=2")]):
        run = tmp_path / f"run{at}"
        assert plan("--out", run, *args, root=root).code == 0
        _, found, object_ = read(run)
        told[at] = [one.get("num_repeats", found.get("num_repeats")) for one in found["subsets"]]
        assert object_["arithmetic"]["images_with_repeats"] == sum(3 * count for count in told[at])
    assert told == {0: [7, 10], 1: [7, 3], 2: [2, 2]}


def test_a_v_prediction_base_turns_the_loss_over(planned, tmp_path):
    base = checkpoint(tmp_path / "v.safetensors", None, v_pred=("F32", (1,)))
    train, _, told = planned("--base", base)
    assert train["v_parameterization"] and train["zero_terminal_snr"] and "noise_offset" not in train
    assert told["base"]["prediction"] == "v" and told["base"]["evidence"] == ["the key v_pred says v"]


def test_nobody_knows_what_the_base_predicts(plan, tmp_path):
    result = plan("--base", checkpoint(tmp_path / "u.safetensors", None), "--out", tmp_path / "run")
    assert result.code == 0 and "warning: prediction-unknown" in result.err
    assert "v_parameterization" not in read(tmp_path / "run")[0]


@pytest.mark.parametrize("tokens", [75, 150, 225])
def test_the_audits_limit_is_the_trained_length(planned, tagflow, rooms, tokens):
    assert tagflow("reorder", rooms, "--max-tokens", tokens).code == 0
    train, _, told = planned()
    assert train.get("max_token_length") == (None if tokens == 75 else tokens)
    assert told["dataset"]["verdict"] == "uncertified"
    assert [note["code"] for note in told["notes"]].count("plan-audit-not-passed") == 1


def test_no_audit_is_a_warning_and_start_will_refuse(plan):
    result = plan()
    assert result.code == 0 and "warning: plan-audit-missing: " in result.err
    assert result.err.count("`tagflow train start` will refuse") == 1


def test_images_without_a_caption_are_not_trained(plan, rooms, tmp_path):
    picture(rooms / "bare.png")
    result = plan("--out", tmp_path / "run")
    assert result.code == 1 and not (tmp_path / "run").exists()
    assert "error: image-uncaptioned: " in result.err and "    1 image: bare.png\n" in result.err
    (told,) = plan("--out", tmp_path / "run", "--json").json["findings"][:1]
    assert (told["code"], told["severity"], told["detail"]) == (
        "image-uncaptioned", "error", "1 image: bare.png",
    )  # fmt: skip
    assert "nothing written (there are errors)" in result.out


def test_what_stops_the_trainer_stops_the_plan(plan, rooms, tmp_path):
    (rooms / "i00.txt").write_bytes(b"")
    (rooms / "i01.png").write_bytes(b"no picture")
    (rooms / "wide.PnG").write_bytes((rooms / "i02.png").read_bytes())
    (rooms / "wide.txt").write_text("a room")
    result = plan("--out", tmp_path / "run")
    assert result.code == 1
    assert {"caption-unusable", "image-broken"} <= set(result.err.split(": "))
    assert "1 caption: i00.png (empty)" in result.err
    assert "error: image-not-seen" in result.err and "wide.PnG" in result.err


def test_a_folder_without_images(plan, folder):
    result = plan(root=folder({"a.txt": "sofa"}))
    assert result.code == 3 and "holds no image" in result.err


def test_no_base_is_wrong_usage_and_tagflow_toml_may_name_it(tagflow, rooms, base, monkeypatch, tmp_path):
    assert tagflow("train", "plan", rooms).code == 2
    (rooms.parent / "t.toml").write_text(f"encoders = {json.dumps(str(base))}")
    assert tagflow("train", "plan", rooms, "--config", rooms.parent / "t.toml", "--vram", "24GB").code == 0


def test_another_family_is_refused(plan, tmp_path):
    name = "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight"
    old = write_sparse(tmp_path / "sd15.safetensors", {name: ("F16", (77, 768))})
    result = plan("--base", old)
    assert result.code == 3 and "SD 1.5" in result.err


def test_nothing_is_overwritten_nor_written_into_the_dataset(plan, rooms, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("mine")
    assert plan("--out", tmp_path / "there").code == 2
    assert plan("--out", rooms / "run").code == 2 and plan("--out", tmp_path).code == 2
    assert (tmp_path / "there" / "file").read_text() == "mine"


def test_a_full_disk_leaves_no_half_run(plan, tmp_path, monkeypatch):
    from pathlib import Path

    real = Path.write_bytes

    def full(self, data):
        if self.name == "plan.json":
            raise OSError(28, "No space left on device", str(self))
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    result = plan("--out", tmp_path / "runs" / "one")
    assert result.code == 3 and "No space left" in result.err
    assert list((tmp_path / "runs").iterdir()) == []


def test_dry_run_shows_the_files_and_json_is_the_plan(plan, tmp_path):
    run = tmp_path / "run"
    shown = plan("--out", run, "--dry-run")
    assert shown.code == 0 and not run.exists()
    assert "==> train.toml <==" in shown.out and "==> prompts.txt <==" in shown.out
    assert plan("--out", run, "--json", "--dry-run").json["schema"] == "tagflow.train-plan/2"
    assert not run.exists()
    told = plan("--out", run, "--json").json
    written = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    notes, findings = written.pop("notes"), told.pop("findings")
    assert [one["code"] for one in findings] == [one["code"] for one in notes] != []
    assert {**told, "schema": written["schema"]} == written


@pytest.mark.parametrize("structure", ["separator", "groups"])
def test_a_structure_is_rendered_into_the_run(planned, tagflow, tmp_path, tree, structure):
    root = dataset(tmp_path / "two", 12, ("5_a b", "."))
    tagflow("reorder", root)
    before = tree(root)
    _, found, told = planned("--structure", structure, root=root)
    assert tree(root) == before and told["structure"]["kind"] == structure
    assert (found["shuffle_caption"], found["keep_tokens_separator"]) == (True, "|||")
    for subset in found["subsets"]:
        place = tmp_path / "run" / "data" / subset["image_dir"].rpartition("/")[2]
        assert str(place) == subset["image_dir"] and len(list(place.glob("*.png"))) == 6
        assert all(" ||| " in file.read_text() for file in place.glob("*.txt"))
    assert {one["num_repeats"] for one in found["subsets"]} == {5, 10}


def test_leading_categories_and_captions_for_other_uses(planned, tagflow, tmp_path):
    root = dataset(tmp_path / "house", folders=("10_a", "b"))
    assert tagflow("reorder", root).code == 0
    words = ("--structure", "separator", "--leading", "space, style", "--captions-to", tmp_path / "rendered")
    _, _, told = planned(*words, root=root)
    assert told["structure"]["leading"] == ["style", "space"]  # in the ontology's order
    rendered = [file.read_bytes() for file in (tmp_path / "rendered").rglob("*") if file.is_file()]
    assert len(rendered) == 12 == len(list((tmp_path / "rendered").glob("*/*.txt")))
    fronts = {data.decode().partition("|||")[0].strip() for data in rendered}
    assert all(any(room in front for room in ROOMS) for front in fronts)
    assert sorted(rendered) == sorted(file.read_bytes() for file in (tmp_path / "run").glob("data/*/*.txt"))


def test_what_only_a_rendered_structure_has(plan, tmp_path):
    for words in (("--leading", "style"), ("--captions-to", tmp_path / "x")):
        result = plan(*words)
        assert result.code == 2 and words[0] in result.err and "--structure" in result.err


def test_a_structure_needs_an_audit(plan):
    result = plan("--structure", "groups")
    assert result.code == 2 and "certified" in result.err


def test_names_with_odd_letters_survive(planned, tmp_path):
    root = dataset(tmp_path / 'räume # "neu" [1]', 3, ("3_küche 'a' = {b}",))
    train, found, _ = planned(root=root)
    assert found["subsets"][0]["image_dir"] == (root / "3_küche 'a' = {b}").as_posix()
    assert train["output_name"] == "räume-neu-1-sdxl-lora-v3"


def test_a_vae_is_named_or_the_base_models_own(plan, planned, tmp_path):
    assert plan("--vae", tmp_path / "typo.safetensors").code == 2
    own = write_sparse(tmp_path / "vae.safetensors", vae())
    train, _, _ = planned("--vae", own)
    assert train["vae"] == own.as_posix()


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are Unicode there")
def test_a_folder_whose_name_is_not_utf8(plan, tmp_path):
    root = dataset(tmp_path / os.fsdecode(b"b\xff"), 2)
    result = plan("--out", tmp_path / "run", root=root)
    assert result.code == 3 and "a path is not UTF-8" in result.err and not (tmp_path / "run").exists()


def test_folders_within_folders_are_subsets_of_their_own_and_no_warning(plan, base, tmp_path):
    root = dataset(tmp_path / "my rooms", 6, (".", "10_a", "10_a/it's deep"))
    result = plan("--out", tmp_path / "run's", root=root)
    assert result.code == 0
    assert [code for severity, code, _ in faults(tmp_path / "run's") if severity != "info"] == []
    assert shlex.quote(str(tmp_path / "run's")) in result.out  # to be copied as it stands
    assert "estimated by arithmetic" in result.out


def test_the_reason_for_no_shuffle_is_not_that_of_one(planned):
    _, dataset, said = planned()
    reasons = {one["name"]: one["reason"] for one in said["values"]}
    assert dataset["shuffle_caption"] is False
    assert "no shuffle" in reasons["shuffle_caption"]


def test_an_extension_without_its_point_is_the_same(planned):
    assert planned("--set", "caption_extension=txt")[1]["caption_extension"] == "txt"


def test_a_category_that_is_not_there_is_refused_before_anything_is_written(plan, audited):
    result = plan("--structure", "separator", "--leading", "nosuch", "--dry-run", root=audited)
    assert result.code == 2 and "is no category" in result.err


def test_a_date_before_a_folders_name_is_no_number_of_repeats(planned, tmp_path):
    root = dataset(tmp_path / "trips", 2, ("20240101_rome", "7_bonn"))
    subsets = planned(root=root)[1]["subsets"]
    assert [one["num_repeats"] for one in subsets] == [10, 7]
