"""A plan, from a dataset and a preset to every value of a run; open it for the order of the decisions.

The dataset's folders become the subsets here, with their repeats and what stands against them. Nothing is
written; write.py makes the run folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tagflow.audit.file import Audit, current_audit
from tagflow.dataset.survey import CAPTION_SUFFIX, Survey, caption_suffix, survey
from tagflow.engines.local import run_stages
from tagflow.errors import SourceError, UsageProblem
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many, some
from tagflow.ontology import Ontology
from tagflow.progress import silent
from tagflow.schema import rows
from tagflow.stages.classify import Classify
from tagflow.stages.extract import extract
from tagflow.stages.parse import parse_captions
from tagflow.stages.trigger import detect
from tagflow.training.plan import decide, fitting
from tagflow.training.plan.choices import Choices, Preset, parse_settings, preset, repeats_rule
from tagflow.training.plan.decide import Base
from tagflow.training.plan.fitting import Surroundings, Vram, vram
from tagflow.training.plan.memory import Estimate
from tagflow.training.plan.prompts import Tagged, lines, prompts
from tagflow.training.run_folder import DATA
from tagflow.training.sd_scripts.dataset_config import Subset
from tagflow.training.sd_scripts.files import CODES, Plugins, Sight
from tagflow.training.sd_scripts.files import repeats as repeats_named
from tagflow.training.sd_scripts.options import known_options
from tagflow.training.sd_scripts.steps import Length, Size, in_buckets
from tagflow.training.setup.read import images
from tagflow.training.setup.setup import Images
from tagflow.training.structure.render import safe_name
from tagflow.training.structure.structure import Structure, layout

DEFAULT_PRESET = "sdxl-lora-v3"
_NUMBERED = re.compile(r"(\d{3,})-")
_UNSAFE, _DASHES = re.compile(r"[^\w.-]"), re.compile("--+")
_NAMED = 5  # files that a finding names
_MOST_REPEATS = 1000  # a larger number before `_` is a date, or a number of the folder


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """One folder with images. `name`: below the dataset, `.` for itself; `path`: absolute."""

    name: str
    path: Path
    images: Images


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a user asks of a plan. `sets`: `name=value` texts. None: as the preset or the data has it.

    `caption_extension`: else that of the audit. `leading`: categories in front, for a rendered structure;
    `captions_to`: where its captions go as well. `ontology`, `max_tokens`: those of tagflow.toml, for a
    dataset without an audit.
    """

    base: Path
    vae: Path | None = None
    out: Path | None = None
    name: str | None = None
    structure: Structure = "none"
    leading: tuple[str, ...] | None = None
    captions_to: Path | None = None
    caption_extension: str | None = None
    epochs: int | None = None
    repeats: int | None = None
    resolution: int | None = None
    vram: str | None = None
    sets: tuple[str, ...] = ()
    around: Surroundings = field(default_factory=Surroundings)
    ontology: Ontology | None = None
    max_tokens: int = 225


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that is thought through. `run`: its folder, not there yet; `prompts`: the file's text."""

    run: Path
    root: Path
    preset: Preset
    audit: Audit | None
    captions: int
    structure: Structure
    choices: Choices
    parts: tuple[ImageFolder, ...]
    buckets: dict[Size, int]
    length: Length
    sizes: dict[str, int]
    memory: Estimate
    vram: Vram
    base: Base
    around: Surroundings
    prompts: str
    notes: tuple[Finding, ...]
    leading: tuple[str, ...] | None = None
    captions_to: Path | None = None

    @property
    def refused(self) -> bool:
        """Whether something stands against it; it is not written then."""
        return any(note.severity == "error" for note in self.notes)


def make_plan(dataset: Path, name: str, asked: PlanRequest) -> Plan:
    """Think a run through, from the preset called `name`. Reads; writes nothing.

    Raises UsageProblem for what cannot be meant, SourceError for a folder without images, AuditError and
    EncoderError for a damaged audit or base model.
    """
    wanted, root = preset(name), dataset.resolve()
    audit, run = current_audit(root), run_folder(root, asked.out, name)
    short = {"max_train_epochs": asked.epochs, "resolution": asked.resolution}  # for --set
    sets = [*asked.sets, *(f"{option}={value}" for option, value in short.items() if value is not None)]
    choices = Choices(parse_settings(sets, known_options()))
    of_audit = CAPTION_SUFFIX if audit is None else audit.meta.options.suffix
    named = choices.get("dataset.toml", "caption_extension") or asked.caption_extension
    found = survey(dataset, empty=True, suffix=caption_suffix(str(named or of_audit)))
    plugins = None if asked.around.machine is None else asked.around.machine.plugins
    folders = image_folders(found, found.suffix, plugins)
    looked = tuple(folder for folder in folders if folder.images.count)
    if not looked:
        unseen = [one.why for folder in folders for one in folder.images.overlooked.values()]
        whys = "; ".join(dict.fromkeys(unseen))
        cure = "put each caption's image beside it, as PNG, JPEG or WebP"
        raise SourceError(f"{dataset}: holds no image to train on{whys and f' ({whys})'}", cure)
    notes = [*folder_faults(folders), *asked.around.notes]
    base = decide.base_of(asked.base)
    decide.from_preset(choices, wanted)
    if found.suffix != CAPTION_SUFFIX:
        reason, source = "the suffix of the captions here", "the audit" if named is None else "the command"
        choices.put("dataset.toml", "caption_extension", found.suffix, reason, source)
    called = _DASHES.sub("-", _UNSAFE.sub("-", asked.name or f"{root.name}-{name}")).strip("-.") or "lora"
    decide.for_files(choices, run, base, asked.vae, called)  # a name that every file system takes
    notes += decide.for_base(choices, base)
    notes += decide.for_audit(choices, audit, root, asked.max_tokens)
    if audit is not None and found.suffix != of_audit:
        text = f"the audit is of {of_audit} files, and {found.suffix} files would be trained"
        cure = f"`tagflow run {root} --caption-extension {found.suffix}`, then plan again"
        notes.append(finding("plan-audit-missing", text, file=str(root), cure=cure))
    notes += decide.for_machine(choices, asked.around)
    buckets = decide.for_buckets(choices)
    memory_there = vram(asked.vram, asked.around)
    taken, more = fitting.for_memory(choices, wanted, buckets.size, memory_there)
    given = {"--leading": asked.leading, "--captions-to": asked.captions_to}
    extras = [option for option, value in given.items() if value]
    notes += [*more, *decide.for_structure(choices, asked.structure, audit, extras)]
    if audit is not None:
        layout(asked.structure, audit, asked.leading)  # a category that is not there is refused now
    repeats = zip(looked, _subsets(choices, looked, run, asked), strict=True)
    sizes = [(size, times) for part, times in repeats for size in part.images.sizes.values()]
    counts = in_buckets(sizes, buckets)
    length = fitting.for_length(choices, counts)
    choices.put_rest()
    captions, triggers = _tagged(found, audit, asked)
    width, height = (side - side % 64 for side in buckets.size)
    return Plan(
        run, root, wanted, audit, len(found.captions), asked.structure, choices, looked, counts, length,
        fitting.sizes_of(choices, fitting.load_of(choices, buckets.size), length), taken, memory_there, base,
        asked.around, lines(prompts(captions, triggers), width, height), tuple(notes), asked.leading,
        asked.captions_to,
    )  # fmt: skip


def run_folder(root: Path, out: Path | None, name: str) -> Path:
    """The run's folder, absolute and not there yet: as asked, else the next number beside the dataset.

    Raises UsageProblem for one inside the dataset, and for one that holds something.
    """
    if out is None:
        place = root.with_name(f"{root.name}-runs")
        taken = [_NUMBERED.match(one.name) for one in place.iterdir()] if place.is_dir() else []
        number = max((int(found[1]) for found in taken if found), default=0) + 1
        return place / f"{number:03}-{name}"
    run = out.expanduser().resolve()
    if run.is_relative_to(root) or root.is_relative_to(run):
        raise UsageProblem(f"{out}: lies inside the dataset or holds it", "give --out a folder elsewhere")
    if run.exists() and not (run.is_dir() and not any(run.iterdir())):
        raise UsageProblem(f"{out}: is there already", "give --out a new folder; nothing is overwritten")
    return run


def _subsets(choices: Choices, looked: tuple[ImageFolder, ...], run: Path, asked: PlanRequest) -> list[int]:
    """Choose every subset's folder and repeats; the repeats are returned.

    They are the folder's name's, else the given ones, else by the number of all images: sd-scripts reads them
    from names only without a dataset file, so they are written down.
    """
    count = sum(len(part.images.sizes) for part in looked)
    pinned, rule = choices.get("dataset.toml", "num_repeats"), repeats_rule()
    usual = max(1, min(rule.most, -(-rule.images_per_epoch // max(count, 1))))
    counts = []
    for at, part in enumerate(looked):
        where = f"subsets[{at}]."
        if asked.structure == "none":
            place, reason = part.path, "the dataset's own folder"
        else:
            place, reason = run / DATA / data_name(looked, at), f"rendered captions of {part.path}"
        choices.put("dataset.toml", f"{where}image_dir", place.as_posix(), reason, "the data")
        named = repeats_named(part.path.name) if "_" in part.path.name else None
        if isinstance(pinned, int):
            counts.append(pinned)
            continue
        if named is not None and 1 <= named <= _MOST_REPEATS:
            repeats, reason, source = named, f"the folder's name begins with {named}_", "the data"
        elif asked.repeats is not None:
            repeats, reason, source = asked.repeats, "asked for by --repeats", "--repeats"
        else:
            repeats, reason, source = usual, f"for {many(count, 'image')}: {rule.reason}", "the data"
        choices.put("dataset.toml", f"{where}num_repeats", repeats, reason, source)
        counts.append(repeats)
    return counts


def data_name(looked: tuple[ImageFolder, ...], at: int) -> str:
    """The folder that `render_data` makes for a part."""
    part = looked[at]
    return f"{at + 1:0{max(2, len(str(len(looked))))}}_{safe_name(part.name, part.path)}"


def _tagged(found: Survey, audit: Audit | None, asked: PlanRequest) -> tuple[Iterable[Tagged], list[str]]:
    """Every caption's tags with their categories, and the triggers: the audit's, else looked up now."""
    if audit is not None:
        return _of_table(audit.table), list(dict.fromkeys(audit.meta.options.all_triggers))
    ontology = asked.ontology or Ontology.load("architecture")
    table = run_stages(extract(found, None, None, silent), [parse_captions, Classify(ontology)], silent)
    return _of_table(table), list(detect(table).words())


def _of_table(table: Any) -> list[Tagged]:
    """Tags and categories; a caption that lacks either has none, whatever wrote the table."""
    columns = zip(*(rows(table, name) for name in ("path", "tags", "categories")), strict=True)
    whole = ((path, tags or (), groups or ()) for path, tags, groups in columns)
    return [Tagged(path, tags, groups) for path, tags, groups in whole if len(tags) == len(groups)]


def image_folders(found: Survey, extension: str, plugins: Plugins = None) -> tuple[ImageFolder, ...]:
    """Every folder of a dataset that holds pictures, sorted; their sizes and captions are read.

    The trainer may see none of them. extension: that of the captions, with its dot. plugins: see
    :mod:`tagflow.training.sd_scripts.files`.
    """
    root = found.root.resolve()
    made = []
    for name in sorted({str(PurePosixPath(path).parent) for path in (*found.images, *found.foreign)}):
        subset = Subset("", root / name, {"caption_extension": extension}, frozenset())
        made.append(ImageFolder(name, root / name, images(subset, plugins)))
    return tuple(made)


def folder_faults(looked: Iterable[ImageFolder]) -> Iterator[Finding]:
    """What would be trained wrongly, or stop the trainer at once."""
    bare, unreadable, unusable, unsized = [], [], [], []
    seen: dict[str, Sight] = {}
    for part in looked:
        place = "" if part.name == "." else f"{part.name}/"
        sound = (*part.images.sizes, *part.images.unsized)
        bare += [place + name for name in sound if name not in part.images.captioned]
        seen |= {place + name: one for name, one in part.images.overlooked.items()}
        unsized += [place + name for name in part.images.unsized]
        unreadable += [place + name for name in part.images.unreadable]
        unusable += [f"{place}{name} ({why})" for name, why in part.images.unusable.items()]
    if bare:
        yield finding("image-uncaptioned", f"{many(len(bare), 'image')}: {some(bare, _NAMED)}")
    if unreadable:
        yield finding("image-broken", f"{many(len(unreadable), 'image')}: {some(unreadable, _NAMED)}")
    if unusable:
        yield finding("caption-unusable", f"{many(len(unusable), 'caption')}: {some(unusable, _NAMED)}")
    for state, code in CODES.items():
        if left := [path for path, one in seen.items() if one.state == state]:
            whys = "; ".join(dict.fromkeys(seen[path].why for path in left))
            yield finding(code, f"{many(len(left), 'file')}: {some(left, _NAMED)} ({whys})")
    if unsized:
        yield finding("image-unsized", f"{many(len(unsized), 'image')}: {some(unsized, _NAMED)}")
