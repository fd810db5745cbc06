"""The rules about networks agree with the real modules: what they raise, and what they load of a file.

Needs `SD_SCRIPTS_DIR`; those of LyCORIS also lycoris-lora in the trainer's Python. No model is loaded.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from network_cases import CONV, DIMS, NINE, TEXT, TWELVE, UNET, lokr, lora, sd15
from rule_setups import build
from trainer_place import real_trainer

from tagflow.training.check.rules import faults_of

pytestmark = pytest.mark.trainer
DRIVER = Path(__file__).parents[1] / "trainer_networks.py"
LYCORIS = "lycoris.kohya"
ZEROS = ",".join(["0"] * 23)
# What is asked, the code that says so, and how create_network ends (with the numbers of modules).
ARGUMENTS: list[tuple[str, str, int, str | None, str]] = [
    ("networks.lora", "", 4, None, "ok 264 722"),
    ("networks.lora", "conv_dim=4 conv_alpha=1", 4, None, "ok 264 788"),
    ("networks.lora", "conv_dim=4.0", 4, "network-args-refused", "ValueError"),
    ("networks.lora", "conv_dim=", 4, "network-args-refused", "ValueError"),
    ("networks.lora", "conv_dim=-1", 4, "network-args-refused", "RuntimeError"),
    ("networks.lora", "conv_dim=0", 4, None, "ok 264 750"),
    ("networks.lora", "conv_alpha=x", 4, "network-args-idle", "ok 264 722"),
    ("networks.lora", f"block_dims={DIMS}", 4, None, "ok 264 722"),
    ("networks.lora", f"block_dims={DIMS},4,4", 4, "network-args-blocks", "AssertionError"),
    ("networks.lora", f"block_dims={DIMS},", 4, "network-args-refused", "ValueError"),
    ("networks.lora", f"block_dims={ZEROS}", 4, "network-nothing", "ok 264 0"),
    ("networks.lora", "block_alphas=1", 4, "network-args-idle", "ok 264 722"),
    ("networks.lora", "block_alphas=1 down_lr_weight=cosine", 4, "network-args-blocks", "AssertionError"),
    ("networks.lora", f"up_lr_weight={TWELVE}", 4, "network-args-blocks", "TypeError"),
    ("networks.lora", f"down_lr_weight={TWELVE}", 4, "network-args-blocks", "TypeError"),
    ("networks.lora", f"down_lr_weight={TWELVE} up_lr_weight={TWELVE}", 4, "network-args-length",
     "ok 264 722"),
    ("networks.lora", f"down_lr_weight={TWELVE} up_lr_weight=cosine", 4, "network-args-length", "ok 264 722"),
    ("networks.lora", f"down_lr_weight={NINE}", 4, None, "ok 264 722"),
    ("networks.lora", "down_lr_weight=1,1", 4, "network-args-length", "ok 264 722"),
    ("networks.lora", "down_lr_weight=1", 4, "network-args-refused", "TypeError"),
    ("networks.lora", "down_lr_weight=Cosine", 4, "network-args-refused", "TypeError"),
    ("networks.lora", "down_lr_weight=cosine+", 4, "network-args-refused", "ValueError"),
    ("networks.lora", "down_lr_weight=cosine+.25", 4, None, "ok 264 722"),
    ("networks.lora", "down_lr_weight=reverse_linear", 4, None, "ok 264 620"),
    ("networks.lora", "mid_lr_weight=cosine", 4, "network-args-refused", "ValueError"),
    ("networks.lora", "mid_lr_weight=1,1,1,1", 4, "network-args-length", "ok 264 722"),
    ("networks.lora", "down_lr_weight=zeros mid_lr_weight=0,0,0 up_lr_weight=zeros", 4, "network-nothing",
     "ok 264 0"),
    ("networks.lora", "block_lr_zero_threshold=x", 4, "network-args-idle", "ok 264 722"),
    ("networks.lora", "module_dropout=x", 4, "network-args-refused", "ValueError"),
    ("networks.lora", "loraplus_lr_ratio=None", 4, "network-args-refused", "ValueError"),
    ("networks.lora", "network_dim=4", 4, "network-args-refused", "TypeError"),
    ("networks.lora", "", 0, "network-nothing", "ok 0 0"),
    ("networks.lora", "", -1, "network-nothing", "RuntimeError"),
    ("networks.lora", f"block_dims={DIMS}", 0, None, "ok 0 722"),
    ("networks.lokr", "", 4, "network-module-unknown", "ModuleNotFoundError"),
    ("network.lora", "", 4, "network-module-unknown", "ModuleNotFoundError"),
    ("networks.check_lora_weights", "", 4, "network-module-unknown", "AttributeError"),
    ("networks.lora_fa", f"block_dims={DIMS}", 4, "network-args-idle", "AssertionError"),
    ("networks.dylora", "unit=3", 4, "network-args-refused", "AssertionError"),
    ("networks.dylora", "conv_dim=8", 4, "network-args-refused", "AssertionError"),
    ("networks.dylora", "unit=2", 4, "network-module-text", "ok 264 722"),
    ("networks.oft", "enable_all_linear=False", 4, "network-args-flag", "ok 0 722"),
    (LYCORIS, "", 4, None, "ok 264 788"),
    (LYCORIS, "algo=lokar", 4, "network-args-refused", "KeyError"),
    (LYCORIS, "algo=LoKr factor=8", 4, None, "ok 264 788"),
    (LYCORIS, "algo=lokr factor=8.0", 4, "network-args-refused", "ValueError"),
    (LYCORIS, "factor=8.0", 4, "network-args-idle", "ok 264 788"),
    (LYCORIS, "preset=attn_mlp", 4, "network-args-refused", "AssertionError"),
    (LYCORIS, "preset=attn-mlp conv_dim=8", 4, "network-args-idle", "ok 264 722"),
    (LYCORIS, "preset=ia3", 4, "network-nothing", "ok 0 0"),
    (LYCORIS, "conv_dim=", 4, None, "ok 264 788"),
    (LYCORIS, "conv_dim=8.0", 4, "network-args-refused", "ValueError"),
    (LYCORIS, "algo=dylora block_size=3", 4, "network-args-refused", "AssertionError"),
    (LYCORIS, "algo=boft", 4, "network-args-refused", "ValueError"),
    (LYCORIS, "algo=boft", 16, None, "ok 264 788"),
    (LYCORIS, "algo=full bypass_mode=True", 4, "network-args-refused", "ValueError"),
    (LYCORIS, "", 0, "network-nothing", "ok 0 0"),
    (LYCORIS, "conv_dim=4", 0, None, "ok 0 49"),
]  # fmt: skip
# Options, the file, the code, and how it ends: the numbers of modules, and of the file's tensors that are
# loaded.
WEIGHTS: list[tuple[dict[str, Any], bytes, str | None, str]] = [
    ({"dim": 32}, lora(UNET, TEXT), None, "ok 264 722 loaded 6"),
    ({"dim": 8, "alpha": 16}, lora(UNET, TEXT), "weights-rank", "RuntimeError"),
    ({"dim": 32, "alpha": 2}, lora(UNET), "weights-alpha", "ok 264 722 loaded 3"),
    ({"dim": 32, "unet_only": True}, lora(UNET, TEXT), "weights-partly", "ok 0 722 loaded 3"),
    ({"dim": 32}, lora(UNET, CONV), "weights-partly", "ok 264 722 loaded 3"),
    ({"dim": 32, "args": ["conv_dim=32", "conv_alpha=16"]}, lora(UNET, CONV), None, "ok 264 788 loaded 6"),
    ({"dim": 32, "args": ["conv_dim=8", "conv_alpha=16"]}, lora(CONV), "weights-rank", "RuntimeError"),
    ({"dim": 32}, sd15(), "weights-foreign", "ok 264 722 loaded 0"),
    ({"dim": 32}, lokr(), "weights-foreign", "ok 264 722 loaded 1"),  # its alpha
    ({"dim": 32}, lora(UNET)[:-9], "weights-unreadable", "SafetensorError"),
    ({"dim": 32}, b"version https://git-lfs.github.com/spec/v1\n", "weights-unreadable", "SafetensorError"),
    ({"base": True}, lora(UNET, rank=4), None, "ok 0 1"),
    ({"base": True}, lokr(), "weights-foreign", "ok 0 0"),
    ({"base": True}, sd15(), "weights-foreign", "RuntimeError"),
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("weights")
    for at, (_, content, _, _) in enumerate(WEIGHTS):
        (root / f"{at}.safetensors").write_bytes(content)
    return root


@pytest.fixture(scope="module")
def answers(place: Path) -> list[str]:
    scripts, python = real_trainer()
    asked: list[dict[str, Any]] = [
        {"module": module, "args": words.split(), "dim": dim, "alpha": 1.0}
        for module, words, dim, _, _ in ARGUMENTS
    ]
    for at, (options, _, _, _) in enumerate(WEIGHTS):
        file = str(place / f"{at}.safetensors")
        which = {"base": file} if options.get("base") else {"weights": file, "base": None}
        asked.append({"module": "networks.lora", "args": [], "dim": 4, "alpha": 16.0, **options, **which})
    done = subprocess.run(
        [str(python), str(DRIVER), str(scripts)], input=json.dumps(asked), cwd=place, capture_output=True,
        text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answered: list[str] = json.loads(done.stdout.splitlines()[-1])
    return answered


def codes_of(setup_of: dict[str, Any], root: Path) -> dict[str, str]:
    return {one.code: one.severity for one in faults_of(build(root, **setup_of))}


@pytest.mark.parametrize("at", range(len(ARGUMENTS)), ids=[f"{a} {b} {c}" for a, b, c, _, _ in ARGUMENTS])
def test_create_network_ends_as_the_rules_say(at: int, answers: list[str], tmp_path: Path) -> None:
    module, words, dim, code, ends = ARGUMENTS[at]
    if module == LYCORIS and answers[at] == "ModuleNotFoundError":
        pytest.skip("the trainer's Python has no lycoris-lora")
    assert answers[at] == ends
    options = {
        "network_module": module,
        "network_args": words.split(),
        "network_dim": dim,
        "network_alpha": 1,
    }
    found = codes_of({"options": options}, tmp_path)
    assert code is None or code in found
    dies = not ends.startswith("ok") and code != "network-args-idle"
    assert not dies or "error" in found.values()
    assert code is not None or "error" not in found.values()


@pytest.mark.parametrize("at", range(len(WEIGHTS)))
def test_weights_are_loaded_as_the_rules_say(
    at: int, answers: list[str], place: Path, tmp_path: Path
) -> None:
    asked, _, code, ends = WEIGHTS[at]
    assert answers[len(ARGUMENTS) + at] == ends
    file = str(place / f"{at}.safetensors")
    options: dict[str, Any] = {
        "network_dim": asked.get("dim", 4), "network_alpha": asked.get("alpha", 16),
        "network_args": asked.get("args", []),
    }  # fmt: skip
    options |= {"base_weights": [file]} if asked.get("base") else {"network_weights": file}
    if asked.get("unet_only"):
        options |= {"network_train_unet_only": True, "text_encoder_lr": None}
    found = codes_of({"options": options}, tmp_path)
    assert code is None or code in found
    assert code is not None or not {one for one in found if one.startswith("weights-")}
