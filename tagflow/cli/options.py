"""Options that several commands share; open it for a new one, or which wins: option or tagflow.toml.

Every command imports this module, `undo` and `history` too, so it imports late what only some of them need.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tagflow.config import (
    DESCRIPTION,
    DTYPE_WORDS,
    IMAGES,
    MEASURES,
    ON_LOW,
    Config,
    Description,
    Images,
    Measure,
)
from tagflow.dataset.survey import CAPTION_SUFFIX, caption_suffix
from tagflow.errors import EncoderError, UsageProblem, VocabularyMissing

if TYPE_CHECKING:
    from tagflow.audit.file import Audit, Limits
    from tagflow.clip.vocabulary import Vocabulary
    from tagflow.ontology import Ontology
    from tagflow.stages.trigger import Source, Trigger
    from tagflow.training.structure.structure import Structure


Command = TypeVar("Command", bound=Callable[..., Any])

THREE_WAYS = (
    "name them in one of three ways: --encoders FILE.safetensors (or a diffusers folder, or a hub id), the "
    "environment variable TAGFLOW_ENCODERS, or `encoders = ...` in tagflow.toml; `--encoders stand-in` runs "
    "without any, and certifies nothing"
)

FOLDER = click.Path(path_type=Path, readable=False)  # a file that cannot be read is a finding


class _Cosine(click.FloatRange):
    """A limit from 0 to 1. `nan` lies within every range for click, and holds for nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not in the range 0 to 1.", param, ctx)
        return number


class _Overlay(click.Path):
    """A file; an empty word is none, though a path made of it would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("no file was named.", param, ctx)
        return super().convert(value, param, ctx)


COSINE = _Cosine(0, 1)
OVERLAY = _Overlay(path_type=Path, readable=False)


def stacked(*decorators: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order of the help."""

    def apply(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


def collected(kind: Callable[..., Any]) -> Callable[[Callable[[Any], int]], Callable[..., int]]:
    """Give a command one frozen dataclass of its options, where click gives keywords."""

    def apply(function: Callable[[Any], int]) -> Callable[..., int]:
        @wraps(function)
        def command(**given: Any) -> int:
            return function(kind(**given))

        return command

    return apply


ontology_options = stacked(
    click.option("--ontology", "ontology_name", metavar="NAME|PATH",
                 help="architecture (the default), danbooru, danbooru:quality-first, or a folder."),
    click.option("--overlay", type=OVERLAY, metavar="FILE",
                 help="A CSV file `tag,category` of your own tags, over the ontology's."),
)  # fmt: skip

caption_option = click.option(
    "--caption-extension", metavar="EXT", help="Captions are the files with this suffix. Default: .txt."
)

separator_options = stacked(
    click.option("--keep-tokens-separator", metavar="SEP",
                 help="The trainer's option of that name: what stands before SEP in a caption stays."),
    click.option("--dataset", type=FOLDER, metavar="FILE.toml|RUN", hidden=True,
                 help="Take keep_tokens_separator from the trainer's dataset file, or from a run folder."),
)  # fmt: skip

order_options = stacked(
    ontology_options,
    caption_option,
    click.option("--trigger", "triggers", multiple=True, metavar="WORD",
                 help="Goes in front; may be given several times. `none`: look for no trigger."),
    click.option("--keep-first", type=click.IntRange(0), metavar="N",
                 help="The first N tags of every line stay where they are."),
    separator_options,
    click.option("--clean", is_flag=True, default=None,
                 help="Tidy up: empty and repeated tags, trailing and full-width commas, BOM, CR LF."),
    click.option("--description", type=click.Choice(DESCRIPTION),
                 help="A description below the tags, or in a_nl.txt beside a.txt, is not trained: `join` "
                      "puts it behind the tags. Default: keep."),
    click.option("--out", type=FOLDER, metavar="DIR", help="Write to another folder; the captions stay."),
    click.option("--images", type=click.Choice(IMAGES),
                 help="With --out: the images, too, as links, which take no room, or copies. Default: none."),
    click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing."),
    click.option("--diff", is_flag=True, help="Show every changed caption, before and after."),
)  # fmt: skip

token_options = stacked(
    click.option("--max-tokens", type=click.Choice(["75", "150", "225"]),
                 help="What the trainer reads of a caption (max_token_length). Default: 225."),
    click.option("--warn-tokens", type=click.IntRange(1, 225), metavar="N",
                 help="Captions longer than this are near the limit. Default: 150."),
)  # fmt: skip

encoder_options = stacked(
    click.option("--encoders", metavar="SPEC",
                 help="A .safetensors checkpoint, a diffusers folder, a hub id, or `stand-in`."),
    click.option("--device", metavar="auto|cpu|cuda[:N]", help="Default: auto, all GPUs or else the CPU."),
    click.option("--dtype", type=click.Choice(DTYPE_WORDS), hidden=True,
                 help="Default: auto, what is fastest here; close calls are made in fp32 whatever it is."),
    click.option("--threads", type=click.IntRange(1, 1024), metavar="N", hidden=True,
                 help="CPU threads of the encoders. Default: torch's choice."),
    click.option("--min-sim", type=COSINE, metavar="X",
                 help="What the mean similarity must reach in each encoder. Default: 0.95."),
    click.option("--min-sim-each", type=COSINE, metavar="X",
                 help="A caption below this keeps its original. Default: off."),
    click.option("--measure", type=click.Choice(list(MEASURES)),
                 help="What is judged: the pooled vectors of the first window, the mean of all final states "
                      "(plan), or what cross-attention is given (unet). Default: pooled."),
    click.option("--no-cache", is_flag=True, hidden=True,
                 help="Encode everything anew, and keep no vectors for later."),
)  # fmt: skip

low_options = stacked(
    click.option("--on-low", type=click.Choice(ON_LOW),
                 help="Captions that miss a limit keep their original, get the strictest coarser order that "
                      "passes, or are written all the same (uncertified). Default: keep."),
)  # fmt: skip

cache_option = click.option(
    "--clear-caches", is_flag=True,
    help="Remove the trainer's caches that hold an old text (*_te_outputs.npz, metadata_cache.json).",
)  # fmt: skip

result_options = stacked(
    click.option("--json", "as_json", is_flag=True, help="The result as one JSON object."),
    click.option("--strict", is_flag=True, default=None, help="Warnings count as errors."),
    click.option("--config", "config_file", type=FOLDER, metavar="FILE", help="Default: tagflow.toml."),
)


@dataclass(frozen=True, kw_only=True)
class OntologyOptions:
    """What `ontology_options` ask: an ontology and a file of own tags; None: as configured."""

    ontology_name: str | None = None
    overlay: Path | None = None


@dataclass(frozen=True, kw_only=True)
class SeparatorOptions:
    """What `separator_options` ask. None: as configured."""

    keep_tokens_separator: str | None = None
    dataset: Path | None = None


@dataclass(frozen=True, kw_only=True)
class OrderOptions(OntologyOptions, SeparatorOptions):
    """What `order_options` ask."""

    caption_extension: str | None = None
    triggers: tuple[str, ...] = ()
    keep_first: int | None = None
    clean: bool | None = None
    description: Description | None = None
    out: Path | None = None
    images: Images | None = None
    dry_run: bool = False
    diff: bool = False


@dataclass(frozen=True, kw_only=True)
class TokenOptions:
    """What `token_options` ask. `max_tokens` is as it was typed, one of 75, 150 and 225."""

    max_tokens: str | None = None
    warn_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """What `encoder_options` ask. None: as configured."""

    encoders: str | None = None
    device: str | None = None
    dtype: str | None = None
    threads: int | None = None
    min_sim: float | None = None
    min_sim_each: float | None = None
    measure: Measure | None = None
    no_cache: bool = False


@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """What `result_options` ask. `strict`: None: as configured."""

    as_json: bool = False
    strict: bool | None = None
    config_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """What plans a training run. None and empty: as the preset or the machine has it.

    `sets`: options of sd-scripts, `NAME=VALUE` as they were typed. `vram`: a size such as `24GB`.
    """

    base: Path | None = None
    vae: Path | None = None
    structure: Structure = "none"
    vram: str | None = None
    epochs: int | None = None
    repeats: int | None = None
    resolution: int | None = None
    sets: tuple[str, ...] = ()
    sd_scripts: Path | None = None
    trainer_python: Path | None = None


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """Which encoders, where, and in which precision."""

    spec: str
    device: str
    dtype: str
    threads: int | None


def encoder_choice(config: Config, asked: EncoderOptions) -> EncoderChoice:
    """Which encoders were named: option, environment, file. Raises EncoderError where none was."""
    spec = asked.encoders or _standing_choice(config)
    if not spec:
        raise EncoderError("no text encoders were given", THREE_WAYS)
    return EncoderChoice(
        spec,
        config.get("device", asked.device, "auto"),
        config.get("dtype", asked.dtype, "auto"),
        config.get("threads", asked.threads),
    )


def load_ontology(config: Config, asked: OntologyOptions = OntologyOptions()) -> Ontology:
    """The ontology that was named, with the user's own tags over it."""
    from tagflow.ontology import Ontology

    overlay = overlay_file(config, asked.overlay)
    if overlay is not None and asked.overlay is None and not overlay.exists():
        overlay = None  # tagflow.toml may name it before `ontology suggest --accept` writes it
    return Ontology.load(ontology_name(config, asked.ontology_name), overlay and overlay.absolute())


def ontology_name(config: Config, asked: str | None = None) -> str:
    """Which ontology was named: option, file, or the default."""
    from tagflow.ontology import built_in

    if asked == "":
        raise UsageProblem("--ontology was given nothing", "name an ontology, or leave the option out")
    named: str | None = config.values.get("ontology")
    if asked or not named or config.file is None:
        return _expanded(asked or named or "architecture")
    # A folder of the captions' may be called like a built-in ontology; the built-in one is meant.
    return named if named.partition(":")[0] in built_in() else str(config.file.parent / _expanded(named))


def suffix_of_captions(config: Config, asked: str | None = None, default: str = CAPTION_SUFFIX) -> str:
    """The suffix of captions with its dot: option, file, or the default. Raises UsageProblem."""
    return caption_suffix(config.get("caption_extension", asked, default))


def overlay_file(config: Config, asked: Path | None = None) -> Path | None:
    """The user's own tags, where a file of them was named; in a configuration, relative to that file."""
    if asked is not None:
        return asked
    named: str | None = config.values.get("overlay")
    return config.file.parent / _expanded(named) if named and config.file else None


def _expanded(text: str) -> str:
    """A path as a shell would give it: `~` is the home directory, where there is one."""
    with suppress(RuntimeError):
        return str(Path(text).expanduser()) if text.startswith("~") else text
    return text


def tokenizer_folder(config: Config) -> Path | None:
    """The diffusers folder that environment or file name as encoders; light commands use its tokenizer."""
    spec = _standing_choice(config)
    return Path(spec) if spec and Path(spec).is_dir() else None


def _standing_choice(config: Config) -> str | None:
    return os.environ.get("TAGFLOW_ENCODERS") or config.path("encoders")


def limits(config: Config, tokens: TokenOptions, similarity: EncoderOptions = EncoderOptions()) -> Limits:
    """The limits on similarity and tokens."""
    from tagflow.audit.file import Limits

    standard = Limits()
    return Limits(
        min_sim=float(config.get("min_sim", similarity.min_sim, standard.min_sim)),
        min_sim_each=config.get("min_sim_each", similarity.min_sim_each),
        measure=config.get("measure", similarity.measure, standard.measure),
        max_tokens=int(config.get("max_tokens", tokens.max_tokens, standard.max_tokens)),
        warn_tokens=int(config.get("warn_tokens", tokens.warn_tokens, standard.warn_tokens)),
    )


def triggers(
    config: Config, asked: tuple[str, ...] = (), previous: Audit | None = None
) -> tuple[tuple[Trigger, ...], bool]:
    """The triggers that were named, and whether others may be detected. Raises UsageProblem.

    Named on the command line, else in tagflow.toml, else in an earlier run, whose audit is `previous`. `none`
    names none and detects none.
    """
    from tagflow.captions.grammar import parse
    from tagflow.stages.trigger import Trigger

    by_folder: dict[str, list[str]] = {} if asked else config.get("folders", None, {})
    earlier = previous.meta.options if previous and not by_folder else None
    by_source: dict[Source, tuple[str, ...]] = {
        "named": asked,
        "tagflow.toml": tuple(config.get("words", None, ())),
        "earlier audit": () if earlier is None else earlier.common_triggers,
    }
    source, words = next(((source, words) for source, words in by_source.items() if words), ("named", ()))
    if any(word.lower() == "none" for word in words):
        return (), False
    found = [Trigger(word, source) for word in words]
    folders = {PurePosixPath(name).as_posix(): some for name, some in by_folder.items()}  # `10_zkv/`
    found += [Trigger(word, "tagflow.toml", name) for name, some in folders.items() for word in some]
    if earlier is not None and not (asked or by_source["tagflow.toml"]):
        found += [Trigger(word, "earlier audit", name) for name, word in earlier.trigger_folders]
    for one in found:
        if parse(one.word).texts() != [one.word]:
            raise UsageProblem(
                f"{one.word!r} is not one tag", "give each trigger as it stands between two commas"
            )
    return tuple(found), bool(config.get("detect", None, True))


def vocabulary(folder: Path | None = None, *, hub: bool, keep: bool) -> Vocabulary | None:
    """CLIP's vocabulary; None where none is to be had. `hub`: it may be downloaded; `keep`: leave a copy in
    the user's cache directory for installs without one."""
    from tagflow.clip.vocabulary import find_vocabulary, keep_copy

    try:
        found = find_vocabulary(folder, hub=hub)
    except VocabularyMissing:
        return None
    if keep:
        keep_copy(found)
    return found
