"""The gate before the trainer: whether a run may start. Open it for what refuses a start.

It looks at the audit's verdict, the dataset's files against the audit, the plan against the audit, rendered
captions, caches, every rule of `train check`, and whether the trainer would read just the captions, the
tokens and the text encoders that were certified. Nothing is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tagflow.audit.drift import Present, drift
from tagflow.audit.file import Audit, certifies, current_audit
from tagflow.clip.tokenizer import WINDOW
from tagflow.dataset.survey import CAPTION_SUFFIX, read, survey
from tagflow.encoders import fingerprint_of
from tagflow.errors import AuditError, EncoderError, OntologyError, SourceError, TrainerError, UsageProblem
from tagflow.files.read import read_toml
from tagflow.findings.finding import Finding, by_severity, finding
from tagflow.findings.wording import some
from tagflow.ontology import Ontology
from tagflow.schema import rows
from tagflow.training.check.derived import names
from tagflow.training.check.rules import faults_of
from tagflow.training.machine.facts import Machine
from tagflow.training.run_folder import DATA, DATASET, PLAN, TRAIN, PlanFile, read_plan
from tagflow.training.sd_scripts.dataset_config import Subset
from tagflow.training.sd_scripts.files import caption_of
from tagflow.training.sd_scripts.options import Options, flat
from tagflow.training.setup.look import with_files
from tagflow.training.setup.read import setup_of_run
from tagflow.training.setup.setup import Images, Setup
from tagflow.training.start.record import Edit, host, read_record, settled
from tagflow.training.structure.manifest import changed, read_manifest
from tagflow.training.structure.structure import JOIN, KEEP

# Paths that decide what is trained, or where tagflow looks for it. The trainer runs in sd-scripts' folder.
_PATHS = ("pretrained_model_name_or_path", "vae", "dataset_config", "output_dir", "logging_dir", "resume",
          "network_weights")  # fmt: skip
_PARTING = re.compile(r"[,;|\ufeff]")
_SPLITTING = ("shuffle_caption", "token_warmup_step", "caption_tag_dropout_rate")


def uncertified(setup: Setup, audit: Audit, folder: Path, known: Collection[str]) -> Iterator[Finding]:
    """What the trainer would read and no audit vouches for. `folder`: where certified captions lie.

    `known`: their paths below it, with forward slashes.
    """
    if setup.text("dataset_class"):
        yield finding(
            "dataset-foreign", f"{setup.text('dataset_class')} reads the data", option="dataset_class"
        )
    looked_at = setup.images or (None,) * len(setup.subsets or ())
    for subset, images in zip(setup.subsets or (), looked_at, strict=True):
        yield from _folder(subset, images, folder.resolve(), known)
        yield from _altered(subset, images)
    yield from _relative(setup)
    yield from _tokens(setup, audit)
    yield from _encoders(setup, audit)


def forged(folder: Path, rendered: Collection[str], root: Path, audit: Audit) -> Iterator[Finding]:
    """Rendered captions that are no certified one's words in another order, whatever their list says."""
    certified = {_words(root / path) for path in audit.by_path()}
    other = [path for path in rendered if _words(folder / path) not in certified]
    if other:
        yield finding("dataset-foreign", f"{folder}: words that no certified caption has: {names(other)}")


def _words(file: Path) -> tuple[str, ...]:
    """The words of a caption, sorted, without what parts them."""
    try:
        text = file.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(sorted(_PARTING.sub(" ", text).split()))


def _relative(setup: Setup) -> Iterator[Finding]:
    """Paths that the trainer would look for elsewhere than they were looked for here."""
    for name in _PATHS:
        named, path = setup.text(name), setup.path(name)
        if path is not None and not Path(named).is_absolute() and (name != "vae" or path.exists()):
            yield finding("path-relative", named, option=name)
    for subset in setup.subsets or ():
        named = str(subset.values.get("image_dir") or "")
        if named and not Path(named).is_absolute():
            yield finding("path-relative", f"{subset.where}: {named}", option="image_dir")


def _folder(subset: Subset, images: Images | None, folder: Path, known: Collection[str]) -> Iterator[Finding]:
    where = f"{subset.where}: "
    if subset.kind != "dreambooth":
        yield finding("dataset-foreign", f"{where}captions of a metadata file", option="metadata_file")
    elif subset.folder is None or not subset.folder.resolve().is_relative_to(folder):
        yield finding("dataset-foreign", f"{where}{subset.folder} is not in {folder}", option="image_dir")
    elif (suffix := subset.values.get("caption_extension")) != CAPTION_SUFFIX:
        yield finding("dataset-foreign", f"{where}captions in {suffix} files", option="caption_extension")
    elif images is not None and (strange := _strange(subset.folder, images, folder, known)):
        yield finding("dataset-foreign", f"{where}no certified caption: {names(strange)}", option="image_dir")


def _strange(place: Path, images: Images, folder: Path, known: Collection[str]) -> list[str]:
    """Images whose text nobody certified: it lies in a hidden folder, say, or there is none."""
    files = {name: caption_of(place / name, CAPTION_SUFFIX) for name in images.names}
    whole = {folder / path for path in known}
    return [name for name, file in files.items() if file is None or file.resolve() not in whole]


def _altered(subset: Subset, images: Images | None) -> Iterator[Finding]:
    """Options that make other words of the certified ones."""
    values = subset.values
    texts = images.texts.values() if images is not None else ()
    splits = any(values.get(name) for name in _SPLITTING)
    tests: dict[str, Callable[[str], object]] = {
        "caption_prefix": bool,
        "caption_suffix": bool,
        "secondary_separator": lambda mark: mark != JOIN and any(mark in text for text in texts),
        "keep_tokens_separator": lambda mark: splits and mark != KEEP and any(mark in text for text in texts),
        "caption_separator": lambda mark: splits and mark != ",",
    }
    for name, alters in tests.items():
        text = values.get(name)
        if isinstance(text, str) and text and alters(text):
            yield finding("captions-altered", f"{subset.where}: {name} {text!r}", option=name)


def _tokens(setup: Setup, audit: Audit) -> Iterator[Finding]:
    read = int(setup.number("max_token_length")) or WINDOW
    longest = max((count for count in rows(audit.table, "tokens") if count is not None), default=0)
    certified = audit.meta.limits.max_tokens
    if read != certified and longest > min(read, certified):
        yield finding(
            "tokens-not-certified",
            f"{read} are trained, {certified} were certified, the longest caption has {longest}",
            option="max_token_length",
        )


def _encoders(setup: Setup, audit: Audit) -> Iterator[Finding]:
    """A proof holds for the encoders that gave it. Reads 1.6 GB of a full-size checkpoint."""
    base = setup.path("pretrained_model_name_or_path")
    name = "pretrained_model_name_or_path"
    if base is None:
        return  # a rule's finding
    if not base.exists():
        yield finding("encoders-differ", f"they cannot be compared: {base} is not there", option=name)
        return
    try:
        found = fingerprint_of(str(base))
    except EncoderError as problem:
        yield finding("encoders-differ", f"they cannot be compared: {problem.message}", option=name)
        return
    if found != audit.meta.encoder_fingerprint:
        yield finding("encoders-differ", f"{base}; certified in {audit.meta.encoders}", option=name)


NEVER = frozenset({"another-running"})
"""What no reason overrules."""

_NAMED = 5  # paths in a message
_DRIFTED = {"caption": "captions-drifted", "image": "images-drifted", "ontology": "ontology-drifted"}


@dataclass(frozen=True, slots=True)
class Gate:
    """What was found. `setup`: what the rules looked at; `edits`: values of train.toml other than planned."""

    setup: Setup
    faults: tuple[Finding, ...]
    edits: tuple[Edit, ...]

    def refusals(self) -> list[Finding]:
        """What stands against a start."""
        return [fault for fault in self.faults if fault.severity == "error"]


def evaluate_gate(run: Path, *, machine: Machine | None = None, options: Options | None = None) -> Gate:
    """Everything the gate knows of a run. `machine`: the trainer's Python, where it was asked.

    Raises TrainerError for what is no run folder, or one whose plan is damaged.
    """
    plan = read_plan(run)
    setup = with_files(replace(setup_of_run(run, options=options), machine=machine))
    edits = tuple(_edits(run, plan))
    faults: list[Finding] = []
    record = read_record(run)
    record = None if record is None else settled(record)
    if record is not None and record.state == "running":
        code = "another-running" if record.host == host() else "another-host"
        faults.append(finding(code, f"process {record.pid} on {record.host}, since {record.started}"))
    named = setup.path("dataset_config")
    if named is not None and named.resolve() != (run / DATASET).resolve():
        faults.append(finding("run-copied", str(named), option="dataset_config"))
    faults += [*_dataset(run, plan, setup), *changed(run, plan)]
    # Caches of text that are older than their captions count even where this run would not read them: the
    # next one may.
    found = zip(setup.subsets or (), setup.images or (), strict=True)
    stale = [subset.folder / name for subset, images in found if subset.folder for name in images.stale]
    if stale:
        faults.append(finding("caches-stale", some(stale, _NAMED)))
    faults += faults_of(setup)
    if edits:
        faults.append(finding("plan-edited", some((f"{one['name']} {one['now']}" for one in edits), _NAMED)))
    return Gate(setup, tuple(sorted(faults, key=by_severity)), edits)


def _dataset(run: Path, plan: PlanFile, setup: Setup) -> Iterator[Finding]:
    """What is wrong with a plan's dataset: its audit, its files, and whether they are what would be read."""
    planned = plan.dataset
    if planned is None:
        yield finding("audit-missing", f"{run / PLAN} names no dataset")
        return
    root = planned.root
    audit, fault = audit_of(root)
    if fault is not None:
        yield fault
    if audit is None:
        return
    yield from _verdict(audit)
    yield from _drifted(root, audit)
    if planned.dataset_digest != audit.meta.dataset_digest:
        yield finding("plan-outdated", f"planned after run {planned.run}, now {audit.meta.run}")
    rendered = plan.structure.kind != "none"
    known = _rendered(run) if rendered else audit.by_path()
    yield from uncertified(setup, audit, run / DATA if rendered else root, known)
    if rendered:
        yield from forged(run / DATA, known, root, audit)


def _rendered(run: Path) -> Collection[str]:
    """The paths of the rendered captions; none where the list is damaged, which is a finding of its own."""
    try:
        listed = read_manifest(run)
    except TrainerError:
        return ()
    return () if listed is None else listed.captions


def audit_of(root: Path) -> tuple[Audit | None, Finding | None]:
    """The audit of a dataset, or what is wrong with it."""
    try:
        audit = current_audit(root)
    except AuditError as problem:
        return None, finding("audit-unusable", problem.message)
    except OSError as problem:
        return None, finding("audit-unusable", f"{root}: {problem.strerror}")
    return audit, None if audit is not None else finding("audit-missing", str(root))


def _verdict(audit: Audit) -> Iterator[Finding]:
    meta = audit.meta
    if not certifies(meta, meta.limits, None):
        reasons = f": {'; '.join(meta.reasons)}" if meta.reasons else ""
        yield finding("audit-not-passed", f"the verdict is {meta.verdict}{reasons}")
        return
    low = [
        mean
        for mean in (meta.sim_te1_mean, meta.sim_te2_mean)
        if mean is not None and mean < meta.limits.min_sim
    ]
    if low:
        yield finding(
            "audit-not-passed", f"a mean similarity of {min(low):.4f}, its limit {meta.limits.min_sim:g}"
        )


def _drifted(root: Path, audit: Audit) -> Iterator[Finding]:
    try:
        found = survey(root, empty=True)
    except (SourceError, UsageProblem) as problem:
        yield finding("captions-drifted", problem.message)
        return
    now = Present(
        {path: read(root, path).sha256 for path in found.captions}, found.images, _ontology_now(audit)
    )
    seen = drift(audit, now)
    for part, code in _DRIFTED.items():
        of_part = [one for one in seen if one.code.startswith(part)]
        if of_part:
            told = (f"{one.where.file or one.detail} ({one.code.partition('-')[2]})" for one in of_part)
            yield finding(code, some(told, _NAMED))
    unread = [path for path, sha in now.captions.items() if sha is None]
    if unread:
        yield finding("captions-drifted", f"cannot be read: {some(unread, _NAMED)}")


def _ontology_now(audit: Audit) -> str | None:
    """The hash of the audit's ontology as it is today; None where it cannot be known any more."""
    source, overlay = audit.meta.options.ontology, audit.meta.options.overlay
    try:
        return Ontology.load(source, Path(overlay) if overlay else None).hash if source else None
    except (OntologyError, UsageProblem, OSError):
        return None


def _edits(run: Path, plan: PlanFile) -> Iterator[Edit]:
    """Values in train.toml that the plan did not put there. What cannot be read is the rules' finding."""
    try:
        there = flat(read_toml((run / TRAIN).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return
    planned = {one.name: one.value for one in plan.values if one.file == TRAIN}
    for name in sorted(planned.keys() | there.keys()):
        if planned.get(name) != there.get(name):
            yield {"name": name, "planned": planned.get(name), "now": there.get(name)}
