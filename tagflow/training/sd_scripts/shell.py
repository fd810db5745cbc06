r"""The command of a trainer taken out of what was typed or pasted; open it for a shell's words that confuse.

A line may go on behind `\`, `^` or a backtick, send its output elsewhere, stand among other commands, and set
variables. Backslashes are kept: on Windows they are parts of paths. Nothing is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PureWindowsPath

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import short

_ENDS = ("&&", "||", "|&", ";", "|", "&", "\n")
# `2>&1`, `&> log.txt`, `>>log.txt`, `2>/dev/null`, `*> log.txt`; a name may stand apart from it.
_REDIRECTED = re.compile(r"(?:[0-9*&]?(?:>>|>\||>|<<<|<)|&>>?)(&[0-9-])?")
_ASSIGNED = re.compile(r"(?:\$env:|\$)?([A-Za-z_]\w*)\s*=\s*(.*)", re.DOTALL | re.IGNORECASE)
VARIABLE = re.compile(
    r"\$\{(?:env:)?(\w+)\}|\$(?:env:)?([A-Za-z_]\w*)|%([A-Za-z_]\w*)%|\{([A-Za-z_]\w*)\}|(\$\()"
)
_CONTINUED = re.compile(r"[\\^`]([ \t\r]*)(?:\n|$(?=\Z))")
_DRIVE = re.compile(r"(?:[^=]*=)?[A-Za-z]:\\|(?:[^=]*=)?\\\\")
_PROMPT = re.compile(r"^[ \t]*(?:\$ |> |PS [^>\n]*> |[A-Za-z]:\\[^>\n]*>|!)", re.MULTILINE)
_AHEAD = 16  # characters that tell a redirection or the end of a command
_FOLDER = ("cd", "%cd", "chdir", "pushd", "set-location")


@dataclass(frozen=True, slots=True)
class Typed:
    """A trainer's command in words. `folder`: where `cd` before it goes, empty for nowhere."""

    words: list[str]
    folder: str = ""
    faults: list[Finding] = field(default_factory=list)


def read_typed(text: str, script: str) -> Typed:
    """The command that starts a script, out of a text of one or more. Raises ValueError for an open quote.

    `script`: the file name of the one that is meant, where several are named.
    """
    commands = list(_commands(_PROMPT.sub("", text)))
    known: dict[str, str] = {}
    folder = ""
    for at, words in enumerate(commands):
        rest = list(words)
        while rest and (one := _assignment(rest)):
            name, value, taken = one
            known[name.lower()], rest = _with_values(value, known), rest[taken:]
        if len(rest) > 1 and rest[0].lower() in _FOLDER:
            folder = _with_values(rest[-1], known)
        if not rest or not _starts(rest, script, commands):
            continue
        inner = next((word for word in rest if f"{script} " in word), None)
        if inner is not None:  # `bash -c "..."`, `tmux new -d "..."`
            found = read_typed(inner, script)
            return Typed(found.words, found.folder or folder, found.faults)
        faults: list[Finding] = []
        for more in commands[at + 1 :]:
            if not more or not more[0].startswith("-"):
                break
            rest += more
            what = f"what begins with `{short(' '.join(more))}` is a command of its own"
            faults = faults or [finding("command-cut", what)]
        left = [_with_values(word, known) for word in rest if word not in ("$@", "$*", "%*")]
        return Typed(left, folder, faults)
    return Typed([word for words in commands for word in words], folder)


def _starts(words: list[str], script: str, commands: list[list[str]]) -> bool:
    """Whether a command starts the script; one of another name only where none of them does."""
    if any(_name(word) == script or f"{script} " in word for word in words):
        return True
    if any(_name(word) == script for each in commands for word in each):
        return False
    named = [_name(word) for word in words if _name(word).endswith(".py")]
    return any("train" in name for name in named) or bool(named and len(commands) == 1)


def _name(word: str) -> str:
    return PureWindowsPath(word).name.lower()


def _assignment(words: list[str]) -> tuple[str, str, int] | None:
    """The variable that a command's first words set, its value, and how many words that takes.

    None where they set none: `A=1`, `export A=1`, `set A=1`, `$a = 1`, `$env:A = "1"`.
    """
    first = 1 if words[0] in ("export", "set") and len(words) > 1 else 0
    if one := _ASSIGNED.fullmatch(words[first]):
        empty = not one[2] and words[first].startswith("$") and len(words) > first + 1
        return one[1], words[first + 1] if empty else one[2], first + 1 + empty
    if len(words) > 2 and words[1] == "=" and words[0].startswith("$"):
        return words[0].removeprefix("$").split(":")[-1], words[2], 3
    return None


def _with_values(word: str, known: Mapping[str, str]) -> str:
    """A word with the variables that the text itself sets; the others stay as they are."""

    def value(found: re.Match[str]) -> str:
        name = next(one for one in found.groups() if one is not None)
        return known.get(name.lower(), found[0])

    return VARIABLE.sub(value, word)


def _commands(text: str) -> Iterator[list[str]]:
    """The commands of a text, each in words without its redirections."""
    words: list[str] = []
    at, to_file = 0, False
    while at < len(text):
        rest = text[at : at + _AHEAD]
        if text[at] in " \t\r":
            at += 1
            continue
        if goes_on := _CONTINUED.match(text, at):
            at = goes_on.end()
            if goes_on[1].strip("\r"):  # a space behind the sign: the line ends
                yield words
                words = []
            continue
        if text[at] == "#" or (not words and re.match(r"(?:rem|::)\s", rest, re.IGNORECASE)):
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
            continue
        if sent := _REDIRECTED.match(rest):
            at += sent.end()
            to_file = not sent[1]
            continue
        if mark := next((one for one in _ENDS if rest.startswith(one)), None):
            if mark != "&" or words:  # PowerShell calls with `& python ...`
                yield words
                words = []
            at, to_file = at + len(mark), False
            continue
        word, at = _word(text, at)
        if not to_file:
            words.append(word)
        to_file = False
    yield words


def _word(text: str, at: int) -> tuple[str, int]:
    """The word that begins at a place, without its quotes, and where it ends. Raises ValueError."""
    start, out, quote = at, "", ""
    while at < len(text):
        one = text[at]
        following = text[at + 1 : at + 2]
        if quote:
            if one == quote:
                quote = ""
            elif one == "\\" and quote == '"' and following == '"' and not _DRIVE.match(text[start:at]):
                out, at = out + following, at + 1
            else:
                out += one
        elif one in "\"'":
            quote = one
        elif (
            one == "\\"
            and following
            and following in " \"'()&|;#$"
            and not _DRIVE.match(text[start : at + 1])
        ):
            out, at = out + following, at + 1
        elif one == "$" and following == "(":
            end = text.find(")", at)
            end = len(text) - 1 if end < 0 else end
            out, at = out + text[at : end + 1], end
        elif (
            one in " \t\r\n;|"
            or _CONTINUED.match(text, at)
            or (one == "&" and following in ("&", " ", "\n", ""))
        ) or (one in "<>" and not (out and out[-1] in "<>")):
            break
        else:
            out += one
        at += 1
    if quote:
        raise ValueError("No closing quotation")
    return out, at
