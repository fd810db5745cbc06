"""Asking a Python what it has: real Pythons, stand-ins for packages that would need gigabytes and a GPU."""

from __future__ import annotations

import os
import stat
import sys
import time

import psutil
import pytest
from pythons import GIB, all_packages, make_python, stand_in, torch

from tagflow.errors import TrainerError
from tagflow.training.machine.probe import Gpu, local_gpus, memory, probe

MIB = 1 << 20


@pytest.fixture
def python(tmp_path):
    return make_python(tmp_path / "env")


def program(path, text):
    """A small real executable."""
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_real_python_without_packages(python):
    machine = probe(python)
    assert machine.python == python
    assert machine.python_version == ".".join(map(str, sys.version_info[:3]))
    assert machine.packages["torch"] is None and "transformers" in machine.packages
    assert set(machine.packages.values()) == {None} and machine.broken == {}
    assert machine.cuda is None and machine.gpus == () and not machine.bf16
    assert machine.memory == memory()[0] > GIB


def test_stand_in_packages_are_found_in_their_versions(python):
    all_packages(python)
    machine = probe(python)
    assert machine.broken == {}
    assert machine.packages["transformers"] == "4.54.1" and machine.has("bitsandbytes")
    assert machine.packages["opencv-python"] == "4.10.0.84"  # installed as opencv-python-headless
    assert machine.cuda == "12.4" and machine.bf16
    assert machine.gpus == (Gpu("Stand-in GPU", 24 * GIB, 24 * GIB, (8, 0)),)


def test_plug_ins_for_images_are_those_that_import_as_the_trainer_imports_them(python):
    assert probe(python).plugins == set()
    stand_in(python, "pillow-avif-plugin", "pillow_avif", "1.5", "")
    stand_in(python, "pillow-jxl-plugin", "pillow_jxl", "1.3", "raise ImportError('libjxl.so: no such file')")
    assert probe(python).plugins == {".avif"}
    stand_in(python, "jxlpy", "jxlpy/JXLImagePlugin", "0.9", "")
    assert probe(python).plugins == {".avif", ".jxl"}


def test_stand_in_packages_that_break_in_every_way_are_named_and_hide_no_other(python):
    all_packages(python)
    stand_in(python, "diffusers", "diffusers", "0.32.1", "raise ImportError('cannot import cached_download')")
    stand_in(
        python, "opencv-python-headless", "cv2", "4.10.0.84", "raise ImportError('libGL.so.1: no such file')"
    )
    stand_in(python, "transformers", "transformers", "4.54.1", "")  # lacks what the trainer takes from it
    stand_in(python, "einops", "einops", "0.7.0", "raise SystemExit(3)")
    stand_in(python, "bitsandbytes", "bitsandbytes", "0.45.0", "import os, signal\nos.kill(os.getpid(), 11)")
    stand_in(
        python, "toml", "toml", "0.10.2", "import os, sys\nprint('goodbye', file=sys.stderr)\nos._exit(7)"
    )
    machine = probe(python)
    assert set(machine.broken) == {
        "diffusers",
        "opencv-python",
        "transformers",
        "einops",
        "bitsandbytes",
        "toml",
    }
    assert "cached_download" in machine.broken["diffusers"] and "libGL" in machine.broken["opencv-python"]
    assert "AttributeError" in machine.broken["transformers"] and "SystemExit" in machine.broken["einops"]
    assert "signal 11" in machine.broken["bitsandbytes"]
    assert "exit code 7: goodbye" in machine.broken["toml"]
    assert machine.has("rich") and machine.gpus


def test_stand_in_metadata_without_files_and_files_without_metadata(python):
    stand_in(python, "ftfy", "ftfy", "6.3.1")
    site = next(path for path in python.parent.parent.glob("lib/python3.*/site-packages"))
    (site / "ftfy" / "__init__.py").unlink()
    (site / "ftfy").rmdir()
    (site / "toml.py").write_text("load = 1")
    machine = probe(python)
    assert "files are not there" in machine.broken["ftfy"] and not machine.has("ftfy")
    assert machine.packages["toml"] == "?" and machine.has("toml")


def test_chatter_of_stand_ins_on_stdout_does_not_disturb(python):
    chatter = "import os, subprocess, sys\nprint('===BUG REPORT===')\nos.write(1, b'no line end')\n"
    chatter += "subprocess.run([sys.executable, '-c', 'print(1)'])\n"
    stand_in(python, "voluptuous", "voluptuous", "0.15.2", chatter + "Schema = 1")
    site = next(path for path in python.parent.parent.glob("lib/python3.*/site-packages"))
    (site / "noise.pth").write_text("import sys; sys.stdout.write('hello from a .pth')\n")
    machine = probe(python)
    assert machine.has("voluptuous") and machine.broken == {}


def test_a_stand_in_torch_whose_gpu_adds_nothing_is_no_gpu(python):
    torch(python, works=False)
    machine = probe(python)
    assert machine.gpus == () and machine.cuda == "12.4" and machine.has("torch")
    assert machine.broken == {"cuda": "Stand-in GPU: RuntimeError: CUDA error: no kernel image is available"}


def test_a_stand_in_torch_that_only_warns_of_an_old_driver(python):
    torch(python, total=None)
    site = next(path for path in python.parent.parent.glob("lib/python3.*/site-packages"))
    text = (site / "torch" / "__init__.py").read_text()
    warns = "def _old():\n    import warnings\n    warnings.warn('The NVIDIA driver is too old\\nmore')\n"
    text = text.replace(
        "is_available = staticmethod(lambda: False)", "is_available = staticmethod(lambda: _old())"
    )
    (site / "torch" / "__init__.py").write_text(warns + text)
    assert probe(python).broken == {"cuda": "The NVIDIA driver is too old"}


def test_bf16_needs_a_generation_that_computes_in_it_by_a_stand_in_torch(python):
    torch(python, major=7)
    machine = probe(python)
    assert machine.gpus[0].capability == (7, 0) and not machine.bf16


def test_a_stand_in_that_hangs_is_named_and_killed_with_its_children(python, tmp_path):
    pids = tmp_path / "pids"
    hang = (
        "import os, pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(pids)!r}).write_text(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(60)\n"
    )
    stand_in(python, "toml", "toml", "0.10.2", hang)
    with pytest.raises(TrainerError, match="within 2 seconds while it imported toml") as problem:
        probe(python, seconds=2)
    assert str(python) in problem.value.message and "--trainer-python" in problem.value.cure
    end = time.monotonic() + 5
    living = [int(pid) for pid in pids.read_text().split()]
    while any(map(runs, living)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(runs, living))


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(os.name == "nt", reason="programs of one line are a matter of Unix")
def test_files_that_are_no_python_say_what_they_did(tmp_path):
    silent = program(tmp_path / "silent", "pass")
    with pytest.raises(
        TrainerError, match="silent ended with exit code 0 and told nothing: nothing on stderr"
    ):
        probe(silent)
    loud = program(tmp_path / "loud", "import sys\nsys.exit('one\\ntwo\\nthree\\nfour')")
    with pytest.raises(
        TrainerError, match=r"loud ended with exit code 1 and told nothing: two \| three \| four"
    ):
        probe(loud)
    text = tmp_path / "text"
    text.write_bytes(b"\x7fELF no more")
    text.chmod(0o755)
    with pytest.raises(TrainerError, match="text cannot be run"):
        probe(text)


@pytest.mark.skipif(os.name == "nt", reason="programs of one line are a matter of Unix")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("0, GPU-aa, NVIDIA GeForce RTX 4090, 24564, 23910, 8.9\n",
         [Gpu("NVIDIA GeForce RTX 4090", 24564 * MIB, 23910 * MIB, (8, 9))]),
        ("0, GPU-aa, Tesla T4, 15360, 15101, 7.5\n1, GPU-bb, NVIDIA H100 80GB HBM3, 81559, 4, 9.0\n",
         [Gpu("Tesla T4", 15360 * MIB, 15101 * MIB, (7, 5)),
          Gpu("NVIDIA H100 80GB HBM3", 81559 * MIB, 4 * MIB, (9, 0))]),
        ("0, GPU-aa, NVIDIA A100, [N/A], [N/A], 8.0\n", []),
        ("No devices were found\n", []),
        ("", []),
    ],
)  # fmt: skip
def test_local_gpus_by_a_small_program_that_prints_lines_written_by_hand_as_nvidia_smi_would(
    answer, expected, tmp_path, monkeypatch
):
    program(tmp_path / "nvidia-smi", f"print({answer!r}, end='')")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert list(local_gpus()) == expected


@pytest.mark.skipif(os.name == "nt", reason="programs of one line are a matter of Unix")
def test_local_gpus_of_an_old_driver_by_a_small_program_in_the_place_of_nvidia_smi(tmp_path, monkeypatch):
    text = "import sys\nif 'compute_cap' in sys.argv[1]: sys.exit('compute_cap is not a valid field')\n"
    program(tmp_path / "nvidia-smi", text + "print('0, GPU-aa, Tesla K80, 11441, 11000')")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert local_gpus() == (Gpu("Tesla K80", 11441 * MIB, 11000 * MIB, (0, 0)),)


@pytest.mark.skipif(os.name == "nt", reason="programs of one line are a matter of Unix")
@pytest.mark.parametrize(
    ("visible", "names"),
    [("1", ["B"]), ("1,0", ["B", "A"]), ("GPU-aa", ["A"]), ("", []), ("-1", []), ("0,7,1", ["A"])],
)
def test_only_visible_gpus_count_by_a_small_program_in_the_place_of_nvidia_smi(
    visible, names, tmp_path, monkeypatch
):
    program(tmp_path / "nvidia-smi", "print('0, GPU-aa, A, 8, 8, 8.6\\n1, GPU-bb, B, 8, 8, 8.6')")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.name for gpu in local_gpus()] == names


@pytest.mark.skipif(os.name == "nt", reason="programs of one line are a matter of Unix")
def test_no_nvidia_smi_and_one_that_fails_are_no_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert local_gpus() == ()
    program(tmp_path / "nvidia-smi", "import sys\nsys.exit('NVIDIA-SMI has failed')")
    assert local_gpus() == ()
    (tmp_path / "nvidia-smi").write_text("#!/nonexistent\n")
    assert local_gpus() == ()
