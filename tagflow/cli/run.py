"""`tagflow run`, `reorder` and `validate`; open it for what these refuse, print and exit with.

Captions are put in order, proved and written, or held to their audit; that work is in pipeline.py,
validate.py and write.py.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tagflow.audit.file import current_audit
from tagflow.checks.dataset import descriptions_untrained
from tagflow.cli import output
from tagflow.cli.build import options, vector_cache
from tagflow.cli.build import pipeline as build
from tagflow.cli.findings import (
    CodeOptions,
    Report,
    as_object,
    chosen,
    code_options,
    exit_code,
    tell_beside,
)
from tagflow.cli.help import command
from tagflow.cli.history import recover_interrupted, report_interrupted
from tagflow.cli.options import (
    FOLDER,
    EncoderChoice,
    EncoderOptions,
    OrderOptions,
    ResultOptions,
    TokenOptions,
    cache_option,
    collected,
    encoder_choice,
    encoder_options,
    load_ontology,
    low_options,
    order_options,
    result_options,
    suffix_of_captions,
    token_options,
)
from tagflow.cli.output import Progress, show_diff
from tagflow.cli.run_report import counting, of_captions, of_checks, of_control
from tagflow.cli.run_train import AfterOptions, ready, train_after, train_options
from tagflow.cli.separator import keep_tokens_separator, note_absent
from tagflow.config import Config, OnLow, load_config
from tagflow.dataset.survey import Survey, by_root, survey
from tagflow.errors import SourceError, UsageProblem
from tagflow.findings.finding import Finding
from tagflow.findings.wording import many, some
from tagflow.history.store import Store
from tagflow.pipeline import Outcome, Pipeline
from tagflow.schema import rows
from tagflow.stages.trigger import moved
from tagflow.write import Writing, Written, check_out, now, targets

if TYPE_CHECKING:
    from tagflow.encoders import EncoderPair


_NAMED = 5  # files that a note names


@dataclass(frozen=True, kw_only=True)
class ReorderOptions(OrderOptions, TokenOptions, ResultOptions, CodeOptions):
    """What `tagflow reorder` was asked."""

    paths: tuple[Path, ...] = ()
    hook: bool = False
    clear_caches: bool = False


@dataclass(frozen=True, kw_only=True)
class RunOptions(OrderOptions, TokenOptions, ResultOptions, CodeOptions, EncoderOptions, AfterOptions):
    """What `tagflow run` was asked."""

    folder: Path | None = None
    on_low: OnLow | None = None
    clear_caches: bool = False


@command(hide=("select", "ignore", "warn_tokens", "clear_caches", "device"))
@click.argument("folder", metavar="DIR", type=FOLDER, required=False)
@encoder_options
@low_options
@order_options
@token_options
@cache_option
@code_options
@result_options
@train_options
@collected(RunOptions)
def run(asked: RunOptions) -> int:
    """Reorder the captions in DIR, prove in both text encoders that the meaning stayed, write and audit.

    Where the mean similarity of either encoder misses --min-sim nothing is written, but see --on-low.
    """
    if asked.preset is not None and (asked.out or asked.dry_run):
        raise UsageProblem(
            "--train needs the captions certified in their place", "leave out --out and --dry-run"
        )
    config = load_config(asked.config_file, asked.folder)
    ready(asked, config, asked.encoders)
    folder = asked.folder or _folder(config)
    code = _Job("run", config, asked).go(_survey(folder, config, asked), None, encoder_choice(config, asked))
    return train_after(code, folder, config, asked, asked.encoders, as_json=asked.as_json)


@command()
@click.argument("paths", metavar="PATHS...", type=FOLDER, nargs=-1)
@order_options
@token_options
@click.option(
    "--hook", is_flag=True, help="For pre-commit: exit 1 where a caption was rewritten, else write nothing."
)
@cache_option
@code_options
@result_options
@collected(ReorderOptions)
def reorder(asked: ReorderOptions) -> int:
    """Reorder captions by structure alone: folders, or single caption files. Nothing is certified.

    Triggers are looked for in the whole folder, also where single files are given.
    """
    roots = by_root(asked.paths or (_folder(load_config(asked.config_file, None)),))
    if len(roots) > 1 and (asked.out or asked.as_json):
        raise UsageProblem("--out and --json go with one folder", "give one folder at a time")
    jobs = {root: _Job("reorder", load_config(asked.config_file, root), asked) for root in roots}
    return max(job.go(_survey(root, job.config, asked), roots[root], None) for root, job in jobs.items())


def _survey(folder: Path, config: Config, asked: OrderOptions) -> Survey:
    return survey(folder, suffix=suffix_of_captions(config, asked.caption_extension))


def _folder(config: Config) -> Path:
    folder = config.path("dir")
    if folder is None:
        raise UsageProblem("no folder was given", "name the folder that holds the captions")
    return Path(folder)


class _Job:
    """One command over one folder: build, run, write, tell."""

    def __init__(self, command: str, config: Config, asked: RunOptions | ReorderOptions) -> None:
        self.command, self.config, self.asked = command, config, asked
        self.strict = bool(config.get("strict", asked.strict, False))
        self.hook = isinstance(asked, ReorderOptions) and asked.hook
        if asked.diff and asked.as_json:
            raise UsageProblem("--diff and --json both want stdout", "use one of them")
        if asked.dry_run and asked.out:
            raise UsageProblem("--dry-run writes nothing, --out wants a folder", "use one of them")
        if asked.images not in (None, "none") and not asked.out:
            raise UsageProblem("--images is for another folder, and none was named", "add --out DIR")
        if asked.clear_caches and asked.out:
            raise UsageProblem("--out leaves the captions, so their caches stay right", "use one of them")

    def go(self, found: Survey, selected: Collection[str] | None, choice: EncoderChoice | None) -> int:
        asked, out = self.asked, self.asked.out
        if out:
            check_out(found.root, out)
        progress, started = Progress(), now()
        store = Store(found.root)
        writes = not (out or asked.dry_run)
        similarity, on_low = (
            (asked, asked.on_low) if isinstance(asked, RunOptions) else (EncoderOptions(), None)
        )
        previous = current_audit(found.root)
        separator = keep_tokens_separator(self.config, asked, found.root, previous)
        cached = vector_cache(self.config, choice, wanted=not similarity.no_cache)
        with progress.shown(), cached as cache:
            # What may be refused (a wrong checkpoint) is built before the folder is touched.
            pipeline = build(
                self.config,
                load_ontology(self.config, asked),
                options(self.config, asked, asked, similarity, on_low, previous, separator),
                choice,
                progress,
                cache,
                keep=not asked.dry_run,
                hub=not self.hook,  # a commit must not wait for a network
            )
            with store.locked() if writes else nullcontext():
                (recover_interrupted if writes else report_interrupted)(store)
                outcome = pipeline(found, current_audit(found.root), selected)
                # Before files are replaced: where a character stands is told of the text that was read.
                beside = of_checks(pipeline, outcome, found, selected, progress.progress("images"))
                written = self._leave(pipeline, outcome, found, store, started, progress)
        note_absent(separator, rows(outcome.table, "text"))
        for path in sorted(set(selected or ()).difference(found.captions, found.descriptions)):
            output.note(f"{path}: no caption in {found.root}; not touched")
        output.encoded(pipeline.pair)
        return self._tell(found, outcome, written, beside, pipeline.pair)

    def _leave(
        self,
        pipeline: Pipeline,
        outcome: Outcome,
        found: Survey,
        store: Store,
        started: str,
        progress: Progress,
    ) -> Written:
        if out := self.asked.out:
            writing = Writing(pipeline, outcome, Store(out), self.command, started)
            return writing.from_folder(found.root, self.asked.images or "none", progress.progress("images"))
        writing = Writing(pipeline, outcome, store, self.command, started)
        # An audit in git would change at every commit where a hook wrote one with nothing to rewrite.
        if self.asked.dry_run or (self.hook and not targets(outcome)):
            return writing.dry_run()
        return writing.in_place(progress.progress("writing"), clear_caches=self.asked.clear_caches)

    def _tell(
        self,
        found: Survey,
        outcome: Outcome,
        written: Written,
        beside: Sequence[Finding],
        pair: EncoderPair | None,
    ) -> int:
        failed = written.meta.verdict == "fail"
        self._notes(found, outcome, written)
        findings = of_captions(written, found.root)
        seen = {(one.where.file, one.code, one.detail) for one in findings}
        findings += (one for one in beside if (one.where.file, one.code, one.detail) not in seen)
        findings += (one.at(file=found.root.as_posix()) for one in of_control(written.meta, written.table))
        findings = list(chosen(findings, self.asked, self.config))
        tell_beside(counting(findings, strict=self.strict))
        if self.asked.diff:
            show_diff(outcome.table, targets(outcome))
        if self.asked.as_json:
            output.as_json(
                as_object(
                    Report(
                        "tagflow.run/2",
                        tuple(findings),
                        {
                            **output.facts(written, pair),
                            "advice": list(outcome.advice),
                            "settings": self.config.described(),
                            "triggers": [asdict(one) for one in outcome.triggers.taken],
                        },
                    )
                )
            )
        else:
            for line in output.summary(written.table, written.meta, (one.code for one in findings)):
                output.out(line)
            output.out(output.visible(f"trigger     {outcome.triggers.described()}"))
            if settings := self.config.described():
                output.out(f"settings    {output.visible(settings)}")
            why = "dry run: nothing" if self.asked.dry_run else "nothing"
            where = written.audit or f"none ({why} was written)"
            output.out(f"audit       {where}")
            if self.asked.images in ("link", "copy") and not failed:
                output.out(f"images      {output.images(written, self.asked.images, len(found.images))}")
            if caches := output.caches(written):
                output.out(f"caches      {caches}")
            if written.audit:
                back = f"  (`tagflow undo {found.root}` takes it back)" if targets(outcome) else ""
                if self.asked.out:
                    back = f"  ({found.root} is as it was)"
                output.out(f"run         {written.meta.run}{back}")
        if self.asked.clear_caches and written.audit and written.stale:
            raise SourceError(
                "the captions are written, but stale caches could not be removed: "
                f"{some(written.stale, _NAMED)}",
                "remove them before you train",
            )
        rewritten = self.hook and written.audit is not None
        return max(int(failed or rewritten), exit_code(findings, strict=self.strict))

    def _notes(self, found: Survey, outcome: Outcome, written: Written) -> None:
        output.note_folderless(outcome.triggers.taken, found.root)
        for one in moved(outcome.triggers, outcome.table):
            where = "" if one.folder == "." else f" of {one.folder}"
            output.note(
                f"{one.count} of {many(one.of, 'caption')}{where} begin with {one.word!r}, which is sorted "
                f"like any other tag now: if it is the trigger, `--trigger {shlex.quote(one.word)}` keeps "
                "it in front; if it is none, `--trigger none` says so"
            )
        if found.others:
            what = many(len(found.others), f"{found.suffix} file")
            output.note(f"{what}, no caption, not touched: {some(found.others, _NAMED)}")
        if found.foreign:
            output.note(
                f"{many(len(found.foreign), 'caption')} beside pictures that the trainer does not read; "
                f"convert these to PNG, JPEG or WebP: {some(found.foreign, _NAMED)}"
            )
        if found.uncaptioned:
            what = many(len(found.uncaptioned), "image has no caption", "images have no caption")
            output.note(f"{what}: {some(found.uncaptioned, _NAMED)}")
        paths, texts = rows(outcome.table, "path"), rows(outcome.table, "text")
        silent = self.config.get("description", self.asked.description) is not None
        if not silent and descriptions_untrained(found, paths, texts):
            output.note_descriptions(len(texts))
        if written.meta.verdict == "fail":
            for line in outcome.advice:
                output.note(line)
            output.note(
                "the gate failed and no caption was written. Look at the worst captions (`tagflow audit`), "
                "then relax their order (--on-low relax), keep the low ones (--min-sim-each X), lower "
                "--min-sim, or pin tags (--keep-first N)"
            )
        if written.meta.verdict == "uncertified":
            output.note(f"NOT CERTIFIED: {'; '.join(written.meta.reasons)}")
