"""Help: every command is listed under one heading, every option under one, and former names still work."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from tagflow.cli import cli
from tagflow.cli.help import HEADINGS, Command, Commands

MOST_OPTIONS = 25


def commands(group: click.Group = cli, name: str = "tagflow") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for inner in group.list_commands(context):
        found = group.get_command(context, inner)
        assert found is not None, inner
        yield f"{name} {inner}", found
        if isinstance(found, click.Group):
            yield from commands(found, f"{name} {inner}")


def options(command: click.Command) -> list[click.Option]:
    return [one for one in command.params if isinstance(one, click.Option) and not one.hidden]


def test_four_headings_hold_every_command(tagflow):
    assert isinstance(cli, Commands)
    assert list(cli.sections) == ["Captions", "Look", "Data and models", "Training"]
    names = [name for entries in cli.sections.values() for name in entries]
    assert len(set(names)) == len(names)
    said = tagflow("--help").out
    assert all(f"\n{heading}:\n" in said for heading in cli.sections)
    assert all(f"\n  {name} " in said for name in names)


def test_no_command_has_too_many_options():
    many = {name: len(options(found)) for name, found in commands() if len(options(found)) > MOST_OPTIONS}
    assert not many


def test_options_stand_under_headings():
    """A command of more than a few options has headings; a heading's name is no misspelt parameter."""
    leaves = {name: found for name, found in commands() if not isinstance(found, click.Group)}
    assert all(isinstance(found, Command) for found in leaves.values())
    known = {one.name for found in leaves.values() for one in found.params}
    assert not HEADINGS.keys() - known
    for name, found in leaves.items():
        without = [one.name for one in options(found) if one.name not in HEADINGS]
        assert len(without) <= 6, f"{name}: {without}"


@pytest.mark.parametrize("former", ["runs", "monitor", "doctor"])
def test_a_former_name_still_works_and_is_not_listed(tagflow, former):
    now = {"runs": ["history"], "monitor": ["train", "monitor"], "doctor": ["train", "doctor"]}[former]
    assert tagflow(former, "--help").out.splitlines()[2:] == tagflow(*now, "--help").out.splitlines()[2:]
    assert f"\n  {former} " not in tagflow("--help").out


def test_options_of_a_training_are_taken_by_run_and_explained_by_plan(tagflow):
    said = tagflow("run", "--help").out
    assert all(f"\n  {name} " in said for name in ("--train", "--base", "--vae", "--set"))
    assert "--vram" not in said and "--detach" not in said
    assert "--vram" in tagflow("train", "plan", "--help").out


def test_an_unknown_command_is_wrong_usage(tagflow):
    assert tagflow("chek").code == 2 and tagflow("train", "plann").code == 2
