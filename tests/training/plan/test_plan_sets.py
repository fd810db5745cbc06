"""`--set`: what it takes, what it refuses, and that it stands above the plan."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from plan_data import MACHINE, checkpoint, dataset

from tagflow.errors import UsageProblem
from tagflow.ontology import Ontology
from tagflow.training.plan.choices import parse_settings
from tagflow.training.plan.fitting import Surroundings, warmup_steps
from tagflow.training.plan.plan import PlanRequest, make_plan
from tagflow.training.plan.write import files
from tagflow.training.sd_scripts.options import known_options


def parsed(*texts):
    return parse_settings(texts, known_options())


def value(text):
    return next(iter(parsed(text).values()))


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """`train("a=b", ...)`: train.toml and the dataset of a plan with these settings."""
    place, ontology = tmp_path_factory.mktemp("sets"), Ontology.load("architecture")
    root, base = dataset(place / "rooms", 6), checkpoint(place / "base.safetensors")

    def call(*sets, name="sdxl-lora-v3", **asked):
        plan = make_plan(
            root, name, PlanRequest(base, ontology=ontology, **{"vram": "24GB", "sets": sets, **asked})
        )
        made = files(plan)
        (found,) = tomllib.loads(made["dataset.toml"])["datasets"]
        return tomllib.loads(made["train.toml"]), found, plan

    return call


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("network_dim=64", 64),
        ("--network-dim=64", 64),
        ("learning_rate=1e-4", 1e-4),
        ("noise_offset=0", 0.0),
        ("text_encoder_lr=1e-5,2e-5", [1e-5, 2e-5]),
        ("text_encoder_lr=1e-5 2e-5", [1e-5, 2e-5]),
        ("optimizer_args=weight_decay=0.1 betas=0.9,0.99", ["weight_decay=0.1", "betas=0.9,0.99"]),
        ("gradient_checkpointing=Off", False),
        ("lr_warmup_steps=10%", 0.1),
        ("lr_warmup_steps=50", 50),
        ("noise_offset=none", None),
        ("resolution=768", 768),
        ("resolution=1024x768", [1024, 768]),
        ("face_crop_aug_range=1,1.5", [1.0, 1.5]),
        ("caption_dropout_rate=0.1", 0.1),
    ],
)
def test_a_value_is_read_by_its_type(text, expected):
    assert value(text) == expected and type(value(text)) is type(expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("netwrk_dim=3", "network_dim"),
        ("text_encoder_lr1=1e-5", "text_encoder_lr"),
        ("max_buket_reso=3", "max_bucket_reso"),
        ("network_dim", "name=value"),
        ("network_dim=much", "a whole number"),
        ("learning_rate=nan", "a number"),
        ("mixed_precision=bf32", "no, fp16, bf16"),
        ("max_token_length=75", "150, 225"),
        ("sdpa=maybe", "true or false"),
        ("resolution=big", "resolution=big"),
        ("lr_warmup_steps=1.5", "1.5"),
        ("output_dir=/tmp", "--out DIR"),
        ("pretrained_model_name_or_path=x", "--base FILE"),
        ("image_dir=x", "dataset.toml"),
        ("batch_size=0", "from 1"),
        ("num_repeats=-1", "from 1"),
    ],
)
def test_what_it_cannot_mean_is_wrong_usage(text, says):
    with pytest.raises(UsageProblem) as refused:
        parsed(text)
    assert says in f"{refused.value.message} {refused.value.cure}"


def test_twice_is_refused_whatever_it_is_called():
    with pytest.raises(UsageProblem, match="twice"):
        parsed("batch_size=2", "train_batch_size=3")


def test_the_users_word_stands_and_says_so(train):
    options, found, plan = train(
        "network_dim=32", "flip_aug=true", "noise_offset=none", "max_bucket_reso=1536"
    )
    assert options["network_dim"] == 32 and "noise_offset" not in options
    assert (found["flip_aug"], found["max_bucket_reso"]) == (True, 1536)
    (told,) = [one for one in plan.choices.all() if one.name == "network_dim"]
    assert (told.source, told.reason) == ("--set", "asked for by --set; the plan had 128")
    assert "noise_offset" in {one.name for one in plan.choices.left_out()}


def test_what_belongs_to_a_subset_goes_there(train):
    _, found, _ = train("alpha_mask=true")
    assert "alpha_mask" not in found and found["subsets"][0]["alpha_mask"] is True


def test_batch_is_one_number_in_both_files(train):
    options, found, plan = train("batch_size=3", "gradient_accumulation_steps=4")
    assert (options["train_batch_size"], found["batch_size"]) == (3, 3)
    assert plan.length.steps_per_epoch == -(-plan.length.batches // 4)


def test_a_warm_up_is_at_most_a_tenth_unless_asked(train):
    options, _, plan = train(epochs=1)
    assert 0 < options["lr_warmup_steps"] <= plan.length.steps / 10
    assert train("lr_warmup_steps=400", epochs=1)[0]["lr_warmup_steps"] == 400
    fraction, _, plan = train("lr_warmup_steps=25%")
    assert (fraction["lr_warmup_steps"], warmup_steps(plan.choices, plan.length)) == (
        0.25,
        plan.length.steps // 4,
    )
    assert "lr_warmup_steps" not in train("lr_scheduler=constant")[0]
    assert "lr_scheduler_num_cycles" not in train("lr_scheduler=cosine")[0]


def test_steps_instead_of_epochs(train):
    options, _, plan = train("max_train_steps=7")
    assert options["max_train_steps"] == 7 and "max_train_epochs" not in options
    assert plan.length.steps == 7 and options["sample_every_n_steps"] == 1


def test_a_small_resolution_has_buckets_of_its_own(train):
    _, found, plan = train(resolution=256)
    assert (found["min_bucket_reso"], found["max_bucket_reso"]) == (64, 512)
    assert "--w 256 --h 256" in plan.prompts and all(w * h <= 256 * 256 for w, h in plan.buckets)


def without_bitsandbytes():
    packages = {name: None if name == "bitsandbytes" else "1" for name in MACHINE.packages}
    return replace(MACHINE, packages=packages, bf16=False)


def test_what_the_trainer_lacks_is_not_planned(train):
    around = Surroundings(machine=without_bitsandbytes(), gpus=MACHINE.gpus)
    options, _, _ = train(around=around, vram=None)
    assert options["optimizer_type"] == "AdamW"
    assert (options["mixed_precision"], options["save_precision"], options["no_half_vae"]) == (
        "fp16",
        "fp16",
        True,
    )
    assert train("optimizer_type=AdamW8bit", around=around)[0]["optimizer_type"] == "AdamW8bit"


def test_the_memory_that_is_free_is_what_counts(train):
    plan = train(around=Surroundings(machine=MACHINE, gpus=MACHINE.gpus), vram=None)[2]
    assert plan.vram.bytes == 80 * 10**9 and "free on a GPU" in plan.vram.source
    assumed = train(vram=None)[2]
    assert not assumed.vram.known and "memory-assumed" in {note.code for note in assumed.notes}


@pytest.mark.parametrize("side", [0, 63, 10**9])
def test_a_resolution_that_trains_nothing(train, side):
    with pytest.raises(UsageProblem, match="trains nothing"):
        train(f"resolution={side}")


def test_long_epochs_leave_states_on_the_way(train):
    options, _, plan = train("num_repeats=1000")
    assert plan.length.steps_per_epoch > 1000
    assert (options["save_every_n_steps"], options["save_last_n_steps"]) == (500, 500)
    assert (plan.sizes["files"], plan.sizes["states"]) == (9 + 2 + 1, 1 + 2 + 1)  # epochs, steps, the end
    assert "save_every_n_steps" not in train()[0]


def test_what_goes_against_the_structure_is_told(train):
    _, found, plan = train("shuffle_caption=true")
    assert found["shuffle_caption"] is True and "order-not-trained" in {note.code for note in plan.notes}
