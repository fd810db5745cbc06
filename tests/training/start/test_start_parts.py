"""The parts of a start that need no process: states, how a run goes on, outcomes, records, the words."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from child_trainer import write_lora, write_state

from tagflow.cli.output import screen
from tagflow.errors import TrainerError
from tagflow.training.run_folder import PlanFile, PlannedValue
from tagflow.training.sd_scripts.options import known_options
from tagflow.training.setup.setup import Setup
from tagflow.training.start.attempt import ACCELERATE
from tagflow.training.start.outcome import Output, explained, outcome
from tagflow.training.start.prepare import launch
from tagflow.training.start.record import (
    Record,
    alive,
    as_dict,
    host,
    process_of,
    read_record,
    settled,
    write_record,
)
from tagflow.training.start.resume import fault, plan_resume, read_state, states


def old(folder: Path, seconds: float) -> Path:
    for file in folder.iterdir():
        os.utime(file, (time.time() - seconds, time.time() - seconds))
    return folder


def test_the_newest_whole_state_is_found(tmp_path: Path) -> None:
    old(write_state(tmp_path / "house-000002-state", 2, 40), 300)
    newest = old(write_state(tmp_path / "house-step00000030-state", 2, 30), 200)
    old(write_state(tmp_path / "other-000009-state", 9, 90), 100)
    (old(write_state(tmp_path / "house-state", 3, 60), 50) / "random_states_0.pkl").unlink()
    assert [one.path for one in states(tmp_path, "house")] == [newest, tmp_path / "house-000002-state"]
    assert (states(tmp_path, "house")[0].step, states(tmp_path, "house")[0].epoch) == (30, 2)
    assert states(tmp_path / "none", "house") == []


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda state: (state / "train_state.json").write_text("{"), "train_state.json cannot be read"),
        (lambda state: (state / "train_state.json").write_text("[1]"), "train_state.json cannot be read"),
        (lambda state: (state / "optimizer.bin").write_bytes(b"PK\x03\x04cut"), "optimizer.bin is not whole"),
        (lambda state: (state / "model.safetensors").write_bytes(b"\x40"), "model.safetensors"),
        (lambda state: (state / "scheduler.bin").unlink(), "scheduler.bin"),
        (lambda state: os.utime(state / "optimizer.bin", (1, 1)), "belongs to an older state"),
    ],
)
def test_a_state_that_is_not_whole_is_passed_over(tmp_path: Path, spoil, why: str) -> None:
    state = write_state(tmp_path / "house-000001-state", 1, 20)
    assert fault(state) is None
    spoil(state)
    assert why in (fault(state) or "")
    assert states(tmp_path, "house") == []


def test_a_state_that_was_copied_may_be_named(tmp_path: Path) -> None:
    state = write_state(tmp_path / "house-000001-state", 1, 20)
    os.utime(state / "optimizer.bin", (1, 1))
    assert read_state(state, named=True).step == 20
    with pytest.raises(TrainerError, match="older state"):
        read_state(state)


def test_at_the_end_of_an_epoch_nothing_is_skipped(tmp_path: Path) -> None:
    state = read_state(write_state(tmp_path / "house-000002-state", 2, 40))
    found = plan_resume(state, (), steps_per_epoch=20, accumulation=1, last=60)
    assert found.words == ("--resume", str(state.path))
    assert (found.step_offset, "after step 40 of 60" in found.note) == (40, True)


def test_within_an_epoch_the_steps_done_are_skipped_where_that_is_possible(tmp_path: Path) -> None:
    state = read_state(write_state(tmp_path / "house-step00000030-state", 2, 30))
    found = plan_resume(state, (), steps_per_epoch=20, accumulation=1, last=60)
    assert found.words[2:] == ("--skip_until_initial_step",)
    assert "10 steps of epoch 2" in found.note
    again = plan_resume(state, (), steps_per_epoch=20, accumulation=4, last=60)
    assert again.words[2:] == ()
    assert "epoch 2 is trained again" in again.note


def test_a_state_of_a_resumed_attempt_counts_from_where_that_began(tmp_path: Path) -> None:
    state = read_state(write_state(tmp_path / "house-000003-state", 3, 20))  # sd-scripts began at 0 again
    first = Record(started="2020-01-01T00:00:00.000+00:00")
    second = Record(started="2020-01-02T00:00:00.000+00:00", step_offset=40)
    later = Record(started="2200-01-01T00:00:00.000+00:00", step_offset=999)
    found = plan_resume(state, (first, second, later), steps_per_epoch=20, accumulation=1, last=100)
    assert found.words[2:] == ("--initial_step", "60")
    assert found.step_offset == 60


def test_a_state_at_the_end_is_refused(tmp_path: Path) -> None:
    state = read_state(write_state(tmp_path / "house-state", 3, 60))
    with pytest.raises(TrainerError, match="nothing is left"):
        plan_resume(state, (), steps_per_epoch=20, accumulation=1, last=60)


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path, "house", tmp_path / "house.safetensors")


def test_a_lora_that_was_there_before_proves_nothing(output: Output) -> None:
    write_lora(output.last)
    before = output.loras()
    ended = outcome(0, "", output, before)
    assert (ended.state, ended.lora) == ("failed", None)
    assert "without an error, and without" in (ended.reason or "")
    old(output.folder, 10)
    assert outcome(0, "", output, before) == outcome(0, "avr_loss=0.1", output, before)
    assert outcome(0, "", output, before).state == "finished"


def test_a_lora_of_an_epoch_is_not_the_end(output: Output) -> None:
    write_lora(output.folder / "house-000001.safetensors")
    ended = outcome(0, "", output, {})
    assert (ended.state, ended.lora) == ("failed", output.folder / "house-000001.safetensors")


def test_a_loss_of_nan_is_a_failure_though_a_lora_is_there(output: Output) -> None:
    write_lora(output.last)
    said = "steps: 1%| 1/100 [00:02, avr_loss=0.0912]\rsteps: 2%| 2/100 [00:03, avr_loss=nan]"
    ended = outcome(0, said, output, {})
    assert ended.state == "failed" and "nan" in (ended.reason or "")


@pytest.mark.parametrize(
    ("log", "part"),
    [
        ("ERROR  No data found. Please verify\n   arguments", "no image"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 MiB", "GPU's memory"),
        ("ModuleNotFoundError: No module named 'xyz'\n", "package is missing"),
        (
            "AssertionError: network for Text\nEncoder cannot be trained with caching Text Encoder outputs",
            "unet_only",
        ),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("subprocess.CalledProcessError: ... died with <Signals.SIGKILL: 9>.", "killed from outside"),
        ("TypeError: expected str, bytes or os.PathLike object, not NoneType", "tokenizers"),
        ("MaxRetryError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries", "the hub"),
        ("RuntimeError: NaN detected in latents: a.png", "NaN"),
        ("KeyError: 'strange'\nsubprocess.CalledProcessError: Command", "otherwise: KeyError: 'strange'"),
        ("", "otherwise"),
    ],
)
def test_last_words_are_understood(log: str, part: str) -> None:
    reason, cure = explained(log, "otherwise")
    assert part in reason
    assert cure


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    first = Record(
        number=1, state="failed", command=("a", "b c"), exit_code=1, started="2020-01-01T00:00:00+00:00"
    )
    record = Record(
        number=2,
        state="finished",
        edits=({"name": "seed", "planned": 7, "now": 8},),
        versions={"tagflow": "1"},
        earlier=(first,),
    )
    assert read_record(tmp_path) is None
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert [one.number for one in record.attempts] == [1, 2]
    data = json.loads((tmp_path / "run.json").read_text())
    assert (data["schema"], data["state"], len(data["attempts"])) == ("tagflow.training/1", "finished", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": "tagflow.training/1", "attempts": []}',
     '{"schema": "tagflow.training/1", "attempts": [{"state": "dancing"}]}',
     '{"schema": "tagflow.training/1", "attempts": [{"state": "running", "pid": "7"}]}',
     '{"schema": "tagflow.training/1", "attempts": [7]}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(TrainerError, match=r"run\.json: damaged"):
        read_record(tmp_path)


def test_a_record_knows_its_process_from_a_later_one_of_the_same_number() -> None:
    me = process_of(os.getpid())
    assert alive(me["pid"], me["created"])
    assert not alive(me["pid"], me["created"] - 60)
    assert not alive(None, None)
    running = Record(state="running", host=host(), pid=me["pid"], pid_created=me["created"])
    assert settled(running) is running
    gone = Record(state="running", host=host(), pid=me["pid"], pid_created=me["created"] - 60)
    assert settled(gone).state == "killed" and "nobody saw its end" in (settled(gone).reason or "")
    elsewhere = Record(state="running", host="another", pid=1, pid_created=1.0)
    assert settled(elsewhere) is elsewhere
    assert as_dict(gone)["state"] == "running"


def test_the_words_are_a_list_and_leave_nothing_to_the_users_own_configuration(tmp_path: Path) -> None:
    options = known_options()
    setup = Setup(options.script, options, {**options.defaults(), "mixed_precision": "bf16"}, {}, tmp_path)
    run, scripts = tmp_path / "a run; rm -rf *", tmp_path / "sd scripts"
    made = launch(
        run, setup, PlanFile(), python=Path("/t/python"), sd_scripts=scripts, resume=("--resume", "x y")
    )
    words = made.command
    assert words[:3] == ("/t/python", "-m", "accelerate.commands.launch")
    at = words.index(str(scripts / "sdxl_train_network.py"))
    assert words[at + 1 :] == ("--config_file", str(run / "train.toml"), "--resume", "x y")
    given = dict(zip(words[3:at:2], words[4:at:2], strict=True))
    assert given["--config_file"] == str(ACCELERATE) and ACCELERATE.is_file()
    assert (given["--mixed_precision"], given["--num_processes"], given["--dynamo_backend"]) == (
        "bf16",
        "1",
        "no",
    )
    assert made.folder == scripts
    value = PlannedValue(file="launch", name="num_cpu_threads_per_process", value=3)
    planned = PlanFile(values=(value,))
    again = launch(run, setup, planned, python=Path("/t/python"), sd_scripts=scripts)
    assert again.command[again.command.index("--num_cpu_threads_per_process") + 1] == "3"


def test_what_the_trainer_prints_keeps_its_bars_and_steers_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show = screen()
    for data in (
        b"steps:  1%\rsteps:  2%\r\n",
        b"\xe5\xad",
        b"\xa6 \xff",
        b"\x1b[2J\x1b]0;x\x07\x1b[A\x1b[31mred\x1b[0m\n",
    ):
        show(data)
    assert capsys.readouterr().err == "steps:  1%\rsteps:  2%\r\n学 \ufffd]0;x\x1b[A\x1b[31mred\x1b[0m\n"
