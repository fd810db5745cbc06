"""For each code of the gate a run that is refused for it, or tells it, and one that comes near and does not.

`bad` and `near` change a dataset that was certified, or the run folder over it.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from tagflow.audit.file import Limits, read_audit, to_bytes
from tagflow.cli.boundary import run as run_tagflow
from tagflow.dataset.survey import AUDIT_NAME
from tagflow.files.read import sha256
from tagflow.training.start.record import Record, host, process_of, write_record
from tagflow.training.structure.render import render_data

Spoil = Callable[[Path, Path], None]
SUBSET = '[[datasets.subsets]]\nimage_dir = {}\nnum_repeats = 1\ncaption_extension = ".txt"\n'
BASE = "pretrained_model_name_or_path"


@dataclass(frozen=True)
class GateCase:
    code: str
    bad: Spoil
    near: Spoil


def picture(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("1", (1024, 1024)).save(folder / "e.png")
    (folder / "e.txt").write_text("seen by nobody")
    return folder


def add_subset(run: Path, folder: Path) -> None:
    with (run / "dataset.toml").open("a") as file:
        file.write(SUBSET.format(json.dumps(str(folder))))


def replace_line(file: Path, name: str, line: str) -> None:
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line if one.startswith(f"{name} ") else one for one in lines) + "\n")


def remove_audit(data: Path, run: Path) -> None:
    (data / "tagflow-audit.parquet").unlink()


def damage_audit(data: Path, run: Path) -> None:
    (data / "tagflow-audit.parquet").write_bytes(b"PAR1")


def edit_caption(data: Path, run: Path) -> None:
    (data / "0.txt").write_text("ohwx house", encoding="utf-8")


def remove_image(data: Path, run: Path) -> None:
    (data / "0.png").unlink()


def reorder_again(data: Path, run: Path) -> None:
    (data / "0.txt").write_text("garden, ohwx house", encoding="utf-8")
    assert run_tagflow(["reorder", str(data)]) == 0


def old_cache(data: Path, run: Path) -> None:
    (data / "0_te_outputs.npz").write_bytes(b"")
    os.utime(data / "0_te_outputs.npz", (1, 1))


def break_a_rule(data: Path, run: Path) -> None:
    text = (run / "train.toml").read_text()
    (run / "train.toml").write_text(
        text.replace('"cosine"', '"constant"').replace("lr_warmup_steps = 0", "lr_warmup_steps = 9")
    )


def output_beside_the_plan(data: Path, run: Path) -> None:
    replace_line(run / "train.toml", "output_dir", 'output_dir = "output"')


def another_class(data: Path, run: Path) -> None:
    replace_line(run / "train.toml", "seed", 'seed = 7\ndataset_class = "mine.Dataset"')


def other_subset_option(line: str) -> Spoil:
    def spoil(data: Path, run: Path) -> None:
        replace_line(run / "dataset.toml", "num_repeats", f"num_repeats = 1\n{line}")

    spoil.__name__ = line.partition(" ")[0]
    return spoil


def rendered(run: Path) -> Path:
    """The run as `train plan --structure separator` would have it; the folder of its rendered captions."""
    data = run.parent / "dataset"
    made = render_data(data, read_audit(data / AUDIT_NAME), "separator", run / "data")
    place = made.subsets[0].folder
    replace_line(
        run / "dataset.toml", "image_dir",
        f'image_dir = {json.dumps(str(place))}\nkeep_tokens_separator = "|||"\nsecondary_separator = ";;;"\n'
        "shuffle_caption = true",
    )  # fmt: skip
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps({**plan, "structure": {"kind": "separator"}}))
    return place


def nothing(data: Path, run: Path) -> None:
    """The run is as it was planned."""


def option(name: str, value: Callable[[Path, Path], object]) -> Spoil:
    """Another value in train.toml, of the dataset's folder and the run's."""

    def spoil(data: Path, run: Path) -> None:
        replace_line(run / "train.toml", name, f"{name} = {json.dumps(str(value(data, run)))}")

    return spoil


def plan(part: str, **values: Any) -> Spoil:
    """Other values in one part of plan.json."""

    def spoil(data: Path, run: Path) -> None:
        said = json.loads((run / "plan.json").read_text())
        (run / "plan.json").write_text(json.dumps({**said, part: {**said[part], **values}}))

    return spoil


def attempt(state: str, on: str = "", later: float = 0.0) -> Spoil:
    """A record of an attempt: of this very process, or of one on another machine."""

    def spoil(data: Path, run: Path) -> None:
        me = process_of(os.getpid())
        made: Any = {"state": state, "pid": me["pid"], "pid_created": me["created"] - later}
        write_record(run, Record(number=1, host=on or host(), **made))

    return spoil


def lose_the_verdict(data: Path, run: Path) -> None:
    shutil.rmtree(data / ".tagflow")
    assert run_tagflow(["reorder", str(data)]) == 0


def with_meta(**facts: object) -> Spoil:
    """The audit with other facts, in its copy of the state folder, too: as somebody may forge one."""

    def spoil(data: Path, run: Path) -> None:
        audit = read_audit(data / AUDIT_NAME)
        assert audit is not None
        made = to_bytes(audit.table, replace(audit.meta, **facts))
        for file in (data / AUDIT_NAME, data / ".tagflow" / "runs" / audit.meta.run / "audit.parquet"):
            file.write_bytes(made)

    spoil.__name__ = "_".join(facts)
    return spoil


def touch_caption(data: Path, run: Path) -> None:
    os.utime(data / "0.txt", (1, 1))


def add_notes(data: Path, run: Path) -> None:
    (data / "notes.md").write_text("of the shoot")


def with_overlay(*, edited: bool) -> Spoil:
    def spoil(data: Path, run: Path) -> None:
        overlay = run / "my.csv"
        overlay.write_text("tag,category\nzzqx,lighting\n")
        assert run_tagflow(["reorder", str(data), "--overlay", str(overlay)]) == 0
        if edited:
            overlay.write_text("tag,category\nzzqx,materials\n")

    return spoil


def dataset_option(name: str, value: Callable[[Path, Path], object]) -> Spoil:
    def spoil(data: Path, run: Path) -> None:
        replace_line(run / "dataset.toml", name, f"{name} = {json.dumps(str(value(data, run)))}")

    return spoil


def without_token_limit(*, long: bool) -> Spoil:
    def spoil(data: Path, run: Path) -> None:
        if long:
            tags = ", ".join(f"wooden chair {number}" for number in range(40))
            (data / "0.txt").write_text(f"ohwx house, {tags}", encoding="utf-8")
            assert run_tagflow(["reorder", str(data)]) == 0
        replace_line(run / "train.toml", "max_token_length", "")

    return spoil


def linked_base(data: Path, run: Path) -> None:
    base = json.loads((run / "plan.json").read_text())["base"]["path"]
    (run / "other.safetensors").symlink_to(base)
    option(BASE, lambda data, run: run / "other.safetensors")(data, run)


def after_rendering(spoil: Callable[[Path], object]) -> Spoil:
    """Change something in the folder of rendered captions."""

    def spoiled(data: Path, run: Path) -> None:
        spoil(rendered(run))

    return spoiled


def swapped(place: Path) -> None:
    """Two rendered captions change places, and the list of rendered files agrees with them."""
    one, other = place / "0.txt", place / "1.txt"
    texts = one.read_bytes(), other.read_bytes()
    other.write_bytes(texts[0]), one.write_bytes(texts[1])
    relisted(place)


def relisted(place: Path) -> None:
    """The list of rendered files, forged to agree with what lies there."""
    listed = json.loads((place.parent / "rendered.json").read_text())
    for path in listed["captions"]:
        listed["captions"][path] = sha256((place.parent / path).read_bytes())
    (place.parent / "rendered.json").write_text(json.dumps(listed))


def reshuffled(place: Path) -> None:
    """What moves stands in another order: to the trainer the caption is the same."""
    front, _, moving = (place / "0.txt").read_text().strip().partition(" ||| ")
    (place / "0.txt").write_text(f"{front} ||| {', '.join(reversed(moving.split(', ')))}\n")
    relisted(place)


def with_weights(*, bracket: str) -> Spoil:
    def spoil(data: Path, run: Path) -> None:
        (data / "0.txt").write_text(f"ohwx house, modern house {bracket}", encoding="utf-8")
        replace_line(run / "train.toml", "seed", "seed = 7\nweighted_captions = true")

    return spoil


def merging(option: str = "base_weights", /, **tensors: bytes) -> Spoil:
    """base_weights, or network_weights, with tensors of these names."""

    def spoil(data: Path, run: Path) -> None:
        entries = {
            name: {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]}
            for at, name in enumerate(tensors)
        }
        head = json.dumps(entries).encode()
        file = run / "style.safetensors"
        file.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(tensors.values()))
        named = json.dumps(str(file) if option == "network_weights" else [str(file)])
        replace_line(run / "train.toml", "seed", f"seed = 7\n{option} = {named}")

    return spoil


def fresh_cache(data: Path, run: Path) -> None:
    (data / "0_te_outputs.npz").write_bytes(b"")


def comment(data: Path, run: Path) -> None:
    with (run / "train.toml").open("a") as file:
        file.write("# looked over\n")


GATE_CASES = [
    GateCase("another-running", attempt("running"), attempt("running", later=99)),
    GateCase("another-host", attempt("running", "elsewhere"), attempt("failed", "elsewhere")),
    GateCase(
        "run-copied",
        option("dataset_config", lambda data, run: run.with_name("trial") / "dataset.toml"),
        option("dataset_config", lambda data, run: run / ".." / run.name / "dataset.toml"),
    ),
    GateCase("audit-missing", remove_audit, damage_audit),
    GateCase("audit-unusable", damage_audit, remove_audit),
    GateCase("audit-not-passed", lose_the_verdict, plan("dataset", verdict="fail")),
    GateCase("audit-inconsistent", with_meta(command="reorder"), with_meta(started="2020-01-01")),
    GateCase("limit-weak", nothing, with_meta(limits=Limits(min_sim=0.95))),
    GateCase("measure-other", with_meta(limits=Limits(min_sim=0, measure="plan")), nothing),
    GateCase("captions-drifted", edit_caption, touch_caption),
    GateCase("images-drifted", remove_image, add_notes),
    GateCase("ontology-drifted", with_overlay(edited=True), with_overlay(edited=False)),
    GateCase("plan-outdated", plan("dataset", dataset_digest="0" * 64), plan("dataset", run="another")),
    GateCase(
        "dataset-foreign",
        another_class,
        dataset_option("image_dir", lambda data, run: run / ".." / data.name),
    ),
    GateCase("rendered-tags-differ", after_rendering(swapped), after_rendering(reshuffled)),
    GateCase("brackets-weigh", with_weights(bracket="(old)"), with_weights(bracket=":)")),
    GateCase(
        "base-weights-text",
        merging(lora_unet_x=b"1", lora_te1_y=b"2"),
        merging(lora_unet_x=b"1", lora_unet_y=b"2"),
    ),
    GateCase(
        "network-weights-text",
        merging("network_weights", lora_unet_x=b"1", lora_te1_y=b"2"),
        merging("network_weights", lora_unet_x=b"1", lora_unet_y=b"2"),
    ),
    GateCase(
        "dropout-nearly-always",
        other_subset_option("caption_dropout_rate = 0.9"),
        other_subset_option("caption_dropout_rate = 0.89"),
    ),
    GateCase(
        "output-name-path",
        option("output_name", lambda data, run: "../house"),
        option("output_name", lambda data, run: "house..v2"),
    ),
    GateCase(
        "captions-altered",
        other_subset_option('caption_prefix = "best,"'),
        other_subset_option('caption_prefix = ""'),
    ),
    GateCase("path-relative", output_beside_the_plan, option("vae", lambda data, run: "owner/vae")),
    GateCase("tokens-not-certified", without_token_limit(long=True), without_token_limit(long=False)),
    GateCase("encoders-differ", option(BASE, lambda data, run: run / "train.toml"), linked_base),
    GateCase(
        "rendered-caption-changed",
        after_rendering(lambda place: (place / "0.txt").write_text("seen by nobody")),
        after_rendering(lambda place: os.utime(place / "0.txt", (1, 1))),
    ),
    GateCase(
        "rendered-caption-missing",
        after_rendering(lambda place: (place / "0.txt").unlink()),
        after_rendering(lambda place: (place / "0.png").unlink()),
    ),
    GateCase(
        "rendered-image-missing",
        after_rendering(lambda place: (place / "0.png").unlink()),
        after_rendering(lambda place: (place / "0.txt").unlink()),
    ),
    GateCase(
        "rendered-foreign",
        after_rendering(lambda place: (place / "9.txt").write_text("seen by nobody")),
        after_rendering(lambda place: (place / "9.md").write_text("no caption")),
    ),
    GateCase("caches-stale", old_cache, fresh_cache),
    GateCase("plan-edited", break_a_rule, comment),
]
