"""A program for the trainer's Python, which says what is there; open it to ask for one more package.

It does not run in tagflow's Python, and needs nothing but Python 3.8. Each thing learned is one line on
stdout, `tagflow-says: ` and a JSON object; whatever libraries print goes to stderr. Before a package is
imported its name is said, so that one that ends the process is known, too. Arguments: names of packages that
must not be imported; `class=MODULE.NAME` for each class whose arguments are asked, and `folder=DIR` for
sd-scripts, from which such a class may come, too.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import json
import os
import platform
import sys
import warnings
from importlib import import_module
from typing import Any

MARK = "tagflow-says: "
# By distribution: the modules that stand for it, each with a name that must be in it. Every run takes them,
# where they are there.
IMPORTED = {
    "numpy": [("numpy", "")],
    "torch": [("torch", "nn")],
    "torchvision": [("torchvision", "transforms")],
    "safetensors": [("safetensors.torch", "save_file")],
    "huggingface-hub": [("huggingface_hub", "hf_hub_download")],
    "transformers": [("transformers", "CLIPTextModelWithProjection")],
    "diffusers": [("diffusers", "DDPMScheduler")],
    "accelerate": [("accelerate", "Accelerator"), ("accelerate.commands.launch", "main")],
    "bitsandbytes": [("bitsandbytes.optim", "AdamW8bit")],
    "xformers": [("xformers.ops", "memory_efficient_attention")],
    "opencv-python": [("cv2", "resize")],
    "pillow": [("PIL.Image", "")],
    "tensorboard": [("tensorboard.summary", "")],
    "ftfy": [("ftfy", "fix_text")],
    "voluptuous": [("voluptuous", "Schema")],
    "toml": [("toml", "load")],
    "einops": [("einops", "rearrange")],
    "imagesize": [("imagesize", "get")],
    "rich": [("rich.logging", "RichHandler")],
    "pillow-avif-plugin": [("pillow_avif", "")],
    "pillow-jxl-plugin": [("pillow_jxl", "")],
    "jxlpy": [("jxlpy.JXLImagePlugin", "")],
}
# Optimizers, loggers and launchers that few runs ask for: only their presence is told.
FOUND = {
    "lion-pytorch": "lion_pytorch",
    "schedulefree": "schedulefree",
    "prodigyopt": "prodigyopt",
    "prodigy-plus-schedule-free": "prodigyplus",
    "pytorch-optimizer": "pytorch_optimizer",
    "dadaptation": "dadaptation",
    "lycoris-lora": "lycoris",
    "wandb": "wandb",
    "triton": "triton",
    "deepspeed": "deepspeed",
}
OTHER_NAMES = {
    "opencv-python": ["opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"]
}


def version_of(name: str) -> str | None:
    """The version of an installed distribution; None for none, or one that nobody can read."""
    for one in (name, *OTHER_NAMES.get(name, [])):
        try:
            return importlib.metadata.version(one) or "?"
        except Exception:  # noqa: S112  metadata may be damaged in any way
            continue
    return None


def is_there(module: str) -> bool:
    """Whether a module would be found, without importing it."""
    try:
        return importlib.util.find_spec(module.split(".", maxsplit=1)[0]) is not None
    except Exception:  # a finder of somebody's own may raise anything; nothing is found then
        return False


def why(problem: BaseException) -> str:
    """An exception on one line."""
    lines = str(problem).strip().splitlines()
    return type(problem).__name__ + (": " + lines[0] if lines else "")


def packages() -> tuple[dict[str, str | None], dict[str, str]]:
    """Versions, and what is plainly broken, without importing anything."""
    found, broken = {}, {}
    modules = {name: rows[0][0] for name, rows in IMPORTED.items()}
    modules.update(FOUND)
    for name, module in modules.items():
        found[name] = version_of(name)
        if found[name] is None and is_there(module):
            found[name] = "?"
        elif found[name] is not None and not is_there(module):
            broken[name] = "installed, but its files are not there"
    return found, broken


def imports(name: str) -> str | None:
    """Why a package does not import; None where it does."""
    try:
        for module, member in IMPORTED[name]:
            loaded = import_module(module)
            if member:
                getattr(loaded, member)  # transformers and diffusers import what is asked for
    except (Exception, SystemExit) as problem:
        return why(problem)
    return None


def gpus(torch: Any) -> tuple[list[dict[str, Any]], str | None]:
    """What torch can use, and why it cannot use what is there. Each GPU has to add two numbers."""
    rows: list[dict[str, Any]] = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(index)
        row = {"name": about.name, "capability": [about.major, about.minor], "total": about.total_memory}
        try:
            float((torch.ones(2, device=f"cuda:{index}") + 1).sum())
            rows.append({**row, "free": torch.cuda.mem_get_info(index)[0]})
        except Exception as problem:  # drivers and libraries raise what they like; it is what we report
            return [], f"{about.name}: {why(problem)}"
    return rows, None


def bf16(torch: Any, rows: list[dict[str, Any]]) -> bool:
    """Newer versions of torch say yes where bf16 is only emulated, so NVIDIA's is known by its generation."""
    if not rows:
        return False
    return bool(torch.cuda.is_bf16_supported()) if torch.version.hip else rows[0]["capability"] >= [8, 0]


def of_torch() -> dict[str, Any]:
    """What torch was built for and what it can use; `gpus` is empty where it can use none."""
    torch = import_module("torch")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            rows, problem = gpus(torch)
        except Exception as error:  # as above
            rows, problem = [], why(error)
    built = torch.version.cuda or (torch.version.hip and "ROCm " + torch.version.hip)
    if built and not rows and problem is None and heard:  # a driver too old is only warned of
        problem = str(heard[-1].message).strip().splitlines()[0]
    return {"cuda": built, "gpus": rows, "bf16": bf16(torch, rows), "no_cuda": problem}


def step_in_8_bits() -> None:
    """One step of the optimizer that a run would use."""
    torch, bitsandbytes = import_module("torch"), import_module("bitsandbytes")
    weight = torch.nn.Parameter(torch.ones(8192, device="cuda"))  # fewer numbers are not kept in 8 bits
    weight.grad = torch.ones_like(weight)
    bitsandbytes.optim.AdamW8bit([weight]).step()
    torch.cuda.synchronize()


def attention_by_xformers() -> None:
    """One small attention, for xformers imports even where it was built for another torch."""
    torch, ops = import_module("torch"), import_module("xformers.ops")
    query = torch.ones(1, 8, 1, 64, device="cuda", dtype=torch.float16)
    ops.memory_efficient_attention(query, query, query)
    torch.cuda.synchronize()


WORKS = {"bitsandbytes": step_in_8_bits, "xformers": attention_by_xformers}


def works(name: str) -> str | None:
    """Why a package that imports does not work on the GPU; None where it does."""
    try:
        WORKS[name]()
    except Exception as error:  # whatever it is, it is the answer
        return "imports, but fails on the GPU: " + why(error)
    return None


def of_class(path: str) -> dict[str, Any]:
    """What a class takes: its arguments, each with whether it must be given; or what is not there."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except ImportError as problem:
        return {"lacks": "module", "why": why(problem)}
    except AttributeError as problem:
        return {"lacks": "class", "why": why(problem)}
    except (Exception, SystemExit) as problem:  # a package may fail in any way as it is imported
        return {"lacks": "module", "why": why(problem)}
    try:
        rows = list(inspect.signature(found).parameters.values())[1:]  # params, or the optimizer
    except (TypeError, ValueError):
        return {}
    plain = [
        row for row in rows if row.kind not in (row.VAR_POSITIONAL, row.VAR_KEYWORD) and row.name != "lr"
    ]
    return {
        "arguments": {row.name: row.default is row.empty for row in plain},
        "rest": any(row.kind is row.VAR_KEYWORD for row in rows),
    }


def main(out: Any, skipped: list[str], classes: list[str]) -> None:
    """Write every answer to `out`; the packages `skipped` are not imported."""

    def answer(**what: Any) -> None:
        out.write("\n" + MARK + json.dumps(what) + "\n")
        out.flush()

    found, broken = packages()
    answer(version=platform.python_version(), platform=platform.platform(), packages=found, broken=broken)
    on_gpu = False
    for name in IMPORTED:
        if found[name] is None or name in broken or name in skipped:
            continue
        answer(importing=name)
        problem = imports(name)
        if problem is None and name == "torch":
            of_gpu = of_torch()
            answer(**of_gpu)
            on_gpu = bool(of_gpu["gpus"])
        elif problem is None and on_gpu and name in WORKS:
            problem = works(name)
        if problem is not None:
            answer(broken={name: problem})
    for path in classes:
        answer(importing=path)
        answer(**{"class": {path: of_class(path)}})
    answer(done=True)


if __name__ == "__main__":
    sys.path.pop(0)  # this file's own folder
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints, or a program that it starts, is no answer
    asked = [word[6:] for word in sys.argv[1:] if word.startswith("class=")]
    sys.path += [word[7:] for word in sys.argv[1:] if word.startswith("folder=")]
    main(answers, [word for word in sys.argv[1:] if "=" not in word], asked)
    os._exit(0)  # some libraries crash as Python ends, when all has been said
