"""Regularisation images, several concepts, masks, images held out, and the preset that is proposed."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from PIL import Image
from plan_data import checkpoint, dataset, faults, picture

from tagflow.training.plan.choices import presets, proposal
from tagflow.training.plan.folders import class_words

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("base") / "base.safetensors")


@pytest.fixture
def plan(tagflow, base):
    """`plan(root, ...)`: the command, for a GPU of 24 GB unless another is named."""

    def call(root, *args):
        vram = () if "--vram" in args else ("--vram", "24GB")
        return tagflow("train", "plan", root, "--base", base, *vram, *args)

    return call


def read(run):
    train = tomllib.loads((run / "train.toml").read_text(encoding="utf-8"))
    (found,) = tomllib.loads((run / "dataset.toml").read_text(encoding="utf-8"))["datasets"]
    return train, found, json.loads((run / "plan.json").read_text(encoding="utf-8"))


def without_captions(folder):
    for file in folder.glob("*.txt"):
        file.unlink()


def pictures(folder, count, size=(1024, 1024)):
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(count):
        picture(folder / f"p{at:03}.png", size)
        (folder / f"p{at:03}.txt").write_text(f"zkv house, garden, tag {at}", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("images", "vram", "preset"),
    [
        (8, "24GB", "sdxl-lora-light"),
        (45, "80GB", "sdxl-lora-light"),
        (45, "8GB", "unet-only-cached"),
        (101, "24GB", "sdxl-lora-v3"),
        (101, "13GB", "sdxl-lora-light"),
    ],
)
def test_the_preset_follows_from_the_images_and_the_gpu(plan, tmp_path, images, vram, preset):
    root = pictures(tmp_path / "house", images, (64, 64)).parent / "house"
    done = plan(root, "--out", tmp_path / "run", "--vram", vram)
    assert done.code == 0, done.err
    train, _, told = read(tmp_path / "run")
    assert told["preset"] == preset and f"proposed for {images} images: " in told["proposed"]
    assert told["proposed"] in done.out
    if images < 100:
        assert train["network_dim"] <= 32 and told["arithmetic"]["output_bytes"] < 3e9
        assert told["arithmetic"]["files"] <= 6


def test_the_last_proposal_has_no_limit_and_all_are_presets():
    assert proposal(10**6).images is None
    assert {name for images in (1, 10**6) for name in proposal(images).presets} <= presets().keys()


def test_a_named_preset_is_not_proposed(plan, tmp_path):
    done = plan(pictures(tmp_path / "house", 3), "--out", tmp_path / "run", "--preset", "sdxl-lora-v3")
    assert done.code == 0 and "proposed" not in json.loads((tmp_path / "run" / "plan.json").read_text())


@pytest.mark.parametrize("name", ["reg", "regularization", "Regularisation", "class", "reg_images"])
def test_images_of_the_class_are_known_by_their_folder(plan, tmp_path, name):
    root = dataset(tmp_path / "photos", 6, ("10_zkv house", f"{name}/2_house"))
    without_captions(root / name / "2_house")
    done = plan(root, "--out", tmp_path / "run")
    assert done.code == 0 and "info: regularisation-found" in done.err
    train, found, told = read(tmp_path / "run")
    concept, of_class = found["subsets"]
    assert "is_reg" not in concept and concept["num_repeats"] == 10
    assert (of_class["is_reg"], of_class["num_repeats"], of_class["class_tokens"]) == (True, 2, "house")
    assert train["prior_loss_weight"] == 1.0
    assert told["arithmetic"]["of_class"] == 30 and told["arithmetic"]["images_with_repeats"] == 60
    assert "regularisation, 'house'" in done.out and "30 of them regularisation images" in done.out
    assert [code for severity, code, _ in faults(tmp_path / "run") if severity != "info"] == []


def test_a_folder_of_another_name_is_a_concept(plan, tmp_path):
    root = dataset(tmp_path / "photos", 6, ("10_zkv house", "registered", "first class"))
    assert plan(root, "--out", tmp_path / "run").code == 0
    assert not any("is_reg" in one for one in read(tmp_path / "run")[1]["subsets"])


def test_images_of_the_class_beside_the_dataset(plan, tmp_path):
    root = dataset(tmp_path / "project" / "img", 4, ("10_zkv house",))
    dataset(tmp_path / "project" / "reg", 4, ("1_house",))
    done = plan(root, "--out", tmp_path / "run")
    assert done.code == 0 and "plan-audit-missing" in done.err
    _, found, told = read(tmp_path / "run")
    assert found["subsets"][1]["image_dir"] == (tmp_path / "project" / "reg" / "1_house").as_posix()
    assert "class_tokens" not in found["subsets"][1]  # each has its caption
    assert told["regularisation"]["captions"] == 4 and told["dataset"]["images"] == 4
    none = plan(root, "--out", tmp_path / "none", "--reg", "none")
    assert none.code == 0 and len(read(tmp_path / "none")[1]["subsets"]) == 1


def test_a_named_folder_of_the_class_in_the_dataset_or_elsewhere(plan, tmp_path):
    root = dataset(tmp_path / "photos", 4, ("zkv house", "houses"))
    assert plan(root, "--out", tmp_path / "in", "--reg", root / "houses").code == 0
    assert [one.get("is_reg") for one in read(tmp_path / "in")[1]["subsets"]] == [None, True]
    other = dataset(tmp_path / "elsewhere", 3)
    assert plan(root, "--out", tmp_path / "out", "--reg", other).code == 0
    assert [one.get("is_reg") for one in read(tmp_path / "out")[1]["subsets"]] == [None, None, True]


@pytest.mark.parametrize("reg", ["nowhere", ".", "photos", "empty"])
def test_a_folder_of_the_class_that_is_none(plan, tmp_path, reg):
    root = dataset(tmp_path / "photos", 2)
    (tmp_path / "empty").mkdir()
    done = plan(root, "--out", tmp_path / "run", "--reg", tmp_path / reg)
    assert done.code == 2 and "--reg" in done.err


@pytest.mark.parametrize("folder", ["reg", "reg/1_house, garden", "reg/1_{a|b}"])
def test_images_of_the_class_without_a_word_are_refused(plan, tmp_path, folder):
    root = dataset(tmp_path / "photos", 4, ("10_zkv house", folder))
    without_captions(root / folder)
    done = plan(root, "--out", tmp_path / "run")
    assert done.code == 1 and "error: regularisation-nameless" in done.err


def test_a_dataset_of_nothing_but_the_class(plan, tmp_path):
    root = dataset(tmp_path / "photos", 2, ("reg/1_house",))
    done = plan(root, "--out", tmp_path / "run")
    assert done.code == 3 and "--reg none" in done.err


def test_images_of_the_class_that_are_never_shown_are_told(plan, tmp_path):
    root = dataset(tmp_path / "photos", 8, ("1_zkv house", "reg/3_house"))
    done = plan(root, "--out", tmp_path / "run")
    assert "warning: regularisation-unused" in done.err and "2 of 4 images" in done.err
    assert "regularisation-unused" not in plan(root, "--out", tmp_path / "b", "--reg", "none").err


def test_what_the_class_is_called():
    names = {"1_house": "house", "house": "house", "reg": "", "10_a man": "a man", "old_house": "old_house"}
    assert {name: class_words(Path("x", name)) for name in names} == names


def captioned(folder, trigger, count):
    folder.mkdir(parents=True)
    for at in range(count):
        picture(folder / f"{at}.png")
        (folder / f"{at}.txt").write_text(f"{trigger}, kitchen, sofa {at}, photograph", encoding="utf-8")


def test_concepts_have_their_triggers_and_even_repeats(plan, tagflow, tmp_path):
    root = tmp_path / "both"
    captioned(root / "house", "zkv house", 12)
    captioned(root / "cat", "mrlw cat", 4)
    (root / "tagflow.toml").write_text('[trigger.folders]\nhouse = ["zkv house"]\ncat = ["mrlw cat"]\n')
    assert tagflow("reorder", root).code == 0
    done = plan(root, "--out", tmp_path / "run")
    assert done.code == 0 and "concepts-uneven" not in done.err
    train, found, told = read(tmp_path / "run")
    repeats = {one["image_dir"].rpartition("/")[2]: one["num_repeats"] for one in found["subsets"]}
    assert repeats == {"house": 10, "cat": 30}
    assert {one["name"]: one["triggers"] for one in told["folders"]} == {
        "house": ["zkv house"],
        "cat": ["mrlw cat"],
    }
    assert train["metadata_trigger_phrase"] == "mrlw cat, zkv house"
    prompts = (tmp_path / "run" / "prompts.txt").read_text().splitlines()[1:]
    assert all(("zkv house" in one) != ("mrlw cat" in one) for one in prompts)
    assert any("zkv house" in one for one in prompts) and any("mrlw cat" in one for one in prompts)
    assert "cat: 4 images x 30 (mrlw cat)" in done.out
    uneven = plan(root, "--out", tmp_path / "b", "--repeats", 5)
    assert "warning: concepts-uneven" in uneven.err and "15_... for cat" in uneven.err


def test_folders_of_one_concept_are_repeated_alike(plan, tmp_path):
    root = tmp_path / "one"
    captioned(root / "far", "zkv house", 6)
    captioned(root / "near", "zkv house", 2)
    assert plan(root, "--out", tmp_path / "run").code == 0
    assert {one["num_repeats"] for one in read(tmp_path / "run")[1]["subsets"]} == {10}


def masks_of(root, place):
    for file in root.rglob("*.png"):
        folder = place / file.parent.relative_to(root)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / file.name)


def test_masks_are_planned_when_asked(plan, tmp_path):
    root = dataset(tmp_path / "photos", 4, ("10_zkv house", "near"))
    masks_of(root, tmp_path / "masks")
    done = plan(root, "--out", tmp_path / "run", "--masks", tmp_path / "masks")
    assert done.code == 0, done.err
    train, found, _ = read(tmp_path / "run")
    assert train["masked_loss"] is True
    assert [one["conditioning_data_dir"].rpartition("/")[2] for one in found["subsets"]] == [
        "10_zkv house",
        "near",
    ]
    assert [one for one in faults(tmp_path / "run") if one[0] != "info"] == []


def test_masks_of_other_images_are_refused(plan, tmp_path):
    root = dataset(tmp_path / "photos", 3)
    masks_of(root, tmp_path / "masks")
    (tmp_path / "masks" / "i00.png").rename(tmp_path / "masks" / "more.png")
    done = plan(root, "--out", tmp_path / "run", "--masks", tmp_path / "masks")
    assert done.code == 1 and "error: masks-unfit" in done.err
    assert "no mask of i00" in done.err and "masks of no image: more" in done.err


def test_masks_in_the_dataset_are_no_images_to_train_on(plan, tmp_path):
    root = dataset(tmp_path / "photos", 3)
    masks_of(root, tmp_path / "m")
    shutil.move(tmp_path / "m", root / "masks")
    done = plan(root, "--out", tmp_path / "run")
    assert done.code == 0 and "info: masks-unused" in done.err
    train, found, _ = read(tmp_path / "run")
    assert len(found["subsets"]) == 1 and "masked_loss" not in train
    asked = plan(root, "--out", tmp_path / "b", "--masks", root / "masks")
    assert asked.code == 0 and "masks-unused" not in asked.err
    assert read(tmp_path / "b")[0]["masked_loss"] is True


def test_transparency_as_a_mask_goes_with_the_class(plan, tmp_path):
    root = tmp_path / "photos"
    for folder in ("10_zkv house", "reg/1_house"):
        (root / folder).mkdir(parents=True)
        for at in range(2):
            Image.new("RGBA", (1024, 1024)).save(root / folder / f"{at}.png")
            (root / folder / f"{at}.txt").write_text("zkv house, garden")
    assert plan(root, "--out", tmp_path / "run", "--masks", "alpha").code == 0
    train, found, _ = read(tmp_path / "run")
    assert train["masked_loss"] and [one.get("alpha_mask") for one in found["subsets"]] == [True, None]


@pytest.mark.parametrize("more", [("--validation", "0.2"), ("--reg", "reg")])
def test_a_folder_of_masks_goes_with_neither(plan, tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    root = dataset(tmp_path / "photos", 3)
    dataset(tmp_path / "reg", 2, ("1_house",))
    masks_of(root, tmp_path / "masks")
    done = plan(root, "--out", tmp_path / "run", "--masks", tmp_path / "masks", *more)
    assert done.code == 2 and "--masks" in done.err


@pytest.mark.parametrize("share", ["0.25", "25%"])
def test_images_are_held_out_when_asked(plan, tmp_path, share):
    root = dataset(tmp_path / "photos", 8)
    done = plan(root, "--out", tmp_path / "run", "--validation", share)
    assert done.code == 0 and "2 images held out to validate" in done.out
    _, found, told = read(tmp_path / "run")
    assert (found["validation_split"], found["validation_seed"]) == (0.25, 42)
    assert told["arithmetic"]["held_out"] == 2 and told["arithmetic"]["images_with_repeats"] == 60
    assert [one for one in faults(tmp_path / "run") if one[0] != "info"] == []


@pytest.mark.parametrize("share", ["0", "1", "much", "120%", "0.01"])
def test_a_share_that_is_none(plan, tmp_path, share):
    done = plan(dataset(tmp_path / "photos", 4), "--out", tmp_path / "run", "--validation", share)
    assert done.code == 2


def test_what_is_enlarged_is_counted(plan, tmp_path):
    root = pictures(tmp_path / "photos", 3)
    picture(root / "p000.png", (500, 700))
    done = plan(root, "--out", tmp_path / "run")
    assert "1024 x 1024: 1 of 3 images are smaller and are enlarged" in done.out
    assert read(tmp_path / "run")[2]["arithmetic"]["upscaled"] == 1


def test_the_lora_says_what_it_was_made_of(plan, tagflow, tmp_path):
    root = dataset(tmp_path / "photos", 8)
    assert tagflow("reorder", root, "--trigger", "zkv house").code == 0
    assert plan(root, "--out", tmp_path / "run").code == 0
    train, _, told = read(tmp_path / "run")
    digest = told["dataset"]["dataset_digest"][:12]
    assert (
        f"preset sdxl-lora-light; audit uncertified of dataset {digest}; trigger zkv house"
        in train["training_comment"]
    )
    assert train["metadata_title"] == train["output_name"] and train["metadata_trigger_phrase"] == "zkv house"
    assert "zkv house" not in train["metadata_tags"] and "natural light" in train["metadata_tags"]
    assert all(len(train[name]) <= 250 for name in ("training_comment", "metadata_title", "metadata_tags"))


@pytest.mark.parametrize("structure", ["separator", "groups"])
def test_images_of_the_class_beside_rendered_captions(plan, tagflow, tmp_path, structure):
    root = dataset(tmp_path / "photos", 9, ("10_zkv house", "reg/1_house", "reg/2_hut"))
    without_captions(root / "reg" / "1_house")
    other = dataset(tmp_path / "reg", 3, ("3_villa",))
    assert tagflow("reorder", root).code == 0
    done = plan(root, "--out", tmp_path / "run", "--structure", structure)
    assert done.code == 0, done.err
    _, found, _ = read(tmp_path / "run")
    places = {one["image_dir"].removeprefix(tmp_path.as_posix()): one for one in found["subsets"]}
    assert list(places) == ["/run/data/01_10_zkv house", "/photos/reg/1_house", "/run/data/02_reg-2_hut"]
    assert places["/photos/reg/1_house"]["shuffle_caption"] is False
    assert [one for one in faults(tmp_path / "run") if one[0] != "info"] == []
    assert plan(root, "--out", tmp_path / "b", "--structure", structure, "--reg", other).code == 0
    assert read(tmp_path / "b")[1]["subsets"][-1]["shuffle_caption"] is False
    mixed = root / "reg" / "2_hut"
    next(mixed.glob("*.txt")).unlink()
    refused = plan(root, "--out", tmp_path / "c", "--structure", structure)
    assert refused.code == 1 and "image-uncaptioned" in refused.err
