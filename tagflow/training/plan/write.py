"""The files of a plan: dataset.toml, train.toml, prompts.txt, plan.json; open it for how they are written.

The run folder appears whole or not at all. The TOML is plain: sd-scripts reads it with `toml` 0.10, which
knows TOML 0.5 and cannot read some of that.
"""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import UNSET

from tagflow import __version__
from tagflow.audit.file import Audit
from tagflow.clip.tokenizer import WINDOW, Tokenizer
from tagflow.clip.vocabulary import find_vocabulary
from tagflow.dataset.survey import AUDIT_NAME
from tagflow.errors import TrainerError, VocabularyMissing
from tagflow.progress import Progress, silent
from tagflow.training.plan.choices import Choice
from tagflow.training.plan.duration import time_of
from tagflow.training.plan.fitting import warmup_steps
from tagflow.training.plan.memory import SOURCE
from tagflow.training.plan.plan import Plan, data_names
from tagflow.training.plan.review import by_table
from tagflow.training.run_folder import (
    DATA,
    DATASET,
    LOGS,
    OUTPUT,
    PLAN,
    PROMPTS,
    TRAIN,
    Arithmetic,
    OfferedStructure,
    PlanFile,
    PlannedBase,
    PlannedDataset,
    PlannedFolder,
    PlannedMemory,
    PlannedNote,
    PlannedStructure,
    PlannedValue,
    to_json,
)
from tagflow.training.sd_scripts.dataset_config import faults
from tagflow.training.structure.render import Rendered, check_target, render_data, write_rendered
from tagflow.training.structure.structure import CHOICES


def plan_file(plan: Plan, rendered: Rendered | None = None) -> PlanFile:
    """What plan.json will hold. `rendered`: the captions' own, once they are there."""
    audit, around, choices, length = plan.audit, plan.around, plan.choices, plan.length
    marks, said = CHOICES[plan.structure].options, plan.base.prediction
    planned = PlanFile(
        tagflow=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        preset=plan.preset.name,
        proposed=plan.proposed or UNSET,
        run=plan.run,
        dataset=PlannedDataset(
            root=plan.root,
            audit=plan.root / AUDIT_NAME,
            run=None if audit is None else audit.meta.run,
            verdict=None if audit is None else audit.meta.verdict,
            dataset_digest=None if audit is None else audit.meta.dataset_digest,
            captions=plan.captions,
            images=sum(part.images.count for part in plan.parts if part.inside),
        ),
        regularisation=UNSET if plan.class_root is None else _of_class(plan, plan.class_root),
        folders=tuple(
            PlannedFolder(
                part.name,
                part.path,
                part.images.count,
                part.repeats,
                plan.triggers.get(part.name, ()),
                part.of_class,
                part.class_words,
                part.masks,
            )
            for part in plan.parts
        ),
        structure=PlannedStructure(
            kind=plan.structure,
            separator=str(marks.get("keep_tokens_separator") or ""),
            secondary_separator=str(marks.get("secondary_separator") or ""),
            offered={
                one.kind: OfferedStructure(one.title, one.does, one.costs, one.use)
                for one in CHOICES.values()
            },
            leading=UNSET if rendered is None else rendered.leading,
            captions=UNSET if rendered is None else dict(rendered.reasons),
        ),
        values=tuple(
            PlannedValue(file=one.file, name=one.name, value=one.value, reason=one.reason, source=one.source)
            for one in choices.all()
        ),
        left_out=choices.left_out(),
        arithmetic=Arithmetic(
            images=sum(len(part.images.sizes) for part in plan.parts),
            images_with_repeats=sum(plan.buckets.values()),
            upscaled=plan.images.upscaled,
            of_class=plan.images.of_class,
            held_out=plan.images.held_out,
            repeats=tuple(part.repeats for part in plan.parts),
            buckets={f"{width}x{height}": count for (width, height), count in plan.buckets.items()},
            batch=choices.whole("train_batch_size", 1),
            accumulation=choices.whole("gradient_accumulation_steps", 1),
            batches_per_epoch=length.batches,
            steps_per_epoch=length.steps_per_epoch,
            epochs=length.epochs,
            steps=length.steps,
            warmup_steps=warmup_steps(choices, length),
            **plan.sizes,
        ),
        memory=PlannedMemory(
            available=plan.vram.bytes,
            source=plan.vram.source,
            known=plan.vram.known,
            estimate=plan.memory.peak,
            parts=plan.memory.parts,
            phases=plan.memory.phases,
            estimate_source=SOURCE,
        ),
        sd_scripts=around.sd_scripts,
        trainer_python=around.python,
        base=PlannedBase(plan.base.path, plan.base.size, said.type, said.evidence),
        notes=tuple(PlannedNote(note.code, note.severity, note.detail, note.cure) for note in plan.notes),
    )
    return replace(planned, time=time_of(planned, around.gpus) or UNSET)


def _of_class(plan: Plan, root: Path) -> PlannedDataset:
    audit = plan.class_audit
    outside = [part for part in plan.parts if not part.inside]
    return PlannedDataset(
        root=root,
        audit=root / AUDIT_NAME,
        run=None if audit is None else audit.meta.run,
        verdict=None if audit is None else audit.meta.verdict,
        dataset_digest=None if audit is None else audit.meta.dataset_digest,
        captions=sum(len(part.images.captioned) for part in outside),
        images=sum(part.images.count for part in outside),
    )


_CONTROL = re.compile("[\x00-\x1f\x7f]")  # a folder's name may hold them; no comment may
_WIDTH = 106
_SECTIONS = {
    "the model": "pretrained_model_name_or_path vae v_parameterization zero_terminal_snr max_token_length",
    "the data": "dataset_config cache_latents cache_text_encoder_outputs max_data_loader_n_workers",
    "the LoRA": "network_module network_dim network_alpha network_train_unet_only network_args",
    "learning": "optimizer_type optimizer_args learning_rate unet_lr text_encoder_lr lr_scheduler "
    "lr_scheduler_num_cycles lr_warmup_steps max_train_epochs max_train_steps min_snr_gamma noise_offset "
    "max_grad_norm masked_loss prior_loss_weight seed",
    "memory": "train_batch_size gradient_accumulation_steps gradient_checkpointing mixed_precision "
    "fp8_base_unet fp8_base no_half_vae sdpa",
    "output": "output_dir output_name metadata_title metadata_trigger_phrase metadata_tags "
    "training_comment save_model_as save_precision save_every_n_epochs save_every_n_steps "
    "save_last_n_steps save_state save_last_n_epochs_state",
    "looking on": "log_with logging_dir sample_prompts sample_every_n_steps sample_sampler",
}


def write_plan(plan: Plan, progress: Progress = silent) -> Path:
    """Write a plan's run folder and return it; for some structures the captions are rendered into it.

    With `captions_to` they are written there, too, without images. Raises TrainerError where the plan has
    errors, the folder is taken meanwhile, or the disk refuses, UsageProblem for a folder that will not do.
    """
    if plan.refused:
        errors = [note for note in plan.notes if note.severity == "error"]
        first = errors[0]
        raise TrainerError(f"{plan.root}: {first.kind.title} ({first.detail})", first.cure)
    part = plan.run.with_name(f".{plan.run.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        made = None
        if plan.structure != "none" and plan.audit is not None:
            if plan.captions_to is not None:
                check_target(plan.captions_to, plan.root)
            made = _rendered(plan, plan.audit, part / DATA, progress)
            if plan.captions_to is not None:
                write_rendered(made, plan.captions_to)
        for name, text in files(plan, made).items():
            (part / name).write_bytes(text.encode())
        for name in (OUTPUT, LOGS):
            (part / name).mkdir()
        if plan.run.exists():
            plan.run.rmdir()  # empty, as the plan saw it
        part.rename(plan.run)
    except OSError as problem:
        where = problem.filename or plan.run
        cure = "make room or mend the permissions, and plan again"
        raise TrainerError(f"{where}: {problem.strerror or problem}", cure) from problem
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return plan.run


def _rendered(plan: Plan, audit: Audit, out: Path, progress: Progress) -> Rendered:
    try:
        words = Tokenizer(find_vocabulary())
    except VocabularyMissing:
        words = None
    wildcards = bool(plan.choices.get("dataset.toml", "enable_wildcard"))
    trained = plan.choices.train("max_token_length")
    made = render_data(
        plan.root, audit, plan.structure, out, leading=plan.leading, wildcards=wildcards, tokenizer=words,
        max_tokens=trained if isinstance(trained, int) else WINDOW, progress=progress,
    )  # fmt: skip
    planned = set(data_names(plan.parts).values())
    if planned != {subset.folder.name for subset in made.subsets}:
        raise TrainerError(f"{plan.root}: changed while tagflow was at work", "plan again")
    return made


def files(plan: Plan, rendered: Rendered | None = None) -> dict[str, str]:
    """The text of every file of the run folder, by its name. Raises TrainerError for a dataset file that
    sd-scripts would not read."""
    dataset = dataset_toml(plan)
    masked = bool(plan.choices.train("masked_loss"))
    if wrong := faults(dataset.unwrap(), masked_loss=masked):
        raise TrainerError(f"{DATASET}: {wrong[0].detail}", "take back what --set gave, or report this")
    texts = {
        DATASET: dataset.as_string(),
        TRAIN: train_toml(plan).as_string(),
        PROMPTS: plan.prompts,
        PLAN: to_json(plan_file(plan, rendered)),
    }
    for name, text in texts.items():
        try:
            text.encode()
        except UnicodeEncodeError as problem:
            bad = ascii(text[max(0, problem.start - 40) : problem.end])
            why = f"{name}: a path is not UTF-8, and sd-scripts reads nothing else: {bad}"
            raise TrainerError(why, "rename the folder") from problem
    return texts


def train_toml(plan: Plan) -> Any:
    """The trainer's options, in groups, each with its reason above it. A tomlkit document."""
    import tomlkit

    doc = tomlkit.document()
    _comment(doc, f"Written by tagflow {__version__}: {plan.preset.title}. For sd-scripts' --config_file.")
    left = {choice.name: choice for choice in plan.choices.of("train.toml")}
    groups = {title: names.split() for title, names in _SECTIONS.items()}
    groups["more"] = [name for name in left if not any(name in names for names in groups.values())]
    for title, names in groups.items():
        own = [left[name] for name in names if name in left]
        if own:
            doc.add(tomlkit.nl())
            _comment(doc, f"---- {title}")
            _add(doc, own)
    doc.add(tomlkit.nl())
    _comment(doc, "---- not set, and why")
    for one in plan.choices.left_out():
        _comment(doc, f"{one.name}: {one.reason}")
    return doc


def dataset_toml(plan: Plan) -> Any:
    """The dataset file: one dataset, a subset for each folder. A tomlkit document."""
    import tomlkit

    general, own = by_table(plan.choices, len(plan.parts))
    doc = tomlkit.document()
    _comment(doc, f"Written by tagflow {__version__} for {plan.root.as_posix()}")
    tables, dataset = tomlkit.aot(), tomlkit.table()
    _add(dataset, general)
    subsets = tomlkit.aot()
    for choices in own:
        table = tomlkit.table()
        _add(table, choices)
        subsets.append(table)
    dataset.add("subsets", subsets)
    tables.append(dataset)
    doc.add("datasets", tables)
    return doc


def _add(table: Any, choices: Iterable[Choice]) -> None:
    for choice in choices:
        _comment(
            table, choice.reason if choice.source in choice.reason else f"{choice.reason} ({choice.source})"
        )
        table.add(choice.name, choice.value)


def _comment(table: Any, text: str) -> None:
    """A comment on lines of its own: `toml` 0.10 loses its way in some that stand behind a value."""
    import tomlkit

    plain = _CONTROL.sub("?", " ".join(text.split()))
    for line in textwrap.wrap(plain, _WIDTH, break_on_hyphens=False):
        table.add(tomlkit.comment(line))
