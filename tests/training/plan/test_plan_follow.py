"""What moves with `--set`: no value of a plan is idle or stops the trainer unless it was set."""

from __future__ import annotations

import tomllib
from itertools import product

import pytest
from examples import THOROUGH
from plan_data import checkpoint, dataset, faults

from tagflow.cli.boundary import run as run_tagflow
from tagflow.ontology import Ontology
from tagflow.training.plan.choices import presets
from tagflow.training.plan.plan import PlanRequest, make_plan
from tagflow.training.plan.write import write_plan

pytestmark = pytest.mark.slow
ONTOLOGY = Ontology.load("architecture")
OPTIMIZERS = (
    "Prodigy", "DAdaptation", "DAdaptAdam", "DAdaptLion", "prodigyplus.ProdigyPlusScheduleFree",
    "AdamWScheduleFree", "AdaFactor", "Lion", "AdamW",
)  # fmt: skip
SETTINGS = (
    "learning_rate=2e-4", "unet_lr=2e-4", "text_encoder_lr=1e-5", "network_dim=8",
    "max_train_steps=300", "network_train_unet_only=true", "network_train_unet_only=false",
    "network_train_text_encoder_only=true", "cache_text_encoder_outputs=true",
    "cache_latents=false", "random_crop=true", "color_aug=true", "xformers=true",
    "mem_eff_attn=true", "use_8bit_adam=true", "full_bf16=true", "full_fp16=true",
    "mixed_precision=fp16", "mixed_precision=no", "enable_bucket=false", "bucket_no_upscale=true",
    "save_state=false", "no_metadata=true", "lr_scheduler=constant", "lr_scheduler=linear",
    "lr_scheduler_type=CosineAnnealingLR", "debiased_estimation_loss=true",
    "multires_noise_iterations=6", "zero_terminal_snr=true", "sample_every_n_epochs=2", "seed=7",
    "log_with=none", "save_every_n_epochs=3", "resolution=768", "max_token_length=150",
    "lr_scheduler=none",
)  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("base") / "base.safetensors")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A concept and regularisation images without captions, and with them."""
    root = dataset(
        tmp_path_factory.mktemp("photos") / "photos", 9, ("10_zkv house", "reg/1_house", "reg/2_hut")
    )
    for file in (root / "reg" / "1_house").glob("*.txt"):
        file.unlink()
    assert run_tagflow(["reorder", str(root)]) == 0
    return root


@pytest.fixture
def made(photos, base, tmp_path):
    """`made("a=b", ...)`: the plan with these settings, and its train.toml."""

    def call(*sets, name="sdxl-lora-v3", **asked):
        request = PlanRequest(base, **{"vram": "24GB", "ontology": ONTOLOGY, "sets": sets, **asked})
        plan = make_plan(photos, name, request)
        if not plan.refused:
            write_plan(plan)
            return plan, tomllib.loads((plan.run / "train.toml").read_text(encoding="utf-8"))
        return plan, {}

    return call


def reason(plan, name):
    return next(one.reason for one in (*plan.choices.all(), *plan.choices.left_out()) if one.name == name)


PAIRS = list(product(presets(), OPTIMIZERS))
PAIRS = PAIRS if THOROUGH else PAIRS[::4]  # no divisor of nine: each optimizer has its turn


@pytest.mark.parametrize(("name", "optimizer"), PAIRS)
def test_every_preset_with_every_optimizer_is_clean(made, tmp_path, name, optimizer):
    plan, _ = made(f"optimizer_type={optimizer}", name=name, out=tmp_path / "run")
    assert [one for one in plan.notes if one.option] == []
    found = [one for one in faults(tmp_path / "run") if one[0] != "info" and one[1] != "package-missing"]
    assert [one for one in found if "installed" not in one[2]] == []


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_is_set_leaves_nothing_idle_in_the_plan_or_says_so(made, tmp_path, setting):
    plan, _ = made(setting, out=tmp_path / "run")
    said = {one.code for one in plan.notes}
    if not plan.refused:
        found = {one[1] for one in faults(tmp_path / "run") if one[0] != "info"}
        assert {code for code in found - said if not code.endswith("missing")} == set()


def test_an_optimizer_that_finds_its_rate_has_one_and_it_is_1(made, tmp_path):
    plan, train = made("optimizer_type=Prodigy", out=tmp_path / "run")
    assert (train["learning_rate"], train["unet_lr"], train["text_encoder_lr"]) == (1.0, 1.0, [1.0])
    assert train["lr_scheduler"] == "cosine" and "lr_warmup_steps" not in train
    assert (
        "finds the rate itself" in reason(plan, "unet_lr")
        and "safeguard_warmup=True" in train["optimizer_args"]
    )


def test_a_rate_that_was_set_is_that_of_all_parts_of_such_an_optimizer(made, tmp_path):
    _, train = made("optimizer_type=DAdaptAdam", "learning_rate=0.5", out=tmp_path / "run")
    assert (train["learning_rate"], train["unet_lr"], train["text_encoder_lr"]) == (0.5, 0.5, [0.5])


def test_rates_and_alpha_keep_the_presets_proportion(made, tmp_path):
    plan, train = made("learning_rate=2e-4", "network_dim=32", out=tmp_path / "run")
    assert (train["unet_lr"], train["text_encoder_lr"], train["network_alpha"]) == (2e-4, [1e-4], 16.0)
    assert "keeps the preset's proportion" in reason(plan, "text_encoder_lr")
    assert "network_dim was set" in reason(plan, "network_alpha")


def test_what_was_set_too_is_not_moved(made, tmp_path):
    _, train = made(
        "learning_rate=2e-4", "unet_lr=3e-4", "network_dim=32", "network_alpha=32", out=tmp_path / "run"
    )
    assert (train["unet_lr"], train["text_encoder_lr"], train["network_alpha"]) == (3e-4, [1e-4], 32.0)


def test_text_encoders_that_are_trained_after_all_have_a_rate(made, tmp_path):
    plan, train = made("network_train_unet_only=false", name="unet-only-cached", out=tmp_path / "run")
    assert train["text_encoder_lr"] == [5e-5] and "cache_text_encoder_outputs" not in train
    assert "half of the U-Net's rate" in reason(plan, "text_encoder_lr")


def test_what_cannot_be_moved_is_told(made, tmp_path):
    plan, _ = made("text_encoder_lr=1e-5", name="unet-only-cached", out=tmp_path / "run")
    assert "text-encoder-lr-idle" in {one.code for one in plan.notes} and not plan.refused
    plan, _ = made("optimizer_type=Prodigy", "unet_lr=1e-4", "text_encoder_lr=5e-5", out=tmp_path / "other")
    assert {"adaptive-rate-low", "adaptive-rates-several"} <= {one.code for one in plan.notes}


def test_what_stops_the_trainer_is_not_written(made, tmp_path):
    plan, _ = made("lr_scheduler=constant", "lr_warmup_steps=50", out=tmp_path / "run")
    assert plan.refused and not (tmp_path / "run").exists()
    assert "scheduler-warmup" in {one.code for one in plan.notes}
