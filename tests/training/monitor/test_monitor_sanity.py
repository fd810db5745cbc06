"""What is said without any trend: senseless losses, true rates, scaled keys, validation; and what is not."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from child_trainer import write_lora
from event_files import Log, noisy

from tagflow.findings.catalogue import catalogue
from tagflow.training.monitor.diagnose import diagnose
from tagflow.training.monitor.watch import Watch

RNG = np.random.default_rng(9)
SOUND = noisy(RNG, 400, batch=1, fall=0.3)
OURS = {
    "loss-zero", "loss-constant", "loss-huge", "loss-about-one", "true-rate-high", "true-rate-stuck",
    "all-keys-scaled", "validation-rising", "loss-diverging",
}  # fmt: skip


@pytest.fixture
def said(tmp_path):
    """`said(losses, ...)`: the codes of this file's kinds for a run that logged these, and the findings."""

    def look(losses, lr=1e-4, per_step=None, epochs=None, at_step=None, files=(), per_epoch=100, **values):
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        sums = {"steps": 1000, "warmup_steps": 0, "steps_per_epoch": per_epoch, "epochs": 10}
        rows = [{"file": "train.toml", "name": name, "value": value} for name, value in values.items()]
        (folder / "plan.json").write_text(json.dumps({"arithmetic": sums, "values": rows}))
        log, begin = Log(folder / "logs"), time.time() - len(losses)
        for step, loss in enumerate(losses, 1):
            more = {tag: float(given[step - 1]) for tag, given in (per_step or {}).items()}
            log.step(step, begin + step, float(loss), lr, **more)
        for number, value in enumerate(epochs or (), 1):
            log.write(number, begin + per_epoch * number + 0.5, {"loss/validation/epoch_average": value})
        for step, value in (at_step or {}).items():
            log.write(step, begin + step + 0.5, {"loss/validation/step_average": value})
        log.close()
        (folder / "output").mkdir()
        for name in files:
            write_lora(folder / "output" / name)
        found = {one.code: one for one in diagnose(Watch(folder).look())}
        return {code: one for code, one in found.items() if code in OURS}

    return look


def mismatched(count, variance, batch):
    """The losses of a perfect model of the other prediction type, by SDXL's schedule."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    signal = np.cumprod(1 - betas)
    error = (1 - np.sqrt(signal)) ** 2 + (1 - signal) * variance
    return RNG.choice(error, (count, batch)).mean(axis=1)


@pytest.mark.parametrize(
    ("losses", "code"),
    [
        (np.zeros(40), "loss-zero"),
        (np.append(SOUND[:100], np.zeros(30)), "loss-zero"),
        (np.full(40, 0.0842611), "loss-constant"),
        (np.append(SOUND[:100], np.full(30, 1.5)), "loss-constant"),
        (4000 * SOUND[:40] / SOUND[:40].mean(), "loss-huge"),
        (RNG.lognormal(8, 1, 300), "loss-huge"),
        (RNG.normal(1, 0.05, 60), "loss-about-one"),
        (mismatched(200, 1.0, 1), "loss-about-one"),
        (mismatched(200, 0.7, 2), "loss-about-one"),
        (1 + 0.5 * SOUND, "loss-about-one"),
    ],
)
def test_a_senseless_loss_is_an_alarm_that_says_what_it_usually_means(said, losses, code):
    found = said(losses)
    assert list(found) == [code] and found[code].severity == "error"
    assert found[code].cure and found[code].detail and catalogue("monitor")[code].explanation


@pytest.mark.parametrize(
    "losses",
    [
        SOUND,
        noisy(RNG, 400, batch=8),
        np.append(SOUND[:100], np.zeros(5)),  # some images with black masks
        np.where(np.arange(300) % 3 == 0, 0.0, SOUND[:300]),
        np.append(np.full(6, 0.2), SOUND[:100]),
        3 * SOUND,  # v-prediction
        np.append([1.1, 0.9, 1.3, 0.8, 1.0], SOUND[:200]),
        np.full(9, 0.0),  # too few to tell
        np.append(SOUND[:100], [900.0, 2000.0, 0.1, *SOUND[:50]]),
    ],
)
def test_a_sound_loss_is_none_of_these(said, losses):
    assert said(losses) == {}


def test_about_one_may_be_as_it_should(said):
    losses = mismatched(200, 1.0, 1)
    assert said(losses, v_pred_like_loss=1.0) == {} and said(losses, max_timestep=100) == {}
    assert list(said(losses, max_timestep=1000)) == ["loss-about-one"]


def test_a_loss_that_rises_to_thousands_is_diverging(said):
    assert list(said(SOUND[:300] * 10 ** np.linspace(0, 5, 300))) == ["loss-diverging"]


def found_rates(first, last, grows_from, count=400):
    """Prodigy's d: as it began, then growing."""
    rest = np.geomspace(first, last, max(1, count - grows_from))
    return np.append(np.full(grows_from, first), rest)[:count]


@pytest.mark.parametrize(
    ("true", "lr", "code"),
    [
        (np.full(400, 1e-6), 1.0, "true-rate-stuck"),
        (np.full(400, 1e-10), 1e-4, "true-rate-stuck"),  # a rate that is meant for AdamW
        (np.full(400, 1e-5), 1.0, "true-rate-stuck"),
        (found_rates(1e-6, 0.03, 50), 1.0, "true-rate-high"),
        (found_rates(1e-6, 4e-4, 120), 1.0, None),
        (found_rates(1e-6, 9e-3, 50), 1.0, None),
        (found_rates(1e-6, 6e-6, 300), 1.0, None),  # it has begun to grow
        (np.full(100, 1e-6), 1.0, None),  # it may still come
        (np.full(400, 3e-4), 1.0, None),  # resumed: it was found before
    ],
)
def test_the_true_rate_of_prodigy(said, true, lr, code):
    found = said(SOUND[: len(true)], lr, {"lr/d*lr/unet": true, "lr/d*lr/group1": true})
    assert list(found) == ([code] if code else [])
    if code:
        assert found[code].severity == "error" and "unet" in found[code].detail


def test_optimizers_with_steps_of_another_size_may_go_further(said):
    high = {"lr/d*lr/unet": np.full(400, 0.4)}
    assert said(SOUND, 1.0, high, optimizer_type="DAdaptSGD") == {}
    assert list(said(SOUND, 1.0, high, optimizer_type="Prodigy")) == ["true-rate-high"]


def test_prodigy_plus_logs_its_first_group_without_a_name(said):
    assert list(said(SOUND, 1.0, {"lr/d*lr": np.full(400, 1e-6)})) == ["true-rate-stuck"]


def test_the_true_rate_is_shown(tmp_path, tagflow):
    log = Log(tmp_path / "logs")
    for step in range(1, 60):
        log.step(step, 1000.0 + step, 0.1 + step / 1000, 1.0, **{"lr/d*lr/unet": 3.25e-4})
    log.close()
    assert "in truth (d times the rate): unet 0.000325" in tagflow("monitor", tmp_path / "logs", "--once").out
    told = tagflow("monitor", tmp_path / "logs", "--once", "--json").json
    assert told["true_rates"] == {"unet": pytest.approx(3.25e-4)} and told["rates"]["unet"] == 1.0


@pytest.mark.parametrize(
    ("keys", "files", "warned"),
    [
        (986, (), True), (930, (), True), (722, (), False), (40, (), False), (0, (), False),
        (1, ("house-000001.safetensors",), True), (0, ("house-000001.safetensors",), False),
    ],
)  # fmt: skip
def test_keys_that_are_scaled(said, keys, files, warned):
    """Both text encoders are trained; the LoRA file of these tests has a single module."""
    found = said(SOUND, per_step={"max_norm/keys_scaled": np.full(400, keys)}, files=files)
    assert list(found) == (["all-keys-scaled"] if warned else [])


SAVED = ("house-000002.safetensors", "house-000003.safetensors", "house-000004.safetensors")


@pytest.mark.parametrize(
    ("epochs", "files", "told"),
    [
        ([0.12, 0.11, 0.115, 0.12], SAVED, "take house-000002.safetensors"),
        ([0.12, 0.11, 0.10, 0.11, 0.13], ("house-000002.safetensors", "house-000005.safetensors"),
         "epoch 3 was not saved; take house-000002.safetensors, the nearest"),
        ([0.10, 0.104, 0.11, 0.12], ("house-step00000120.safetensors",), "take house-step00000120.saf"),
        ([0.12, 0.11, 0.115, 0.12], (), "take the LoRA of epoch 2"),
        ([0.12, 0.11, 0.10, 0.12], SAVED, None),  # once is no trend
        ([0.12, 0.11, 0.111, 0.112], SAVED, None),
        ([0.12, 0.11, 0.13, 0.105], SAVED, None),
        ([0.12, 0.11, 0.10, 0.09], SAVED, None),
    ],
)  # fmt: skip
def test_a_validation_loss_that_rises_names_the_file_to_take(said, epochs, files, told):
    found = said(SOUND, epochs=epochs, files=files)
    assert list(found) == (["validation-rising"] if told else [])
    if told:
        assert told in found["validation-rising"].detail and told[1:] in found["validation-rising"].cure


def test_validation_by_steps_is_judged_as_well(said):
    values = {50: 0.12, 100: 0.10, 150: 0.11, 200: 0.115}
    found = said(SOUND, at_step=values, files=("house-step00000100.safetensors", "house-000002.safetensors"))
    assert "take house-step00000100.safetensors" in found["validation-rising"].detail


def test_where_the_training_loss_rises_too_it_is_no_overfitting(said):
    climb = np.clip((np.arange(400) - 200) / 80, 0, 1)
    assert list(said(SOUND * 5**climb, epochs=[0.12, 0.11, 0.2, 0.5])) == ["loss-diverging"]


def test_the_validation_loss_is_shown(tmp_path, tagflow):
    log = Log(tmp_path / "logs")
    for step, loss in enumerate(SOUND[:60], 1):
        log.step(step, 1000.0 + step, float(loss))
    for number, value in enumerate((0.3, 0.2, 0.25), 1):
        log.write(number, 1100.0 + number, {"loss/validation/epoch_average": value})
    log.close()
    assert "validated 0.25; lowest 0.2 at epoch 2" in tagflow("monitor", tmp_path / "logs", "--once").out
    told = tagflow("monitor", tmp_path / "logs", "--once", "--json").json
    assert told["validation"] == {"last": 0.25, "lowest": pytest.approx(0.2), "lowest_at_epoch": 2}
