"""A small real child process that stands in for the trainer; laid out as sd-scripts, started the same way.

`lay_out` makes the folder: this file as `sdxl_train_network.py`, an empty `library`, `networks`, and a stub
of accelerate that starts the script as accelerate does. What the child does is said in `behaviour.json`
beside it: `say` (bytes as latin-1, one by one), `exit`, `lora`, `states`, `wait` (seconds), `ignore` (names
of signals), `grandchild` (another process that sleeps, and ignores them, too), `saves` (LoRA files and
states, a second after each other, once a file `go` lies beside it).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

LAUNCHER = """
import subprocess, sys
words = sys.argv[1:]
at = next(n for n, word in enumerate(words) if word.endswith(".py"))
done = subprocess.Popen([sys.executable, *words[at:]])
code = done.wait()
if code:
    raise subprocess.CalledProcessError(code, words)
"""
SLEEPER = """
import signal, sys, time
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
print("grandchild", flush=True)
time.sleep(100)
"""


def lay_out(folder: Path, **behaviour: object) -> Path:
    for inside in ("library", "networks"):
        (folder / inside).mkdir(parents=True, exist_ok=True)
    (folder / "networks" / "lora.py").write_text("def create_network(): ...\n")
    (folder / "accelerate" / "commands").mkdir(parents=True, exist_ok=True)
    for package in ("accelerate", "accelerate/commands"):
        (folder / package / "__init__.py").touch()
    (folder / "accelerate" / "commands" / "launch.py").write_text(LAUNCHER)
    shutil.copyfile(__file__, folder / "sdxl_train_network.py")
    behave(folder, **behaviour)
    return folder


def behave(folder: Path, **behaviour: object) -> None:
    (folder / "behaviour.json").write_text(json.dumps(behaviour))


def write_lora(file: Path) -> None:
    header = {
        "__metadata__": {"ss_new_sd_model_hash": "ab" * 32},
        "lora_unet_x.alpha": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    }
    raw = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(4))


def write_state(folder: Path, epoch: int, step: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train_state.json").write_text(json.dumps({"current_epoch": epoch, "current_step": step}))
    write_lora(folder / "model.safetensors")
    for name in ("optimizer.bin", "scheduler.bin", "random_states_0.pkl"):
        with zipfile.ZipFile(folder / name, "w") as file:
            file.writestr("data", "x")
    return folder


def main() -> int:
    at = sys.argv.index("--config_file")
    config = tomllib.loads(Path(sys.argv[at + 1]).read_text())
    output = Path(config["output_dir"])
    output.mkdir(parents=True, exist_ok=True)
    does = json.loads(Path(__file__).with_name("behaviour.json").read_text())
    for name in does.get("ignore", ()):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    pids = [os.getpid(), os.getppid()]
    if does.get("grandchild"):
        pids.append(subprocess.Popen([sys.executable, "-c", SLEEPER, *does.get("ignore", ())]).pid)
    seen = {
        "argv": sys.argv[1:],
        "cwd": str(Path.cwd()),
        "pids": pids,
        "unbuffered": os.environ["PYTHONUNBUFFERED"],
    }
    for text in does.get("say", ()):
        os.write(1, text.encode("latin-1"))
    for name, epoch, step in does.get("states", ()):
        write_state(output / name, epoch, step)
    (output / "seen.new").write_text(json.dumps(seen))
    (output / "seen.new").replace(output / "seen.json")
    end = time.monotonic() + does.get("wait", 0)
    saves = list(does.get("saves", ()))
    while time.monotonic() < end:
        if saves and Path(__file__).with_name("go").exists():
            name = saves.pop(0)
            if name.endswith("-state"):
                write_state(output / name, 1, 3)
            else:
                write_lora(output / name)
            time.sleep(1)
        time.sleep(0.02)
    if does.get("lora", True) and not does.get("exit"):
        write_lora(output / f"{config['output_name']}.safetensors")
    return int(does.get("exit", 0))


if __name__ == "__main__":
    raise SystemExit(main())
