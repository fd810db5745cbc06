"""Copies and forgeries around the gate: what is laid beside a run, into its dataset or into its lists."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from child_trainer import behave
from gate_cases import relisted, rendered, replace_line, swapped

from tagflow.audit.file import current_audit
from tagflow.errors import SourceError
from tagflow.training.check.rules import faults_of
from tagflow.training.setup.read import setup_of_run, with_files
from tagflow.training.start.gate import evaluate_gate, planned_start

Forge = Callable[[Path], object]


def refusals(run: Path) -> set[str]:
    return {fault.code for fault in evaluate_gate(run).refusals()}


def subset(run: Path, line: str) -> None:
    replace_line(run / "dataset.toml", "num_repeats", f"num_repeats = 1\n{line}")


def more(run: Path, line: str) -> None:
    replace_line(run / "train.toml", "seed", f"seed = 7\n{line}")


def cache_info(run: Path, **others: str) -> None:
    """A folder cache with the captions as they are, newer than all, and further entries by path."""
    data = run.parent / "dataset"
    subset(run, "cache_info = true")
    paths = {str(data / f"{at}.png"): (data / f"{at}.txt").read_text() for at in range(3)} | others
    entries = {path: {"caption": text, "resolution": [8, 8]} for path, text in paths.items()}
    (data / "metadata_cache.json").write_text(json.dumps(entries))
    os.utime(data / "metadata_cache.json", (2**33, 2**33))


def test_a_folder_cache_of_these_captions_is_no_hindrance(run: Path) -> None:
    cache_info(run)
    assert refusals(run) == set()


def another_text(run: Path) -> None:
    cache_info(run, **{str(run.parent / "dataset" / "0.png"): "seen by nobody"})


def images_elsewhere(run: Path) -> None:
    data = run.parent / "dataset"
    cache_info(run)
    text = (data / "metadata_cache.json").read_text()
    (data / "metadata_cache.json").write_text(text.replace(str(data), str(run.parent / "other")))


def an_image_twice(run: Path) -> None:
    cache_info(run, **{"/elsewhere/0.png": (run.parent / "dataset" / "0.txt").read_text()})


def an_image_below(run: Path) -> None:
    cache_info(run, **{str(run.parent / "dataset" / "below" / "9.png"): "seen by nobody"})


def drawn(run: Path) -> None:
    """One of the alternatives is a word that was certified, and the other is not."""
    place = rendered(run)
    text = (place / "0.txt").read_text()
    (place / "0.txt").write_text(text.replace("natural light", "{natural light|neon}"))
    relisted(place)
    subset(run, "enable_wildcard = true")


def another_line(run: Path) -> None:
    place = rendered(run)
    (place / "0.txt").write_text((place / "0.txt").read_text() + "seen by nobody\n")
    relisted(place)
    subset(run, "enable_wildcard = true")


def changed_places(run: Path) -> None:
    swapped(rendered(run))


def images_changed_places(run: Path) -> None:
    place = rendered(run)
    for one, other in (("0.png", "spare"), ("1.png", "0.png"), ("spare", "1.png")):
        (place / one).rename(place / other)


def the_certified_order_in_front_reversed(run: Path) -> None:
    place = rendered(run)
    tags = [tag.strip() for tag in (place / "0.txt").read_text().replace("|||", ",").split(",")]
    (place / "0.txt").write_text(f"{', '.join(reversed(tags))} |||\n")
    relisted(place)


def another_mark(run: Path) -> None:
    """A mark that the audit names: the rendered captions have `|||` whatever it is."""
    place = rendered(run)
    (place / "0.txt").write_text((place / "0.txt").read_text().replace("|||", "##"))
    relisted(place)
    replace_line(run / "dataset.toml", "keep_tokens_separator", 'keep_tokens_separator = "##"')


def told_not_to_shuffle(run: Path) -> None:
    rendered(run)
    replace_line(run / "dataset.toml", "shuffle_caption", "shuffle_caption = false")


def said_to_be_plain(run: Path) -> None:
    rendered(run)
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps({**plan, "structure": {"kind": "none"}}))


def audit_of_another_folder(run: Path) -> None:
    """The audit and the state of a folder where the caption is another one, laid into this one."""
    data, other = run.parent / "dataset", run.parent / "other"
    shutil.copytree(data, other)
    (data / "0.txt").write_text("seen by nobody", encoding="utf-8")
    shutil.copyfile(other / "tagflow-audit.parquet", data / "tagflow-audit.parquet")
    shutil.rmtree(data / ".tagflow")
    shutil.copytree(other / ".tagflow", data / ".tagflow")


def unreadable(content: bytes) -> Forge:
    """A folder cache that the trainer may read and we do not, newer than all captions."""

    def forge(run: Path) -> None:
        cache_info(run)
        file = run.parent / "dataset" / "metadata_cache.json"
        file.write_bytes(content or b" " * (64 << 20) + file.read_bytes())
        os.utime(file, (2**33, 2**33))

    return forge


def rates(lines: str) -> Forge:
    def forge(run: Path) -> None:
        subset(run, lines)

    return forge


def output_in_another_run(run: Path) -> None:
    other = shutil.copytree(run, run.with_name("other"))
    replace_line(run / "train.toml", "output_dir", f"output_dir = {json.dumps(str(other / 'output'))}")


def logs_in_another_run(run: Path) -> None:
    other = shutil.copytree(run, run.with_name("other"))
    replace_line(run / "train.toml", "logging_dir", f"logging_dir = {json.dumps(str(other / 'logs'))}")


def prefix_above_the_logs(run: Path) -> None:
    more(run, 'log_prefix = "../../x"')


def tracker_elsewhere(run: Path) -> None:
    more(run, 'log_tracker_name = "/x"')


def named(name: str) -> Forge:
    def forge(run: Path) -> None:
        replace_line(run / "train.toml", "output_name", f"output_name = {json.dumps(name)}")

    forge.__name__ = name
    return forge


def weights(word: str) -> Forge:
    def forge(run: Path) -> None:
        (run / "style.pt").write_bytes(b"PK\x03\x04")
        more(run, f"base_weights = {json.dumps([word.format(run=run)])}")

    forge.__name__ = word
    return forge


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (another_text, "caches-stale"),
        (images_elsewhere, "cache-info-stale"),
        (an_image_twice, "cache-info-stale"),
        (an_image_below, "cache-info-stale"),
        (unreadable(b""), "caches-stale"),
        (unreadable(b"[]"), "caches-stale"),
        (unreadable(b'{"x": []}'), "caches-stale"),
        (rates("caption_dropout_rate = 0.8\ncaption_dropout_every_n_epochs = 2"), "dropout-nearly-always"),
        (rates("caption_dropout_rate = 0.7\ncaption_tag_dropout_rate = 0.7"), "dropout-nearly-always"),
        (drawn, "rendered-tags-differ"),
        (another_line, "rendered-tags-differ"),
        (changed_places, "rendered-tags-differ"),
        (images_changed_places, "rendered-tags-differ"),
        (the_certified_order_in_front_reversed, "rendered-tags-differ"),
        (another_mark, "rendered-tags-differ"),
        (told_not_to_shuffle, "separator-left"),
        (said_to_be_plain, "dataset-foreign"),
        (audit_of_another_folder, "captions-drifted"),
        (output_in_another_run, "run-copied"),
        (logs_in_another_run, "run-copied"),
        (prefix_above_the_logs, "output-name-path"),
        (tracker_elsewhere, "output-name-path"),
        (named("/x/house"), "output-name-path"),
        (named("..\\house"), "output-name-path"),
        (named("below/house"), "output-name-path"),
        (named(".."), "output-name-path"),
        (named("."), "output-name-path"),
        (named("house/"), "output-name-path"),
        (named("house\\"), "output-name-path"),
        (weights("style.safetensors"), "base-weights-text"),
        (weights("{run}/style.pt"), "base-weights-text"),
        (weights("{run}/train.toml"), "base-weights-text"),
        (weights("{run}/gone.safetensors"), "base-weights-text"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_it_is_refused(run: Path, forge: Forge, code: str) -> None:
    forge(run)
    assert code in refusals(run)


def test_a_dataset_that_cannot_be_looked_through_is_no_crash(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered(run)
    monkeypatch.setattr("tagflow.training.structure.source.survey", unlisted)
    found = {fault.code: fault.detail for fault in evaluate_gate(run).refusals()}
    assert found.keys() == {"rendered-tags-differ"} and "cannot be compared" in found["rendered-tags-differ"]


def unlisted(root: Path, **more: object) -> None:
    raise SourceError(f"{root}/below: cannot be listed", "mend its permissions")


@pytest.mark.parametrize("text", ["a (b)", "a [b]", "a \\(b\\)", "a (b", "a [b:0.5"])
def test_whatever_weighs_is_other_tokens(run: Path, text: str) -> None:
    (run.parent / "dataset" / "0.txt").write_text(f"ohwx house, {text}")
    more(run, "weighted_captions = true")
    assert "brackets-weigh" in refusals(run)


@pytest.mark.parametrize("text", [":)", "a) b]", "a:1.2", "first line\n(second line)"])
def test_what_does_not_weigh_or_is_not_read_is_no_matter(run: Path, text: str) -> None:
    (run.parent / "dataset" / "0.txt").write_text(f"ohwx house, {text}")
    more(run, "weighted_captions = true")
    assert "brackets-weigh" not in refusals(run)


def test_a_dataset_that_was_copied_with_its_run_is_not_trained_by_the_first_ones_paths(run: Path) -> None:
    """All of it copied: what is trained would be the other folder, whatever lies in this one."""
    copy = shutil.copytree(run.parent, run.parent.with_name("copy"), symlinks=True)
    assert refusals(copy / run.name) == {"run-copied"}
    for file in ("train.toml", "dataset.toml", "plan.json"):
        text = (copy / run.name / file).read_text()
        (copy / run.name / file).write_text(text.replace(str(run.parent), str(copy)))
    assert refusals(copy / run.name) == set()  # it is a whole of its own then, and certified
    (copy / "dataset" / "0.txt").write_text("seen by nobody")
    assert refusals(copy / run.name) == {"captions-drifted"}
    assert current_audit(copy / "dataset") is not None


def test_encoded_captions_are_known_where_an_attempt_made_them_and_else_trusted_by_time(
    run: Path, tagflow: Any
) -> None:
    more(run, "cache_text_encoder_outputs_to_disk = true\nnetwork_train_unet_only = true")
    cache = run.parent / "dataset" / "0_te_outputs.npz"

    def by_time() -> list[str]:
        return [one.detail for one in evaluate_gate(run).faults if one.code == "cache-text-by-time"]

    def write(at: float) -> None:
        cache.write_bytes(b"PK")
        os.utime(cache, (at, at))

    cache.write_bytes(b"PK")
    assert by_time() == ["0_te_outputs.npz; dataset.toml: datasets[0].subsets[0]"]
    behave(run.parent / "sd-scripts", say=["running training\n"], wait=0.5)
    forced = tagflow("train", "start", run, "--force", "the cache is of no use to the child")
    assert forced.code == 0, forced.err
    written = (run / "run.json").stat().st_mtime - 0.2
    write(written)
    assert by_time()  # what a forced attempt trained is not known
    said = json.loads((run / "run.json").read_text())
    said["attempts"][0]["forced"] = None
    (run / "run.json").write_text(json.dumps(said))
    assert by_time() == [] and planned_start(run).setup.encoded == {cache}
    write(written + 60)  # after its end
    assert by_time()
    write(written)
    more(run, "# another base, or other options")
    assert by_time()


def test_train_check_says_the_same_of_a_folders_cache(run: Path) -> None:
    another_text(run)
    assert "cache-info-stale" in {one.code for one in faults_of(with_files(setup_of_run(run)))}


def test_check_and_reorder_say_it_too(run: Path, tagflow: Any) -> None:
    another_text(run)
    data = run.parent / "dataset"
    found = tagflow("check", data, "--json").json["findings"]
    assert [(one["where"]["file"], one["detail"]) for one in found if one["code"] == "cache-stale"] == [
        (str(data / "0.txt"), "metadata_cache.json")
    ]
    assert tagflow("reorder", data, "--json").json["caches_stale"] == 1
    cache_info(run)
    assert tagflow("reorder", data, "--json").json["caches_stale"] == 0
