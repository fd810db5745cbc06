"""For each rule a setup that has the fault and one that comes near it and has not.

`bad` and `near` are what :func:`rule_setups.build` is given; `also`: the other faults that `bad` must have.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rule_setups import DISPUTED, EPSILON, MACHINE, NO_GPU, UNKNOWN, ZTSNR, V, images

from tagflow.models.structure import part_of
from tagflow.training.sd_scripts.files import sight

Given = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    code: str
    bad: Given
    near: Given
    also: frozenset[str] = frozenset()


def o(**options: Any) -> Given:
    return {"options": options}


def s(**subset: Any) -> Given:
    return {"subset": subset}


def text(*texts: str, **subset: Any) -> Given:
    """Captions in the folder, and a subset's options."""
    return {"found": images({f"{n}.png": one for n, one in enumerate(texts)}), "subset": subset}


def case(code: str, bad: Given, near: Given, *also: str) -> Case:
    return Case(code, bad, near, frozenset(also))


def npz(**shapes: tuple[int, ...]) -> bytes:
    """A numpy archive whose arrays have these shapes; their numbers are left out."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, shape in shapes.items():
            head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
            head += " " * (63 - (10 + len(head)) % 64) + "\n"
            made.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
    return out.getvalue()


@dataclass(frozen=True)
class Parts:
    """Parts of SDXL, each with all its tensors; written as a file of zeros that takes no space."""

    names: tuple[str, ...]

    def write(self, file: Path) -> None:
        from model_files import sdxl, write_sparse  # late: the page of rules is made without pytest's paths

        whole = {name: one for name, one in sdxl().items() if part_of(name) in map(part_of, self.names)}
        write_sparse(file, whole)


def weights(*names: str) -> bytes | Parts:
    """A safetensors file with one number under each name; of SDXL's parts all that they have."""
    if all(part_of(name) for name in names):
        return Parts(names)
    entries = {
        name: {"dtype": "F16", "shape": [1], "data_offsets": [2 * n, 2 * n + 2]}
        for n, name in enumerate(names)
    }
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 2 * len(names)


UNET, TE1, TE2, VAE = (
    "model.diffusion_model.out.2.weight",
    "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight",
    "conditioner.embedders.1.model.ln_final.weight",
    "first_stage_model.decoder.conv_in.weight",
)
CACHED = {"cache_text_encoder_outputs": True, "network_train_unet_only": True, "text_encoder_lr": None}
DISK = {**CACHED, "cache_text_encoder_outputs_to_disk": True}
LATENTS = {"cache_latents_to_disk": True}
BROKEN = replace(MACHINE, packages={**MACHINE.packages, "xformers": None, "wandb": None, "deepspeed": None})
BARE = replace(MACHINE, packages={**MACHINE.packages, "bitsandbytes": None, "tensorboard": None})
SIZES = {"sizes": {f"{n}.png": (512, 2048) for n in range(20)}}
FOLDERS = ("unet", "vae", "text_encoder", "text_encoder_2")
MODEL = {f"model/{name}/config.json": "{}" for name in FOLDERS}
ROOT = {"data/10_cat/a.png": "", "data/10_cat/a.txt": "sks"}
LINE = "sdxl_train_network.py"
PATHS = ("pretrained_model_name_or_path", "checkpoints/a.safetensors")
BLOCKS = ",".join(["4"] * 23)
GOOD_PROMPTS = {"prompts.txt": "sks --w 1024 --h 1024\n# a comment\n"}
SAMPLES = {"sample_every_n_epochs": 1}


def sized(**sizes: tuple[int, int]) -> Given:
    """Captioned images of these sizes."""
    named = {f"{name}.png": size for name, size in sizes.items()}
    return {"found": images(dict.fromkeys(named, "sks, solo"), sizes=named)}


def caches(*names: str, stale: tuple[str, ...] = (), **sizes: tuple[int, int]) -> Given:
    """The usual images with caches beside them."""
    if not sizes:
        return {"found": images(caches=names, stale=stale)}
    named = {f"{name}.png": size for name, size in sizes.items()}
    return {"found": images(dict.fromkeys(named, "sks"), sizes=named, caches=names, stale=stale)}


READ = [
    case("script-wrong", {"command": "train_network.py --seed 1"}, {"command": LINE}),
    case(
        "script-missing", {"command": "accelerate launch --seed 1"}, {"command": f"accelerate launch {LINE}"}
    ),
    case(
        "option-unknown",
        {"command": f"{LINE} --text_encoder_lr1=1e-5"},
        {"command": f"{LINE} --text_encoder_lr=1e-5"},
    ),
    case("option-abbreviated", {"command": f"{LINE} --resol 512"}, {"command": f"{LINE} --resolution 512"}),
    case("option-repeated", {"command": f"{LINE} --seed 1 --seed 2"}, {"command": f"{LINE} --seed 1"}),
    case(
        "option-value",
        {"command": f"{LINE} --max_token_length 75"},
        {"command": f"{LINE} --max_token_length 150"},
    ),
    case(
        "option-spelled",
        {"command": f"{LINE} --caption_extention .txt"},
        {"command": f"{LINE} --caption_extension .txt"},
    ),
    case(
        "config-unreadable",
        {"command": f"{LINE} --config_file gone"},
        {"command": f"{LINE} --config_file there", "files": {"there.toml": ""}},
    ),
    case("config-key-unknown", {"toml": "learing_rate = 1e-4"}, {"toml": "learning_rate = 1e-4"}),
    case("config-value", {"toml": "resolution = 1024"}, {"toml": 'resolution = "1024"'}),
    case(
        "dataset-unreadable",
        {"command": f"{LINE} --dataset_config gone.toml"},
        {"command": f"{LINE} --dataset_config a.toml", "files": {"a.toml": ""}},
    ),
    case(
        "dataset-key-unknown",
        {"dataset": "[general]\ncaption_extention = '.txt'"},
        {"dataset": "[general]\ncaption_extension = '.txt'"},
    ),
    case(
        "dataset-value",
        {"dataset": "[general]\nvalidation_split = 0"},
        {"dataset": "[general]\nvalidation_split = 0.0"},
    ),
    case(
        "dataset-kind-mixed",
        {
            "dataset": "[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'\n"
            "[[datasets.subsets]]\nmetadata_file='b'\nimage_dir='c'"
        },
        {"dataset": "[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'\n[[datasets.subsets]]\nimage_dir='b'"},
    ),
]

DATA = [
    case(
        "data-missing",
        {"dataset": "[general]"},
        {"dataset": "[[datasets]]\n[[datasets.subsets]]\nimage_dir='a'"},
    ),
    case("data-not-found", o(train_data_dir="gone"), {**o(train_data_dir="data"), "files": ROOT}),
    case(
        "data-not-parent",
        {**o(train_data_dir="data/10_cat"), "files": ROOT},
        {**o(train_data_dir="data"), "files": ROOT},
    ),
    case(
        "data-left-out",
        {**o(train_data_dir="data"), "files": {**ROOT, "data/dogs/b.png": ""}},
        {**o(train_data_dir="data"), "files": {**ROOT, "data/.hidden/b.png": ""}},
        "image-broken",
    ),
    case(
        "data-twice",
        {"command": f"{LINE} --dataset_config a.toml --train_data_dir b", "files": {"a.toml": ""}},
        {"command": f"{LINE} --dataset_config a.toml", "files": {"a.toml": ""}},
    ),
    case("folder-not-found", s(image_dir="/nowhere/at/all"), {}),
    case("folder-relative", {**s(image_dir="pics"), "files": {"pics/a.png": ""}}, {}),
    case("folder-empty", {"found": images({"a": "b"}, sizes={}, captioned=frozenset(), texts={})}, {}),
    case(
        "images-nested",
        {"files": {"10_cat/more/b.png": ""}},
        {"files": {"10_cat/more/b.txt": "", "10_cat/.x/b.png": ""}},
    ),
    case(
        "image-not-seen",
        {"found": images(overlooked={"b.gif": sight("b.gif")})},
        {"found": images(overlooked={"b.avif": sight("b.avif")})},
    ),
    case(
        "image-needs-plugin",
        {"found": images(overlooked={"b.avif": sight("b.avif")})},
        {"found": images(overlooked={"b.avif": sight("b.avif", {".avif"})})},
    ),
    case("folder-twice", {"more": {"flip_aug": True}}, {}),
    case("repeats-zero", s(num_repeats=0), s(num_repeats=1)),
]

CAPTIONS = [
    case(
        "caption-extension",
        {
            "found": images(captioned=frozenset(), texts={}, other_captions={".txt": 20}),
            "dropped": ("caption_extension",),
        },
        {"found": images(other_captions={".txt": 20}), "dropped": ("caption_extension",)},
    ),
    case(
        "captions-mixed",
        {
            "found": images(
                {"a.png": "x", "b.png": "y"},
                captioned=frozenset({"a.png"}),
                texts={"a.png": "x"},
                other_captions={".caption": 1},
            )
        },
        {"found": images(other_captions={".caption": 20})},
    ),
    case(
        "captions-missing",
        {"found": images({"a.png": "x", "b.png": "y"}, captioned=frozenset({"a.png"}), texts={"a.png": "x"})},
        {
            "found": images(
                {"a.png": "x", "b.png": "y"}, captioned=frozenset({"a.png"}), texts={"a.png": "x"}
            ),
            "subset": {"is_reg": True},
        },
    ),
    case("captions-empty", {"found": images({"a.png": "x"}, texts={}, unusable={"a.png": "empty"})}, {}),
    case(
        "captions-unreadable",
        {"found": images({"a.png": "x"}, texts={}, unusable={"a.png": "not UTF-8"})},
        {"found": images({"a.png": "café, größe"})},
    ),
    case(
        "captions-blank",
        text("sks", "\nsks, solo\n"),
        text("sks", "\nsks", enable_wildcard=True),
    ),
    case("captions-lines", text("sks\nA girl."), text("sks\n\n")),
    case("captions-weighted", text("(smile:1.2), sks"), text("(smile:1.2)") | o(weighted_captions=True)),
    case("captions-escaped", text(r"saber \(fate\)"), text("saber (fate), :3, (16:9), (:3)")),
    case(
        "captions-bare-brackets",
        text("saber (fate)") | o(weighted_captions=True),
        text(r"saber \(fate\), (smile:1.2)") | o(weighted_captions=True),
    ),
    case("captions-too-long", text(", ".join(["word"] * 114)), text(", ".join(["word"] * 113))),
    case("wildcard-off", text("{red|blue} hair"), text("{red|blue} hair", enable_wildcard=True)),
    case(
        "wildcard-nested", text("{a|{b|c}}", enable_wildcard=True), text("{a|b} {c|d}", enable_wildcard=True)
    ),
    case(
        "wildcard-affixes",
        text("a\nb", enable_wildcard=True, caption_prefix="sks,"),
        text("a", enable_wildcard=True, caption_prefix="sks,"),
    ),
    case("shuffle-undoes-order", s(shuffle_caption=True), s(shuffle_caption=True, keep_tokens=1)),
    case("keep-tokens-idle", s(keep_tokens=1), s(keep_tokens=1, caption_tag_dropout_rate=0.1)),
    case(
        "keep-tokens-ignored",
        text("a ||| b", shuffle_caption=True, keep_tokens=1, keep_tokens_separator="|||"),
        text("a ||| b", shuffle_caption=True, keep_tokens_separator="|||"),
    ),
    case(
        "separator-idle",
        s(keep_tokens_separator="|||"),
        text("a ||| b", keep_tokens_separator="|||", shuffle_caption=True),
    ),
    case(
        "separator-left",
        text("a ||| b", keep_tokens_separator="|||"),
        text("a ||| b", keep_tokens_separator="|||", token_warmup_step=0.1),
    ),
    case("separator-unknown", text("a, b ### c"), text("a | b; c;; d, c## r&&b")),
    case(
        "separator-lacking",
        text("a ||| b", "c", keep_tokens_separator="|||", shuffle_caption=True),
        text("a ||| b", "c ||| d", keep_tokens_separator="|||", shuffle_caption=True),
    ),
    case(
        "separator-thrice",
        text("a ||| b ||| c ||| d", keep_tokens_separator="|||", shuffle_caption=True),
        text("a ||| b ||| c", keep_tokens_separator="|||", shuffle_caption=True),
    ),
    case(
        "caption-separator",
        s(caption_separator=";", shuffle_caption=True, keep_tokens=1),
        s(caption_separator=";"),
    ),
    case("dropout-always", s(caption_dropout_every_n_epochs=1), s(caption_dropout_every_n_epochs=2)),
    case("prefix-joined", s(caption_prefix="sks"), s(caption_prefix="sks,", caption_suffix=", end")),
    case("token-warmup-idle", s(token_warmup_min=2), s(token_warmup_min=2, token_warmup_step=0.2)),
    case(
        "token-warmup-long",
        {**o(token_warmup_step=2000), **s(token_warmup_step=2000)},
        {**o(token_warmup_step=200), **s(token_warmup_step=200)},
    ),
]

CACHES = [
    case("cache-text-shuffle", o(**CACHED) | s(shuffle_caption=True, keep_tokens=1), o(**CACHED)),
    case("cache-text-dropout", o(**CACHED) | s(caption_dropout_rate=0.1), s(caption_dropout_rate=0.1)),
    case(
        "cache-text-tag-dropout",
        o(**CACHED) | s(caption_tag_dropout_rate=0.1),
        s(caption_tag_dropout_rate=0.1),
    ),
    case("cache-text-token-warmup", o(**CACHED) | s(token_warmup_step=0.1), s(token_warmup_step=0.1)),
    case("cache-text-trained", o(cache_text_encoder_outputs=True), o(**CACHED)),
    case("cache-text-prefix", o(**CACHED) | s(caption_prefix="sks,"), s(caption_prefix="sks,")),
    case("cache-text-wildcard", o(**CACHED) | s(enable_wildcard=True), s(enable_wildcard=True)),
    case(
        "cache-text-separator",
        o(**CACHED) | text("a;;;b", secondary_separator=";;;"),
        o(**CACHED) | text("a, b", secondary_separator=";;;"),
    ),
    case(
        "cache-text-dropout-epochs",
        o(**CACHED) | s(caption_dropout_every_n_epochs=5),
        s(caption_dropout_every_n_epochs=5),
    ),
    case(
        "cache-text-stale",
        o(**DISK) | caches("0_te_outputs.npz", stale=("0_te_outputs.npz",)),
        o(**CACHED) | caches("0_te_outputs.npz", stale=("0_te_outputs.npz",)),
    ),
    case(
        "cache-text-by-time",
        o(**DISK) | caches("0_te_outputs.npz"),
        o(**DISK) | caches("0_te_outputs.npz", stale=("0_te_outputs.npz",)),
    ),
    case(
        "cache-text-length",
        o(**DISK)
        | caches("0_te_outputs.npz")
        | {"files": {"10_cat/0_te_outputs.npz": npz(hidden_state1=(77, 768))}},
        o(**DISK)
        | caches("0_te_outputs.npz")
        | {"files": {"10_cat/0_te_outputs.npz": npz(hidden_state1=(227, 768))}},
        "cache-text-by-time",
    ),
    case("cache-info", s(cache_info=True), caches("metadata_cache.json")),
    case(
        "cache-info-stale",
        s(cache_info=True) | caches("metadata_cache.json", stale=("metadata_cache.json",)),
        s(cache_info=True) | caches("metadata_cache.json"),
        "cache-info",
    ),
    case("cache-latents-augmented", s(random_crop=True), s(flip_aug=True)),
    case(
        "cache-latents-stale",
        o(**LATENTS)
        | caches("0_0832x1216_sdxl.npz")
        | {"files": {"10_cat/0_0832x1216_sdxl.npz": npz(latents=(4, 96, 64))}},
        o(**LATENTS)
        | caches("0_0832x1216_sdxl.npz")
        | {"files": {"10_cat/0_0832x1216_sdxl.npz": npz(latents=(4, 152, 104))}},
    ),
    case("cache-latents-size", caches("0_0512x0768_sdxl.npz"), caches("0_0832x1216_sdxl.npz")),
    case("cache-latents-old", o(**LATENTS) | caches("0.npz"), caches("0.npz")),
    case(
        "cache-shared",
        o(**LATENTS) | {"found": images({"a.png": "x", "a.jpg": "x"})},
        o(**LATENTS) | {"found": images({"a.png": "x", "b.jpg": "x"})},
    ),
    case("cache-implied", {**o(**LATENTS), "drop": ("cache_latents",)}, o(**LATENTS)),
    case("cache-unchecked", o(**LATENTS, skip_cache_check=True), o(skip_cache_check=True)),
    case("vae-fp16", o(mixed_precision="fp16"), o(mixed_precision="fp16", no_half_vae=True)),
]

SIZE = [
    case("resolution-missing", {"dropped": ("resolution",)}, {}),
    case(
        "resolution-form",
        {"dropped": ("resolution",), **o(resolution="1024x1024")},
        {"dropped": ("resolution",), **o(resolution="1024,1024")},
    ),
    case(
        "resolution-step",
        s(resolution=1000, enable_bucket=False) | sized(a=(1000, 1000)) | {"dropped": ("max_bucket_reso",)},
        s(resolution=1000),
    ),
    case("resolution-small", s(resolution=512), s(resolution=768)),
    case(
        "bucket-off",
        {**s(enable_bucket=False), "dropped": ("max_bucket_reso",), "drop": ("cache_latents",)},
        {
            **s(enable_bucket=False),
            "dropped": ("max_bucket_reso",),
            "drop": ("cache_latents",),
            **sized(a=(1024, 1024)),
        },
    ),
    case(
        "bucket-off-cut",
        {**s(enable_bucket=False), "dropped": ("max_bucket_reso",)},
        {**s(enable_bucket=False), "dropped": ("max_bucket_reso",), **sized(a=(2000, 2010))},
    ),
    case("bucket-max-small", s(resolution=1280, max_bucket_reso=1024), s(resolution=1280)),
    case(
        "bucket-max-tight",
        {"dropped": ("max_bucket_reso",)},
        {"dropped": ("max_bucket_reso",), **sized(a=(1024, 1024))},
    ),
    case("bucket-min-large", s(min_bucket_reso=1280), s(min_bucket_reso=1024) | sized(a=(1024, 1024))),
    case("bucket-steps", s(bucket_reso_steps=48), s(bucket_reso_steps=32), "bucket-rounded"),
    case("bucket-rounded", s(min_bucket_reso=300), s(min_bucket_reso=320)),
    case("bucket-options-idle", s(enable_bucket=False) | sized(a=(1024, 1024)), {}),
    case(
        "bucket-limits-ignored",
        s(bucket_no_upscale=True),
        {**s(bucket_no_upscale=True), "dropped": ("max_bucket_reso",)},
    ),
    case(
        "face-crop-ignored",
        s(face_crop_aug_range=[1.0, 2.0]),
        {
            **s(face_crop_aug_range=[1.0, 2.0], enable_bucket=False),
            **sized(a=(1024, 1024)),
            "dropped": ("max_bucket_reso",),
        },
    ),
    case(
        "image-broken",
        {
            "found": images(
                unreadable=("x.png",), captioned=frozenset({"x.png"} | {f"{n}.png" for n in range(20)})
            )
        },
        {},
    ),
    case(
        "images-too-small",
        {**s(bucket_no_upscale=True), "dropped": ("max_bucket_reso",), **sized(a=(48, 900))},
        sized(a=(900, 900)),
    ),
    case("images-upscaled", sized(a=(512, 512)), sized(a=(800, 800))),
]

MODELS = [
    case("checkpoint-missing", {"drop": PATHS[:1]}, {}),
    case("checkpoint-not-found", o(**{PATHS[0]: PATHS[1]}), o(**{PATHS[0]: "owner/model"})),
    case(
        "checkpoint-link",
        {
            **o(**{PATHS[0]: "snap/a.safetensors"}),
            "files": {"blobs/x": weights(UNET, TE1, TE2, VAE), "snap/b": ""},
            "links": {"snap/a.safetensors": "../blobs/x"},
        },
        {
            **o(**{PATHS[0]: "a.safetensors"}),
            "files": {"blobs/x": weights(UNET, TE1, TE2, VAE)},
            "links": {"a.safetensors": "blobs/x"},
        },
    ),
    case(
        "checkpoint-damaged", {**o(**{PATHS[0]: "a.safetensors"}), "files": {"a.safetensors": b"\0" * 20}}, {}
    ),
    case(
        "checkpoint-not-sdxl",
        {**o(**{PATHS[0]: "a.safetensors"}), "files": {"a.safetensors": weights("lora_unet_x.alpha")}},
        {**o(**{PATHS[0]: "a.safetensors"}), "files": {"a.safetensors": weights(UNET, TE1, TE2, VAE)}},
    ),
    case(
        "checkpoint-incomplete",
        {**o(**{PATHS[0]: "a.safetensors"}), "files": {"a.safetensors": weights(UNET, TE1, TE2)}},
        {**o(**{PATHS[0]: "a.safetensors"}), "files": {"a.safetensors": weights(UNET, TE1, TE2, VAE)}},
    ),
    case(
        "checkpoint-folder",
        {**o(**{PATHS[0]: "model"}), "files": MODEL},
        {**o(**{PATHS[0]: "model"}), "files": {**MODEL, "model/model_index.json": "{}"}},
    ),
    case("vae-not-found", o(vae="vae.safetensors"), o(vae="madebyollin/sdxl-vae-fp16-fix")),
    case(
        "tokenizers-not-cached",
        o(tokenizer_cache_dir="tok"),
        {
            **o(tokenizer_cache_dir="tok"),
            "files": {
                "tok/openai_clip-vit-large-patch14/a": "",
                "tok/laion_CLIP-ViT-bigG-14-laion2B-39B-b160k/a": "",
            },
        },
    ),
    case("network-module-missing", {"drop": ("network_module",)}, o(network_module="lycoris.kohya")),
    case(
        "network-module-other", o(network_module="networks.lora_flux"), o(network_module="networks.lora_fa")
    ),
    case(
        "network-dim-default",
        {"drop": ("network_dim",)},
        o(network_dim=4, network_alpha=4),
        "network-alpha-large",
    ),
    case("network-alpha-default", {"drop": ("network_alpha",)}, o(network_alpha=1)),
    case("network-alpha-large", o(network_alpha=64), o(network_alpha=32)),
    case("network-alpha-zero", o(network_alpha=0), o(network_alpha=1)),
    case(
        "network-args-form", o(network_args=["conv_dim", "4"]), o(network_args=["conv_dim=4", "conv_alpha=4"])
    ),
    case(
        "network-args-unknown",
        o(network_args=["algo=locon"]),
        o(network_args=["algo=locon"], network_module="lycoris.kohya"),
    ),
    case(
        "network-args-blocks",
        o(network_args=[f"block_dims={BLOCKS},4,4"]),
        o(network_args=[f"block_dims={BLOCKS}"]),
    ),
    case(
        "network-conv-alpha", o(network_args=["conv_dim=16"]), o(network_args=["conv_dim=16", "conv_alpha=8"])
    ),
    case(
        "weights-not-found",
        o(network_weights="a.safetensors"),
        {**o(network_weights="a.safetensors"), "files": {"a.safetensors": ""}},
    ),
    case(
        "dim-without-weights",
        o(dim_from_weights=True),
        {**o(dim_from_weights=True, network_weights="a"), "files": {"a": ""}},
    ),
    case(
        "base-weights-count",
        {**o(base_weights=["a", "b"], base_weights_multiplier=[1.0]), "files": {"a": "", "b": ""}},
        {**o(base_weights=["a", "b"], base_weights_multiplier=[1.0, 0.5]), "files": {"a": "", "b": ""}},
    ),
    case("clip-skip", o(clip_skip=2), {}),
    case("v2-model", o(v2=True), {}),
]

RATES = [
    case(
        "optimizer-unknown", o(optimizer_type="Adam8bit"), o(optimizer_type="bitsandbytes.optim.AdEMAMix8bit")
    ),
    case("optimizer-twice", o(use_8bit_adam=True), {**o(use_8bit_adam=True), "drop": ("optimizer_type",)}),
    case(
        "optimizer-args-form",
        o(optimizer_args=["decouple=true"]),
        o(optimizer_args=["decouple=True", "betas=0.9,0.99"]),
    ),
    case("optimizer-package-missing", o(optimizer_type="Lion"), o(optimizer_type="AdamWScheduleFree")),
    case(
        "eight-bit-missing",
        {"machine": BARE},
        {"machine": BARE, **o(optimizer_type="AdamW")},
        "tensorboard-missing",
    ),
    case("eight-bit-without-gpu", {"machine": NO_GPU}, {"machine": NO_GPU, **o(optimizer_type="AdamW")}),
    case(
        "learning-rate-default",
        {"drop": ("learning_rate", "unet_lr", "text_encoder_lr")},
        {"drop": ("learning_rate",)},
    ),
    case("learning-rate-high", o(unet_lr=1.0), o(unet_lr=1e-3), "option-idle"),
    case("learning-rate-zero", o(text_encoder_lr=[0.0]), o(**CACHED)),
    case(
        "nothing-trained",
        {
            **o(network_train_unet_only=True, network_train_text_encoder_only=True),
            "drop": ("text_encoder_lr",),
        },
        {**o(network_train_text_encoder_only=True)},
        "option-idle",
    ),
    case("text-encoder-lr-several", o(text_encoder_lr=[1e-5, 5e-6]), o(text_encoder_lr=[1e-5])),
    case(
        "text-encoder-lr-idle",
        o(network_train_unet_only=True),
        {**o(network_train_unet_only=True), "drop": ("text_encoder_lr",)},
    ),
    case(
        "text-encoder-lr-inherited", {"drop": ("text_encoder_lr",)}, {"drop": ("text_encoder_lr", "unet_lr")}
    ),
    case(
        "adaptive-rate-low",
        o(optimizer_type="Prodigy", text_encoder_lr=[1e-4]),
        o(optimizer_type="Prodigy", unet_lr=1.0, text_encoder_lr=[1.0]),
    ),
    case(
        "adaptive-rates-several",
        o(optimizer_type="Prodigy", unet_lr=1.0, text_encoder_lr=[0.5]),
        o(optimizer_type="Prodigy", unet_lr=1.0, text_encoder_lr=[1.0]),
    ),
    case(
        "adafactor-relative",
        {**o(optimizer_type="Adafactor"), "drop": ("lr_warmup_steps",)},
        o(optimizer_type="Adafactor", optimizer_args=["relative_step=False"]),
    ),
]

STEPS = [
    case(
        "steps-default",
        {"drop": ("max_train_epochs",)},
        {**o(max_train_steps=1000), "drop": ("max_train_epochs",)},
    ),
    case("steps-and-epochs", o(max_train_steps=1000), {}),
    case(
        "initial-step-beyond",
        o(initial_step=1000, network_weights="w") | {"files": {"w": ""}},
        o(initial_step=999),
    ),
    case("initial-without-resume", o(initial_epoch=5), o(initial_epoch=5, resume=".")),
    case("seed-missing", {"drop": ("seed",)}, o(seed=0)),
    case("warmup-beyond", o(lr_warmup_steps=1000), o(lr_warmup_steps=100)),
    case("warmup-long", o(lr_warmup_steps=300), o(lr_warmup_steps=250)),
    case("scheduler-warmup", o(lr_scheduler="constant"), o(lr_scheduler="constant", lr_warmup_steps=0)),
    case("scheduler-unknown", o(lr_scheduler="cosine_restarts"), o(lr_scheduler="cosine_with_restarts")),
    case("scheduler-unusable", o(lr_scheduler="reduce_lr_on_plateau"), o(lr_scheduler="linear")),
    case(
        "scheduler-adafactor",
        o(lr_scheduler="adafactor:1e-4", lr_warmup_steps=0),
        o(
            lr_scheduler="adafactor:1e-4",
            lr_warmup_steps=0,
            optimizer_type="Adafactor",
            optimizer_args=["relative_step=False"],
        ),
    ),
    case(
        "scheduler-argument-missing",
        o(lr_scheduler="cosine_with_min_lr"),
        o(lr_scheduler="cosine_with_min_lr", lr_scheduler_min_lr_ratio=0.1),
    ),
    case(
        "scheduler-args-form",
        o(lr_scheduler="polynomial", lr_scheduler_args=["lr_end=low"]),
        o(lr_scheduler="polynomial", lr_scheduler_args=["lr_end=1e-6"]),
    ),
    case(
        "scheduler-option-idle",
        o(lr_scheduler_num_cycles=3),
        o(lr_scheduler_num_cycles=3, lr_scheduler="cosine_with_restarts"),
    ),
    case(
        "schedule-free",
        {**o(optimizer_type="AdamWScheduleFree"), "drop": ("lr_warmup_steps",)},
        {**o(optimizer_type="AdamWScheduleFree"), "drop": ("lr_warmup_steps", "lr_scheduler")},
    ),
]

LOSS = [
    case(
        "v-parameterization-epsilon",
        {**o(v_parameterization=True), "base": EPSILON},
        {**o(v_parameterization=True), "base": V},
    ),
    case("v-parameterization-unknown", {**o(v_parameterization=True), "base": UNKNOWN}, {"base": UNKNOWN}),
    case("v-parameterization-missing", {"base": V}, {"base": None}),
    case("v-parameterization-disputed", {"base": DISPUTED}, {"base": EPSILON}),
    case(
        "zero-terminal-snr-epsilon",
        o(zero_terminal_snr=True, min_snr_gamma=None),
        {**o(zero_terminal_snr=True, v_parameterization=True, min_snr_gamma=None), "base": ZTSNR},
    ),
    case(
        "zero-terminal-snr-missing",
        {**o(v_parameterization=True), "base": ZTSNR},
        {**o(v_parameterization=True), "base": V},
    ),
    case(
        "zero-terminal-snr-weights",
        {**o(zero_terminal_snr=True, v_parameterization=True), "base": ZTSNR},
        {**o(zero_terminal_snr=True, v_parameterization=True, min_snr_gamma=None), "base": ZTSNR},
    ),
    case(
        "v-loss-scaled-without-v",
        o(scale_v_pred_loss_like_noise_pred=True, min_snr_gamma=None),
        {**o(scale_v_pred_loss_like_noise_pred=True, min_snr_gamma=None, v_parameterization=True), "base": V},
    ),
    case(
        "v-like-loss-with-v",
        {**o(v_pred_like_loss=1.0, v_parameterization=True), "base": V},
        o(v_pred_like_loss=1.0),
    ),
    case(
        "adaptive-noise-without-offset",
        o(adaptive_noise_scale=0.01),
        o(adaptive_noise_scale=0.01, noise_offset=0.05),
    ),
    case("noise-twice", o(noise_offset=0.05, multires_noise_iterations=6), o(multires_noise_iterations=6)),
    case(
        "noise-option-idle",
        o(noise_offset_random_strength=True),
        o(noise_offset_random_strength=True, noise_offset=0.05),
    ),
    case(
        "loss-weights-stacked",
        o(debiased_estimation_loss=True),
        o(debiased_estimation_loss=True, min_snr_gamma=0),
    ),
    case("huber-idle", o(huber_c=0.2), o(huber_c=0.2, loss_type="huber")),
    case("timesteps-range", o(min_timestep=600, max_timestep=400), o(min_timestep=0, max_timestep=1000)),
    case("masked-loss-without-masks", o(masked_loss=True), {**o(masked_loss=True), **s(alpha_mask=True)}),
]

MACHINES = [
    case("full-precision-mismatch", o(full_fp16=True), o(full_bf16=True)),
    case("mixed-precision-off", o(mixed_precision="no"), {}),
    case(
        "bf16-unsupported",
        {"machine": replace(MACHINE, bf16=False)},
        {"machine": replace(NO_GPU, bf16=False), **o(optimizer_type="AdamW")},
    ),
    case("fp8-unmixed", o(fp8_base=True, mixed_precision="no"), o(fp8_base=True), "mixed-precision-off"),
    case(
        "fp8-without-gpu",
        {"machine": NO_GPU, **o(fp8_base_unet=True, optimizer_type="AdamW")},
        {"machine": None, **o(fp8_base_unet=True)},
    ),
    case(
        "fp8-torch-old",
        {
            "machine": replace(MACHINE, packages={**MACHINE.packages, "torch": "2.0.1+cu118"}),
            **o(fp8_base=True),
        },
        {"machine": replace(MACHINE, packages={**MACHINE.packages, "torch": "2.10.0a0"}), **o(fp8_base=True)},
    ),
    case("attention-none", {"drop": ("sdpa",)}, {"drop": ("sdpa",), **o(xformers=True)}),
    case("attention-several", o(xformers=True), {}),
    case(
        "xformers-missing",
        {"machine": BROKEN, "drop": ("sdpa",), **o(xformers=True)},
        {"machine": None, "drop": ("sdpa",), **o(xformers=True)},
    ),
    case("cpu-offload-checkpointing", o(cpu_offload_checkpointing=True), {}),
    case("cpu-offload-idle", {**o(cpu_offload_checkpointing=True), "drop": ("gradient_checkpointing",)}, {}),
    case(
        "fused-backward-refused",
        o(fused_backward_pass=True),
        o(fused_backward_pass=True, optimizer_type="Adafactor", optimizer_args=["relative_step=False"]),
    ),
    case(
        "fused-backward-idle",
        o(fused_backward_pass=True, optimizer_type="Adafactor", optimizer_args=["relative_step=False"]),
        o(fused_backward_pass=True),
        "adafactor-clipped",
    ),
    case("deepspeed-missing", {"machine": BROKEN, **o(deepspeed=True)}, o(deepspeed=True)),
    case("deepspeed-idle", o(zero_stage=3), o(zero_stage=3, deepspeed=True)),
    case(
        "workers-persistent",
        o(persistent_data_loader_workers=True, max_data_loader_n_workers=0),
        o(persistent_data_loader_workers=True),
    ),
    case("wandb-missing", {"machine": BROKEN, **o(log_with="wandb")}, o(log_with="wandb")),
    case(
        "tensorboard-missing",
        {"machine": BARE, **o(optimizer_type="AdamW")},
        {"machine": BARE, **o(optimizer_type="AdamW", log_with="wandb")},
    ),
]

WRITTEN = [
    case("output-dir-missing", {"drop": ("output_dir",)}, {}),
    case("output-dir-file", {"files": {"output": "x"}}, {"files": {"output/x": ""}}),
    case("output-name-missing", {"drop": ("output_name",)}, {}),
    case(
        "output-exists",
        {"files": {"output/lora.safetensors": ""}},
        {"files": {"output/lora.safetensors": ""}, **o(resume=".")},
    ),
    case("save-precision-missing", {"drop": ("save_precision",)}, o(save_precision="float")),
    case("save-format-pickle", o(save_model_as="pt"), o(save_model_as="safetensors")),
    case("save-every-zero", o(save_every_n_epochs=0), o(save_every_n_epochs=2)),
    case(
        "save-only-last",
        {"drop": ("save_every_n_epochs", "save_state")},
        {"drop": ("save_every_n_epochs",), **o(save_every_n_steps=100)},
        "state-never",
    ),
    case("save-keep-idle", o(save_last_n_steps=200), o(save_last_n_epochs=2)),
    case("state-never", {"drop": ("save_state",)}, {}),
    case("state-only-last", {"drop": ("save_every_n_epochs",)}, {}, "save-only-last"),
    case("resume-not-found", o(resume="gone-state"), {**o(resume="a-state"), "files": {"a-state/x": ""}}),
    case("logging-dir-missing", {"drop": ("logging_dir",)}, {"drop": ("log_with",)}),
    case("log-nothing", {"drop": ("logging_dir", "log_with")}, {"drop": ("log_with",)}),
    case("secret-on-command-line", {"command": f"{LINE} --wandb_api_key 1"}, {"toml": "wandb_api_key = '1'"}),
    case(
        "no-training",
        {"command": f"{LINE} --output_config --config_file there", "files": {"there.toml": ""}},
        {"toml": "output_config = true"},
    ),
]

SEEN = [
    case("sample-prompts-missing", o(**SAMPLES), {}),
    case("sample-prompts-not-found", o(**SAMPLES, sample_prompts="/nowhere/p.txt"), {}),
    case(
        "sample-prompts-form",
        {**o(**SAMPLES, sample_prompts="p.md"), "files": {"p.md": "a"}},
        {**o(**SAMPLES, sample_prompts="prompts.txt"), "files": GOOD_PROMPTS},
        "sample-prompts-relative",
    ),
    case(
        "sample-prompts-unreadable",
        {**o(**SAMPLES, sample_prompts="p.txt"), "files": {"p.txt": b"\xff"}},
        {**o(**SAMPLES, sample_prompts="prompts.txt"), "files": GOOD_PROMPTS},
        "sample-prompts-relative",
    ),
    case(
        "sample-prompts-empty",
        {**o(**SAMPLES, sample_prompts="p.txt"), "files": {"p.txt": "# a\n\n"}},
        {**o(**SAMPLES, sample_prompts="prompts.txt"), "files": GOOD_PROMPTS},
        "sample-prompts-relative",
    ),
    case(
        "sample-prompt-misread",
        {
            **o(**SAMPLES, sample_prompts="p.txt"),
            "files": {"p.txt": "n solo --w 1024\n"},
        },
        {**o(**SAMPLES, sample_prompts="p.txt"), "files": {"p.txt": "night, solo --w 1024 --n bad\n"}},
        "sample-prompts-relative",
    ),
    case(
        "sample-prompts-relative", {**o(**SAMPLES, sample_prompts="prompts.txt"), "files": GOOD_PROMPTS}, {}
    ),
    case(
        "sample-size",
        {**o(**SAMPLES, sample_prompts="p.txt"), "files": {"p.txt": "sks\n"}},
        {**o(**SAMPLES, sample_prompts="prompts.txt"), "files": GOOD_PROMPTS},
        "sample-prompts-relative",
    ),
    case(
        "sample-both",
        {**o(**SAMPLES, sample_every_n_steps=9, sample_prompts="prompts.txt"), "files": GOOD_PROMPTS},
        {**o(**SAMPLES, sample_prompts="prompts.txt"), "files": GOOD_PROMPTS},
        "sample-prompts-relative",
    ),
    case("sample-every-zero", o(sample_every_n_steps=0), {}),
    case("sample-never", o(sample_prompts="prompts.txt"), {}),
    case("validation-split-range", s(validation_split=10.0), s(validation_split=0.1)),
    case(
        "validation-idle",
        o(validate_every_n_epochs=1),
        o(validate_every_n_epochs=1) | s(validation_split=0.1),
    ),
]

# Those of the first list come with others, as nothing but the one option is given.
CASES = [*DATA, *CAPTIONS, *CACHES, *SIZE, *MODELS, *RATES, *STEPS, *LOSS, *MACHINES, *WRITTEN, *SEEN]
