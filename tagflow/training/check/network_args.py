"""Rules about --network_args: what the network module reads of it; open it for an argument that stops a run.

What each module takes is data, sd_scripts/networks.toml; other modules than those are not looked into.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import misspelt, short
from tagflow.training.check.derived import network_words, words
from tagflow.training.check.registry import rule
from tagflow.training.sd_scripts.networks import (
    DYLORA,
    LORA,
    LYCORIS,
    OFT,
    WEIGHTS,
    Argument,
    algorithm,
    by_blocks,
    is_true,
    networks,
)
from tagflow.training.setup.setup import Setup

_OPTION = "network_args"
_READS = ("network_args", "network_module")
_JOINED = re.compile(r"[\s,;]([A-Za-z_]\w*+)=")  # the next argument, in the same word
_OFF = ("", "0", "0.0", "false", "no", "off", "none", "-1")
_READ_WITH_WEIGHTS = (*WEIGHTS, "block_lr_zero_threshold")  # by create_network_from_weights of networks.lora
_SMALLEST_BOFT = 10  # the least network_dim by which all of SDXL's sizes can be parted


def _known(setup: Setup) -> Mapping[str, Argument]:
    return networks().arguments.get(setup.text("network_module"), {})


def _convolutions(given: Mapping[str, str]) -> bool:
    """Whether LyCORIS' preset has those of 3 x 3; one of somebody's own may."""
    return networks().presets.get(given.get("preset", "full"), True)


@rule("network-args-form", reads=("network_args",))
def network_args_form(setup: Setup) -> Iterator[Finding]:
    for word in words(setup, _OPTION):
        if "=" not in word:
            yield finding("network-args-form", word, option=_OPTION)


@rule("network-args-joined", "network-args-twice", reads=("network_args",))
def network_args_words(setup: Setup) -> Iterator[Finding]:
    for word in words(setup, _OPTION):
        if found := _JOINED.search(word.partition("=")[2]):
            at, second = word.index("=") + 1 + found.start(), found[1]
            first, rest = word[:at].rstrip(" ,;\t"), word[at + 1 :]
            detail = f"{short(word)}: {second} is read as a part of what stands before it"
            yield finding("network-args-joined", detail, option=_OPTION, cure=f'write "{first}" "{rest}"')
    parted = {word.partition("=")[::2] for word in words(setup, _OPTION) if "=" in word}
    several = Counter(name for name, _ in parted)  # the same word twice does no harm
    for name in sorted(name for name, count in several.items() if count > 1):
        yield finding("network-args-twice", f"{name}={network_words(setup)[name]} is taken", option=_OPTION)


@rule("network-args-unknown", reads=_READS)
def network_args_unknown(setup: Setup) -> Iterator[Finding]:
    known, module = _known(setup), setup.text("network_module")
    for name in network_words(setup) if known else ():
        if name not in known and name not in networks().own:
            of_lycoris = module != LYCORIS and name in networks().arguments[LYCORIS]
            cure = f"set network_module to {LYCORIS}, whose argument it is" if of_lycoris else ""
            detail = f"{module}: {misspelt(name, known)}"
            yield finding("network-args-unknown", detail, option=_OPTION, cure=cure)


@rule("network-args-refused", reads=(*_READS, "network_dim", "dim_from_weights"))
def network_args_refused(setup: Setup) -> Iterator[Finding]:
    """What create_network raises, after the model was loaded."""
    given, known = network_words(setup), _known(setup)
    reasons: dict[str, str] = {}
    for name, text in given.items() if known else ():
        if _JOINED.search(text):
            continue  # said already
        if name in networks().own and not setup.on("dim_from_weights"):
            reasons[name] = "TypeError: create_network has a parameter of that name, set by an option"
        elif name in known and _is_read(name, setup) and (why := known[name].fault(text, networks().shapes)):
            reasons[name] = why
    if known and not setup.on("dim_from_weights"):
        for name, why in _unfit(setup, given):
            reasons.setdefault(name, why)
    for name, why in reasons.items():
        yield finding("network-args-refused", f"{name}={short(given.get(name, ''))}: {why}", option=_OPTION)


def _is_read(name: str, setup: Setup) -> bool:
    """Whether the module looks at an argument's text at all."""
    given, argument, module = network_words(setup), _known(setup)[name], setup.text("network_module")
    if setup.on("dim_from_weights"):
        return module == LORA and name in _READ_WITH_WEIGHTS
    if module == LYCORIS:  # it reads all but one for every algorithm
        return name != "factor" or algorithm(given) == "lokr"
    return _is_read_alone(argument, given)


def _unfit(setup: Setup, given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Arguments that can be read and do not fit the others: (name, what is raised)."""
    module, known = setup.text("network_module"), _known(setup)
    dim = 4 if setup.values.get("network_dim") is None else int(setup.number("network_dim"))
    whole = {name: _whole(given.get(name, "")) for name in ("conv_dim", "unit", "block_size")}
    conv, unit, block = whole["conv_dim"], whole["unit"], whole["block_size"] or 4
    if module in (LORA, "networks.lora_fa") and conv is not None and conv < 0:
        yield "conv_dim", "RuntimeError: negative dimension"
    dims = given.get("block_dims", "") if module == LORA else ""
    if dims and not known["block_dims"].fault(dims, ()) and min(map(int, dims.split(","))) < 0:
        yield "block_dims", "RuntimeError: negative dimension"
    if module == DYLORA and conv is not None and conv != dim:
        yield "conv_dim", f"AssertionError: it must be network_dim, which is {dim}"
    if module == DYLORA and unit is not None and (unit == 0 or dim % unit):
        yield "unit", f"network_dim {dim} is no multiple of it"
    if module != LYCORIS:
        return
    algo, preset, algorithms = algorithm(given), given.get("preset", "full"), networks().algorithms
    if algo not in algorithms:
        yield "algo", f"KeyError; LyCORIS has {', '.join(algorithms)}"
    version = "" if setup.machine is None else setup.machine.packages.get("lycoris-lora") or ""
    since, major = algorithms.get(algo, ""), version.partition(".")[0]
    if since and major.isdecimal() and int(major) < int(since):
        yield "algo", f"KeyError: the trainer's lycoris-lora is {version}; it came with version {since}"
    if preset not in networks().presets and not (setup.folder / preset).is_file():
        yield "preset", f"AssertionError: no such file, and none of {', '.join(networks().presets)}"
    if algo == "dylora" and (dim % block or (conv and _convolutions(given) and conv % block)):
        yield "block_size", f"AssertionError: network_dim {dim} and conv_dim must be multiples of {block}"
    if algo == "boft" and dim < _SMALLEST_BOFT:
        yield "algo", f"ValueError: network_dim {dim} parts none of SDXL's sizes; it takes {_SMALLEST_BOFT}"
    if algo == "full" and is_true(given.get("bypass_mode", "false")):
        yield "bypass_mode", "ValueError: the algorithm full has none"


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


@rule("network-args-blocks", "network-args-length", reads=_READS)
def network_args_lists(setup: Setup) -> Iterator[Finding]:
    """Lists by blocks. That of one weight alone must not be too long; with the other it is cut in silence."""
    given, known = network_words(setup), _known(setup)
    for name, argument in known.items():
        if not argument.entries or name not in given or not _is_read_alone(argument, given):
            continue
        text, wanted = given[name], argument.entries
        if argument.fault(text, networks().shapes) or (argument.type == "weights" and "," not in text):
            continue
        count = text.count(",") + 1
        if count == wanted:
            continue
        detail = f"{name} has {count} for {wanted} blocks"
        other = {"down_lr_weight": "up_lr_weight", "up_lr_weight": "down_lr_weight"}.get(name)
        if argument.type in ("ints", "floats"):
            yield finding("network-args-blocks", f"{detail}: AssertionError", option=_OPTION)
        elif count > wanted and other is not None and other not in given:
            yield finding("network-args-blocks", f"{detail}: TypeError without {other}", option=_OPTION)
        else:
            how = f"the last {count - wanted} are cut off" if count > wanted else "the rest is filled with 1"
            yield finding("network-args-length", f"{detail}: {how}", option=_OPTION)


def _is_read_alone(argument: Argument, given: Mapping[str, str]) -> bool:
    return not argument.needs or any(needed in given for needed in argument.needs)


@rule("network-args-idle", reads=(*_READS, "dim_from_weights", "network_dropout"))
def network_args_idle(setup: Setup) -> Iterator[Finding]:
    """Arguments that nobody reads; one that says what holds anyway is not worth a word."""
    given, known, module = network_words(setup), _known(setup), setup.text("network_module")
    algo = algorithm(given) if module == LYCORIS else ""
    for name, text in given.items():
        argument = known.get(name)
        if argument is None or text.lower() in _OFF:
            continue
        why = ""
        if setup.on("dim_from_weights") and not _is_read(name, setup):
            why = "with dim_from_weights the file decides"
        elif argument.instead:
            why = f"{module} does not read it; what does is {argument.instead}"
        elif not _is_read_alone(argument, given):
            why = f"it needs {' or '.join(argument.needs)}"
        elif algo and argument.algos and algo not in argument.algos:
            why = f"the algorithm {algo} does not use it, but {', '.join(argument.algos)}"
        elif algo and name in ("conv_dim", "conv_alpha") and not _convolutions(given):
            why = f"the preset {given['preset']} has no convolutions of 3 x 3"
        if why:
            yield finding("network-args-idle", f"{name}={short(text)}: {why}", option=_OPTION)
    if known and "dropout" not in given and setup.number("network_dropout"):
        weighed = algo in ("lora", "locon") and is_true(given.get("dora_wd", "false"))
        unused = bool(algo) and (weighed or algo not in known["dropout"].algos)
        if module in (DYLORA, OFT) or unused:
            what = f"{algo} with dora_wd" if weighed else algo or module
            yield finding("network-args-idle", f"{what} drops nothing", option="network_dropout")


@rule("network-args-flag", reads=_READS)
def network_args_flag(setup: Setup) -> Iterator[Finding]:
    """Flags that say no and are taken for yes: only `false` is no, and to some even that is yes."""
    given, known = network_words(setup), _known(setup)
    for name, text in given.items():
        kind, low = known[name].type if name in known else "", text.lower()
        algos = known[name].algos if name in known else ()
        if algos and algorithm(given) not in algos:
            continue
        former = name in ("use_cp", "use_conv_cp")
        if former and is_true(given.get("use_tucker", text)) != is_true(text):
            detail = f"{name}={text}: a former name of use_tucker, which it overrules"
            yield finding("network-args-flag", detail, option=_OPTION, cure=f"leave {name} out")
        elif name == "disable_conv_cp":
            if is_true(text):
                detail = f"{name}={text}: it is taken for use_tucker={text}"
                yield finding("network-args-flag", detail, option=_OPTION, cure="leave it out")
        elif kind == "given" and name != "warn_on_unmatched" and text and low in _OFF:
            detail = f"{name}={text}: any text turns it on"
            yield finding("network-args-flag", detail, option=_OPTION, cure=f"leave {name} out")
        elif kind == "flag" and low in _OFF and low != "false":
            detail = f"{name}={text}: it is taken for true"
            yield finding("network-args-flag", detail, option=_OPTION, cure=f"write {name}=False")


@rule("network-conv-alpha", reads=_READS)
def network_conv_alpha(setup: Setup) -> Iterator[Finding]:
    """LyCORIS takes network_alpha instead."""
    given, known = network_words(setup), _known(setup)
    of_sd_scripts = "conv_dim" in known and setup.text("network_module") != LYCORIS
    if of_sd_scripts and "conv_alpha" not in given and (_whole(given.get("conv_dim", "")) or 0) > 1:
        yield finding("network-conv-alpha", f"conv_dim={given['conv_dim']}", option=_OPTION)


@rule(
    "network-nothing",
    reads=(*_READS, "network_dim", "dim_from_weights", "network_train_unet_only",
           "network_train_text_encoder_only"),
)  # fmt: skip
def network_nothing(setup: Setup) -> Iterator[Finding]:
    """No module is made at all, or none of the U-Net's."""
    given, module, dim = network_words(setup), setup.text("network_module"), setup.values.get("network_dim")
    if setup.on("dim_from_weights") or not _known(setup):
        return
    text_only, conv = setup.on("network_train_text_encoder_only"), _whole(given.get("conv_dim", ""))
    if isinstance(dim, int) and dim < 1:
        by_args = (conv or 0) > 0 if module != LYCORIS else (conv or 0) > 0 and _convolutions(given)
        by_args |= module == LORA and any((_whole(one) or 0) > 0 for one in _blocks(given))
        if not by_args or module in (DYLORA, OFT) or (dim < 0 and module != LYCORIS):
            why = "RuntimeError" if dim < 0 and module != LYCORIS else "no module is made"
            yield finding("network-nothing", f"network_dim {dim}: {why}", option="network_dim")
            return
    if module == OFT and text_only:
        yield finding("network-nothing", f"{OFT} makes no modules for text encoders", option="network_module")
    elif module == LYCORIS and given.get("preset") == "ia3":
        why = "the preset ia3 knows the names of Diffusers' U-Net; in sd-scripts' it finds nothing"
        yield finding("network-nothing", why, option=_OPTION, cure="leave preset=ia3 out")
    elif module == LORA and not text_only and _all_zero(given):
        alone = setup.on("network_train_unet_only")
        why = "every block of the U-Net is 0" + ("" if alone else ": only the text encoders are trained")
        yield finding("network-nothing", why, option=_OPTION, severity=None if alone else "warning")


def _blocks(given: Mapping[str, str]) -> list[str]:
    """The dims of the blocks that can have modules; the first and the last one have none."""
    return given["block_dims"].split(",")[1:-1] if "block_dims" in given else []


def _all_zero(given: Mapping[str, str]) -> bool:
    """Whether networks.lora makes no module of the U-Net: by weights of 0 for every block, or dims of 0."""
    known, shapes = networks().arguments[LORA], networks().shapes
    names = [*WEIGHTS, "block_lr_zero_threshold", "block_dims"]
    if any(known[name].fault(given[name], shapes) for name in names if name in given):
        return False
    least = float(given.get("block_lr_zero_threshold", 0))
    if all(name in given for name in WEIGHTS):
        weights = [one for name in WEIGHTS for one in by_blocks(given[name], known[name].entries)]
        if max(weights) <= least:
            return True
    dims = _blocks(given)
    convolved = "conv_block_dims" in given or (_whole(given.get("conv_dim", "")) or 0) > 0
    return bool(dims) and not convolved and not any(map(int, dims))
