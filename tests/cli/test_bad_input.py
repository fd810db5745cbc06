"""Bad input: a message that names the file and the cure, the right exit code, nothing changed on disk."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest

MIXED = "sofa, white walls, photograph, natural light, wooden floor, living room"


@pytest.fixture
def refused(tagflow, tree):
    """Run a command that must be refused; gives its stderr after the checks that hold for all."""

    def call(code, root, *args, names, run=tagflow):
        before = tree(root) if root.is_dir() else None
        result = run(*args)
        assert result.code == code, result.err
        assert str(names) in result.err and "Traceback" not in result.err and result.out == ""
        assert code == 2 or "cure: " in result.err
        assert before is None or tree(root) == before
        return result.err

    return call


@pytest.fixture
def data(folder):
    return folder({"a.txt": MIXED, "b.txt": "lamp, photograph"})


def test_a_missing_folder_and_a_file_instead(refused, data):
    for command in ("run", "reorder", "check", "validate"):
        refused(2, data, command, data / "none", names=data / "none")
    assert "is a file" in refused(2, data, "run", data / "a.txt", names=data / "a.txt")
    refused(2, data, "run", names="no folder was given")


@pytest.mark.parametrize("command", ["run", "reorder", "check", "validate"])
def test_an_empty_folder(refused, folder, command):
    refused(3, folder({}), command, folder({}), names=folder({}))


@pytest.fixture
def wrong(tmp_path, checkpoint):
    """Files that are no SDXL checkpoint, and what the message calls them."""
    from safetensors.torch import load_file, save_file

    whole = load_file(checkpoint)
    te1 = {key: value for key, value in whole.items() if "embedders.1" not in key}
    sd15 = {
        f"cond_stage_model.{key.partition('embedders.0.')[2]}": te1[key]
        for key in te1
        if "embedders.0" in key
    }
    lora = {"lora_te1_x.lora_down.weight": whole["model.diffusion_model.time_embed.0.weight"]}
    for name, tensors in (("half", te1), ("sd15", sd15), ("lora", lora)):
        save_file(tensors, tmp_path / f"{name}.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(checkpoint.read_bytes()[:100_000])
    (tmp_path / "pickled.safetensors").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "model.ckpt").write_bytes(pickle.dumps({"a": 1}))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("none.safetensors", "does not exist"), ("half.safetensors", "half a checkpoint"),
        ("sd15.safetensors", "SD 1.5"), ("lora.safetensors", "LoRA"), ("cut.safetensors", ""),
        ("pickled.safetensors", "pickle"), ("model.ckpt", "pickle"),
    ],
)  # fmt: skip
def test_a_wrong_checkpoint(refused, data, wrong, name, word):
    said = refused(3, data, "run", data, "--encoders", wrong / name, names=wrong / name)
    assert word in said


def test_no_encoders_given(refused, data):
    said = refused(3, data, "run", data, names="no text encoders were given")
    assert "--encoders FILE.safetensors" in said and "TAGFLOW_ENCODERS" in said and "tagflow.toml" in said


def test_options_win_over_the_environment_and_that_over_the_file(tagflow, data, meta, monkeypatch):
    (data / "tagflow.toml").write_text('encoders = "in-file.safetensors"')
    assert "in-file.safetensors" in tagflow("run", data).err
    monkeypatch.setenv("TAGFLOW_ENCODERS", "in-env.safetensors")
    assert "in-env.safetensors" in tagflow("run", data).err
    assert tagflow("run", data, "--encoders", "stand-in").code == 0
    assert meta(data).encoders.startswith("stand-in")


def test_bad_toml_all_faults_at_once(refused, data):
    file = data / "tagflow.toml"
    file.write_text('encoder = "x"\nclean = "yes"\n[limits]\nmin_sim = 2\n[trigger]\nwords = "x"\n')
    said = refused(3, data, "run", data, names=file)
    assert all(f"`{name}`" in said for name in ("encoder", "clean", "limits.min_sim", "trigger.words"))
    file.write_text("encoders = \n")
    assert "line 1" in refused(3, data, "reorder", data, names=file)
    refused(3, data, "check", data, "--config", data / "none.toml", names=data / "none.toml")


@pytest.mark.parametrize(
    "options",
    [
        ["--min-sim", "2"], ["--min-sim", "nan"], ["--min-sim", "x"], ["--max-tokens", "100"],
        ["--device", "tpu"], ["--dtype", "fp8"], ["--keep-first", "-1"], ["--nonsense"],
        ["--warn-tokens", "0"],
    ],
)  # fmt: skip
def test_unknown_option_values(refused, data, options):
    refused(2, data, "run", data, "--encoders", "stand-in", *options, names=options[-1].strip("-"))


def test_an_unknown_command(tagflow):
    assert tagflow("frobnicate").code == 2


def test_an_unknown_ontology(refused, data):
    refused(3, data, "reorder", data, "--ontology", "none-such", names="none-such")


@pytest.mark.parametrize("name", ["dir", "pipe", "gone", "loop"])
def test_what_only_has_a_captions_name(tagflow, data, name, lenient, audited):
    odd = data / "x.txt"
    {
        "dir": odd.mkdir, "pipe": lambda: os.mkfifo(odd), "gone": lambda: odd.symlink_to("none"),
        "loop": lambda: odd.symlink_to("x.txt"),
    }[name]()  # fmt: skip
    result = tagflow("run", data, *lenient, "--json")
    assert result.code == 1 and result.json["failed"] == 1 and result.json["rewritten"] == 2
    assert result.json["verdict"] == "uncertified" and result.tells("error: caption-", "x.txt")
    assert "cure: " in result.err and os.path.lexists(odd)


def test_an_unreadable_caption(process, unprivileged, data, texts):
    (data / "a.txt").chmod(0)
    try:
        result = process("reorder", data, "--json", prefix=unprivileged)
    finally:
        (data / "a.txt").chmod(0o644)
    assert result.code == 1 and result.json["failed"] == 1 and result.json["rewritten"] == 1
    assert result.tells("error: caption-unreadable", "a.txt") and "permissions" in result.err
    assert texts(data)["a.txt"] == MIXED.encode()


@pytest.mark.parametrize("sub", ["", "5_x"])
def test_an_unreadable_folder(process, unprivileged, refused, folder, sub):
    root = folder({"a.txt": MIXED, "5_x/b.txt": MIXED})

    def run(*args):
        (root / sub).chmod(0)
        try:
            return process(*args, prefix=unprivileged)
        finally:
            (root / sub).chmod(0o755)

    refused(3, root, "reorder", root, names=root / sub, run=run)


def test_a_folder_that_cannot_be_written(process, unprivileged, refused, data):
    data.chmod(0o555)
    try:
        said = refused(
            3, data, "reorder", data, names=data, run=lambda *args: process(*args, prefix=unprivileged)
        )
    finally:
        data.chmod(0o755)
    assert "--out" in said


def test_a_subfolder_that_cannot_be_written_puts_all_back(process, unprivileged, folder, texts):
    root = folder({"a.txt": MIXED, "5_x/b.txt": MIXED})
    (root / "5_x").chmod(0o555)
    try:
        result = process("reorder", root, prefix=unprivileged)
    finally:
        (root / "5_x").chmod(0o755)
    assert result.code == 3 and "5_x/b.txt: cannot be written" in result.err
    assert set(texts(root).values()) == {MIXED.encode()}
    assert not (root / "tagflow-audit.parquet").exists()


def test_a_second_tagflow_at_the_same_time(refused, tagflow, data):
    held = (
        "import sys; from pathlib import Path; from tagflow.history.store import Store\n"
        "with Store(Path(sys.argv[1])).locked():\n    print('held', flush=True); sys.stdin.read()"
    )
    tagflow("reorder", data)
    (data / "a.txt").write_text(MIXED)
    command = [sys.executable, "-c", held, str(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        assert "another tagflow" in refused(3, data, "reorder", data, names=data)
        assert "another tagflow" in refused(3, data, "undo", data, names=data)
        other.stdin.close()
    assert tagflow("reorder", data).code == 0


def test_a_full_disk_puts_all_back_played_by_a_writer_that_fails(tagflow, data, texts, monkeypatch):
    """A disk that fills up after the first caption; the real one needs a mount, which tests may not make."""
    import errno

    from tagflow.files import replace

    write, before, left = replace.write_and_move, texts(data), [5]

    def full(handle, content, target, *still):
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(handle, content, target, *still)

    monkeypatch.setattr(replace, "write_and_move", full)
    result = tagflow("reorder", data)
    assert result.code == 3 and "No space left" in result.err and "free some room" in result.err
    assert texts(data) == before
    assert tagflow("reorder", data).code == 0


def test_a_bug_is_told_apart_from_a_finding_played_by_a_stage_that_raises(tagflow, data, texts, monkeypatch):
    from tagflow import pipeline

    def broken(*args):
        raise ZeroDivisionError

    before = texts(data)
    monkeypatch.setattr(pipeline, "detect", broken)
    result = tagflow("reorder", data)
    assert result.code == 4 and "bug in tagflow" in result.err and texts(data) == before
