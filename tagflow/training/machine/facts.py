"""What is known of a trainer's Python and its machine: plain values, filled in by probe.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tagflow.training.sd_scripts.files import PLUGINS


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. Memory in bytes; `capability`: CUDA compute capability, such as (8, 9)."""

    name: str
    total: int
    free: int
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Machine:
    """A trainer's Python, as it described itself.

    `packages`: the version of each package that was looked for (distribution names in lower case, such as
    `torch`, `bitsandbytes`), None where it is missing; `broken`: why a package that is there does not
    import. `cuda`: the CUDA version torch was built for; None for a CPU build. `gpus`: those torch can use.
    `memory`: of the machine, in bytes. `bf16`: whether the first GPU computes in it.
    """

    python: Path
    python_version: str
    platform: str
    packages: Mapping[str, str | None]
    broken: Mapping[str, str]
    cuda: str | None
    gpus: tuple[Gpu, ...]
    memory: int
    bf16: bool

    def has(self, package: str) -> bool:
        """Whether a package is there and imports."""
        return self.packages.get(package) is not None and package not in self.broken

    @property
    def plugins(self) -> frozenset[str]:
        """The suffixes of images that sd-scripts reads in this Python beside the usual ones."""
        return frozenset(suffix for suffix, packages in PLUGINS.items() if any(map(self.has, packages)))
