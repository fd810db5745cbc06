"""Networks beyond the cases: a copy of sd-scripts that is named, what a LoRA is called, names of v-models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from network_cases import CONV, TEXT, UNET, lokr, lora, safetensors, sd15
from rule_setups import build

from tagflow.models.lora import read_lora
from tagflow.models.prediction import named
from tagflow.training.check.rules import faults_of
from tagflow.training.sd_scripts.networks import by_blocks


def test_a_copy_that_is_named_is_looked_into(tmp_path: Path) -> None:
    """It has a network that the known version has not, a program, and lacks one."""
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "lokr.py").write_text("def create_network(multiplier): ...\n", encoding="utf-8")
    (tmp_path / "networks" / "merge_lokr.py").write_text("print()\n", encoding="utf-8")
    seen = {}
    for module in ("lokr", "merge_lokr", "lora", "lora_flux"):
        setup = build(tmp_path, options={"network_module": f"networks.{module}"})
        found = faults_of(replace(setup, sd_scripts=tmp_path))
        seen[module] = [one.code for one in found if one.option == "network_module"]
    unknown = ["network-module-unknown"]
    assert seen == {"lokr": [], "merge_lokr": unknown, "lora": unknown, "lora_flux": ["network-module-other"]}


@pytest.mark.parametrize(
    ("module", "cure"),
    [
        ("networks.lokr", "lycoris.kohya and network_args to algo=lokr"),
        ("network.lora", "set network_module to networks.lora"),
        ("LoRA", "set network_module to networks.lora"),
        ("lycoris.locon_kohya", "set network_module to lycoris.kohya"),
        ("networks.lora.py", "set network_module to networks.lora"),
    ],
)
def test_the_cure_is_the_word_itself(module: str, cure: str, tmp_path: Path) -> None:
    found = faults_of(build(tmp_path, options={"network_module": module}))
    assert [one.code for one in found] == ["network-module-unknown"] and cure in found[0].cure


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (lora(UNET, TEXT), "a LoRA for SDXL"),
        (lora(CONV), "a LoRA for SDXL"),
        (lokr(), "a LoKr for SDXL"),
        (sd15(), "a LoRA for SD 1.5"),
        (safetensors({"lora_unet_double_blocks_0_img_attn_proj.alpha": ((), 1)}), "a LoRA for Flux"),
        (safetensors({"model.diffusion_model.out.2.weight": ((1,), 1)}), "a checkpoint, and no LoRA"),
        (safetensors({"clip_g": ((1, 8), 1), "clip_l": ((1, 8), 1)}), "a textual inversion, and no LoRA"),
        (safetensors({"unet.x.lora_A.weight": ((4, 8), 1)}), "a LoRA with the names of PEFT or Diffusers"),
        (
            safetensors({"x.weight": ((1,), 1)}, **{"modelspec.architecture": "lumina-2/lora"}),
            "for lumina-2/lora, by its metadata",
        ),
    ],
)
def test_a_file_is_told_by_its_header(content: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    assert read_lora(tmp_path / "a.safetensors").what == what


def test_ranks_and_alpha(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(lora(UNET, CONV, rank=8, alpha=4))
    found = read_lora(tmp_path / "a.safetensors")
    assert (dict(found.ranks), found.alpha, found.others) == ({UNET: 8, CONV: 8}, 4, ())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("noobaiXLNAIXL_vPred10Version.safetensors", "v"),
        ("NoobAI-XL-Vpred-v1.0", "v"),
        ("some_v_prediction", "v"),
        ("mixVPRED3", "v"),
        ("a v-pred b", "v"),
        ("XL_vparam", "v"),
        ("noobaiXLNAIXL_epsilonPred11Version", "epsilon"),
        ("NoobAI-XL-Eps-v1.1", "epsilon"),
        ("mixEpsPred", "epsilon"),
        ("EPS_2", "epsilon"),
        ("v1Predator", "unknown"),
        ("xl_2000steps", "unknown"),
        ("Stepsister_epsilonic", "unknown"),
        ("vpred_or_eps", "unknown"),
        ("sd_xl_base_1.0", "unknown"),
    ],
)
def test_what_a_name_hints_at(name: str, kind: str) -> None:
    assert named([name])[0] == kind


def test_weights_by_blocks() -> None:
    assert by_blocks("1,,0.5", 4) == [1, 0, 0.5, 1] and by_blocks("1,2,3", 2) == [1, 2]
    assert by_blocks("reverse_linear+0.5", 3) == [1.5, 1, 0.5] and by_blocks("zeros", 2) == [0, 0]
    assert by_blocks("cosine", 3)[0] == 1 and by_blocks("sine", 3)[0] == 0
