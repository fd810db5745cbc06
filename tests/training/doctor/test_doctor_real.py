"""The doctor at the real trainer, where SD_SCRIPTS_DIR says that there is one."""

from __future__ import annotations

from pythons import make_run
from trainer_place import real_trainer

from tagflow.training.doctor.files import TOKENIZERS
from tagflow.training.machine.probe import probe
from tagflow.training.sd_scripts.options import known_options


def test_the_real_trainer_says_what_it_has():
    _, python = real_trainer()
    machine = probe(python)
    assert machine.python == python
    assert all(
        machine.has(name) for name in ("torch", "accelerate", "transformers", "diffusers", "voluptuous")
    )


def test_the_real_trainer_can_start_a_plan_for_the_cpu_and_its_script_loads(tagflow, tmp_path):
    sd_scripts, python = real_trainer()
    for name in TOKENIZERS:
        folder = tmp_path / "tokenizers" / name.replace("/", "_")
        folder.mkdir(parents=True)
        for file in ("vocab.json", "merges.txt"):
            (folder / file).write_text("")
    options = {"optimizer_type": "AdamW", "sdpa": True, "tokenizer_cache_dir": str(tmp_path / "tokenizers")}
    run = make_run(tmp_path / "run", options)
    found = tagflow("doctor", run, "--sd-scripts", sd_scripts, "--trainer-python", python, "--deep", "--json")
    assert found.code == 0 and found.json["ready"], found.out
    seen = {one["check"]: one["seen"] for one in found.json["looked_at"]}
    warned = {one["figures"]["check"] for one in found.json["findings"]}
    for check in ("python", "torch", "transformers", "huggingface-hub", "diffusers", "accelerate", "script"):
        assert (check in seen) != (check in warned)
    assert f"{len(known_options().by_name)} options" in seen["script"]
