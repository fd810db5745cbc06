"""For each rule about runs that train nothing or die late: a setup with the fault, and one near it."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

from rule_cases import LINE, ROOT, SAMPLES, Case, Given, case, o, s, text
from rule_setups import images

from tagflow.training.sd_scripts.launch import Launch

PROMPTS = "sample-prompts-relative"
TOKENIZERS = ("openai_clip-vit-large-patch14", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k")
ACCELERATE = "distributed_type: MULTI_GPU\nnum_processes: 2\n"


def state(step: int | str = 400, *, lacking: str = "") -> dict[str, str]:
    """The files of a saved state. `step`: that in train_state.json, or what stands there instead."""
    first = json.dumps({"current_epoch": 4, "current_step": step}) if isinstance(step, int) else step
    files = dict.fromkeys(("model.safetensors", "optimizer.bin", "scheduler.bin"), "")
    files["train_state.json"] = first
    return {f"st/{name}": content for name, content in files.items() if name != lacking}


def resumed(step: int | str = 400, *, lacking: str = "", **options: Any) -> Given:
    return {**o(resume="st", **options), "files": state(step, lacking=lacking)}


def prompts(content: str, name: str = "p.txt", **options: Any) -> Given:
    return {**o(**{**SAMPLES, "sample_prompts": name, **options}), "files": {name: content}}


def png(width: int, height: int) -> bytes:
    """A grey picture of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def masked(files: dict[str, bytes | str], **subset: Any) -> Given:
    """Two images of 832x1216, and files in the folder `masks`, whose images are of the first one's size."""
    return {
        **o(masked_loss=True),
        "subset": {"conditioning_data_dir": "masks", **subset},
        "found": images({"a.png": "sks, cat", "b.png": "sks, dog"}),
        "files": {f"masks/{name}": content for name, content in files.items()},
    }


MASK = png(832, 1216)


def metadata(content: str, name: str = "m.json", **subset: Any) -> Given:
    """A subset of a metadata file, below whose folder the image a.png lies."""
    own = {"metadata_file": name, **subset}
    return {"subset": own, "dropped": ("caption_extension",), "files": {name: content, "10_cat/a.png": ""}}


COUNTS = [
    case("count-stops", o(gradient_accumulation_steps=0), o(gradient_accumulation_steps=2)),
    case("count-odd", s(keep_tokens=-1), s(keep_tokens=0)),
    case("seed-range", o(seed=-1), o(seed=2**32 - 1)),
    case("save-beyond", o(save_every_n_epochs=20), o(save_every_n_epochs=10)),
    case("processes-several", {"launch": Launch(2)}, {"launch": Launch(1)}),
    case(
        "launch-config-not-found",
        {"command": f"accelerate launch --config_file gone.yaml {LINE}"},
        {"command": f"accelerate launch --config_file a.yaml {LINE}", "files": {"a.yaml": ACCELERATE}},
    ),
    case(
        "launch-config-unusable",
        {"command": f"accelerate launch --config_file a.toml {LINE}", "files": {"a.toml": "seed = 1"}},
        {"command": f"accelerate launch --config_file=a.yaml {LINE}", "files": {"a.yaml": ACCELERATE}},
    ),
]
NAMES = [
    case("output-name-outside", o(output_name="../style"), o(output_name="style..v1")),
    case(
        "output-name-folder",
        o(output_name="style/v1"),
        {**o(output_name="style/v1"), "files": {"output/style/x": ""}},
    ),
    case("output-name-refused", o(output_name="style:v1"), o(output_name="style-v1 (2)")),
    case("output-name-suffix", o(output_name="a.safetensors"), o(output_name="a.v1")),
    case("logging-dir-file", {"files": {"logs": "x"}}, {"files": {"logs/x": ""}}),
    case(
        "tracker-config-not-found",
        o(log_tracker_config="gone.toml"),
        {**o(log_tracker_config="w.toml"), "files": {"w.toml": "[wandb]\nname = 'a'\n"}},
    ),
    case(
        "tracker-config-unreadable",
        {**o(log_tracker_config="w.toml"), "files": {"w.toml": "a = ["}},
        {**o(log_tracker_config="w.toml"), "files": {"w.toml": ""}},
    ),
    case(
        "tokenizers-other",
        {
            **o(tokenizer_cache_dir="tok"),
            "files": {
                f"tok/{TOKENIZERS[0]}/vocab.json": '{"a": 0}',
                f"tok/{TOKENIZERS[0]}/merges.txt": "#version\na b\n",
                f"tok/{TOKENIZERS[1]}/a": "",
            },
        },
        {
            **o(tokenizer_cache_dir="tok"),
            "files": {f"tok/{name}/tokenizer_config.json": "{}" for name in TOKENIZERS},
        },
    ),
]
RESUMED = [
    case("resume-incomplete", resumed(lacking="optimizer.bin"), resumed()),
    case("resume-step-broken", resumed("{"), resumed()),
    case("resume-step-unknown", resumed(lacking="train_state.json"), resumed()),
    case("resume-finished", resumed(1000), resumed(999)),
    case("initial-epoch-beyond", resumed(initial_epoch=11), resumed(900, initial_epoch=10), "resume-initial"),
    case("resume-initial", resumed(initial_epoch=2), resumed(initial_epoch=5)),
    case(
        "skip-accumulated",
        resumed(100, skip_until_initial_step=True, gradient_accumulation_steps=2),
        resumed(skip_until_initial_step=True),
    ),
    case("skip-idle", o(skip_until_initial_step=True), resumed(skip_until_initial_step=True)),
]
SEEN = [
    case(
        "sample-beyond",
        prompts("sks --w 1024", sample_every_n_epochs=20),
        prompts("sks --w 1024", sample_every_n_epochs=10),
        PROMPTS,
    ),
    case("sample-size-step", prompts("sks --w 1000 --h 1024"), prompts("sks --w 1030 --h 1088"), PROMPTS),
    case(
        "sample-value",
        prompts('[{"prompt": "sks", "width": "1024"}]', "p.json"),
        prompts('[{"prompt": "sks", "width": 1024, "negative_prompt": null}]', "p.json"),
        PROMPTS,
    ),
    case(
        "sample-option-lost",
        prompts("sks --w 1024 --neg low quality"),
        prompts("sks, state-of-the-art --w 1024 --n low quality --ss euler_a --l 7.5"),
        PROMPTS,
    ),
    case("sample-option-idle", prompts("sks --w 1024 --g 5"), prompts("sks --w 1024 --l 5"), PROMPTS),
    case(
        "sample-sampler-unknown",
        prompts("sks --w 1024 --ss dpm++2m"),
        prompts("sks --w 1024 --ss k_euler"),
        PROMPTS,
    ),
    case(
        "sample-image-not-found",
        prompts("sks --w 1024 --cn gone.png"),
        prompts("sks --w 1024 --cn p.txt"),
        PROMPTS,
    ),
]
SOURCES = [
    case("mask-folder-missing", masked({}), masked({"a.png": MASK, "b.png": MASK})),
    case("masks-missing", masked({"a.png": MASK}), masked({"a.webp": MASK, "b.png": MASK})),
    case(
        "masks-extra",
        masked({"a.png": MASK, "b.png": MASK, "c.png": MASK}),
        masked({"a.png": MASK, "b.png": MASK, "c.txt": ""}),
    ),
    case("masks-size", masked({"a.png": MASK, "b.png": png(64, 64)}), masked({"a.png": MASK, "b.png": MASK})),
    case(
        "mask-random-crop",
        {**masked({"a.png": MASK, "b.png": MASK}, random_crop=True), "drop": ("cache_latents",)},
        {**s(random_crop=True), "drop": ("cache_latents",)},
    ),
    case(
        "alpha-mask-idle",
        text("sks, cat", alpha_mask=True) | {"found": images({"a.jpg": "sks, cat"})},
        text("sks, cat", alpha_mask=True),
    ),
    case(
        "metadata-not-found",
        metadata("{}", "m.json") | {"files": {}},
        metadata('{"a.png": {"caption": "sks, cat"}}'),
    ),
    case(
        "metadata-broken",
        metadata('["a.png"]'),
        metadata('{"image_path": "a.png", "caption": "sks, cat"}\n', "m.jsonl"),
    ),
    case("metadata-empty", metadata("{}"), metadata('{"a.png": {"tags": "sks, cat"}}')),
    case(
        "metadata-image-missing",
        metadata('{"b.png": {"caption": "sks, cat"}}'),
        metadata('{"a.png": {"caption": "sks, cat"}}'),
    ),
    case(
        "reg-not-found",
        {**o(train_data_dir="data", reg_data_dir="reg/1_cat"), "files": {**ROOT, "reg/1_cat/a.png": ""}},
        {**o(train_data_dir="data", reg_data_dir="reg"), "files": {**ROOT, "reg/1_cat/a.png": ""}},
        "image-broken",
    ),
    case(
        "reg-is-train",
        {**o(train_data_dir="data", reg_data_dir="data"), "files": ROOT},
        {**o(train_data_dir="data"), "files": ROOT},
        "image-broken",
        "reg-twice",
    ),
    case("reg-twice", {"more": {"is_reg": True}}, {}, "folder-twice"),
    case("reg-only", s(is_reg=True), s(is_reg=False)),
    case(
        "reg-unused",
        {"more": {"is_reg": True, "num_repeats": 20, "image_dir": "/"}},
        {"more": {"is_reg": True, "image_dir": "/"}},
    ),
    case("interpolation-unknown", s(resize_interpolation="Lanczos"), s(resize_interpolation="lanczos")),
]
CASES_OF_LATE_ENDS: list[Case] = [*COUNTS, *NAMES, *RESUMED, *SEEN, *SOURCES]
