"""A plan as plan.json holds it: every value with its reason and source, the arithmetic, the estimate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tagflow import __version__
from tagflow.sources.folder import AUDIT_NAME
from tagflow.training.choices import Choice
from tagflow.training.fitting import warmup_steps
from tagflow.training.memory import SOURCE
from tagflow.training.options import Value
from tagflow.training.plan import Plan
from tagflow.training.rendered import Rendered
from tagflow.training.run_folder import PLAN_SCHEMA
from tagflow.training.structure import CHOICES


def as_object(plan: Plan, rendered: Rendered | None = None) -> dict[str, Any]:
    """What plan.json holds. `rendered`: the captions' own, once they are there."""
    audit, around, said = plan.audit, plan.around, plan.base.prediction
    return {
        "schema": PLAN_SCHEMA,
        "tagflow": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "preset": plan.preset.name,
        "run": str(plan.run),
        "dataset": {
            "root": str(plan.root),
            "audit": str(plan.root / AUDIT_NAME),
            "run": None if audit is None else audit.meta.run,
            "verdict": None if audit is None else audit.meta.verdict,
            "dataset_digest": None if audit is None else audit.meta.dataset_digest,
            "captions": plan.captions,
            "images": sum(part.images.count for part in plan.parts),
        },
        "structure": _structure(plan, rendered),
        "values": [_value(choice) for choice in plan.choices.all()],
        "left_out": [asdict(one) for one in plan.choices.left_out()],
        "arithmetic": dict(_arithmetic(plan)),
        "memory": _memory(plan),
        "sd_scripts": None if around.sd_scripts is None else str(around.sd_scripts),
        "trainer_python": None if around.python is None else str(around.python),
        "base": {
            "path": str(plan.base.path),
            "size": plan.base.size,
            "prediction": said.type,
            "evidence": list(said.evidence),
        },
        "notes": [asdict(note) for note in plan.notes],
    }


def _memory(plan: Plan) -> dict[str, Any]:
    return {
        "available": plan.vram.bytes,
        "source": plan.vram.source,
        "known": plan.vram.known,
        "estimate": plan.memory.peak,
        "parts": plan.memory.parts,
        "phases": plan.memory.phases,
        "estimate_source": SOURCE,
    }


def _value(choice: Choice) -> dict[str, Value]:
    return {
        "file": choice.file, "name": choice.name, "value": choice.value, "reason": choice.reason,
        "source": choice.source,
    }  # fmt: skip


def _structure(plan: Plan, rendered: Rendered | None) -> dict[str, Any]:
    """What was chosen, and what else was offered, with what each does and costs."""
    marks = CHOICES[plan.structure].options
    told: dict[str, Any] = {
        "kind": plan.structure,
        "separator": str(marks.get("keep_tokens_separator") or ""),
        "secondary_separator": str(marks.get("secondary_separator") or ""),
        "offered": {
            one.kind: {"title": one.title, "does": one.does, "costs": one.costs, "use": one.use}
            for one in CHOICES.values()
        },
    }
    if rendered is not None:
        told |= {"leading": list(rendered.leading), "captions": dict(rendered.reasons)}
    return told


def _arithmetic(plan: Plan) -> Iterator[tuple[str, Any]]:
    choices, length = plan.choices, plan.length
    yield "images", sum(len(part.images.sizes) for part in plan.parts)
    yield "images_with_repeats", sum(plan.buckets.values())
    yield "repeats", [one.value for one in choices.of("dataset.toml") if one.name.endswith("num_repeats")]
    yield "buckets", {f"{width}x{height}": count for (width, height), count in plan.buckets.items()}
    yield "batch", choices.whole("train_batch_size", 1)
    yield "accumulation", choices.whole("gradient_accumulation_steps", 1)
    yield "batches_per_epoch", length.batches
    yield "steps_per_epoch", length.steps_per_epoch
    yield "epochs", length.epochs
    yield "steps", length.steps
    yield "warmup_steps", warmup_steps(choices, length)
    yield from plan.sizes.items()
