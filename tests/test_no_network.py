"""Nothing is sent anywhere: no command opens a connection, and only a hub id may ask the hub for anything."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import pytest

pytest.importorskip("torch")

PACKAGE = Path(__file__).parent.parent / "tagflow"
MIXED = "sofa, white walls, photograph, natural light"


class Dialled(Exception):
    """Somebody tried to reach somebody."""


@pytest.fixture
def alone(monkeypatch):
    """A machine on which every connection and every look-up of a name fails, and is remembered."""
    tried = []

    def refuse(*args, **more):
        tried.append(args)
        raise Dialled(args)

    class Refusing(socket.socket):
        connect = connect_ex = sendto = refuse

    monkeypatch.setattr(socket, "socket", Refusing)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tried


@pytest.mark.parametrize("encoders", ["stand-in", "local"])
def test_no_command_opens_a_connection(tagflow, folder, alone, checkpoint, encoders):
    root = folder({"a.txt": MIXED, "b.txt": "lamp, photograph"})
    named = [
        "--encoders",
        checkpoint if encoders == "local" else encoders,
        "--device",
        "cpu",
        "--min-sim",
        "0",
    ]
    commands = (
        ["check", root], ["reorder", root, "--dry-run"], ["run", root, *named], ["validate", root, *named],
        ["audit", root], ["undo", root], ["reorder", root], ["explain", "sofa"],
        ["ontology", "coverage", root], ["models", "verify", checkpoint],
    )  # fmt: skip
    if encoders == "local":
        commands = (*commands, ["models", "compare", checkpoint, "--device", "cpu"])
    for command in commands:
        assert tagflow(*command).code in (0, 1), command
    assert alone == []


def test_the_fixture_would_notice(alone):
    with pytest.raises(Dialled):
        socket.create_connection(("localhost", 9))
    assert alone


@pytest.mark.parametrize(
    "spec", ["no/such/folder", "./model", "model.safetensors", "../a/b", "a:b/c", "-x/y"]
)
def test_what_is_no_hub_id_is_never_asked_for(tagflow, folder, alone, spec):
    result = tagflow("run", folder({"a.txt": MIXED}), "--encoders", spec)
    assert result.code == 3 and alone == []


def test_offline_a_hub_id_is_not_asked_for_either(process, folder):
    """In a process of its own: the hub's library reads the variable when it is imported."""
    import os

    result = process(
        "run",
        folder({"a.txt": MIXED}),
        "--encoders",
        "somebody/something",
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert result.code == 3 and "somebody/something" in result.err and "cure: " in result.err


def test_nothing_unpickles_runs_a_shell_or_evaluates():
    """Every way of turning data into code, by name. Where processes may start: tests/test_layers.py."""
    banned = {
        "pickle",
        "shelve",
        "marshal",
        "ctypes",
        "xmlrpc",
        "http",
        "urllib.request",
        "requests",
    }
    calls = {"eval", "exec", "system", "popen", "execv", "spawnv", "load_module", "torch.load", "__import__"}
    doors = {PACKAGE / "files" / "exchange.py": {"ctypes"}}  # two names exchanged by the system's own call
    for file in sorted(PACKAGE.rglob("*.py")):
        here = banned - doors.get(file, set())
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not here & {alias.name for alias in node.names}, file
            elif isinstance(node, ast.ImportFrom):
                assert node.module not in here, file
            elif isinstance(node, ast.Call):
                assert all(one.arg != "shell" for one in node.keywords), f"{file}: a shell"
                name = ast.unparse(node.func)
                assert name not in calls and name.rpartition(".")[2] not in calls - {"eval"}, (
                    f"{file}: {name}"
                )
