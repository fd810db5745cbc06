"""Rules about the network that is trained, its module and size; open it for --network_module, --network_dim.

Its arguments are in network_args.py, the weights that it begins with in network_weights.py. What SDXL does
not take (clip_skip, v2) is here, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import network_words
from tagflow.training.check.registry import rule
from tagflow.training.sd_scripts.networks import DYLORA, LYCORIS, OFT, algorithm, is_true, networks
from tagflow.training.setup.setup import Setup

# Of LyCORIS' algorithms those whose result is multiplied by alpha / dim.
_SCALED = ("lora", "locon", "loha", "lokr", "dylora", "glora", "tlora")
# What front ends call these two, or an older version did.
_OWN_PLACES = ("networks", "network", "lycoris")


@rule(
    "network-module-missing",
    "network-module-other",
    "network-module-unknown",
    "network-module-foreign",
    reads=("network_module",),
)
def network_module(setup: Setup) -> Iterator[Finding]:
    """A module of the copy that will train counts as it lies there, where that copy is known."""
    module, known, option = setup.text("network_module"), networks(), "network_module"
    if not module:
        yield finding("network-module-missing", option=option)
        return
    if module in known.other_models:
        yield finding("network-module-other", module, option=option)
        return
    place, _, name = module.partition(".")
    if place == "networks" and setup.sd_scripts is not None and name.isidentifier():
        file, why = setup.sd_scripts / "networks" / f"{name}.py", ""
        try:
            source = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
        except OSError:
            return
        if source is None:
            why = f"{file.parent} has no {file.name}"
        elif "def create_network(" not in source:
            why = f"{file} makes no network"
    elif module in known.programs:
        why = f"{module} is a program, and makes no network"
    elif module in (*known.sdxl, *known.packages):
        return
    else:
        why = f"sd-scripts has no {module}" if place == "networks" else f"there is no {module}"
    if not why:
        return
    last = module.lower().strip().removesuffix(".py").replace("\\", "/").rpartition(".")[2].rpartition("/")[2]
    own = place.lower().strip() in _OWN_PLACES or last in (*known.algorithms, "kohya", "oft", "lora_fa")
    near = get_close_matches(module.lower(), (*known.sdxl, *known.packages), n=1, cutoff=0.8)
    whole = all(part.isidentifier() for part in module.split("."))
    if place != "networks" and whole and not (own or near):
        yield finding("network-module-foreign", module, option=option)
        return
    if f"networks.{last}" in known.sdxl:
        cure = f"set network_module to networks.{last}"
    elif last in known.algorithms:
        cure = f"set network_module to {LYCORIS} and network_args to algo={last}; its package is lycoris-lora"
    else:
        meant = [LYCORIS] if place.lower() == "lycoris" else near
        cure = f"set network_module to {meant[0]}" if meant else ""
    yield finding("network-module-unknown", why, option=option, cure=cure)


@rule("network-package-missing", reads=("network_module",), needs=("machine",))
def network_package(setup: Setup) -> Iterator[Finding]:
    package = networks().packages.get(setup.text("network_module"))
    if package is not None and setup.machine is not None and not setup.machine.has(package):
        why = f"{setup.machine.python} has no {package}"
        yield finding("network-package-missing", why, option="network_module")


@rule("network-module-text", reads=("network_module", "network_train_unet_only"))
def network_module_text(setup: Setup) -> Iterator[Finding]:
    module = setup.text("network_module")
    if module in (DYLORA, OFT) and not setup.on("network_train_unet_only"):
        how = {
            DYLORA: "it names the parts of both text encoders alike, lora_te_..., and saves one of each two",
            OFT: "it makes no modules for text encoders",
        }
        yield finding("network-module-text", f"{module}: {how[module]}", option="network_module")


@rule(
    "network-dim-default",
    "network-alpha-default",
    "network-alpha-large",
    "network-alpha-zero",
    reads=("network_dim", "network_alpha", "network_module", "network_args", "dim_from_weights"),
)
def network_size(setup: Setup) -> Iterator[Finding]:
    """The scale of what is learned is alpha over dim; some algorithms have none."""
    module = setup.text("network_module")
    if setup.on("dim_from_weights") or not module:
        return
    if any(one.option in ("network_dim", "network_alpha") for one in setup.faults):
        return  # one of them is no number, which is said already; what it would be is not known
    unset, alpha = setup.values.get("network_dim") is None, setup.number("network_alpha")
    dim = 4 if unset else setup.number("network_dim")
    if unset:
        yield finding("network-dim-default", option="network_dim")
    given = network_words(setup)
    whole = is_true(given.get("full_matrix", "false"))
    if dim < 1 or module == OFT or (module == LYCORIS and (whole or algorithm(given) not in _SCALED)):
        return
    if "network_alpha" not in setup.given:
        if dim > 1:
            what = f"dim {dim:g}: scale {1 / dim:.3g}"
            yield finding("network-alpha-default", what, option="network_alpha")
    elif alpha > dim:
        yield finding("network-alpha-large", f"alpha {alpha:g}, dim {dim:g}", option="network_alpha")
    elif not alpha:
        yield finding("network-alpha-zero", f"dim {dim:g}", option="network_alpha")


@rule("clip-skip", reads=("clip_skip",))
def clip_skip(setup: Setup) -> Iterator[Finding]:
    if setup.values.get("clip_skip") is not None:
        yield finding("clip-skip", f"{setup.number('clip_skip'):g}", option="clip_skip")


@rule("v2-model", reads=("v2",))
def v2_model(setup: Setup) -> Iterator[Finding]:
    if setup.on("v2"):
        yield finding("v2-model", option="v2")
