"""Where every error ends: a message that names the file and the cure, and an exit code."""

from __future__ import annotations

import os
import sys
import traceback

import click

from tagflow.cli import cli
from tagflow.errors import BUG, DONE, INTERRUPTED, USAGE, TagflowError


def run(args: list[str] | None = None) -> int:
    """Run one command line (the process's own by default); gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name need not be printable here
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(args)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _run(args: list[str] | None) -> int:
    try:
        code = cli.main(args, prog_name="tagflow", standalone_mode=False)
        sys.stdout.flush()
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
        print("tagflow: interrupted; no caption was left half written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception:  # the last boundary: a bug must not look like a finding
        traceback.print_exc()
        print("tagflow: this is a bug in tagflow; please report it with the lines above", file=sys.stderr)
        return BUG


def say_error(problem: TagflowError) -> None:
    """Print an error and its cure to stderr."""
    print(f"tagflow: error: {problem.message}", file=sys.stderr)
    if problem.cure:
        print(f"tagflow: cure: {problem.cure}", file=sys.stderr)
