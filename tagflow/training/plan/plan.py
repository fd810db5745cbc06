"""A plan, from a dataset and a preset to every value of a run; open it for the order of the decisions.

Nothing is written; write.py makes the run folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
from tagflow.training.plan.folders import (
    ALPHA,
    Gathered,
    ImageFolder,
    concepts,
    folder_faults,
    gather,
    with_masks,
    with_repeats,
)
from tagflow.training.plan.follow import follow, without_effect
from tagflow.training.plan.memory import Estimate
from tagflow.training.plan.prompts import Tagged, common_tags, lines, prompts
from tagflow.training.plan.review import review
from tagflow.training.run_folder import DATA
from tagflow.training.sd_scripts.options import known_options
from tagflow.training.sd_scripts.steps import Buckets, Length, Size, held_out, in_buckets, of_the_class
from tagflow.training.structure.render import safe_name
from tagflow.training.structure.structure import Structure, layout

_NUMBERED = re.compile(r"(\d{3,})-")
_UNSAFE, _DASHES = re.compile(r"[^\w.-]"), re.compile("--+")
_NAMED = 5  # files that a finding names


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a user asks of a plan. `sets`: `name=value` texts. None: as the preset or the data has it.

    `caption_extension`: else that of the audit. `leading`: categories in front, for a rendered structure;
    `captions_to`: where its captions go as well. `ontology`, `max_tokens`: those of tagflow.toml, for a
    dataset without an audit. `reg`: a folder of regularisation images, `none`, or None to look for one.
    `masks`: a folder of masks, or `alpha`. `validation`: the share of images that is held out.
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
    reg: str | None = None
    masks: str | None = None
    validation: float | None = None
    vram: str | None = None
    sets: tuple[str, ...] = ()
    around: Surroundings = field(default_factory=Surroundings)
    ontology: Ontology | None = None
    max_tokens: int = 225


@dataclass(frozen=True, slots=True)
class Counted:
    """The images of a run. `buckets`: how many an epoch shows of each size; `upscaled`: how many are
    smaller than their bucket; `of_class`: how many of an epoch's are regularisation images; `held_out`: how
    many are kept back to validate."""

    buckets: dict[Size, int]
    upscaled: int = 0
    of_class: int = 0
    held_out: int = 0
    notes: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that is thought through. `run`: its folder, not there yet; `prompts`: the file's text.

    `proposed`: why the preset was taken where none was named. `class_root`: the folder of regularisation
    images outside of the dataset, `class_audit` its own audit. `triggers`: by the name of a folder.
    """

    run: Path
    root: Path
    preset: Preset
    audit: Audit | None
    captions: int
    structure: Structure
    choices: Choices
    parts: tuple[ImageFolder, ...]
    images: Counted
    length: Length
    sizes: dict[str, int]
    memory: Estimate
    vram: Vram
    base: Base
    around: Surroundings
    prompts: str
    triggers: dict[str, tuple[str, ...]]
    notes: tuple[Finding, ...]
    leading: tuple[str, ...] | None = None
    captions_to: Path | None = None
    proposed: str = ""
    class_root: Path | None = None
    class_audit: Audit | None = None

    @property
    def buckets(self) -> dict[Size, int]:
        """Images of an epoch by the size that they are trained at."""
        return self.images.buckets

    @property
    def resolution(self) -> Size:
        """Width and height of an image in pixels, before it goes into a bucket."""
        value = self.choices.get("dataset.toml", "resolution")
        sides = value if isinstance(value, list) else [value, value]
        return int(str(sides[0])), int(str(sides[1]))

    @property
    def refused(self) -> bool:
        """Whether something stands against it; it is not written then."""
        return any(note.severity == "error" for note in self.notes)


def make_plan(dataset: Path, name: str | None, asked: PlanRequest) -> Plan:
    """Think a run through, from the preset called `name`, or one that is proposed. Reads; writes nothing.

    Raises UsageProblem for what cannot be meant, SourceError for a folder without images, AuditError and
    EncoderError for a damaged audit or base model.
    """
    if name is not None:
        preset(name)
    root = dataset.resolve()
    audit = current_audit(root)
    short = {"max_train_epochs": asked.epochs, "resolution": asked.resolution}  # for --set
    sets = [*asked.sets, *(f"{option}={value}" for option, value in short.items() if value is not None)]
    choices = Choices(parse_settings(sets, known_options()))
    of_audit = CAPTION_SUFFIX if audit is None else audit.meta.options.suffix
    named = choices.get("dataset.toml", "caption_extension") or asked.caption_extension
    found = survey(dataset, empty=True, suffix=caption_suffix(str(named or of_audit)))
    plugins = None if asked.around.machine is None else asked.around.machine.plugins
    gathered = gather(found, found.suffix, asked.reg, plugins)
    trained, rendered = gathered.trained, asked.structure != "none"
    if not trained:
        unseen = [one.why for folder in gathered.folders for one in folder.images.overlooked.values()]
        whys = "; ".join(dict.fromkeys(unseen))
        cure = "put each caption's image beside it, as PNG, JPEG or WebP"
        if gathered.of_class:
            whys, cure = "all are regularisation images", "--reg none trains them, or name other ones"
        raise SourceError(f"{dataset}: holds no image to train on{whys and f' ({whys})'}", cure)
    of_folders = [one for one in gathered.notes if one.code != "masks-unused" or asked.masks is None]
    notes = [*folder_faults(gathered.folders), *of_folders, *asked.around.notes]
    memory_there, proposed = vram(asked.vram, asked.around), ""
    if name is None:
        sides = choices.get("dataset.toml", "resolution")
        name, proposed = fitting.propose(sum(one.images.count for one in trained), sides, memory_there)
    wanted, run = preset(name), run_folder(root, asked.out, name)
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
    follow(choices, wanted)
    buckets = decide.for_buckets(choices)
    taken, more = fitting.for_memory(choices, wanted, buckets.size, memory_there)
    given = {"--leading": asked.leading, "--captions-to": asked.captions_to}
    extras = [option for option, value in given.items() if value]
    notes += [*more, *decide.for_structure(choices, asked.structure, audit, extras)]
    if audit is not None:
        layout(asked.structure, audit, asked.leading)  # a category that is not there is refused now
    captions, all_triggers = _tagged(found, audit, asked)
    triggers = concepts(captions, all_triggers, [one.name for one in trained])
    pinned = choices.get("dataset.toml", "num_repeats")
    folders, more = with_repeats(
        [*trained, *gathered.of_class], repeats_rule(), triggers, pinned if isinstance(pinned, int) else None,
        asked.repeats,
    )  # fmt: skip
    notes += more
    if asked.masks is not None and asked.masks != ALPHA:
        _refuse_with_masks(gathered, asked)
        folders, more = with_masks(folders, Path(asked.masks))
        notes += more
    _subsets(choices, folders, run, asked.structure)
    decide.for_class_images(choices, folders, rendered=rendered)
    decide.for_masks(choices, folders, asked.masks)
    split = decide.for_validation(choices, asked.validation)
    if rendered:
        notes += _not_rendered(folders)
    class_audit = None if gathered.class_root is None else current_audit(gathered.class_root)
    if any(one.images.captioned and not one.inside for one in folders):
        notes += decide.for_class_audit(gathered.class_root, class_audit, audit)
    counts = counted(folders, buckets, *split)
    if split[0] and not counts.held_out:
        text = f"{split[0]:g} of the images in a folder is less than half an image"
        raise UsageProblem(f"no image would be held out to validate: {text}", "hold out more, or none")
    length = fitting.for_length(choices, wanted, counts.buckets)
    own = [one for one in captions if one.folder in triggers]
    words = [*dict.fromkeys(word for one in triggers.values() for word in one)] or list(all_triggers)
    decide.for_metadata(choices, wanted, audit, words, common_tags(own, all_triggers))
    without_effect(choices)  # once more: the dataset and the GPU's memory have put in theirs since
    choices.put_rest()
    said = {one.code for one in notes}
    notes += [*counts.notes, *review(choices, folders, run, base.prediction, said, rendered=rendered)]
    width, height = (side - side % 64 for side in buckets.size)
    return Plan(
        run, root, wanted, audit, len(found.captions), asked.structure, choices, tuple(folders), counts,
        length, fitting.sizes_of(choices, fitting.load_of(choices, buckets.size), length), taken,
        memory_there, base, asked.around, lines(prompts(own, all_triggers), width, height), triggers,
        tuple(notes), asked.leading, asked.captions_to, proposed, gathered.class_root, class_audit,
    )  # fmt: skip


def _refuse_with_masks(gathered: Gathered, asked: PlanRequest) -> None:
    """A folder of masks makes it a dataset of another kind to sd-scripts, which has neither of these."""
    if gathered.of_class:
        why = "sd-scripts takes no regularisation images beside a folder of masks"
        raise UsageProblem(
            f"--masks {asked.masks}: {why}", "--reg none, or masks in the images: --masks alpha"
        )
    if asked.validation is not None:
        why = "with a folder of masks sd-scripts would validate on the images that it trains"
        raise UsageProblem(f"--masks {asked.masks}: {why}", "leave out --validation, or use --masks alpha")


def counted(folders: Sequence[ImageFolder], buckets: Buckets, share: float, seed: int | None) -> Counted:
    """What an epoch shows, as sd-scripts counts it. `share`, `seed`: of the images that are held out."""
    trained: list[tuple[Size, int]] = []
    of_class: list[tuple[Size, int]] = []
    kept, upscaled = 0, 0
    for one in folders:
        sizes = one.images.sizes
        if one.of_class:
            of_class += [(size, one.repeats) for size in sizes.values()]
            continue
        shown, apart = held_out(sizes, share, seed)
        kept += len(apart)
        trained += [(sizes[name], one.repeats) for name in shown]
        for size in sizes.values():
            width, height = buckets.of(size)
            upscaled += width > size[0] or height > size[1]
    total = sum(repeats for _, repeats in trained)
    times = of_the_class(total, [repeats for _, repeats in of_class])
    every = [*trained, *((size, count) for (size, _), count in zip(of_class, times, strict=True) if count)]
    notes = []
    if unused := times.count(0):
        text = f"{unused} of {many(len(times), 'image')}, as the concepts show {total} an epoch"
        notes.append(finding("regularisation-unused", text))
    return Counted(in_buckets(every, buckets), upscaled, sum(times), kept, tuple(notes))


def _not_rendered(folders: Sequence[ImageFolder]) -> list[Finding]:
    """Images of the class that would be lost where the captions beside them are rendered."""
    lost = [
        f"{one.name}/{name}"
        for one in folders
        if one.of_class and one.rendered
        for name in one.images.names
        if name not in one.images.captioned
    ]
    text = f"{many(len(lost), 'image')} beside captions that are rendered: {some(lost, _NAMED)}"
    return [finding("image-uncaptioned", text)] if lost else []


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


def _subsets(choices: Choices, folders: Sequence[ImageFolder], run: Path, structure: Structure) -> None:
    """Choose every subset's folder and repeats."""
    names = data_names(folders) if structure != "none" else {}
    for at, part in enumerate(folders):
        where, place = f"subsets[{at}].", part.path
        reason = "the dataset's own folder" if part.inside else "images of the class, outside of the dataset"
        if part.name in names:
            place, reason = run / DATA / names[part.name], f"rendered captions of {part.path}"
        choices.put("dataset.toml", f"{where}image_dir", place.as_posix(), reason, "the data")
        if part.source != "--set":
            choices.put("dataset.toml", f"{where}num_repeats", part.repeats, part.reason, part.source)


def data_names(folders: Sequence[ImageFolder]) -> dict[str, str]:
    """The folders that `render_data` makes, by the name of the dataset's folder that each stands for."""
    rendered = sorted((one for one in folders if one.rendered), key=lambda one: one.name)
    width = max(2, len(str(len(rendered))))
    return {one.name: f"{at:0{width}}_{safe_name(one.name, one.path)}" for at, one in enumerate(rendered, 1)}


def _tagged(found: Survey, audit: Audit | None, asked: PlanRequest) -> tuple[list[Tagged], list[str]]:
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
