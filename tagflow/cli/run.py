"""`tagflow run` and `tagflow reorder`: the main job, with and without the encoders.

`tagflow validate`: the files against their audit, and both encoders' word on them.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagflow.audit.drift import Drift, drift
from tagflow.audit.file import Audit, current_audit
from tagflow.cli import output
from tagflow.cli.build import pipeline as build
from tagflow.cli.build import vector_cache
from tagflow.cli.help import command
from tagflow.cli.history import recover_interrupted, report_interrupted
from tagflow.cli.options import (
    FOLDER,
    EncoderChoice,
    cache_option,
    encoder_choice,
    encoder_options,
    low_options,
    ontology_options,
    order_options,
    result_options,
    token_options,
)
from tagflow.cli.output import Progress, show_diff
from tagflow.cli.run_train import ready, train_after, train_options
from tagflow.config import Config, load_config
from tagflow.dataset.survey import AUDIT_NAME, Survey, by_root, survey
from tagflow.errors import AuditError, SourceError, UsageProblem
from tagflow.history.store import Store
from tagflow.pipeline import Outcome, Pipeline
from tagflow.validate import present
from tagflow.validate import validate as hold
from tagflow.write import Writing, Written, check_out, now, targets

if TYPE_CHECKING:
    from tagflow.encoders import EncoderPair


RUN_SCHEMA = "tagflow.run/1"


@command()
@click.argument("folder", metavar="DIR", type=FOLDER, required=False)
@encoder_options
@low_options
@order_options
@token_options
@cache_option
@result_options
@train_options
def run(folder: Path | None, **given: Any) -> int:
    """Reorder the captions in DIR, prove in both text encoders that the meaning stayed, write and audit.

    Where the mean similarity of either encoder misses --min-sim nothing is written, but see --on-low.
    """
    ready(given)
    config = load_config(given["config_file"], folder)
    folder = folder or _folder(config)
    code = _Job("run", config, given).go(survey(folder), None, encoder_choice(config, given))
    return train_after(code, folder, config, given)


@command()
@click.argument("paths", metavar="PATHS...", type=FOLDER, nargs=-1)
@order_options
@token_options
@click.option(
    "--hook", is_flag=True, help="For pre-commit: exit 1 where a caption was rewritten, else write nothing."
)
@cache_option
@result_options
def reorder(paths: tuple[Path, ...], **given: Any) -> int:
    """Reorder captions by structure alone: folders, or single caption files. Nothing is certified.

    Triggers are looked for in the whole folder, also where single files are given.
    """
    roots = by_root(paths or (_folder(load_config(given["config_file"], None)),))
    if len(roots) > 1 and (given["out"] or given["as_json"]):
        raise UsageProblem("--out and --json go with one folder", "give one folder at a time")
    jobs = {root: _Job("reorder", load_config(given["config_file"], root), given) for root in roots}
    return max(job.go(survey(root), roots[root], None) for root, job in jobs.items())


def _folder(config: Config) -> Path:
    folder = config.path("dir")
    if folder is None:
        raise UsageProblem("no folder was given", "name the folder that holds the captions")
    return Path(folder)


class _Job:
    """One command over one folder: build, run, write, tell."""

    def __init__(self, command: str, config: Config, given: dict[str, Any]) -> None:
        self.command, self.config, self.given = command, config, given
        self.strict = bool(config.get("strict", given["strict"], False))
        if given["diff"] and given["as_json"]:
            raise UsageProblem("--diff and --json both want stdout", "use one of them")
        if given["dry_run"] and given["out"]:
            raise UsageProblem("--dry-run writes nothing, --out wants a folder", "use one of them")
        if given["clear_caches"] and given["out"]:
            raise UsageProblem("--out leaves the captions, so their caches stay right", "use one of them")

    def go(self, found: Survey, selected: Collection[str] | None, choice: EncoderChoice | None) -> int:
        out = self.given["out"]
        if out:
            check_out(found.root, out)
        progress, started = Progress(), now()
        store = Store(found.root)
        writes = not (out or self.given["dry_run"])
        with progress.shown(), vector_cache(self.config, self.given, choice) as cache:
            # What may be refused (a wrong checkpoint) is built before the folder is touched.
            keep = not self.given["dry_run"]
            pipeline = build(self.config, self.given, choice, progress, cache, keep=keep)
            with store.locked() if writes else nullcontext():
                (recover_interrupted if writes else report_interrupted)(store)
                outcome = pipeline(found, current_audit(found.root), selected)
                written = self._leave(pipeline, outcome, found, store, started, progress)
        self._not_captions(found, selected)
        output.encoded(pipeline.pair)
        return self._tell(found, outcome, written, pipeline.pair)

    def _not_captions(self, found: Survey, selected: Collection[str] | None) -> None:
        for path in sorted(set(selected or ()).difference(found.captions)):
            output.note(f"{path}: no caption in {found.root}; not touched")

    def _leave(
        self,
        pipeline: Pipeline,
        outcome: Outcome,
        found: Survey,
        store: Store,
        started: str,
        progress: Progress,
    ) -> Written:
        if out := self.given["out"]:
            return Writing(pipeline, outcome, Store(out), self.command, started).from_folder(found.root)
        writing = Writing(pipeline, outcome, store, self.command, started)
        # An audit in git would change at every commit where a hook wrote one with nothing to rewrite.
        if self.given["dry_run"] or (self.given.get("hook") and not targets(outcome)):
            return writing.dry_run()
        return writing.in_place(progress.progress("writing"), clear_caches=bool(self.given["clear_caches"]))

    def _tell(self, found: Survey, outcome: Outcome, written: Written, pair: EncoderPair | None) -> int:
        failed = written.meta.verdict == "fail"
        self._notes(found, outcome, written)
        output.show_findings(written.table, ("error", "warning") if self.strict else ("error",))
        if self.given["diff"]:
            show_diff(outcome.table, targets(outcome))
        if self.given["as_json"]:
            output.as_json(result(written, pair))
        else:
            for line in output.summary(written.table, written.meta):
                output.out(line)
            why = "dry run: nothing" if self.given["dry_run"] else "nothing"
            where = written.audit or f"none ({why} was written)"
            output.out(f"audit       {where}")
            if caches := _caches(written):
                output.out(f"caches      {caches}")
            if written.audit:
                output.out(f"run         {written.meta.run}{self._way_back(found, outcome)}")
        if self.given["clear_caches"] and written.audit and written.stale:
            raise SourceError(
                f"the captions are written, but stale caches could not be removed: {_some(written.stale)}",
                "remove them before you train",
            )
        rewritten = bool(self.given.get("hook")) and written.audit is not None
        return output.exit_code(written.table, failed=failed or rewritten, strict=self.strict)

    def _way_back(self, found: Survey, outcome: Outcome) -> str:
        if self.given["out"]:
            return f"  ({found.root} is as it was)"
        return f"  (`tagflow undo {found.root}` takes it back)" if targets(outcome) else ""

    def _notes(self, found: Survey, outcome: Outcome, written: Written) -> None:
        if outcome.trigger:
            output.note(
                f"{outcome.trigger!r} stands first in most captions and the ontology does not know it: taken "
                "for the trigger, it stays first (`--trigger none` turns this off)"
            )
        if found.others:
            output.note(f"{len(found.others)} .txt files are no captions, not touched: {_some(found.others)}")
        if found.foreign:
            output.note(
                f"{len(found.foreign)} captions stand beside pictures that the trainer does not read; "
                f"convert these to PNG, JPEG or WebP: {_some(found.foreign)}"
            )
        if found.uncaptioned:
            output.note(f"{len(found.uncaptioned)} images have no caption: {_some(found.uncaptioned)}")
        if written.meta.verdict == "fail":
            output.note(
                "the gate failed and no caption was written. Look at the worst captions (`tagflow audit`), "
                "then relax their order (--on-low relax), keep the low ones (--min-sim-each X), lower "
                "--min-sim, or pin tags (--keep-first N)"
            )
        if written.meta.verdict == "uncertified":
            output.note(f"NOT CERTIFIED: {'; '.join(written.meta.reasons)}")


def _some(paths: tuple[str, ...]) -> str:
    return ", ".join(paths[:5]) + (", ..." if len(paths) > 5 else "")


def _caches(written: Written) -> str:
    """What a person must know of the trainer's caches; nothing where there is nothing to say."""
    parts = []
    if written.cleared:
        parts.append(f"{len(written.cleared)} of the trainer's cleared; it makes them anew")
    if written.stale:
        hold = "hold" if written.audit else "would hold"
        parts.append(
            f"{len(written.stale)} of the trainer's {hold} an old text and would be trained "
            f"({_some(written.stale)}); --clear-caches removes them"
        )
    return "; ".join(parts)


def result(written: Written, pair: EncoderPair | None) -> dict[str, Any]:
    """What `run --json` ends with."""
    encoded, cached = (None, None) if pair is None else pair.windows()
    status = written.table.column("status").to_pylist()
    return {
        "schema": RUN_SCHEMA,
        "captions": len(status),
        **{name: status.count(name) for name in ("rewritten", "unchanged", "kept", "failed")},
        "relaxed": {str(level): count for level, count in output.relaxed(written.table)},
        "sim_te1_mean": written.meta.sim_te1_mean,
        "sim_te2_mean": written.meta.sim_te2_mean,
        "dtype": written.meta.options.dtype,
        "sim_error": written.meta.options.sim_error,
        "verdict": written.meta.verdict,
        "audit": None if written.audit is None else str(written.audit),
        "run": written.meta.run,
        "windows_encoded": encoded,
        "windows_cached": cached,
        "caches_stale": len(written.stale),
        "caches_cleared": len(written.cleared),
    }


@command()
@click.argument("folder", metavar="[DIR]", type=FOLDER, required=False)
@encoder_options
@ontology_options
@token_options
@result_options
def validate(folder: Path | None, **given: Any) -> int:
    """Check that the captions in DIR are what the audit says, encode them against their originals, judge.

    DIR: else `dir` in tagflow.toml, else the current folder. Writes the audit and no caption. The ontology is
    that of the audit, unless another one is named here.
    """
    config = load_config(given["config_file"], folder)
    folder = folder or Path(config.path("dir") or ".")
    found, store, started = survey(folder), Store(folder), now()
    choice = encoder_choice(config, given)
    given, gone = _with_its_ontology(_audit(folder), given)
    progress = Progress()
    with progress.shown(), vector_cache(config, given, choice) as cache:
        pipeline = build(config, given, choice, progress, cache, keep=True)
        with store.locked():
            recover_interrupted(store)
            audit = _audit(folder)  # again: a recovery may have put an older one back
            outcome = hold(pipeline, found, audit)
            written = Writing(pipeline, outcome, store, "validate", started).audit_only()
    changed = drift(audit, present(pipeline, found, outcome, gone))
    strict = bool(config.get("strict", given["strict"], False))
    _tell(written, changed, pipeline.pair, strict=strict, as_json=given["as_json"])
    code = output.exit_code(written.table, failed=written.meta.verdict == "fail", strict=strict)
    return max(code, int(strict and bool(changed)))


def _tell(
    written: Written, changed: list[Drift], pair: EncoderPair | None, *, strict: bool, as_json: bool
) -> None:
    output.show_findings(written.table, ("error", "warning") if strict else ("error",))
    for one in changed:
        if not one.code.startswith("caption-"):  # those are findings of their captions
            output.warn(output.finding_line(one.where, one.code, one.detail))
    output.encoded(pair)
    if written.meta.verdict != "pass":
        output.note(f"NOT CERTIFIED: {'; '.join(written.meta.reasons)}")
    if as_json:
        seen = [{"where": one.where, "code": one.code, "detail": one.detail} for one in changed]
        output.as_json({**result(written, pair), "schema": "tagflow.validate/1", "drift": seen})
        return
    for line in output.summary(written.table, written.meta):
        output.out(line)
    output.out(f"audit       {written.audit}")


def _with_its_ontology(audit: Audit, given: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The options, with the ontology and the overlay of the run that wrote the audit where none was named.

    With it the overlay's path, where the file is not there any more.
    """
    if given["ontology_name"] is not None or given["overlay"] is not None:
        return given, None
    source, overlay = audit.meta.options.ontology, audit.meta.options.overlay
    gone = overlay if overlay and not Path(overlay).exists() else None
    file = Path(overlay) if overlay and not gone else None
    return {**given, "ontology_name": source, "overlay": file}, gone


def _audit(folder: Path) -> Audit:
    audit = current_audit(folder)
    if audit is None:
        raise AuditError(
            f"{folder / AUDIT_NAME}: there is no audit", "run `tagflow run` or `tagflow reorder` first"
        )
    return audit
