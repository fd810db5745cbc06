"""What the gate asks of a run before it may start; open it to add a check, or for why one refuses a start.

Each check is one named function, registered with its codes like the rules of `train check`. They compare what
the trainer would read with what was certified: the audit, the dataset's files, the captions rendered for the
run, the tokens, the text encoders.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath

from tagflow.audit.drift import Present, drift
from tagflow.audit.file import Limits, certifies
from tagflow.clip.tokenizer import WINDOW
from tagflow.dataset.survey import read, survey
from tagflow.encoders import fingerprint_of
from tagflow.errors import EncoderError, OntologyError, SourceError, UsageProblem
from tagflow.files.safetensors import read_whole_header
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import some
from tagflow.judge.derive import inconsistencies
from tagflow.ontology import Ontology
from tagflow.schema import rows
from tagflow.training.check.derived import TEXT, names, parts, words
from tagflow.training.check.registry import Rule, made
from tagflow.training.run_folder import DATASET, PLAN
from tagflow.training.sd_scripts.captions import is_one_tag
from tagflow.training.sd_scripts.files import FOLDER_CACHE, caption_of, folder_cache
from tagflow.training.start.record import host
from tagflow.training.start.subject import AuditedStart, PlannedStart
from tagflow.training.structure.render import changed
from tagflow.training.structure.source import other_tags
from tagflow.training.structure.structure import JOIN, KEEP

# Paths that decide what is trained, or where tagflow looks for it. The trainer runs in sd-scripts' folder.
_PATHS = ("pretrained_model_name_or_path", "vae", "dataset_config", "output_dir", "logging_dir", "resume",
          "network_weights")  # fmt: skip
_NAMES = ("output_name", "log_prefix", "log_tracker_name")
_WEIGHING = re.compile(
    r"[(\[\\]"
)  # a closing bracket alone is text: TokenizeStrategy, parse_prompt_attention
_UNET = ("lora_unet_", "oft_unet_", "unet.")
_WORDED = ("caption_prefix", "caption_suffix", "secondary_separator", "keep_tokens_separator",
           "caption_separator")  # fmt: skip
_SPLITTING = ("shuffle_caption", "token_warmup_step", "caption_tag_dropout_rate")
_NAMED = 5  # paths in a message
_DROPPING = ("caption_dropout_rate", "caption_dropout_every_n_epochs", "caption_tag_dropout_rate")
_HARDLY = 0.9  # of the captions, or tags, are not trained
_ROUNDING = 1e-9
_DRIFTED = {"caption": "captions-drifted", "image": "images-drifted", "ontology": "ontology-drifted"}


def check(
    *codes: str, reads: Sequence[str] = ()
) -> Callable[[Callable[[PlannedStart], Iterator[Finding]]], Rule]:
    """Make a function a check of every start."""
    return made(codes, reads, ())


def audit_check(
    *codes: str, reads: Sequence[str] = ()
) -> Callable[[Callable[[AuditedStart], Iterator[Finding]]], Rule]:
    """Make a function a check of the starts whose dataset has an audit."""
    return made(codes, reads, ("audit",))


@check("another-running", "another-host")
def another_running(start: PlannedStart) -> Iterator[Finding]:
    record = start.record
    if record is not None and record.state == "running":
        code = "another-running" if record.host == host() else "another-host"
        yield finding(code, f"process {record.pid} on {record.host}, since {record.started}")


@check("run-copied", reads=("dataset_config", "output_dir", "logging_dir"))
def run_copied(start: PlannedStart) -> Iterator[Finding]:
    setup, run = start.setup, start.run.resolve()
    named = setup.path("dataset_config")
    if named is not None and named.resolve() != run / DATASET:
        yield finding("run-copied", str(named), option="dataset_config")
        return
    for name in ("output_dir", "logging_dir"):
        path = setup.path(name)
        above = () if path is None else (path.resolve(), *path.resolve().parents)
        nearest = next((folder for folder in above if (folder / PLAN).is_file()), run)
        if nearest != run:
            yield finding("run-copied", f"{path} is in another run's folder", option=name)


@check("audit-missing", "audit-unusable")
def audit_there(start: PlannedStart) -> Iterator[Finding]:
    if start.plan.dataset is None:
        yield finding("audit-missing", f"{start.run / PLAN} names no dataset")
    elif start.unusable:
        yield finding("audit-unusable", start.unusable)
    elif start.audit is None:
        yield finding("audit-missing", str(start.plan.dataset.root))
    if start.of_class() and start.class_unusable:
        yield finding("audit-unusable", start.class_unusable)
    elif start.of_class() and start.class_audit is None:
        yield finding("audit-missing", "of the regularisation images, which have captions")


@audit_check("audit-not-passed")
def audit_passed(start: AuditedStart) -> Iterator[Finding]:
    meta = start.audit.meta
    if not certifies(meta, meta.limits, None):
        reasons = f": {'; '.join(meta.reasons)}" if meta.reasons else ""
        yield finding("audit-not-passed", f"the verdict is {meta.verdict}{reasons}")
        return


@audit_check("audit-inconsistent")
def audit_follows(start: AuditedStart) -> Iterator[Finding]:
    """The verdict is not believed: it must be what the rows come to."""
    for why in inconsistencies(start.audit):
        yield finding("audit-inconsistent", why)


@audit_check("limit-weak")
def limit_weak(start: AuditedStart) -> Iterator[Finding]:
    limit, standard = start.audit.meta.limits.min_sim, Limits().min_sim
    if limit < standard:
        yield finding("limit-weak", f"{limit:g}, below {standard:g}")


@audit_check("measure-other")
def measure_other(start: AuditedStart) -> Iterator[Finding]:
    """The pass was given for other vectors than the usual ones."""
    measure = start.audit.meta.limits.measure
    if measure != Limits().measure:
        yield finding("measure-other", f"by {measure}")


@audit_check("captions-drifted", "images-drifted", "ontology-drifted")
def dataset_drifted(start: AuditedStart) -> Iterator[Finding]:
    root, options = start.dataset.root, start.audit.meta.options
    try:
        found = survey(root, empty=True, suffix=options.suffix)
    except (SourceError, UsageProblem) as problem:
        yield finding("captions-drifted", problem.message)
        return
    ontology = None  # where today's cannot be known
    if options.ontology:
        overlay = Path(options.overlay) if options.overlay else None
        with suppress(OntologyError, UsageProblem, OSError):
            ontology = Ontology.load(options.ontology, overlay).hash
    now = Present({path: read(root, path).sha256 for path in found.captions}, found.images, ontology)
    seen = drift(start.audit, now)
    for part, code in _DRIFTED.items():
        of_part = [one for one in seen if one.code.startswith(part)]
        if of_part:
            told = (f"{one.where.file or one.detail} ({one.code.partition('-')[2]})" for one in of_part)
            yield finding(code, some(told, _NAMED))
    unread = [path for path, sha in now.captions.items() if sha is None]
    if unread:
        yield finding("captions-drifted", f"cannot be read: {some(unread, _NAMED)}")


@audit_check("plan-outdated")
def plan_outdated(start: AuditedStart) -> Iterator[Finding]:
    planned, meta = start.dataset, start.audit.meta
    if planned.dataset_digest != meta.dataset_digest:
        yield finding("plan-outdated", f"planned after run {planned.run}, now {meta.run}")


@audit_check("dataset-foreign", reads=("dataset_class", "caption_extension", "is_reg", "class_tokens"))
def dataset_foreign(start: AuditedStart) -> Iterator[Finding]:
    """Captions that the trainer would read and no audit vouches for.

    An image of the class may have none: the one tag of its class is trained, and has no order.
    """
    setup, folder = start.setup, start.folder.resolve()
    if setup.text("dataset_class"):
        said = f"{setup.text('dataset_class')} reads the data"
        yield finding("dataset-foreign", said, option="dataset_class")
    certified = {folder / path for path in start.captions}
    wanted = start.audit.meta.options.suffix
    looked_at = setup.images or (None,) * len(setup.subsets or ())
    for subset, images in zip(setup.subsets or (), looked_at, strict=True):
        fault, option = "", "image_dir"
        words, of_class = str(subset.values.get("class_tokens") or ""), subset.values.get("is_reg")
        alone = bool(of_class) and is_one_tag(words)
        if subset.kind == "fine tuning":
            fault, option = "captions of a metadata file", "metadata_file"
        elif alone and images is not None and not images.captioned:
            pass
        elif subset.folder is None or not subset.folder.resolve().is_relative_to(folder):
            fault = f"{subset.folder} is not in {folder}"
        elif (suffix := subset.values.get("caption_extension")) != wanted:
            fault, option = f"captions in {suffix} files", "caption_extension"
        elif images is not None:
            files = {name: caption_of(subset.folder / name, wanted) for name in images.names}
            # One that nobody certified lies in a hidden folder, say; and there may be none.
            bare = [name for name, file in files.items() if file is None and not alone]
            other = [
                *bare,
                *(name for name, file in files.items() if file and file.resolve() not in certified),
            ]
            fault = f"no certified caption: {names(other)}" if other else ""
        if fault:
            yield finding("dataset-foreign", f"{subset.where}: {fault}", option=option)


@audit_check("rendered-tags-differ", reads=("enable_wildcard",))
def rendered_own_tags(start: AuditedStart) -> Iterator[Finding]:
    """A list of rendered files proves that they are as it says, not that it says what was certified."""
    drawn = any(subset.values.get("enable_wildcard") for subset in start.setup.subsets or ())
    if start.rendered:
        held = other_tags(start.folder, start.dataset.root, start.audit, start.captions, wildcards=drawn)
        try:
            other = list(held)
        except (SourceError, UsageProblem, OSError) as problem:
            other = [f"cannot be compared ({problem})"]
        if other:
            yield finding("rendered-tags-differ", f"{start.folder}: {some(other, _NAMED)}")


@check("captions-altered", reads=(*_WORDED, *_SPLITTING))
def captions_altered(start: PlannedStart) -> Iterator[Finding]:
    """Options that make other words of the certified ones."""
    looked_at = start.setup.images or (None,) * len(start.setup.subsets or ())
    named = start.audit.meta.options.keep_tokens_separator if start.audit else None
    known = (KEEP, named)  # of which it was known that they part tags when the captions were certified
    for subset, images in zip(start.setup.subsets or (), looked_at, strict=True):
        texts = images.texts.values() if images is not None else ()
        splits = any(subset.values.get(name) for name in _SPLITTING)
        for name in _WORDED:
            mark = subset.values.get(name)
            if not isinstance(mark, str) or not mark:
                continue
            if name == "secondary_separator":
                alters = mark != JOIN and any(mark in text for text in texts)
            elif name == "keep_tokens_separator":
                alters = splits and mark not in known and any(mark in text for text in texts)
            elif name == "caption_separator":
                alters = splits and mark != ","
            else:
                alters = True
            if alters:
                yield finding("captions-altered", f"{subset.where}: {name} {mark!r}", option=name)


@check("brackets-weigh", reads=("weighted_captions", *TEXT))
def brackets_weigh(start: PlannedStart) -> Iterator[Finding]:
    for part in parts(start.setup):
        found = part.images_where(_WEIGHING.search)
        if start.setup.on("weighted_captions") and found:
            said = f"{part.subset.where}: {names(found)}"
            yield finding("brackets-weigh", said, option="weighted_captions")


@check(
    "base-weights-text",
    "network-weights-text",
    reads=("base_weights", "network_weights", "network_train_unet_only"),
)
def weights_text(start: PlannedStart) -> Iterator[Finding]:
    """What is merged into the base, or goes on being trained, acts in the text encoders from the first step.

    It is known by the names in its header; no other kind of file is believed. With network_train_unet_only
    the network has no parts for text encoders, and loads none; what is merged is merged all the same.
    """
    setup = start.setup
    named = [("base_weights", word) for word in words(setup, "base_weights")]
    unet_only, own = setup.on("network_train_unet_only"), setup.text("network_weights")
    named += [("network_weights", own)] if own and not unet_only else []
    for option, word in named:
        fault, file = "", Path(word)
        if not file.is_absolute() or file.suffix != ".safetensors":
            fault = "no whole path of a .safetensors file"
        else:
            try:
                entries = read_whole_header(file).entries
                fault = names(name for name in entries if not name.startswith(_UNET))
            except EncoderError as problem:
                fault = problem.message
        if fault:
            code = "base-weights-text" if option == "base_weights" else "network-weights-text"
            yield finding(code, f"{word}: {fault}", option=option)


@check("dropout-nearly-always", reads=_DROPPING)
def dropout(start: PlannedStart) -> Iterator[Finding]:
    """What single options leave of the captions, and all of them together."""
    for part in parts(start.setup):
        rates = {name: part.number(name) for name in _DROPPING}
        epochs = rates["caption_dropout_every_n_epochs"]  # every epoch is a rule's finding
        rates["caption_dropout_every_n_epochs"] = 1 / epochs if epochs > 1 else 0.0
        dropped = 1 - math.prod(1 - rate for rate in rates.values())
        if dropped >= _HARDLY - _ROUNDING:
            said = ", ".join(f"{name} {part.number(name):g}" for name, rate in rates.items() if rate > 0)
            first = max(rates, key=lambda name: rates[name])
            yield finding("dropout-nearly-always", f"{part.subset.where}: {said}", option=first)


@check("output-name-path", reads=_NAMES)
def names_plain(start: PlannedStart) -> Iterator[Finding]:
    for name in _NAMES:
        text = start.setup.text(name)
        path = PureWindowsPath(text)  # which parts at both separators
        leads_out = bool(path.anchor) or ".." in path.parts
        if leads_out or (name == "output_name" and text != path.name):
            yield finding("output-name-path", f"{name} {text!r}", option=name)


@check("path-relative", reads=(*_PATHS, "image_dir"))
def path_relative(start: PlannedStart) -> Iterator[Finding]:
    """Paths that the trainer would look for elsewhere than they were looked for here."""
    setup = start.setup
    for name in _PATHS:
        named, path = setup.text(name), setup.path(name)
        if path is not None and not Path(named).is_absolute() and (name != "vae" or path.exists()):
            yield finding("path-relative", named, option=name)
    for subset in setup.subsets or ():
        named = str(subset.values.get("image_dir") or "")
        if named and not Path(named).is_absolute():
            yield finding("path-relative", f"{subset.where}: {named}", option="image_dir")


@audit_check("tokens-not-certified", reads=("max_token_length",))
def tokens_certified(start: AuditedStart) -> Iterator[Finding]:
    certified = start.audit.meta.limits.max_tokens
    trained = int(start.setup.number("max_token_length")) or WINDOW
    longest = max((count for count in rows(start.audit.table, "tokens") if count is not None), default=0)
    if trained != certified and longest > min(trained, certified):
        yield finding(
            "tokens-not-certified",
            f"{trained} are trained, {certified} were certified, the longest caption has {longest}",
            option="max_token_length",
        )


@audit_check("encoders-differ", reads=("pretrained_model_name_or_path",))
def encoders_certified(start: AuditedStart) -> Iterator[Finding]:
    """A proof holds for the encoders that gave it. Reads 1.6 GB of a full-size checkpoint."""
    option, meta = "pretrained_model_name_or_path", start.audit.meta
    base = start.setup.path(option)
    if base is None:
        return  # a rule's finding
    if not base.exists():
        yield finding("encoders-differ", f"they cannot be compared: {base} is not there", option=option)
        return
    try:
        found = fingerprint_of(str(base))
    except EncoderError as problem:
        yield finding("encoders-differ", f"they cannot be compared: {problem.message}", option=option)
        return
    if found != meta.encoder_fingerprint:
        yield finding("encoders-differ", f"{base}; certified in {meta.encoders}", option=option)


@check("rendered-caption-changed", "rendered-caption-missing", "rendered-image-missing", "rendered-foreign")
def rendered_unchanged(start: PlannedStart) -> Iterator[Finding]:
    yield from changed(start.run, start.plan)


@check("caches-stale")
def caches_fresh(start: PlannedStart) -> Iterator[Finding]:
    """Caches of an old text count even where this run reads none: the next one may.

    So does a folder's cache that cannot be read here: nothing can be compared, and its age proves nothing.
    """
    stale = []
    for subset, images in zip(start.setup.subsets or (), start.setup.images or (), strict=True):
        if subset.folder is not None:
            unread = FOLDER_CACHE in images.caches and folder_cache(subset.folder / FOLDER_CACHE) is None
            found = dict.fromkeys((*images.stale, *([FOLDER_CACHE] if unread else [])))
            stale += [subset.folder / name for name in found]
    if stale:
        yield finding("caches-stale", some(stale, _NAMED))


@check("plan-edited")
def plan_edited(start: PlannedStart) -> Iterator[Finding]:
    if start.edits:
        told = (f"{one['name']} {one['now']}" for one in start.edits)
        yield finding("plan-edited", some(told, _NAMED))


CHECKS = (
    another_running, run_copied, audit_there, audit_passed, audit_follows, limit_weak, measure_other,
    dataset_drifted, plan_outdated, dataset_foreign, rendered_own_tags, captions_altered, brackets_weigh,
    weights_text, dropout, names_plain, path_relative, tokens_certified, encoders_certified,
    rendered_unchanged, caches_fresh, plan_edited,
)  # fmt: skip
"""Every check of the gate, in the order in which they are asked."""
