"""The options of the user's own sd-scripts, asked of its real parser by its own Python."""

from __future__ import annotations

from pathlib import Path

from tagflow.errors import TrainerError
from tagflow.training.child import Ended, run_child
from tagflow.training.options import DATA, Options, parse_options

SECONDS = 180
"""Importing torch and diffusers from a cold disk can take a minute."""

_MARK = "tagflow-options:"
_CURE = "look whether its own `python sdxl_train_network.py --help` works, and install its requirements"


def options_of(python: Path, sd_scripts: Path, script: str = "sdxl_train_network.py") -> Options:
    """Ask `python` for the options of `script` in the folder `sd_scripts`.

    Raises TrainerError where there is no such script, or it cannot be imported within three minutes.
    """
    if not (sd_scripts / script).is_file():
        raise TrainerError(f"{sd_scripts}: has no {script}", "name the folder of kohya-ss/sd-scripts")
    command = [str(python), str(DATA / "ask_options.py"), Path(script).stem]
    done = run_child(command, SECONDS, sd_scripts)
    if done.code is None:
        raise TrainerError(f"{python}: did not answer within {SECONDS} s", _CURE)
    return _understood(done, python, sd_scripts / script)


def _understood(done: Ended, python: Path, script: Path) -> Options:
    answer = next((line for line in reversed(done.out.splitlines()) if line.startswith(_MARK)), None)
    if answer is None:
        last = [line for line in done.err.splitlines() if line.strip()]
        why = last[-1].strip() if last else f"it ended with exit code {done.code}"
        raise TrainerError(f"{script}: {python} could not load it ({why})", _CURE)
    try:
        return parse_options(answer.removeprefix(_MARK))
    except (ValueError, KeyError, TypeError) as problem:
        raise TrainerError(f"{script}: its answer was not understood ({problem})", _CURE) from problem
