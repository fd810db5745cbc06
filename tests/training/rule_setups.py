"""Setups for the tests of rules: a sound one, and what can be changed in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tagflow.models.prediction import Prediction
from tagflow.training.machine.probe import Gpu, Machine
from tagflow.training.sd_scripts import dataset_config
from tagflow.training.sd_scripts.dataset_config import Subset
from tagflow.training.sd_scripts.launch import NO_LAUNCHER, Launch
from tagflow.training.sd_scripts.options import known_options
from tagflow.training.setup import read
from tagflow.training.setup.read import with_files
from tagflow.training.setup.setup import Images, Setup

MACHINE = Machine(
    python=Path("/trainer/bin/python"),
    python_version="3.11.9",
    platform="Linux",
    packages=dict.fromkeys(
        ("torch", "bitsandbytes", "xformers", "tensorboard", "wandb", "deepspeed", "prodigyopt"), "2.6.0"
    )
    | {"lion-pytorch": None, "schedulefree": "1.4", "dadaptation": "3.2", "lycoris-lora": "4.1.3"},
    broken={},
    cuda="12.4",
    gpus=(Gpu("RTX 4090", 24 << 30, 23 << 30, (8, 9)),),
    memory=64 << 30,
    bf16=True,
)
NO_GPU = replace(MACHINE, gpus=(), cuda=None)
EPSILON = Prediction("epsilon", ("the metadata modelspec.prediction_type = epsilon says epsilon",))
V = Prediction("v", ("the key v_pred says v",))
ZTSNR = Prediction("v", ("the key v_pred says v", "the key ztsnr says v"))
UNKNOWN = Prediction("unknown", ())
DISPUTED = Prediction("v", ("the key v_pred says v", "the metadata x = epsilon says epsilon"), True)
OPTIONS: dict[str, Any] = {
    "pretrained_model_name_or_path": "owner/model", "network_module": "networks.lora", "network_dim": 32,
    "network_alpha": 16, "learning_rate": 1e-4, "unet_lr": 1e-4, "text_encoder_lr": [5e-5],
    "lr_scheduler": "cosine", "lr_warmup_steps": 0.1, "max_train_epochs": 10, "optimizer_type": "AdamW8bit",
    "output_dir": "output", "output_name": "lora", "save_precision": "bf16", "save_every_n_epochs": 1,
    "save_state": True, "logging_dir": "logs", "log_with": "tensorboard", "mixed_precision": "bf16",
    "sdpa": True, "gradient_checkpointing": True, "seed": 42, "max_token_length": 225,
    "cache_latents": True, "min_snr_gamma": 5,
}  # fmt: skip
SUBSET: dict[str, Any] = {
    "resolution": 1024, "enable_bucket": True, "max_bucket_reso": 2048, "caption_extension": ".txt",
    "num_repeats": 10, "batch_size": 2,
}  # fmt: skip


def images(texts: Mapping[str, str] | None = None, /, **more: Any) -> Images:
    """Twenty images of one shape with captions, or those of `texts`; `more`: other values of Images."""
    texts = texts or {f"{n}.png": "sks, solo, smile" for n in range(20)}
    values = {
        "sizes": dict.fromkeys(texts, (832, 1216)),
        "unreadable": (),
        "captioned": frozenset(texts),
        "caches": (),
        "stale": (),
        "texts": texts,
    }
    return Images(**(values | more))


def build(
    root: Path,
    *,
    options: Mapping[str, Any] | None = None,
    drop: tuple[str, ...] = (),
    subset: Mapping[str, Any] | None = None,
    dropped: tuple[str, ...] = (),
    more: Mapping[str, Any] | None = None,
    found: Images | None = None,
    machine: Machine | None = MACHINE,
    base: Prediction | None = EPSILON,
    files: Mapping[str, str | bytes] | None = None,
    links: Mapping[str, str] | None = None,
    front_end: Mapping[str, Any] | None = None,
    command: str | None = None,
    toml: str | None = None,
    dataset: str | None = None,
    launch: Launch = NO_LAUNCHER,
) -> Setup:
    """A sound setup with changes.

    `options` and `subset` are set over those of the sound one, `drop` and `dropped` take some away; `more`: a
    second subset, `found` what lies in the folder. With `command`, `toml` or `dataset` it is read from these
    instead. `files` are written below `root` first.
    """
    for name, content in (files or {}).items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str | bytes):
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        else:  # a model of full size
            content.write(file)
    for name, target in (links or {}).items():
        (root / name).symlink_to(target)
    if command is not None or toml is not None or dataset is not None:
        return _read(root, command, toml, dataset)
    merged = {name: value for name, value in {**OPTIONS, **(options or {})}.items() if name not in drop}
    given = {name: value for name, value in merged.items() if value is not None}
    folder = root / "10_cat"
    folder.mkdir(exist_ok=True)
    own = {name: value for name, value in {**SUBSET, **(subset or {})}.items() if name not in dropped}
    subsets = [_subset(own, given, folder)] + ([_subset({**own, **more}, given, folder)] if more else [])
    if given.get("train_data_dir") or given.get("in_json"):
        return _of_options(root, given, machine, base)
    there = images() if found is None else found
    return Setup(
        "sdxl_train_network.py",
        known_options(),
        known_options().defaults() | given | {"dataset_config": "dataset.toml"},
        dict.fromkeys(given, "train.toml"),
        root,
        tuple(subsets),
        images=(there,) * len(subsets),
        machine=machine,
        base=base,
        front_end=front_end or {},
        launch=launch,
    )


def _subset(own: Mapping[str, Any], given: Mapping[str, Any], folder: Path) -> Subset:
    own = {"image_dir": str(folder)} | dict(own)
    doc = {"datasets": [{"subsets": [own]}]}
    values = known_options().defaults() | dict(given)
    return dataset_config.subsets(doc, values, dict.fromkeys(given, ""), folder.parent, "dataset.toml")[0]


def _of_options(
    root: Path, given: Mapping[str, Any], machine: Machine | None, base: Prediction | None
) -> Setup:
    """Data named by options, as a command line has it."""
    words = ["sdxl_train_network.py"]
    own = {"resolution": "1024", "enable_bucket": True, "max_bucket_reso": 2048, "caption_extension": ".txt"}
    for name, value in {**own, **given}.items():
        many = value if isinstance(value, list) else [value]
        words += [f"--{name}", *([] if value is True else map(str, many))]
    return replace(with_files(read.setup_of_command(words, root)), machine=machine, base=base)


def _read(root: Path, command: str | None, toml: str | None, dataset: str | None) -> Setup:
    if command is not None:
        return read.setup_of_typed(command, root)
    if dataset is not None:
        (root / "dataset.toml").write_text(dataset, encoding="utf-8")
        toml = f'dataset_config = "{(root / "dataset.toml").as_posix()}"\n' + (toml or "")
    (root / "train.toml").write_text(toml or "", encoding="utf-8")
    return read.setup_of_toml(root / "train.toml", folder=root)


class Values(Mapping[str, Any]):
    """Values that remember which of them were asked for by name."""

    def __init__(self, values: Mapping[str, Any], asked: set[str]) -> None:
        self.inner, self.asked = values, asked

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return self.inner[name]

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return name in self.inner

    def __iter__(self) -> Iterator[str]:
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)

    def items(self) -> Any:
        """All of them, which is no question about one."""
        return self.inner.items()


class Names(frozenset[str]):
    """Names that remember which of them were looked for."""

    asked: set[str]

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)


def watched(setup: Setup, asked: set[str]) -> Setup:
    """The same setup, which notes down what is asked of it."""
    subsets = setup.subsets and tuple(watched_subset(one, asked) for one in setup.subsets)
    return replace(
        setup, values=Values(setup.values, asked), given=Values(setup.given, asked), subsets=subsets
    )


def watched_subset(subset: Subset, asked: set[str]) -> Subset:
    given = Names(subset.given)
    given.asked = asked
    return replace(subset, values=Values(subset.values, asked), given=given)
