"""Exit codes, and every error that ends a command; open it for a new one, or the hint to install an extra.

A *finding* (see :mod:`tagflow.findings.finding`) is something wrong in the data; an error here means that
tagflow could not do what was asked.
"""

from __future__ import annotations

DONE, FINDINGS, USAGE, FAILURE, BUG, INTERRUPTED = 0, 1, 2, 3, 4, 130


def install_extra(extra: str) -> str:
    """The cure where one of tagflow's extras is missing: where tagflow comes from, not from PyPI.

    The package index has a stranger's package under the name `tagflow`, so that name is never installed.
    """
    return f"in a checkout of tagflow: pip install '.[{extra}]'"


class TagflowError(Exception):
    """tagflow could not do its work. `message` names the file, `cure` says what to do next."""

    exit_code = FAILURE

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


class UsageProblem(TagflowError):
    """The command was given something that it cannot mean (exit 2)."""

    exit_code = USAGE


class ConfigError(TagflowError):
    """A `tagflow.toml` that cannot be read or holds what tagflow does not know (exit 3)."""


class OntologyError(TagflowError):
    """An ontology folder that cannot be loaded (exit 3)."""


class SourceError(TagflowError):
    """A folder of captions that cannot be read or written (exit 3)."""


class AuditError(TagflowError):
    """An audit or a run record that is missing, damaged or not tagflow's (exit 3)."""


class VocabularyMissing(TagflowError):
    """No copy of CLIP's vocabulary is to be had on this machine (exit 3)."""


class EncoderError(TagflowError):
    """The text encoders are missing, damaged or not SDXL's (exit 3)."""


class TrainerError(TagflowError):
    """The trainer, its Python or a run folder is missing, damaged or not what it should be (exit 3)."""


NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")


def is_memory(error: Exception) -> bool:
    """Say whether `error` means too little memory; torch raises a plain RuntimeError for the CPU's.

    An illegal memory access is none of these.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error).lower()
    return any(words in said for words in NO_MEMORY)
