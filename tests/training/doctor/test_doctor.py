"""What the doctor says of a Python, its GPU and its packages: each line, and its absence."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from pythons import GIB

from tagflow.findings.catalogue import all_kinds, catalogue
from tagflow.training.doctor.line import Needs
from tagflow.training.doctor.python import PINNED, of_gpus, of_packages, of_python, of_torch
from tagflow.training.machine.probe import Gpu, Machine
from tagflow.training.run_folder import PlanFile, PlannedMemory

ROOT = Path(__file__).parents[3]
GPU = Gpu("RTX", 24 * GIB, 23 * GIB, (8, 9))
VERSIONS = dict.fromkeys(
    "torchvision numpy safetensors opencv-python pillow voluptuous toml einops imagesize rich ftfy "
    "tensorboard xformers bitsandbytes".split(),
    "1.0",
)
MACHINE = Machine(
    python=Path("/trainer/bin/python"),
    python_version="3.10.6",
    platform="Linux",
    packages={**VERSIONS, **PINNED, "torch": "2.6.0+cu124"},
    broken={},
    cuda="12.4",
    gpus=(GPU,),
    memory=64 * GIB,
    bf16=True,
)
EIGHT_BITS = {"optimizer_type": "AdamW8bit", "mixed_precision": "bf16", "log_with": "tensorboard"}
RUN = Needs(Path("run"), EIGHT_BITS)
PLAIN = Needs(Path("run"), {"optimizer_type": "AdamW", "mixed_precision": "bf16"})


def machine(**changed):
    """The sound machine with something else about it; `packages` are laid over its own."""
    packages = {**MACHINE.packages, **changed.pop("packages", {})}
    return replace(MACHINE, packages=packages, **changed)


def wrong(lines):
    """What is not ok: check, state and code."""
    return [(line.check, line.state, line.code) for line in lines if line.state != "ok"]


def test_every_code_is_used_explained_and_in_the_page():
    source = "".join(file.read_text() for file in (ROOT / "tagflow/training/doctor").glob("*.py"))
    assert "findings.md#the-machine-and-the-trainers-python" in (ROOT / "docs" / "doctor.md").read_text(
        "utf-8"
    )
    for code, kind in catalogue("machine").items():
        assert f'"{code}"' in source, code
        assert kind.title and kind.cure and kind.explanation
    assert set(re.findall(r'bad\(\s*"[\w-]+",\s*"([\w-]+)"', source)) <= {kind.code for kind in all_kinds()}


def test_a_sound_machine_has_nothing_wrong():
    for needs in (Needs(), RUN, PLAIN):
        lines = [of_python(MACHINE), of_torch(MACHINE), *of_gpus(MACHINE, (), needs)]
        lines += of_packages(MACHINE, needs)
        assert wrong(lines) == []
        assert not any(line.found for line in lines)


def test_python_older_than_3_10():
    assert wrong([of_python(machine(python_version="3.9.18"))]) == [("python", "error", "python-old")]
    assert wrong([of_python(machine(python_version="3.13.0"))]) == []


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (None, "torch-missing"),
        ("1.13.1", "torch-old"),
        ("2.0.1+cu118", "torch-old"),
        ("2.1.0", "torch-untested"),
        ("2.5.1+cu121", "torch-untested"),
        ("2.6.0", None),
        ("2.15.0", None),
        ("?", None),
    ],
)
def test_torch_versions(version, expected):
    assert of_torch(machine(packages={"torch": version})).code == expected


def test_a_torch_that_does_not_import_says_why():
    line = of_torch(machine(broken={"torch": "OSError: libcudart.so.12"}))
    assert line.code == "package-broken" and "libcudart" in line.seen


def test_no_gpu_is_an_error_only_for_a_plan_that_needs_one():
    cpu = machine(gpus=(), cuda=None, bf16=False)
    assert wrong(of_gpus(cpu, (), Needs())) == [("gpu", "warning", "gpu-missing")]
    assert wrong(of_gpus(cpu, (), PLAIN)) == [("gpu", "warning", "gpu-missing")]
    for name, value in (
        ("fp8_base", True),
        ("xformers", True),
        ("mixed_precision", "fp16"),
        ("optimizer_type", "PagedAdamW"),
        ("use_8bit_adam", True),
    ):
        lines = list(of_gpus(cpu, (), Needs(Path("run"), {name: value})))
        assert wrong(lines) == [("gpu", "error", "gpu-missing")], name
        assert name.partition("_")[0] in lines[0].seen or "adam" in lines[0].seen.lower()


def test_a_gpu_that_torch_cannot_use():
    for seen in (machine(gpus=(), cuda=None), machine(gpus=(), broken={"cuda": "the driver is too old"})):
        lines = list(of_gpus(seen, (GPU,), Needs()))
        assert wrong(lines) == [("gpu", "error", "gpu-unusable")]
        assert "RTX" in lines[0].seen and ("CPU only" in lines[0].seen or "too old" in lines[0].seen)


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [(20, []), (23.5, [("gpu-memory", "warning", "gpu-memory-taken")]),
     (25, [("gpu-memory", "error", "gpu-memory-short")])],
)  # fmt: skip
def test_the_plans_estimate_against_the_gpu(estimate, expected):
    needs = replace(RUN, plan=PlanFile(memory=PlannedMemory(estimate=int(estimate * GIB))))
    lines = list(of_gpus(MACHINE, (), needs))
    assert wrong(lines) == expected
    assert any(f"{estimate:.1f} GiB" in line.seen for line in lines)


def test_bf16_is_needed_by_a_plan_that_computes_in_it():
    old = machine(bf16=False)
    assert wrong(of_gpus(old, (), RUN)) == [("bf16", "error", "bf16-missing")]
    assert wrong(of_gpus(old, (), Needs())) == [("bf16", "warning", "bf16-missing")]
    assert wrong(of_gpus(old, (), Needs(Path("run"), {"mixed_precision": "fp16"}))) == []


def test_the_plan_decides_how_bad_a_missing_package_is():
    bare = machine(packages={"bitsandbytes": None, "xformers": None, "tensorboard": None})
    xformers = ("xformers", "info", "xformers-missing")
    assert wrong(of_packages(bare, Needs())) == [
        ("bitsandbytes", "warning", "bitsandbytes-missing"),
        xformers,
        ("tensorboard", "warning", "package-missing"),
    ]  # fmt: skip
    assert wrong(of_packages(bare, RUN)) == [
        ("bitsandbytes", "error", "bitsandbytes-missing"),
        xformers,
        ("tensorboard", "error", "package-missing"),
    ]  # fmt: skip
    assert wrong(of_packages(bare, PLAIN)) == [
        ("bitsandbytes", "info", "bitsandbytes-missing"),
        xformers,
        ("tensorboard", "info", "package-missing"),
    ]  # fmt: skip
    asks = Needs(Path("run"), {"xformers": True, "logging_dir": "logs", "log_with": "wandb"})
    assert [line[1:] for line in wrong(of_packages(bare, asks))][1:] == [
        ("error", "xformers-missing"), ("info", "package-missing"), ("error", "package-missing")
    ]  # fmt: skip


def test_bitsandbytes_without_a_gpu_is_of_no_use_to_an_8_bit_plan():
    cpu = machine(gpus=())
    assert ("bitsandbytes", "error", "bitsandbytes-no-gpu") in wrong(of_packages(cpu, RUN))
    assert wrong(of_packages(cpu, PLAIN)) == []


def test_broken_packages_are_named_with_their_reason():
    broken = {
        "bitsandbytes": "CUDA setup failed",
        "opencv-python": "libGL.so.1",
        "diffusers": "cached_download",
    }
    lines = [line for line in of_packages(machine(broken=broken), RUN) if line.state != "ok"]
    assert {line.check: line.seen.partition(": ")[2] for line in lines} == broken
    assert {(line.state, line.code) for line in lines} == {("error", "package-broken")}


def test_other_versions_than_the_pinned_ones_are_warned_of():
    other = machine(packages={"transformers": "5.1.0", "huggingface-hub": "1.2.0", "diffusers": "0.32.1"})
    assert wrong(of_packages(other, RUN)) == [
        ("transformers", "warning", "package-version"), ("huggingface-hub", "warning", "package-version")
    ]  # fmt: skip


def test_without_ftfy_captions_become_other_tokens():
    assert wrong(of_packages(machine(packages={"ftfy": None}), RUN)) == [("ftfy", "warning", "ftfy-missing")]


@pytest.mark.parametrize(
    ("optimizer", "package"),
    [("Lion", "lion-pytorch"), ("Prodigy", "prodigyopt"), ("DAdaptAdam", "dadaptation"),
     ("AdamWScheduleFree", "schedulefree"), ("pytorch_optimizer.CAME", "pytorch-optimizer")],
)  # fmt: skip
def test_an_optimizer_from_a_package_of_its_own(optimizer, package):
    needs = Needs(Path("run"), {"optimizer_type": optimizer})
    assert wrong(of_packages(MACHINE, needs)) == [(package, "error", "package-missing")]
    assert wrong(of_packages(machine(packages={package: "1.0"}), needs)) == []


def cures(lines):
    """The cure of each package that has one."""
    return {line.check: line.found.cure for line in lines if line.found is not None and line.found.cure}


def test_one_command_cures_all_that_the_requirements_have_and_names_it():
    found = cures(
        of_packages(machine(packages={"imagesize": None, "transformers": "5.1", "ftfy": None}), PLAIN)
    )
    cure = "in sd-scripts' folder: `/trainer/bin/python -m pip install -r requirements.txt`"
    assert set(found) == {"transformers", "ftfy", "imagesize"}
    assert set(found.values()) == {f"{cure} (for transformers, ftfy, imagesize)"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"log_with": "wandb"}, "wandb"),
        ({"optimizer_type": "DAdaptAdam"}, "dadaptation"),
        ({"network_module": "lycoris.kohya"}, "lycoris-lora"),
        ({"deepspeed": True}, "deepspeed==0.16.7"),
        ({"log_with": "all", "optimizer_type": "DAdaptLion", "network_module": "lycoris.kohya"},
         "dadaptation wandb lycoris-lora"),
    ],
)  # fmt: skip
def test_what_the_requirements_do_not_have_is_installed_by_its_name(values, named):
    needs = Needs(Path("run"), {"optimizer_type": "AdamW", **values})
    found = cures(of_packages(machine(), needs))
    of = "it" if " " not in named else "them"
    cure = f"`/trainer/bin/python -m pip install {named}`; sd-scripts' requirements do not have {of}"
    assert set(found.values()) == {cure} and len(found) == len(named.split())
    sound = machine(packages=dict.fromkeys(found, "1.0"))
    assert cures(of_packages(sound, needs)) == {}


def test_packages_of_the_requirements_are_not_named_one_by_one():
    needs = Needs(Path("run"), {"optimizer_type": "Prodigy"})
    (cure,) = cures(of_packages(machine(), needs)).values()
    assert "requirements.txt` (for prodigyopt)" in cure


def test_a_python_whose_path_has_spaces_is_quoted():
    spaced = machine(packages={"toml": None}, python=Path("/my apps/python"))
    assert '`"/my apps/python" -m pip' in cures(of_packages(spaced, PLAIN))["toml"]
