"""What several rules work out of a setup; open it for a subset's buckets, what is cached, how many steps.

Beside each answer stands a tuple in capitals: the options that it comes from, for `reads` of the rules that
ask it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from tagflow.findings.wording import some
from tagflow.training.sd_scripts import dataset_config
from tagflow.training.sd_scripts.captions import Handling, read_caption, with_affixes
from tagflow.training.sd_scripts.dataset_config import Subset
from tagflow.training.sd_scripts.files import Sight
from tagflow.training.sd_scripts.metadata import caption, read_metadata
from tagflow.training.sd_scripts.optimizers import finds_its_rate, named_optimizer, optimizer_of
from tagflow.training.sd_scripts.options import Value
from tagflow.training.sd_scripts.steps import (
    Buckets,
    Size,
    epochs_of,
    held_out,
    of_the_class,
    steps_per_epoch,
)
from tagflow.training.setup.setup import Images, Setup

_SHOWN = 3  # names in one detail
_LARGEST = 16384  # pixels of a side; nothing trains more, and buckets are counted out
STEP = 32  # pixels: SDXL's U-Net halves latents twice, a latent is eight pixels

BUCKETS = ("resolution", "enable_bucket", "bucket_reso_steps", "min_bucket_reso", "max_bucket_reso",
           "bucket_no_upscale")  # fmt: skip
SPLITS = ("shuffle_caption", "token_warmup_step", "caption_tag_dropout_rate")
CACHES_TEXT = ("cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk")
LINES = ("enable_wildcard", "caption_separator", "metadata_file")
TEXT_OPTIONS = tuple(one.name for one in fields(Handling))
TEXT = (*LINES, *CACHES_TEXT, *TEXT_OPTIONS)
CACHES_LATENTS = ("cache_latents", "cache_latents_to_disk")
TRAINS_UNET = ("network_train_text_encoder_only",)
TRAINS_TEXT = ("network_train_unet_only",)
OPTIMIZER = ("optimizer_type", "use_8bit_adam", "use_lion_optimizer")
STEPS = (*BUCKETS, "max_train_epochs", "max_train_steps", "gradient_accumulation_steps", "batch_size",
         "num_repeats", "is_reg", "validation_split", "validation_seed")  # fmt: skip
_NO_IMAGES = Images({}, (), frozenset(), (), (), {})


@dataclass(frozen=True)
class SubsetView:
    """A subset with what lies in its folder. `files`: None where nobody looked, or no image lies there.

    `setup`: the whole that it is a part of. `overlooked`: pictures there that the trainer does not see, or
    may not.
    """

    setup: Setup
    subset: Subset
    files: Images | None
    overlooked: Mapping[str, Sight] = field(default_factory=dict)

    def on(self, name: str) -> bool:
        """Whether a value is set to something other than nought."""
        return bool(self.subset.values.get(name))

    def number(self, name: str) -> float:
        """A value's number; 0 where it has none."""
        value = self.subset.values.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    def text(self, name: str) -> str:
        """A value's text; empty where it has none."""
        value = self.subset.values.get(name)
        return value if isinstance(value, str) else ""

    def given(self, name: str) -> bool:
        """Whether somebody set a value."""
        return name in self.subset.given

    def moved(self, name: str) -> bool:
        """Whether somebody set a value to something else than it is anyway."""
        usual = dataset_config.schema()["defaults"][self.subset.kind].get(name)
        option = self.setup.options.by_name.get(name)
        return self.given(name) and self.subset.values.get(name) != (option.default if option else usual)

    @property
    def images(self) -> Images:
        """What lies in the folder, for rules that need images and say nothing of a folder without any."""
        return self.files or _NO_IMAGES

    @cached_property
    def lines(self) -> Mapping[str, str]:
        """What the trainer reads of each caption, by image."""
        wild, mark = self.on("enable_wildcard"), self.text("caption_separator")
        file = self.text("metadata_file")
        if not file:
            return {
                name: read_caption(text, enable_wildcard=wild) for name, text in self.images.texts.items()
            }
        try:
            described = read_metadata(self.setup.folder / file)
        except (OSError, ValueError, RecursionError):  # a rule says so
            return {}
        return {name: caption(one, mark, enable_wildcard=wild) for name, one in described.items()}

    @cached_property
    def how(self) -> Handling:
        """The subset's caption options; cached text outputs know none of them."""
        values: dict[str, Any] = {name: self.subset.values.get(name) for name in TEXT_OPTIONS}
        given = {name: value for name, value in values.items() if value is not None}
        return Handling() if caches_text(self.setup) else Handling(**given)

    @cached_property
    def trained(self) -> Mapping[str, str]:
        """The text in which separators, wildcards and weights are looked for: prefix, caption, suffix.

        Cached outputs are those of the caption as it was read, all lines of it.
        """
        if caches_text(self.setup):
            return self.lines
        joined = {name: with_affixes(text, self.how) for name, text in self.lines.items()}
        if self.how.enable_wildcard:
            return joined
        return {name: text.split("\n")[0] for name, text in joined.items()}

    def images_where(self, test: Callable[[str], object]) -> list[str]:
        """The images of whose trained texts a test holds."""
        return [name for name, text in self.trained.items() if test(text)]

    @property
    def splits(self) -> bool:
        """Whether the trainer takes captions apart at all; else they go to the encoders as they stand."""
        return self.on("shuffle_caption") or self.drops

    @property
    def drops(self) -> bool:
        """Whether single tags are left out at times."""
        return self.number("token_warmup_step") > 0 or self.number("caption_tag_dropout_rate") > 0

    @cached_property
    def resolution(self) -> Size | None:
        """Width and height in pixels; None where there is none, or it has a wrong form."""
        value: object = self.subset.values.get("resolution")
        sizes = value.split(",") if isinstance(value, str) else value
        try:
            numbers = [int(one) for one in sizes] if isinstance(sizes, list) else [int(str(sizes))]
        except ValueError:
            return None
        formed = len(numbers) in (1, 2) and 0 < min(numbers) <= max(numbers) <= _LARGEST
        return (numbers[0], numbers[-1]) if formed else None

    @cached_property
    def buckets(self) -> Buckets | None:
        """How images are brought to size; None without a resolution, or where the trainer would stop."""
        size, steps = self.resolution, int(self.number("bucket_reso_steps"))
        if size is not None and not self.on("enable_bucket"):
            return Buckets(size)
        if size is None or steps < 1 or steps % STEP:
            return None
        low, high = int(self.number("min_bucket_reso")), int(self.number("max_bucket_reso"))
        made = Buckets(size, low - low % steps, high + -high % steps, steps, self.on("bucket_no_upscale"))
        return made if made.low <= min(size) and max(size) <= made.high and made.low > 0 else None


def parts(setup: Setup) -> list[SubsetView]:
    """Every subset; where the options name no data, one that stands for it. None where nobody knows."""
    if setup.subsets is None:
        return []
    images = setup.images or ()
    if setup.subsets or setup.values.get("dataset_config"):
        views = [
            SubsetView(setup, subset, files if files.count else None, files.overlooked)
            for subset, files in zip(setup.subsets, images, strict=False)
        ]
        return views + [SubsetView(setup, subset, None) for subset in setup.subsets[len(views) :]]
    doc: Mapping[str, Any] = {"datasets": [{"subsets": [{}]}]}
    made = dataset_config.subsets(doc, setup.values, setup.given, setup.folder, "")
    return [SubsetView(setup, Subset("", None, one.values, one.given), None) for one in made]


def places(found: Sequence[SubsetView]) -> str:
    """Where the parts are, in words; empty for the one that stands for the options."""
    named = [part.subset.where for part in found if part.subset.where]
    return some(named, 1)


def names(found: Iterable[str]) -> str:
    """A few names, and how many more there are."""
    return some(sorted(found), _SHOWN)


def caches_text(setup: Setup) -> bool:
    """Whether the text encoders' outputs are cached; the option for the disk turns the other one on."""
    return setup.on("cache_text_encoder_outputs") or setup.on("cache_text_encoder_outputs_to_disk")


def caches_latents(setup: Setup) -> bool:
    """Whether latents are cached; the option for the disk turns the other one on."""
    return setup.on("cache_latents") or setup.on("cache_latents_to_disk")


def trains_unet(setup: Setup) -> bool:
    """Whether the U-Net's network is trained."""
    return not setup.on("network_train_text_encoder_only")


def trains_text(setup: Setup) -> bool:
    """Whether the text encoders' network is trained."""
    return not setup.on("network_train_unet_only")


def optimizer(setup: Setup) -> str:
    """The optimizer's name in lower case, as sd-scripts chooses it."""
    return optimizer_of(setup.values)


def adapts(setup: Setup) -> bool:
    """Whether the optimizer finds its learning rate itself, so that 1 is the rate to give."""
    return finds_its_rate(named_optimizer(setup.values))


def words(setup: Setup, name: str) -> list[str]:
    """The words of an option that takes many."""
    value: Value = setup.values.get(name)
    return [str(one) for one in value] if isinstance(value, list) else []


def network_words(setup: Setup) -> dict[str, str]:
    """The words of network_args by what stands before `=`; of two of one name the trainer takes the last."""
    return dict(word.split("=", 1) for word in words(setup, "network_args") if "=" in word)


def batches(setup: Setup) -> int | None:
    """How many batches an epoch has, on one GPU; None where the images are not known.

    Images of one size share batches within a dataset. Source: `BaseDataset.make_buckets`. Regularisation
    images are shown as often as the others; which images a validation split holds out is known by its seed.
    """
    shared: defaultdict[tuple[str, int], Counter[Size]] = defaultdict(Counter)
    of_class: defaultdict[tuple[str, int], list[tuple[Size, int]]] = defaultdict(list)
    for part in parts(setup):
        made = part.buckets if part.on("enable_bucket") else Buckets((0, 0))  # without buckets there is one
        if made is None or part.files is None or part.files.unsized:
            return None
        share, seed = part.number("validation_split"), part.subset.values.get("validation_seed")
        seed = seed if isinstance(seed, int) else None
        if part.subset.kind == "fine tuning" or part.number("batch_size") < 1 or (share and seed is None):
            return None
        dataset = part.subset.where.partition(".subsets")[0]
        key = ("" if dataset.startswith("--") else dataset, int(part.number("batch_size")))
        repeats, sizes = max(int(part.number("num_repeats")), 0), part.files.sizes
        if part.on("is_reg"):
            of_class[key] += [(made.of(size), repeats) for size in sizes.values() if repeats]
            continue
        for name in held_out(sizes, share, seed)[0]:
            shared[key][made.of(sizes[name])] += repeats
    for key, images in of_class.items():
        shown = of_the_class(sum(shared[key].values()), [repeats for _, repeats in images])
        for (size, _), count in zip(images, shown, strict=True):
            shared[key][size] += count
    return sum(math.ceil(n / size) for (_, size), found in shared.items() for n in found.values()) or None


def steps(setup: Setup) -> int | None:
    """How many steps the run has; None where that hangs on images that are not known."""
    epochs = setup.number("max_train_epochs")
    if not epochs:
        return int(setup.number("max_train_steps")) or None
    every = batches(setup)
    return every and int(epochs) * steps_per_epoch(every, processes(setup), accumulation(setup))


def epochs(setup: Setup) -> int | None:
    """How many epochs the run goes through; None where that hangs on images that are not known."""
    total, every = steps(setup), batches(setup)
    if setup.number("max_train_epochs"):
        return int(setup.number("max_train_epochs"))
    return epochs_of(total, every, processes(setup), accumulation(setup)) if total and every else None


def accumulation(setup: Setup) -> int:
    """How many batches make a step of the optimizer."""
    return max(int(setup.number("gradient_accumulation_steps")), 1)


def processes(setup: Setup) -> int:
    """How many processes train, each on a GPU; 1 where nobody says so."""
    gpus = len(setup.machine.gpus) if setup.machine is not None and setup.launch.several else 1
    return setup.launch.processes or max(gpus, 1)


def share(setup: Setup, name: str) -> float | None:
    """A number of steps as a share of all; fractions below 1 are one already. None where it is not known."""
    value = setup.number(name)
    if value < 1:
        return value
    total = steps(setup)
    if total and name.startswith("lr_"):  # every process moves the schedule on at each step
        total *= processes(setup)
    return value / total if total else None
