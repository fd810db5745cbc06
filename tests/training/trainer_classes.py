"""Run by the trainer's own Python: what the classes of optimizers and schedulers there take, by trying them.

Arguments: modules, whose classes are asked (default: all that classes.json knows). The last line of stdout is
JSON: for each class or function by its full name its arguments, and what came of odd values and of two rates.
A module that does not import is named under `absent`. make_classes.py makes classes.json of it.
"""

import ast
import contextlib
import importlib
import inspect
import io
import json
import sys
import warnings
from functools import partial

MODULES = (
    "torch.optim", "transformers.optimization", "prodigyopt", "lion_pytorch", "schedulefree", "dadaptation",
    "dadaptation.experimental", "prodigyplus", "bitsandbytes.optim", "pytorch_optimizer",
)  # fmt: skip
OF_SCHEDULERS = (
    "torch.optim.lr_scheduler", "transformers.optimization", "diffusers.optimization", "pytorch_optimizer",
)  # fmt: skip
GIVEN = ("self", "params", "optimizer", "lr")
NEEDED = {  # what some must be given to be tried at all
    "transformers.optimization.Adafactor": {"relative_step": False, "scale_parameter": False},
    **{f"bitsandbytes.optim.{name}": {"momentum": 0.9}
       for name in ("SGD", "SGD8bit", "SGD32bit", "LARS", "LARS8bit", "LARS32bit")},
}  # fmt: skip
SCHEDULED = {  # the same for schedulers, by the names of their arguments
    "T_max": 10, "T_0": 10, "step_size": 10, "gamma": 0.9, "milestones": [2], "base_lr": 0.1, "max_lr": 1.0,
    "total_steps": 100, "first_cycle_steps": 100, "num_warmup_steps": 0, "num_training_steps": 100,
    "num_decay_steps": 10, "num_stable_steps": 80, "num_epochs": 5, "step_rules": "1:10,0.1",
    "min_lr_rate": 0.1,
}  # fmt: skip
STEPS = 3


def kind_of(default, hint):
    """flag, number, numbers (how many), text, or any."""
    if isinstance(default, bool):
        return "flag"
    if isinstance(default, (int, float)):
        return "number"
    if isinstance(default, (tuple, list)) and all(
        isinstance(one, (int, float, type(None))) for one in default
    ):
        return f"numbers{len(default)}"
    if isinstance(default, str):
        return "text"
    text = hint if isinstance(hint, str) else getattr(hint, "__name__", "") + " " + str(hint)
    if any(word in text.lower() for word in ("tuple", "callable", "list", "iterable")):
        return "any"
    if "bool" in text:
        return "flag"
    if "float" in text or "int" in text.replace("inspect", ""):
        return "number"
    return "any"


def arguments(thing):
    """Its own arguments beside those that sd-scripts gives; and whether it takes any others."""
    found, rest = [], False
    for one in inspect.signature(thing).parameters.values():
        if one.kind is one.VAR_KEYWORD:
            rest = True
        elif one.kind is not one.VAR_POSITIONAL and one.name not in GIVEN:
            required = one.default is one.empty
            default = None if required else one.default
            hint = "" if one.annotation is one.empty else one.annotation
            plain = isinstance(default, (bool, int, float, str, tuple, list, type(None))) and "<" not in repr(
                default
            )
            shown = "" if required else (repr(default) if plain else "None")
            found.append({"name": one.name, "kind": kind_of(default, hint), "default": shown})
    return found, rest


def groups(torch, rates):
    torch.manual_seed(1)
    return [
        {"params": [torch.nn.Parameter(torch.randn(8, 4)), torch.nn.Parameter(torch.randn(4, 8))], "lr": rate}
        for rate in rates
    ]


def tried(torch, kind, rates, **more):
    """Why it stops: `init X` or `step X` with the exception's name; empty where it trains."""
    at = "init"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            made = kind(groups(torch, rates), lr=rates[0], **more)
            at = "step"
            if hasattr(made, "train"):
                made.train()
            for _ in range(STEPS):
                for group in made.param_groups:
                    for one in group["params"]:
                        one.grad = torch.randn_like(one)
                made.step()
                made.zero_grad()
        except Exception as problem:  # whatever the class raises is the answer
            return f"{at} {type(problem).__name__}"
    return ""


def limits(stops):
    """The numbers that it refuses as it is made, as an interval: `[0,1)`; empty for none.

    `stops`: how it ends with one value.
    """
    below, nought, half, one, above = (
        stops(value).startswith("init ValueError") for value in (-0.5, 0.0, 0.5, 1.0, 2.0)
    )
    if (half and one and above) or not (below or one or above):
        return ""
    low = "(0" if below and nought else "[0" if below else "(-inf"
    high = "1)" if one and above else "1]" if above else "inf)"
    return f"{low},{high}"


def with_value(ends, name, value):
    return ends(**{name: value})


def one_by_one(ends, name, usual):
    """How it ends with another number at each place."""

    def placed(at, value):
        return ends(**{name: (*usual[:at], value, *usual[at + 1 :])})

    return [partial(placed, at) for at in range(len(usual))]


def odd_values(kind):
    if kind == "number":
        return {"tuple": (0.5,), "text": "0.5", "none": None}
    if kind == "flag":
        return {"tuple": (False,), "text": "False", "none": None}
    if kind.startswith("numbers"):
        many = int(kind[7:])
        return {
            "number": 0.9,
            "short": (0.9,) * (many - 1),
            "long": (0.9,) * (many + 1),
            "text": "0.9",
            "none": None,
        }
    return {"tuple": (0.5,), "text": "0.5"} if kind == "any" else {}


def asked(torch, kind, base):
    def ends(rates=(1e-3, 1e-3), **more):
        return tried(torch, kind, rates, **{**base, **more})

    usual = ends()
    found, rest = arguments(kind)
    row = {"arguments": found, "rest": rest and not usual and not ends(no_such_argument=1), "usual": usual}
    if usual.startswith("init"):
        return row
    row["several"], row["equal"] = ends((1.0, 0.5)), ends((1.0, 1.0))
    row["limits"] = {"lr": limits(lambda rate: ends((rate, rate)))}
    row["odd"] = {}
    for one in found:
        name, what = one["name"], one["kind"]
        if what == "number":
            row["limits"][name] = limits(partial(with_value, ends, name))
        elif what.startswith("numbers"):
            each = [limits(stops) for stops in one_by_one(ends, name, ast.literal_eval(one["default"]))]
            row["limits"][name] = each[0] if len(set(each)) == 1 else " ".join(one or "-" for one in each)
        row["odd"][name] = {word: ends(**{name: value}) for word, value in odd_values(what).items()}
    return row


def asked_of_scheduler(torch, thing):
    found, rest = arguments(thing)
    base = {one["name"]: SCHEDULED[one["name"]] for one in found if one["name"] in SCHEDULED}

    def ends(**more):
        optimizer = torch.optim.AdamW(groups(torch, (1.0, 0.5)), lr=1.0)
        at = "init"
        try:
            made = thing(optimizer, **{**base, **more})
            at = "step"
            for _ in range(STEPS):
                optimizer.step()
                made.step()
        except Exception as problem:  # whatever the class raises is the answer
            return f"{at} {type(problem).__name__}"
        return ""

    row = {"arguments": found, "rest": rest, "usual": ends()}
    if not row["usual"]:
        named = {one["name"]: one["kind"] for one in found}
        row["odd"] = {
            name: {word: ends(**{name: value}) for word, value in odd_values(kind).items()}
            for name, kind in named.items()
        }
    return row


def main(wanted):
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows, schedulers, absent = {}, {}, []
    for module in wanted or dict.fromkeys((*MODULES, *OF_SCHEDULERS)):
        try:
            loaded = importlib.import_module(module)
        except Exception as problem:  # packages fail to import with errors of all kinds
            absent.append(f"{module}: {problem}")
            continue
        for name, thing in sorted(vars(loaded).items()):
            if name.startswith("_"):
                continue
            if getattr(thing, "__module__", "").split(".")[0] != module.split(".")[0]:
                continue  # imported there from another package
            path, is_class = f"{module}.{name}", inspect.isclass(thing)
            optimizer = is_class and issubclass(thing, torch.optim.Optimizer)
            if module in MODULES and optimizer and name not in ("Optimizer", "LBFGS"):
                rows[path] = asked(torch, thing, NEEDED.get(path, {}))
            if module in OF_SCHEDULERS and name not in ("LRScheduler", "get_scheduler"):
                of_class = is_class and issubclass(thing, torch.optim.lr_scheduler.LRScheduler)
                if of_class or (
                    inspect.isfunction(thing) and name.startswith("get_") and "_schedule" in name
                ):
                    schedulers[path] = asked_of_scheduler(torch, thing)
    print("\n" + json.dumps({"optimizers": rows, "schedulers": schedulers, "absent": absent}))


main(sys.argv[1:])
