"""Where every error ends: open it for an exit code, or what stderr says of an error."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress

import click

from tagflow.cli import cli
from tagflow.errors import BUG, DONE, FAILURE, INTERRUPTED, USAGE, TagflowError, UsageProblem, install_extra

TRAIN_EXTRA = ("psutil", "tensorboard", "tomlkit")
"""The modules of the `train` extra."""
IMAGES_EXTRA = ("PIL", "imagehash")
"""The modules of the `images` extra, which `check --deep` needs."""


def not_installed(module: str) -> TagflowError:
    """What to say where a module of the `train` or the `images` extra is missing."""
    cure = install_extra("images") if module in IMAGES_EXTRA else install_extra("train")
    return TagflowError(f"{module} is not installed", cure)


def run(args: list[str] | None = None) -> int:
    """Run one command line (the process's own by default); gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name need not be printable here
            stream.reconfigure(errors="backslashreplace")
    try:
        if any("\0" in arg for arg in args or ()):  # a shell cannot say so, a program can
            raise UsageProblem(
                "an argument holds a NUL character", "no path, tag or option has one: leave it out"
            )
        code = cli.main(args, prog_name="tagflow", standalone_mode=False)
        _flush()
        return code if isinstance(code, int) else DONE
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as problem:
        problem.show()
        return USAGE
    except TagflowError as problem:
        say_error(problem)
        return problem.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted; no caption was left half written")
        return INTERRUPTED
    except ModuleNotFoundError as problem:
        missing = (problem.name or "").partition(".")[0]
        if missing not in (*TRAIN_EXTRA, *IMAGES_EXTRA):
            return _bug()
        say_error(not_installed(missing))
        return FAILURE
    # The machine's doing; every expected one has its own message.
    except MemoryError:
        say_error(TagflowError("not enough memory", "close other programs, or take fewer captions at once"))
        return FAILURE
    except OSError as problem:
        where = f"{os.fsdecode(problem.filename)}: " if problem.filename is not None else ""
        what = f"{where}{problem.strerror or problem}"
        say_error(TagflowError(what, "check the permissions and the disk"))
        return FAILURE
    except Exception:  # the last boundary: a bug must not look like a finding
        return _bug()


def _bug() -> int:
    """Say what is being handled, with its traceback."""
    traceback.print_exc()
    _say("this is a bug in tagflow; please report it with the lines above")
    return BUG


def say_error(problem: TagflowError) -> None:
    """Print an error and its cure to stderr."""
    _say(f"error: {problem.message}")
    if problem.cure:
        _say(f"cure: {problem.cure}")


def _say(text: str) -> None:
    from tagflow.cli.output import visible  # late: a command that goes well says nothing here

    text = "\n".join(map(visible, text.split("\n")))  # a name from a file must not steer the terminal
    with suppress(BrokenPipeError):
        click.echo(f"tagflow: {text}", err=True)


def _flush() -> None:
    """Let an error of stdout (a full disk behind it, say) come up here, and not when Python ends."""
    try:
        if sys.stdout is not None:  # closed by whoever started us
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
