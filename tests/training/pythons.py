"""Real Pythons for tests, in environments of their own, with stand-ins for the packages of a trainer.

A stand-in is a small module with a version: what it would take gigabytes and a GPU to have. Nothing in it
computes; it imports, or fails to, as the real one may.
"""

from __future__ import annotations

import json
import venv
from pathlib import Path

from tagflow.training.sd_scripts.environment import SCRIPT

_GPU = """
class _Number:
    def __init__(self, *_, **__): self.grad = None
    def __add__(self, other): return self
    def sum(self): return self
    def __float__(self): {adds}
class _About:
    name, major, minor, total_memory = "Stand-in GPU", {major}, 0, {total}
class cuda:
    is_available = staticmethod(lambda: {available})
    device_count = staticmethod(lambda: 1)
    get_device_properties = staticmethod(lambda index: _About)
    mem_get_info = staticmethod(lambda index: ({free}, {total}))
    synchronize = staticmethod(lambda: None)
class version:
    cuda, hip = {built!r}, None
class nn:
    Parameter = _Number
ones, ones_like, float16 = _Number, _Number, "float16"
"""
GIB = 1 << 30
WORKING = {
    "numpy": ("numpy", "2.4.6", ""),
    "torchvision": ("torchvision", "0.21.0", "transforms = 1"),
    "safetensors": ("safetensors/torch", "0.4.5", "save_file = 1"),
    "huggingface-hub": ("huggingface_hub", "0.34.3", "hf_hub_download = 1"),
    "transformers": ("transformers", "4.54.1", "CLIPTextModelWithProjection = 1"),
    "diffusers": ("diffusers", "0.32.1", "DDPMScheduler = 1"),
    "accelerate": ("accelerate", "1.6.0", "Accelerator = 1"),
    "opencv-python-headless": ("cv2", "4.10.0.84", "resize = 1"),
    "pillow": ("PIL/Image", "11.0.0", ""),
    "tensorboard": ("tensorboard/summary", "2.18.0", ""),
    "ftfy": ("ftfy", "6.3.1", "fix_text = 1"),
    "voluptuous": ("voluptuous", "0.15.2", "Schema = 1"),
    "toml": ("toml", "0.10.2", "load = 1"),
    "einops": ("einops", "0.7.0", "rearrange = 1"),
    "imagesize": ("imagesize", "1.4.1", "get = 1"),
    "rich": ("rich/logging", "14.1.0", "RichHandler = 1"),
    "bitsandbytes": (
        "bitsandbytes",
        "0.45.0",
        "class optim:\n    class AdamW8bit:\n        def __init__(self, p): pass\n"
        "        def step(self): pass\nimport sys; sys.modules['bitsandbytes.optim'] = optim",
    ),
}


def make_python(folder):
    """A new environment without any package; its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    return next(path for path in (folder / "bin/python", folder / "Scripts/python.exe") if path.exists())


def site_packages(python):
    """Where that Python's packages go."""
    root = python.parent.parent
    return next(path for path in (*root.glob("lib/python3.*/site-packages"), root / "Lib/site-packages"))


def stand_in(python, distribution, module, version, code=""):
    """Install one: its metadata and one module, in packages where its name has parts."""
    site = site_packages(python)
    about = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    parts = Path(module).parts
    for depth in range(1, len(parts) + 1):
        package = site.joinpath(*parts[:depth])
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text(code if depth == len(parts) else "")


def torch(python, version="2.6.0", *, built="12.4", major=8, total=24 * GIB, free=None, works=True):
    """Install a stand-in for torch that says it has one GPU, or none: `total` is None."""
    adds = "return 4.0" if works else "raise RuntimeError('CUDA error: no kernel image is available')"
    code = _GPU.format(
        adds=adds, major=major, total=total or 0, free=free or total or 0, built=built, available=bool(total)
    )
    stand_in(python, "torch", "torch", version, code)


def all_packages(python, **gpu):
    """Install stand-ins for all that a trainer needs."""
    torch(python, **gpu)
    for name, (module, version, code) in WORKING.items():
        stand_in(python, name, module, version, code)
    stand_in(python, "accelerate", "accelerate/commands/launch", "1.6.0", "main = 1")
    (site_packages(python) / "accelerate" / "__init__.py").write_text("Accelerator = 1")


def make_sd_scripts(folder, version="0.10.1"):
    """A folder that looks like sd-scripts', with a git HEAD; no script of it runs."""
    (folder / "library").mkdir(parents=True)
    (folder / SCRIPT).write_text("raise ImportError('No module named voluptuous')\n")
    (folder / "README.md").write_text(
        f"# Scripts\n\n- **Version {version} (2026-02-13):**\n- **Version 0.9.9:**\n"
    )
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("48d368fa557731ad0488c07304dfeba8c07910eb\n")
    return folder


def make_run(folder, options, plan=None):
    """A run folder with these options of the trainer and this plan; its dataset is empty."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.toml").write_text('[[datasets]]\n[[datasets.subsets]]\nimage_dir = "images"\n')
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    lines.append(f"dataset_config = {json.dumps(str(folder / 'dataset.toml'))}")
    (folder / "train.toml").write_text("\n".join(lines))
    (folder / "plan.json").write_text(json.dumps({"schema": "tagflow.plan/1", **(plan or {})}))
    return folder
